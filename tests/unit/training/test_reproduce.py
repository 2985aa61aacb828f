"""A version made again is the same, or it is said what differs."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from msgspec.structs import replace

from tests.unit.training.cards import FACTS
from tests.unit.training.data import HEADER, document, last, model, rows, spec, write
from trimtab.errors import InvalidInput
from trimtab.schema import Feature, Schema
from trimtab.training import steps
from trimtab.training.ingest import snapshot
from trimtab.training.lineage import Lineage, commit, libraries, trace, used
from trimtab.training.register import assemble
from trimtab.training.reproduce import Reproduced, circumstances_differ, compare, features_differ, recorded_predictions, reproduce


class Made:
    """A version of toy rows with its lineage and its snapshot."""

    def __init__(self, folder: Path) -> None:
        self.spec = spec(write(folder / "a.csv", rows()))
        dataset, made, evaluation = (folder / name for name in ("dataset", "model", "evaluation"))
        steps.ingest(document(self.spec), last().isoformat(), "", "", dataset)
        steps.train(document(self.spec), "", "", 7, dataset, made)
        steps.evaluate(document(self.spec), "", "", "", 7, dataset, made, evaluation)
        self.version = folder / "version"
        assemble(made, evaluation, self.version)
        self.snapshot = next(dataset.glob("*.parquet"))
        self.lineage: Lineage = trace(FACTS, model(self.spec), used(self.snapshot, "at"), None, "")

    def again(self, scratch: Path, snapshot: Path | None = None, lineage: Lineage | None = None) -> Reproduced:
        return reproduce(self.version, lineage or self.lineage, snapshot or self.snapshot, scratch)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("made"))


def test_the_same_rows_settings_and_seed_make_the_same_version(made: Made, tmp_path: Path) -> None:
    found = made.again(tmp_path)
    assert (found.same, found.differing, found.identical, found.differences) == (True, 0, True, ())
    assert found.sentence == f"the same: all {found.rows} reference rows get the prediction that was recorded, down to the model's file"


def test_other_rows_make_another_version_and_are_named_as_the_reason(made: Made, tmp_path: Path) -> None:
    changed = [{**row, "amount": float(row["amount"]) * 2} if number == 3 else row for number, row in enumerate(rows())]
    other = snapshot(replace(made.spec.data, uri=str(write(tmp_path / "b.csv", changed))), last(), tmp_path)
    found = made.again(tmp_path / "again", other.path)
    assert not found.same
    assert found.sentence.startswith(f"not the same: {found.differing} of {found.rows} reference rows get another prediction (largest")
    assert f"the rows have SHA-256 {other.digest[:12]} instead of {made.snapshot.stem[:12]}" in found.differences
    assert any(said.startswith("the first reference row that differs is the ") for said in found.differences)


def test_a_feature_that_is_gone_is_named(made: Made, tmp_path: Path) -> None:
    kept = tuple(name for name in HEADER if name != "open")
    other = snapshot(replace(made.spec.data, uri=str(write(tmp_path / "b.csv", rows(), kept))), last(), tmp_path)
    assert "the features are others: gone are open, new are none" in made.again(tmp_path / "again", other.path).differences


def test_another_commit_and_library_are_told_though_the_version_is_the_same(made: Made, tmp_path: Path) -> None:
    older = replace(made.lineage, commit="0" * 40, libraries={**libraries(), "numpy": "1.0.0"})
    found = made.again(tmp_path, lineage=older)
    assert found.same
    assert found.differences == (
        f"the commit is {commit()[:12]} instead of {'0' * 12}",
        f"numpy is {libraries()['numpy']} instead of 1.0.0",
    )


def test_a_version_from_elsewhere_cannot_be_made_again(made: Made, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="does not say how it was fitted"):
        reproduce(tmp_path, made.lineage, made.snapshot, tmp_path / "again")


ROW = np.array([1.0, 2.0, 300.0])
COMPARED: dict[str, tuple[Any, Any, tuple[int, float | None, str]]] = {
    "equal numbers": (ROW, ROW, (0, 0.0, "")),
    "within 1e-5 of their size": (ROW, ROW * (1 + 0.9e-5), (0, pytest.approx(0.0027), "")),
    "one is another": (ROW, ROW + np.array([0, 0.5, 0]), (1, 0.5, "the first reference row that differs is the 2.: 2.5 instead of 2")),
    "one is none": (ROW, np.array([1.0, np.nan, 300.0]), (1, 0.0, "the first reference row that differs is the 2.: nan instead of 2")),
    "more classes": (np.ones((2, 2)), np.ones((2, 3)), (2, None, "predictions have shape 2 x 3 instead of 2 x 2")),
    "one class of one row": (
        *(np.full((2, 2), 0.5), np.array([[0.5, 0.5], [0.4, 0.6]])),
        (1, pytest.approx(0.1), "the first reference row that differs is the 2.: 0.4, 0.6 instead of 0.5, 0.5"),
    ),
}


@pytest.mark.parametrize(("recorded", "predicted", "expected"), COMPARED.values(), ids=COMPARED.keys())
def test_predictions_are_compared_within_a_float(recorded: Any, predicted: Any, expected: Any) -> None:
    assert compare(recorded, predicted) == expected


SIZE, COLOUR = Feature("size", "number"), Feature("colour", "category", ("blue", "red"))
OLD = Schema("regression", "amount", (SIZE, COLOUR))
SCHEMAS = {
    "the same": (OLD, []),
    "another order": (replace(OLD, features=(COLOUR, SIZE)), ["the features are in another order"]),
    "another kind": (replace(OLD, features=(Feature("size", "category"), COLOUR)), ["feature 'size' is a category instead of a number"]),
    "more categories": (
        replace(OLD, features=(SIZE, Feature("colour", "category", ("blue", "green", "red")))),
        ["feature 'colour' has other categories: 3 instead of 2"],
    ),
    "another format": (replace(OLD, format="skops"), ["the model is of the format skops instead of xgboost"]),
    "other classes": (replace(OLD, classes=("a", "b")), ["the classes of the label are others"]),
}


@pytest.mark.parametrize(("now", "said"), SCHEMAS.values(), ids=SCHEMAS.keys())
def test_the_first_difference_of_the_inputs_is_named(now: Schema, said: list[str]) -> None:
    assert features_differ(OLD, now) == said


def test_a_library_that_is_gone_is_told(made: Made) -> None:
    assert circumstances_differ(replace(made.lineage, libraries={"xgboost": "3.2.0"}), made.lineage.commit, {}) == [
        "xgboost is missing instead of 3.2.0"
    ]


def test_recorded_predictions_of_several_classes_are_a_table() -> None:
    assert recorded_predictions(pa.table({"__prediction": [[0.1, 0.9], [0.5, 0.5]]})).shape == (2, 2)
