"""The real worker in the detectors' environment, and children that misbehave."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from trimtab.cage import Cage
from trimtab.errors import InvalidInput, Unavailable
from trimtab.monitoring.columns import Column, Table
from trimtab.monitoring.detectors.asking import caged
from trimtab.monitoring.detectors.tabular import TabularDrift

from .folders import DETECTORS, ScipyDetector

COLUMNS = [Column("load", "number", "load"), Column("heat", "number", "heat"), Column("site", "category", "site")]


def tables(generator: np.random.Generator, shift: float) -> tuple[Table, Table]:
    found = []
    for count, move in ((2000, 0.0), (336, shift)):
        load = generator.normal(move, 1.0, count)
        load[:: 7 if move else 11] = np.nan
        found.append({"load": load, "heat": generator.gamma(2.0, 1.0, count), "site": generator.integers(0, 5, count).astype(float)})
    found[1]["site"][:20] = 9.0
    return found[0], found[1]


@pytest.mark.parametrize("shift", [pytest.param(0.0, id="no shift"), pytest.param(0.3, id="a shift of 0.3")])
def test_the_workers_p_values_are_scipys(detector: TabularDrift, generator: np.random.Generator, shift: float) -> None:
    reference, window = tables(generator, shift)
    found, expected = (each.test(COLUMNS, reference, window) for each in (detector, ScipyDetector()))
    for column in COLUMNS:
        assert found[column.name].p == pytest.approx(expected[column.name].p, rel=1e-5)
        assert found[column.name].statistic == pytest.approx(expected[column.name].statistic, rel=1e-5)


def test_the_worker_is_kept_and_comes_back_after_it_was_killed(cage: Cage, detector: TabularDrift, generator: np.random.Generator) -> None:
    reference, window = tables(generator, 0.0)
    first = detector.test(COLUMNS, reference, window)
    pid = cage.pid
    assert pid is not None
    started = time.monotonic()
    assert detector.test(COLUMNS, reference, window) == first
    assert (cage.pid, time.monotonic() - started < 1.0) == (pid, True)
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while cage.pid is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert detector.test(COLUMNS, reference, window) == first
    assert cage.pid not in (pid, None)


def test_a_worker_that_takes_too_long_is_killed_and_another_one_started(generator: np.random.Generator) -> None:
    reference, window = tables(generator, 0.0)
    hurried = caged(DETECTORS, timeout=0.05)
    with pytest.raises(Unavailable, match=r"no answer within 0\.05 s"):
        TabularDrift(hurried).test(COLUMNS, reference, window)
    assert hurried.pid is None


def test_the_worker_says_what_failed(detector: TabularDrift, generator: np.random.Generator) -> None:
    reference, window = tables(generator, 0.0)
    with pytest.raises(Unavailable, match="the detector worker failed: "):
        detector.test(COLUMNS, reference, {**window, "site": np.full(336, np.nan)})
    assert detector.test(COLUMNS, reference, window)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        pytest.param("import time; time.sleep(60)", "no answer within", id="a child that never answers"),
        pytest.param("raise SystemExit(3)", "broke off", id="a child that ends"),
        pytest.param("print('hello', flush=True); input()", "broke off", id="a child that answers something else"),
        pytest.param("import sys; sys.stdout.write('{'); sys.stdout.flush(); input(); input()", "no answer within", id="half an answer"),
    ],
)
def test_a_child_that_misbehaves_is_a_sentence_and_gone(code: str, words: str) -> None:
    cage = Cage("the worker", [sys.executable, "-c", code], timeout=1.0)
    with pytest.raises(Unavailable, match=words):
        cage.ask({})
    assert cage.pid is None


def test_the_worker_ends_with_its_parent_even_after_kill_9() -> None:
    code = (
        "import sys; from trimtab import locked\n"
        "from trimtab.cage import Cage; from trimtab.monitoring import worker\n"
        "cage = Cage('the worker', [sys.argv[1], '-I', locked.__file__, worker.__file__], 60.0)\n"
        "try: cage.ask({'detector': 'ks', 'reference': 'none', 'window': 'none', 'categories': [], 'options': {}})\n"
        "except Exception: print(cage.pid, flush=True)\n"
        "input()"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(DETECTORS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert Path(f"/proc/{pid}").exists()
        parent.kill()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2] and time.monotonic() < deadline:
        time.sleep(0.01)
    assert time.monotonic() < deadline


ASKS = """
import json
for line in iter(input, ""):
    total, request = 0, json.loads(line)
    for number in range(request["times"]):
        print(json.dumps({"ask": [number] * request["size"]}), flush=True)
        told = json.loads(input())["told"]
        if told is None:
            print(json.dumps({"error": "it was told nothing"}), flush=True)
            break
        total += sum(told)
    else:
        print(json.dumps({"total": total}), flush=True)
"""


def test_a_child_may_ask_back_and_outlives_that_it_is_told_nothing() -> None:
    cage = Cage("the worker", [sys.executable, "-c", ASKS], timeout=10.0)
    assert cage.ask({"times": 4, "size": 100_000}, lambda asked: [2 * value for value in asked]) == {"total": 1_200_000}
    pid = cage.pid

    def refuse(_: object) -> object:
        msg = "no more than this"
        raise InvalidInput(msg)

    with pytest.raises(InvalidInput, match="no more than this"):
        cage.ask({"times": 2, "size": 1}, refuse)
    with pytest.raises(Unavailable, match="the worker failed: it was told nothing"):
        cage.ask({"times": 2, "size": 1})
    assert cage.ask({"times": 0, "size": 1}) == {"total": 0}
    assert cage.pid == pid
    cage.close()


def test_a_child_that_cannot_be_started_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot be started"):
        Cage("the worker", [str(tmp_path / "python")], timeout=1.0).ask({})


def test_the_child_sees_almost_no_environment() -> None:
    code = "import json, os; input(); print(json.dumps({'names': sorted(os.environ)}))"
    cage = Cage("the worker", [sys.executable, "-c", code], timeout=10.0)
    names = set(cage.ask({})["names"])
    cage.close()
    assert names - {"LC_CTYPE"} <= {"LANG", "OMP_NUM_THREADS", "TRIMTAB_STATE"}
