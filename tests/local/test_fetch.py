"""Versions through a real `mlflow server`: registered by the steps, signed by the registry, fetched by the container's program."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.local.mlflow_server import Line, MlflowServer, Shop
from tests.unit.test_signing import write_key
from tests.unit.training.data import model
from trimtab.errors import InvalidInput, Unavailable
from trimtab.manifest import verify
from trimtab.platforms.registry import KEPT, MlflowRegistry
from trimtab.release import CandidateOutcome
from trimtab.signing import MODEL_UID_TAG, RELEASE_UID_TAG, SIGNATURE_TAG
from trimtab.spec import Champion, Version
from trimtab.training import tracking


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    made = MlflowServer(tmp_path_factory.mktemp("mlflow"))
    yield made
    made.end()


@pytest.fixture(scope="module")
def shop(server: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("shop"), server)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The controller's key and certificate, and a stranger's."""
    folder = tmp_path_factory.mktemp("keys")
    certificates = {name: write_key(folder / f"{name}.key") for name in ("ours", "theirs")}
    return {"folder": folder, **certificates}


@pytest.fixture(scope="module")
def registry(server: MlflowServer, keys: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> MlflowRegistry:
    return MlflowRegistry(server.uri, tmp_path_factory.mktemp("cache"), keys["folder"] / "ours.key")


@pytest.fixture(scope="module")
def client(server: MlflowServer) -> Any:
    return tracking.client(server.uri)


class Bench:
    """A signed version of its own for a test, and the program that fetches it."""

    def __init__(self, shop: Shop, registry: MlflowRegistry, client: Any, certificate: str, uid: str, folder: Path) -> None:
        self.shop, self.client, self.certificate, self.folder = shop, client, certificate, folder
        self.version = shop.put(uid)
        self.model = model(shop.spec)
        registry.sign(self.model, self.version, uid)
        self.run = client.get_model_version("toy", self.version.version).run_id
        self.uri = f"mlflow://models/toy/{self.version.version}?sha256={self.version.digest}"
        self.models = folder / "models"

    def start(self, uri: str = "", server: str = "", certificate: str | None = None, **environment: str) -> "subprocess.Popen[str]":
        """The program, started."""
        known = {name: value for name, value in os.environ.items() if not name.startswith("TRIMTAB_")}
        known |= {"TRIMTAB_TRACKING_URI": server or self.shop.server.uri, "TRIMTAB_FETCH_PATIENCE_SECONDS": "30", **environment}
        known["TRIMTAB_SIGNING_CERTIFICATE"] = self.certificate if certificate is None else certificate
        command = [sys.executable, "-m", "serving.fetch", uri or self.uri, str(self.models)]
        return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=known)

    def fetch(self, *arguments: Any, **options: Any) -> tuple[int, str]:
        """Exit code and last line on stderr."""
        process = self.start(*arguments, **options)
        said = process.communicate(timeout=120)[1]
        return process.returncode, said.strip().splitlines()[-1]

    def tag(self, name: str, value: str) -> None:
        """Put a tag on the version, as anybody who reaches MLflow can."""
        self.client.set_model_version_tag("toy", self.version.version, name, value)


@pytest.fixture
def bench(shop: Shop, registry: MlflowRegistry, client: Any, keys: dict[str, Any], tmp_path: Path) -> Bench:
    return Bench(shop, registry, client, keys["ours"], f"uid-{tmp_path.name}", tmp_path)


def test_a_signed_version_is_fetched_whole_and_not_twice(bench: Bench) -> None:
    code, said = bench.fetch()
    assert code == 0, said
    assert "digest verified, signature verified" in said
    verify(bench.models, bench.version.digest)
    assert {path.name for path in bench.models.iterdir()} >= {"manifest.json", "schema.json", "model.json", "reference.parquet"}
    code, said = bench.fetch()
    assert (code, "0 bytes came" in said) == (0, True), said


def test_a_fetch_that_was_killed_is_taken_up(bench: Bench) -> None:
    assert bench.fetch()[0] == 0
    (bench.models / "manifest.json").unlink()
    (bench.models / "model.json").write_text("half")
    (bench.models / ".trimtab-fetch-killed").mkdir()
    (bench.models / ".trimtab-fetch-killed" / "model.json").write_text("half")
    assert bench.fetch()[0] == 0
    verify(bench.models, bench.version.digest)


def _change_file(bench: Bench) -> None:
    path = bench.shop.file(bench.run, "model.json")
    path.write_text(path.read_text().replace("1", "2", 1))


