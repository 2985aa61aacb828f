import os
import signal
import threading

import msgspec
import pytest

from tests.unit.platforms.local.upstreams import Load, ask
from tests.unit.serving.tiny import ROW, tiny_model, until
from trimtab.control.ports import Arm, ServingPlan
from trimtab.errors import InvalidInput, Unavailable
from trimtab.manifest import verify, write_manifest
from trimtab.platforms.local import processes
from trimtab.platforms.local.envoy import Envoy
from trimtab.platforms.local.serving import LocalServing
from trimtab.platforms.local.serving_files import version_folder
from trimtab.platforms.local.serving_process import Launch
from trimtab.platforms.local.traffic import EnvoyTraffic
from trimtab.platforms.smoke import smoke
from trimtab.spec import Data, Metadata, Model, ModelSpec, Version

MODEL = Model("trimtab.dev/v1alpha1", "Model", Metadata("bike"), ModelSpec(task="regression", data=Data(uri="x.csv", label="demand")))
BODY = msgspec.json.encode({"instances": [ROW]})


class Platform:
    """Serving with a supervisor that tends it, over a registry of two tiny versions."""

    def __init__(self, folder, **launch):
        self.state = folder / "state"
        self.registry = folder / "registry"
        self.versions = {name: Version(name, tiny_model(self.registry / name, shift)) for name, shift in (("3", 0.0), ("4", 1.0))}
        self.envoy = Envoy(self.state, processes.free_port())
        self.envoy.start()
        self.serving = LocalServing(self.envoy, Launch(self.state, **launch), self.fetch)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._tend)
        self._thread.start()

    def fetch(self, model, version):
        assert model == "bike"
        return self.registry / version.version

    def plan(self, **weights):
        self.serving.apply(ServingPlan(MODEL, tuple(Arm(self.versions[name.strip("v")], weight) for name, weight in weights.items())))

    def seen(self):
        return {served.version: served for served in self.serving.observe(MODEL)}

    def weights(self):
        return {version: served.weight for version, served in self.seen().items()}

    def reach(self, **weights):
        self.plan(**weights)
        until(lambda: self.weights() == {name.strip("v"): weight for name, weight in weights.items()}, 60)

    def predictor(self, version):
        return self.serving._predictors[f"bike/{version}"]

    def process(self, version):
        return self.predictor(version)._process

    def close(self):
        self._end.set()
        self._thread.join()
        self.serving.close()

    def _tend(self):
        while not self._end.wait(0.1):
            self.serving.tend()


@pytest.fixture
def platform(tmp_path):
    platform = Platform(tmp_path)
    yield platform
    platform.close()


def test_a_canary_comes_grows_dies_returns_and_goes_under_load_and_only_its_death_is_seen(platform):
    platform.plan(v3=100)
    assert platform.weights() == {"3": 0}, "no traffic before it is ready"
    platform.reach(v3=100)
    assert platform.serving.smoke(MODEL, platform.versions["3"]) == (True, "smoke test: 20 reference rows got their recorded predictions")
    address = platform.serving.address(MODEL, "3")
    assert ask(int(address.rsplit(":", 1)[1]), body=BODY) == (200, "3")
    traffic = EnvoyTraffic(platform.envoy)
    with Load(platform.envoy.port, body=BODY) as load:
        platform.plan(v3=80, v4=20)
        assert platform.weights() == {"3": 100, "4": 0}, "a candidate that is not ready leaves all to the champion"
        platform.reach(v3=80, v4=20)
        platform.reach(v3=50, v4=50)
        assert load.failed == {}

        _, cursor = traffic.arms(MODEL, "3", "4", 250, {})
        until(lambda seen=load.total: load.total > seen + 30)
        os.kill(platform.process("4").pid, signal.SIGKILL)
        until(lambda: platform.predictor("4").restarts == 1)
        assert platform.weights() == {"3": 50, "4": 50}, "a version that was ready keeps its share"
        until(lambda: platform.seen()["4"].ready, 60)
        restarted = platform.seen()["4"]
        assert (restarted.restarts, restarted.weight) == (1, 50)
        failed = load.failed
        [block], _ = traffic.arms(MODEL, "3", "4", 250, cursor)
        assert block.champion.errors == 0
        assert block.candidate.errors == sum(failed.values())
        assert sum(failed.values()) <= load.callers, "callers wait in the socket's queue: only what was in flight is lost"

        platform.plan(v3=100)
        until(lambda: platform.weights() == {"3": 100}, 30)
        until(lambda seen=load.total: load.total > seen + 30)
        assert load.failed == failed
    assert ask(platform.envoy.port, body=BODY) == (200, "3")
    assert platform.serving.address(MODEL, "4") is None


