"""The judge: what it says of which evidence, and what may never change its mind."""

from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.errors import InvalidInput
from trimtab.release import ArmCounts, Block, Evidence, GuardState, ReleaseStatus, Verdict
from trimtab.rollout.judge import HARM_ALPHA, STEP_ALPHA, check_margins, is_warm, judge, look, new_step
from trimtab.spec import ErrorGuard, Guard, Rollout, SlowGuard

START = datetime(2026, 3, 1, tzinfo=UTC)
ROLLOUT = Rollout()


def block(champion: tuple[int, int], candidate: tuple[int, int], slow: tuple[int, int] = (0, 0), weight: int = 5) -> Block:
    """(requests, errors) of both versions, and how many were slow."""
    arms = [ArmCounts(n, x, late) for (n, x), late in zip((champion, candidate), slow, strict=True)]
    return Block(weight, START, START + timedelta(seconds=10), arms[0], arms[1])


def verdict_of(*looks: list[Block], rollout: Rollout = ROLLOUT) -> Verdict:
    evidence = Evidence()
    for blocks in looks:
        evidence = look(evidence, blocks, rollout)
    return judge(evidence, rollout)


def with_margin(errors: str, tolerance: float = 0.0) -> Rollout:
    return Rollout(guard=Guard(errors=ErrorGuard(margin=errors)), harm_tolerance=tolerance)


EQUAL = [[block((950, 5), (50, 0))], [block((950, 4), (50, 1))], [block((950, 6), (50, 0))]]

CASES = [
    ("nothing was seen", [], ROLLOUT, "noData"),
    ("a block in which nothing was asked", [[block((0, 0), (0, 0))]], ROLLOUT, "noData"),
    ("only the champion was asked, and it fails", [[block((5000, 2500), (0, 0))]], ROLLOUT, "noData"),
    ("a first look at few requests, none of which failed", [[block((95, 0), (5, 0))]], ROLLOUT, "hold"),
    ("half of the candidate's requests fail in the very first look", [[block((950, 0), (50, 25))]], ROLLOUT, "harm"),
    ("all of a small candidate's requests fail", [[block((40, 0), (10, 10))]], ROLLOUT, "harm"),
    ("one of the candidate's 50 requests failed", [[block((950, 0), (50, 1))]], ROLLOUT, "hold"),
    ("both versions fail at half of all requests", [[block((950, 475), (50, 25))]] * 3, ROLLOUT, "hold"),
    ("as good as the champion, but too few requests", EQUAL, ROLLOUT, "hold"),
    ("as good as the champion, over 60 looks", EQUAL * 20, ROLLOUT, "notWorse"),
    ("better than the champion", [[block((500, 50), (500, 5))]] * 3, ROLLOUT, "notWorse"),
    ("slow instead of failing", [[block((950, 0), (50, 0), (9, 20))]] * 2, ROLLOUT, "harm"),
    ("one guard is sure, the other is not: a wide margin for errors", EQUAL[:2], with_margin("+0.3"), "hold"),
    ("worse, but by less than the tolerance", [[block((500, 5), (500, 25))]] * 4, with_margin("+0.2", 0.1), "notWorse"),
    ("half as bad again, where x1.5 is the limit", [[block((5000, 50), (5000, 75))]] * 4, with_margin("x1.5", 0.5), "hold"),
    ("equal, where x1.5 is the limit", [[block((5000, 50), (5000, 50))]] * 5, with_margin("x1.5"), "notWorse"),
    ("three times as bad, where x1.5 is the limit", [[block((5000, 50), (500, 15))]] * 4, with_margin("x1.5"), "harm"),
]


