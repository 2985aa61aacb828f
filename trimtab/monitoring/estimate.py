"""How well a version does before any label has come. Pure.

The hold-out's rows are weighed so that their inputs are distributed as the window's (`shift.py`).

**Binary**: confidence-based performance estimation (CBPE, NannyML). What the scores mean is learned from the version's own holdout
(`calibration.py`), and the metric is what is expected if that holds in the window, less by how much the same expectation is amiss on the
hold-out itself, where labels tell: no smooth line is quite what scores mean.

**Others**: the loss of a row is that of the holdout's rows with a similar prediction (a regression's value, a classification's own
expected loss), as in direct loss estimation (DLE, NannyML) but with tenths of the holdout in the place of a learner.

The interval has both parts of what is not known: all of this is done anew with each block resample of the holdout, and labels, or
losses, are drawn. Labels of neighbours that came more alike there than independent ones would widen it. Errors multiply, and there are few
blocks: as where labels judge (`performance.py`), Student's t with as many degrees of freedom as the shorter side has blocks, less
one, is taken of the error's logarithm.

Either holds while only inputs move: where the same inputs come to lead to other outcomes it knows nothing of it. So it may say
that a move hurts and never that it does not, and once labels fall outside its interval it is not believed.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy.stats import t as student

from trimtab.monitoring.calibration import knots, lines, meaning
from trimtab.monitoring.columns import MINIMUM_ROWS, Floats
from trimtab.monitoring.metric import TINY, as_error, losses
from trimtab.monitoring.performance import Judgement, Sample, seed
from trimtab.monitoring.resampling import Groups, areas, block_rows, blocks, counts, grouped, resampled
from trimtab.spec import Task

RESAMPLES = 200
POSITIVES = 500.0
KNOWN_POSITIVES = 200
KNOWN_ROWS = 200
TENTHS = 10
AGREEING = 3

State = Literal["estimated", "insufficient", "unverified"]


class Estimate(Struct, frozen=True, rename="camel", omit_defaults=True):
    """A window's metric as it is expected to be, with the 95% interval in which labels should find it, in the metric's own unit.

    `positives` are the expected ones (binary alone); `rose`: the whole interval is worse than the version's validation.
    `insufficient` says why there is no estimate that could be relied on; then there may be no value.
    """

    metric: str
    rows: int
    value: float | None = None
    low: float | None = None
    high: float | None = None
    positives: float | None = None
    rose: bool = False
    insufficient: str = ""


class Inputs(Struct, frozen=True):
    """What the inputs tell beside the answers.

    `weights` (holdout rows,) make the holdout's inputs those of the window; `unseen` (window rows,) tells the rows of a kind that training
    never saw (`shift.py`).
    """

    weights: Floats
    unseen: NDArray[np.bool_]


def estimate(
    metric: str,
    task: Task,
    answers: Floats,
    holdout: Sample,
    holdout_rows: int,
    validation: float | None,
    identity: str,
    inputs: Inputs | None = None,
) -> Estimate:
    """The estimate of a window with these answers (rows,) or (rows, classes); those that are NaN are left out.

    `holdout` is a sample, in time order, of the version's holdout of `holdout_rows` rows, `validation` the metric on all of them;
    `identity` names the window; without `inputs` they are taken to be distributed as the holdout's.
    """
    unread = np.isnan(answers)
    read = ~(unread.any(axis=1) if answers.ndim > 1 else unread)
    given = answers[read]
    if len(given) < MINIMUM_ROWS:
        return Estimate(metric, len(given), insufficient=f"fewer than {MINIMUM_ROWS} answers")
    generator = np.random.default_rng(seed(f"{identity}|estimate"))
    block = block_rows(len(holdout.truth), holdout_rows)
    if inputs is None:
        inputs = Inputs(np.ones(len(holdout.truth)), np.zeros(len(answers), dtype=bool))
    if task == "binary":
        return _by_calibration(metric, given, holdout, block, validation, generator, inputs.weights, inputs.unseen[read])
    if len(holdout.truth) < KNOWN_ROWS:
        return Estimate(metric, len(given), insufficient=f"the hold-out has fewer than {KNOWN_ROWS} rows to learn from")
    expected, deviation = _by_loss(task, given, holdout, block, generator, inputs.weights)
    return _told(metric, len(given), expected, deviation, min(len(holdout.truth), len(given)) / block, validation)


def _by_calibration(
    metric: str,
    given: Floats,
    holdout: Sample,
    block: int,
    validation: float | None,
    generator: np.random.Generator,
    weights: Floats,
    unseen: NDArray[np.bool_],
) -> Estimate:
    known = int(holdout.truth.sum())
    if min(known, len(holdout.truth) - known) < KNOWN_POSITIVES:
        sentence = f"the hold-out has fewer than {KNOWN_POSITIVES} rows of one class to learn from"
        return Estimate(metric, len(given), insufficient=sentence)
    learned, asked = grouped(holdout.answers), grouped(given)
    bends = knots(holdout.answers, holdout.truth)
    held, found = resampled(learned, holdout.truth, block, RESAMPLES, generator, weights)
    fitted = lines(learned.score, bends, held, found)
    rows, meant, drawn = _positives(asked, unseen, meaning(fitted, bends, asked.score), generator)
    amiss = _values(metric, learned, held, held * meaning(fitted, bends, learned.score)) - _values(metric, learned, held, found)
    expected = _values(metric, asked, rows, meant) - amiss
    alike = _alike(holdout.truth, meaning(fitted[:1], bends, holdout.answers)[0], block)
    noise = _values(metric, asked, rows, drawn) - _values(metric, asked, rows, meant)[1:]
    deviation = float(np.nanstd(expected[1:] + np.sqrt(alike) * noise))
    positives = float(meant[0].sum())
    few = f"{positives:.0f} positives are expected in the window, {POSITIVES:.0f} are needed" if positives < POSITIVES else ""
    mean, apart = as_error(metric, float(expected[0])), min(len(holdout.truth), len(given)) / block
    return _told(metric, len(given), mean, deviation, apart, validation, positives, few)


def _values(metric: str, groups: Groups, rows: Floats, positives: Floats) -> Floats:
    """The metric of each resample, shape (resamples,), of the groups' rows and positives, (groups,) or (resamples, groups)."""
    if metric == "roc_auc":
        return areas(positives, rows - positives)
    sure = np.clip(groups.score, TINY, 1.0 - TINY)
    return np.asarray(-(positives @ np.log(sure) + (rows - positives) @ np.log(1.0 - sure)) / rows.sum(axis=-1), dtype=float)


