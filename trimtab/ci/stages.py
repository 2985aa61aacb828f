"""What CI asks of a pipeline's repository, stage by stage, and how it is told. Pure: what a stage does is given, and so is the clock.

The order is from what costs seconds to what costs minutes, and what leaves the machine comes last: nothing is built of code that fails
its tests, and nothing is published that could not make a model.
"""

from collections.abc import Callable, Mapping
from typing import Literal, NoReturn, get_args

from msgspec import Struct

from trimtab.errors import TrimtabError
from trimtab.spec import PipelineVersion

Name = Literal["lint", "tests", "contract", "sample", "image", "package", "publish"]
STAGES: tuple[Name, ...] = get_args(Name)
Verdict = Literal["passed", "failed", "skipped"]


class Case(Struct, frozen=True, omit_defaults=True):
    """One test of a stage that has several; `fault` is empty where it passed, `skipped` where it was not run."""

    suite: str
    name: str
    seconds: float
    verdict: Verdict = "passed"
    fault: str = ""


class Done(Struct, frozen=True):
    """What a stage that passed says."""

    sentence: str
    cases: tuple[Case, ...] = ()


class Failed(TrimtabError):
    """A stage says no: a sentence, and which of its tests failed."""

    def __init__(self, sentence: str, cases: tuple[Case, ...] = ()) -> None:
        super().__init__(sentence)
        self.cases = cases


def stop(sentence: str, cases: tuple[Case, ...] = ()) -> NoReturn:
    """Let the stage fail."""
    raise Failed(sentence, cases)


class Result(Struct, frozen=True, omit_defaults=True):
    """How a stage ended, in one sentence, and the seconds that it took."""

    stage: Name
    verdict: Verdict
    sentence: str
    seconds: float = 0.0
    cases: tuple[Case, ...] = ()


class Report(Struct, frozen=True, omit_defaults=True):
    """All of one CI run. `published` is what anybody can use now."""

    name: str
    version: str
    commit: str
    passed: bool
    stages: tuple[Result, ...]
    published: PipelineVersion | None = None


Work = Callable[[], Done]


def walk(
    work: Mapping[Name, Work],
    until: Name,
    clock: Callable[[], float],
    clean: Callable[[str], str],
    told: Callable[[Result], None],
) -> tuple[Result, ...]:
    """Do the stages in order up to `until`; the first that fails ends it, and all after it are skipped.

    A stage fails by raising any of our errors. Its words pass through `clean` before anybody sees them; `told` hears of each in turn.
    """
    results: list[Result] = []
    failed = ""
    for stage in STAGES:
        if failed:
            result = Result(stage, "skipped", f"{failed} failed")
        elif STAGES.index(stage) > STAGES.index(until):
            result = Result(stage, "skipped", f"asked for until {until}")
        else:
            result = _done(stage, work[stage], clock, clean)
            failed = stage if result.verdict == "failed" else ""
        results.append(result)
        told(result)
    return tuple(results)


def _done(stage: Name, work: Work, clock: Callable[[], float], clean: Callable[[str], str]) -> Result:
    began = clock()
    try:
        done, verdict = work(), "passed"
        sentence, cases = done.sentence, done.cases
    except TrimtabError as error:
        verdict, sentence, cases = "failed", str(error), getattr(error, "cases", ())
    tidy = tuple(Case(one.suite, one.name, one.seconds, one.verdict, clean(one.fault)) for one in cases)
    return Result(stage, "passed" if verdict == "passed" else "failed", clean(sentence), round(clock() - began, 3), tidy)
