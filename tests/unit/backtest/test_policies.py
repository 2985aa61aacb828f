"""When clocks ask, and what they are free of."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

from trimtab.backtest.policies import WEEKLY, clocks, evenly, offline

from .worlds import model

FROM, TO = datetime(2026, 1, 31, tzinfo=UTC), datetime(2026, 5, 2, tzinfo=UTC)


def test_clocks_ask_from_the_first_cut_on_until_the_last_row() -> None:
    made = clocks(FROM, TO)
    assert made[WEEKLY] == tuple(FROM + timedelta(weeks=n) for n in range(1, 13))
    assert made["every 3 weeks"] == tuple(FROM + timedelta(weeks=3 * n) for n in range(1, 5))
    assert made["every month"] == tuple(datetime(2026, month, day, tzinfo=UTC) for month, day in ((2, 28), (3, 31), (4, 30)))


def test_even_moments_leave_equal_distances_at_both_ends() -> None:
    made = (FROM, *evenly(3, FROM, TO), TO)
    assert len({later - earlier for earlier, later in pairwise(made)}) == 1


def test_offline_takes_away_what_needs_traffic_people_or_a_stopwatch() -> None:
    spec = offline(model(Path("x.csv")), 3).spec
    assert (spec.rollout.strategy, spec.approval) == ("direct", "automatic")
    assert (spec.training.search.budget.trials, spec.training.search.budget.time) == (3, "100d")
