"""Parts of the rows on which a model may be worse than on all of them: those that a person declared, and the worst that are found.

A mean over all rows hides a region that is predicted badly. A declared column is told by its values, numbers by their quartiles. Slices
that nobody thought of are searched for as in Slice Finder (Chung et al., 2019): one condition, or two where both matter, with
at least so many rows, an effect that is worth telling, and a significance that counts how many were looked at.
"""

from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from trimtab.training.evaluation.bootstrap import block
from trimtab.training.frame import kind_of, targets

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

MIN_ROWS = 50
MOST_VALUES = 20
EFFECT = 0.3
WORST = 5
_BINS = 4
_FEW = 10
_PAIRED = 12
_LEVEL = 0.05
_ALIKE = 0.8


class Grouping(Struct, frozen=True):
    """The rows by one column: the groups' names, and each row's group as its place among them (-1 for none)."""

    column: str
    names: tuple[str, ...]
    codes: "np.ndarray[Any, Any]"


class Found(Struct, frozen=True):
    """A slice that was found: its conditions, its rows as a mask, and by how much their loss is greater.

    `effect` is in standard deviations of the two sides' losses, `p_value` is corrected for how many slices were looked at.
    """

    name: str
    rows: "np.ndarray[Any, Any]"
    effect: float
    p_value: float


class Harm(Struct, frozen=True, rename="camel"):
    """The slice on which the candidate is most surely worse than the champion: the ratio of their losses, and its lower 95% bound.

    The bound counts how many slices were looked at.
    """

    slice: str
    rows: int
    ratio: float
    lower: float


