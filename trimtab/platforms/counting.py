"""How two readings of growing counters become what happened in between. Pure, and shared by every reader of a gateway's counters.

Counters are exact at any time, the latency histogram lags behind them: a slow answer that was merged late counts in the next block,
and no block has more slow answers than requests. So what is remembered of the slow ones is what was counted, not what was read.
"""

from collections.abc import Mapping
from itertools import pairwise

from trimtab.evidence import LATENCY_MS
from trimtab.release import ArmCounts


def since(old: ArmCounts, new: ArmCounts) -> ArmCounts:
    """What was counted between two readings; negative where a counter went back."""
    requests = new.requests - old.requests
    slow = min(max(new.slow - old.slow, 0), max(requests, 0))
    before = old.times or (0,) * len(new.times)
    times = tuple(max(more - less, 0) for less, more in zip(before, new.times, strict=True)) if new.times else ()
    return ArmCounts(requests, new.errors - old.errors, slow, times)


def accounted(old: ArmCounts, new: ArmCounts, counted: ArmCounts) -> ArmCounts:
    """What to remember after `counted` was taken from the step from `old` to `new`."""
    return ArmCounts(new.requests, new.errors, old.slow + counted.slow, new.times)


def added(one: ArmCounts, other: ArmCounts) -> ArmCounts:
    """Both together."""
    times = tuple(a + b for a, b in zip(one.times, other.times, strict=True)) if one.times and other.times else one.times or other.times
    return ArmCounts(one.requests + other.requests, one.errors + other.errors, one.slow + other.slow, times)


def by_bucket(upto: Mapping[float, float]) -> tuple[int, ...]:
    """Answers by how long they took, from cumulative counts by bound in milliseconds; empty where a bound is lacking.

    The count at the largest bound is that of all answers.
    """
    if not upto or not upto.keys() >= set(LATENCY_MS):
        return ()
    counts = [int(upto[bound]) for bound in LATENCY_MS] + [int(max(upto.values()))]
    return tuple(more - less for less, more in pairwise([0, *counts]))


def went_back(old: ArmCounts, new: ArmCounts) -> bool:
    """Whether the counters cannot be the same ones: they began anew in between, for they fell or errors grew by more than requests."""
    return new.errors < old.errors or new.requests - old.requests < new.errors - old.errors
