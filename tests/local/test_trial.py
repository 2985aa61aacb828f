"""Published pipelines with real processes: one that is as good is tried and promoted, a worse one stopped by a gate, a changed one refused.

The packages are Trimtab's own pipeline under another name, whose train step calls a module of the project's: what a package has of its own
is found by PYTHONPATH, as in the image that a project builds.
"""

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines import IR
from tests.local.laptop import FREE_PORTS, START, Laptop
from tests.unit.platforms.test_packages import a_key, a_package
from trimtab import release
from trimtab.control.intake import release_for
from trimtab.package import COMPILED
from trimtab.platforms.local.objects import SqliteObjects
from trimtab.platforms.local.state import State
from trimtab.platforms.packages import MlflowPackages
from trimtab.release import Request
from trimtab.spec import Model, PipelineVersion

DOCUMENT = """
apiVersion: trimtab.dev/v1alpha1
kind: Model
metadata: {name: load}
spec:
  task: regression
  data: {uri: rows.csv, time: at, key: id, label: load, labelDelay: 6h, history: 25d}
  rollout: {strategy: direct, bake: {duration: 0s}}
  retraining: {"on": [performance], cooldown: 0s}
  pipelinePolicy:
    keys:
    - |
"""
PROJECT = '''
import tempfile
from pathlib import Path
import numpy as np
import pyarrow.parquet as pq


def rows(folder, shuffled):
    """The snapshot as the project prepares it; a bad day shuffles its labels."""
    print("the project's own code runs", flush=True)
    found = next(Path(folder).glob("*.parquet"))
    table, out = pq.read_table(found), Path(tempfile.mkdtemp())
    if shuffled:
        labels = table.column("load").take(np.random.default_rng(1).permutation(table.num_rows))
        table = table.set_column(table.column_names.index("load"), "load", labels)
    pq.write_table(table, out / found.name)
    return out
'''


def compiled(shuffled: bool) -> str:
    """The pipeline whose train step takes the project's rows."""
    parts: list[dict[str, Any]] = list(yaml.safe_load_all(IR.read_text()))
    command = parts[0]["deploymentSpec"]["executors"]["exec-train"]["container"]["command"]
    changed = command[-1].replace("Path(dataset.path)", f"__import__('shop_project').rows(dataset.path, {shuffled})")
    assert changed != command[-1]
    command[-1] = changed
    return yaml.safe_dump_all(parts)


class Shop:
    """A laptop whose Model believes CI's key, and CI."""

    def __init__(self, laptop: Laptop, key: Path) -> None:
        self.laptop, self.key, self.state = laptop, key, State(laptop.state)

    def publish(self, version: str, shuffled: bool = False) -> PipelineVersion:
        """What CI does with a commit."""
        made = a_package(self.laptop.folder / version, version, compiled(shuffled))
        return MlflowPackages(self.state.tracking_uri, self.laptop.folder / "ci").publish(made, self.key)

    def tried(self, version: PipelineVersion) -> Any:
        """The Release that tries the version, once it has ended."""
        objects = SqliteObjects(self.state.database)
        try:
            (model,) = objects.all_of(Model)
            sentence = f"{version} is on the channel"
            asked = Request("pipeline", "/rollouts/shop", version.version, START, sentence=sentence, pipeline=version)
            name = objects.create(release_for(model, asked)).name
        finally:
            objects.close()
        terminal = {str(phase) for phase in release.TERMINAL}

        def ended() -> bool:
            return any(one["name"] == name and one["phase"] in terminal for one in self.laptop.releases())

        self.laptop.wait(f"the end of the trial of {version}", ended, 300)
        return self.laptop.ask("why", name)

    def champion(self) -> str:
        found: str = self.laptop.ask("status")[0]["champion"]
        return found


@pytest.fixture
def shop(fresh: Callable[[str], Laptop], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    key, public = a_key(tmp_path, "ci")
    project = tmp_path / "project"
    project.mkdir()
    (project / "shop_project.py").write_text(PROJECT)
    monkeypatch.setenv("PYTHONPATH", str(project))
    return Shop(fresh(DOCUMENT + textwrap.indent(public, "      ")), key)


def test_a_version_of_the_pipeline_is_tried_on_the_champions_rows_and_the_champion_is_never_harmed(shop: Shop) -> None:
    laptop = shop.laptop
    laptop.run("local", "up", "model.yaml", "--from", "2026-02-01T00:00:00", *FREE_PORTS)
    assert shop.champion() == "1"

    good = shop.publish("1.4.0-rc.1")
    told = shop.tried(good)
    assert told["phase"] == "Promoted", f"{told['sentence']}\n{laptop.log()}"
    first, second = (laptop.ask("lineage", number)["lineage"] for number in ("1", "2"))
    assert (second["pipeline"]["name"], second["pipeline"]["version"], second["pipeline"]["digest"]) == ("churn", good.version, good.digest)
    assert second["data"] == first["data"], "the champion's own rows"
    assert second["cut"] == first["cut"]
    assert second["seconds"] > 0
    log = next(path for path in shop.state.runs.glob("*/log.txt") if "the project's own code runs" in path.read_text())
    assert "gate passed: quality" in log.read_text()
    assert "gate passed: prediction_time" in log.read_text()
    assert shop.champion() == "2"

    told = shop.tried(shop.publish("1.5.0-rc.1", shuffled=True))
    assert (told["phase"], told["reason"]) == ("Rejected", "GateFailed"), f"{told['sentence']}\n{laptop.log()}"
    assert "the gate 'quality' stopped the candidate" in told["sentence"]
    assert shop.champion() == "2"

    changed = shop.publish("1.6.0-rc.1")
    stored = next(path for path in shop.state.artifacts.rglob(COMPILED) if f"/{changed.version}/" in str(path))
    stored.write_text(stored.read_text() + "\n")
    runs = len(list(shop.state.runs.iterdir()))
    told = shop.tried(changed)
    assert (told["phase"], told["reason"]) == ("Failed", "PackageRefused")
    assert "'pipeline.yaml' of the package churn 1.6.0-rc.1" in told["sentence"]
    assert len(list(shop.state.runs.iterdir())) == runs, "nothing of it was submitted"
    assert shop.champion() == "2"
    laptop.chain_is_whole()
