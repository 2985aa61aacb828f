"""The signature of an audit record, by the key that signs versions (`trimtab.signing`).

A record has a signature of 88 characters of its own instead of an OpenSSF bundle of 1.4 kB: there are many of them, and they are
no folders of files.
"""

import base64
import binascii
import os
from functools import lru_cache
from pathlib import Path

from trimtab.errors import InvalidInput
from trimtab.signing import ID_LENGTH, fingerprint, first_line, keys_of, pem_of, public_key, unusable

_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""The order of P-256's base point (SEC 2)."""
_PUBLIC = "-----BEGIN PUBLIC KEY-----"


def seal(message: bytes, key: Path) -> str:
    """A signature of the message: ECDSA on P-256 with SHA-256 (FIPS 186-5), r and the lower s, 32 bytes each, in base64.

    Of the two values of s that verify only the lower is taken, so that nobody without the key makes another signature out of one.
    Raises InvalidInput where the private key (PEM) in the file `key` cannot be used.
    """
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, utils

    try:
        private = serialization.load_pem_private_key(key.read_bytes(), None)
        if not isinstance(private, ec.EllipticCurvePrivateKey) or not isinstance(private.curve, ec.SECP256R1):
            msg = f"it is a {type(private).__name__}"
            raise TypeError(msg)
        r, s = utils.decode_dss_signature(private.sign(message, ec.ECDSA(hashes.SHA256())))
    except (OSError, ValueError, TypeError) as error:
        raise unusable(key, error) from error
    return base64.b64encode(r.to_bytes(32, "big") + min(s, _ORDER - s).to_bytes(32, "big")).decode()


def sealed(message: bytes, signature: str, public: bytes) -> bool:
    """Whether `seal` made the signature of this message with the private part of the key `public` (PEM)."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, utils

    try:
        raw = base64.b64decode(signature, validate=True)
    except (binascii.Error, ValueError):
        return False
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    if len(raw) != 64 or s > _ORDER // 2 or base64.b64encode(raw).decode() != signature:
        return False
    key = _loaded(public)
    if not isinstance(key, ec.EllipticCurvePublicKey):
        return False
    try:
        key.verify(utils.encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True


@lru_cache
def _loaded(public: bytes) -> object:
    from cryptography.hazmat.primitives import serialization

    return serialization.load_pem_public_key(public)


def believed_keys(text: str) -> dict[str, bytes]:
    """The public keys (PEM) by their ids, of certificates one after the other, or of one public key, in PEM.

    Raises InvalidInput where `text` holds neither.
    """
    from cryptography.hazmat.primitives import serialization

    if _PUBLIC not in text:
        return {found[:ID_LENGTH]: pem for found, pem in keys_of(text).items()}
    try:
        pem = pem_of(serialization.load_pem_public_key(text.encode()))
    except (ValueError, TypeError) as error:
        msg = f"the public key cannot be read: {first_line(error)}; one in PEM is allowed"
        raise InvalidInput(msg) from error
    return {fingerprint(pem)[:ID_LENGTH]: pem}


def make_key(path: Path, public: Path) -> None:
    """Write a new private key (P-256, PEM, no password) that only its owner may read, where there is none, and its public part."""
    if not path.exists():
        _make_private(path)
    if not public.exists():
        public.write_bytes(public_key(path))


def _make_private(path: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    made = ec.generate_private_key(ec.SECP256R1())
    body = made.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    draft = path.with_suffix(f".{os.getpid()}.tmp")
    draft.touch(mode=0o600)
    try:
        draft.write_bytes(body)
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink()
