"""Whether two versions predict alike: rows that are alike by hand, and what both say over the monitor's own scores."""

import math
from datetime import datetime
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from trimtab.monitoring import views
from trimtab.monitoring.agreeing import agreement
from trimtab.monitoring.monitor import Monitor, UnknownModel
from trimtab.monitoring.ports import WatchedVersion
from trimtab.monitoring.reference import Reference, read_reference
from trimtab.schema import PREDICTION

from .folders import NOW, START, MemoryFleet, instances, served
from .test_pairing import ID, biased, good, raising_on_north, serving, watch


@pytest.fixture
def reference(version: WatchedVersion) -> Reference:
    """A reference whose predictions have a standard deviation of 2."""
    found = read_reference(version.folder)
    return replace(found, table={**found.table, PREDICTION: np.array([-2.0, 2.0] * 50)})


def of_task(reference: Reference, task: Any, *classes: str) -> Reference:
    return replace(reference, schema=replace(reference.schema, task=task, classes=classes))


@pytest.mark.parametrize(
    ("champion", "candidate", "alike"),
    [
        pytest.param([1.0, 1.0, 1.0], [1.0, 1.39, 1.41], (True, True, False), id="numbers within a fifth of the deviation are alike"),
        pytest.param([1.0, 1.0], [None, "x"], (False, False), id="what the candidate cannot answer is not"),
        pytest.param([None, 1.0], [1.0, 1.0], (True,), id="what the champion cannot answer is left out"),
        pytest.param([], [], (), id="no rows"),
    ],
)
def test_numbers(champion: list[Any], candidate: list[Any], alike: tuple[bool, ...], reference: Reference) -> None:
    assert agreement(champion, candidate, reference, 0.2).alike == alike


def test_probabilities_are_held_against_their_own_spread_so_that_a_rare_class_cannot_hide_a_difference(reference: Reference) -> None:
    rare = replace(of_task(reference, "binary", "no", "yes"), table={PREDICTION: np.array([0.01, 0.03] * 50)})
    assert agreement([0.02, 0.02], [0.021, 0.2], rare, 0.2).alike == (True, False), "both are below 0.5, and far apart"
    assert agreement([[0.98, 0.02]], [0.021], rare, 0.2).alike == (True,)


def test_classes_are_alike_where_the_most_probable_is_the_same(reference: Reference) -> None:
    three = of_task(reference, "multiclass", "a", "b", "c")
    champion = [[0.5, 0.3, 0.2], [0.4, 0.35, 0.25], [0.1, 0.1, 0.8]]
    candidate = [[0.9, 0.1, 0.0], [0.35, 0.4, 0.25], [0.5, 0.5]]
    assert agreement(champion, candidate, three, 0.2).alike == (True, False, False)
    moved = agreement([champion[0]] * 40, [candidate[0]] * 30 + [candidate[1]] * 10, three, 0.2)
    assert moved.effect == pytest.approx(0.25), "a quarter of the rows has another class"


def test_the_distributions_differ_by_what_drift_would_call_it_and_nothing_is_said_of_few_rows(reference: Reference) -> None:
    said = np.linspace(-3.0, 3.0, 100)
    found = agreement(said.tolist(), (said + 1.0).tolist(), reference, 0.2)
    assert found.effect == pytest.approx(1.0 / said.std(), rel=0.02)
    assert agreement([1.0] * 29, [2.0] * 29, reference, 0.2).effect is None


def test_the_monitor_compares_what_both_scored_since_a_moment(
    monitor: Monitor, fleet: MemoryFleet, version: WatchedVersion, generator: np.random.Generator
) -> None:
    rows = instances(generator, 80)
    spread = float(np.nanstd(monitor.reference(version).table[PREDICTION]))
    with serving(good) as champion, serving(biased) as candidate:
        monitor.accept(served(rows[:1]), NOW)
        watch(monitor, fleet, version, champion.url, candidate.url)
        monitor.accept(served(rows[1:], first=1), NOW)
        watch(monitor, fleet, version, champion.url, candidate.url)
        assert views.agreement(monitor, ID, "1", "2", START, 2.01 / spread).alike == (True,) * 79
        found = views.agreement(monitor, ID, "1", "2", START, 1.99 / spread)
        assert found.alike == (False,) * 79
        assert found.effect is not None
        assert found.effect > 0.2
        late = views.agreement(monitor, ID, "1", "2", datetime.fromisoformat(rows[59]["at"]), 1.0)
        assert len(late.alike) == 20
        candidate.answer = raising_on_north
        monitor.accept(served(instances(generator, 40), first=80), NOW)
        watch(monitor, fleet, version, champion.url, candidate.url)
        assert math.isfinite(views.agreement(monitor, ID, "1", "2", START, 1.0).effect or math.nan)
        with pytest.raises(UnknownModel, match="'9'"):
            views.agreement(monitor, ID, "9", "2", START, 0.2)
