"""What a model card tells, as values: the evaluation and what stands around it, and the parts of it that are rows of the card's tables."""

from msgspec import Struct

from trimtab.explanation import Explanation
from trimtab.schema import Schema
from trimtab.training.evaluate import Evaluation
from trimtab.training.evaluation.found import Slice
from trimtab.training.fitted import Fitted
from trimtab.training.gate import GateResult
from trimtab.training.lineage import Lineage

Interval = tuple[float, float]


class Card(Struct, frozen=True):
    """All that the card tells. `explanation` is of the version that serves, `warnings` are sentences about the rows."""

    lineage: Lineage
    schema: Schema
    evaluation: Evaluation
    gates: tuple[GateResult, ...]
    fitted: Fitted | None = None
    annotations: dict[str, str] = {}
    explanation: Explanation | None = None
    warnings: tuple[str, ...] = ()


class Part(Struct, frozen=True):
    """A slice of the holdout: which rows, how many, the primary metric on them with its interval, and the same on all rows.

    `found` says that the evaluation found the slice to be worse, and nobody declared it.
    """

    rows_where: str
    rows: int
    metric: str
    value: float
    interval: Interval | None
    overall: float | None
    found: bool = False

    @property
    def how(self) -> str:
        """Where the slice comes from."""
        return "found" if self.found else "declared"


def parts(found: Evaluation) -> tuple[Part, ...]:
    """The declared slices, then those that were found."""
    return (*_parts(found, found.slices), *_parts(found, found.worst, found=True))


def _parts(evaluation: Evaluation, slices: tuple[Slice, ...], *, found: bool = False) -> list[Part]:
    metric = evaluation.primary
    overall = evaluation.candidate.get(metric)
    told = [(one.name, one.measured) for one in slices if metric in one.measured.metrics]
    return [Part(name, one.rows, metric, one.metrics[metric], one.interval.get(metric), overall, found) for name, one in told]


def notes(found: Evaluation) -> tuple[str, ...]:
    """Sentences about what the predictions rest on."""
    said = [one.sentence for one in found.suspicions]
    if found.agreement is not None:
        rank, top = found.agreement.rank_correlation, found.agreement.top_overlap
        text = f"LIME, asked about {found.agreement.rows} rows, orders the features alike by {rank:.2f} (rank correlation)"
        said.append(f"{text} and names {top:.0%} of the same three largest ones.")
    return tuple(said)
