"""Simulated rollouts: which ones are played, and what their counters say at each look."""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from trimtab.rollout.power import n_star
from trimtab.units import Margin, margin

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

LOOK_SECONDS = 10
LOOKS = 180
"""Half an hour of looks."""
PER_LOOK = 22_000 * LOOK_SECONDS
"""The most requests between two looks: 22,000 in a second."""
HORIZON = 4.0
"""How long a rollout may take, in units of n*."""

SPLITS = (1, 5, 25, 50)
EFFECTS = (0.0, 1.0, 2.0)
BASES = (
    *((1e-4, "+0.01"), (1e-3, "+0.01"), (0.01, "+0.01"), (0.1, "+0.02"), (0.5, "+0.05")),
    *((1e-4, "x1.05"), (1e-4, "x1.5"), (1e-3, "x1.5"), (0.01, "x1.5"), (0.1, "x1.5"), (0.5, "x1.1")),
)
STEPS = (5, 25, 50)
BURSTS = (2, 5, 20)


class Cell(Struct, frozen=True):
    """One kind of rollout. `effect` is how much worse the candidate is, in units of the margin.

    `horizon` is in units of n* (of the sum of the steps' n*), and is seen in `looks` looks. `change` multiplies both rates from that share
    of the horizon on: a common cause. `late`: the candidate is as good as the champion until that share of the horizon. `guards` is
    how many guards look, all at the same rates: two for a candidate that is as good (each may roll it back, both have to pass it); one
    for a worse one, for the other guards could only help. `burst`: so many bad answers come at once and to one version, of which
    nothing is promised.
    """

    kind: str
    base: float
    margin: str
    effect: float
    steps: tuple[int, ...]
    horizon: float = HORIZON
    looks: int = LOOKS
    change: tuple[float, float] | None = None
    late: float = 0.0
    burst: int = 1

    @property
    def asked(self) -> Margin:
        return margin(self.margin)

    @property
    def guards(self) -> int:
        return 1 if self.effect else 2

    @property
    def needed(self) -> float:
        """n*, summed over the steps; where rates change, the larger one of each step."""
        rates = {self.base, self.base * (self.change[1] if self.change else 1.0)}
        return float(sum(max(_n_star(rate, self.margin, step) for rate in rates) for step in self.steps))

    @property
    def size(self) -> int:
        """Requests between two looks."""
        return min(PER_LOOK, max(2, round(self.horizon * self.needed / self.looks)))

    @property
    def reachable(self) -> bool:
        """Whether the horizon is as long as was asked for, at the traffic there is."""
        return self.horizon * self.needed <= PER_LOOK * self.looks

    def rates(self, at: float) -> tuple[float, float]:
        """The champion's and the candidate's rate at a share of the horizon."""
        champion = self.base * (self.change[1] if self.change and at >= self.change[0] else 1.0)
        effect = self.effect if at >= self.late else 0.0
        return champion, min(1.0, champion + effect * (self.asked.bound(champion) - champion))


@cache
def _n_star(rate: float, text: str, step: int) -> int:
    return n_star(rate, margin(text), step / 100.0) or 0


class Look(NamedTuple):
    """What was counted since the look before, in all rollouts at once.

    `champion_n` and `candidate_n` are requests by step (rollouts at the same step have the same), `step` is each rollout's step, and
    `bad` has for each guard how many of each rollout's answers of champion and candidate were bad.
    """

    step: Ints
    champion_n: Ints
    candidate_n: Ints
    bad: Sequence[tuple[Ints, Ints]]

    @property
    def n(self) -> tuple[Ints, Ints]:
        """Each rollout's requests of champion and candidate."""
        return self.champion_n[self.step], self.candidate_n[self.step]


def draw(cell: Cell, at: float, step: Ints, random: np.random.Generator) -> Look:
    """The look at this share of the horizon; the candidate gets the share of its step, rounded up or down by chance."""
    candidate_n = np.floor(cell.size * np.array(cell.steps) / 100.0 + random.random()).astype(np.int64)
    champion_n = cell.size - candidate_n
    rates = cell.rates(at)
    arms = (champion_n, candidate_n)
    single = len(cell.steps) == 1
    sizes = [int(arm[0]) if single else arm[step] for arm in arms]
    bad = [tuple(_bad(cell, size, rate, len(step), random) for size, rate in zip(sizes, rates, strict=True)) for _ in range(cell.guards)]
    return Look(step, champion_n, candidate_n, [(champion, candidate) for champion, candidate in bad])


def _bad(cell: Cell, size: int | Ints, rate: float, runs: int, random: np.random.Generator) -> Ints:
    """How many of a version's answers are bad."""
    if cell.burst == 1:
        return random.binomial(size, rate, runs)
    return np.minimum(size, cell.burst * random.poisson(np.asarray(size) * rate / cell.burst, runs))


def cells() -> Iterator[Cell]:
    """The cells of the table: every rate, margin, split and effect; common causes; a candidate that goes bad late; bursts."""
    for base, text in BASES:
        for split in SPLITS:
            for effect in EFFECTS:
                yield Cell("one step", base, text, effect, (split,))
    for base, text, change in ((0.01, "+0.02", 5.0), (0.05, "+0.02", 0.2), (0.02, "x1.5", 10.0), (0.2, "x1.5", 0.1)):
        for share in (0.05, 0.15, 0.3):
            for effect in EFFECTS:
                yield Cell("common cause", base, text, effect, STEPS, change=(share, change))
    for effect in EFFECTS:
        yield Cell("1,000 looks", 0.01, "+0.01", effect, STEPS, looks=1000)
    for base, text in ((0.01, "+0.01"), (0.1, "+0.02"), (0.01, "x1.5"), (0.1, "x1.5")):
        yield Cell("bad late", base, text, 2.0, STEPS, late=0.25)
    for burst in BURSTS:
        for effect in EFFECTS:
            yield Cell("bursts", 0.01, "+0.01", effect, (25,), burst=burst)