@pytest.mark.parametrize(("looks", "rollout", "says"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_is_said(looks: list[list[Block]], rollout: Rollout, says: str) -> None:
    assert verdict_of(*looks, rollout=rollout).says == says


def test_both_versions_getting_worse_while_the_split_moves_is_no_harm() -> None:
    """Pooled, the champion has 0.6% errors and the candidate 4.6%: the trap of counts over different weights."""
    quiet = [[block((950, 2), (50, 0))]] * 30
    storm = [[block((500, 25), (500, 25), weight=50)]] * 10
    verdict = verdict_of(*quiet, *storm)
    assert verdict.guards[0].says != "harm"
    assert abs(verdict.guards[0].difference or 0.0) < 0.005


def test_harm_after_hours_of_health_is_found_within_dozens_of_errors() -> None:
    evidence = Evidence()
    for _ in range(300):
        evidence = look(evidence, [block((950, 2), (50, 0))], ROLLOUT)
    failed = 0
    while judge(evidence, ROLLOUT).says != "harm":
        evidence = look(evidence, [block((950, 2), (50, 5))], ROLLOUT)
        failed += 5
    assert failed <= 15


def test_a_new_step_has_to_be_shown_anew_and_keeps_what_speaks_for_harm() -> None:
    evidence = Evidence()
    for blocks in EQUAL * 20:
        evidence = look(evidence, blocks, ROLLOUT)
    assert judge(evidence, ROLLOUT).says == "notWorse"
    fresh = new_step(evidence)
    assert [guard.says for guard in judge(fresh, ROLLOUT).guards] == ["hold", "hold"]
    assert fresh.errors.harm == evidence.errors.harm
    assert fresh.errors.candidate_n == evidence.errors.candidate_n


def test_the_sentence_has_rates_difference_interval_and_what_is_allowed() -> None:
    verdict = verdict_of([block((1650, 3), (412, 13))])
    guard = verdict.guards[0]
    expected = "errors: candidate 3.16% of 412, champion 0.182% of 1,650: worse by 2.97 points [0.5, 9], allowed 1"
    assert guard.sentence == expected
    assert verdict.sentence == f"the candidate is worse: {expected}"
    assert verdict_of([block((1650, 3), (412, 13))], rollout=with_margin("x1.5")).guards[0].relative


def test_a_candidate_that_was_worse_and_then_better_has_no_interval_turned_round() -> None:
    worse, better = [block((5000, 50), (5000, 250))], [block((5000, 250), (5000, 50))]
    evidence = new_step(look(Evidence(), worse, ROLLOUT))
    guard = judge(look(evidence, better, ROLLOUT), ROLLOUT).guards[0]
    assert (guard.lower or 0.0) > (guard.upper or 0.0)
    assert "(no interval: it changed, for it was above 2 and it was below 0), allowed 1" in guard.sentence


@pytest.mark.parametrize(("text", "allowed"), [("x0", "above x0"), ("+1", "between -1 and"), ("x2000", "at most x1000")])
def test_a_margin_that_nothing_could_show_is_refused_with_a_sentence(text: str, allowed: str) -> None:
    with pytest.raises(InvalidInput, match=rf"spec\.rollout\.guard\.slow\.margin.*{allowed}"):
        check_margins(Rollout(guard=Guard(slow=SlowGuard(margin=text))))
    check_margins(ROLLOUT)


def test_the_evidence_survives_being_written_down() -> None:
    evidence = look(Evidence(cursor={"at": 3}), EQUAL[0], ROLLOUT)
    again = msgspec.json.decode(msgspec.json.encode(evidence), type=Evidence)
    assert again == evidence
    assert again.cursor == {"at": 3}
    assert len(msgspec.json.encode(evidence)) < 8_000


def status(asked: int = 20, ready: float | None = -3.0, unready: float | None = None) -> ReleaseStatus:
    """A candidate that was asked so often before, ready and unready since so many seconds after START."""
    known = Evidence(errors=GuardState(candidate_n=asked))
    since = [None if seconds is None else START + timedelta(seconds=seconds) for seconds in (ready, unready)]
    return ReleaseStatus(evidence=known, ready_since=since[0], unready_since=since[1])


WARM = [
    ("ready for long enough and asked often enough", status(), True),
    ("it got ready within the block's last three seconds before", status(ready=-2.9), False),
    ("it was asked too seldom, however long it was ready", status(asked=19, ready=-1000.0), False),
    ("it is not ready", status(ready=None), False),
    ("it stopped being ready", status(unready=4.0), False),
    ("the block ends late enough, but began before", status(ready=5.0), False),
]


@pytest.mark.parametrize(("before", "warm"), [case[1:] for case in WARM], ids=[case[0] for case in WARM])
def test_a_fresh_process_is_not_judged_by_its_first_answers(before: ReleaseStatus, warm: bool) -> None:
    assert is_warm(before, block((100, 0), (100, 0))) is warm


def test_slow_answers_of_a_fresh_process_are_left_out_and_its_errors_are_not() -> None:
    cold = msgspec.structs.replace(block((100, 1), (100, 2), (3, 50)), warm=False)
    evidence = look(Evidence(), [cold], ROLLOUT)
    assert evidence.slow == GuardState()
    assert (evidence.errors.candidate_n, evidence.errors.candidate_x) == (100, 2)


arms = st.integers(0, 400).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))
blocks = st.lists(st.builds(block, arms, arms), min_size=1, max_size=6)


