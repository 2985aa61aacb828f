"""The search: the same again, in a budget, pruned, never past the holdout, and going on where a killed one stopped."""

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.unit.training.toys import toy, with_search
from trimtab.spec import ModelSpec, Task
from trimtab.training.estimators import ESTIMATORS
from trimtab.training.fitted import Fitted
from trimtab.training.search import Share, hopeless, journal_of, sampled, search
from trimtab.training.search_folds import folds_of
from trimtab.training.trials import Journal, Trial, best_first

TREES = {"estimators": ("xgboost",)}


def timeless(trials: list[Trial]) -> list[Trial]:
    return [msgspec.structs.replace(trial, seconds=0.0) for trial in trials]


def ticking(step: float) -> Callable[[], float]:
    """A clock that moves on by `step` seconds whenever it is read."""
    return map(float, itertools.count(0, step)).__next__


def test_the_first_trials_are_the_defaults_of_each_estimator_then_the_champions_own(tmp_path: Path) -> None:
    table, given = toy(tmp_path, trials=5)
    champion = Fitted("random_forest", {"max_depth": 5, "subsample": 7.0, "lost": 1, "half_life": 0.5, "rounds": 3}, 7, 400)
    found = search(table, given, 7, champion=champion)
    assert [(trial.origin, trial.estimator) for trial in found[:4]] == [
        ("defaults", "xgboost"),
        ("defaults", "random_forest"),
        ("defaults", "linear"),
        ("champion", "random_forest"),
    ]
    assert found[4].origin == "search"
    usual = ESTIMATORS["random_forest"].defaults("regression")
    assert found[3].parameters == {**usual, "max_depth": 5, "subsample": 0.95, "half_life": 0.5}


@pytest.mark.parametrize("champion", [Fitted("linear", {"alpha": 5.0}, 7, 400), Fitted("catboost", {}, 7, 400), None])
def test_a_champion_of_another_kind_is_not_tried(tmp_path: Path, champion: Fitted | None) -> None:
    table, given = toy(tmp_path, trials=2, **TREES)
    assert [trial.origin for trial in search(table, given, 7, champion=champion)] == ["defaults", "search"]


@pytest.mark.parametrize("task", ["regression", "binary", "multiclass"])
def test_the_same_rows_and_seed_make_the_same_trials(tmp_path: Path, task: Task) -> None:
    table, given = toy(tmp_path, task, count=200, trials=9)
    one, two = (timeless(search(table, given, 7)) for _ in range(2))
    assert one == two
    assert {trial.state for trial in one} <= {"complete", "pruned"}


def test_another_seed_tries_other_settings(tmp_path: Path) -> None:
    table, given = toy(tmp_path, count=200, trials=3, **TREES)
    one, two = (search(table, given, seed) for seed in (7, 8))
    assert one[0].parameters.keys() == two[0].parameters.keys()
    assert all(left.parameters != right.parameters for left, right in zip(one[1:], two[1:], strict=True))


def test_nothing_of_the_holdout_is_seen(tmp_path: Path) -> None:
    table, given = toy(tmp_path, trials=4)
    spoiled, _ = toy(tmp_path, spoiled_from=320)
    assert table.slice(0, 320).equals(spoiled.slice(0, 320))
    assert timeless(search(table, given, 7)) == timeless(search(spoiled, given, 7))


def test_a_binary_trial_is_calibrated_on_folds_before_the_one_that_it_is_judged_on(tmp_path: Path) -> None:
    table, given = toy(tmp_path, "binary", count=1500, trials=2, estimators=("random_forest",))
    found = search(table, given, 7)[0]
    assert found.parameters["calibration"] in ("sigmoid", "isotonic")
    assert len(found.losses) == 3
    assert len(found.calibration) > 2


def test_trials_end_early_where_half_of_the_others_did_better(tmp_path: Path) -> None:
    table, given = toy(tmp_path, trials=14)
    found = search(table, given, 7)
    pruned = [trial for trial in found if trial.state == "pruned"]
    assert pruned
    assert all(trial.number >= 5 and len(trial.losses) < 3 and trial.loss is not None for trial in pruned)
    assert all(len(trial.losses) == 3 for trial in found if trial.state == "complete")
    assert best_first(found)[0].state == "complete"


