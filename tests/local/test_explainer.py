"""A document that asks for an explainer, on a laptop: it stands beside the champion, is told, and ends with everything else."""

import json
import urllib.request
from collections.abc import Callable
from typing import Any

from tests.local.laptop import DOCUMENT, Laptop

ROW = {"hour": 7, "warmth": 21.5, "kind": "shop"}
SERVING = "  serving: {explainer: {method: kernel_shap, budget: {time: 20s}}}\n"


def explained(laptop: Laptop) -> dict[str, Any] | None:
    told: dict[str, Any] = laptop.status()["explainers"].get("load", {})
    return told if told.get("ready") else None


def test_the_champion_of_a_document_that_asks_is_explained(fresh: Callable[[str], Laptop]) -> None:
    laptop = fresh(DOCUMENT.format(approval="automatic") + SERVING)
    laptop.up()
    told = laptop.wait("an explainer", lambda: explained(laptop), 90)
    assert (told["version"], told["sentence"]) == ("1", "version 1 is explained by kernel_shap")
    body = json.dumps({"instances": [ROW]}).encode()
    request = urllib.request.Request(f"{told['url']}/v1/models/load:explain", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        [one] = json.load(answer)["explanations"]
    assert (one["method"], one["model_name"], one["model_version"]) == ("kernel_shap", "load", "1")
    assert one["contributions"].keys() == ROW.keys()
    assert "explainer-load" in laptop.status()["processes"]
    laptop.down()
    assert laptop.commands() == []
