"""The registry on a laptop, on a real MLflow database."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.unit.training.data import last, rows, spec, write
from trimtab.errors import InvalidInput, Unavailable
from trimtab.platforms.registry import MlflowRegistry
from trimtab.release import CandidateOutcome, InvalidDataOutcome, RejectedOutcome
from trimtab.spec import Champion, Version
from trimtab.training import tracking
from trimtab.training.evaluate import Evaluation, evaluate
from trimtab.training.fit import fit
from trimtab.training.ingest import read
from trimtab.training.register import Facts, Written, assemble, register


class Shop:
    """A registry with versions in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.uri = f"sqlite:///{folder / 'mlflow.db'}"
        given = spec(write(folder / "a.csv", rows()))
        table, _ = read(given.data, last())
        fit(table, given, folder / "model", 7)
        self.found: Evaluation = evaluate(table, given, folder / "model", None, folder / "evaluation", 7)
        assemble(folder / "model", folder / "evaluation", folder / "version")
        self.registry = MlflowRegistry(self.uri, folder / "mlartifacts")

    def put(self, uid: str, attempt: int = 1, model: str = "toy") -> tuple[Written, Version]:
        """Register the version once more."""
        written = register(self.uri, Facts(model, f"{model}-{uid}", uid, attempt), self.found, self.folder / "version", None)
        assert isinstance(written.outcome, CandidateOutcome)
        return written, Version(written.outcome.version, written.outcome.digest)

    def file(self, run: str, name: str) -> Path:
        """A file among the run's artifacts."""
        return next((self.folder / "mlartifacts").glob(f"*/{run}/artifacts/{name}"))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    return Shop(tmp_path_factory.mktemp("shop"))  # type: ignore[return-value]


def test_importing_the_module_does_not_import_mlflow() -> None:
    code = "import sys, trimtab.platforms.registry; sys.exit('mlflow' in sys.modules or 'pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, env=dict(os.environ)).returncode == 0


def test_an_outcome_is_found_by_release_and_attempt_or_by_run(shop: Shop) -> None:
    written, _ = shop.put("uid-a", 2)
    assert shop.registry.outcome("uid-a", 2) == written.outcome
    assert shop.registry.outcome("uid-a", 1) is None
    assert shop.registry.outcome("uid-nobody", 2) is None
    assert shop.registry.outcome("", 0, written.run) == written.outcome


@pytest.mark.parametrize(
    "outcome",
    [
        pytest.param(RejectedOutcome("rmse <= 1", 2.0, 1.0, (1.5, 2.5)), id="a gate stopped it"),
        pytest.param(InvalidDataOutcome(("label 'y' has one value only",)), id="the data is broken"),
    ],
)
def test_verdicts_without_a_version_are_outcomes_too(shop: Shop, outcome: Any) -> None:
    uid = f"uid-{type(outcome).__name__}"
    register(shop.uri, Facts("toy", "toy-x", uid, 1), None, None, outcome)
    assert shop.registry.outcome(uid, 1) == outcome


def test_an_outcome_that_is_none_is_invalid_input(shop: Shop) -> None:
    written, _ = shop.put("uid-b")
    shop.file(written.run, "outcome.json").write_text('{"verdict": "candidate", "version": 7}')
    with pytest.raises(InvalidInput, match=r"outcome\.json of run .* is no outcome"):
        shop.registry.outcome("uid-b", 1)


def test_a_run_that_does_not_exist_is_invalid_input(shop: Shop) -> None:
    with pytest.raises(InvalidInput, match="the outcome of run 'nosuch': MLflow says"):
        shop.registry.outcome("", 0, "nosuch")


def test_a_version_is_fetched_only_with_its_own_digest(shop: Shop) -> None:
    _, version = shop.put("uid-c")
    folder = shop.registry.fetch("toy", version)
    assert (folder / "model.json").is_file()
    with pytest.raises(InvalidInput, match="the version was changed"):
        shop.registry.fetch("toy", msgspec.structs.replace(version, digest="0" * 64))


def test_a_changed_model_file_is_refused_by_name(shop: Shop) -> None:
    written, version = shop.put("uid-d")
    path = shop.file(written.run, "model/model.json")
    path.write_text(path.read_text().replace("1", "2", 1))
    with pytest.raises(InvalidInput, match=r"'model\.json' .* the file was changed"):
        shop.registry.fetch("toy", version)


def test_the_alias_is_moved_to_the_champion_and_stays(shop: Shop) -> None:
    _, first = shop.put("uid-e")
    _, second = shop.put("uid-f")
    client = tracking.client(shop.uri)
    for version in (first, second, second):
        shop.registry.project("toy", Champion(version.version, version.digest))
        assert str(client.get_model_version_by_alias("toy", "champion").version) == version.version
    with pytest.raises(InvalidInput, match="the alias 'champion' of 'nobody': MLflow says"):
        shop.registry.project("nobody", Champion("1", "0"))


def test_history_lists_versions_oldest_first_with_their_release_and_metrics(shop: Shop) -> None:
    put = [shop.put(f"uid-{name}", model="other")[1] for name in "ghi"]
    listed = shop.registry.history("other")
    assert [item.version for item in listed] == put
    assert [item.release for item in listed] == ["other-uid-g", "other-uid-h", "other-uid-i"]
    assert listed[0].metrics["rmse"] == shop.found.candidate["rmse"]
    assert shop.registry.history("nobody") == []


def test_a_server_that_does_not_answer_is_unavailable(tmp_path: Path) -> None:
    registry = MlflowRegistry(f"sqlite:///{tmp_path / 'nowhere' / 'deeper' / 'mlflow.db'}", tmp_path)
    registry.warm()
    with pytest.raises(Unavailable, match="MLflow"):
        registry.outcome("uid", 1)
