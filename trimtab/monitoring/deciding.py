"""When a moved distribution is a finding: significant AND large AND enough rows AND persistent. Pure.

**Budget.** At most FALSE_FINDINGS expected false findings a model-day of data time, designed at 0.7 of it. A window that spans
d days may spend `0.7 / 1000 * d`, in equal parts on the four kinds that are tested (covariate, prediction, concept,
performance), and a kind its part in equal parts on its columns (Bonferroni):

    level(window, column) = 0.7 * (1 / 1000) * d / 4 / columns of that kind,  at most 0.05 / columns

It depends on nothing but the window, so that a decision can be reproduced. Persistence is not credited: windows of one version share
a reference, their errors are not independent. Rows depend on each other (seasons, autocorrelation): what is held against the level is
the p-value of `dependence.py`, which knows; the detector's own is kept beside it.
"""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from msgspec import Struct
from msgspec.structs import replace

from trimtab.monitoring.columns import Column
from trimtab.monitoring.dependence import Law
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
    `law` is what the statistic follows where rows are independent; None: the usual one of the column's kind, Kolmogorov's or
    chi-square. `adjusted` is the p-value where they are not, and `rows` what the window's are then worth; None: they are.
    """

    p: float
    statistic: float
    effect: float | None = None
    alarm: bool | None = None
    joint: bool = False
    law: Law | None = None
    adjusted: float | None = None
    rows: float | None = None

    @property
    def deciding(self) -> float:
        """The p-value that decides."""
        return self.p if self.adjusted is None else self.adjusted


class Divergence(Struct, frozen=True, rename="camel"):
    """Two measures that people know, shown beside a column's effect; they decide nothing."""

    psi: float
    jensen_shannon: float


class ColumnCheck(Struct, frozen=True, rename="camel"):
    """One column of one window: what was measured, and whether it counts as moved.

    `p` is the detector's own, `adjusted` the one that decided; `rows` is how many independent rows the window was worth.
    """

    of: str
    p: float
    statistic: float
    effect: float
    moved: bool
    significant: bool = False
    psi: float | None = None
    jensen_shannon: float | None = None
    adjusted: float | None = None
    rows: float | None = None

    @property
    def deciding(self) -> float:
        """The p-value that decided."""
        return self.p if self.adjusted is None else self.adjusted


class Drift(Struct, frozen=True, rename="camel", omit_defaults=True):
    """A window's drift check; `failed` says why there is none. `level` is what each feature's p-value was held against.

    `note` says what was not known and had to be assumed. `at` is the watermark when it was said, in seconds since 1970.
    """

    columns: dict[str, ColumnCheck] = {}
    level: float = 0.0
    failed: str = ""
    note: str = ""
    at: float = 0.0

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
    note: str = "",
) -> Drift:
    """Which columns moved; `sizes` are their effects, `effect` the least that counts (`monitoring.drift.effect`).

    What is `shown` beside them decides nothing; `note` says what had to be assumed.
    """
    budget = level(span_days)
    of_features = max(1, sum(column.of != PREDICTION for column in columns))
    of_prediction = max(1, sum(column.of == PREDICTION for column in columns))
    found = {}
    for column in columns:
        test, other = tests[column.name], shown.get(column.name)
        size = sizes[column.name] if test.effect is None else test.effect
        family = 1 if test.joint else of_prediction if column.of == PREDICTION else of_features
        significant = test.deciding < budget / family if test.alarm is None else test.alarm
        psi, shannon = (other.psi, other.jensen_shannon) if other else (None, None)
        moved = significant and size >= effect
        found[column.name] = ColumnCheck(
            column.of, test.p, test.statistic, size, moved, significant, psi, shannon, test.adjusted, test.rows
        )
    return Drift(found, budget / of_features, note=note)


def again(drift: Drift, effect: float) -> Drift:
    """The same check under another `effect`: what was measured, and whether it was significant, stays."""
    columns = {name: replace(one, moved=one.significant and one.effect >= effect) for name, one in drift.columns.items()}
    return replace(drift, columns=columns)


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


def window_p(drift: Drift) -> float:
    """One p-value for the whole window: its columns' smallest, times their number (Bonferroni); 1 where nothing was tested."""
    found = [check.deciding for check in drift.columns.values() if not math.isnan(check.deciding)]
    return min(1.0, len(found) * min(found)) if found else 1.0
