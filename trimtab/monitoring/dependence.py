"""How far windows without drift lie apart, where rows depend on each other. Pure.

A test that takes rows as independent is wrong on nearly every stream: days differ, weeks have ends, one caller sends many rows. What
a window of m rows then tells is what `m_eff` independent ones would (the design effect, Kish 1965):

    1 / m_eff = 1 / m + r,    1 / n_eff = 1 / n + r * kept

r is measured on the version's reference: it is cut into blocks of as much data time as the window spans, and r is the variance between the
blocks' distributions less what sampling within them explains (analysis of variance, method of moments), in units of a single row's
variance. `kept` is the share of it that stays in the reference's mean: one over the number of blocks, less where blocks follow each
other's lead (their autocorrelations, summed while they are positive: Geyer 1992).

**Numbers.** r(t) is measured for the indicators {x <= t} at 19 quantiles. The largest deviation of a Gaussian process is ruled by its
largest variance, so r is the largest r(t) that sampling error does not explain, and at least their mean. Kolmogorov's law is asked with the
effective rows. **Categories.** The chi-square statistic of shares that vary by more than multinomial sampling is a weighted sum of
chi-squares; the weights are the eigenvalues of the design-effect matrix, and scale and degrees of freedom are matched to them (Rao and
Scott 1981, second order; Satterthwaite 1946). **Any other test**: its p is taken as that of a normal deviate, which is divided by the
square root of the same design effect.

A share of it that is no larger than the sampling error of its own estimate cannot be told from none, so r is at least that.

r is itself an estimate from few blocks, and the levels are small: the deviate is held against Student's t with the blocks' degrees of
freedom, more where independent rows explain most of the variance (Satterthwaite). With fewer than LEAST_BLOCKS independent blocks r
cannot be told; then it is taken as its upper bound and at least ASSUMED, as if a window held no more than 100 independent rows.

A block bootstrap (Kuensch 1989) of the same reference cannot do this: with blocks as long as a window it has no more different windows
than blocks, so no p below one in their number, where the budget asks for one in 50,000. `docs/evidence/monitoring.md` has both.
"""

from typing import Literal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy.special import chdtrc, chdtri, kolmogorov, ndtr, ndtri, stdtr

from trimtab.monitoring.columns import Floats

Ints = NDArray[np.int64]
Law = Literal["kolmogorov", "chi2", "normal"]
Kind = Literal["number", "category", "score"]

THRESHOLDS = np.linspace(0.05, 0.95, 19)
LEAST_BLOCKS = 10
LEAST_IN_BLOCK = 2
ASSUMED = 0.01
RARE = 0.01
_UPPER = 0.1
_AVERAGED = 0.54  # the sampling error of a mean of r(t) over t, of one r(t)'s (Scholz and Stephens, 1987)
_TINY = 1e-300


class Dependence(Struct, frozen=True):
    """What one column of the reference says of windows of one length.

    `directions`: the variance between windows in units of a row's own: one value for a number, one a degree of freedom for a category.
    `kept`: the share of it that is left in the reference's mean. `freedom`: the degrees of freedom behind it. `known` is False where
    there were too few `blocks` to tell.
    """

    directions: tuple[float, ...]
    kept: float
    freedom: float
    blocks: int
    known: bool = True


class Adjusted(Struct, frozen=True):
    """The p-value that decides, and how many independent rows the window is worth."""

    p: float
    rows: float