def _change_manifest(bench: Bench) -> None:
    path = bench.shop.file(bench.run, "manifest.json")
    path.write_bytes(path.read_bytes() + b"\n")


def _lose_file(bench: Bench) -> None:
    bench.shop.file(bench.run, "model.json").unlink()


def _copy_signature(bench: Bench) -> None:
    other = bench.shop.put(f"{bench.run}-other")
    tags = bench.client.get_model_version("toy", bench.version.version).tags
    for name in (SIGNATURE_TAG, MODEL_UID_TAG, RELEASE_UID_TAG):
        bench.client.set_model_version_tag("toy", other.version, name, tags[name])
    bench.uri = f"mlflow://models/toy/{other.version}?sha256={other.digest}"


@pytest.mark.parametrize(
    ("harm", "code", "sentence"),
    [
        pytest.param(
            _change_file, 2, "DigestMismatch: version .*: 'model.json' of it has SHA-256 .*: the file was changed", id="a changed file"
        ),
        pytest.param(
            _change_manifest, 2, "DigestMismatch: manifest.json of version .* has digest .*: the version was changed", id="manifest"
        ),
        pytest.param(_lose_file, 2, "DigestMismatch: 'model.json' of version .* is missing from MLflow's artifacts", id="a lost file"),
        pytest.param(
            lambda bench: bench.client.delete_model_version_tag("toy", bench.version.version, SIGNATURE_TAG),
            2,
            "SignatureMismatch: version .* is not signed: it has no tag 'trimtab.signature'",
            id="no signature",
        ),
        pytest.param(lambda bench: bench.tag(SIGNATURE_TAG, "{}"), 2, "SignatureMismatch: .* is no bundle", id="a signature that is none"),
        pytest.param(
            lambda bench: bench.tag(RELEASE_UID_TAG, "uid-of-another"), 2, "SignatureMismatch: .* another statement", id="another Release"
        ),
        pytest.param(_copy_signature, 2, "SignatureMismatch: .* of another statement", id="a signature copied from another version"),
    ],
)
def test_what_was_changed_is_not_served(bench: Bench, harm: Any, code: int, sentence: str) -> None:
    harm(bench)
    found, said = bench.fetch()
    assert found == code, said
    assert re.match(sentence, said), said
    assert list(bench.models.iterdir()) == []


def test_options_and_uris_that_cannot_be_used_are_sentences(bench: Bench, keys: dict[str, Any]) -> None:
    uri = bench.uri
    cases: list[tuple[dict[str, Any], str]] = [
        ({"certificate": keys["theirs"]}, "SignatureMismatch: version .* the signature is of the key"),
        ({"certificate": ""}, "InvalidConfiguration: .* the signing certificate cannot be read"),
        ({"uri": uri.replace("toy/", "toy/99")}, r"InvalidUri: there is no version 99\d+ of 'toy' in MLflow at http"),
        ({"uri": uri.replace("sha256", "md5")}, "InvalidUri: .* has no digest"),
        ({"uri": f"{uri[:-64]}{'0' * 64}"}, "SignatureMismatch: .* another statement"),
        ({"server": "ftp://somewhere"}, "InvalidConfiguration: TRIMTAB_TRACKING_URI is 'ftp://somewhere'"),
        ({"TRIMTAB_FETCH_MAX_BYTES": "2000"}, "InvalidVersion: '.*' is larger than the .* bytes that may still come"),
    ]
    for options, sentence in cases:
        code, said = bench.fetch(**options)
        assert code == 2, (options, said)
        assert re.match(sentence, said), said
        assert not bench.models.exists() or list(bench.models.iterdir()) == []


def test_without_a_certificate_the_digest_alone_decides(bench: Bench) -> None:
    bench.client.delete_model_version_tag("toy", bench.version.version, SIGNATURE_TAG)
    environment = {name: value for name, value in os.environ.items() if name != "TRIMTAB_SIGNING_CERTIFICATE"}
    command = [sys.executable, "-m", "serving.fetch", f"{bench.uri[:-64]}{'0' * 64}", str(bench.models)]
    found = subprocess.run(
        command, env={**environment, "TRIMTAB_TRACKING_URI": bench.shop.server.uri}, capture_output=True, text=True, check=False
    )
    assert found.returncode == 2
    assert found.stderr.splitlines()[-1].startswith("DigestMismatch: manifest.json of version")
    command[3] = bench.uri
    subprocess.run(command, env={**environment, "TRIMTAB_TRACKING_URI": bench.shop.server.uri}, check=True)
    verify(bench.models, bench.version.digest)