@settings(max_examples=40, deadline=None)
@given(first=blocks, second=blocks, order=st.randoms(use_true_random=False))
def test_the_order_of_the_blocks_of_a_look_does_not_matter(first, second, order) -> None:
    shuffled = list(second)
    order.shuffle(shuffled)
    start = look(Evidence(), first, ROLLOUT)
    one, other = look(start, second, ROLLOUT), look(start, shuffled, ROLLOUT)
    assert np.allclose(one.errors.harm, other.errors.harm, atol=1e-4)
    assert np.allclose(one.errors.step, other.errors.step, atol=1e-4)
    assert one.errors.learned == pytest.approx(other.errors.learned)


@settings(max_examples=40, deadline=None)
@given(seen=blocks, empty=st.integers(1, 3))
def test_blocks_without_requests_change_nothing(seen, empty) -> None:
    nothing = [block((0, 0), (0, 0))] * empty
    evidence = look(Evidence(), seen, ROLLOUT)
    assert look(evidence, nothing, ROLLOUT) == evidence
    assert look(Evidence(), [*nothing, *seen], ROLLOUT) == evidence


@settings(max_examples=40, deadline=None)
@given(requests=st.lists(arms, max_size=5))
def test_without_a_request_to_the_candidate_nothing_is_ever_decided(requests) -> None:
    verdict = verdict_of(*([block(champion, (0, 0))] for champion in requests))
    assert verdict.says == "noData"


margins = st.sampled_from(["+0.01", "+0.05", "+0", "-0.005", "x1.5", "x1", "x0.9", "x10"])


@settings(max_examples=60, deadline=None)
@given(looks=st.lists(blocks, min_size=1, max_size=4), text=margins, tolerance=st.sampled_from([0.0, 0.02]))
def test_the_interval_agrees_with_the_verdict(looks, text, tolerance) -> None:
    rollout = with_margin(text, tolerance)
    evidence = Evidence()
    for seen in looks:
        evidence = look(evidence, seen, rollout)
    guard = judge(evidence, rollout).guards[0]
    at = 1.0 if guard.relative else tolerance
    assert (guard.says == "harm") == (guard.lower is not None and guard.lower >= at - 1e-12)
    if guard.says in ("hold", "notWorse"):
        assert (guard.says == "notWorse") == (guard.upper is not None and guard.upper <= (guard.margin or 0.0) + 1e-12)
    assert np.all(np.isfinite(evidence.errors.harm))
    assert np.all(np.isfinite(evidence.errors.step))


def test_the_budgets_are_designed_at_seven_tenths_of_the_promise() -> None:
    assert pytest.approx(0.014) == 3 * HARM_ALPHA
    assert pytest.approx(0.035) == STEP_ALPHA
