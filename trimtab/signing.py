"""The signature of a version: the controller's word that these files, under this digest, passed a Release's gates.

A digest says that the files are the ones that somebody named; the signature says who named them. The OpenSSF `model-signing`
bundle signs a folder, so the statement is one: a file `statement.json`, which anybody can write again and check with that
project's own tool. Training pods hold no key, so what they put in the registry is not served before the controller signed it.

A version may have several signatures of one statement, each by another key and under its id, so that a key can be replaced: whoever
believes one of them takes the version. A key's id is the beginning of the SHA-256 of its public part in PEM:
`openssl x509 -in tls.crt -noout -pubkey | sha256sum | cut -c1-12`.
"""

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from trimtab.errors import InvalidInput
from trimtab.fetching import SIGNATURE_MISMATCH

SIGNATURE_TAGS = "trimtab.signature."
"""Before a key's id: the tag that holds its signature of a version."""
MODEL_UID_TAG = "trimtab.model-uid"
RELEASE_UID_TAG = "trimtab.release-uid"
STATEMENT = "statement.json"
ID_LENGTH = 12


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
    try:
        with _folder(statement) as (folder, _):
            return sign_folder(folder, key)
    except OSError as error:
        raise unusable(key, error) from error


def sign_folder(folder: Path, key: Path) -> str:
    """The same for a folder's files themselves."""
    from model_signing import signing

    try:
        config = signing.Config().use_elliptic_key_signer(private_key=key)  # type: ignore[no-untyped-call]
        with tempfile.TemporaryDirectory() as scratch:
            bundle = Path(scratch) / "bundle.json"
            config.sign(folder, bundle)
            return bundle.read_text()
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise unusable(key, error) from error


def signatures(tags: Mapping[str, str]) -> list[str]:
    """The bundles among a version's tags."""
    return [tags[name] for name in sorted(tags) if name.startswith(SIGNATURE_TAGS)]


def verify(statement: Statement, bundles: list[str], certificates: str, scratch: Path | None = None) -> str:
    """Check that one of the bundles is a signature of this statement by a key that is believed; returns that key's id.

    `certificates` (X.509, PEM, one after the other) is the list of the keys that are believed: their dates and issuers say nothing
    about a signature made earlier, so a key is withdrawn by taking its certificate away.
    Small files are written to the folder `scratch` (the system's temporary one without) and removed.
    Raises InvalidInput: `SignatureMismatch: …` where none is one, or is another key's or another statement's.
    """
    keys = keys_of(certificates)
    refusals: list[InvalidInput] = []
    strangers = []
    for bundle in bundles:
        try:
            hint = _hint(bundle)
            if hint in keys:
                _verify(statement, bundle, hint[:ID_LENGTH], keys[hint], scratch)
                return hint[:ID_LENGTH]
            strangers.append(hint[:ID_LENGTH])
        except InvalidInput as error:
            refusals.append(error)
    if refusals:
        raise refusals[0]
    found = f"the signature is of the key {', '.join(map(repr, strangers))}" if strangers else "there is no signature"
    msg = f"{SIGNATURE_MISMATCH}: {found}, believed are {', '.join(hint[:ID_LENGTH] for hint in keys)}"
    raise InvalidInput(msg)


def believed(certificates: str) -> list[str]:
    """The ids of the keys of the X.509 certificates in `certificates` (PEM); raises InvalidInput where they are none."""
    return [hint[:ID_LENGTH] for hint in keys_of(certificates)]


def key_id(key: Path) -> str:
    """The id of the private key in the file `key`; raises InvalidInput where it cannot be used."""
    return fingerprint(public_key(key))[:ID_LENGTH]


def signed_by(statement: Statement, bundle: str, key: Path) -> bool:
    """Whether the bundle is a signature of this statement by the private key in the file `key`."""
    public = public_key(key)
    try:
        _verify(statement, bundle, fingerprint(public)[:ID_LENGTH], public)
    except InvalidInput:
        return False
    return True


def _verify(statement: Statement, bundle: str, called: str, key: bytes, scratch: Path | None = None) -> None:
    from cryptography.exceptions import InvalidSignature
    from model_signing import verifying

    try:
        with _folder(statement, scratch) as (folder, path):
            public = path.with_name("public.pem")
            public.write_bytes(key)
            path.write_text(bundle)
            config = verifying.Config().use_elliptic_key_verifier(public_key=public)  # type: ignore[no-untyped-call]
            config.verify(folder, path)
    except InvalidSignature as error:
        msg = f"{SIGNATURE_MISMATCH}: the signature was changed: the key {called!r} did not make it"
        raise InvalidInput(msg) from error
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        if str(error).startswith("Signature mismatch"):
            msg = f"{SIGNATURE_MISMATCH}: the signature is of another statement than {_told(statement)}"
        else:
            msg = f"{SIGNATURE_MISMATCH}: the signature is no bundle of OpenSSF model-signing: {first_line(error)}"
        raise InvalidInput(msg) from error


def unusable(key: Path, error: Exception) -> InvalidInput:
    """What is said of a private key that cannot be used."""
    allowed = "an EC private key (P-256) in PEM, without a password, is allowed"
    return InvalidInput(f"the signing key {str(key)!r} cannot be used: {first_line(error)}; {allowed}")


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
        found = first_line(error)
    msg = f"{SIGNATURE_MISMATCH}: the signature is no bundle of OpenSSF model-signing: {found}"
    raise InvalidInput(msg)


def public_key(key: Path) -> bytes:
    """The public part (PEM) of the private key in the file `key`; raises InvalidInput where it cannot be used."""
    from cryptography.hazmat.primitives import serialization

    try:
        return pem_of(serialization.load_pem_private_key(key.read_bytes(), None).public_key())
    except (OSError, ValueError, TypeError) as error:
        raise unusable(key, error) from error


def keys_of(certificates: str) -> dict[str, bytes]:
    """The public keys (PEM) of X.509 certificates (PEM), by their SHA-256; raises InvalidInput where there are none."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        keys = [found.public_key() for found in x509.load_pem_x509_certificates(certificates.encode())]
    except ValueError as error:
        msg = f"the signing certificate cannot be read: {first_line(error)}; one or more X.509 certificates in PEM are allowed"
        raise InvalidInput(msg) from error
    for key in keys:
        if not isinstance(key, ec.EllipticCurvePublicKey):
            msg = f"the signing certificate holds a key of type {type(key).__name__}, an elliptic curve key (P-256) is allowed"
            raise InvalidInput(msg)
    return {fingerprint(pem): pem for pem in map(pem_of, keys)}


def pem_of(public: object) -> bytes:
    """A public key of `cryptography` in PEM."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    pem: bytes = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]
    return pem


def fingerprint(pem: bytes) -> str:
    """The SHA-256 of a public key in PEM, in hexadecimal: its first twelve characters are the key's id."""
    return hashlib.sha256(pem).hexdigest()


@contextmanager
def _folder(statement: Statement, scratch: Path | None = None) -> Iterator[tuple[Path, Path]]:
    """A folder that holds the statement and nothing else, and a place beside it for the bundle."""
    with tempfile.TemporaryDirectory(dir=scratch) as parent:
        folder = Path(parent) / "statement"
        folder.mkdir()
        (folder / STATEMENT).write_bytes(msgspec.json.encode(statement, order="sorted"))
        yield folder, Path(parent) / "bundle.json"


def first_line(error: Exception) -> str:
    """An exception's kind and the first line of what it says."""
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]:.200}" if text else type(error).__name__
