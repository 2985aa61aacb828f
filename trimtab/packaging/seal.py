"""Who published a package: a signature over its folder, and the check of a fetched one before anything of it is used.

The signature is a bundle of OpenSSF model-signing over all files of the folder, so that anybody can check it with that project's own
tool. The private key is CI's; a Model's `pipelinePolicy.keys` are the public keys that it believes.
"""

import hashlib
import tempfile
from pathlib import Path

from trimtab.errors import InvalidInput
from trimtab.package import MANIFEST, Package, decode, digest
from trimtab.signing import first_line, unusable

REFUSED = "PackageRefused"


def sign(folder: Path, key: Path) -> str:
    """The signature of the package in `folder` as a bundle in JSON, made with the EC private key (PEM, P-256) in the file `key`.

    Raises InvalidInput where the key cannot be used.
    """
    from model_signing import signing

    try:
        config = signing.Config().use_elliptic_key_signer(private_key=key)  # type: ignore[no-untyped-call]
        with tempfile.TemporaryDirectory() as scratch:
            bundle = Path(scratch) / "bundle.json"
            config.sign(folder, bundle)
            return bundle.read_text()
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise unusable(key, error) from error


def check_files(folder: Path, wanted: str, where: str) -> Package:
    """The manifest of the package in `folder`, whose files and digest are as they should be; else InvalidInput, `PackageRefused: …`."""
    body = (folder / MANIFEST).read_bytes() if (folder / MANIFEST).is_file() else b""
    if digest(body) != wanted:
        msg = f"{REFUSED}: {where} has the digest {digest(body)[:12]}, expected {wanted[:12]}: it was changed"
        raise InvalidInput(msg)
    package = decode(body, where)
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {MANIFEST}
    if found != set(package.files):
        odd = ", ".join(sorted(found ^ set(package.files)))
        msg = f"{REFUSED}: {where} has other files than its manifest says: {odd}"
        raise InvalidInput(msg)
    for name, expected in package.files.items():
        with (folder / name).open("rb") as stream:
            actual = hashlib.file_digest(stream, "sha256").hexdigest()
        if actual != expected:
            msg = f"{REFUSED}: {name!r} of {where} has SHA-256 {actual[:12]}, expected {expected[:12]}: the file was changed"
            raise InvalidInput(msg)
    return package


def check_signature(folder: Path, bundle: str, keys: tuple[str, ...], where: str) -> None:
    """Raises InvalidInput, `PackageRefused: …`, where none of the public `keys` (PEM) made this signature of the folder."""
    from cryptography.exceptions import InvalidSignature
    from model_signing import verifying

    if not keys:
        msg = f"{REFUSED}: the Model believes no key (spec.pipelinePolicy.keys), so nobody may publish {where} for it"
        raise InvalidInput(msg)
    said = ""
    with tempfile.TemporaryDirectory() as scratch:
        path, public = Path(scratch) / "bundle.json", Path(scratch) / "public.pem"
        path.write_text(bundle)
        for key in keys:
            public.write_text(key)
            try:
                config = verifying.Config().use_elliptic_key_verifier(public_key=public)  # type: ignore[no-untyped-call]
                config.verify(folder, path)
                return
            except InvalidSignature:
                said = "its signature was changed"
            except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
                said = first_line(error)
    msg = f"{REFUSED}: none of the {len(keys)} keys that the Model believes signed {where}: {said}"
    raise InvalidInput(msg)
