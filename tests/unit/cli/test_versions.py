"""`trimtab lineage` and `trimtab reproduce` on a state folder with a real registry: what they say, and how they end."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.unit.platforms.kubernetes.api_server import ApiServer, kubeconfig, running
from tests.unit.training.data import model
from tests.unit.training.workshop import Workshop
from trimtab.cli.lineage import show_lineage
from trimtab.cli.reproduce import make_again
from trimtab.cli.versions import target
from trimtab.errors import InvalidInput
from trimtab.platforms.kubernetes.resources import MODELS
from trimtab.platforms.local.objects import SqliteObjects
from trimtab.platforms.local.state import State
from trimtab.release import Phase, Release, ReleaseSpec, ReleaseStatus, Request
from trimtab.spec import Champion, Metadata, Model, ModelStatus, Version, recipe
from trimtab.training import tracking

CUT = datetime(2024, 1, 17, tzinfo=UTC)
TRIMTAB = str(Path(sys.executable).parent / "trimtab")


class Shop:
    """A state folder: the toy Model, a Release that made version 1, and one that nobody's version came of."""

    def __init__(self, folder: Path) -> None:
        self.workshop, self.folder = Workshop(folder), folder
        self.objects = SqliteObjects(State(folder).database)
        self.model = self.objects.create(model(self.workshop.spec))
        request = Request("performance", "/models/default/toy", "finding-7", CUT, by="ada", sentence="rmse was 1.3 times the validation's")
        asked = self.objects.create(
            Release(Metadata("toy-1a2b3c"), ReleaseSpec("toy", "uid-of-the-model", recipe(self.workshop.spec), request))
        )
        self.version = self.workshop.version(asked.metadata.uid)
        self.status = ReleaseStatus(phase=Phase.PROMOTED, candidate=self.version, attempt=1, sentence="it bakes no longer")
        self.release = self.objects.write_status(replace(asked, status=self.status))

    def crown(self, version: Version | None) -> None:
        """Make the version the champion."""
        found = self.objects.get(Model, "default", "toy")
        assert found
        status = ModelStatus(Champion(version.version, version.digest, 1, "toy-1a2b3c")) if version else ModelStatus()
        self.objects.write_status(replace(found, status=status))

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """The real command on this state folder."""
        command = [TRIMTAB, *words, "--state", str(self.folder)]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("shop"))


