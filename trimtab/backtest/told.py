"""What can be told of policies once they were lived: the error over time, what it cost, and the best that could have been. Pure."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct

from trimtab.backtest.history import History, moment
from trimtab.backtest.life import Answers, Lived, Retrain, Said
from trimtab.backtest.oracle import Reign, best, reigns_of, spliced
from trimtab.backtest.policies import NEVER, ORACLE, OWN, WEEKLY
from trimtab.errors import InvalidInput
from trimtab.monitoring.columns import Floats, labelled
from trimtab.monitoring.metric import PRIMARY, as_error, error, losses
from trimtab.package import BUILT_IN, built_in
from trimtab.release import Phase
from trimtab.schema import Schema
from trimtab.spec import Model
from trimtab.training.frame import classes_of
from trimtab.units import duration

PERIODS = 30
Fits = list[tuple[datetime, Path | None]]


class Course(Struct, frozen=True):
    """How a policy went: a life, or a clock's fits by their cuts (None where the data could not be trained on), the first version first."""

    name: str
    lived: Lived | None = None
    fits: Fits = []


class Result(Struct, frozen=True, rename="camel"):
    """A policy in numbers: `value` is the metric over all labelled rows, `values` by period (None where it is not defined).

    `gain` is its share of what retraining every week gains over never; `stopped` counts runs that gates or data stopped. `findings` are
    None for a clock, which looks at nothing.
    """

    name: str
    value: float
    gain: float | None
    values: list[float | None]
    runs: int
    promoted: int
    stopped: int
    rolled_back: int
    retrains: list[Retrain]
    findings: list[Said] | None

    @property
    def kinds(self) -> str:
        """How many findings there were of each kind, in words."""
        return ", ".join(f"{number} {kind}" for kind, number in Counter(one.kind for one in self.findings or ()).items())


class Period(Struct, frozen=True, rename="camel"):
    """A stretch of data time and its labelled rows."""

    start: datetime
    end: datetime
    rows: int


class Comparison(Struct, frozen=True, rename="camel"):
    """What `trimtab backtest` found."""

    model: str
    data: str
    rows: int
    labelled: int
    start: datetime
    end: datetime
    metric: str
    periods: list[Period]
    results: list[Result]
    notes: list[str]

    def named(self, name: str) -> Result:
        """The result of a policy."""
        return next(result for result in self.results if result.name == name)

    @property
    def even(self) -> Result | None:
        """The clock that retrained as often as the policy, at equal distances; None where the policy never did."""
        place = [result.name for result in self.results].index(OWN) - 1
        return self.results[place] if self.named(OWN).runs else None


class _Scored(Struct, frozen=True):
    """Labels from the first played row on, and the metric that is told."""

    metric: str
    task: str
    truth: Floats

    def over(self, said: Floats, where: Floats) -> float | None:
        chosen = ~np.isnan(self.truth) & where
        found = error(self.metric, self.task, self.truth[chosen], said[chosen]) if chosen.any() else np.nan  # type: ignore[arg-type]
        return float(as_error(self.metric, found)) if np.isfinite(found) else None


def told(model: Model, history: History, start: datetime, courses: Sequence[Course], trials: int) -> Comparison:
    """The comparison; raises InvalidInput where no row has a label."""
    task, answers = model.spec.task, Answers(history)
    first, lag = history.after(start.timestamp()), duration(model.spec.rollout.max_duration)
    classes = () if task == "regression" else classes_of(history.table.column(history.data.label))
    scored = _Scored(PRIMARY[task], task, labelled(Schema(task, history.data.label, (), classes=classes), history.labels[first:]))
    known = ~np.isnan(scored.truth)
    if not known.any():
        msg = f"no row after {start:%Y-%m-%d %H:%M} has a label in {history.data.label!r}: nothing can be compared"
        raise InvalidInput(msg)
    went = {course.name: _went(course, history, answers, first, lag) for course in courses}
    many = len(went[OWN][1])
    fits = [fit for course in courses for fit in (course.lived.fits if course.lived else course.fits)]
    went[ORACLE] = _oracle(scored, history, answers, reigns_of(history, first, _fitted(fits), lag), first, many)
    findings = {course.name: course.lived.findings for course in courses if course.lived}
    bounds = np.linspace(start.timestamp(), history.times[-1], PERIODS + 1)
    place = np.minimum(np.searchsorted(bounds, history.times[first:], side="left") - 1, PERIODS - 1)
    values = {name: scored.over(said, np.ones(len(known), dtype=bool)) or np.nan for name, (said, _) in went.items()}
    whole = values[NEVER] - values[WEEKLY]
    results = []
    for name, (said, retrains) in went.items():
        ends = Counter(retrain.phase for retrain in retrains)
        results.append(
            Result(
                name=name,
                value=float(values[name]),
                gain=float((values[NEVER] - values[name]) / whole) if whole else None,
                values=[scored.over(said, place == period) for period in range(PERIODS)],
                runs=len(retrains),
                promoted=sum(retrain.since is not None for retrain in retrains),
                stopped=ends[Phase.REJECTED] + ends[Phase.FAILED],
                rolled_back=ends[Phase.ROLLED_BACK],
                retrains=retrains,
                findings=findings.get(name),
            )
        )
    periods = [Period(moment(bounds[n]), moment(bounds[n + 1]), int((known & (place == n)).sum())) for n in range(PERIODS)]
    name, end = Path(model.spec.data.uri).name, moment(history.times[-1])
    notes = _notes(model, trials, history)
    return Comparison(model.name, name, len(known), int(known.sum()), start, end, scored.metric, periods, results, notes)


