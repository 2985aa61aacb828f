"""Durations and margins as people write them."""

from datetime import timedelta

import pytest

from trimtab.units import Margin, Persistence, duration, margin, persistence


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("250ms", timedelta(milliseconds=250)),
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        ("24h", timedelta(days=1)),
        ("2w", timedelta(14)),
    ],
)
def test_a_duration_is_a_number_and_a_unit(text: str, length: timedelta) -> None:
    assert duration(text) == length


def test_an_absolute_margin_is_added_and_a_relative_one_multiplies() -> None:
    assert margin("+0.01").bound(0.2) == pytest.approx(0.21)
    assert margin("-0.005").bound(0.7) == pytest.approx(0.695)
    assert margin("x1.05").bound(100.0) == pytest.approx(105.0)
    assert margin("x1.05") == Margin(1.05, relative=True)


def test_a_persistence_is_hits_of_windows() -> None:
    assert persistence("2 of 5") == Persistence(2, 5)


@pytest.mark.parametrize("read", [duration, margin, persistence])
def test_what_is_none_of_them_is_refused(read) -> None:
    with pytest.raises(ValueError, match="'5%' is not a"):
        read("5%")
