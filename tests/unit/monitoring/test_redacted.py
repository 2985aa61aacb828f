"""A column that a Model redacts from capture, as the predictor's own encoder tells its requests: it is not watched, and nothing else."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest

from serving.predictor.exchange import Encoder, Exchange, Identity, Told
from serving.predictor.protocol import answer_v1
from trimtab.drawing.page import to_html
from trimtab.events import BATCH, CloudEvent, parse
from trimtab.monitoring import views
from trimtab.monitoring.monitor import Monitor
from trimtab.monitoring.ports import Watched, WatchedVersion
from trimtab.monitoring.reports.model_page import model_page
from trimtab.schema import PREDICTION
from trimtab.spec import Model

from .folders import NOW, START, MemoryFleet, instances, model, truth

ID = "default/demand"


def hiding(*redacted: str) -> Model:
    made = model()
    capture = msgspec.structs.replace(made.spec.serving.capture, redact=redacted)
    return msgspec.structs.replace(
        made, spec=msgspec.structs.replace(made.spec, serving=msgspec.structs.replace(made.spec.serving, capture=capture))
    )


def captured(rows: Sequence[dict[str, Any]], redacted: Sequence[str]) -> list[CloudEvent]:
    encoder = Encoder(Identity("demand", "default", "1"), Told(redact=frozenset(redacted)))
    found = []
    for number, (row, prediction) in enumerate(zip(rows, truth(rows), strict=True)):
        body = msgspec.json.encode({"instances": [row]})
        exchange = Exchange(f"r{number}", int(START.timestamp() * 1e9), False, body, answer_v1([float(prediction)]))
        found += parse({"content-type": BATCH}, b"[" + encoder.encoded(exchange).body + b"]")
    return found


@pytest.mark.parametrize("redacted", [("heat",), ("heat", "load", "site"), ("heat", "iban")])
def test_a_redacted_feature_is_neither_missing_nor_tested_and_that_is_told(
    monitor: Monitor, fleet: MemoryFleet, version: WatchedVersion, generator: np.random.Generator, redacted: tuple[str, ...]
) -> None:
    fleet.models = [Watched(hiding(*redacted), version)]
    monitor.accept(captured(instances(generator, 110), redacted), NOW)
    for _ in range(2):
        monitor.tick(NOW)
        monitor.settle()
    found = views.windows(monitor, ID)[0]
    assert found["breaks"] == ()
    assert set(found["drift"]["columns"]) == {"load", "site", PREDICTION} - set(redacted)
    assert views.performance(monitor, ID)[0]["estimate"]["value"] == pytest.approx(1.0, rel=0.2)
    assert views.state(monitor, ID)["notWatched"] == list(redacted)
    assert f"{', '.join(map(repr, redacted))}: redacted from capture" in to_html(model_page(views.story(monitor, ID))).replace(
        "&#x27;", "'"
    )


def test_a_column_that_nobody_redacts_is_missing(monitor: Monitor, generator: np.random.Generator) -> None:
    monitor.accept(captured(instances(generator, 110), ["heat"]), NOW)
    monitor.tick(NOW)
    assert [(one["column"], one["check"]) for one in views.windows(monitor, ID)[0]["breaks"]] == [("heat", "missing")]
    assert views.state(monitor, ID)["notWatched"] == []