def test_the_gateway_dies_and_comes_back_with_the_same_weights(platform):
    platform.reach(v3=80, v4=20)
    assert ask(platform.envoy.port, body=b" " * (9 << 20))[0] == 413
    os.kill(platform.envoy._process.pid, signal.SIGKILL)
    platform.envoy._process.wait()
    with pytest.raises(Unavailable):
        platform.seen()
    until(lambda: processes.port_taken(platform.envoy.port))
    until(lambda: platform.weights() == {"3": 80, "4": 20})
    assert ask(platform.envoy.port, body=BODY)[0] == 200


def test_a_version_that_cannot_be_served_says_why_and_gets_no_traffic(platform):
    platform.reach(v3=100)
    platform.plan(v3=80, v4=20)
    with (platform.state / "versions" / "bike" / "4" / "model.json").open("ab") as stream:
        stream.write(b" ")
    os.kill(platform.process("4").pid, signal.SIGKILL)
    until(lambda: "'model.json' of the model in '4' has SHA-256" in platform.seen()["4"].fault, 60)
    found = platform.seen()
    assert (found["4"].weight, found["4"].ready, found["3"].weight) == (0, False, 100)


def test_a_kept_copy_that_was_changed_is_fetched_again_where_its_version_died_of_it(platform):
    platform.reach(v3=100)
    plan = ServingPlan(MODEL, (Arm(platform.versions["3"], 100),))
    assert platform.serving.settled(plan)
    (platform.state / "versions" / "bike" / "3" / "model.json").write_text("{}")
    assert platform.serving.settled(plan), "what it has loaded it serves on"
    os.kill(platform.process("3").pid, signal.SIGKILL)
    until(lambda: "'model.json' of the model in '3' has SHA-256" in platform.seen()["3"].fault, 60)
    assert not platform.serving.settled(plan)
    platform.serving.apply(plan)
    until(lambda: platform.seen()["3"].ready and platform.serving.settled(plan), 60)
    assert ask(platform.envoy.port, body=BODY) == (200, "3")


def test_a_version_that_does_not_have_its_digest_is_refused_and_nothing_changes(platform):
    platform.reach(v3=100)
    (platform.registry / "4" / "metrics.json").write_text("{}")
    with pytest.raises(InvalidInput, match=r"'metrics.json' of the model in '4'"):
        platform.plan(v3=80, v4=20)
    assert platform.weights() == {"3": 100}
    platform.versions["3"] = Version("3", "0" * 64)
    with pytest.raises(InvalidInput, match="a version never changes"):
        platform.plan(v3=100)


def test_a_kept_copy_is_used_again_and_a_changed_one_is_fetched_again(tmp_path):
    version = Version("3", tiny_model(tmp_path / "registry"))
    fetched = []

    def fetch(model, version):
        fetched.append((model, version.version))
        return tmp_path / "registry"

    folder = version_folder(tmp_path, "bike", version, fetch)
    assert version_folder(tmp_path, "bike", version, fetch) == folder
    assert fetched == [("bike", "3")]
    (folder / "model.json").unlink()
    version_folder(tmp_path, "bike", version, fetch)
    assert fetched == [("bike", "3")] * 2
    verify(folder, version.digest)
    tiny_model(tmp_path / "without", 1.0)
    (tmp_path / "without" / "reference.parquet").unlink()
    assert smoke(tmp_path / "without", "http://127.0.0.1:1/")[1].startswith("smoke test: reference.parquet of the model in 'without'")


def test_a_version_that_answers_other_predictions_fails_its_smoke_test(platform):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = platform.registry / "4" / "reference.parquet"
    table = pq.read_table(path)
    place = table.column_names.index("__prediction")
    shifted = pa.array([value + 1 for value in table["__prediction"].to_pylist()])
    pq.write_table(table.set_column(place, "__prediction", shifted), path)
    platform.versions["4"] = Version("4", write_manifest(platform.registry / "4"))
    assert platform.serving.smoke(MODEL, platform.versions["4"]) == (False, "version '4' of 'bike' is not served")
    platform.plan(v3=100, v4=0)
    until(lambda: platform.seen()["4"].ready, 60)
    good, sentence = platform.serving.smoke(MODEL, platform.versions["4"])
    assert not good
    assert "20 of 20 predictions differ" in sentence
