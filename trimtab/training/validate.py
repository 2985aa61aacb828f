"""Whether a snapshot can be trained on at all. Each thing that is wrong is one sentence; none of them quotes a row's values.

The checks are our own, on DuckDB and Arrow, and not pandera's (0.35, measured on two cores). Ten million rows have to pass in bounded
memory: pandera holds the whole data frame (1.5 GB for 2 million rows of 12 columns), DuckDB streams the file. A sentence has to say
what, where, how many and what is allowed, without the values that pandera's error lists (12 MB of them there). And a task that only
validates should not wait two seconds for an import. Both come as wheels.

What the expected schema is comes from the champion's own rows, and from `data.expect`, which takes its place column by column.
"""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from trimtab.schema import REFERENCE, read_schema
from trimtab.spec import ModelSpec
from trimtab.training.checks import Check
from trimtab.training.frame import kind_of
from trimtab.training.validate_changes import changes
from trimtab.training.validate_declared import declared
from trimtab.training.validate_label import changed, label, moved, tie
from trimtab.training.validate_leaks import identifiers, idle, leaks
from trimtab.training.validate_rows import Champion, Look, Rows, looking
from trimtab.training.validate_table import copies, keys, stale
from trimtab.training.validate_units import units

if TYPE_CHECKING:
    import pyarrow as pa

MIN_ROWS = 50


def validate(
    source: "Path | pa.Table", spec: ModelSpec, unlabelled: int = 0, champion: Champion | None = None, cut: datetime | None = None
) -> list[Check]:
    """What is wrong with the labelled rows in `source`, a snapshot's file or a table; nothing that stops where they can be trained on.

    `unlabelled` is the number of rows left out because no label is known yet; `champion` is what the data looked like before; rows
    up to `cut` were asked for.
    """
    with looking(source) as rows:
        if rows.count < MIN_ROWS:
            return [_too_few(rows, unlabelled)]
        look = Look(rows, spec, tuple(features_of(rows.sample, spec)), champion, cut)
        found = list(label(look))
        sound = not found
        found += [*keys(look), *declared(look)]
        if not look.features:
            return [*found, _no_features(look)]
        found += [*identifiers(look), *idle(look), *changes(look), *copies(look), *stale(look)]
        if sound:
            found += [*units(look), *moved(look), *changed(look), *leaks(look), *tie(look)]
        return _once(found)


def champion_of(folder: Path) -> Champion:
    """What a version in `folder` says of the data that it was made from."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from trimtab.errors import InvalidInput

    schema, path = read_schema(folder), folder / REFERENCE
    if not path.is_file():
        return Champion(schema)
    try:
        return Champion(schema, pq.read_table(path))
    except (OSError, pa.ArrowException) as error:
        msg = f"{REFERENCE} of the model in {folder.name!r} cannot be read: {error}"
        raise InvalidInput(msg) from error


def features_of(table: "pa.Table", spec: ModelSpec) -> list[str]:
    """The columns that may be features: numbers and text that are not time, key, label or excluded."""
    never = {spec.data.label, spec.data.key, spec.data.time, *spec.data.exclude}
    return [column.name for column in table.schema if column.name not in never and kind_of(column) != "other"]


def _too_few(rows: Rows, unlabelled: int) -> Check:
    kind = "the data is empty" if rows.count + unlabelled == 0 else f"only {rows.count} rows have a label"
    sentence = f"{kind} ({unlabelled} rows have none yet); at least {MIN_ROWS} are needed"
    return Check("rows", "", f"{rows.count} rows", f"at least {MIN_ROWS}", rows.count, sentence)


def _no_features(look: Look) -> Check:
    sentence = f"no column is left for a feature besides label, time, key and data.exclude; columns: {', '.join(look.rows.kinds)}"
    return Check("features", "", "no feature", "at least one", look.rows.count, sentence)


def _once(found: list[Check]) -> list[Check]:
    """One check of a kind for a column, the first that stops if one does: a unit that changed explains the range that it left."""
    broken = {check.column for check in found if check.check == "unit"}
    kept: dict[tuple[str, str], Check] = {}
    for check in sorted(found, key=lambda check: check.severity != "stop"):
        if check.column not in broken or check.check not in ("range", "label"):
            kept.setdefault((check.check, check.column), check)
    return [check for check in found if kept.get((check.check, check.column)) is check]
