"""`trimtab lineage` back to the source: the package of the pipeline, its signature, who approved; and what it says of what is gone."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from tests.unit.audit.drafts import draft
from tests.unit.platforms.test_packages import a_key, a_package
from tests.unit.training.cards import lineage as usual
from tests.unit.training.data import model
from trimtab.audit.record import Asked
from trimtab.cli.lineage import show_lineage, show_sbom
from trimtab.errors import InvalidInput
from trimtab.manifest import sha256, write_manifest
from trimtab.package import BUILT_IN, COMPILED, SBOM
from trimtab.platforms.local.ledger import SqliteLedger
from trimtab.platforms.local.objects import SqliteObjects
from trimtab.platforms.local.state import State
from trimtab.platforms.packages import MlflowPackages
from trimtab.release import Phase, Release, ReleaseSpec, ReleaseStatus, Request
from trimtab.spec import Champion, Data, Metadata, ModelSpec, PipelinePolicy, PipelineVersion, Version
from trimtab.training import tracking
from trimtab.training.lineage import LINEAGE, encode

CUT = datetime(2024, 3, 1, tzinfo=UTC)
YES = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
REQUEST = Request("pipeline", "/pipelinerollouts/default/churn-stable-1-4-0", "1.4.0/toy", CUT, sentence="churn 1.4.0 is new on stable")
TOY = Release(Metadata("toy-1a2b3c", uid="uid-of-a-release"), ReleaseSpec("toy", "uid-of-the-model", "r", REQUEST))


class Shop:
    """A state folder with the Model `toy`, which believes CI's key; versions and packages are put into its MLflow."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.uri = folder, State(folder).tracking_uri
        self.key, public = a_key(folder, "ci")
        self.objects = SqliteObjects(State(folder).database)
        spec = ModelSpec("regression", Data("s3://crm/rows/*.parquet", "amount"), pipeline_policy=PipelinePolicy((public,)))
        self.objects.create(model(spec))
        self.packages = MlflowPackages(self.uri, folder / "kept")
        self._client = tracking.client(self.uri)
        self._client.create_registered_model("toy")
        self._experiment = self._client.create_experiment("toy", artifact_location=f"{tracking.artifact_root(self.uri)}/toy")

    def publish(self, version: str, key: Path | None = None) -> PipelineVersion:
        return self.packages.publish(a_package(self.folder / version, version), key or self.key)

    def stored(self, name: str, version: str) -> Path:
        """The file of a published package where MLflow keeps it."""
        (found,) = (self.folder / "mlartifacts" / "pipelines" / "churn" / version).rglob(name)
        return found

    def version(self, pipeline: PipelineVersion, release: Release = TOY) -> Version:
        """A version as register leaves it, whose lineage names that pipeline."""
        made = self.folder / f"made-{release.metadata.uid}-{pipeline.version}"
        made.mkdir()
        (made / LINEAGE).write_bytes(encode(replace(usual(), pipeline=pipeline)))
        digest = write_manifest(made)
        run = self._client.create_run(self._experiment).info
        self._client.log_artifacts(run.run_id, str(made), tracking.MODEL_PATH)
        tags = {tracking.DIGEST: digest, tracking.RELEASE: release.name, tracking.RELEASE_UID: release.metadata.uid}
        known = self._client.create_model_version("toy", f"{run.artifact_uri}/{tracking.MODEL_PATH}", run.run_id, tags=tags)
        return Version(str(known.version), digest)

    def record(self, release: Release, version: Version) -> None:
        """Its decisions: admitted, awaited, approved by a person, made champion."""
        ledger, last = SqliteLedger(State(self.folder).database), None
        stands = replace(release, status=ReleaseStatus(phase=Phase.AWAITING_APPROVAL))
        crowned = Champion(version.version, version.digest, 1, release.name)
        asked = Asked("pipeline", REQUEST.source, REQUEST.id, CUT, "r", sentence=REQUEST.sentence)
        for drafted in (
            draft(release, asked=asked, at=YES.replace(hour=8)),
            draft(release, "CandidateReady", Phase.AWAITING_APPROVAL, candidate=version, at=YES.replace(hour=9, minute=0)),
            draft(stands, "Approved", Phase.ROLLOUT, candidate=version, by="ada", sentence="ada approved: I looked at its card", at=YES),
            draft(stands, "ChampionSwapped", Phase.ROLLOUT, candidate=version, champion=crowned, at=YES.replace(hour=10)),
        ):
            last = ledger.append(drafted, last)
        ledger.close()

    def told(self, capsys: pytest.CaptureFixture[str], version: Version, name: str = "toy") -> dict[str, Any]:
        show_lineage([name, version.version], self.folder, None, "", as_json=True)
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    def lines(self, capsys: pytest.CaptureFixture[str], version: Version) -> dict[str, str]:
        """What people read, by what a line tells."""
        show_lineage(["toy", version.version], self.folder, None, "", as_json=False)
        return {line[:10].strip(): line[11:] for line in capsys.readouterr().out.splitlines()}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("shop"))


