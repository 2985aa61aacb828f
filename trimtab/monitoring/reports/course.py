"""The axis of data time that all figures of a model's life share, and what lies on it in each: versions, promotions, a grid. Pure."""

from collections.abc import Sequence

from msgspec import Struct

from trimtab.drawing.scale import Scale, times
from trimtab.drawing.svg import INK, SOFT, box, line, shortened, words
from trimtab.monitoring.records import WindowRecord

WIDE, LEFT, RIGHT = 1000.0, 150.0, 150.0
TINTS = ("#f3f7fb", "#fdf6e7")


class Course(Struct, frozen=True):
    """A model's windows, oldest first, at least one, and the axis of data time that all figures share."""

    records: list[WindowRecord]

    @property
    def time(self) -> Scale:
        """From the first window's begin to the last one's end."""
        return Scale(self.records[0].start, max(record.end for record in self.records), LEFT, WIDE - RIGHT)

    def middle(self, record: WindowRecord) -> float:
        """Where a window's mark is."""
        return self.time((record.start + record.end) / 2)

    def reigns(self) -> list[tuple[str, float, float]]:
        """Which version's windows lie from where to where."""
        found: list[tuple[str, float, float]] = []
        for record in self.records:
            if found and found[-1][0] == record.version:
                found[-1] = (record.version, found[-1][1], record.end)
            else:
                found.append((record.version, record.start, record.end))
        return found

    def frame(self, top: float, bottom: float) -> str:
        """Tints, promotions and the axis of time around a panel."""
        parts = []
        for place, (version, start, end) in enumerate(self.reigns()):
            left, right = self.time(start), self.time(end)
            parts.append(box(left, top, right - left, bottom - top, TINTS[place % 2]))
            if place:
                parts.append(line(left, top - 12, left, bottom, INK, 1.2, "3 2"))
            if right - left > 24:
                parts.append(words(left + 4, top - 3, f"version {version}" if right - left > 80 else version, colour=SOFT))
        for when, text in times(self.time.low, self.time.high, 8):
            parts += [line(self.time(when), bottom, self.time(when), bottom + 4, SOFT)]
            parts += [words(self.time(when), bottom + 16, text, "middle", colour=SOFT)]
        return "".join(parts) + line(LEFT, bottom, WIDE - RIGHT, bottom, SOFT)


def grid(up: Scale, values: Sequence[float]) -> str:
    """Lines across a panel at the values, with their words."""
    return "".join(line(LEFT, up(v), WIDE - RIGHT, up(v)) + words(LEFT - 8, up(v) + 4, f"{v:g}", "end", colour=SOFT) for v in values)


def beside(ends: Sequence[tuple[float, str, str, str]], low: float, high: float) -> str:
    """Names beside the right ends of lines (y, name, colour, dashes), moved apart so that none hides another."""
    placed, last = [], low - 13.0
    for y, name, colour, dashes in sorted(ends):
        last = max(y, last + 13)
        placed.append((last, name, colour, dashes))
    over, left = max(0.0, last - high), WIDE - RIGHT + 6
    return "".join(
        line(left, y - over, left + 20, y - over, colour, 1.8, dashes) + words(left + 25, y - over + 4, shortened(name, 19), colour=colour)
        for y, name, colour, dashes in placed
    )
