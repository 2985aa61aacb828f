"""Planted defects and the default gates that stop them, and clean worlds that no gate stops.

Each defective candidate is compared with a champion that was made from clean rows a while ago. `-rP` shows the tables.
"""

from pathlib import Path

import pytest

from tests.unit.training.defects import DEFECTS, world
from tests.unit.training.twins import version
from trimtab.spec import Task
from trimtab.training.evaluate import evaluate
from trimtab.training.gate import GateResult, judge

TASKS: tuple[Task, ...] = ("regression", "binary", "multiclass")
CLEAN_SEEDS = range(2)


def champion(folder: Path, task: Task, seed: int) -> Path:
    """A version of the first 85% of the clean rows."""
    table, spec = world(task, seed=seed)
    older = table.slice(0, int(table.num_rows * 0.85))
    made = version(older, spec, folder, 7)
    evaluate(older, spec, made, None, made, 7)
    return made


@pytest.mark.timeout(900)
@pytest.mark.parametrize("task", [pytest.param(task, marks=() if task == "binary" else pytest.mark.long) for task in TASKS])
def test_every_planted_defect_is_stopped_by_the_gate_that_is_meant_for_it(tmp_path: Path, task: Task) -> None:
    against, (clean, spec) = champion(tmp_path / "champion", task, 0), world(task, seed=0)
    stopped: dict[str, list[GateResult]] = {}
    for defect in DEFECTS:
        if task in defect.tasks:
            table = defect.plant(clean, spec, 1)
            made = version(table, spec, tmp_path / defect.name.replace("/", "-"), 8)
            found = evaluate(table, spec, made, against, made, 8, against_version="1")
            stopped[defect.name] = [result for result in judge((), found) if not result.passed]
    print(f"\n{task + ': planted':44} stopped by")
    for name, results in stopped.items():
        print(f"{name:44} {'; '.join(result.gate for result in results)}")
    missed = [one.name for one in DEFECTS if one.name in stopped and not any(one.gate in result.gate for result in stopped[one.name])]
    assert missed == []


@pytest.mark.parametrize("seed", CLEAN_SEEDS)
@pytest.mark.parametrize("task", TASKS)
def test_nothing_stops_a_clean_candidate(tmp_path: Path, task: Task, seed: int) -> None:
    against, (table, spec) = champion(tmp_path / "champion", task, seed), world(task, seed=seed)
    found = evaluate(table, spec, version(table, spec, tmp_path / "new", 8), against, tmp_path / "out", 8, against_version="1")
    assert [result.sentence for result in judge((), found) if not result.passed] == []
