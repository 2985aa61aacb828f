"""LIME (Ribeiro, Singh and Guestrin, 2016) for rows of a table, and whether it agrees with the Shapley values.

Around a row, neighbours are made that keep some of its values and take the others from random rows. A ridge regression on which were
kept, weighted by how many, says how much each of them mattered. Shapley values ask another question of the same model; features that are
high on one list and low on the other are not to be believed on either. Our own few lines, because the package is not maintained.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from trimtab.schema import Schema
from trimtab.training.evaluation.perturbed import composed, margins

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

ROWS = 30
TOP = 3
_NEIGHBOURS = 300
_ASKED_ROWS = 30_000
_WIDTH = 0.25
_RIDGE = 1.0


class Agreement(Struct, frozen=True, rename="camel"):
    """LIME beside the Shapley values on the same `rows` rows.

    `rank_correlation` is Spearman's over the features, `top_overlap` the share of the three largest features that both name; both
    are means over the rows, and 1 where they agree in everything.
    """

    rows: int
    rank_correlation: float
    top_overlap: float


def agreement(folder: Path, schema: Schema, table: "pa.Table", sizes: "np.ndarray[Any, Any]", seed: int) -> Agreement | None:
    """How far LIME agrees with the absolute Shapley values `sizes` of these rows, on at most 30 of them; None with one feature only."""
    import numpy as np

    features = len(schema.names)
    if features < 2 or not len(sizes):
        return None
    rows = np.linspace(0, len(sizes) - 1, min(ROWS, len(sizes))).astype(int)
    local = lime(folder, schema, table, rows, seed)
    theirs = sizes[rows]
    top = min(TOP, features)
    ranks = [np.argsort(np.argsort(found, axis=1), axis=1) for found in (local, theirs)]
    shared = ((ranks[0] >= features - top) & (ranks[1] >= features - top)).sum(axis=1) / top
    apart = np.square(ranks[0] - ranks[1]).sum(axis=1)
    correlation = 1 - 6 * apart / (features * (features**2 - 1))
    return Agreement(len(rows), float(correlation.mean()), float(shared.mean()))


def lime(folder: Path, schema: Schema, table: "pa.Table", rows: "np.ndarray[Any, Any]", seed: int) -> "np.ndarray[Any, Any]":
    """The absolute local effect of each feature of the given rows, shape (rows, features); other rows of the table lend values."""
    import numpy as np

    features, generator = len(schema.names), np.random.default_rng(seed)
    around = max(2 * features, min(_NEIGHBOURS, _ASKED_ROWS // len(rows)))
    kept = generator.random((len(rows), around, features)) < 0.5
    kept[:, 0] = True
    others = generator.integers(0, table.num_rows, (len(rows), around))
    places = np.where(kept, rows[:, None, None], others[:, :, None]).reshape(-1, features)
    said = margins(folder, schema.task, composed(table, schema.names, places)).reshape(len(rows), around, -1)
    distance = 1 - np.sqrt(kept.mean(axis=2))
    weight = np.exp(-np.square(distance / _WIDTH))[:, :, None]
    design = kept - (weight * kept).sum(axis=1, keepdims=True) / weight.sum(axis=1, keepdims=True)
    centred = said - (weight * said).sum(axis=1, keepdims=True) / weight.sum(axis=1, keepdims=True)
    turned = (weight * design).transpose(0, 2, 1)
    found = np.linalg.solve(turned @ design + _RIDGE * np.eye(features), turned @ centred)
    return np.asarray(np.abs(found).sum(axis=2))