def test_a_server_that_comes_later_and_answers_that_break_off_are_waited_for(bench: Bench) -> None:
    line = Line(bench.shop.server.port)
    process = bench.start(server=line.uri)
    assert process.stderr is not None
    assert "once more in" in process.stderr.readline()
    line.cuts = [50, 1 << 40, 400, 900]
    line.up()
    try:
        said = process.communicate(timeout=120)[1]
        assert process.returncode == 0, said
        assert line.cuts == []
        verify(bench.models, bench.version.digest)
    finally:
        line.down()


def test_a_server_that_stays_away_is_unavailable(bench: Bench) -> None:
    code, said = bench.fetch(server=Line(0).uri, TRIMTAB_FETCH_PATIENCE_SECONDS="1")
    assert code == 1
    assert said.startswith("Unavailable: MLflow at http://127.0.0.1:"), said
    assert "gave no answer for 1 s: [Errno 111]" in said


def test_files_that_mlflow_does_not_hand_out_are_a_sentence(bench: Bench) -> None:
    made = bench.client.create_model_version("toy", "s3://bucket/model", bench.run, tags={})
    uri = bench.uri.replace(f"toy/{bench.version.version}?", f"toy/{made.version}?")
    known = {**os.environ, "TRIMTAB_TRACKING_URI": bench.shop.server.uri}
    known.pop("TRIMTAB_SIGNING_CERTIFICATE", None)
    command = [sys.executable, "-m", "serving.fetch", uri, str(bench.models)]
    found = subprocess.run(command, env=known, capture_output=True, text=True, check=False)
    assert found.returncode == 2
    assert found.stderr.splitlines()[-1].startswith(
        f"InvalidVersion: the files of version {made.version} of 'toy' are in 's3://bucket/model'"
    )


def test_the_registry_works_over_http(
    shop: Shop, registry: MlflowRegistry, client: Any, keys: dict[str, Any], tmp_path: Path, server: MlflowServer
) -> None:
    version = shop.put("uid-http", "other")
    outcome = registry.outcome("uid-http", 1)
    assert isinstance(outcome, CandidateOutcome)
    assert Version(outcome.version, outcome.digest) == version
    registry.project("other", Champion(version.version, version.digest))
    assert str(client.get_model_version_by_alias("other", "champion").version) == version.version
    assert [item.version for item in registry.history("other")] == [version]
    given = model(shop.spec, "other")
    registry.sign(given, version, "uid-http")
    first = dict(client.get_model_version("other", version.version).tags)
    registry.sign(given, version, "uid-of-a-later-release")
    assert dict(client.get_model_version("other", version.version).tags) == first
    MlflowRegistry(server.uri, tmp_path, keys["folder"] / "theirs.key").sign(given, version, "uid-later")
    after = client.get_model_version("other", version.version).tags
    assert after[SIGNATURE_TAG] != first[SIGNATURE_TAG]
    assert after[RELEASE_UID_TAG] == "uid-later"
    MlflowRegistry(server.uri, tmp_path).sign(given, version, "uid-nobody")
    assert client.get_model_version("other", version.version).tags == after


def test_a_version_that_was_fetched_is_there_while_mlflow_is_down_and_mended_when_it_is_back(shop: Shop, tmp_path: Path) -> None:
    line = Line(shop.server.port)
    line.up()
    registry = MlflowRegistry(line.uri, tmp_path)
    versions = [shop.put(f"uid-cache-{number}", "cached") for number in range(KEPT + 1)]
    folder = registry.fetch("cached", versions[0])
    line.down()
    try:
        assert registry.fetch("cached", versions[0]) == folder
        with pytest.raises(Unavailable, match="MLflow"):
            registry.fetch("cached", versions[1])
        line.up()
        (folder / "model.json").write_text("changed here")
        verify(registry.fetch("cached", versions[0]), versions[0].digest)
        with pytest.raises(InvalidInput, match="the version was changed"):
            registry.fetch("cached", msgspec.structs.replace(versions[0], digest="0" * 64))
        for version in versions:
            registry.fetch("cached", version)
        assert sorted(path.name for path in folder.parent.iterdir()) == sorted(version.version for version in versions[1:])
    finally:
        line.down()


def test_training_compares_with_a_champion_that_it_fetches_over_http(shop: Shop, tmp_path: Path) -> None:
    version = shop.put("uid-champion", "compared")
    folder = tracking.fetch(f"mlflow://models/compared/{version.version}?sha256={version.digest}", shop.server.uri, tmp_path)
    verify(folder, version.digest)
