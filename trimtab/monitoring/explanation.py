"""Whether a version answers by other features than in training: the order of its features by what they moved its answers. Pure.

The measure is the normalised discounted cumulative gain (Järvelin and Kekäläinen, 2002), by which SageMaker Clarify and Azure ML watch
attributions too: features in the order of their live shares of the attributions, the share in training as each one's gain. 1 is the same
order; two small features that change places cost little, the largest one that falls costs much.

    NDCG = sum_i share(feature at live rank i) / log2(i + 1),  divided by the same sum in the order of training

Both sides are resampled by a circular block bootstrap. An order jumps where two shares are nearly equal, and noise lowers an NDCG more
often than it raises it: so the interval holds both the percentile and the basic one (Davison and Hinkley, 1997), which reflects the
resamples about what was measured.

A version does not change, so what its answers rest on is a function of its inputs: a moved order says that the inputs moved where the
version looks, never that the world behind them did. That is why it is a kind of its own, and cured by a retrain only where labels say that
it hurts.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from trimtab.monitoring.columns import Floats
from trimtab.monitoring.performance import seed
from trimtab.monitoring.resampling import block_rows, blocks, counts

RESAMPLES = 300
LEAST_ROWS = 50
LISTED = 20


class Rank(Struct, frozen=True):
    """A feature's share of the attributions in training and live, and its rank by it, from 1."""

    feature: str
    reference: float
    live: float
    before: int
    now: int


class Ranking(Struct, frozen=True, omit_defaults=True):
    """A window's NDCG with its 95% interval, over so many explained `rows`, and the bound that it was held against.

    `features` are those among the first 20 of either side, in the order of training. `failed` says why there is none; `at` is the watermark
    when it was said, in seconds since 1970.
    """

    ndcg: float | None = None
    low: float = 0.0
    high: float = 1.0
    bound: float = 0.0
    rows: int = 0
    features: tuple[Rank, ...] = ()
    failed: str = ""
    at: float = 0.0

    @property
    def moved(self) -> bool:
        """Whether the order moved: the whole interval is below the bound."""
        return self.ndcg is not None and self.high < self.bound


class Sizes(Struct, frozen=True):
    """Absolute attributions in shape (rows, features), in the order of time, and what each row counts for."""

    values: Floats
    weights: Floats


def ndcg(reference: Floats, live: Floats) -> Floats:
    """The NDCG of each pair of shares, shape (pairs, features) to (pairs,); of live shares that are equal the order is training's."""
    order = np.argsort(-reference, axis=1, kind="stable")
    gains, found = np.take_along_axis(reference, order, 1), np.take_along_axis(live, order, 1)
    discounts = 1.0 / np.log2(np.arange(reference.shape[1]) + 2.0)
    said = np.take_along_axis(gains, np.argsort(-found, axis=1, kind="stable"), 1)
    return np.asarray((said @ discounts) / (gains @ discounts))


def ranked(names: Sequence[str], reference: Sizes, live: Sizes, of_rows: int, bound: float, identity: str) -> Ranking:
    """The window's ranking; `live` is a sample of its `of_rows` rows, `identity` names the window."""
    before, now = _shares(reference.values, reference.weights[None, :]), _shares(live.values, live.weights[None, :])
    if not before.any() or not now.any():
        return Ranking(bound=bound, rows=len(live.values), failed="the version's answers rest on no feature")
    generator = np.random.default_rng(seed(f"{identity}|explanation"))
    found = float(ndcg(before, now)[0])
    sides = [_resampled(side, rows, generator) for side, rows in ((reference, len(reference.values)), (live, of_rows))]
    usable = sides[0].any(axis=1) & sides[1].any(axis=1)
    draws = ndcg(sides[0][usable], sides[1][usable])
    least, most = np.quantile(draws, [0.025, 0.975]).tolist() if len(draws) else (0.0, 1.0)
    low, high = max(0.0, min(least, 2 * found - most)), min(1.0, max(most, 2 * found - least))
    return Ranking(found, low, high, bound, len(live.values), _listed(names, before[0], now[0]))


def again(ranking: Ranking, bound: float) -> Ranking:
    """The same measured order under another bound."""
    return replace(ranking, bound=bound)


def movers(ranking: Ranking, most: int = 3) -> list[Rank]:
    """The features that changed their rank, the largest change of share first."""
    changed = [one for one in ranking.features if one.before != one.now]
    return sorted(changed, key=lambda one: -abs(one.live - one.reference))[:most]


def sizes_of(names: Sequence[str], contributions: Sequence[Mapping[str, float | list[float]]]) -> Floats:
    """Rows' contributions as absolute values in shape (rows, features); of several classes the absolute values are added."""
    found = [[float(np.abs(row[name]).sum()) for name in names] for row in contributions]
    return np.array(found, dtype=float).reshape(len(contributions), len(names))


def _shares(values: Floats, weights: Floats) -> Floats:
    """Each feature's share, shape (resamples, features), of rows with weights of shape (resamples, rows); zeros where all are zero."""
    sums = weights @ values
    total = sums.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(sums, total, out=np.zeros_like(sums), where=total > 0))


def _resampled(side: Sizes, of_rows: int, generator: np.random.Generator) -> Floats:
    rows = len(side.values)
    block = block_rows(rows, of_rows)
    drawn: NDArray[np.float64] = np.array(list(counts(rows, block, blocks(rows, block, RESAMPLES, generator))))
    return _shares(side.values, drawn * side.weights)


def _listed(names: Sequence[str], reference: Floats, live: Floats) -> tuple[Rank, ...]:
    order = np.argsort(-reference, kind="stable")
    before, now = np.empty(len(names), dtype=int), np.empty(len(names), dtype=int)
    before[order] = np.arange(len(names))
    now[order[np.argsort(-live[order], kind="stable")]] = np.arange(len(names))
    shown = [place for place in order if min(before[place], now[place]) < LISTED]
    return tuple(
        Rank(names[place], round(float(reference[place]), 4), round(float(live[place]), 4), int(before[place]) + 1, int(now[place]) + 1)
        for place in shown
    )
