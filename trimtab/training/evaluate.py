"""How good a candidate is on rows that its twin never saw, beside the champion and a model without features on the same rows.

What is judged is the twin: the version that serves is fitted on these rows too, and cannot be held to its own word there. Everything
that is more than a pass over the rows looks at a bounded number of them, so that ten million cost little more than ten thousand.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.errors import InvalidInput
from trimtab.explanation import EXPLANATION
from trimtab.measures import FAIRNESS, PRIMARY, slice_columns
from trimtab.schema import METRICS as METRICS_FILE
from trimtab.schema import Metrics, read_schema
from trimtab.spec import ModelSpec
from trimtab.training.evaluation.attribution import explain
from trimtab.training.evaluation.bootstrap import Difference, Statistic, spread
from trimtab.training.evaluation.explaining import rests
from trimtab.training.evaluation.fairness import Fairness, fairness
from trimtab.training.evaluation.found import EVALUATION as EVALUATION
from trimtab.training.evaluation.found import Evaluation as Evaluation
from trimtab.training.evaluation.ground import Ground, ground
from trimtab.training.evaluation.measured import Measured, Opponent, measure
from trimtab.training.evaluation.opponent import opponent
from trimtab.training.evaluation.ranking import confusion, roc
from trimtab.training.evaluation.reference import holdout_start as holdout_start
from trimtab.training.evaluation.reference import write_answers, write_attributions, write_reference
from trimtab.training.evaluation.reliability import curve
from trimtab.training.evaluation.sliced import declared, found_worst, most_harmed
from trimtab.training.evaluation.slices import grouping
from trimtab.training.evaluation.timing import timed
from trimtab.training.fitted import read_fitted
from trimtab.training.found import Begun
from trimtab.training.lineage import read_lineage
from trimtab.training.scores import row_losses

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

log = logging.getLogger(__name__)

_CLIP_QUANTILE = 0.995


class Stopwatch:
    """Where the time goes, in seconds by what it went to."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}

    @contextmanager
    def lap(self, name: str) -> Iterator[None]:
        """Count what happens inside towards `name`."""
        begun = perf_counter()
        yield
        self.laps[name] = self.laps.get(name, 0.0) + perf_counter() - begun

    def __str__(self) -> str:
        laps = ", ".join(f"{name} {seconds:.1f}" for name, seconds in sorted(self.laps.items(), key=lambda lap: -lap[1]))
        return f"{sum(self.laps.values()):.1f} s ({laps})"


def evaluate(
    table: "pa.Table",
    spec: ModelSpec,
    candidate: Path,
    champion: Path | None,
    out: Path,
    seed: int,
    *,
    against_version: str = "",
    anew: bool = False,
    begun: Begun | None = None,
) -> Evaluation:
    """Judge the model in `candidate` on the holdout and write what stays with its version, and `evaluation.json`, to `out`.

    The champion, whose version is `against_version`, is compared on the same rows. Rows that either was trained on are left out; so are
    those of a candidate that is an existing version, which is compared `anew`. Each version's own files tell which they are. `begun` is
    when the run began; in a trial of a pipeline the times of the two are compared too.
    """
    watch, now = Stopwatch(), datetime.now(UTC)
    out.mkdir(parents=True, exist_ok=True)
    with watch.lap("prediction"):
        on = ground(table, spec, candidate, anew=anew)
        other, unasked = _champion(on, champion)
    fitted = read_fitted(candidate)
    found = Evaluation(
        task=spec.task,
        primary=PRIMARY[spec.task],
        rows=table.num_rows,
        holdout_rows=on.rows,
        candidate={},
        baseline={},
        compared_with=against_version,
        unasked=unasked,
        rolling=fitted is not None and len(fitted.folds) > 1,
        threshold=on.mine.cut,
        classes=on.schema.classes,
        seconds=(now - begun.at).total_seconds() if begun else None,
    )
    if begun and begun.snapshot and champion is not None:
        with watch.lap("timing"):
            found = _timed(found, on, candidate, champion)
    if on.rows:
        found = _judged(found, on, other, seed, watch)
        write_metrics(out, found, row_losses(spec.task, on.mine.labels, on.mine.predictions))
    with watch.lap("reference"):
        sample = write_reference(out, table, read_schema(candidate), candidate, on.whole, seed)
        write_answers(out, table, on.schema, on.whole, slice_columns(spec))
        explained = explain(candidate, sample, seed)
        (out / EXPLANATION).write_bytes(_json(explained.explanation))
        write_attributions(out, sample, read_schema(candidate), explained)
    (out / EVALUATION).write_bytes(_json(found))
    log.info("evaluated on %d rows: %s %.6g", on.rows, found.primary, found.candidate.get(found.primary, float("nan")))
    log.info("evaluation took %s", watch)
    return found