def lost(*losses: float) -> Trial:
    return Trial(0, "xgboost", {}, losses=losses)


HOPELESS = [
    ("worse than the median after one fold", (4.0,), [1, 2, 3, 4, 5], True),
    ("as good as the median", (3.0,), [1, 2, 3, 4, 5], False),
    ("too few to judge by", (9.0,), [1, 2, 3, 4], False),
    ("no other came as far", (9.0, 9.0), [1, 2, 3, 4, 5], False),
]


@pytest.mark.parametrize(("losses", "others", "expected"), [case[1:] for case in HOPELESS], ids=[case[0] for case in HOPELESS])
def test_hopeless(losses: tuple[float, ...], others: list[float], expected: bool) -> None:
    assert hopeless(losses, [lost(float(value)) for value in others]) is expected


def test_when_the_time_is_up_no_trial_is_begun_and_the_running_one_ends_at_its_fold(tmp_path: Path) -> None:
    table, given = toy(tmp_path, trials=50, time="60s", **TREES)
    found = search(table, given, 7, now=ticking(7.0))
    assert 1 < len(found) < 10
    assert [trial.state for trial in found[:-1]] == ["complete"] * (len(found) - 1)
    assert sum(trial.seconds for trial in found[:-1]) < 60


def test_one_trial_comes_to_its_end_whatever_time_it_takes(tmp_path: Path) -> None:
    table, given = toy(tmp_path, trials=50, time="0s", **TREES)
    assert [trial.state for trial in search(table, given, 7)] == ["complete"]


def test_settings_that_cannot_be_fitted_are_a_failed_trial_and_the_search_goes_on(tmp_path: Path) -> None:
    import pyarrow as pa

    table, given = toy(tmp_path, trials=3)
    endless = [float("inf") if index == 5 else value for index, value in enumerate(table.column("size").to_pylist())]
    table = table.set_column(table.column_names.index("size"), "size", pa.array(endless))
    found = search(table, given, 7)
    assert {trial.estimator: trial.fault for trial in found if trial.state == "failed"}[
        "linear"
    ] == "linear raises ValueError on these rows"
    assert best_first(found)[-1].state == "failed"


@pytest.mark.parametrize(("trials", "shards", "expected"), [(10, 1, [10]), (10, 4, [3, 3, 2, 2]), (3, 3, [1, 1, 1]), (1, 2, [1, 0])])
def test_trials_are_dealt_out(trials: int, shards: int, expected: list[int]) -> None:
    assert [Share(shard, shards).of(trials) for shard in range(shards)] == expected


def test_shares_try_different_things_and_the_defaults_once(tmp_path: Path) -> None:
    table, given = toy(tmp_path, trials=6)
    shards = [search(table, given, 7, Share(shard, 2)) for shard in (0, 1)]
    assert [trial.estimator for shard in shards for trial in shard if trial.origin == "defaults"] == ["xgboost", "linear", "random_forest"]
    assert {(trial.shard, trial.number) for shard in shards for trial in shard} == {(a, b) for a in (0, 1) for b in range(3)}
    drawn = [msgspec.json.encode(trial.parameters) for shard in shards for trial in shard if trial.origin == "search"]
    assert len(set(drawn)) == len(drawn)


def test_big_data_is_tried_on_a_sample_in_the_order_of_time(tmp_path: Path) -> None:
    table, given = toy(tmp_path)
    sample = sampled(table, given, 7, cells=300)
    assert sample.num_rows == 100
    times = sample.column("at").to_pylist()
    assert times == sorted(times)
    assert max(times) < table.column("at")[320].as_py()
    assert sample.equals(sampled(table, given, 7, cells=300))
    assert sampled(table, given, 7).num_rows == 320


DELAYS = [
    ("no delay: the newest half, a sixth each", "0s", "regression", [(160, 160, 213), (213, 213, 266), (266, 266, 320)]),
    ("a delay is a gap before each", "10h", "regression", [(151, 160, 213), (204, 213, 266), (257, 266, 320)]),
    ("one more, that only calibrates", "0s", "binary", [(107, 107, 160), (160, 160, 213), (213, 213, 266), (266, 266, 320)]),
    ("a delay that would leave too little goes without the gap", "5d", "regression", [(160, 160, 213), (213, 213, 266), (266, 266, 320)]),
]


