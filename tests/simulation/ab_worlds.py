"""Callers as they come: what a monitor would tell of both versions at each look, for many A/B rollouts at once."""

import math
from collections.abc import Iterator
from functools import cache
from statistics import NormalDist
from typing import Literal, NamedTuple

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from trimtab.units import Margin, margin

Floats = NDArray[np.float64]
Kind = Literal["binary", "tide", "revenue", "returning", "once"]
NEEDED = (1.6449 + 1.2816) ** 2
BUYERS, SPREAD, CLIP = 0.1, 1.5, 0.995
RETURNING = 0.3
"""How alike the labels of one caller are: their correlation."""
HEAVY = 1.0
"""How differently often callers come: the deviation of the log of their rates."""


class Arm(NamedTuple):
    """One version in all runs, shapes (runs,): callers, labels, their mean, its variance over callers, and that of independent labels."""

    callers: Floats
    labels: Floats
    mean: Floats
    variance: Floats
    naive: Floats


class Look(NamedTuple):
    """What is known at one look; `spread` and `kurtosis` as in `Outcomes`, shapes (runs,)."""

    champion: Arm
    candidate: Arm
    spread: Floats
    kurtosis: Floats


class Cell(Struct, frozen=True):
    """A world and what is asked of it: `rate` is the champion's mean, `effect` the declared one, `true` the real one in units of it.

    `share` is the candidate's in percent. Runs end after `longest` n*, n* being the callers that a test of one fixed sample needs.
    """

    kind: Kind
    rate: float
    share: int
    effect: str
    true: float = 0.0
    goal: Literal["larger", "smaller"] = "larger"
    looks: int = 400
    callers: int = 0
    longest: float = 4.0

    @property
    def margin(self) -> Margin:
        """The declared effect."""
        return margin(self.effect)

    @property
    def size(self) -> float:
        """The declared effect as a difference of means."""
        return self.rate * abs(self.margin.value - 1.0) if self.margin.relative else abs(self.margin.value)

    @property
    def candidate(self) -> float:
        """The candidate's mean."""
        return self.rate + self.true * self.size * (1.0 if self.goal == "larger" else -1.0)

    @property
    def needed(self) -> float:
        """n*: callers of both versions for one test of a fixed sample at alpha 5% (one-sided) and power 90%."""
        split = self.share / 100.0
        return NEEDED * deviation(self) ** 2 / (split * (1.0 - split)) / self.size**2

    @property
    def horizon(self) -> int:
        """How many callers come in all."""
        return self.callers or max(self.looks, math.ceil(self.longest * self.needed))


def deviation(cell: Cell) -> float:
    """The standard deviation of a caller's label."""
    if cell.kind == "revenue":
        mean, square = _revenue()
        return cell.rate * math.sqrt(square - mean**2) / mean
    return math.sqrt(cell.rate * (1.0 - cell.rate))


def looks(cell: Cell, runs: int, random: np.random.Generator) -> Iterator[Look]:
    """The looks of `runs` rollouts."""
    if cell.kind == "revenue":
        return _revenues(cell, runs, random)
    return _returning(cell, runs, random) if cell.kind in ("returning", "once") else _binary(cell, runs, random)


def _sizes(cell: Cell) -> list[int]:
    """How many callers come between two looks."""
    return np.diff(np.round(np.linspace(0, cell.horizon, cell.looks + 1))).astype(int).tolist()


def _binary(cell: Cell, runs: int, random: np.random.Generator) -> Iterator[Look]:
    """One label of 0 or 1 a caller; in a tide the rates of both rise and fall together by half."""
    sums = np.zeros((2, 2, runs))
    for number, size in enumerate(_sizes(cell)):
        level = 1.0 + 0.5 * math.sin(12.0 * math.pi * number / cell.looks) if cell.kind == "tide" else 1.0
        candidate = random.binomial(size, cell.share / 100.0, runs)
        for arm, (count, rate) in enumerate([(size - candidate, cell.rate), (candidate, cell.candidate)]):
            sums[arm, 0] += count
            sums[arm, 1] += random.binomial(count, rate * level)
        yield _of_powers(np.stack([sums[:, 0], *([sums[:, 1]] * 4)], axis=1))


@cache
def _revenue() -> tuple[float, float]:
    """Mean and mean square of what a caller brings in one unit: nothing mostly, else lognormal, clipped where the quantile `CLIP` is."""
    random = np.random.default_rng(1)
    drawn = np.where(random.random(2_000_000) < BUYERS, random.lognormal(0.0, SPREAD, 2_000_000), 0.0)
    clipped = np.minimum(drawn, _clip())
    return float(clipped.mean()), float((clipped**2).mean())


def _clip() -> float:
    """The quantile `CLIP` of what callers bring."""
    return math.exp(SPREAD * NormalDist().inv_cdf(1.0 - (1.0 - CLIP) / BUYERS))


def _revenues(cell: Cell, runs: int, random: np.random.Generator) -> Iterator[Look]:
    sums = np.zeros((2, 5, runs))
    unit, clip = cell.rate / _revenue()[0], _clip()
    for size in _sizes(cell):
        bought = random.random((runs, size)) < BUYERS
        brought = np.zeros((runs, size))
        brought[bought] = np.minimum(np.exp(SPREAD * random.standard_normal(np.count_nonzero(bought))), clip) * unit
        ours = random.random((runs, size)) < cell.share / 100.0
        for arm, (mine, factor) in enumerate([(~ours, 1.0), (ours, cell.candidate / cell.rate)]):
            values = np.where(mine, brought * factor, 0.0)
            sums[arm, 0] += mine.sum(axis=1)
            power = values
            for order in range(1, 5):
                sums[arm, order] += power.sum(axis=1)
                power = power * values
        yield _of_powers(sums)


