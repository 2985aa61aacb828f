"""The signature of a version: the controller's word that these files, under this digest, passed a Release's gates.

A digest says that the files are the ones that somebody named; the signature says who named them. The OpenSSF `model-signing`
bundle signs a folder, so the statement is one: a file `statement.json`, which anybody can write again and check with that
project's own tool. Training pods hold no key, so what they put in the registry is not served before the controller signed it.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from trimtab.errors import InvalidInput

SIGNATURE_TAG = "trimtab.signature"
MODEL_UID_TAG = "trimtab.model-uid"
RELEASE_UID_TAG = "trimtab.release-uid"
MISMATCH = "SignatureMismatch"
STATEMENT = "statement.json"


class Statement(Struct, frozen=True):
    """What is signed: the Model's uid, the version's number and manifest SHA-256, and the uid of the Release that it passed."""

    model_uid: str
    version: str
    digest: str
    release_uid: str


def sign(statement: Statement, key: Path) -> str:
    """The signature of the statement as a bundle in JSON, made with the EC private key (PEM, P-256) in the file `key`.

    Two signatures of one statement differ: ECDSA draws a number for each. Raises InvalidInput where the key cannot be used.
    """
    from model_signing import signing

    try:
        config = signing.Config().use_elliptic_key_signer(private_key=key)  # type: ignore[no-untyped-call]
        with _folder(statement) as (folder, bundle):
            config.sign(folder, bundle)
            return bundle.read_text()
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise _unusable(key, error) from error


def verify(statement: Statement, bundle: str, certificate_pem: str, scratch: Path | None = None) -> None:
    """Check that the bundle is a signature of this statement by the key of one of the X.509 certificates in `certificate_pem`.

    A certificate is a list of the keys that are believed: its dates and issuer say nothing about a signature made earlier, so a
    key is withdrawn by taking its certificate away. Several, one after the other, let a new key come before the old one goes.
    Small files are written to the folder `scratch` (the system's temporary one without) and removed.
    Raises InvalidInput: `SignatureMismatch: …` where the signature is not one, is another key's or another statement's.
    """
    _verify(statement, bundle, _keys_of(certificate_pem), scratch)


def signed_by(statement: Statement, bundle: str, key: Path) -> bool:
    """Whether the bundle is a signature of this statement by the private key in the file `key`."""
    from cryptography.hazmat.primitives import serialization

    try:
        public = serialization.load_pem_private_key(key.read_bytes(), None).public_key()
    except (OSError, ValueError, TypeError) as error:
        raise _unusable(key, error) from error
    try:
        _verify(statement, bundle, [_pem(public)])
    except InvalidInput:
        return False
    return True


def _verify(statement: Statement, bundle: str, keys: list[bytes], scratch: Path | None = None) -> None:
    from cryptography.exceptions import InvalidSignature
    from model_signing import verifying

    hint = _hint(bundle)
    key = next((key for key in keys if _fingerprint(key) == hint), None)
    if key is None:
        known = ", ".join(_fingerprint(key)[:12] for key in keys)
        msg = f"{MISMATCH}: the signature is of the key {hint[:12]!r}, believed are {known}"
        raise InvalidInput(msg)
    try:
        with _folder(statement, scratch) as (folder, path):
            public = path.with_name("public.pem")
            public.write_bytes(key)
            path.write_text(bundle)
            config = verifying.Config().use_elliptic_key_verifier(public_key=public)  # type: ignore[no-untyped-call]
            config.verify(folder, path)
    except InvalidSignature as error:
        msg = f"{MISMATCH}: the signature was changed: the key {hint[:12]!r} did not make it"
        raise InvalidInput(msg) from error
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        if str(error).startswith("Signature mismatch"):
            msg = f"{MISMATCH}: the signature is of another statement than {_told(statement)}"
        else:
            msg = f"{MISMATCH}: the signature is no bundle of OpenSSF model-signing: {_first(error)}"
        raise InvalidInput(msg) from error


def _unusable(key: Path, error: Exception) -> InvalidInput:
    allowed = "an EC private key (P-256) in PEM, without a password, is allowed"
    return InvalidInput(f"the signing key {str(key)!r} cannot be used: {_first(error)}; {allowed}")


def _told(statement: Statement) -> str:
    return (
        f"model uid {statement.model_uid!r}, version {statement.version!r}, digest {statement.digest[:12]!r}, "
        f"Release uid {statement.release_uid!r}"
    )


def _hint(bundle: str) -> str:
    """The SHA-256 of the public key that the bundle says it was made by."""
    try:
        hint = msgspec.json.decode(bundle)["verificationMaterial"]["publicKey"]["hint"]
        if isinstance(hint, str):
            return hint
        found = f"a key hint of type {type(hint).__name__}"
    except (msgspec.DecodeError, UnicodeError, KeyError, TypeError, RecursionError) as error:
        found = _first(error)
    msg = f"{MISMATCH}: the signature is no bundle of OpenSSF model-signing: {found}"
    raise InvalidInput(msg)


def _keys_of(certificate_pem: str) -> list[bytes]:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        keys = [found.public_key() for found in x509.load_pem_x509_certificates(certificate_pem.encode())]
    except ValueError as error:
        msg = f"the signing certificate cannot be read: {_first(error)}; one or more X.509 certificates in PEM are allowed"
        raise InvalidInput(msg) from error
    for key in keys:
        if not isinstance(key, ec.EllipticCurvePublicKey):
            msg = f"the signing certificate holds a key of type {type(key).__name__}, an elliptic curve key (P-256) is allowed"
            raise InvalidInput(msg)
    return [_pem(key) for key in keys]


def _pem(public: object) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    pem: bytes = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]
    return pem


def _fingerprint(pem: bytes) -> str:
    import hashlib

    return hashlib.sha256(pem).hexdigest()


@contextmanager
def _folder(statement: Statement, scratch: Path | None = None) -> Iterator[tuple[Path, Path]]:
    """A folder that holds the statement and nothing else, and a place beside it for the bundle."""
    with tempfile.TemporaryDirectory(dir=scratch) as parent:
        folder = Path(parent) / "statement"
        folder.mkdir()
        (folder / STATEMENT).write_bytes(msgspec.json.encode(statement, order="sorted"))
        yield folder, Path(parent) / "bundle.json"


def _first(error: Exception) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]:.200}" if text else type(error).__name__
