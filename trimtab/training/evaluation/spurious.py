"""Features that a model rests on and should not: identifiers, clocks, columns that are encoded otherwise now, and leaks.

What they share is that the model learned much from them and that it is worth nothing on later rows, where shuffling them does no
harm. That alone may be chance, so each rule asks for one more sign: that the values are nearly unique, go with time, were never seen
before, or made up most of what was learned. A leak that is still there on later rows is worth everything: it alone says what the label is.
"""

from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

from trimtab.schema import Feature, Schema
from trimtab.training.frame import matrix, targets
from trimtab.training.scores import baseline, row_losses

if TYPE_CHECKING:
    import pyarrow as pa

WORTHLESS = 1.01
"""Shuffling the feature on later rows makes the loss at most so many times larger."""
UNIQUE, UNIQUE_SHARE = 0.99, 0.005
CLOCK, CLOCK_SHARE = 0.98, 0.05
UNSEEN, UNSEEN_SHARE = 0.5, 0.05
VANISHED_SHARE = 0.5
LEAK_SHARE, LEAK_SKILL = 0.5, {"regression": 0.9, "binary": 0.8, "multiclass": 0.8}
"""How large the sign must be, and from which share of the attribution on it counts."""
SAMPLE = 20_000
_DISCRETE = 50
_QUANTILES = 100
_NULLS = 0.01
_FEWEST_ROWS = 100

Rule = Literal["identifier", "clock", "unseen", "vanished", "leak"]


class Suspicion(Struct, frozen=True, rename="camel"):
    """A feature that the model should not rest on: by which rule, its share of the attribution, and a sentence that says why."""

    feature: str
    rule: Rule
    share: float
    sentence: str


class Learned(Struct, frozen=True):
    """What a model learned from a feature: its shares on the training rows and on the later ones, and the ratio of losses when shuffled."""

    training: float
    later: float
    shuffled: float


def suspicions(schema: Schema, training: "pa.Table", later: "pa.Table", learned: dict[str, Learned]) -> tuple[Suspicion, ...]:
    """The features that should not be trusted, the largest share first; the rows are in the order of time, with their labels."""
    found = []
    for feature in schema.features:
        known = learned[feature.name]
        share = max(known.training, known.later)
        said = _leak(schema, feature, training, later, share) or _worthless(feature, training, later, known, share)
        if said is not None:
            rule, sign = said
            sentence = f"{feature.name!r} has {share:.0%} of the attribution and {sign}: name it in data.exclude"
            found.append(Suspicion(feature.name, rule, share, sentence))
    return tuple(sorted(found, key=lambda one: -one.share))


def _leak(schema: Schema, feature: Feature, training: "pa.Table", later: "pa.Table", share: float) -> tuple[Rule, str] | None:
    if len(schema.features) < 2 or share < LEAK_SHARE or (skill := _alone(schema, feature, training, later)) < LEAK_SKILL[schema.task]:
        return None
    return "leak", f"alone saves {skill:.1%} of the loss: it says what the label is, and may not be known before it"


def _alone(schema: Schema, feature: Feature, training: "pa.Table", later: "pa.Table") -> float:
    """Which share of the loss on the later rows the training rows' mean label in each of the feature's bins saves.

    Bins are the categories, or 100 quantiles; of more than 20,000 rows some at equal distances are taken. A mean counts one row of the
    whole's too.
    """
    import numpy as np

    before, after = (table.take(np.unique(np.linspace(0, table.num_rows - 1, SAMPLE).astype(int))) for table in (training, later))
    labels = [targets(schema.task, schema.classes, table.column(schema.label)) for table in (before, after)]
    codes = [np.nan_to_num(matrix(Schema(schema.task, schema.label, (feature,)), table)[:, 0], nan=-1) for table in (before, after)]
    if feature.kind == "number":
        edges = np.unique(np.quantile(codes[0], np.arange(1, _QUANTILES) / _QUANTILES))
        codes = [np.searchsorted(edges, values, side="right") for values in codes]
    known, judged = (np.isfinite(values) for values in labels)
    whole = baseline(schema.task, labels[0][known], 1, len(schema.classes))
    plain = np.repeat(whole, int(judged.sum()), axis=0)
    said = plain.copy()
    for code in np.unique(codes[1][judged]):
        group = labels[0][known & (codes[0] == code)]
        if len(group):
            mean = baseline(schema.task, group, 1, len(schema.classes))
            said[codes[1][judged] == code] = (mean * len(group) + whole) / (len(group) + 1)
    losses = [float(row_losses(schema.task, labels[1][judged], given).mean()) for given in (said, plain)]
    return 1 - losses[0] / losses[1] if losses[1] > 0 else 0.0


