"""Which features are not to be trusted, a sentence for each case; a test of real models is in `test_defects.py`."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from trimtab.schema import Feature, Schema
from trimtab.spec import Task
from trimtab.training.evaluation.spurious import Learned, suspicions

ROWS = 1000
DRAW = np.random.default_rng(1)
BEFORE, AFTER = np.arange(ROWS), np.arange(ROWS, ROWS + 250)
VAIN = Learned(0.3, 0.3, 1.0)
USEFUL = Learned(0.3, 0.3, 1.4)


def noise(rows: int) -> Any:
    return DRAW.normal(size=rows)


CASES: list[Any] = [
    pytest.param(BEFORE, AFTER, VAIN, "identifier", id="a running number"),
    pytest.param(DRAW.permutation(10**6)[:ROWS], DRAW.permutation(10**6)[:250], VAIN, "identifier", id="a number drawn for each row"),
    pytest.param([f"id-{n}" for n in BEFORE], [f"id-{n}" for n in AFTER], VAIN, "identifier", id="a text of its own for each row"),
    pytest.param(DRAW.permutation(10**6)[:ROWS], DRAW.permutation(10**6)[:250], USEFUL, None, id="whole numbers that help are amounts"),
    pytest.param(noise(ROWS), noise(250), VAIN, None, id="numbers that are not whole are different anyway"),
    pytest.param(DRAW.permutation(10**6)[:ROWS], DRAW.permutation(10**6)[:250], Learned(0.004, 0.004, 1.0), None, id="hardly used"),
    pytest.param(BEFORE // 50, AFTER // 50, VAIN, "clock", id="a week's number"),
    pytest.param(-BEFORE / 7 + noise(ROWS), -AFTER / 7 + noise(250), VAIN, "clock", id="the time that is left, with noise"),
    pytest.param(BEFORE // 50, AFTER // 50, USEFUL, None, id="what goes with time and helps later is a trend"),
    pytest.param(DRAW.random(ROWS), 10 * DRAW.random(250) + 1, VAIN, "unseen", id="another unit"),
    pytest.param(["a", "b"] * 500, ["A", "B"] * 125, VAIN, "unseen", id="texts in capital letters"),
    pytest.param([0, 3, 7, 9] * 250, [0.3, 0.9] * 125, VAIN, "unseen", id="scaled to within the range of a few whole numbers"),
    pytest.param(DRAW.random(ROWS), [None] * 250, VAIN, "unseen", id="no longer there"),
    pytest.param(["a", None] * 500, [None] * 250, VAIN, None, id="missing as it was before"),
    pytest.param(["a", "b"] * 500, ["c", "a", "a", "b", "b"] * 50, VAIN, None, id="a new category here and there"),
    pytest.param(noise(ROWS), noise(250), Learned(0.7, 0.1, 1.0), "vanished", id="most of what was learned does not hold"),
    pytest.param(noise(ROWS), noise(250), Learned(0.7, 0.6, 1.5), None, id="most of what was learned holds"),
]


@pytest.mark.parametrize(("before", "after", "learned", "rule"), CASES)
def test_a_feature_by_its_signs(before: Any, after: Any, learned: Learned, rule: str | None) -> None:
    text = isinstance(next(value for value in before if value is not None), str)
    categories = tuple(sorted({value for value in before if value is not None})) if text else ()
    schema = Schema("regression", "y", (Feature("x", "category" if text else "number", categories), Feature("z", "number")))
    tables = [pa.table({"x": values, "z": noise(len(values))}) for values in (before, after)]
    found = suspicions(schema, *(_labelled(table) for table in tables), {"x": learned, "z": Learned(0.2, 0.2, 1.3)})
    assert [one.rule for one in found] == ([rule] if rule else [])
    if rule:
        assert (found[0].feature, found[0].share) == ("x", max(learned.training, learned.later))
        assert found[0].sentence.startswith(f"'x' has {found[0].share:.0%} of the attribution and ")


def _labelled(table: pa.Table) -> pa.Table:
    return table.append_column("y", pa.array(noise(table.num_rows)))


LEAKS: list[Any] = [
    pytest.param("regression", lambda y, n: y + 0.03 * n, 0.7, True, id="the label with a little noise"),
    pytest.param("regression", lambda y, n: y + 0.03 * n, 0.3, False, id="which the model hardly uses"),
    pytest.param("regression", lambda y, n: y + 0.5 * n, 0.7, False, id="a good feature"),
    pytest.param("binary", lambda y, n: y + 0.1 * n, 0.7, True, id="the class with a little noise"),
    pytest.param("binary", lambda y, n: y + 0.5 * n, 0.7, False, id="a feature that goes with the class"),
    pytest.param("multiclass", lambda y, n: y + 0.1 * n, 0.7, True, id="one of several classes"),
]


@pytest.mark.parametrize(("task", "of", "share", "leaks"), LEAKS)
def test_a_leak_alone_says_what_the_label_is(task: Task, of: Any, share: float, leaks: bool) -> None:
    schema = Schema(task, "y", (Feature("x", "number"), Feature("z", "number")), classes=() if task == "regression" else ("0", "1", "2"))
    tables = []
    for count in (ROWS, 250):
        labels = noise(count) if task == "regression" else DRAW.integers(0, 2 if task == "binary" else 3, count)
        tables.append(pa.table({"x": of(labels, noise(count)), "z": noise(count), "y": labels}))
    found = suspicions(schema, *tables, {"x": Learned(share, share, 5.0), "z": Learned(1 - share, 1 - share, 1.1)})
    assert [(one.feature, one.rule) for one in found] == ([("x", "leak")] if leaks else [])


def test_a_single_feature_cannot_dominate_others() -> None:
    labels = noise(ROWS)
    table = pa.table({"x": labels, "y": labels})
    schema = Schema("regression", "y", (Feature("x", "number"),))
    assert suspicions(schema, table, table, {"x": Learned(1.0, 1.0, 9.0)}) == ()
