"""The explainers of a laptop, as real processes beside real predictors, with Alibi in its own environment."""

import os
import signal
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.unit.serving.test_predictor import start
from tests.unit.serving.tiny import ROW, answers, call, tiny_model, until
from trimtab.platforms.local.explainers import LocalExplainers
from trimtab.platforms.local.processes import alive
from trimtab.platforms.local.state import State
from trimtab.spec import Champion, Data, Explainer, Metadata, Model, ModelSpec, Serving

ALIBI = Path(__file__).parents[4] / ".venv-explainer" / "bin" / "python"


KERNEL = Explainer("kernel_shap")


def asking(version, digest, explainer=KERNEL):
    spec = ModelSpec(task="regression", data=Data(uri="x.csv", label="demand"), serving=Serving(explainer=explainer))
    model = Model("trimtab.dev/v1alpha1", "Model", Metadata("bike"), spec)
    return replace(model, status=replace(model.status, champion=Champion(version, digest)))


class Laptop:
    """Two versions that are served, and the explainers that a supervisor tends."""

    def __init__(self, folder):
        self.state = State(folder / "state")
        self.state.prepare()
        self.digests, self.predictors, ports = {}, [], {}
        for name, shift in (("3", 0.0), ("4", 100.0)):
            self.digests[name] = tiny_model(self.state.version_folder("bike", name), shift)
            process, ports[name] = start(
                self.state.version_folder("bike", name), self.digests[name], folder / f"{name}.log", "--version", name
            )
            self.predictors.append(process)
        for port in ports.values():
            until(lambda port=port: answers(port, "/v2/models/bike/ready"), 60)
        self.explainers = LocalExplainers(self.state, lambda _, version: f"http://127.0.0.1:{ports[version]}", ALIBI)

    def model(self, version):
        return asking(version, self.digests[version])

    def reach(self, *models, so):
        """Tend until what is told is so."""

        def tended():
            self.explainers.tend(models)
            return so(self.explainers.told().get("bike", {}))

        until(tended, 90)
        return self.explainers.told().get("bike", {})

    def ready(self, version):
        return self.reach(self.model(version), so=lambda told: told.get("ready") and told["version"] == version)

    def close(self):
        self.explainers.close()
        for process in self.predictors:
            process.terminate()
            process.wait(20)


@pytest.fixture(scope="module")
def laptop(tmp_path_factory):
    made = Laptop(tmp_path_factory.mktemp("laptop"))
    yield made
    made.close()


def explained(told):
    port = int(told["url"].rpartition(":")[2])
    status, _, answer = call(port, "POST", "/v1/models/bike:explain", {"instances": [ROW]}, timeout=60)
    assert status == 200, answer
    [one] = answer["explanations"]
    assert one["base_value"] + sum(one["contributions"].values()) == pytest.approx(one["prediction"], abs=1e-4)
    return one["method"], one["model_version"]


def test_the_champion_is_explained_and_its_successor_on_the_same_port_and_nothing_is_left(laptop):
    told = laptop.ready("3")
    assert told["sentence"] == "version 3 is explained by kernel_shap"
    assert explained(told) == ("kernel_shap", "3")
    later = laptop.ready("4")
    assert later["url"] == told["url"]
    assert explained(later) == ("kernel_shap", "4")
    [process] = [one.child.process for one in laptop.explainers._running.values()]
    assert laptop.explainers.pids() == {"explainer-bike": process.pid}
    laptop.reach(asking("4", laptop.digests["4"], None), so=lambda told: not told and not laptop.explainers.pids())
    assert not alive(process)


def test_a_process_that_dies_is_started_again(laptop):
    laptop.ready("4")
    [before] = laptop.explainers.pids().values()
    os.kill(before, signal.SIGKILL)
    laptop.reach(laptop.model("4"), so=lambda told: not told.get("ready"))
    told = laptop.ready("4")
    assert laptop.explainers.pids() != {"explainer-bike": before}
    assert explained(told) == ("kernel_shap", "4")


def test_a_version_that_cannot_be_explained_says_why(laptop):
    wrong = asking("3", "0" * 64)
    told = laptop.reach(wrong, so=lambda told: "starting" not in told.get("sentence", "starting"))
    assert told["sentence"].startswith("version 3 is not explained yet: ")
    assert "digest" in told["sentence"], told
    assert not told.get("ready")


def test_without_alibis_environment_one_sentence_says_how_to_get_it(laptop, tmp_path, caplog):
    explainers = LocalExplainers(laptop.state, lambda *_: "http://127.0.0.1:9", tmp_path / "python")
    for _ in range(3):
        explainers.tend([laptop.model("3")])
    told = explainers.told()["bike"]["sentence"]
    assert told == "nothing is explained without Alibi's environment .venv-explainer: make build/stamps/explainer"
    assert explainers.pids() == {}
    assert caplog.text.count(told) == 1