def _worthless(feature: Feature, training: "pa.Table", later: "pa.Table", known: Learned, share: float) -> tuple[Rule, str] | None:
    if known.shuffled > WORTHLESS or training.num_rows < _FEWEST_ROWS:
        return None
    vain = f"shuffling it on the later rows does no harm (loss x{known.shuffled:.3f})"
    column = training.column(feature.name)
    if share >= UNIQUE_SHARE and (unique := _unique(feature, column)) >= UNIQUE:
        return "identifier", f"is different in {unique:.0%} of the rows, and {vain}: an identifier"
    if share >= CLOCK_SHARE and feature.kind == "number" and (along := _along_time(column)) >= CLOCK:
        return "clock", f"goes with time (rank correlation {along:.2f}), and {vain}: a clock in disguise"
    if share >= UNSEEN_SHARE and (unseen := _unseen(feature, column, later.column(feature.name))) >= UNSEEN:
        return "unseen", f"holds what training never saw in {unseen:.0%} of the later rows, and {vain}: it is encoded otherwise now"
    if known.training >= VANISHED_SHARE:
        return "vanished", f"had {known.training:.0%} of it in training, and {vain}: what was learned from it does not hold"
    return None


def _unique(feature: Feature, column: Any) -> float:
    """The share of different values among a category's or whole numbers' rows; 0 for numbers that are not whole."""
    import numpy as np
    import pyarrow.compute as pc

    known = column.drop_null()
    if feature.kind == "number":
        numbers = targets("regression", (), known.slice(0, SAMPLE))
        if not np.array_equal(numbers, np.floor(numbers)):
            return 0.0
    return int(pc.count_distinct(known).as_py()) / len(known) if len(known) >= _FEWEST_ROWS else 0.0


def _along_time(column: Any) -> float:
    """Spearman's correlation of the values with the order of the rows, without its sign; of at most 20,000 rows."""
    import numpy as np

    places = np.unique(np.linspace(0, len(column) - 1, SAMPLE).astype(int))
    values = targets("regression", (), column.take(places))
    known = np.isfinite(values)
    if known.sum() < _FEWEST_ROWS or np.ptp(values[known]) == 0:
        return 0.0
    _, place, count = np.unique(values[known], return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2)[place]
    return float(abs(np.corrcoef(ranks, np.flatnonzero(known))[0, 1]))


def _unseen(feature: Feature, before: Any, after: Any) -> float:
    """The share of later rows with a category, or a number of few different ones, that training never had, or beyond its range.

    A null counts where training had next to none.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    missing = after.is_null().to_numpy() & (before.null_count > _NULLS * len(before))
    if feature.kind != "number":
        known = pc.is_in(after.cast(pa.string()), value_set=pa.array(feature.categories, pa.string())).to_numpy()
        return 1 - float(np.mean(known | missing))
    old, new = targets("regression", (), before), targets("regression", (), after)
    seen = old[np.isfinite(old)]
    if not len(seen):
        return 0.0
    values = np.unique(seen[:: max(1, len(seen) // (5 * SAMPLE))])
    inside = np.isin(new, values) if len(values) <= _DISCRETE else (new >= seen.min()) & (new <= seen.max())
    return 1 - float(np.mean(inside | missing))
