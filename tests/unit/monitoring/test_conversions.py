import numpy as np
import pytest

from trimtab.monitoring.columns import Floats
from trimtab.monitoring.conversions import conversion

GENERATOR = np.random.default_rng(11)
YEAR = 12.0 + 10.0 * np.sin(np.linspace(0, 2 * np.pi, 2000)) + GENERATOR.normal(0, 3.0, 2000)
WIDE = np.exp(GENERATOR.normal(0.0, 2.5, 2000))
METRES = GENERATOR.gamma(2.0, 400.0, 2000)


@pytest.mark.parametrize(
    ("reference", "window", "expected"),
    [
        pytest.param(METRES, METRES[::9], "", id="the same unit"),
        pytest.param(METRES, METRES[::9] / 1000, "1/1000 of", id="kilometres, which are all within the range"),
        pytest.param(METRES, METRES[::9] * 100, "100 times", id="centimetres"),
        pytest.param(METRES, METRES[::9] * 10, "10 times", id="ten times as much, most of it out of range"),
        pytest.param(WIDE, WIDE[::9] * 10, "", id="ten times as much, most of it still in range, may be the world's"),
        pytest.param(METRES, METRES[::9] * 2.2, "", id="twice as much is drift"),
        pytest.param(YEAR, YEAR[::9] * 1.8 + 32, "1.8x + 32, Fahrenheit for Celsius", id="Fahrenheit"),
        pytest.param(YEAR * 1.8 + 32, YEAR[::9], "(x - 32) / 1.8, Celsius for Fahrenheit", id="Celsius for Fahrenheit"),
        pytest.param(YEAR, YEAR[::9] + 273.15, "x + 273.15, Kelvin for Celsius", id="Kelvin"),
        pytest.param(YEAR, YEAR[400:600], "", id="a warm season"),
        pytest.param(METRES, METRES[::9] * 1.8 + 32, "", id="what is no temperature has no scale of one"),
        pytest.param(np.arange(5.0).repeat(20), np.arange(5.0).repeat(20) * 1000, "", id="few values are not looked at"),
    ],
)
def test_conversion(reference: Floats, window: Floats, expected: str) -> None:
    assert conversion(reference, window) == expected
