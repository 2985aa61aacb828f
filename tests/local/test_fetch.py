"""Versions through a real `mlflow server`: registered by the steps, signed by the registry, fetched by the container's program."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.local.fetch_bench import Bench
from tests.local.mlflow_server import Line, MlflowServer, Shop
from tests.unit.training.data import model
from trimtab.errors import InvalidInput, Unavailable
from trimtab.fetching import EXIT_CODES
from trimtab.manifest import verify
from trimtab.platforms.registry import KEPT, MlflowRegistry
from trimtab.platforms.signer import Signer
from trimtab.release import CandidateOutcome
from trimtab.signing import MODEL_UID_TAG, RELEASE_UID_TAG, SIGNATURE_TAGS, key_id
from trimtab.spec import Champion, Version
from trimtab.training import tracking


def test_a_signed_version_is_fetched_whole_and_not_twice(bench: Bench) -> None:
    code, said = bench.fetch()
    assert code == 0, said
    assert f"digest verified, signature verified by the key {bench.key!r}" in said
    verify(bench.models, bench.version.digest)
    assert {path.name for path in bench.models.iterdir()} >= {"manifest.json", "schema.json", "model.json", "reference.parquet"}
    code, said = bench.fetch()
    assert (code, "0 bytes came" in said) == (0, True), said


def test_while_a_key_is_replaced_servers_that_were_told_of_either_take_the_version(
    bench: Bench, server: MlflowServer, keys: dict[str, Any], tmp_path: Path
) -> None:
    ours, theirs, later = keys["ours"], keys["theirs"], keys["folder"] / "theirs.key"
    code, said = bench.fetch(certificate=theirs)
    assert code == EXIT_CODES["SignatureMismatch"]
    assert re.search(rf"the signature is of the key '{bench.key}', believed are {key_id(later)}$", said), said
    with pytest.raises(Unavailable, match=f"the signing key is '{key_id(later)}', servers believe {bench.key}: nothing is signed until"):
        MlflowRegistry(server.uri, tmp_path, Signer(later, ours)).renew(bench.model, bench.version)
    MlflowRegistry(server.uri, tmp_path, Signer(later, ours + theirs)).renew(bench.model, bench.version)
    for believed, key in ((ours, bench.key), (theirs, key_id(later))):
        code, said = bench.fetch(certificate=believed)
        assert (code, said.endswith(f"signature verified by the key '{key}'")) == (0, True), said


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
    for name in (bench.signature, MODEL_UID_TAG, RELEASE_UID_TAG):
        bench.client.set_model_version_tag("toy", other.version, name, tags[name])
    bench.uri = f"mlflow://models/toy/{other.version}?sha256={other.digest}"


def _change_signature(bench: Bench) -> None:
    tags = bench.client.get_model_version("toy", bench.version.version).tags
    bundle = json.loads(tags[bench.signature])
    signature = bundle["dsseEnvelope"]["signatures"][0]
    signature["sig"] = signature["sig"][:20] + ("A" if signature["sig"][20] != "A" else "B") + signature["sig"][21:]
    bench.tag(bench.signature, json.dumps(bundle))


def _change_digest(bench: Bench) -> None:
    last = bench.uri[-1]
    bench.uri = f"{bench.uri[:-1]}{'0' if last != '0' else '1'}"


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        pytest.param(
            _change_file, "DigestMismatch: version .*: 'model.json' of it has SHA-256 .*: the file was changed", id="a changed file"
        ),
        pytest.param(_change_manifest, "DigestMismatch: manifest.json of version .* has digest .*: the version was changed", id="manifest"),
        pytest.param(_change_digest, "SignatureMismatch: .* is of another statement than .* digest", id="a changed digest"),
        pytest.param(
            _change_signature, "SignatureMismatch: .*the signature was changed: the key '[0-9a-f]{12}' did not", id="a changed signature"
        ),
        pytest.param(_lose_file, "DigestMismatch: 'model.json' of version .* is missing from MLflow's artifacts", id="a lost file"),
        pytest.param(
            lambda bench: bench.client.delete_model_version_tag("toy", bench.version.version, bench.signature),
            "SignatureMismatch: version .* is not signed: it has no tag 'trimtab.signature.ID'",
            id="no signature",
        ),
        pytest.param(lambda bench: bench.tag(bench.signature, "{}"), "SignatureMismatch: .* is no bundle", id="a signature that is none"),
        pytest.param(
            lambda bench: bench.tag(RELEASE_UID_TAG, "uid-of-another"), "SignatureMismatch: .* another statement", id="another Release"
        ),
        pytest.param(_copy_signature, "SignatureMismatch: .* of another statement", id="a signature copied from another version"),
    ],
)
def test_what_was_changed_is_not_served(bench: Bench, harm: Any, sentence: str) -> None:
    harm(bench)
    code, said = bench.fetch()
    assert re.match(sentence, said), said
    assert code == EXIT_CODES[said.split(":")[0]]
    assert list(bench.models.iterdir()) == []


def test_options_and_uris_that_cannot_be_used_are_sentences(bench: Bench, keys: dict[str, Any]) -> None:
    uri = bench.uri
    cases: list[tuple[dict[str, Any], str]] = [
        ({"certificate": keys["theirs"]}, "SignatureMismatch: version .* the signature is of the key"),
        ({"certificate": ""}, "InvalidConfiguration: .* the signing certificate cannot be read"),
        ({"uri": uri.replace("toy/", "toy/99")}, r"NotFound: there is no version 99\d+ of 'toy' in MLflow at http"),
        ({"uri": uri.replace("sha256", "md5")}, "InvalidUri: .* has no digest"),
        ({"uri": f"{uri[:-64]}{'0' * 64}"}, "SignatureMismatch: .* another statement"),
        ({"server": "ftp://somewhere"}, "InvalidConfiguration: TRIMTAB_TRACKING_URI is 'ftp://somewhere'"),
        ({"TRIMTAB_FETCH_MAX_BYTES": "2000"}, "TooLarge: '.*' is larger than the .* bytes that may still come"),
    ]
    for options, sentence in cases:
        code, said = bench.fetch(**options)
        assert re.match(sentence, said), (options, said)
        assert code == EXIT_CODES[said.split(":")[0]]
        assert not bench.models.exists() or list(bench.models.iterdir()) == []


def test_without_a_certificate_the_digest_alone_decides(bench: Bench) -> None:
    bench.client.delete_model_version_tag("toy", bench.version.version, bench.signature)
    code, said = bench.fetch(f"{bench.uri[:-64]}{'0' * 64}", signed=False)
    assert code == EXIT_CODES["DigestMismatch"]
    assert said.startswith("DigestMismatch: manifest.json of version")
    code, said = bench.fetch(signed=False)
    assert (code, said[-26:]) == (0, "no signature was asked for")
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
    assert code == EXIT_CODES["Unavailable"]
    assert said.startswith("Unavailable: MLflow at http://127.0.0.1:"), said
    assert "gave no answer for 1 s: [Errno 111]" in said


def test_files_that_mlflow_does_not_hand_out_are_a_sentence(bench: Bench) -> None:
    made = bench.client.create_model_version("toy", "s3://bucket/model", bench.run, tags={})
    uri = bench.uri.replace(f"toy/{bench.version.version}?", f"toy/{made.version}?")
    code, said = bench.fetch(uri, signed=False)
    assert code == EXIT_CODES["InvalidVersion"]
    assert said.startswith(f"InvalidVersion: the files of version {made.version} of 'toy' are in 's3://bucket/model'")


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
    theirs = keys["folder"] / "theirs.key"
    MlflowRegistry(server.uri, tmp_path, Signer(theirs, keys["ours"] + keys["theirs"])).renew(given, version)
    after = dict(client.get_model_version("other", version.version).tags)
    assert after == {**first, f"{SIGNATURE_TAGS}{key_id(theirs)}": after[f"{SIGNATURE_TAGS}{key_id(theirs)}"]}
    MlflowRegistry(server.uri, tmp_path, Signer(theirs)).renew(given, version)
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
