"""What a model card tells, as values; and where in an evaluation's files they are found.

The evaluation's findings beyond its metrics are read here by the few fields that the card shows, each of which may be missing.
"""

from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from trimtab.errors import InvalidInput
from trimtab.explanation import EXPLANATION
from trimtab.schema import Schema
from trimtab.training.evaluate import EVALUATION, Evaluation
from trimtab.training.fitted import Fitted
from trimtab.training.gate import GateResult
from trimtab.training.lineage import Lineage

T = TypeVar("T")
Interval = tuple[float, float]


class Slice(Struct, frozen=True):
    """A part of the holdout: which rows, how many, the primary metric on them with its interval, and the same on all rows.

    `found` says that the evaluation found the slice to be worse, and nobody declared it.
    """

    rows_where: str
    rows: int
    metric: str
    value: float
    interval: Interval | None = None
    overall: float | None = None
    found: bool = False

    @property
    def how(self) -> str:
        """Where the slice comes from."""
        return "found" if self.found else "declared"


class Fairness(Struct, frozen=True):
    """A fairness metric by an attribute, and the values of its groups in words."""

    attribute: str
    metric: str
    value: float
    interval: Interval | None = None
    groups: str = ""


class Share(Struct, frozen=True):
    """A feature's share of all attribution, from 0 to 1."""

    feature: str
    share: float
    interval: Interval | None = None


class Card(Struct, frozen=True):
    """All that the card tells.

    `calibration` are (predicted, observed) shares, `differences` the intervals of candidate less champion, `compared_on` says whether
    the champion was compared as it serves or by its twin; `notes` are sentences about the explanations, `warnings` about the rows.
    """

    lineage: Lineage
    schema: Schema
    evaluation: Evaluation
    gates: tuple[GateResult, ...]
    fitted: Fitted | None = None
    annotations: dict[str, str] = {}
    slices: tuple[Slice, ...] = ()
    fairness: tuple[Fairness, ...] = ()
    calibration: tuple[tuple[float, float], ...] = ()
    shares: tuple[Share, ...] = ()
    differences: dict[str, Interval] = {}
    compared_on: str = ""
    compared_rows: int = 0
    unasked: str = ""
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class _Read(Struct, frozen=True, rename="camel"):
    """The root of what is read of a file."""


class _Measured(_Read, frozen=True):
    rows: int
    metrics: dict[str, float]
    interval: dict[str, Interval] = {}


class _Slice(_Read, frozen=True):
    name: str
    measured: _Measured


class _Difference(_Read, frozen=True):
    interval: Interval


class _Bin(_Read, frozen=True):
    predicted: float
    observed: float


class _Group(_Read, frozen=True):
    name: str
    value: float


class _Fairness(_Read, frozen=True):
    attribute: str
    groups: tuple[_Group, ...] = ()
    metrics: dict[str, float] = {}
    interval: dict[str, Interval] = {}


class _Agreement(_Read, frozen=True):
    rows: int
    rank_correlation: float
    top_overlap: float


class _Suspicion(_Read, frozen=True):
    sentence: str


class _Findings(_Read, frozen=True):
    slices: tuple[_Slice, ...] = ()
    worst: tuple[_Slice, ...] = ()
    fairness: tuple[_Fairness, ...] = ()
    calibration: tuple[_Bin, ...] = ()
    difference: dict[str, _Difference] = {}
    compared_on: str = ""
    compared_rows: int = 0
    unasked: str = ""
    agreement: _Agreement | None = None
    suspicions: tuple[_Suspicion, ...] = ()


class _Explanation(_Read, frozen=True):
    features: tuple[Share, ...] = ()


def card_of(
    lineage: Lineage,
    schema: Schema,
    evaluation: Evaluation,
    gates: tuple[GateResult, ...],
    fitted: Fitted | None,
    annotations: dict[str, str],
    warnings: tuple[str, ...],
    folder: Path,
) -> Card:
    """The card's values; those beyond the arguments are taken from `evaluation.json` and `explanation.json` in `folder`.

    Raises InvalidInput where one of the files is there and cannot be read.
    """
    found, primary = _read(folder / EVALUATION, _Findings), evaluation.primary
    return Card(
        *(lineage, schema, evaluation, gates, fitted, annotations),
        slices=(*_slices(found.slices, primary, evaluation), *_slices(found.worst, primary, evaluation, found=True)),
        fairness=tuple(_fairness(found.fairness)),
        calibration=tuple((one.predicted, one.observed) for one in found.calibration),
        shares=_read(folder / EXPLANATION, _Explanation).features,
        differences={name: one.interval for name, one in found.difference.items()},
        compared_on=found.compared_on,
        compared_rows=found.compared_rows,
        unasked=found.unasked,
        notes=tuple(_notes(found)),
        warnings=warnings,
    )


def _slices(parts: tuple[_Slice, ...], metric: str, evaluation: Evaluation, *, found: bool = False) -> list[Slice]:
    overall = evaluation.candidate.get(metric)
    told = [(one.name, one.measured) for one in parts if metric in one.measured.metrics]
    return [Slice(name, one.rows, metric, one.metrics[metric], one.interval.get(metric), overall, found) for name, one in told]


def _fairness(parts: tuple[_Fairness, ...]) -> list[Fairness]:
    return [
        Fairness(
            one.attribute, metric, value, one.interval.get(metric), ", ".join(f"{group.name}: {group.value:.4g}" for group in one.groups)
        )
        for one in parts
        for metric, value in one.metrics.items()
    ]


def _notes(found: _Findings) -> list[str]:
    said = [one.sentence for one in found.suspicions]
    if found.agreement is not None:
        rank, top = found.agreement.rank_correlation, found.agreement.top_overlap
        text = f"LIME, asked about {found.agreement.rows} rows, orders the features alike by {rank:.2f} (rank correlation)"
        said.append(f"{text} and names {top:.0%} of the same three largest ones.")
    return said


def _read(path: Path, shape: type[T]) -> T:
    """The file's content, or an empty one where there is no such file."""
    try:
        return msgspec.json.decode(path.read_bytes() if path.is_file() else b"{}", type=shape)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        msg = f"{path.name} of the evaluation cannot be read: {error}"
        raise InvalidInput(msg) from error
