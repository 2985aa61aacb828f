"""What an evaluation found: all that the gates look at, and all that its report shows."""

from typing import Literal

from msgspec import Struct

from trimtab.explanation import Explanation
from trimtab.spec import Task
from trimtab.training.evaluation.bootstrap import Difference
from trimtab.training.evaluation.fairness import Fairness
from trimtab.training.evaluation.lime import Agreement
from trimtab.training.evaluation.measured import Measured
from trimtab.training.evaluation.ranking import Curve
from trimtab.training.evaluation.reliability import Bin
from trimtab.training.evaluation.robustness import Robustness
from trimtab.training.evaluation.slices import Harm
from trimtab.training.evaluation.spurious import Suspicion
from trimtab.training.evaluation.timing import Timed

EVALUATION = "evaluation.json"


class Slice(Struct, frozen=True, rename="camel", omit_defaults=True):
    """A part of the holdout: a value of a declared `column`, or a slice that was found, which has an `effect` and a corrected `p_value`.

    `attribution` are the three features that its predictions rest on most, with their shares.
    """

    name: str
    measured: Measured
    column: str = ""
    effect: float | None = None
    p_value: float | None = None
    attribution: dict[str, float] = {}


class Evaluation(Struct, frozen=True, rename="camel", omit_defaults=True):
    """How good a candidate is on `holdout_rows` rows that its twin never saw, beside a model without features on the same rows.

    `interval` is each metric's 95% interval. `champion` and `difference` (candidate less champion) are over `compared_rows` of the rows,
    which the champion did not see either: version `compared_with`, as it serves or as its twin (`compared_on`). `skill` is what the
    primary metric is more than that of the model without features. `unasked` says why the champion was not compared.
    `threshold` is the probability from which on a row is called positive. `seconds` is how long the run took until it was judged;
    in a pipeline's trial, `champion_seconds` is the same of the champion's run, and `timed` how long both take for predictions.
    """

    task: Task
    primary: str
    rows: int
    holdout_rows: int
    candidate: dict[str, float]
    baseline: dict[str, float]
    champion: dict[str, float] | None = None
    compared_with: str = ""
    compared_on: Literal["", "served", "twin"] = ""
    compared_rows: int = 0
    unasked: str = ""
    interval: dict[str, tuple[float, float]] = {}
    difference: dict[str, Difference] = {}
    skill: Difference | None = None
    rolling: bool = False
    threshold: float | None = None
    classes: tuple[str, ...] = ()
    slices: tuple[Slice, ...] = ()
    worst: tuple[Slice, ...] = ()
    searched_rows: int = 0
    harm: Harm | None = None
    calibration: tuple[Bin, ...] = ()
    roc: Curve | None = None
    confusion: tuple[tuple[int, ...], ...] = ()
    fairness: tuple[Fairness, ...] = ()
    robustness: Robustness | None = None
    explanation: Explanation | None = None
    agreement: Agreement | None = None
    suspicions: tuple[Suspicion, ...] = ()
    seconds: float | None = None
    champion_seconds: float | None = None
    timed: Timed | None = None

    @property
    def whole(self) -> Measured:
        """What was measured on all judged rows."""
        return Measured(self.holdout_rows, self.candidate, self.interval, self.champion, self.difference, self.compared_rows)
