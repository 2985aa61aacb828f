"""Whether a snapshot can be trained on at all. Each thing that is wrong is one sentence; none of them quotes a row's values."""

from typing import TYPE_CHECKING

from trimtab.schema import Schema
from trimtab.spec import ModelSpec
from trimtab.training.frame import classes_of, kind_of

if TYPE_CHECKING:
    import pyarrow as pa

MIN_ROWS = 50
_MOSTLY = 0.5
_MANY_CATEGORIES = 100


def validate(table: "pa.Table", spec: ModelSpec, unlabelled: int = 0, champion: Schema | None = None) -> list[str]:
    """The sentences of what is wrong with the labelled rows in `table`; empty where they can be trained on.

    `unlabelled` is the number of rows left out because no label is known yet; `champion` is what the data looked like before.
    """
    if table.num_rows < MIN_ROWS:
        kind = "the data is empty" if table.num_rows + unlabelled == 0 else f"only {table.num_rows} rows have a label"
        return [f"{kind} ({unlabelled} rows have none yet); at least {MIN_ROWS} are needed"]
    return [*_label(table, spec), *_key(table, spec), *_features(table, spec), *(_changes(table, spec, champion) if champion else [])]


def features_of(table: "pa.Table", spec: ModelSpec) -> list[str]:
    """The columns that may be features: numbers and text that are not time, key, label or excluded."""
    never = {spec.data.label, spec.data.key, spec.data.time, *spec.data.exclude}
    return [column.name for column in table.schema if column.name not in never and kind_of(column) != "other"]


def _label(table: "pa.Table", spec: ModelSpec) -> list[str]:
    name, column = spec.data.label, table.column(spec.data.label)
    if spec.task == "regression":
        if kind_of(table.schema.field(name)) != "number":
            garbage = _not_numbers(column)
            return [f"label {name!r} must be a number in a regression, {garbage} of {table.num_rows} rows hold other text"]
        values = [value for value in column.unique().to_pylist() if value is not None]
        return [] if len(values) > 1 else [f"label {name!r} has one value only in all {table.num_rows} rows"]
    classes = classes_of(column)
    if len(classes) == 1:
        return [f"label {name!r} has one value only in all {table.num_rows} rows"]
    if spec.task == "binary" and len(classes) != 2:
        return [f"label {name!r} has {len(classes)} different values, a binary task needs exactly 2"]
    if len(classes) > _MANY_CATEGORIES:
        return [f"label {name!r} has {len(classes)} different values, a multiclass task takes at most {_MANY_CATEGORIES}"]
    return []


def _key(table: "pa.Table", spec: ModelSpec) -> list[str]:
    if spec.data.key is None:
        return []
    column = table.column(spec.data.key)
    found = []
    if column.null_count:
        found.append(f"key {spec.data.key!r} is null in {column.null_count} rows: labels could not be joined")
    repeated = table.num_rows - column.null_count - len(column.drop_null().unique())
    if repeated:
        found.append(f"key {spec.data.key!r} is not unique: {repeated} rows repeat another row's key")
    return found


def _features(table: "pa.Table", spec: ModelSpec) -> list[str]:
    names = features_of(table, spec)
    if not names:
        return [f"no column is left for a feature besides label, time, key and data.exclude; columns: {', '.join(table.column_names)}"]
    found = []
    for name in names:
        column = table.column(name)
        if kind_of(table.schema.field(name)) == "number" or column.null_count == table.num_rows:
            continue
        garbage, present = _not_numbers(column), table.num_rows - column.null_count
        different = len(column.drop_null().unique())
        if 0 < garbage < _MOSTLY * present:
            found.append(f"column {name!r} holds numbers, but {garbage} of its {present} values are other text")
        elif garbage and different > max(_MANY_CATEGORIES, _MOSTLY * present):
            found.append(f"text column {name!r} has {different} different values in {present} rows: name it in data.exclude")
    return found


def _changes(table: "pa.Table", spec: ModelSpec, champion: Schema) -> list[str]:
    found = []
    present = set(table.column_names)
    missing = [feature.name for feature in champion.features if feature.name not in present and feature.name not in spec.data.exclude]
    if missing:
        new = sorted(set(features_of(table, spec)) - set(champion.names))
        hint = f"; new are {', '.join(map(repr, new))}" if new else ""
        found.append(f"the data's header has changed: {', '.join(map(repr, missing))} are missing that the champion was trained on{hint}")
    for feature in champion.features:
        if feature.name in present and feature.kind == "number" and kind_of(table.schema.field(feature.name)) != "number":
            garbage = _not_numbers(table.column(feature.name))
            found.append(f"column {feature.name!r} was a number for the champion, now {garbage} of {table.num_rows} rows hold other text")
    return found


def _not_numbers(column: "pa.ChunkedArray") -> int:
    import pyarrow as pa
    import pyarrow.compute as pc

    text = pc.utf8_trim_whitespace(column.drop_null().cast(pa.string()))
    number = pc.match_substring_regex(text, r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$")
    return int(pc.sum(pc.invert(number)).as_py() or 0)
