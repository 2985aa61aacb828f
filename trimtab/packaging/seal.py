"""Who published a package: a signature over its folder, and the check of a fetched one before anything of it is used.

The signature is a bundle of OpenSSF model-signing over all files of the folder, so that anybody can check it with that project's own
tool. The private key is CI's; a Model's `pipelinePolicy.keys` are the public keys that it believes.
"""

import tempfile
from collections.abc import Iterable
from itertools import product
from pathlib import Path

from trimtab.errors import InvalidInput
from trimtab.manifest import sha256
from trimtab.package import MANIFEST, SIZES, Package, decode, digest
from trimtab.signing import first_line

REFUSED = "PackageRefused"


def check_files(folder: Path, wanted: str, where: str) -> Package:
    """The manifest of the package in `folder`, whose files and digest are as they should be; else InvalidInput, `PackageRefused: …`."""
    present = {path.name: path for path in folder.iterdir()} if folder.is_dir() else {}
    for name, path in present.items():
        if path.is_symlink() or not path.is_file() or name not in SIZES:
            allowed = ", ".join(SIZES)
            msg = f"{REFUSED}: {name!r} of {where} does not belong to a package: allowed are the files {allowed}"
            raise InvalidInput(msg)
        if path.stat().st_size > SIZES[name]:
            msg = f"{REFUSED}: {name!r} of {where} has {path.stat().st_size} bytes, allowed are {SIZES[name]}"
            raise InvalidInput(msg)
    body = present[MANIFEST].read_bytes() if MANIFEST in present else b""
    if digest(body) != wanted:
        msg = f"{REFUSED}: {where} has the digest {digest(body)[:12]}, expected {wanted[:12]}: it was changed"
        raise InvalidInput(msg)
    package = decode(body, where)
    if odd := present.keys() - {MANIFEST} ^ package.files.keys():
        msg = f"{REFUSED}: {where} has other files than its manifest says: {', '.join(sorted(odd))}"
        raise InvalidInput(msg)
    for name, expected in package.files.items():
        actual = sha256(present[name])
        if actual != expected:
            msg = f"{REFUSED}: {name!r} of {where} has SHA-256 {actual[:12]}, expected {expected[:12]}: the file was changed"
            raise InvalidInput(msg)
    return package


def check_signature(folder: Path, bundles: Iterable[str], keys: tuple[str, ...], where: str) -> None:
    """Raises InvalidInput, `PackageRefused: …`, where no bundle is a signature of the folder by one of the public `keys` (PEM)."""
    from cryptography.exceptions import InvalidSignature
    from model_signing import verifying

    if not keys:
        msg = f"{REFUSED}: the Model believes no key (spec.pipelinePolicy.keys), so nobody may publish {where} for it"
        raise InvalidInput(msg)
    said = "there is no signature"
    with tempfile.TemporaryDirectory() as scratch:
        path, public = Path(scratch) / "bundle.json", Path(scratch) / "public.pem"
        for bundle, key in product(bundles, keys):
            path.write_text(bundle)
            public.write_text(key)
            try:
                config = verifying.Config().use_elliptic_key_verifier(public_key=public)  # type: ignore[no-untyped-call]
                config.verify(folder, path)
                return
            except InvalidSignature:
                said = "its signature was changed"
            except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
                said = first_line(error)
    msg = f"{REFUSED}: none of the {len(keys)} keys that the Model believes signed {where}: {said}"
    raise InvalidInput(msg)
