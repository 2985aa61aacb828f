"""What a window's p-value is worth where rows depend on each other: streams whose truth is known."""

import numpy as np
import pytest
from scipy.stats import chi2, chi2_contingency, ks_2samp, kstwobign

from trimtab.monitoring.dependence import ASSUMED, LEAST_BLOCKS, Dependence, adjusted, blocks, measure

DAY = 86_400.0
INDEPENDENT = Dependence((0.0,), 0.0, np.inf, 100)


def days(generator: np.random.Generator, count: int, deviation: float, follow: float = 0.0) -> np.ndarray:
    """The means of days: independent, or an autoregression of that coefficient."""
    steps = generator.normal(0, deviation, count)
    found = steps.copy()
    for day in range(1, count):
        found[day] = follow * found[day - 1] + np.sqrt(1 - follow**2) * steps[day]
    return found


def stream(generator: np.random.Generator, moves: np.ndarray, rows: int = 10_000) -> tuple[np.ndarray, np.ndarray]:
    """Times in seconds and values of rows over as many days as there are moves."""
    times = np.sort(generator.uniform(0, len(moves), rows))
    return times * DAY, moves[times.astype(int)] + generator.standard_normal(rows)


@pytest.mark.parametrize(
    ("times", "span", "expected"),
    [
        pytest.param([0, 1, 2, 3, 4, 5, 6, 7, 8], 2.0, [0, 0, 1, 1, 2, 2, 3, 3, 3], id="the last row is in the last block"),
        pytest.param([0, 1, 2, 9], 3.0, [0, 0, 0, 2], id="a block may be empty"),
        pytest.param([0, np.nan, 5, 10], 5.0, [0, -1, 1, 1], id="a row without a time is in none"),
        pytest.param([0, 5, 9], 5.0, [-1, -1, -1], id="less than two blocks are none"),
        pytest.param([np.nan, np.nan], 5.0, [-1, -1], id="no times, no blocks"),
        pytest.param([1, 2], 0.0, [-1, -1], id="a window without a length has none"),
    ],
)
def test_blocks(times: list[float], span: float, expected: list[int]) -> None:
    assert blocks(np.array(times, dtype=float), span).tolist() == expected


def test_aligned_blocks_begin_at_whole_periods() -> None:
    assert blocks(np.array([5.0, 9.0, 10.0, 19.0, 20.0, 31.0]), 10.0, aligned=True).tolist() == [0, 0, 1, 1, 2, 3]


def test_the_variance_between_days_is_found_again(generator: np.random.Generator) -> None:
    found = []
    for _ in range(20):
        times, values = stream(generator, days(generator, 180, 0.3))
        found.append(measure(values, "number", blocks(times, DAY, aligned=True)).directions[0])
    # Days' means of deviation s vary {x <= 0} by (s phi(0))^2, in units of F(1 - F) = 1/4.
    assert np.mean(found) == pytest.approx(4 * 0.3**2 / (2 * np.pi), rel=0.2)


def test_independent_rows_are_worth_nearly_what_they_are(generator: np.random.Generator) -> None:
    times, values = stream(generator, np.zeros(180))
    assert measure(values, "number", blocks(times, DAY, aligned=True)).directions[0] < 0.004


def test_days_that_follow_each_other_leave_more_in_the_mean_and_fewer_degrees_of_freedom(generator: np.random.Generator) -> None:
    streams = [stream(generator, days(generator, 180, 0.3, coefficient)) for coefficient in (0.0, 0.8) for _ in range(10)]
    found = [measure(values, "number", blocks(times, DAY, aligned=True)) for times, values in streams]
    alone, follow = found[:10], found[10:]
    # An autoregression of 0.8 leaves 1.8 / 0.2 times the variance in a mean, and the variance itself 1 / (1.64 / 0.36) of the degrees.
    assert np.mean([one.kept for one in alone]) == pytest.approx(1 / 180, rel=0.3)
    assert 4 / 180 < np.mean([one.kept for one in follow]) < 12 / 180
    assert 25 < np.mean([one.freedom for one in follow]) < 90 < np.mean([one.freedom for one in alone])


