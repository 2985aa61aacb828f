from datetime import UTC, datetime, timedelta

from trimtab.monitoring.silence import Silence

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def test_a_model_is_looked_at_once_a_minute_and_every_new_row_begins_anew() -> None:
    silence = Silence()
    asked = {
        "the first look only remembers": (0, START, None),
        "a minute has not passed": (59, START, None),
        "a minute of silence": (60, START, 60),
        "the next look is a minute after the last": (119, START, None),
        "silence counts from when the watermark came to stand": (125, START, 125),
        "a row came": (130, at(1), None),
        "and the count begins anew": (200, at(1), 70),
    }
    for case, (now, watermark, expected) in asked.items():
        assert silence.seconds("default/demand", watermark, at(now)) == expected, case
    assert silence.seconds("default/other", START, at(500)) is None, "each model has its own"
