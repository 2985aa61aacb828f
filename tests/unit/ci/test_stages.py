"""The stages in order: what a failure stops, and what is said of each."""

import itertools

import pytest

from trimtab.ci.stages import STAGES, Case, Done, Name, Result, Work, stop, walk
from trimtab.errors import Conflict, InvalidInput, Unavailable


def passes() -> Done:
    return Done("it is well")


def test_all_stages_pass_in_order() -> None:
    told: list[Result] = []
    ticks = itertools.count(0.0, 0.5)
    results = walk(dict.fromkeys(STAGES, passes), "publish", lambda: next(ticks), str, told.append)
    assert [(one.stage, one.verdict, one.seconds) for one in results] == [(stage, "passed", 0.5) for stage in STAGES]
    assert tuple(told) == results


@pytest.mark.parametrize("error", [InvalidInput("no"), Conflict("no"), Unavailable("no")], ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("at", STAGES)
def test_nothing_is_done_after_the_first_failure(at: Name, error: Exception) -> None:
    done: list[Name] = []

    def work(stage: Name) -> Work:
        def act() -> Done:
            done.append(stage)
            if stage == at:
                raise error
            return Done("")

        return act

    results = walk({stage: work(stage) for stage in STAGES}, "publish", lambda: 0.0, str, lambda _: None)
    place = STAGES.index(at)
    assert tuple(done) == STAGES[: place + 1]
    assert results[place] == Result(at, "failed", "no")
    assert {(one.verdict, one.sentence) for one in results[place + 1 :]} <= {("skipped", f"{at} failed")}


@pytest.mark.parametrize("until", STAGES)
def test_later_stages_than_were_asked_for_are_skipped(until: Name) -> None:
    results = walk(dict.fromkeys(STAGES, passes), until, lambda: 0.0, str, lambda _: None)
    assert [one.stage for one in results if one.verdict == "passed"] == list(STAGES[: STAGES.index(until) + 1])
    assert all(one.sentence == f"asked for until {until}" for one in results if one.verdict == "skipped")


def test_what_a_stage_and_its_tests_say_is_cleaned_before_it_is_told() -> None:
    def work() -> Done:
        stop("the word is hunter2", (Case("s", "t", 1.0, "failed", "hunter2 again"),))

    results = walk({"lint": work}, "lint", lambda: 0.0, lambda text: text.replace("hunter2", "***"), lambda _: None)
    assert results[0].sentence == "the word is ***"
    assert results[0].cases[0].fault == "*** again"


def test_an_error_that_is_not_ours_is_no_verdict() -> None:
    def work() -> Done:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        walk({"lint": work}, "lint", lambda: 0.0, str, lambda _: None)
