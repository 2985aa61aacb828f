"""How the champion stands, in a word and a sentence."""

from typing import Any

import numpy as np
import pytest

from trimtab.monitoring import views
from trimtab.monitoring.monitor import Monitor
from trimtab.monitoring.ports import Watched

from .folders import HOUR, NOW, START, MemoryFleet, instances, model, served

ID = "default/demand"


def play(monitor: Monitor, *parts: list[dict[str, Any]]) -> None:
    rows = [row for part in parts for row in part]
    monitor.accept(served(rows), NOW)
    for _ in range(3):
        monitor.tick(NOW)
        monitor.settle()


def part(generator: np.random.Generator, number: int, rows: int = 100, **changes: Any) -> list[dict[str, Any]]:
    return instances(generator, rows, start=START + 100 * number * HOUR, first=100 * number, **changes)


def broken(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**row, "load": row["load"] * 1e6} for row in rows]


@pytest.mark.parametrize(
    ("shifts", "word", "sentence"),
    [
        pytest.param([], "unknown", "no window of version 1 was tested yet", id="no window"),
        pytest.param([0.0, 0.0], "none", "none of 4 columns of version 1 moved in window 0", id="nothing moved"),
        pytest.param([0.0, 2.0, 0.0], "watch", "columns of version 1 moved in window 1, ", id="it moved once"),
        pytest.param([2.0, 2.0, 0.0], "covariate", "moved from the reference in 2 of 3 windows", id="it moved for good"),
        pytest.param([2.0, 2.0, 0.0, 0.0, 0.0, 0.0], "none", "moved in window 4", id="it moved for good, and back"),
    ],
)
def test_standing(monitor: Monitor, generator: np.random.Generator, shifts: list[float], word: str, sentence: str) -> None:
    play(monitor, *(part(generator, number, shift=shift) for number, shift in enumerate(shifts)))
    found = views.standing(monitor, ID)
    assert (found[0], sentence in found[1]) == (word, True), found
    state = views.state(monitor, ID)
    assert (state["drift"], state["sentence"]) == found


def test_broken_data_comes_first(monitor: Monitor, generator: np.random.Generator) -> None:
    play(monitor, part(generator, 0, shift=2.0), part(generator, 1, shift=2.0), broken(part(generator, 2)), part(generator, 3))
    word, sentence = views.standing(monitor, ID)
    assert (word, "is broken in window 2" in sentence) == ("quality", True), sentence


def test_a_window_that_could_not_be_tested_says_so(monitor: Monitor, generator: np.random.Generator) -> None:
    play(monitor, broken(part(generator, 0)), part(generator, 1))
    monitor.records.close_quality(ID)
    assert views.standing(monitor, ID) == ("unknown", "window 0 of version 1: not tested: the window's data is broken")


def test_without_a_champion_nothing_is_known(monitor: Monitor, fleet: MemoryFleet) -> None:
    fleet.models = [Watched(model())]
    assert views.standing(monitor, ID) == ("unknown", "no version serves yet")