@pytest.mark.parametrize(("delay", "task", "expected"), [case[1:] for case in DELAYS], ids=[case[0] for case in DELAYS])
def test_forward_folds(tmp_path: Path, delay: str, task: Task, expected: list[tuple[int, ...]]) -> None:
    table, given = toy(tmp_path, task)
    data = msgspec.structs.replace(given.data, label_delay=delay)
    assert [msgspec.structs.astuple(fold) for fold in folds_of(table.slice(0, 320), data, task)] == expected


# --- resuming -------------------------------------------------------------------------------------------------------

CHILD = """
import sys
from pathlib import Path
from tests.unit.training.test_search import resumed
resumed(Path(sys.argv[1]))
"""


def resumed(folder: Path) -> list[Trial]:
    """What the child and the test itself search for, with the same journal."""
    table, given = toy(folder, "binary", trials=25, estimators=("xgboost", "random_forest"))
    return search(table, given, 7, journal=folder / "work" / "a.jsonl")


def lines(journal: Path) -> list[bytes]:
    return journal.read_bytes().splitlines() if journal.exists() else []


def test_a_search_that_was_killed_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    journal = tmp_path / "work" / "a.jsonl"
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], env={**os.environ, "PYTHONPATH": os.getcwd()})  # noqa: PTH109
    deadline = time.monotonic() + 120
    while len(lines(journal)) < 9 and child.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL, "the child had ended before it was killed"
    before = lines(journal)
    found = resumed(tmp_path)
    after = lines(journal)
    assert len(before) < len(found) == len(after) == 25
    assert after[: len(before)] == before
    journal.unlink()
    assert timeless(resumed(tmp_path)) == timeless(found)


def test_half_a_line_is_cut_off_and_the_time_of_before_counts(tmp_path: Path) -> None:
    table, given = toy(tmp_path, trials=3, **TREES)
    journal = tmp_path / "a.jsonl"
    whole = search(table, given, 7, journal=journal)
    first, second, _ = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(first + second[:-20])
    assert timeless(search(table, given, 7, journal=journal)) == timeless(whole)
    spent = msgspec.json.decode(first, type=Trial)
    journal.write_bytes(msgspec.json.encode(msgspec.structs.replace(spent, seconds=301.0)) + b"\n")
    assert len(search(table, given, 7, journal=journal)) == 1


WAITER = """
import sys
from pathlib import Path
from trimtab.training.trials import Journal
print(len(Journal(Path(sys.argv[1])).trials()))
"""


def test_a_second_writer_waits_for_the_first(tmp_path: Path) -> None:
    first = Journal(tmp_path / "a.jsonl")
    first.append(lost(1.0))
    second = subprocess.Popen([sys.executable, "-c", WAITER, str(tmp_path / "a.jsonl")], stdout=subprocess.PIPE, text=True)
    first.append(lost(2.0))
    first.close()
    assert second.communicate(timeout=60)[0] == "2\n"


def test_a_journal_nobody_wrote_to_for_a_week_is_removed(tmp_path: Path) -> None:
    for name, days in (("old", 8), ("young", 6)):
        (tmp_path / f"{name}.jsonl").touch()
        os.utime(tmp_path / f"{name}.jsonl", (0, time.time() - days * 86_400))
    Journal(tmp_path / "mine.jsonl").close()
    assert sorted(path.stem for path in tmp_path.iterdir()) == ["mine", "young"]


def asked(given: ModelSpec, **changes: Any) -> Path | None:
    arguments: dict[str, Any] = {"folder": "/work", "dataset": "d", "spec": given, "seed": 7, "share": Share(0, 2), "champion": None}
    return journal_of(**{**arguments, **changes})


def test_a_journal_is_of_one_search_alone(tmp_path: Path) -> None:
    _, given = toy(tmp_path)
    others: list[dict[str, Any]] = [
        {"dataset": "e"},
        {"spec": with_search(given, trials=9)},
        {"seed": 8},
        {"share": Share(1, 2)},
        {"champion": Fitted("linear", {}, 7, 1)},
    ]
    assert asked(given) == asked(given)
    assert len({asked(given), *(asked(given, **other) for other in others)}) == 6
    assert asked(given, folder="") is None
