"""Signatures by real keys: what was signed verifies, and nothing else does."""

import base64
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from trimtab.errors import InvalidInput
from trimtab.signing import Statement, believed, key_id, sign, signed_by, verify

GIVEN = Statement("uid-of-the-model", "7", "ab" * 32, "uid-of-the-release")


def write_key(path: Path, key: Any = None, password: bytes = b"") -> str:
    """Write a private key to `path`; returns a self-signed certificate of it, long expired."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption))
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "trimtab")])
    then = datetime.now(UTC) - timedelta(days=90)
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    built = built.serial_number(1).not_valid_before(then).not_valid_after(then + timedelta(days=1))
    return built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return tmp_path / "tls.key"


@pytest.fixture
def certificate(key: Path) -> str:
    return write_key(key)


def test_a_statement_that_was_signed_verifies_for_that_statement_and_key(key: Path, certificate: str, tmp_path: Path) -> None:
    bundle = sign(GIVEN, key)
    assert verify(GIVEN, [bundle], certificate) == key_id(key)
    assert signed_by(GIVEN, bundle, key)
    write_key(tmp_path / "other.key")
    assert not signed_by(GIVEN, bundle, tmp_path / "other.key")


@pytest.mark.parametrize("part", ["model_uid", "version", "digest", "release_uid"])
def test_each_part_of_the_statement_is_signed(key: Path, certificate: str, part: str) -> None:
    bundle, other = sign(GIVEN, key), msgspec.structs.replace(GIVEN, **{part: "another"})
    with pytest.raises(InvalidInput, match=r"^SignatureMismatch: the signature is of another statement than model uid .*'another'"):
        verify(other, [bundle], certificate)
    assert not signed_by(other, bundle, key)


def test_a_new_key_is_believed_beside_the_old_one_and_an_unknown_one_is_not(key: Path, certificate: str, tmp_path: Path) -> None:
    newer = write_key(tmp_path / "newer.key")
    for signer in (key, tmp_path / "newer.key"):
        assert verify(GIVEN, [sign(GIVEN, signer)], newer + certificate) == key_id(signer)
    old, new = key_id(key), key_id(tmp_path / "newer.key")
    assert believed(newer + certificate) == [new, old]
    with pytest.raises(InvalidInput, match=rf"^SignatureMismatch: the signature is of the key '{old}', believed are {new}$"):
        verify(GIVEN, [sign(GIVEN, key)], newer)


def test_of_several_signatures_one_that_is_believed_is_enough(key: Path, certificate: str, tmp_path: Path) -> None:
    write_key(tmp_path / "other.key")
    other, mine = sign(GIVEN, tmp_path / "other.key"), sign(GIVEN, key)
    stale = sign(msgspec.structs.replace(GIVEN, version="6"), key)
    for bundles in ([mine, other], [other, mine], ["{}", mine], [stale, mine], [forged(mine), mine]):
        assert verify(GIVEN, bundles, certificate) == key_id(key)
    with pytest.raises(InvalidInput, match=r"^SignatureMismatch: the signature is of another statement"):
        verify(GIVEN, [other, stale], certificate)
    with pytest.raises(InvalidInput, match=r"^SignatureMismatch: there is no signature, believed are [0-9a-f]{12}$"):
        verify(GIVEN, [], certificate)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not on the PATH")
def test_a_key_that_openssl_makes_signs_and_its_id_is_what_openssl_says(certificate: str, tmp_path: Path) -> None:
    """By the commands of docs/operations.md."""
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj /CN=trimtab-signing"
    told = "openssl x509 -in new.crt -noout -pubkey | sha256sum | cut -c1-12"
    (tmp_path / "old.crt").write_text(certificate)
    command = f"{make} -keyout new.key -out new.crt 2>&1 && cat old.crt new.crt > both.crt && {told}"
    found = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True).stdout.splitlines()[-1]
    assert found == key_id(tmp_path / "new.key")
    assert believed((tmp_path / "both.crt").read_text()) == [*believed(certificate), found]
    assert verify(GIVEN, [sign(GIVEN, tmp_path / "new.key")], (tmp_path / "both.crt").read_text()) == found


def forged(bundle: str) -> str:
    """The bundle with another payload under its signature."""
    found = msgspec.json.decode(bundle)
    payload = base64.b64decode(found["dsseEnvelope"]["payload"])
    found["dsseEnvelope"]["payload"] = base64.b64encode(payload.replace(b"statement.json", b"otherment.json")).decode()
    return msgspec.json.encode(found).decode()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        pytest.param(lambda _: "", "is no bundle of OpenSSF", id="nothing"),
        pytest.param(lambda _: "[" * 100_000, "is no bundle of OpenSSF", id="JSON without an end"),
        pytest.param(lambda _: '{"verificationMaterial": {"publicKey": {}}}', "is no bundle of OpenSSF", id="a bundle of no key"),
        pytest.param(lambda _: '{"verificationMaterial": {"publicKey": {"hint": null}}}', "a key hint of type NoneType", id="a null key"),
        pytest.param(forged, "the signature was changed", id="another payload under the signature"),
        pytest.param(
            lambda bundle: msgspec.json.encode({**msgspec.json.decode(bundle), "dsseEnvelope": {}}).decode(),
            "is no bundle of OpenSSF",
            id="no envelope",
        ),
        pytest.param(
            lambda bundle: msgspec.json.encode({**msgspec.json.decode(bundle), "mediaType": "text/plain"}).decode(),
            "is no bundle of OpenSSF",
            id="another media type",
        ),
    ],
)
def test_what_is_no_signature_is_a_sentence(key: Path, certificate: str, change: Any, sentence: str) -> None:
    with pytest.raises(InvalidInput, match=f"^SignatureMismatch: .*{sentence}"):
        verify(GIVEN, [change(sign(GIVEN, key))], certificate)


@pytest.mark.usefixtures("certificate")
def test_keys_and_certificates_that_cannot_be_used_are_sentences(key: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"absent\.key' cannot be used: FileNotFoundError.*; an EC private key \(P-256\)"):
        sign(GIVEN, tmp_path / "absent.key")
    write_key(tmp_path / "locked.key", password=b"word")
    with pytest.raises(InvalidInput, match=r"locked\.key' cannot be used"):
        sign(GIVEN, tmp_path / "locked.key")
    of_rsa = write_key(tmp_path / "rsa.key", rsa.generate_private_key(65537, 2048))
    with pytest.raises(InvalidInput, match=r"rsa\.key' cannot be used"):
        sign(GIVEN, tmp_path / "rsa.key")
    with pytest.raises(InvalidInput, match="holds a key of type RSAPublicKey, an elliptic curve key"):
        verify(GIVEN, [sign(GIVEN, key)], of_rsa)
    with pytest.raises(InvalidInput, match="the signing certificate cannot be read"):
        verify(GIVEN, [sign(GIVEN, key)], "no certificate")


def test_the_noun_is_light_until_it_signs() -> None:
    code = "import sys, trimtab.signing; sys.exit('model_signing' in sys.modules or 'cryptography' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, env=dict(os.environ)).returncode == 0
