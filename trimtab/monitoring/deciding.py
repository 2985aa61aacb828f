"""When a moved distribution is a finding: significant AND large AND enough rows AND persistent. Pure.

**Budget.** At most FALSE_FINDINGS expected false findings a model-day of data time, designed at 0.7 of it. A window that spans
d days may spend `0.7 / 1000 * d`, in equal parts on the four kinds that are tested (covariate, prediction, concept,
performance), and a kind its part in equal parts on its columns (Bonferroni):

    level(window, column) = 0.7 * (1 / 1000) * d / 4 / columns of that kind,  at most 0.05 / columns

It depends on nothing but the window, so that a decision can be reproduced. Persistence is not credited: windows of one version share
a reference, their errors are not independent. Rows that depend on each other (seasons, autocorrelation) make this level optimistic;
persistence and the effect's bound hold against it.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from msgspec import Struct

from trimtab.monitoring.columns import Column
from trimtab.schema import PREDICTION
from trimtab.units import Persistence

FALSE_FINDINGS = 1 / 1000
DESIGN = 0.7
KINDS = 4
CEILING = 0.05


class ColumnTest(Struct, frozen=True):
    """A detector's word on one column.

    `effect` is the detector's own, which then decides in place of the column's. `alarm` is said by detectors with thresholds of their
    own, and then stands in place of a p-value under the level. `joint` is one p-value over all columns of its kind.
    """

    p: float
    statistic: float
    effect: float | None = None
    alarm: bool | None = None
    joint: bool = False


class Divergence(Struct, frozen=True, rename="camel"):
    """Two measures that people know, shown beside a column's effect; they decide nothing."""

    psi: float
    jensen_shannon: float


class ColumnCheck(Struct, frozen=True, rename="camel"):
    """One column of one window: what was measured, and whether it counts as moved."""

    of: str
    p: float
    statistic: float
    effect: float
    moved: bool
    psi: float | None = None
    jensen_shannon: float | None = None


class Drift(Struct, frozen=True, rename="camel", omit_defaults=True):
    """A window's drift check; `failed` says why there is none. `level` is what each feature's p-value was held against."""

    columns: dict[str, ColumnCheck] = {}
    level: float = 0.0
    failed: str = ""

    def moved(self, *, prediction: bool) -> dict[str, ColumnCheck]:
        """The columns that moved, of the prediction or of the features."""
        return {name: check for name, check in self.columns.items() if check.moved and (check.of == PREDICTION) == prediction}


def level(span_days: float) -> float:
    """What one kind of finding may spend in a window that spans so many days of data time."""
    return min(CEILING, DESIGN * FALSE_FINDINGS * span_days / KINDS)


def check(
    columns: Sequence[Column],
    tests: dict[str, ColumnTest],
    sizes: dict[str, float],
    span_days: float,
    effect: float,
    shown: Mapping[str, Divergence] = MappingProxyType({}),
) -> Drift:
    """Which columns moved; `sizes` are their effects, `effect` the least that counts (`monitoring.drift.effect`).

    What is `shown` beside them decides nothing.
    """
    budget = level(span_days)
    of_features = max(1, sum(column.of != PREDICTION for column in columns))
    of_prediction = max(1, sum(column.of == PREDICTION for column in columns))
    found = {}
    for column in columns:
        test, other = tests[column.name], shown.get(column.name)
        size = sizes[column.name] if test.effect is None else test.effect
        family = 1 if test.joint else of_prediction if column.of == PREDICTION else of_features
        significant = test.p < budget / family if test.alarm is None else test.alarm
        divergences = (other.psi, other.jensen_shannon) if other else (None, None)
        found[column.name] = ColumnCheck(column.of, test.p, test.statistic, size, significant and size >= effect, *divergences)
    return Drift(found, budget / of_features)


def persistent(hits: Sequence[bool], rule: Persistence) -> bool:
    """Whether enough of the last windows are hits, the newest among them; `hits` are oldest first."""
    return bool(hits) and hits[-1] and sum(hits[-rule.windows :]) >= rule.hits


def lasting(history: Sequence[Drift], rule: Persistence, *, prediction: bool) -> list[str]:
    """The columns of the newest window whose move is persistent, the largest effect first; `history` is oldest first."""
    if not history:
        return []
    newest = history[-1].moved(prediction=prediction)
    moved = [set(drift.moved(prediction=prediction)) for drift in history]
    found = [name for name in newest if persistent([name in names for names in moved], rule)]
    return sorted(found, key=lambda name: -newest[name].effect)
