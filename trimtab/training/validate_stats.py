"""How much one column tells of a label, out of sample: what leaks, shuffled labels and identifiers are known by. Pure arithmetic."""

from typing import Any

import numpy as np

Floats = np.ndarray[Any, Any]

BINS, FEW_BINS = 64, 16
_PRIOR = 10.0
_LEAST = 10
_SEED = 7


def told(feature: Floats, codes: bool, label: Floats, classes: int) -> float:
    """The share of the label that the feature alone tells: R squared in a regression (`classes` 0), else 2 AUC - 1 (mean over classes).

    `feature` holds numbers (NaN: missing, which may tell something too), or codes of categories where `codes` is set; `label` values,
    or class numbers. The bins' means are learned on one half of the rows and asked on the other, and drawn towards the overall mean
    where a bin has few rows, so that a column that is different in every row tells nothing.
    """
    if len(label) < 4 * _LEAST:
        return 0.0
    mixed = _mixed(len(label))
    feature, label = feature[mixed], label[mixed]
    bins = _codes(feature) if codes else _bins(feature)
    if classes == 0:
        binned = _r2(bins, ranks(label))
        return max(binned, 0.0 if codes else _correlation(feature, label) ** 2)
    scores = [_gini(bins, label == number) for number in range(classes) if (label == number).sum() >= 2 * _LEAST]
    return float(np.mean(scores)) if scores else 0.0


def told_together(features: list[tuple[Floats, bool]], label: Floats, classes: int) -> float:
    """What all features (each with whether it holds codes) tell together, as a sum of what each bin says (naive Bayes without odds)."""
    if len(label) < 4 * _LEAST or not features:
        return 0.0
    mixed = _mixed(len(label))
    label = label[mixed]
    bins = [_codes(values[mixed]) if codes else _bins(values[mixed], FEW_BINS) for values, codes in features]
    if classes == 0:
        place = ranks(label)
        return max(0.0, _pearson(np.sum([_means(bin_, place) for bin_ in bins], axis=0), place[1::2])) ** 2
    found = []
    for number in range(classes):
        hits = label == number
        if hits.sum() >= 2 * _LEAST:
            prior = _PRIOR / float(hits.mean())
            scores = np.sum([np.log(np.maximum(_means(bin_, hits.astype(float), prior), 1e-9)) for bin_ in bins], axis=0)
            found.append(_area(scores, hits[1::2]))
    return float(np.mean(found)) if found else 0.0


def _mixed(count: int) -> Floats:
    """The rows in an order of chance, always the same: what repeats every second row would be on one side alone."""
    return np.random.default_rng(_SEED).permutation(count)


def _codes(feature: Floats) -> Floats:
    return np.where(np.isnan(feature), -1, feature).astype(np.int64) + 1


def _bins(feature: Floats, count: int = BINS) -> Floats:
    """Numbers as the numbers of quantile bins; 0 for what is missing."""
    known = feature[::2][~np.isnan(feature[::2])]
    if not len(known):
        return np.zeros(len(feature), dtype=np.int64)
    edges = np.unique(np.quantile(known, np.linspace(0, 1, count + 1)[1:-1]))
    found = np.searchsorted(edges, feature, side="right") + 1
    return np.where(np.isnan(feature), 0, found).astype(np.int64)


def _means(bins: Floats, values: Floats, prior: float = _PRIOR) -> Floats:
    """What the even rows say of each odd row's bin, drawn towards the overall mean as by `prior` more rows."""
    size = int(bins.max()) + 1
    even = bins[::2]
    overall = float(values[::2].mean())
    sums = np.bincount(even, weights=values[::2], minlength=size)
    counts = np.bincount(even, minlength=size)
    return ((sums + prior * overall) / (counts + prior))[bins[1::2]]


def _r2(bins: Floats, values: Floats) -> float:
    held = values[1::2]
    total = float(((held - held.mean()) ** 2).sum())
    return 0.0 if total == 0 else max(0.0, 1.0 - float(((held - _means(bins, values)) ** 2).sum()) / total)


def _gini(bins: Floats, hits: Floats) -> float:
    return _area(_means(bins, hits.astype(float)), hits[1::2])


def _area(scores: Floats, held: Floats) -> float:
    """2 AUC - 1 of the scores for the rows that are held to be hits; 0 where it is less."""
    positives, negatives = int(held.sum()), int((~held).sum())
    if not positives or not negatives:
        return 0.0
    area = (ranks(scores)[held].sum() * len(held) - positives * (positives - 1) / 2) / (positives * negatives)
    return max(0.0, 2.0 * float(area) - 1.0)


def ranks(values: Floats) -> Floats:
    """Mean ranks from 0 below 1, equal values alike."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    found: Floats = ((ends - counts + ends - 1) / 2)[inverse] / max(1, len(values))
    return found


def _correlation(left: Floats, right: Floats) -> float:
    """Pearson's, of values drawn in to their 0.5% and 99.5% quantiles: one outlier in both is no relation."""
    both = ~np.isnan(left) & ~np.isnan(right)
    if both.sum() < 4 * _LEAST:
        return 0.0
    drawn = [np.clip(values[both], *np.quantile(values[both], [0.005, 0.995])) for values in (left, right)]
    return _pearson(drawn[0], drawn[1])


def _pearson(left: Floats, right: Floats) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        left, right = left - left.mean(), right - right.mean()
        scale = float(np.sqrt((left**2).sum() * (right**2).sum()))
        return 0.0 if scale == 0 or not np.isfinite(scale) else float((left * right).sum()) / scale


def order(values: Floats) -> float:
    """The rank correlation of the values with their places: 1 where they only grow, -1 where they only fall."""
    known = values[~np.isnan(values)]
    return rank_correlation(known, np.arange(len(known)))


def rank_correlation(left: Floats, right: Floats) -> float:
    """Spearman's, with mean ranks for equal values; 0 for fewer than 40 pairs."""
    return _pearson(ranks(left), ranks(right)) if len(left) >= 4 * _LEAST else 0.0


def distance(left: Floats, right: Floats) -> float:
    """The Kolmogorov-Smirnov distance of two samples."""
    places = np.concatenate([left, right])
    first, second = (np.searchsorted(np.sort(values), places, side="right") / len(values) for values in (left, right))
    return float(np.abs(first - second).max())
