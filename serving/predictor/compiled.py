"""An XGBoost model walked by our own C instead of XGBoost's: the same predictions in a small part of the time for few rows.

The trees of the verified model.json become one array of nodes, and `native/trees.c` walks it.

Measured on 2 cores with 30 numbers and 200 trees of depth 6, microseconds a call of 1 / 32 / 512 rows, the best of seven: this 8 / 28 / 360
(15 a single row where no two are alike); C generated from the trees by tl2cgen 20 / 61 / 4,300, after 29 s of compiling; treelite's GTIL
45 / 490 / 7,600; `XGBoosterPredictFromDense` called directly 83 / 150 / 1,030; `inplace_predict` 126 / 178 / 900.
"""

import ctypes
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serving.predictor import links
from serving.predictor.compiled_forest import Forest, read_forest
from serving.predictor.native import library
from trimtab.errors import Unavailable
from trimtab.schema import Feature

if TYPE_CHECKING:
    import numpy as np

    Matrix = np.ndarray[Any, np.dtype[np.float32]]

log = logging.getLogger("trimtab.predictor")

# Above so many rows the interpreter is given to others during the walk; below, giving it away costs more than the walk.
FEW_ROWS = 256
TRIAL_ROWS = 512


def _trees_add() -> Callable[..., None]:
    """`trees_add` of trees.c; called with `rows <= FEW_ROWS` it keeps the interpreter. Raises Unavailable where there is none."""
    found = library()
    keeping, giving = found.keeping.trees_add, found.giving.trees_add
    for function in (keeping, giving):
        pointer, number = ctypes.c_void_p, ctypes.c_uint32
        function.argtypes = [pointer, pointer, number, pointer, pointer, pointer, number, number, number, pointer, number, pointer]
        function.restype = None

    def add(*arguments: Any) -> None:
        (keeping if arguments[-2] <= FEW_ROWS else giving)(*arguments)

    return add


def compiled(forest: Forest) -> "Callable[[Matrix], Matrix]":
    """Predictions of `forest` for a matrix [rows, features] of float32: [rows], or [rows, classes] of a multiclass one.

    Raises Unavailable where there is nothing to walk it with.
    """
    import numpy as np

    add = _trees_add()
    outputs, base = len(forest.base), forest.base
    kept = [np.ascontiguousarray(part) for part in (forest.nodes, forest.sets, forest.roots, forest.depths, forest.groups)]
    nodes, sets, *rest = (part.ctypes.data for part in kept)
    fixed = (nodes, sets, int(len(kept[1]) > 1), *rest, len(kept[2]), forest.features, outputs)

    def margins(matrix: "Matrix") -> "Matrix":
        matrix = np.ascontiguousarray(matrix, dtype=np.float32)
        if matrix.ndim != 2 or matrix.shape[1] != forest.features:
            msg = f"the trees take {forest.features} features a row, found the shape {matrix.shape}"
            raise ValueError(msg)
        out = np.empty((len(matrix), outputs), dtype=np.float32)
        out[:] = base
        add(*fixed, matrix.ctypes.data, len(matrix), out.ctypes.data)
        return out

    # What the addresses in `fixed` are of has to live as long as they are used.
    margins.kept = kept  # type: ignore[attr-defined]
    link = {"reg:squarederror": links.first, "binary:logistic": links.logistic, "multi:softprob": links.shares}[forest.objective]
    return lambda matrix: link(margins(matrix))


def trial(forest: Forest, features: Sequence[Feature], rows: int = TRIAL_ROWS, seed: int = 0, missing: float = 1 / 8) -> "Matrix":
    """Rows on which a wrong walk would show: values at and just below the trees' own thresholds, all categories, a share missing."""
    import numpy as np

    rng = np.random.default_rng(seed)
    matrix = np.empty((rows, forest.features), dtype=np.float32)
    for place, (feature, thresholds) in enumerate(zip(features, forest.thresholds, strict=True)):
        if feature.kind == "category":
            matrix[:, place] = rng.integers(0, max(len(feature.categories), 1), rows)
        else:
            around = np.concatenate([thresholds, np.nextafter(thresholds, np.float32(-np.inf)), [-1e30, 0.0, 1e30]])
            matrix[:, place] = rng.choice(around, rows)
    matrix[rng.random(matrix.shape) < missing] = np.nan
    return matrix


def faster(path: Path, features: Sequence[Feature], native: "Callable[[Matrix], Matrix]") -> "Callable[[Matrix], Matrix]":
    """The compiled predictions of the model in `path`, or `native` and one warning where they cannot be had or are not the same.

    That they are the same is seen on `trial` rows, to single precision: where values are missing and where none is, which are walked
    in two ways.
    """
    import numpy as np

    try:
        forest = read_forest(path)
        found = compiled(forest)
        for missing in (1 / 8, 0):
            rows = trial(forest, features, missing=missing)
            told, expected = found(rows), native(rows)
            if told.shape != expected.shape or not np.allclose(told, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max()):
                msg = "its predictions are not XGBoost's own"
                raise Unavailable(msg)
    except Unavailable as error:
        log.warning("%s is not walked by the compiled code but by XGBoost, which is slower for few rows: %s", path.name, error)
        return native
    return found
