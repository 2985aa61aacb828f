"""Calibration: a rising line that makes an over-confident model honest on rows that it was not fitted on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.training.toys import rare_positives
from trimtab.schema import calibrated
from trimtab.training.calibration import Way, knots, ways
from trimtab.training.scores import roc_auc, row_losses

WAYS: tuple[Way, ...] = ("sigmoid", "isotonic")


@pytest.mark.parametrize("way", WAYS)
def test_an_over_confident_model_becomes_honest_and_ranks_as_before(way: Way) -> None:
    said, labels, _ = rare_positives(4000, seed=1)
    line = knots(way, said, labels)
    said, labels, truth = rare_positives(20_000, seed=2)
    meant = calibrated(line, said)
    best, before, after = (row_losses("binary", labels, one).mean() for one in (truth, said, meant))
    assert before > best + 0.05
    assert after < best + 0.005
    assert np.abs(meant - truth).mean() < 0.02
    assert roc_auc(labels, meant) > roc_auc(labels, said) - 0.005


@pytest.mark.parametrize("way", WAYS)
@given(data=st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=2, max_size=80))
def test_whatever_was_said_the_line_rises_and_stays_a_probability(way: Way, data: list[tuple[float, bool]]) -> None:
    said, labels = np.array([one for one, _ in data]), np.array([float(flag) for _, flag in data])
    line = knots(way, said, labels)
    x, y = np.array(line).T
    assert (np.diff(x) > 0).all()
    assert (np.diff(y) >= 0).all()
    meant = calibrated(line, np.linspace(0, 1, 101))
    assert ((meant >= 0) & (meant <= 1)).all()
    if 0 < labels.sum() < len(labels):
        assert ((meant > 0) & (meant < 1)).all()


def test_a_model_that_says_the_contrary_is_told_the_base_rate() -> None:
    said, labels, _ = rare_positives(2000, seed=3)
    meant = calibrated(knots("sigmoid", 1 - said, labels), np.array([0.0, 0.5, 1.0]))
    assert meant == pytest.approx([labels.mean()] * 3, abs=0.01)


SUFFICE: list[tuple[str, int, tuple[Way, ...]]] = [
    ("four of a class calibrate nothing", 4, ("none",)),
    ("a few bear two numbers", 5, ("none", "sigmoid")),
    ("fifty bear a line of their own", 50, ("none", "sigmoid", "isotonic")),
]


@pytest.mark.parametrize(("rare", "expected"), [case[1:] for case in SUFFICE], ids=[case[0] for case in SUFFICE])
def test_which_ways_the_rarer_class_suffices_for(rare: int, expected: tuple[Way, ...]) -> None:
    assert ways(np.repeat([1.0, 0.0], [rare, 200])) == ways(np.repeat([1.0, 0.0], [200, rare])) == expected


def test_without_knots_everything_stays() -> None:
    assert knots("none", np.array([0.1, 0.9]), np.array([0.0, 1.0])) == ()
    assert calibrated((), np.array([0.1, 0.9])).tolist() == [0.1, 0.9]
