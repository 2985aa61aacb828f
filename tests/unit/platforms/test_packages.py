"""Published pipelines on a real MLflow (SQLite): immutable, signed, and refused where anything of them was changed."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.unit.test_signing import write_key
from trimtab.errors import Conflict, InvalidInput
from trimtab.manifest import sha256
from trimtab.package import COMPILED, MANIFEST, SBOM, SIZES, Package, digest, encode
from trimtab.platforms.packages import FOLDER, SIGNATURE, MlflowPackages
from trimtab.signing import public_key, sign_folder
from trimtab.spec import PipelineVersion
from trimtab.training import tracking


def a_key(folder: Path, name: str) -> tuple[Path, str]:
    """A private key's file, and its public key as a Model's policy has it."""
    path = folder / f"{name}.key"
    write_key(path)
    return path, public_key(path).decode()


def a_package(folder: Path, version: str = "1.4.0", compiled: str = "root: {}\n", commit: str = "c0ffee") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / COMPILED).write_text(compiled)
    (folder / SBOM).write_text("{}")
    files = {COMPILED: sha256(folder / COMPILED), SBOM: sha256(folder / SBOM)}
    (folder / MANIFEST).write_bytes(encode(Package("churn", version, commit, "shop:1", {"train": "shop:1"}, {}, dict(files), "0.1.0")))
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


def the_runs(tmp_path: Path) -> tuple[Any, str]:
    """MLflow's own client, as a stranger has it, and the experiment of churn 1.4.0."""
    client = tracking.client(f"sqlite:///{tmp_path / 'mlflow.db'}")
    return client, client.get_experiment_by_name("pipelines/churn/1.4.0").experiment_id


def put(client: Any, experiment: str, folder: Path, signature: str, status: str = "FINISHED", start_time: int | None = None) -> None:
    """A run that somebody puts into a version's experiment."""
    run = client.create_run(experiment, start_time=start_time).info.run_id
    client.log_artifacts(run, str(folder), FOLDER)
    client.log_text(run, signature, SIGNATURE)
    client.set_terminated(run, status)


def test_a_publication_that_died_half_way_is_none_and_is_finished_by_the_next(store: MlflowPackages, tmp_path: Path) -> None:
    key, public = a_key(tmp_path, "ci")
    other = MlflowPackages(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path / "kept")
    made = other.publish(a_package(tmp_path / "one"), key)
    client, experiment = the_runs(tmp_path)
    client.delete_run(client.search_runs([experiment])[0].info.run_id)
    put(client, experiment, a_package(tmp_path / "half"), "{}", status="RUNNING")
    assert store.published("churn") == []
    with pytest.raises(InvalidInput, match=r"there is no pipeline churn 1\.4\.0: it was never published, or not to the end"):
        store.fetch(made, (public,))
    assert store.publish(a_package(tmp_path / "again"), key) == made
    assert store.published("churn") == [made]
    store.fetch(made, (public,))


def test_what_a_stranger_puts_beside_a_publication_is_passed_over(store: MlflowPackages, tmp_path: Path) -> None:
    key, public = a_key(tmp_path, "ci")
    evil, _ = a_key(tmp_path, "evil")
    made = store.publish(a_package(tmp_path / "one"), key)
    client, experiment = the_runs(tmp_path)
    put(
        client, experiment, a_package(tmp_path / "other", compiled="root: {evil: 1}\n"), sign_folder(tmp_path / "other", evil), start_time=1
    )
    put(client, experiment, tmp_path / "one", sign_folder(tmp_path / "one", evil), start_time=2)
    folder, _ = store.fetch(made, (public,))
    assert (folder / COMPILED).read_text() == "root: {}\n"


def test_a_version_is_signed_by_a_new_key_too_when_it_is_published_with_it(store: MlflowPackages, tmp_path: Path) -> None:
    (old, old_public), (new, new_public) = a_key(tmp_path, "old"), a_key(tmp_path, "new")
    made = store.publish(a_package(tmp_path / "one"), old)
    store.fetch(made, (old_public,))
    assert store.publish(a_package(tmp_path / "one"), new) == made
    store.fetch(made, (new_public,))
    client, experiment = the_runs(tmp_path)
    store.publish(a_package(tmp_path / "one"), new)
    assert len(client.search_runs([experiment])) == 2, "nothing is written where the key has signed it"