def _of_powers(sums: Floats) -> Look:
    """What sums of the powers 0 to 4 of both versions' labels, shape (2, 5, runs), come to where a caller brings one label."""
    both = sums.sum(axis=0) / np.maximum(sums[:, 0].sum(axis=0), 1.0)
    mean, square, cube, fourth = both[1:]
    spread = np.maximum(square - mean**2, 0.0)
    peak = fourth - 4.0 * mean * cube + 6.0 * mean**2 * square - 3.0 * mean**4
    arms = []
    for count, total, squared in sums[:, :3]:
        many = np.maximum(count, 1.0)
        own = np.maximum(squared / many - (total / many) ** 2, 0.0) / np.maximum(many - 1.0, 1.0)
        arms.append(Arm(count, count, total / many, own, own))
    return Look(arms[0], arms[1], spread, np.divide(peak, spread**2, out=np.zeros_like(peak), where=spread > 0.0))


def _returning(cell: Cell, runs: int, random: np.random.Generator) -> Iterator[Look]:
    """Callers who come again and again, some much more often than others, each with a rate of its own; half are there from the start.

    `once`: each brings a 1 at most once, with its first label, and only zeros from then on.
    """
    people = cell.horizon
    ours = random.random((runs, people)) < cell.share / 100.0
    often = 20.0 / cell.looks * np.exp(HEAVY * random.standard_normal((runs, people)) - HEAVY**2 / 2.0)
    begins = np.where(random.random(people) < 0.5, 0.0, random.random(people) * cell.looks)
    concentration = 1.0 / RETURNING - 1.0
    means = np.where(ours, cell.candidate, cell.rate)
    own = random.beta(means * concentration, (1.0 - means) * concentration)
    labels, sums = np.zeros((runs, people)), np.zeros((runs, people))
    for number in range(cell.looks):
        more = random.poisson(often * (begins <= number))
        if cell.kind == "once":
            sums += (labels == 0) & (more > 0) & (random.random((runs, people)) < means)
        else:
            sums += random.binomial(more, own)
        labels += more
        yield of_callers(labels, sums, ours)


def of_callers(labels: Floats, sums: Floats, ours: NDArray[np.bool_]) -> Look:
    """What callers' labels and their sums come to, shapes (runs, callers); those without a label are none yet."""
    seen = labels > 0
    mean = sums.sum(axis=1) / np.maximum(labels.sum(axis=1), 1.0)
    off = sums - mean[:, None] * labels
    square = (off**2).sum(axis=1)
    many = np.maximum(seen.sum(axis=1), 1)
    arms = []
    for mine in (seen & ~ours, seen & ours):
        callers, rows = mine.sum(axis=1).astype(float), np.where(mine, labels, 0.0).sum(axis=1)
        total = np.where(mine, sums, 0.0).sum(axis=1)
        ratio = total / np.maximum(rows, 1.0)
        apart = np.where(mine, sums - ratio[:, None] * labels, 0.0)
        own = (apart**2).sum(axis=1) * callers / np.maximum(callers - 1.0, 1.0) / np.maximum(rows, 1.0) ** 2
        arms.append(Arm(callers, rows, ratio, own, ratio * (1.0 - ratio) / np.maximum(rows, 1.0)))
    peak = (off**4).sum(axis=1) * many
    return Look(arms[0], arms[1], square / many, np.divide(peak, square**2, out=np.zeros_like(peak), where=square > 0.0))


_SHARES = (5, 20, 50)
_RETURNING: tuple[Kind, ...] = ("returning", "once")
_BINARY = ((0.001, "+0.0005", "x1.5"), (0.01, "+0.002", "x1.2"), (0.1, "+0.01", "x1.1"), (0.5, "+0.02", "x1.05"))


def cells() -> list[Cell]:
    """All that is simulated: first candidates that are as good, then such that are better."""
    same = [Cell("binary", rate, share, effect) for rate, *effects in _BINARY for share in _SHARES for effect in effects]
    same += [Cell("binary", rate, share, effect, goal="smaller") for rate, effect in ((0.001, "x0.5"), (0.1, "-0.01")) for share in (5, 50)]
    same += [Cell("binary", rate, share, "+0.2", looks=4000, callers=4000) for rate in (0.05, 0.5) for share in _SHARES]
    same += [Cell("tide", rate, share, effect) for rate, effect, _ in _BINARY[1:3] for share in (5, 50)]
    same += [Cell("revenue", 5.0, share, effect, looks=200) for share, effect in ((5, "x1.5"), (20, "x1.25"), (50, "x1.2"), (50, "x3"))]
    same += [Cell(kind, 0.2, share, "+0.05", looks=60, callers=2000) for kind in _RETURNING for share in (20, 50)]
    better = [Cell("binary", rate, share, effect) for rate, effect, _ in _BINARY for share in _SHARES]
    better += [Cell("binary", 0.1, 50, "-0.01", goal="smaller"), Cell("tide", 0.1, 50, "+0.01")]
    better += [Cell("revenue", 5.0, 50, "x1.2", looks=200), Cell("returning", 0.2, 50, "+0.05", looks=60, callers=2000)]
    return same + [replace(cell, true=true) for cell in better for true in (1.0, 2.0)]