@pytest.mark.parametrize("kind", ["number", "category"])
@pytest.mark.parametrize("world", ["independent rows", "days differ", "days follow each other"])
def test_p_values_are_honest_or_conservative_without_drift(generator: np.random.Generator, world: str, kind: str) -> None:
    """The share of 400 windows below 1 in 100 is no more than what an honest p exceeds once in a thousand times (11)."""
    deviation, follow = {"independent rows": (0.0, 0.0), "days differ": (0.2, 0.0), "days follow each other": (0.2, 0.8)}[world]
    below = raw = 0
    for _ in range(40):
        moves = days(generator, 190, deviation, follow)
        times, values = stream(generator, moves[:180])
        old = values if kind == "number" else np.digitize(values, [-0.7, 0.3]).astype(float)
        dependence = measure(old, kind, blocks(times, DAY, aligned=True))  # type: ignore[arg-type]
        for day in range(180, 190):
            new = moves[day] + generator.standard_normal(2000)
            if kind == "number":
                test = ks_2samp(old, new, mode="asymp")
                found = adjusted("kolmogorov", test.pvalue, test.statistic, 2000, len(old), dependence)
            else:
                sides = (old, np.digitize(new, [-0.7, 0.3]))
                test = chi2_contingency([[(side == place).sum() for place in range(3)] for side in sides])
                found = adjusted("chi2", test.pvalue, test.statistic, 2000, len(old), dependence, free=2)
            below += found.p < 0.01
            raw += test.pvalue < 0.01
    assert below <= 11
    assert (raw > 100) == (deviation > 0)


@pytest.mark.parametrize(
    ("law", "statistic", "free"), [("kolmogorov", 0.05, 1), ("chi2", 14.0, 2), ("normal", 0.0, 1)], ids=["KS", "chi-square", "any other"]
)
def test_rows_that_are_independent_leave_p_as_it_is_and_dependence_only_raises_it(law: str, statistic: float, free: int) -> None:
    rows, compared = 2000, 6000
    raw = {
        "kolmogorov": float(kstwobign.sf(statistic * np.sqrt(rows * compared / (rows + compared)))),
        "chi2": float(chi2.sf(statistic, free)),
        "normal": 0.003,
    }[law]
    found = [
        adjusted(law, raw, statistic, rows, compared, Dependence((r,), 0.01, np.inf, 100), free=free)  # type: ignore[arg-type]
        for r in (0.0, 0.0005, 0.01)
    ]
    assert found[0].p == pytest.approx(raw, rel=1e-6)
    assert found[0].rows == pytest.approx(rows)
    assert found[0].p < found[1].p < found[2].p
    assert found[2].rows == pytest.approx(1 / (1 / rows + 0.01))


def test_few_degrees_of_freedom_raise_p() -> None:
    many, few = (adjusted("kolmogorov", 0.0, 0.2, 2000, 6000, Dependence((0.01,), 0.01, freedom, 100)).p for freedom in (np.inf, 10.0))
    assert few > 3 * many


def test_a_category_that_varies_in_one_direction_alone_is_not_taken_for_all(generator: np.random.Generator) -> None:
    """Two of six categories trade shares from day to day: the first-order correction would call that drift."""
    rows = 10_000
    times = np.sort(generator.uniform(0, 180, rows))
    trade = generator.normal(0, 0.05, 180)
    first = 0.2 + trade[times.astype(int)]
    drawn = generator.random(rows)
    values = np.where(drawn < first, 0.0, np.where(drawn < 0.4, 1.0, 2.0 + np.floor(4 * (drawn - 0.4) / 0.6001)))
    found = measure(values, "category", blocks(times * DAY, DAY, aligned=True))
    assert found.directions[0] > 5 * found.directions[1]


@pytest.mark.parametrize("span", [30 * DAY, 90 * DAY, 400 * DAY])
def test_with_few_blocks_what_cannot_be_known_is_assumed(generator: np.random.Generator, span: float) -> None:
    times, values = stream(generator, np.zeros(180))
    found = measure(values, "number", blocks(times, span))
    assert (found.known, found.blocks < LEAST_BLOCKS, found.directions[0] >= ASSUMED) == (False, True, True)
    assert adjusted("kolmogorov", 1e-9, 0.05, 5000, 10_000, found).rows <= 100


@pytest.mark.parametrize("kind", ["number", "category"])
def test_what_never_changes_varies_by_nothing(kind: str) -> None:
    found = measure(np.ones(1000), kind, blocks(np.arange(1000.0), 10.0))  # type: ignore[arg-type]
    assert found.directions == (0.0,)


def test_missing_values_tell_nothing_and_a_p_value_that_is_none_stays_none(generator: np.random.Generator) -> None:
    times, values = stream(generator, days(generator, 180, 0.3))
    holes = np.where(generator.random(len(values)) < 0.3, np.nan, values)
    whole, part = (measure(column, "number", blocks(times, DAY, aligned=True)).directions[0] for column in (values, holes))
    assert part == pytest.approx(whole, rel=0.3)
    assert np.isnan(adjusted("kolmogorov", float("nan"), 0.1, 100, 100, INDEPENDENT).p)


def test_a_cycle_that_the_seasons_explain_is_no_dependence(generator: np.random.Generator) -> None:
    weekend = 0.5 * (np.arange(180) % 7 < 2)
    times, values = stream(generator, weekend)
    ids, weekdays = blocks(times, DAY, aligned=True), (times // DAY).astype(np.int64) % 7
    plain, seasonal = measure(values, "number", ids), measure(values, "number", ids, weekdays)
    assert plain.directions[0] > 0.02
    assert seasonal.directions[0] < 0.004
