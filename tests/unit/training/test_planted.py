"""Defects planted in three worlds that drift: each is caught by the check that is named beside it, and the clean worlds pass.

`python -m tests.bench.validation` plays more seeds, and prints the table.
"""

from datetime import timedelta

import numpy as np
import pytest
from msgspec.structs import replace

from tests.unit.training.planted import DEFECTS, KINDS, START, World, world
from trimtab.training.checks import Check, sentences
from trimtab.training.validate import validate

DAY = 300


def checks(kind: str, seed: int, defect: str = "") -> list[Check]:
    """What is found on day 300, with the champion of day 270, in the clean world or with a defect planted."""
    made = world(kind, seed)
    rows = made.window(DAY)
    asked: World = made
    if defect:
        rows = DEFECTS[defect][1](rows, kind, np.random.default_rng(seed))
    if "key" not in rows.column_names:
        asked = replace(made, spec=replace(made.spec, data=replace(made.spec.data, key=None)))
    return validate(rows, asked.spec, 0, made.champion(DAY - 30, seed), START + timedelta(days=DAY))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("defect", DEFECTS)
def test_a_planted_defect_is_caught_by_its_check(kind: str, defect: str) -> None:
    assert DEFECTS[defect][0] in {check.check for check in checks(kind, 1, defect) if check.severity == "stop"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_world_that_only_drifts_is_not_stopped(kind: str, seed: int) -> None:
    assert sentences(checks(kind, seed)) == ()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("day", [245, 330])
def test_a_first_version_and_a_late_one_are_not_stopped(kind: str, day: int) -> None:
    made = world(kind, 3)
    before = None if day < 270 else made.champion(260, 3)
    assert sentences(validate(made.window(day), made.spec, 0, before, START + timedelta(days=day))) == ()
