"""Paired losses: what they show, and that neither an equal candidate nor a rainy day is called harm."""

import math
import time

import numpy as np
import pytest

from trimtab.errors import InvalidInput
from trimtab.release import PairedLosses
from trimtab.rollout.quality import judge_quality
from trimtab.units import margin

MARGIN = margin("x1.05")


def pairs(rows: int, ratio: float, seed: int = 1, persistence: float = 0.0) -> PairedLosses:
    """Squared errors of two models that share most of what makes a row hard; the candidate's are `ratio` times as large."""
    draw = np.random.default_rng(seed)

    def errors() -> np.ndarray:
        noise, series = draw.normal(size=rows), np.empty(rows)
        before = 0.0
        for row, shock in enumerate(noise):
            before = persistence * before + math.sqrt(1.0 - persistence**2) * shock
            series[row] = before
        return series

    shared = errors()
    champion, candidate = (shared + 0.3 * errors()) ** 2, ratio * (shared + 0.3 * errors()) ** 2
    return PairedLosses(tuple(champion), tuple(candidate), clip=2.5)


CASES = [
    ("no row has matured", PairedLosses(), "noData"),
    ("one row, and it is worse", PairedLosses((1.0,), (2.0,), 2.0), "hold"),
    ("the candidate is twice as bad on 100 rows", pairs(100, 2.0), "harm"),
    ("as good on 48 rows", pairs(48, 1.0), "hold"),
    ("as good on 20,000 rows", pairs(20_000, 1.0), "notWorse"),
    ("better on 300 rows", pairs(300, 0.5), "notWorse"),
    ("its predictions are no numbers", PairedLosses((1.0,) * 30, (math.nan,) * 30, 2.0), "harm"),
]


@pytest.mark.parametrize(("losses", "says"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_is_said(losses: PairedLosses, says: str) -> None:
    verdict = judge_quality(losses, MARGIN)
    assert verdict.says == says
    assert (verdict.lower is not None and verdict.lower >= 1.0) == (says == "harm")
    if says == "notWorse":
        assert verdict.upper is not None
        assert verdict.upper <= 1.05


def test_an_absolute_margin_and_a_tolerance_are_in_units_of_the_loss() -> None:
    losses = pairs(300, 2.0)
    assert judge_quality(losses, margin("+0.2")).says == "harm"
    assert judge_quality(losses, margin("+0.2"), tolerance=5.0).says == "hold"
    assert judge_quality(losses, margin("+2.4"), tolerance=2.0).says == "notWorse"


def test_the_sentence_has_both_means_the_ratio_its_interval_and_what_is_allowed() -> None:
    sentence = judge_quality(PairedLosses((1.0,) * 40, (2.0,) * 40, 2.0), MARGIN).sentence
    start = "quality: mean loss of the candidate 2, of the champion 1 on the same 40 rows: 2 times the champion's ["
    assert sentence.startswith(start)
    assert sentence.endswith("], allowed x1.05")


@pytest.mark.parametrize("persistence", [0.0, 0.6, 0.9])
def test_an_equal_candidate_is_not_harm_though_hours_resemble_each_other(persistence: float) -> None:
    """100 weeks of hours, looked at each day: at most 2% may ever be called harm, designed at a third of 1.4%."""
    called = 0
    for seed in range(100):
        losses = pairs(168, 1.0, seed, persistence)
        looks = (PairedLosses(losses.champion[:rows], losses.candidate[:rows], losses.clip) for rows in range(24, 169, 24))
        called += any(judge_quality(look, MARGIN).says == "harm" for look in looks)
    assert called <= 4


def test_losses_that_are_no_pairs_are_refused() -> None:
    with pytest.raises(InvalidInput, match="2 of the champion, 1 of the candidate"):
        judge_quality(PairedLosses((1.0, 2.0), (1.0,)), MARGIN)
    with pytest.raises(InvalidInput, match="clip 0"):
        judge_quality(PairedLosses((1.0,), (1.0,), 0.0), MARGIN)


def test_five_thousand_rows_are_judged_at_once() -> None:
    losses = pairs(5000, 1.0)
    began = time.perf_counter()
    for _ in range(5):
        judge_quality(losses, MARGIN)
    assert time.perf_counter() - began < 1.0