def test_what_a_version_was_when_it_was_first_used_it_stays(store: MlflowPackages, tmp_path: Path) -> None:
    key, public = a_key(tmp_path, "ci")
    made = store.publish(a_package(tmp_path / "one"), key)
    store.fetch(made, (public,))
    client, experiment = the_runs(tmp_path)
    changed = digest((a_package(tmp_path / "other", compiled="root: {other: 1}\n") / MANIFEST).read_bytes())
    put(client, experiment, tmp_path / "other", sign_folder(tmp_path / "other", key), start_time=1)
    client.set_experiment_tag(experiment, "trimtab.pipeline-digest", changed)
    for again in (store, MlflowPackages(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path / "kept")):
        assert again.published("churn") == [made], "though MLflow says otherwise now"
        again.fetch(made, (public,))
        with pytest.raises(InvalidInput, match=r"PackageRefused: churn 1\.4\.0 had the digest .* when it was first used here"):
            again.fetch(PipelineVersion("churn", "1.4.0", changed), (public,))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda stored: (stored / "more.txt").write_text("x"), "other files than a package has: 'package/more.txt'"),
        (lambda stored: (stored / SBOM).unlink(), "'package/sbom.json' .* is missing"),
        (lambda stored: (stored / SBOM).write_bytes(b" " * (SIZES[SBOM] + 1)), "has 33554433 bytes, allowed are 33554432"),
        (lambda stored: swapped(stored / COMPILED, Path("/etc/hostname")), "PackageRefused"),
    ],
)
def test_what_is_no_package_is_not_copied(store: MlflowPackages, tmp_path: Path, spoil: Callable[[Path], object], said: str) -> None:
    key, public = a_key(tmp_path, "ci")
    made = store.publish(a_package(tmp_path / "one"), key)
    spoil(next((tmp_path / "mlartifacts").rglob(FOLDER)))
    with pytest.raises(InvalidInput, match=said):
        store.fetch(made, (public,))
    assert not (tmp_path / "kept" / made.digest).exists()


def swapped(path: Path, target: Path) -> None:
    path.unlink()
    path.symlink_to(target)


def test_what_is_kept_is_checked_each_time_and_fetched_again_where_it_was_damaged(store: MlflowPackages, tmp_path: Path) -> None:
    key, public = a_key(tmp_path, "ci")
    made = store.publish(a_package(tmp_path / "one"), key)
    folder, _ = store.fetch(made, (public,))
    (folder / COMPILED).write_text("root: {evil: 1}\n")
    folder, _ = store.fetch(made, (public,))
    assert (folder / COMPILED).read_text() == "root: {}\n"
    (tmp_path / "mlflow.db").rename(tmp_path / "away.db")
    store.fetch(made, (public,))


def test_publishers_and_readers_at_once(store: MlflowPackages, tmp_path: Path) -> None:
    """Four publish, two of them other content: one content wins, whoever has it, and every reader gets it whole."""
    key, public = a_key(tmp_path, "ci")
    folders = [a_package(tmp_path / str(number), compiled=f"root: {{n: {number % 2}}}\n") for number in range(4)]

    def publish(folder: Path) -> PipelineVersion | None:
        try:
            return MlflowPackages(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path / "kept").publish(folder, key)
        except Conflict:
            return None

    store.published("churn")
    with ThreadPoolExecutor(4) as pool:
        ended = list(pool.map(publish, folders))
        (won,) = {one for one in ended if one is not None}
        assert ended.count(None) == 2
        fetched = list(pool.map(lambda _: store.fetch(won, (public,))[1], range(8)))
    assert {one.files[COMPILED] for one in fetched} == {sha256(folders[next(i for i, one in enumerate(ended) if one)] / COMPILED)}


class Counted:
    """MLflow's client, whose requests are counted."""

    def __init__(self, client: Any) -> None:
        self.client, self.asked = client, 0

    def __getattr__(self, name: str) -> Any:
        self.asked += 1
        return getattr(self.client, name)


def test_asking_again_costs_one_request(tmp_path: Path) -> None:
    key, _ = a_key(tmp_path, "ci")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    for number in range(5):
        MlflowPackages(uri, tmp_path / "kept").publish(a_package(tmp_path / str(number), f"1.{number}.0"), key)
    counted = Counted(tracking.client(uri))
    store = MlflowPackages(uri, tmp_path / "kept", connected=counted)
    for cost in (6, 1, 1):
        before = counted.asked
        assert len(store.published("churn")) == 5
        assert counted.asked - before == cost


@pytest.mark.parametrize("name", ["../churn", "churn' or ''='", "Churn", "", "a" * 41, "churn\n"])
def test_a_name_that_no_pipeline_has_is_not_asked_for(store: MlflowPackages, name: str) -> None:
    assert store.published(name) == []
    with pytest.raises(InvalidInput, match="there is no pipeline"):
        store.fetch(PipelineVersion(name, "1.0.0", "0" * 64), ("key",))


@pytest.mark.parametrize("version", [PipelineVersion("churn", "../1.4.0", "0" * 64), PipelineVersion("churn", "1.4.0", "../../elsewhere")])
def test_a_version_or_digest_that_is_none_is_no_path(store: MlflowPackages, version: PipelineVersion) -> None:
    with pytest.raises(InvalidInput, match="there is no pipeline"):
        store.checked(version)


@pytest.mark.parametrize("commit", ["c0ffee-dirty", "unknown"])
def test_what_was_built_of_no_commit_is_not_published(store: MlflowPackages, tmp_path: Path, commit: str) -> None:
    key, _ = a_key(tmp_path, "ci")
    with pytest.raises(InvalidInput, match=f"churn 1.4.0 was built of commit '{commit}': commit everything first"):
        store.publish(a_package(tmp_path / "one", commit=commit), key)


def test_a_version_that_was_deleted_in_mlflow_is_not_used_again(store: MlflowPackages, tmp_path: Path) -> None:
    key, _ = a_key(tmp_path, "ci")
    store.publish(a_package(tmp_path / "one"), key)
    client, experiment = the_runs(tmp_path)
    client.delete_experiment(experiment)
    with pytest.raises(Conflict, match="was published and then deleted in MLflow"):
        store.publish(a_package(tmp_path / "one"), key)
