"""How long answers took, out of cumulative buckets: what a reading adds, and that both arms' sums stay whole."""

from hypothesis import given
from hypothesis import strategies as st

from trimtab.evidence import LATENCY_MS
from trimtab.platforms.counting import accounted, added, by_bucket, since
from trimtab.release import ArmCounts

TIMES = st.tuples(*[st.integers(0, 50)] * (len(LATENCY_MS) + 1))
ENVOY = (0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 3_600_000)


@given(st.lists(st.floats(0.1, 3_000_000), max_size=60))
def test_every_answer_is_in_the_bucket_of_how_long_it_took(milliseconds: list[float]) -> None:
    upto = {float(bound): float(sum(one <= bound for one in milliseconds)) for bound in ENVOY}
    found = by_bucket(upto)
    assert sum(found) == len(milliseconds)
    lower = 0.0
    for bound, count in zip((*LATENCY_MS, float("inf")), found, strict=True):
        assert count == sum(lower < one <= bound for one in milliseconds)
        lower = bound


def test_where_a_bound_is_lacking_nobody_kept_the_times() -> None:
    assert by_bucket({}) == ()
    assert by_bucket({1.0: 3.0, 3_600_000.0: 5.0}) == ()


@given(TIMES, TIMES)
def test_a_step_is_what_came_between_two_readings(before: tuple[int, ...], more: tuple[int, ...]) -> None:
    old = ArmCounts(sum(before), 0, 0, before)
    new = added(old, ArmCounts(sum(more), 0, 0, more))
    step = since(old, new)
    assert step.times == more
    assert accounted(old, new, step).times == new.times
    assert since(ArmCounts(), new).times == new.times, "the first reading that has them"
    assert since(old, ArmCounts(sum(before))).times == (), "a reading that has none"
