"""How long models have not been heard of: windows close by what comes, so that where nothing comes any more only a clock can notice."""

from datetime import datetime, timedelta

from msgspec import Struct

LOOK = timedelta(minutes=1)


class Heard(Struct, frozen=True):
    """A model's watermark, since when (wall time) it stands there, and when that was last looked at."""

    watermark: datetime
    at: datetime
    looked: datetime


class Silence:
    """Remembers each model's watermark."""

    def __init__(self) -> None:
        self._heard: dict[str, Heard] = {}

    def seconds(self, model: str, watermark: datetime, now: datetime) -> float | None:
        """For how long the watermark has stood there, at most once a minute of wall time; None in between, and where it moved."""
        heard = self._heard.get(model)
        if heard is None or heard.watermark != watermark:
            self._heard[model] = Heard(watermark, now, now)
            return None
        if now - heard.looked < LOOK:
            return None
        self._heard[model] = Heard(watermark, heard.at, now)
        return (now - heard.at).total_seconds()
