"""The rule of the offset alone: labels that lie beside the predictions on average, where residuals follow their neighbours and where not.

A model's residuals are one autoregression with a variance of 1, cut into windows: two weeks of hourly rows, or a day of 2,000. Beside the
rule as it is stand its words before persistence, and the means of blocks of 24 rows and of a tenth of the window, which it might have used.
"""

from collections.abc import Callable

import numpy as np
from msgspec import Struct
from scipy.signal import lfilter

from tests.simulation.monitoring import OURS, RULE, Row, line
from trimtab.monitoring.columns import Floats
from trimtab.monitoring.deciding import level, persistent
from trimtab.monitoring.offset import Offset, matters, offset
from trimtab.spec import Monitoring
from trimtab.units import margin

MARGIN = margin(Monitoring().performance.margin)
ONCE, BLOCKS, TENTHS = "before persistence", "blocks of 24 rows instead", "blocks of a tenth instead"
SHIFT, WINDOWS = 0.6, 30


class Residuals(Struct, frozen=True):
    """How much each residual keeps of the one before, the offset that begins with the first window, and how a window is made."""

    memory: float
    shift: float
    rows: int
    days: float

    @property
    def name(self) -> str:
        """As it stands in the table."""
        kept = f"autocorrelation {self.memory:g} a row" if self.memory else "independent residuals"
        return f"{kept}, {self.rows:,} rows in {self.days:g} {'day' if self.days == 1 else 'days'}"


def streams() -> list[Residuals]:
    """What is played: without an offset, and with one."""
    made = ((336, 14.0), (2000, 1.0))
    calm = [Residuals(memory, 0.0, *window) for window in made for memory in (0.0, 0.8, 0.95, 0.99)]
    return calm + [Residuals(memory, SHIFT, *window) for window in made for memory in (0.0, 0.8, 0.95)]


def means_of_blocks(residuals: Floats, block: int) -> Offset:
    """The same by batch means: `rows` are such that the degrees of freedom are the blocks' less one."""
    blocks = len(residuals) // block
    means = residuals[: blocks * block].reshape(blocks, block).mean(axis=1)
    deviation = float(means.std(ddof=1)) / float(np.sqrt(blocks))
    return Offset(float(residuals.mean()), deviation, float(blocks), float(residuals.std()))


def play(residuals: Residuals, models: int, seed: int = 0) -> list[Row]:
    """The stream's lines, one a method."""
    draw = np.random.default_rng([seed, round(residuals.memory * 100), residuals.rows, round(residuals.shift * 10)])
    one = level(residuals.days) / 2
    ways: dict[str, Callable[[Floats], Offset]] = {
        OURS: lambda window: offset(window, np.zeros(len(window))),
        BLOCKS: lambda window: means_of_blocks(window, 24),
        TENTHS: lambda window: means_of_blocks(window, len(window) // 10),
    }
    found: dict[str, list[list[int]]] = {name: [] for name in (OURS, ONCE, BLOCKS, TENTHS)}
    for _ in range(models):
        windows = _stream(draw, residuals).reshape(WINDOWS, residuals.rows)
        for name, way in ways.items():
            off = [matters(way(window), MARGIN, one) for window in windows]
            found[name].append([int(one) for one in off] if name != OURS else _told(off))
            if name == OURS:
                found[ONCE].append([int(one) for one in off])
    drifts = residuals.shift > 0
    return [
        line(name, residuals.name, residuals.shift, np.array(told), residuals.rows, drifts=drifts, days=residuals.days)
        for name, told in found.items()
    ]


def _stream(draw: np.random.Generator, residuals: Residuals) -> Floats:
    steps = draw.standard_normal(WINDOWS * residuals.rows) * np.sqrt(1 - residuals.memory**2)
    steps[0] = draw.standard_normal()
    return np.asarray(lfilter([1.0], [1.0, -residuals.memory], steps)) + residuals.shift


def _told(off: list[bool]) -> list[int]:
    """What persists is told, and again only after as many windows as persistence looks at (`checks._told`)."""
    found, last = [], -RULE.windows
    for window in range(len(off)):
        says = persistent(off[: window + 1], RULE) and window - last >= RULE.windows
        last = window if says else last
        found.append(int(says))
    return found
