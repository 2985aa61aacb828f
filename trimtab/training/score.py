"""Predictions for many rows at once: which rows, whether the version can be asked about them, and where the answers go.

A prediction is found again by its row's key and time, so at least one of them must be declared. The rows need no label.
"""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from trimtab.errors import InvalidInput, Unavailable
from trimtab.schema import PREDICTION, Schema, read_schema
from trimtab.spec import Data
from trimtab.training.frame import kind_of
from trimtab.training.model import predict
from trimtab.units import duration

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

VERSION = "__version"
SCHEMES = ("file", "s3", "gs")


def unlabelled(data: Data) -> Data:
    """The same rows without asking for labels: what must be known of a row is what its prediction is found by.

    Columns that are excluded from training need not be there: they may be known only after the label is. Raises InvalidInput where
    nothing is declared that a prediction could be found by.
    """
    found_by = data.key or data.time
    if found_by is None:
        msg = "neither data.key nor data.time is declared: a prediction could not be joined to its row; declare one of them"
        raise InvalidInput(msg)
    return replace(data, label=found_by, label_delay="0s", exclude=())


def elsewhere(data: Data, uri: str, history: str) -> Data:
    """The same columns in another place (`uri`), or as far back from the cut as another `history` says; an empty one changes nothing.

    Raises InvalidInput where the history is no duration.
    """
    try:
        if history:
            duration(history)
    except ValueError as error:
        msg = f"history: {error}"
        raise InvalidInput(msg) from error
    return replace(data, uri=uri or data.uri, history=history or data.history)


def unfit(table: "pa.Table", data: Data, schema: Schema) -> list[str]:
    """The sentences of why the version with this schema cannot be asked about the rows; empty where it can."""
    if table.num_rows == 0:
        return ["there is no row to score up to the cut"]
    present = {field.name: kind_of(field) for field in table.schema}
    missing = [name for name in schema.names if name not in present]
    if missing:
        names = ", ".join(map(repr, table.column_names))
        return [f"the features {', '.join(map(repr, missing))} are missing that the version was trained on; the columns are {names}"]
    found = [
        f"column {feature.name!r} holds {table.schema.field(feature.name).type}; the version was trained on numbers there"
        for feature in schema.features
        if feature.kind == "number" and present[feature.name] != "number" and table.column(feature.name).null_count < table.num_rows
    ]
    if data.key is not None:
        repeated = table.num_rows - len(table.column(data.key).unique())
        found += [f"key {data.key!r} is not unique: {repeated} rows repeat another row's key"] if repeated else []
    return found


def score(table: "pa.Table", data: Data, folder: Path, version: str) -> "pa.Table":
    """One row for each of the table's: key and time as far as they are declared, `__prediction`, and the `__version` that gave it.

    A prediction is a number in a regression, the second class's probability in a binary task, a list of all in a multiclass one.
    """
    import pyarrow as pa

    columns = [name for name in (data.key, data.time) if name is not None]
    predictions = predict(folder, numbers(table, read_schema(folder)))
    scored = table.select(columns).append_column(PREDICTION, pa.array(predictions.tolist()))
    return scored.append_column(VERSION, pa.array([version] * table.num_rows, pa.string()))


def numbers(table: "pa.Table", schema: Schema) -> "pa.Table":
    """The rows with columns that hold nothing as numbers, where the version takes a number: a file without a value has no type."""
    import pyarrow as pa

    for feature in schema.features:
        place = table.schema.get_field_index(feature.name)
        if feature.kind == "number" and kind_of(table.schema.field(place)) != "number":
            table = table.set_column(place, feature.name, pa.nulls(table.num_rows, pa.float64()))
    return table


def check_place(to: str) -> None:
    """Raise InvalidInput where `to` names no file that predictions could be written to."""
    scheme = to.split("://", 1)[0] if "://" in to else "file"
    if scheme not in SCHEMES or not to.endswith(".parquet"):
        places = ", ".join(f"{one}://" for one in SCHEMES)
        msg = f"to: found {to!r}; a file is allowed whose name ends with .parquet, as a path or with {places}"
        raise InvalidInput(msg)


def write(table: "pa.Table", to: str) -> None:
    """Write the table as Parquet to `to` (a path, or file://…, s3://… or gs://…); what is there is replaced.

    Raises Unavailable where it cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pyarrow import fs

    try:
        store, place = fs.FileSystem.from_uri(to) if "://" in to else (fs.LocalFileSystem(), str(Path(to).absolute()))
        local = isinstance(store, fs.LocalFileSystem)
        if local:
            store.create_dir(place.rpartition("/")[0], recursive=True)
        draft = f"{place}.tmp" if local else place
        pq.write_table(table, draft, filesystem=store, compression="zstd")
        if local:
            store.move(draft, place)
    except (OSError, pa.ArrowException) as error:
        said = str(error).strip().splitlines()
        msg = f"the predictions cannot be written to {to!r}: {said[0] if said else type(error).__name__}"
        raise Unavailable(msg) from error
    log.info("wrote %d predictions to %s", table.num_rows, to)
