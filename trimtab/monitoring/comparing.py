"""One window against its version's reference: which rows of it are compared, what the detector's words are worth, what moved."""

from collections.abc import Sequence

import numpy as np
from msgspec import structs

from trimtab.monitoring.columns import Column, Floats, Table, comparable
from trimtab.monitoring.deciding import ColumnTest, Drift, check
from trimtab.monitoring.dependence import LEAST_BLOCKS, Dependence, adjusted
from trimtab.monitoring.detectors import Detector
from trimtab.monitoring.effects import divergences, effects
from trimtab.monitoring.reference import Length, Reference, length
from trimtab.monitoring.seasons import Alike, alike
from trimtab.monitoring.spread import moved
from trimtab.spec import Monitoring, Window
from trimtab.units import duration

_DAY = 86_400.0


def length_of(times: Floats, window: Window) -> Length:
    """How long a window of rows at these times is: the policy's period, unless its rows filled it earlier."""
    if window.every and window.panes == 1 and len(times) < window.rows:
        return Length(duration(window.every).total_seconds(), aligned=True)
    return length(float(times.max() - times.min()) if len(times) else 0.0)


def compare(reference: Reference, window: Table, times: Floats, detector: Detector, policy: Monitoring, span_days: float) -> Drift:
    """What moved in a window whose rows have these event times; it may spend what `span_days` of data time have.

    Raises Unavailable where the detector cannot answer.
    """
    columns, left, right = comparable(reference.schema, reference.table, window)
    like = seasonal(reference, times, policy)
    drawn = left if like is None else {name: values[like.places] for name, values in left.items()}
    lasted = length_of(times, policy.window)
    tests, note = weigh(reference, columns, detector.test(columns, drawn, right, policy.drift), left, right, lasted, like)
    if policy.reference.seasonal and like is None:
        note = f"the reference has no times, so none of its rows are known to be of the window's hours; {note}"
    sizes, shown = effects(columns, drawn, right), divergences(columns, drawn, right)
    return check(columns, tests, sizes, span_days, policy.drift.effect, shown, note)


def seasonal(reference: Reference, times: Floats, policy: Monitoring) -> Alike | None:
    """The rows of the window's own hours and weekdays; None where all are compared."""
    return alike(reference.times, times) if policy.reference.seasonal and np.isfinite(reference.times).any() else None


def weigh(
    reference: Reference,
    columns: Sequence[Column],
    tests: dict[str, ColumnTest],
    left: Table,
    right: Table,
    lasted: Length,
    like: Alike | None,
) -> tuple[dict[str, ColumnTest], str]:
    """The tests with the p-values that hold though rows depend on each other, and what had to be assumed for them.

    `left` is the reference before any of its rows were chosen, `lasted` the window's length. A test of all columns together is
    given the dependence of the most dependent one.
    """
    known = {
        column.name: _kept(reference.dependence(column, left[column.name], lasted, seasonal=like is not None), reference, lasted, like)
        for column in columns
        if column.name in left
    }
    most = max(known.values(), key=lambda one: max(one.directions), default=None)
    found = dict(tests)
    for column in columns:
        dependence = most if tests[column.name].joint else known.get(column.name, most)
        if dependence is not None:
            old, new = (side.get(column.name, next(iter(side.values()))) for side in (left, right))
            found[column.name] = _weighed(column, tests[column.name], old, new, dependence, like)
        if column.kind == "number" and column.name in left and _by_distribution(tests[column.name]):
            apart = reference.dependence(column, left[column.name], lasted, seasonal=like is not None, spread=True)
            apart = _kept(apart, reference, lasted, like)
            found[column.name] = _or_spread(found[column.name], left[column.name], right[column.name], apart, like)
    return found, _note([one for one in known.values() if not one.known], lasted)


def _kept(dependence: Dependence, reference: Reference, lasted: Length, like: Alike | None) -> Dependence:
    """The dependence where only some blocks of the reference lend rows: less of it averages out."""
    if like is None or not dependence.known:
        return dependence
    ids = reference.blocks(lasted)
    shares = np.bincount(ids[ids >= 0], like.weights[ids >= 0])
    kept = dependence.kept * dependence.blocks * float((shares**2).sum())
    return Dependence(dependence.directions, min(1.0, max(dependence.kept, kept)), dependence.freedom, dependence.blocks)


def _weighed(column: Column, test: ColumnTest, old: Floats, new: Floats, dependence: Dependence, like: Alike | None) -> ColumnTest:
    compared, rows = int((~np.isnan(old)).sum()), int((~np.isnan(new)).sum())
    law = test.law or ("chi2" if column.kind == "category" else "kolmogorov")
    free = max(1, len(np.union1d(old, new)) - 1) if law == "chi2" else 1
    worth = None if like is None else like.rows * compared / len(old)
    found = adjusted(law, test.p, test.statistic, rows, compared, dependence, effective=worth, free=free)
    return structs.replace(test, adjusted=found.p, rows=found.rows)


def _by_distribution(test: ColumnTest) -> bool:
    """Whether it is Kolmogorov-Smirnov's word; other tests are asked for what they see."""
    return test.law is None and test.alarm is None and not test.joint


def _or_spread(test: ColumnTest, old: Floats, new: Floats, dependence: Dependence, like: Alike | None) -> ColumnTest:
    """The test with the smaller p-value of its own and that of the spread, twice (Bonferroni)."""
    spread = moved(old if like is None else old[like.places], new)
    if spread is None or test.adjusted is None:
        return test
    compared, rows = int((~np.isnan(old)).sum()), int((~np.isnan(new)).sum())
    worth = None if like is None else like.rows * compared / len(old)
    found = adjusted("normal", spread.p, spread.deviate, rows, compared, dependence, effective=worth)
    return structs.replace(test, adjusted=min(1.0, 2 * min(test.adjusted, found.p)))


def _note(unknown: Sequence[Dependence], lasted: Length) -> str:
    if not unknown:
        return ""
    count = min(one.blocks for one in unknown)
    return (
        f"the reference has {count} stretches as long as the window ({lasted.seconds / _DAY:.3g} days), fewer than {LEAST_BLOCKS} that are "
        f"independent, so how windows differ by themselves had to be assumed: this one counts as at most 100 independent rows"
    )