def test_a_version_leads_back_to_the_source_the_images_and_who_approved(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    pipeline = shop.publish("1.4.0")
    release = shop.objects.create(TOY)
    version = shop.version(pipeline, release)
    shop.record(release, version)
    lines = shop.lines(capsys, version)
    assert lines["asked by"] == "pipeline: churn 1.4.0 is new on stable"
    assert lines["event"] == "/pipelinerollouts/default/churn-stable-1-4-0 1.4.0/toy"
    assert lines["admitted"] == "2026-03-02 08:30:00"
    assert lines["approved"] == "by ada at 2026-03-02 09:30:00: ada approved: I looked at its card"
    assert lines["promoted"] == "2026-03-02 10:30:00, by toy-1a2b3c"
    assert lines["snapshot"] == "d" * 64
    assert lines["pipeline"].startswith("churn 1.4.0, recipe ")
    assert lines["package"] == pipeline.digest
    assert lines["source"] == "commit c0ffee of the pipeline's repository, by Trimtab 0.1.0"
    assert lines["image"] == "shop:1"
    assert lines["sbom"] == f"{sha256(shop.folder / '1.4.0' / SBOM)} (--sbom prints it)"
    assert lines["signature"] == "verified by a key that the Model believes"

    found = shop.told(capsys, version)
    assert (found["package"]["verified"], found["package"]["sentence"]) == (True, "")
    assert (found["package"]["manifest"]["commit"], *found["package"]["manifest"]["tasks"].values()) == ("c0ffee", "shop:1")
    assert found["lineage"]["pipeline"] == msgspec.to_builtins(pipeline)
    assert found["course"]["approval"]["by"] == "ada"
    assert found["course"]["asked"]["id"] == "1.4.0/toy"

    show_sbom([version.version], shop.folder, None, "")
    assert capsys.readouterr().out == (shop.folder / "1.4.0" / SBOM).read_text()


def test_a_release_that_is_gone_is_told_by_the_audit_records(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    gone = replace(TOY, metadata=Metadata("toy-gone", uid="uid-gone"))
    version = shop.version(shop.publish("1.4.1"), gone)
    assert shop.lines(capsys, version)["asked by"] == "unknown: no audit record tells"
    shop.record(gone, version)
    lines = shop.lines(capsys, version)
    assert lines["release"] == "toy-gone (it is gone)"
    assert lines["asked by"] == "pipeline: churn 1.4.0 is new on stable"
    assert lines["approved"].startswith("by ada at ")
    assert shop.told(capsys, version)["release"] is None


def a_stranger(shop: Shop, pipeline: PipelineVersion) -> None:
    """The package stays as it is."""


def deleted(shop: Shop, pipeline: PipelineVersion) -> None:
    client = tracking.client(shop.uri)
    client.delete_experiment(client.get_experiment_by_name(f"pipelines/{pipeline.name}/{pipeline.version}").experiment_id)


def changed(shop: Shop, pipeline: PipelineVersion) -> None:
    shop.stored(COMPILED, pipeline.version).write_text("root: {dag: {}}\n")


WRONG: dict[str, tuple[str, Callable[[Shop, PipelineVersion], None], str, str]] = {
    "deleted from MLflow": ("2.0.0", deleted, "package", "which cannot be shown: there is no pipeline churn 2.0.0"),
    "a file of it changed": (
        "2.0.1",
        changed,
        "package",
        "which cannot be shown: PackageRefused: 'pipeline.yaml' of the package churn 2.0.1",
    ),
    "signed by nobody that the Model believes": ("2.0.2", a_stranger, "signature", "not verified: PackageRefused: none of the 1 keys"),
}


@pytest.mark.parametrize(("number", "harm", "line", "sentence"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_with_a_package_is_said(
    shop: Shop, capsys: pytest.CaptureFixture[str], number: str, harm: Callable[..., None], line: str, sentence: str
) -> None:
    stranger, _ = a_key(shop.folder, "stranger")
    pipeline = shop.publish(number, stranger if harm is a_stranger else None)
    version = shop.version(pipeline)
    harm(shop, pipeline)
    lines = shop.lines(capsys, version)
    assert sentence in lines[line]
    assert ("source" in lines) == (harm is a_stranger), "what is not the package that ran is not shown as if it were"
    package = shop.told(capsys, version)["package"]
    assert package["verified"] is False
    assert sentence.split(": ", 1)[1] in package["sentence"]
    if harm is not a_stranger:
        with pytest.raises(InvalidInput, match=rf"version {version.version} of 'toy' has no SBOM to show: "):
            show_sbom([version.version], shop.folder, None, "")


def test_the_pipeline_that_comes_with_trimtab_has_no_package(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    version = shop.version(BUILT_IN)
    assert shop.lines(capsys, version)["package"] == "none: the pipeline comes with Trimtab"
    assert shop.told(capsys, version)["package"] is None
    with pytest.raises(InvalidInput, match="has no SBOM to show: no package of its pipeline is recorded"):
        show_sbom([version.version], shop.folder, None, "")


def test_keys_go_with_their_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shop = Shop(tmp_path)
    version = shop.version(shop.publish("1.0.0"))
    State(tmp_path).database.rename(tmp_path / "away.db")
    SqliteObjects(State(tmp_path).database)
    lines = shop.lines(capsys, version)
    assert lines["version"].endswith("of a Model that is gone")
    assert lines["signature"] == "not verified: the Model is gone, and with it the keys that it believed"
    assert lines["source"].startswith("commit c0ffee")
