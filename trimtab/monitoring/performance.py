"""Whether a version got worse, from labels that had time to arrive. Pure.

The metric of a window is held against the version's own validation, both with their uncertainty: each side is resampled by a circular
block bootstrap (Politis and Romano, 1992), because neighbouring rows err together. The log of the ratio of errors, divided by its
bootstrap standard error, is held against Student's t with as many degrees of freedom as the shorter side has blocks, less one; at the level
that the budget (`deciding.py`) leaves the window.
"""

import hashlib
from collections.abc import Sequence
from typing import Literal

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray
from scipy.stats import t as student

from trimtab.monitoring.columns import MINIMUM_ROWS, Floats
from trimtab.monitoring.deciding import persistent
from trimtab.monitoring.metric import allowed, as_error, error, losses
from trimtab.monitoring.offset import Offset, matters, offset
from trimtab.monitoring.resampling import areas, block_rows, blocks, grouped, resampled
from trimtab.spec import Task
from trimtab.units import Margin, Persistence

RESAMPLES = 500


class Spread(Struct, frozen=True):
    """The standard deviation of the log of an error (None: the replicates do not tell), and the blocks that it rests on."""

    deviation: float | None
    blocks: float


class Judgement(Struct, frozen=True, rename="camel"):
    """A window's metric, its 95% interval, the validation's value and the bound, all in the metric's own unit.

    `rose`: the error is above the validation's; `past_margin`, `past_floor`: above the bound, past the floor; each significantly, at
    `level`. `off`: the labels lie beside the predictions by an `offset` that matters. `slices` are the declared parts of the window that
    have enough rows, by their names. `own` is the spread of the window's error, `ratio` that of its ratio to the validation's: what another
    policy can be decided by. `missing` rows of the window had no label by then. `at` is the watermark when it was said, in seconds
    since 1970.
    """

    metric: str
    value: float
    low: float
    high: float
    validation: float | None
    bound: float | None
    rows: int
    rose: bool = False
    past_margin: bool = False
    past_floor: bool = False
    slices: dict[str, "Judgement"] = {}
    level: float = 0.0
    own: Spread | None = None
    ratio: Spread | None = None
    offset: Offset | None = None
    off: bool = False
    missing: int = 0
    at: float = 0.0

    @property
    def past(self) -> bool:
        """Whether the error is past its bound or its floor."""
        return self.past_margin or self.past_floor


class Sample(Struct, frozen=True):
    """Labels and predictions of the same rows in time order, none missing; shapes (rows,) and (rows,) or (rows, classes)."""

    truth: Floats
    answers: Floats


def sample(truth: Floats, answers: Floats) -> Sample:
    """The rows that have both a label and a prediction."""
    both = complete(truth, answers)
    return Sample(truth[both], answers[both])


def complete(truth: Floats, answers: Floats) -> NDArray[np.bool_]:
    """Which rows have both a label and a prediction, shape (rows,)."""
    unread = np.isnan(answers)
    return np.asarray(~np.isnan(truth) & ~(unread.any(axis=1) if answers.ndim > 1 else unread))


def seed(identity: str) -> int:
    """A fixed seed for a window's bootstrap."""
    return int.from_bytes(hashlib.sha256(identity.encode()).digest()[:8], "big")


def replicates(metric: str, task: Task, rows: Sample, block: int, generator: np.random.Generator) -> Floats:
    """RESAMPLES values of the metric's error over circular blocks of `block` rows."""
    if metric == "roc_auc":
        sizes, positives = resampled(grouped(rows.answers), (rows.truth > 0).astype(float), block, RESAMPLES, generator)
        return 1.0 - areas(positives, sizes - positives)[1:]
    starts = blocks(len(rows.truth), block, RESAMPLES, generator)
    each = losses(task, rows.truth, rows.answers)
    summed = np.concatenate([[0.0], np.cumsum(np.concatenate([each, each[:block]]))])
    means = (summed[starts + block] - summed[starts]).sum(axis=1) / (starts.shape[1] * block)
    return np.asarray(np.sqrt(np.maximum(means, 0.0)) if metric == "rmse" else means, dtype=float)


def _deviation(errors: Floats) -> float:
    """The standard deviation of the log of the replicates."""
    usable = errors[np.isfinite(errors) & (errors > 0)]
    return float(np.log(usable).std()) if len(usable) > RESAMPLES / 2 else float("inf")


