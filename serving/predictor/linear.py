"""A linear scikit-learn pipeline folded into one matrix product: the same predictions without a data frame a request.

Imputing, scaling, one-hot encoding and the model are affine in each feature for itself. So what a fitted pipeline of them says is a
constant, plus a slope for each number or another constant where it is missing, plus a constant for each category, looked up; then a
classification's link. Only kinds of pipeline that training makes are folded; whatever else a model.skops may hold is left to
scikit-learn.

Measured on 2 busy cores with 20 numbers and 10 categories of 12 values, a binary label and a thirtieth of the values missing,
microseconds a call of 1 / 32 / 512 rows, the best of seven: this 19 / 110 / 1,660, of a Table 27 / 86 / 1,050; the pipeline
5,930 / 6,960 / 11,600.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import msgspec
from msgspec import Struct

from serving.predictor import links
from serving.predictor.protocol import Row, Table
from trimtab.errors import InvalidInput, Unavailable
from trimtab.schema import Schema, encode, encode_columns

log = logging.getLogger("trimtab.predictor")

TRIAL_ROWS = 512
_MODELS = ("LinearRegression", "Ridge", "Lasso", "ElasticNet", "LogisticRegression")
# No category has it: what a column was never fitted on.
_UNSEEN = "\0unseen"


class Folded(Struct, frozen=True):
    """The pipeline's parts: arrays [numbers, outputs] and [categories of all features, outputs], and a dictionary a category feature.

    A number x adds `(x - centre) * slope`, a missing one `missing`; a category adds the row of `table` that `places` has for it,
    and one that training never saw row 0, which is zero.
    """

    numbers: tuple[str, ...]
    centre: Any
    slope: Any
    missing: Any
    categories: tuple[str, ...]
    places: tuple[dict[Any, int], ...]
    table: Any
    constant: Any


def fold(pipeline: Any, schema: Schema) -> Folded:
    """The fitted pipeline as sums; raises Unavailable where it is of a kind that is not folded here."""
    import numpy as np

    steps = [step for _, step in getattr(pipeline, "steps", [])]
    if len(steps) != 2 or _kind(steps[0]) != "ColumnTransformer" or _kind(steps[1]) not in _MODELS:
        _leave(f"it is {' and '.join(map(_kind, steps)) or _kind(pipeline)}")
    columns, model = steps
    weights = np.atleast_2d(np.asarray(model.coef_, dtype=np.float64)).T
    constant = np.broadcast_to(np.asarray(model.intercept_, dtype=np.float64), weights.shape[1:]).copy()
    outputs = weights.shape[1]
    names = {kind: [feature.name for feature in schema.features if feature.kind == kind] for kind in ("number", "category")}
    centre = np.zeros(len(names["number"]))
    slope, missing = np.zeros((2, len(centre), outputs))
    places: dict[str, dict[Any, int]] = {name: {} for name in names["category"]}
    table = [np.zeros(outputs)]
    for part, chosen, own in _parts(columns, weights):
        if _kind(part) == "OneHotEncoder":
            base, steps_up = _one_hot(part, chosen, own)
            constant += base
            for name, values in zip(chosen, steps_up, strict=True):
                for value, step in values:
                    places[name][value] = len(table)
                    table.append(step)
        else:
            where = [names["number"].index(name) for name in chosen]
            centre[where], slope[where], missing[where], base = _scaled(part, len(chosen), own)
            constant += base
    return Folded(
        tuple(names["number"]),
        centre,
        slope,
        missing,
        tuple(names["category"]),
        tuple(places[name] for name in names["category"]),
        np.array(table),
        constant,
    )


def _parts(columns: Any, weights: Any) -> Iterator[tuple[Any, list[str], Any]]:
    """Each transformer that makes something, with the names of its columns and the weights of what it makes."""
    for name, part, chosen in columns.transformers_:
        own = weights[columns.output_indices_[name]]
        if len(own) == 0:
            continue
        if columns.transformer_weights or not all(isinstance(column, str) for column in chosen):
            _leave("its columns are weighted, or chosen by place")
        yield part, list(chosen), own


def _scaled(part: Any, count: int, weights: Any) -> tuple[Any, Any, Any, Any]:
    """Centre, slope and what a missing value adds, for each number, and what is added in any case."""
    import numpy as np

    steps = [step for _, step in part.steps] if _kind(part) == "Pipeline" else [part]
    if [_kind(step) for step in steps] not in (["SimpleImputer"], ["SimpleImputer", "StandardScaler"]):
        _leave(f"its numbers go through {' and '.join(map(_kind, steps))}")
    imputer = steps[0]
    told = list(imputer.indicator_.features_) if imputer.add_indicator else []
    if not isinstance(imputer.missing_values, float) or len(weights) != count + len(told):
        _leave("its imputer leaves columns out")
    mean, scale = np.zeros(len(weights)), np.ones(len(weights))
    if len(steps) == 2:
        mean = mean if steps[1].mean_ is None or not steps[1].with_mean else steps[1].mean_
        scale = scale if steps[1].scale_ is None else steps[1].scale_
    slope = weights / scale[:, None]
    missing = (imputer.statistics_.astype(np.float64) - mean[:count])[:, None] * slope[:count]
    missing[told] += slope[count:]
    return mean[:count], slope[:count], missing, -(mean[count:] @ slope[count:])


def _one_hot(part: Any, names: list[str], weights: Any) -> tuple[Any, list[list[tuple[Any, Any]]]]:
    """What a row of unseen categories adds, and by how much each category differs from that: seen on the encoder itself."""
    import numpy as np
    import pandas as pd

    if part.handle_unknown == "error":
        _leave("it takes no category that training never saw")
    rows = [[_UNSEEN] * len(names)]
    for place, values in enumerate(part.categories_):
        rows += [[*rows[0][:place], value, *rows[0][place + 1 :]] for value in values]
    made = part.transform(
        pd.DataFrame({name: pd.Series(column, dtype=object) for name, column in zip(names, zip(*rows, strict=True), strict=True)})
    )
    design = np.asarray(made.todense() if hasattr(made, "todense") else made, dtype=np.float64)
    steps = iter((design[1:] - design[0]) @ weights)
    return design[0] @ weights, [[(value, next(steps)) for value in values] for values in part.categories_]


def call_of(folded: Folded, schema: Schema) -> Callable[[Sequence[Row]], Any]:
    """Predictions of the folded pipeline for rows or a Table, in the shapes of `Scorer`."""
    import numpy as np

    numbers = msgspec.structs.replace(schema, features=tuple(feature for feature in schema.features if feature.kind == "number"))
    looked_up = tuple(zip(folded.categories, folded.places, strict=True))
    centre, slope, missing, table, constant = folded.centre, folded.slope, folded.missing, folded.table, folded.constant
    link = {"regression": links.first, "binary": links.logistic, "multiclass": links.shares}[schema.task]

    def read(rows: Sequence[Row]) -> tuple[Any, Any]:
        if isinstance(rows, Table):
            found = np.array(encode_columns(numbers, rows.columns), dtype=np.float64).reshape(len(centre), len(rows)).T
            return found, [[places.get(value, 0) for value in rows.columns[name]] for name, places in looked_up]
        found = np.array(encode(numbers, rows), dtype=np.float64).reshape(len(rows), len(centre))
        return found, [[places.get(row[name], 0) for row in rows] for name, places in looked_up]

    def call(rows: Sequence[Row]) -> Any:
        try:
            found, codes = read(rows)
        except (InvalidInput, KeyError):
            # The sentence that names every feature.
            _ = encode_columns(schema, rows.columns) if isinstance(rows, Table) else encode(schema, rows)
            raise
        found = found - centre
        gaps = np.isnan(found)
        if gaps.any():
            found[gaps] = 0.0
            margins = found @ slope + gaps @ missing
        else:
            margins = found @ slope
        margins += constant
        if codes:
            margins += table[codes].sum(axis=0)
        return link(margins)

    return call


def trial(folded: Folded, rows: int = TRIAL_ROWS, seed: int = 0) -> list[Row]:
    """Rows on which a wrong fold would show: numbers near and one far away, all categories and others, an eighth missing."""
    import numpy as np

    rng = np.random.default_rng(seed)
    found: list[Row] = []
    values = [[*places, _UNSEEN, None] for places in folded.places]
    for _ in range(rows):
        numbers = (folded.centre + rng.normal(size=len(folded.centre)) * 10.0 ** rng.integers(-2, 5)).tolist()
        if numbers and rng.random() < 1 / 4:
            numbers[rng.integers(len(numbers))] = float(rng.choice([0.0, 1e-30, 1e15, -1e30]))
        row: Row = dict(zip(folded.numbers, numbers, strict=True))
        row |= {name: known[rng.integers(len(known))] for name, known in zip(folded.categories, values, strict=True)}
        found.append({name: None if rng.random() < 1 / 8 else value for name, value in row.items()})
    return found


def faster(path: Path, pipeline: Any, schema: Schema, native: Callable[[Sequence[Row]], Any]) -> Callable[[Sequence[Row]], Any]:
    """The folded predictions of the pipeline in `path`, or `native` and one warning where they cannot be had or are not the same.

    That they are the same is seen on `trial` rows, as rows and as a Table, to nine digits.
    """
    import numpy as np

    try:
        folded = fold(pipeline, schema)
        found, rows = call_of(folded, schema), trial(folded)
        expected = np.asarray(native(rows))
        for told in (found(rows), found(Table({name: [row[name] for row in rows] for name in schema.names}))):
            if told.shape != expected.shape or not np.allclose(told, expected, rtol=1e-9, atol=1e-9 * np.median(np.abs(expected))):
                _leave("its predictions are not scikit-learn's own")
    except (Unavailable, ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
        log.warning("%s is not folded but run by scikit-learn, which is slower for few rows: %s", path.name, error)
        return native
    return found


def _kind(part: Any) -> str:
    return type(part).__name__


def _leave(why: str) -> NoReturn:
    msg = f"{why}, which is left to scikit-learn"
    raise Unavailable(msg)