def _champion(on: Ground, champion: Path | None) -> tuple[Opponent | None, str]:
    """The champion on the judged rows, or why it was not asked."""
    if champion is None or not on.rows:
        return None, ""
    try:
        return opponent(on, champion), ""
    except InvalidInput as error:
        return None, str(error)


def _timed(found: Evaluation, on: Ground, candidate: Path, champion: Path) -> Evaluation:
    """The same with the times that a trial compares: those of the runs, and of predictions by the versions as they serve."""
    known = read_lineage(champion)
    spent = timed(candidate, champion, on.held) if not found.unasked else None
    return msgspec.structs.replace(found, champion_seconds=known.seconds if known else None, timed=spent)


def _judged(found: Evaluation, on: Ground, other: Opponent | None, seed: int, watch: Stopwatch) -> Evaluation:
    import numpy as np

    with watch.lap("metrics"):
        whole = measure(on.mine, np.arange(on.rows), other, seed)
        plain = on.constant.metrics(slice(None))
        skill = _skill(on, plain, whole, seed)
    with watch.lap("explanation"):
        known = rests(on, seed)
    with watch.lap("slices"):
        slices, (worst, searched) = declared(on, other, known, seed), found_worst(on, other, known, seed)
        harmed = most_harmed(on, other, known)
    with watch.lap("fairness"):
        fair = _fairness(on, seed)
    labels, said = on.mine.labels, on.mine.predictions
    binary, classified = on.spec.task == "binary", on.spec.task != "regression"
    called = (said >= (on.mine.cut or 0.5)) if binary else said.argmax(axis=1) if classified else said
    return msgspec.structs.replace(
        found,
        candidate=whole.metrics,
        baseline=plain,
        champion=whole.champion,
        compared_on=other.on if other is not None and whole.champion is not None else "",
        compared_rows=whole.compared_rows,
        interval=whole.interval,
        difference=whole.difference,
        skill=skill,
        slices=slices,
        worst=worst,
        searched_rows=searched,
        harm=harmed,
        calibration=curve(labels, said) if binary else (),
        roc=roc(labels, said) if binary else None,
        confusion=confusion(labels, called, len(on.schema.classes)) if classified else (),
        fairness=fair,
        robustness=known.robustness,
        explanation=known.explanation,
        agreement=known.agreement,
        suspicions=known.suspicions,
    )


def _skill(on: Ground, plain: dict[str, float], whole: Measured, seed: int) -> Difference | None:
    """What the primary metric is more than that of the constant."""
    primary = PRIMARY[on.spec.task]

    def build(chosen: "np.ndarray[Any, Any]") -> Statistic:
        mine, constant = on.mine.scorer(chosen), on.constant.scorer(chosen)
        return lambda weights: {primary: mine(weights)[primary] - constant(weights)[primary]}

    return spread(build, on.rows, seed).difference(primary, whole.metrics[primary] - plain[primary])


def _fairness(on: Ground, seed: int) -> tuple[Fairness, ...]:
    """The fairness by the columns that the document names in `training.sensitive` or in a fairness gate."""
    spec = on.spec
    columns = [*spec.training.sensitive, *(gate.slice for gate in spec.gates if gate.slice and gate.metric in FAIRNESS[spec.task])]
    given = (on.mine.labels, on.mine.predictions, on.mine.cut or 0.5, on.schema.classes, seed)
    return tuple(fairness(spec.task, grouping(on.held, column), *given) for column in dict.fromkeys(columns))


def write_metrics(out: Path, found: Evaluation, losses: "np.ndarray[Any, Any]") -> None:
    """Write `metrics.json`; `losses` is each holdout row's loss."""
    import numpy as np

    clip = float(np.quantile(losses, _CLIP_QUANTILE))
    (out / METRICS_FILE).write_bytes(_json(Metrics(found.candidate, found.primary, clip, found.rows, found.holdout_rows, found.baseline)))


def _json(body: msgspec.Struct) -> bytes:
    return msgspec.json.format(msgspec.json.encode(body), indent=1)