def told(shop: Shop, capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    show_lineage(list(words), shop.folder, None, "", as_json=True)
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_version_leads_back_to_the_event_and_on_to_what_became_of_it(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    shop.crown(shop.version)
    found = told(shop, capsys, "toy", "1")
    request = found["release"]["request"]
    assert (request["trigger"], request["source"], request["id"], request["by"]) == (
        "performance",
        "/models/default/toy",
        "finding-7",
        "ada",
    )
    assert found["lineage"]["data"]["digest"] == next(shop.workshop.dataset.glob("*.parquet")).stem
    assert found["lineage"]["parameters"]["rounds"] > 1
    assert found["run"] == tracking.client(shop.workshop.uri).get_model_version("toy", "1").run_id
    assert found["digest"] == shop.version.digest
    assert {gate["passed"] for gate in found["gates"]} == {True}
    assert found["champion"] is True
    assert found["releases"] == [{"name": "toy-1a2b3c", "phase": "Promoted", "promoted": True, "sentence": "it bakes no longer"}]


def test_people_read_the_same_in_lines(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    shop.crown(None)
    show_lineage(["1"], shop.folder, None, "", as_json=False)
    told = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if not line.startswith("asked by")]
    lines = dict(reversed([tuple(line) for line in told]))
    assert lines["version"] == "1 of toy, not the champion"
    assert lines["event"] == "/models/default/toy finding-7"
    assert lines["data"].startswith("400 rows of ")
    assert lines["estimator"].startswith("xgboost, seed 7: ")
    assert lines["gate"].startswith("passed: rmse better than a model without features: ")
    assert lines["released"] == "by toy-1a2b3c (Promoted)"


def test_a_version_whose_release_is_gone_is_told_all_the_same(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    shop.workshop.version("uid-gone")
    found = told(shop, capsys, "2")
    assert (found["release"], found["lineage"]["releaseUid"]) == (None, "uid-gone")
    show_lineage(["2"], shop.folder, None, "", as_json=False)
    said = capsys.readouterr().out
    assert "toy-uid-gone (it is gone)" in said
    assert "released   by none of the Releases there are" in said


def test_a_changed_lineage_is_refused(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    version = shop.workshop.version("uid-changed")
    run = tracking.client(shop.workshop.uri).get_model_version("toy", version.version).run_id
    path = shop.folder / "mlartifacts" / "toy" / run / "artifacts" / "model" / "lineage.json"
    path.write_text(path.read_text().replace("uid-changed", "uid-forged"))
    with pytest.raises(InvalidInput, match=r"lineage\.json of version \d+ of 'toy' is not the one that was registered"):
        told(shop, capsys, version.version)


WRONG = {
    "an unknown version": (("99",), "there is no version '99' of 'toy' in the registry, its versions are 1"),
    "an unknown Model": (("ghost", "1"), "there is no version '1' of 'ghost' in the registry, nor any other of a model of that name"),
    "a version that is no number": (("toy", "newest"), "found 'newest' as VERSION; a version's number is allowed, such as 7"),
    "too many words": (("toy", "1", "2"), "found 3 words; [MODEL] VERSION is allowed"),
}


@pytest.mark.parametrize("command", ["lineage", "reproduce"])
@pytest.mark.parametrize(("words", "sentence"), WRONG.values(), ids=WRONG.keys())
def test_what_is_not_there_is_one_sentence(command: str, words: tuple[str, ...], sentence: str, shop: Shop) -> None:
    say = show_lineage if command == "lineage" else make_again
    with pytest.raises(InvalidInput) as caught:
        say(list(words), shop.folder, None, "", as_json=True)
    assert str(caught.value).startswith(sentence)


def test_the_commands_end_with_0_1_or_2(shop: Shop) -> None:
    assert shop.run("lineage", "1").returncode == 0
    missing = shop.run("lineage", "99")
    assert (missing.returncode, missing.stderr.count("\n")) == (2, 1)
    done = shop.run("reproduce", "1")
    assert (done.returncode, done.stdout.splitlines()[0].split(": ", 1)) == (
        0,
        ["version 1 of 'toy'", "the same: all 400 reference rows get the prediction that was recorded, down to the model's file"],
    )


def test_rows_that_were_not_kept_are_read_again_and_said_to_differ(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    version = shop.workshop.version("uid-unkept")
    run = tracking.client(shop.workshop.uri).get_model_version("toy", version.version).run_id
    for kept in (shop.folder / "mlartifacts" / "toy" / run / "artifacts" / "data").iterdir():
        kept.unlink()
    assert make_again([version.version], shop.folder, None, "", as_json=False)
    assert f"read again from '{shop.workshop.spec.data.uri}', for the run kept none" in capsys.readouterr().out
    data = Path(shop.workshop.spec.data.uri)
    before = data.read_text()
    try:
        data.write_text(before.replace(",red,", ",blue,"))
        assert not make_again([version.version], shop.folder, None, "", as_json=True)
        found = json.loads(capsys.readouterr().out)
        assert found["sentence"].startswith("not the same: ")
        assert found["result"]["differences"][0].startswith("the rows have SHA-256 ")
        assert shop.run("reproduce", version.version).returncode == 1
        data.unlink()
        with pytest.raises(
            InvalidInput, match=rf"version {version.version} of 'toy': its run kept no rows, and they cannot be read again: data"
        ):
            make_again([version.version], shop.folder, None, "", as_json=True)
    finally:
        data.write_text(before)


@pytest.fixture
def namespace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A cluster whose namespace `crm` has the Model `toy`; nothing says where its MLflow is."""
    with running() as server:
        path = tmp_path / "kubeconfig"
        path.write_text(kubeconfig(server.url))
        monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(path))
        monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield server


def test_in_a_namespace_the_registered_name_carries_it_and_mlflow_must_be_named(
    namespace: ApiServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import msgspec

    from tests.unit.rollout.cases import SPEC

    namespace.put(MODELS, "crm", "toy", metadata={"uid": "u"}, spec=msgspec.to_builtins(SPEC), status={})
    with pytest.raises(InvalidInput, match="Name its address with --tracking-uri or MLFLOW_TRACKING_URI"):
        target(["1"], tmp_path, "crm", "")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example:5000")
    found = target(["1"], tmp_path, "crm", "")
    assert (found.registered, found.tracking_uri) == ("crm.toy", "http://mlflow.example:5000")
    gone = target(["ghost", "3"], tmp_path, "crm", "http://other:5000")
    assert (gone.model, gone.registered, gone.tracking_uri) == (None, "crm.ghost", "http://other:5000")