def blocks(times: Floats, span: float, *, aligned: bool = False) -> Ints:
    """The block of each row (rows,), by event times in seconds: blocks of equal length, at least `span`; -1 where the time is NaN.

    `aligned` ones begin at whole numbers of spans since 1970, as windows by time do: days are told apart only by whole days. All are
    -1 where the times span less than two blocks.
    """
    known = np.isfinite(times)
    found = np.full(len(times), -1, dtype=np.int64)
    if not known.any():
        return found
    first, last = float(times[known].min()), float(times[known].max())
    count = int((last - first) // span) if span > 0 else 0
    if count >= 2 and aligned:
        found[known] = (times[known] // span - first // span).astype(np.int64)
    elif count >= 2:
        found[known] = np.minimum((times[known] - first) / (last - first) * count, count - 1).astype(np.int64)
    return found


def measure(values: Floats, kind: Kind, ids: Ints, cells: Ints | None = None) -> Dependence:
    """The dependence of a column of the reference, `ids` being its rows' blocks (`blocks`); of scores it is that of their mean.

    With `cells` (rows,), the season that each row falls into, only what the mix of seasons does not explain counts.
    """
    used = (ids >= 0) & ~np.isnan(values)
    used[used] = np.bincount(ids[used])[ids[used]] >= LEAST_IN_BLOCK if used.any() else False
    kept = np.unique(ids[used])
    if len(kept) < 2:
        return Dependence((ASSUMED,), 1 / LEAST_BLOCKS, np.inf, len(kept), known=False)
    order = np.argsort(ids[used], kind="stable")
    indicators = _indicators(values[used][order], kind)
    shares, spread = indicators.mean(axis=0), indicators.var(axis=0)
    rest = indicators - (shares if cells is None else _means(indicators, cells[used][order]))
    sizes = np.bincount(ids[used])[kept]
    means = np.add.reduceat(rest, np.concatenate([[0], np.cumsum(sizes)[:-1]]), axis=0) / sizes[:, None]
    means -= means.mean(axis=0)
    within = float(np.mean(1 / sizes))
    found = _of_category(means, rest, shares, within) if kind == "category" else _of_number(means, rest, spread, within, kind)
    return _dependence(found, means / np.sqrt(spread) if len(shares) else means, within)


def _indicators(values: Floats, kind: Kind) -> Floats:
    """The columns {x <= t}, or {x = category}, of the values, as 0 and 1; those that are constant are left out. Scores are one column."""
    if kind == "score":
        return values[:, None] if values.std() > 0 else np.empty((len(values), 0))
    if kind == "number":
        points = np.unique(np.quantile(values, THRESHOLDS))
        found = values[:, None] <= points
    else:
        _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
        often = counts >= RARE * len(values)
        found = places[:, None] == np.flatnonzero(often)
        if (~often).any():
            found = np.column_stack([found, ~often[places]])
    share = found.mean(axis=0)
    return np.asarray(found[:, (share > 0) & (share < 1)], dtype=float)


def _means(indicators: Floats, cells: Ints) -> Floats:
    """Each row's cell's mean, shape of `indicators`."""
    _, places, counts = np.unique(cells, return_inverse=True, return_counts=True)
    sums = np.zeros((len(counts), indicators.shape[1]))
    np.add.at(sums, places, indicators)
    return np.asarray((sums / counts[:, None])[places])


def _of_number(means: Floats, rest: Floats, spread: Floats, within: float, kind: Kind) -> tuple[float, ...]:
    if not len(spread):
        return (0.0,)
    between = (means.var(axis=0, ddof=1) - (rest**2).mean(axis=0) * within) / spread
    noise = within * np.sqrt(2 / (len(means) - 1))
    if kind == "score":
        return (max(float(between[0]), noise),)
    return (max(float(between.mean()), float(np.max(4 * spread * (between - 2 * noise))), noise * _AVERAGED),)


def _of_category(means: Floats, rest: Floats, shares: Floats, within: float) -> tuple[float, ...]:
    free = len(shares) - 1
    if free < 1:
        return (0.0,)
    scaled, alone = means / np.sqrt(shares), rest / np.sqrt(shares)
    between = scaled.T @ scaled / (len(means) - 1) - alone.T @ alone / len(rest) * within
    whole = float(np.trace(between))
    ratio = len(shares) / len(means)
    first = float(np.linalg.eigvalsh(between)[-1]) - within * (2 * np.sqrt(ratio) + ratio)
    even = max(0.0, whole / free)
    if free == 1 or first <= even:
        return (even,) * free
    return (first, *((max(0.0, (whole - first) / (free - 1)),) * (free - 1)))


def _dependence(directions: tuple[float, ...], means: Floats, within: float) -> Dependence:
    """`means` (blocks, indicators) are in units of a row's deviation, their own mean taken off; `within` is what sampling adds to each."""
    count = len(means)
    followed, squares = 0.0, 0.0
    whole = float((means**2).sum())
    true = whole - within * means.size
    for lag in range(1, count // 3):
        shared = float((means[lag:] * means[:-lag]).sum())
        if true <= 0 or shared < 2 / np.sqrt(count) * whole:
            break
        share = min(1.0, shared / true)
        followed, squares = followed + share, squares + share**2
    kept, free = min(1.0, (1 + 2 * followed) / count), float(count / (1 + 2 * squares) - 1)
    if free >= LEAST_BLOCKS - 1:
        return Dependence(directions, kept, free, count)
    bound = max(free, 1.0) / float(chdtri(max(free, 1.0), 1 - _UPPER))
    return Dependence(tuple(max(ASSUMED, value * bound) for value in directions), max(kept, 1 / LEAST_BLOCKS), np.inf, count, known=False)


def adjusted(
    law: Law, p: float, statistic: float, rows: int, compared: int, dependence: Dependence, *, effective: float | None = None, free: int = 1
) -> Adjusted:
    """The p-value of a test of `rows` of a window against `compared` of the reference, where rows depend on each other.

    `law` is what `statistic` follows where they do not; `free` are the degrees of freedom of a chi-square statistic. `effective` are the
    rows that the reference's are worth before dependence, where they were weighted.
    """
    first = max(dependence.directions)
    worth = 1 / (1 / rows + first)
    if np.isnan(p):
        return Adjusted(p, worth)
    alone = 1 / rows + 1 / compared
    weighted = 1 / rows + 1 / (effective or compared)
    if law == "chi2":
        last = dependence.directions[-1]
        between = np.array([*dependence.directions[:free], *((last,) * (free - len(dependence.directions)))])
        weights = weighted + between * (1 + dependence.kept)
        scale = float((weights**2).sum() / weights.sum())
        found = float(chdtrc(weights.sum() / scale, statistic * alone / scale))
        total, extra = float(weights.max()), float(between.max()) * (1 + dependence.kept)
    else:
        extra = first * (1 + dependence.kept)
        total = weighted + extra
        if law == "kolmogorov":
            found = float(kolmogorov(statistic / np.sqrt(total)))
        else:
            found = float(2 * ndtr(ndtri(max(p, _TINY) / 2) * np.sqrt(alone / total)))
    return Adjusted(float(max(p, _heavier(found, dependence.freedom, total, extra))), float(worth))


def _heavier(p: float, freedom: float, total: float, extra: float) -> float:
    """The same deviate's p by Student's t: the part `extra` of its variance `total` was estimated with `freedom` degrees."""
    if not extra or np.isinf(freedom):
        return p
    return float(2 * stdtr(freedom * (total / extra) ** 2, ndtri(max(p, _TINY) / 2)))