def grouping(table: "pa.Table", column: str) -> Grouping:
    """The rows of the table by a column of numbers or texts.

    Text: its values, the 20 most frequent ones. Numbers: their values where there are at most ten, else quartiles. Null is a group too.
    """
    import numpy as np

    values = table.column(column)
    if kind_of(table.schema.field(column)) != "number":
        return _values(column, values)
    numbers = targets("regression", (), values)
    known = numbers[np.isfinite(numbers)]
    different = np.unique(known[:: max(1, len(known) // 100_000)])
    if len(different) <= _FEW:
        names = [f"{column} = {value:g}" for value in different]
        codes = np.searchsorted(different, numbers)
        codes[~np.isin(numbers, different)] = -1
    else:
        edges = np.unique(np.quantile(known, np.arange(1, _BINS) / _BINS))
        names = [f"{column} < {edges[0]:g}", *(f"{column} {low:g} to {high:g}" for low, high in pairwise(edges))]
        names.append(f"{column} >= {edges[-1]:g}")
        codes = np.searchsorted(edges, numbers, side="right")
    codes = np.where(np.isfinite(numbers), codes, len(names))
    return Grouping(column, (*names, f"{column} missing"), codes)


def _values(column: str, values: Any) -> Grouping:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    coded = pc.dictionary_encode(values.cast(pa.string()).combine_chunks())
    texts = coded.dictionary.to_pylist()
    places = coded.indices.fill_null(len(texts)).to_numpy(zero_copy_only=False)
    often = np.argsort(-np.bincount(places, minlength=len(texts) + 1)[: len(texts)], kind="stable")[:MOST_VALUES]
    renamed = np.full(len(texts) + 1, -1)
    renamed[often], renamed[len(texts)] = np.arange(len(often)), len(often)
    return Grouping(column, (*(f"{column} = {texts[place]}" for place in often), f"{column} missing"), renamed[places])


def worst(groupings: list[Grouping], losses: "np.ndarray[Any, Any]") -> tuple[Found, ...]:
    """At most five slices whose mean loss is greater than that of the other rows, the greatest effect first.

    Welch's t, with the variance of means that neighbours in time share, and Holm's (1979) correction for all slices looked at. A pair of
    conditions is told only where its effect is greater than that of both; slices that mostly hold the same rows are told once.
    """
    import numpy as np
    from scipy.special import ndtr

    looked = []
    shared = inflation(losses)
    alone: dict[str, float] = {}
    for name, parts, rows in _candidates(groupings):
        inside, outside = losses[rows], losses[~rows]
        variances = inside.var(ddof=1), outside.var(ddof=1)
        more = float(inside.mean() - outside.mean())
        spread = float(np.sqrt((variances[0] + variances[1]) / 2))
        error = float(np.sqrt(shared * (variances[0] / len(inside) + variances[1] / len(outside))))
        effect = more / spread if spread > 0 else 0.0
        alone[name] = effect
        deeper = all(effect > alone.get(part, 0.0) for part in parts) if len(parts) > 1 else True
        looked.append((Found(name, rows, effect, float(ndtr(-more / error)) if error > 0 else 1.0), deeper))
    kept: list[Found] = []
    ranks = {found.name: rank for rank, (found, _) in enumerate(sorted(looked, key=lambda one: one[0].p_value))}
    for found, deeper in sorted(looked, key=lambda one: -one[0].effect):
        p_value = min(1.0, found.p_value * (len(looked) - ranks[found.name]))
        if len(kept) == WORST or found.effect < EFFECT:
            break
        if deeper and p_value < _LEVEL and not any(_alike(found.rows, other.rows) for other in kept):
            kept.append(Found(found.name, found.rows, found.effect, p_value))
    return tuple(kept)


def harm(groupings: list[Grouping], mine: "np.ndarray[Any, Any]", theirs: "np.ndarray[Any, Any]") -> Harm | None:
    """Where the candidate is most surely worse than the champion, over single conditions and pairs; None where no slice has 50 rows.

    `mine` and `theirs` are the losses of the same rows. What the candidate loses more counts against the champion's mean loss on the slice,
    or on all rows where that is larger: twice next to nothing is no harm. The bound is that of a mean, with the variance that neighbours in
    time share; half of the 5% is divided among the single conditions, half among the pairs (Bonferroni).
    """
    import numpy as np
    from scipy.special import ndtri

    looked, usual = list(_candidates(groupings)), float(theirs.mean())
    singles = sum(len(parts) == 1 for _, parts, _ in looked)
    found = []
    for name, parts, rows in looked:
        more = mine[rows] - theirs[rows]
        scale = max(float(theirs[rows].mean()), usual, 1e-12)
        error = float(np.sqrt(inflation(more) * more.var(ddof=1) / len(more)))
        sure = float(ndtri(1 - _LEVEL / 2 / (singles if len(parts) == 1 else len(looked) - singles)))
        found.append(Harm(name, len(more), 1 + float(more.mean()) / scale, 1 + (float(more.mean()) - sure * error) / scale))
    return max(found, key=lambda one: one.lower) if found else None


def inflation(values: "np.ndarray[Any, Any]") -> float:
    """How many times larger the variance of the values' mean is than that of independent ones: by means of blocks of neighbours."""
    import numpy as np

    length = block(len(values))
    blocks = len(values) // length
    if blocks < 3 or values.var() == 0:
        return 1.0
    means = values[: blocks * length].reshape(blocks, length).mean(axis=1)
    return float(max(1.0, length * np.var(means, ddof=1) / values.var(ddof=1)))


def _candidates(groupings: list[Grouping]) -> Any:
    """Name, conditions and rows of each slice with at least 50 rows inside and outside: single conditions first, then pairs."""
    masks: list[list[tuple[str, Any]]] = []
    for one in groupings:
        rows = [(name, one.codes == place) for place, name in enumerate(one.names)]
        masks.append([(name, mask) for name, mask in rows if MIN_ROWS <= mask.sum() <= len(mask) - MIN_ROWS])
        yield from ((name, (name,), mask) for name, mask in masks[-1])
    for left, right in combinations(masks[:_PAIRED], 2):
        for first, mask in left:
            for second, other in right:
                both = mask & other
                if both.sum() >= MIN_ROWS:
                    yield f"{first} and {second}", (first, second), both


def _alike(left: "np.ndarray[Any, Any]", right: "np.ndarray[Any, Any]") -> bool:
    return bool((left & right).sum() > _ALIKE * min(left.sum(), right.sum()))
