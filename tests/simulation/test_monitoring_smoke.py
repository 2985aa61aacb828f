"""The monitor's promises on a few models; `monitoring.py` beside it measures all of them."""

import pytest

from tests.simulation.monitoring import OURS, RAW, SEASONAL, SMALL, Cell, agreement, play, summed
from tests.simulation.monitoring_rivals import ALIBI
from tests.simulation.monitoring_worlds import STREAMS

MODELS = 7


def rows(name: str, windows: int, models: int = MODELS) -> dict[str, float]:
    """Findings in all (nothing planted) or the power within five windows, by method."""
    stream = next(stream for stream in STREAMS if stream.name == name)
    cell = Cell(stream, 5000, models, windows)
    found = summed(cell, [play(cell, seed) for seed in range(models)])
    return {row.method: row.findings_per_1000_model_days if row.power_5_windows is None else row.power_5_windows for row in found}


@pytest.mark.parametrize("name", [stream.name for stream in STREAMS if not stream.drifts])
def test_200_windows_without_drift_raise_nothing(name: str) -> None:
    found = rows(name, 30)
    assert found[OURS] == 0
    assert found.get(SEASONAL, 0) == 0
    assert (found[RAW] > 0) == (name != "no drift"), "rows taken as independent cry wolf where days differ"
    assert found[ALIBI] > 0


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("mean +0.3 SD", OURS),
        ("concept only", OURS),
        ("mean +0.3 SD, weekly season", SEASONAL),
        ("variance x1.5", SMALL),
        ("correlation 0 to 0.5 only", SMALL),
    ],
)
def test_what_is_above_the_bound_is_found_within_five_windows(name: str, method: str) -> None:
    assert rows(name, 5)[method] >= 6 / MODELS


def test_our_p_values_are_scipys() -> None:
    assert agreement() < 0.01
