"""Estimates hold in one small world and are not believed after the concept changed; `estimates.py` beside it measures more."""

import numpy as np

from tests.simulation.estimates import World, cohorts, estimated, judged, played, rows_of

SMALL = World(60_000, 6, "2024-04-01", "2024-05-01", "2024-06-01")


def test_an_estimate_is_near_what_labels_say_until_the_concept_changes() -> None:
    of = played("recommendation", 1, SMALL)
    rows = rows_of("recommendation", 1, of)
    moving, after = ([row for row in rows if row.concept == side] for side in (False, True))
    assert moving
    assert after
    assert max(abs(row.value - row.realised) for row in moving) < 0.06
    assert [row.state for row in moving] == ["estimated"] * len(moving)
    assert after[0].state == "unverified"


def test_a_window_with_few_positives_says_so() -> None:
    of = played("recommendation", 1, SMALL)
    part = cohorts(of.parts[0])[0]
    few = part.taken(np.arange(5000))
    told = estimated(of, few, "few")
    assert "500 are needed" in told.insufficient
    assert told.rose is False
    assert judged(of, few, "few").rows == 5000