def judge(
    metric: str,
    task: Task,
    window: Sample,
    holdout: Sample,
    validation: float | None,
    holdout_rows: int,
    margin: Margin,
    floor: float | None,
    level: float,
    identity: str,
) -> Judgement | None:
    """The window's judgement, or None where it has fewer than 30 rows or its error is not defined (one class only).

    `validation` is the metric on the version's full holdout of `holdout_rows` rows, of which `holdout` is a sample in time order;
    None leaves the floor alone. `level` is the chance of a false word, `identity` names the window.
    """
    if len(window.truth) < MINIMUM_ROWS:
        return None
    found = error(metric, task, window.truth, window.answers)
    if not np.isfinite(found):
        return None
    generator = np.random.default_rng(seed(identity))
    block = block_rows(len(window.truth), len(window.truth))
    errors = replicates(metric, task, window, block, generator)
    ends = sorted(as_error(metric, float(end)) for end in np.nanquantile(errors, [0.025, 0.975]))
    deviation, apart = _deviation(errors), len(window.truth) / block
    measured = Judgement(
        metric,
        as_error(metric, found),
        ends[0],
        ends[1],
        validation,
        None,
        len(window.truth),
        level=level,
        own=_spread(deviation, apart),
        offset=offset(window.truth, window.answers) if task == "regression" else None,
    )
    if validation is not None:
        theirs = 0.0
        if len(holdout.truth) >= MINIMUM_ROWS:
            thinned = block_rows(len(holdout.truth), holdout_rows)
            theirs = _deviation(replicates(metric, task, holdout, thinned, generator))
            apart = min(apart, len(holdout.truth) / thinned)
        measured = replace(measured, ratio=_spread(float(np.hypot(deviation, theirs)), apart))
    return decided(measured, margin, floor)


def _spread(deviation: float, apart: float) -> Spread:
    return Spread(deviation if np.isfinite(deviation) else None, apart)


def again(judgement: Judgement, margin: Margin, floor: float | None) -> Judgement:
    """What the same measured error, and those of its slices, come to under another policy; the slices' floors are none of it."""
    parts = {name: replace(decided(one, margin, None), past_floor=one.past_floor) for name, one in judgement.slices.items()}
    return replace(decided(judgement, margin, floor), slices=parts)


def decided(measured: Judgement, margin: Margin, floor: float | None) -> Judgement:
    """What a measured window's error comes to under a policy: the part of `judge` that `monitoring.performance` changes."""
    metric, found, level = measured.metric, as_error(measured.metric, measured.value), measured.level
    past_floor = floor is not None and _above(found, as_error(metric, floor), measured.own, level)
    off = measured.offset is not None and matters(measured.offset, margin, level / 2)
    measured = replace(measured, past_floor=past_floor, off=off)
    if measured.validation is None:
        return measured
    before = as_error(metric, measured.validation)
    bound = allowed(metric, before, margin)
    return replace(
        measured,
        bound=as_error(metric, bound),
        rose=_above(found, before, measured.ratio, level),
        past_margin=_above(found, bound, measured.ratio, level),
    )


def _above(found: float, bound: float, spread: Spread | None, level: float) -> bool:
    """Whether the error is above the bound beyond what its log's deviation explains at this level."""
    if found <= bound:
        return False
    if bound <= 0:
        return True
    if spread is None or spread.deviation is None:
        return False
    return spread.deviation == 0 or bool(np.log(found / bound) > student.isf(level, max(1.0, spread.blocks - 1)) * spread.deviation)


def lasting_slice(history: Sequence[Judgement], rule: Persistence) -> str:
    """The slice of the newest judgement that is past its bound in enough of them, the one with the most rows; empty where none is."""
    past = [name for name, judgement in history[-1].slices.items() if judgement.past] if history else []
    found = [name for name in past if persistent([name in one.slices and one.slices[name].past for one in history], rule)]
    return max(found, key=lambda name: history[-1].slices[name].rows, default="")


def kind(history: Sequence[Judgement], rule: Persistence, *, inputs_moved: bool) -> Literal["performance", "concept"] | None:
    """What the newest judgement, with those before it (oldest first), is a finding of; performance wins over concept."""
    if persistent([judgement.past for judgement in history], rule) or lasting_slice(history, rule):
        return "performance"
    if persistent([judgement.off for judgement in history], rule):
        return "concept"
    if not inputs_moved and persistent([judgement.rose for judgement in history], rule):
        return "concept"
    return None