def _positives(asked: Groups, unseen: NDArray[np.bool_], meant: Floats, generator: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """Each group's rows (groups,), its expected positives (1 + resamples, groups), and as many as were drawn (resamples, groups).

    What a score says of a row of a kind that nobody saw lies between all that it says of others and nothing, which is how often others
    are positive: half of it is expected, and each resample draws how much.
    """
    new = asked.count(unseen.astype(float))
    usual = asked.count() - new
    base = (meant @ usual / max(usual.sum(), 1.0))[:, None]
    said = np.concatenate([[0.5], generator.random(len(meant) - 1)])[:, None]
    of_new = said * meant + (1.0 - said) * base
    drawn = generator.binomial(usual.astype(int), meant[1:]) + generator.binomial(new.astype(int), of_new[1:])
    return usual + new, usual * meant + new * of_new, drawn.astype(float)


def _alike(truth: Floats, meant: Floats, block: int) -> float:
    """How many times more labels vary from block to block than independent ones would; at least 1."""
    summed = np.add.reduceat(truth - meant, np.arange(0, len(truth), block))
    return max(1.0, float((summed**2).sum() / max((meant * (1.0 - meant)).sum(), TINY)))


def _by_loss(
    task: Task, given: Floats, holdout: Sample, block: int, generator: np.random.Generator, weights: Floats
) -> tuple[float, float]:
    """The expected mean loss, and the standard deviation of what it may turn out to be."""
    each, rows = losses(task, holdout.truth, holdout.answers), len(holdout.truth)
    before, now = _place(task, holdout.answers), _place(task, given)
    edges = np.unique(np.quantile(before, np.arange(1, TENTHS) / TENTHS))
    groups = np.searchsorted(edges, before, side="right")
    shares = np.bincount(np.searchsorted(edges, now, side="right"), minlength=TENTHS) / len(given)

    def means(weights: Floats) -> Floats:
        size = np.bincount(groups, weights, TENTHS)
        overall = float(weights @ each / weights.sum())
        return np.asarray(np.where(size > 0, np.bincount(groups, weights * each, TENTHS) / np.maximum(size, TINY), overall))

    whole = means(weights)
    learned = [shares @ means(weights * often) for often in counts(rows, block, blocks(rows, block, RESAMPLES, generator))]
    stands_for = weights * (shares / np.maximum(np.bincount(groups, weights, TENTHS), TINY))[groups] * rows
    rest = (each - whole[groups]) * np.sqrt(stands_for)
    summed = np.concatenate([[0.0], np.cumsum(np.concatenate([rest, rest]))])
    starts = generator.integers(0, rows, (RESAMPLES, -(-len(given) // block)))
    spread = (summed[starts + block] - summed[starts]).sum(axis=1) / (starts.shape[1] * block)
    return float(shares @ whole), float(np.hypot(np.std(learned), np.std(spread)))


def _place(task: Task, answers: Floats) -> Floats:
    """What rows with similar losses have in common: the prediction, or how unsure a classification is (its own expected loss)."""
    if task == "regression":
        return answers
    kept = np.clip(answers, TINY, 1.0)
    return np.asarray(-(kept * np.log(kept)).sum(axis=1), dtype=float)


def _told(
    metric: str,
    rows: int,
    mean: float,
    deviation: float,
    apart: float,
    validation: float | None,
    positives: float | None = None,
    few: str = "",
) -> Estimate:
    """The estimate of an expected error (rmse: of its square) with this standard deviation, from so many blocks."""
    relative = deviation / max(mean, TINY)
    error, relative = (float(np.sqrt(mean)), relative / 2) if metric == "rmse" else (mean, relative)
    reach = float(np.exp(student.isf(0.025, max(1.0, apart - 1)) * relative))
    low, high = sorted(as_error(metric, end) for end in (error / reach, error * reach))
    rose = validation is not None and not few and error / reach > as_error(metric, validation)
    return Estimate(metric, rows, as_error(metric, error), low, high, positives, rose, few)


def agrees(told: Estimate | None, judged: Judgement | None) -> bool | None:
    """Whether labels found the metric inside the estimate's interval; None where one of them is missing or of another metric."""
    if told is None or judged is None or told.low is None or told.high is None or told.metric != judged.metric:
        return None
    return told.low <= judged.value <= told.high


def states(history: Sequence[tuple[Estimate | None, Judgement | None]]) -> list[State]:
    """How far each of a version's windows' estimates can be relied on, given those before it and itself, oldest first.

    One that labels contradict makes it and those after it `unverified`, until the last three that have labels agree again.
    """
    found: list[State] = []
    compared: list[bool] = []
    for told, judged in history:
        agreed = agrees(told, judged)
        compared += [] if agreed is None else [agreed]
        if told is None or told.low is None or (told.insufficient and all(compared[-AGREEING:])):
            found.append("insufficient")
        else:
            found.append("estimated" if all(compared[-AGREEING:]) else "unverified")
    return found