def _fitted(fits: Fits) -> list[tuple[datetime, Path]]:
    return [(cut, folder) for cut, folder in fits if folder is not None]


def _went(course: Course, history: History, answers: Answers, first: int, lag: timedelta) -> tuple[Floats, list[Retrain]]:
    """What the policy said of each row, and its retrains."""
    if course.lived is not None:
        return course.lived.said, course.lived.retrains
    (_, origin), *later = course.fits
    if origin is None:
        msg = "the data cannot be trained on at the first cut"
        raise InvalidInput(msg)
    reigns = [Reign(origin, first, course.fits[0][0])]
    retrains = []
    for cut, folder in later:
        start = history.after((cut + lag).timestamp())
        serves = folder is not None and start < len(history)
        if folder is not None and serves:
            reigns.append(Reign(folder, start, cut))
        since = moment(history.times[start]) if serves else None
        ended = Phase.REJECTED if folder is None else Phase.PROMOTED
        retrains.append(Retrain(cut, "schedule", ended, "the data did not pass validation" if folder is None else "", since))
    return spliced(answers, reigns, first, len(history)), retrains


def _oracle(
    scored: _Scored, history: History, answers: Answers, reigns: list[Reign], first: int, many: int
) -> tuple[Floats, list[Retrain]]:
    """What the oracle's versions say, and when it took them."""
    known = ~np.isnan(scored.truth)
    sums = np.zeros((len(reigns), len(history) + 1))
    for number, reign in enumerate(reigns):
        each = np.zeros(len(history))
        each[first:][known] = losses(scored.task, scored.truth[known], answers.of(reign.folder)[first:][known])  # type: ignore[arg-type]
        sums[number, 1:] = np.cumsum(each)
    chosen = [reigns[number] for number in best(reigns, sums, many)]
    taken = [Retrain(one.cut, "oracle", Phase.PROMOTED, "", moment(history.times[one.start])) for one in chosen[1:]]
    return spliced(answers, chosen, first, len(history)), taken


def _notes(model: Model, trials: int, history: History) -> list[str]:
    spec, left_out = model.spec, history.left_out
    asked, ref = spec.training.search.budget.trials, spec.training.pipeline
    return [
        "No canary was played: rows have no errors and delays. A version takes over when "
        f"rollout.maxDuration ({spec.rollout.max_duration}) of data time is over after its cut, under every policy alike.",
        "Under this policy a candidate must pass its gates, and the bake may bring the version before it back. A clock is a cron job: what "
        "it trains serves.",
        "The oracle knows every label in advance. It takes over at most as often as this policy trained, at the best moments, by any "
        "version that any of the policies fitted, whatever its gates said: a bound, not a policy.",
        *([f"Each search made {trials} of the document's {asked} trials."] if asked != trials else []),
        *([] if built_in(ref) else [f"All versions were made by the pipeline {BUILT_IN}, which comes with Trimtab, not by {ref.name!r}."]),
        *([f"{left_out:,} rows have no readable {spec.data.time!r} or no {spec.data.key!r} and were left out."] if left_out else []),
        *(["Nobody was asked for approval."] if spec.approval == "manual" else []),
    ]


def encoded(comparison: Comparison) -> bytes:
    """The comparison as JSON, the same bytes for the same input."""
    return msgspec.json.format(msgspec.json.encode(comparison), indent=1)
