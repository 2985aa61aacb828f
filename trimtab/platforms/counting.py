"""How two readings of growing counters become what happened in between. Pure, and shared by every reader of a gateway's counters.

Counters are exact at any time, the latency histogram lags behind them: a slow answer that was merged late counts in the next block,
and no block has more slow answers than requests. So what is remembered of the slow ones is what was counted, not what was read.
"""

from trimtab.release import ArmCounts


def since(old: ArmCounts, new: ArmCounts) -> ArmCounts:
    """What was counted between two readings; negative where a counter went back."""
    requests = new.requests - old.requests
    return ArmCounts(requests, new.errors - old.errors, min(max(new.slow - old.slow, 0), max(requests, 0)))


def accounted(old: ArmCounts, new: ArmCounts, counted: ArmCounts) -> ArmCounts:
    """What to remember after `counted` was taken from the step from `old` to `new`."""
    return ArmCounts(new.requests, new.errors, old.slow + counted.slow)


def went_back(old: ArmCounts, new: ArmCounts) -> bool:
    """Whether the counters cannot be the same ones: they began anew in between, for they fell or errors grew by more than requests."""
    return new.errors < old.errors or new.requests - old.requests < new.errors - old.errors
