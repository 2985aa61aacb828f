"""Simulated streams of a model with four numbers, a category and a prediction, by days; most do not drift, some are made to."""

from collections.abc import Callable

import numpy as np
from msgspec import Struct

from trimtab.monitoring.columns import Floats, Table
from trimtab.monitoring.reference import Reference
from trimtab.schema import PREDICTION, Feature, Metrics, Schema

DAY = 86_400.0
HISTORY = 180
REFERENCE_ROWS = 10_000
HOLDOUT = 0.2
FEATURES = (*(Feature(f"x{n}", "number") for n in range(4)), Feature("c", "category", ("a", "b", "c")))
SCHEMA = Schema("regression", "y", FEATURES, time="at")
SHARES = np.array([0.5, 0.3, 0.2])


class Shift(Struct, frozen=True):
    """What is planted from the first live day on; `size` is its effect as the monitor measures it at its largest, `where` the column."""

    mean: float = 0.0
    deviation: float = 1.0
    share: float = 0.0
    correlation: float = 0.0
    concept: float = 0.0
    windows: int = 0


class Stream(Struct, frozen=True):
    """A kind of world: how days differ by themselves, and what is planted."""

    name: str
    days: str = "alike"
    shift: Shift = Shift()
    effect: float = 0.0
    drifts: bool = False


MEAN = Shift(mean=0.3)
STREAMS = (
    Stream("no drift"),
    Stream("no drift, weekly season", "weekly"),
    Stream("no drift, autocorrelated days", "autocorrelated"),
    Stream("mean +0.3 SD", shift=MEAN, effect=0.3, drifts=True),
    Stream("variance x1.5", shift=Shift(deviation=1.5**0.5), effect=0.18, drifts=True),
    Stream("category share +10 points", shift=Shift(share=0.1), effect=0.1, drifts=True),
    Stream("correlation 0 to 0.5 only", shift=Shift(correlation=0.5), effect=0.17, drifts=True),
    Stream("concept only", shift=Shift(concept=0.75), effect=0.0, drifts=True),
    Stream("gradual, to mean +0.5 SD over 10 windows", shift=Shift(mean=0.5, windows=10), effect=0.5, drifts=True),
    Stream("mean +0.3 SD, weekly season", "weekly", MEAN, effect=0.3, drifts=True),
    Stream("mean +0.3 SD, autocorrelated days", "autocorrelated", MEAN, effect=0.3, drifts=True),
)


class Window(Struct, frozen=True):
    """A day's rows."""

    table: Table
    times: Floats
    truth: Floats


class World:
    """One model's reference and its days; the same (stream, seed) are the same world."""

    def __init__(self, stream: Stream, seed: int, days: int) -> None:
        self._draw = np.random.default_rng([seed, STREAMS.index(stream)])
        self._shift = stream.shift
        self._moves = DAYS[stream.days](self._draw, HISTORY + days)
        self.reference = self._reference()

    def window(self, day: int, rows: int) -> Window:
        """The live day (0 is the first after the reference), of so many rows."""
        times = np.sort(self._draw.uniform(HISTORY + day, HISTORY + day + 1, rows))
        ramp = min(1.0, (day + 1) / self._shift.windows) if self._shift.windows else 1.0
        return self._rows(times, self._shift, ramp)

    def _reference(self) -> Reference:
        times = np.sort(self._draw.uniform(0, HISTORY, REFERENCE_ROWS))
        made = self._rows(times, Shift(), 0.0)
        first = int(REFERENCE_ROWS * (1 - HOLDOUT))
        truth, answers = made.truth[first:], made.table[PREDICTION][first:]
        metrics = Metrics({"rmse": float(np.sqrt(((truth - answers) ** 2).mean()))}, "rmse", 8.0, REFERENCE_ROWS, len(truth))
        return Reference(SCHEMA, metrics, made.table, truth, answers, float(HISTORY), REFERENCE_ROWS, times * DAY)

    def _rows(self, days: Floats, shift: Shift, ramp: float) -> Window:
        draw, count = self._draw, len(days)
        move = self._moves[days.astype(int)]
        x = draw.standard_normal((4, count))
        x[1] = shift.correlation * x[0] + np.sqrt(1 - shift.correlation**2) * x[1]
        x[1] *= shift.deviation
        x[2] = np.exp(0.5 * x[2])
        x[0] += ramp * shift.mean + move[:, 0]
        x[1] += move[:, 1]
        x[3] = x[3] + 0.5 * np.sin(2 * np.pi * days) + move[:, 2]
        edge = np.clip(SHARES[0] - shift.share + 0.4 * move[:, 3], 0.05, 0.75)
        chosen = draw.random(count)
        c = np.where(chosen < edge, 0.0, np.where(chosen < edge + SHARES[1] * (1 - edge) / (1 - SHARES[0]), 1.0, 2.0))
        prediction = x[0] + x[1] + 0.3 * x[2]
        truth = prediction + shift.concept * x[0] + draw.standard_normal(count)
        table = {**{f"x{n}": x[n] for n in range(4)}, "c": c, PREDICTION: prediction}
        return Window(table, days * DAY, truth)


def _alike(draw: np.random.Generator, days: int) -> Floats:
    del draw
    return np.zeros((days, 4))


def _weekly(draw: np.random.Generator, days: int) -> Floats:
    """On two days of seven everything is 0.4 SD higher; which two differs by the model."""
    weekend = (np.arange(days) + draw.integers(7)) % 7 < 2
    return np.asarray(0.4 * weekend[:, None] * np.array([1.0, 0.0, 1.0, 0.5]))


def _autocorrelated(draw: np.random.Generator, days: int) -> Floats:
    """Days wander by 0.15 SD, an autoregression of 0.8 a day."""
    steps = draw.standard_normal((days, 4)) * 0.15
    found = np.empty((days, 4))
    found[0] = steps[0]
    for day in range(1, days):
        found[day] = 0.8 * found[day - 1] + 0.6 * steps[day]
    return found


DAYS: dict[str, Callable[[np.random.Generator, int], Floats]] = {
    "alike": _alike,
    "weekly": _weekly,
    "autocorrelated": _autocorrelated,
}
