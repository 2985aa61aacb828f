"""Published pipelines on a real MLflow (SQLite): immutable, signed, and refused where anything of them was changed."""

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from trimtab.errors import Conflict, InvalidInput
from trimtab.manifest import sha256
from trimtab.package import COMPILED, MANIFEST, SBOM, Package, encode
from trimtab.platforms.packages import FOLDER, SIGNATURE, MlflowPackages
from trimtab.spec import PipelineVersion

Made = Callable[..., Path]


def a_key(folder: Path, name: str) -> tuple[Path, str]:
    """A private key's file, and its public key as a Model's policy has it."""
    key, path = ec.generate_private_key(ec.SECP256R1()), folder / f"{name}.key"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def a_package(folder: Path, version: str = "1.4.0", compiled: str = "root: {}\n") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / COMPILED).write_text(compiled)
    (folder / SBOM).write_text("{}")
    files = {name: sha256(folder / name) for name in (COMPILED, SBOM)}
    (folder / MANIFEST).write_bytes(encode(Package("churn", version, "c0ffee", "shop:1", {"exec-train": "shop:1"}, {}, files, "0.1.0")))
    return folder


@pytest.fixture
def store(tmp_path: Path) -> MlflowPackages:
    return MlflowPackages(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path / "kept")


def test_a_package_is_published_once_and_found_by_version(store: MlflowPackages, tmp_path: Path) -> None:
    key, public = a_key(tmp_path, "ci")
    first = store.publish(a_package(tmp_path / "one"), key)
    assert store.publish(a_package(tmp_path / "again"), key) == first
    store.publish(a_package(tmp_path / "two", "1.10.0"), key)
    assert [one.version for one in store.published("churn")] == ["1.4.0", "1.10.0"]
    assert store.published("nothing") == []
    folder, package = store.fetch(first, (public,))
    assert package.commit == "c0ffee"
    assert (folder / COMPILED).read_text() == "root: {}\n"


def test_the_same_version_with_other_content_is_a_conflict(store: MlflowPackages, tmp_path: Path) -> None:
    key, _ = a_key(tmp_path, "ci")
    store.publish(a_package(tmp_path / "one"), key)
    with pytest.raises(Conflict, match=r"churn 1\.4\.0 was published with other content .* raise the version"):
        store.publish(a_package(tmp_path / "two", compiled="root: {dag: {}}\n"), key)


def test_nothing_is_fetched_that_no_believed_key_signed(store: MlflowPackages, tmp_path: Path) -> None:
    key, _ = a_key(tmp_path, "ci")
    _, stranger = a_key(tmp_path, "stranger")
    made = store.publish(a_package(tmp_path / "one"), key)
    with pytest.raises(InvalidInput, match=r"PackageRefused: none of the 1 keys that the Model believes signed the package churn 1\.4\.0"):
        store.fetch(made, (stranger,))
    with pytest.raises(InvalidInput, match="PackageRefused: the Model believes no key"):
        store.fetch(made, ())


@pytest.mark.parametrize("name", [f"{FOLDER}/{COMPILED}", f"{FOLDER}/{SBOM}", f"{FOLDER}/{MANIFEST}", SIGNATURE])
def test_a_changed_file_is_refused(store: MlflowPackages, tmp_path: Path, name: str) -> None:
    key, public = a_key(tmp_path, "ci")
    made = store.publish(a_package(tmp_path / "one"), key)
    stored = next((tmp_path / "mlartifacts").rglob(name))
    stored.write_text(stored.read_text() + " ")
    if name == SIGNATURE:
        stored.write_text(stored.read_text().replace('"', "", 1))
    with pytest.raises(InvalidInput, match="PackageRefused"):
        store.fetch(made, (public,))


def test_a_version_that_was_never_published(store: MlflowPackages) -> None:
    with pytest.raises(InvalidInput, match=r"there is no pipeline churn 9.9.9"):
        store.fetch(PipelineVersion("churn", "9.9.9", "0" * 64), ("key",))
