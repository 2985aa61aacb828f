"""A first look at data that nobody has described yet: which column is the time, the key, the label, and what is to be predicted.

Everything here is a guess, and each guess comes with a sentence that says why, for a person to correct.
"""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from trimtab.errors import InvalidInput
from trimtab.spec import Data, ModelSpec, Task
from trimtab.training.checks import sentences
from trimtab.training.frame import classes_of, kind_of
from trimtab.training.ingest import read
from trimtab.training.source import reading
from trimtab.training.validate import validate

if TYPE_CHECKING:
    import pyarrow as pa

_TIMES = ("TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "TIMESTAMP_NS", "TIMESTAMP_MS", "TIMESTAMP_S", "DATE")
_LABELS = ("label", "target", "y", "class", "outcome")
_MOST_CLASSES = 10
_EXCLUDES = {
    "leak": "moves with the label: probably known only after it",
    "identifier": "as good as different in every row",
    "timestamp": "a time as a number",
}


class Guess(Struct, frozen=True):
    """What the data seems to be; `sentences` say what was guessed and why."""

    path: Path
    columns: tuple[str, ...]
    time: str | None
    key: str | None
    label: str
    task: Task
    exclude: tuple[str, ...]
    rows: int
    sentences: tuple[str, ...]


def inspect(path: Path, label: str | None = None) -> Guess:
    """Guess what the columns of the CSV or Parquet file mean; `label` is taken as said.

    Raises InvalidInput with one sentence where there is no such file, or nothing in it can be predicted from anything.
    """
    columns, kinds = reading(str(path), lambda _, rows: (tuple(rows.columns), [str(kind) for kind in rows.types]))
    if len(columns) < 2:
        msg = f"{str(path)!r} has the single column {columns[0]!r}: a label and at least one feature are needed"
        raise InvalidInput(msg)
    if label is not None and label not in columns:
        msg = f"there is no column {label!r} in {str(path)!r}; its columns are {', '.join(map(repr, columns))}"
        raise InvalidInput(msg)
    time = next((name for name, kind in zip(columns, kinds, strict=True) if kind in _TIMES and name != label), None)
    table, _ = read(Data(str(path), label or columns[-1], time=time), None)
    if table.num_rows == 0:
        msg = f"{str(path)!r} is empty: it has a header but no row with a value in {label or columns[-1]!r}"
        raise InvalidInput(msg)
    key = _key(table, time, label)
    target, why = (label, "as said") if label is not None else _label(path, table, time, key)
    task, because = _task(table, target)
    said = [
        f"time: {time!r}, the first column of dates" if time else "time: no column holds dates, so no window or history is by time",
        f"key: {key!r}, different in every row" if key else "key: no column is different in every row, so late labels cannot be joined",
        f"label: {target!r}, {why}",
        f"task: {task}, {because}",
    ]
    data = Data(str(path), target, time, key)
    found = [check for check in validate(table, ModelSpec(task, data)) if check.severity == "stop" and check.check in _EXCLUDES]
    names = tuple(name for name in columns if name in {check.column for check in found})
    said += [f"exclude: {check.column!r}, {_EXCLUDES[check.check]} ({check.found})" for check in found]
    for sentence in sentences(validate(table.drop_columns(list(names)), ModelSpec(task, replace(data, exclude=names)))):
        msg = f"{str(path)!r} cannot be trained on: {sentence}"
        raise InvalidInput(msg)
    return Guess(path, columns, time, key, target, task, names, table.num_rows, tuple(said))


def document(guess: Guess, name: str | None, folder: Path) -> str:
    """The YAML text of a first Model document for `folder`, with short comments; `name` defaults to the file's."""
    data = [f"    uri: {_yaml(os.path.relpath(guess.path.resolve(), folder.resolve()))}"]
    data.append(f"    time: {_yaml(guess.time)}" if guess.time else "    # time: the column of the event time; none was found")
    data.append(f"    label: {_yaml(guess.label)}")
    data.append(f"    key: {_yaml(guess.key)}" if guess.key else "    # key: a column that is different in every row joins late labels")
    data.append(f"    exclude: [{', '.join(map(_yaml, guess.exclude))}]   # add what is only known after the label (leaks)")
    rows = max(50, min(5000, guess.rows // 20))
    lines = [
        "# A first document, guessed from the data. Every field left out has a default.",
        "apiVersion: trimtab.dev/v1alpha1",
        "kind: Model",
        f"metadata: {{name: {name or _name(guess.path)}}}",
        "spec:",
        f"  task: {guess.task}",
        "  data:",
        *data,
        "    # history: 180d      what a training run reads, back from its cut; all if left out",
        "    labelDelay: 0s        # how long after a row its label is known",
        "  rollout:",
        "    steps: [20, 50]       # percent of the traffic to a candidate, step by step",
        "  monitoring:",
        f"    window: {{rows: {rows}}}   # the monitor looks after so many rows",
        "  retraining:",
        '    "on": [performance, concept]',
    ]
    return "\n".join(lines) + "\n"


def _key(table: "pa.Table", time: str | None, label: str | None) -> str | None:
    for column in table.schema:
        values = table.column(column.name)
        whole = not str(column.type).startswith(("float", "double", "bool"))
        if column.name not in (time, label) and whole and values.null_count == 0 and len(values.unique()) == table.num_rows:
            return str(column.name)
    return None


def _label(path: Path, table: "pa.Table", time: str | None, key: str | None) -> tuple[str, str]:
    names = [column.name for column in table.schema if column.name not in (time, key)]
    named = [name for name in names if name.lower() in _LABELS]
    if named:
        return named[0], "by its name"
    numbers = [name for name in names if kind_of(table.schema.field(name)) == "number"]
    if numbers:
        return numbers[-1], "the last column of numbers"
    msg = f"{str(path)!r} has no column of numbers that could be a label; name one with --label out of {', '.join(map(repr, names))}"
    raise InvalidInput(msg)


def _task(table: "pa.Table", label: str) -> tuple[Task, str]:
    different = len(table.column(label).drop_null().unique())
    if different == 2:
        return "binary", f"{label!r} has two values"
    number = kind_of(table.schema.field(label)) == "number"
    if not number:
        return "multiclass", f"{label!r} is text with {different} values"
    classes = classes_of(table.column(label))
    if different <= _MOST_CLASSES and all(re.fullmatch(r"[0-9]+", name) for name in classes):
        return "multiclass", f"{label!r} has only the {different} values {', '.join(classes)}; say regression if they are amounts"
    return "regression", f"{label!r} is a number with {different} different values"


def _name(path: Path) -> str:
    text = re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-")[:40].strip("-")
    return text if re.match(r"[a-z]", text) else f"model-{text}"[:40].strip("-")


def _yaml(text: str | None) -> str:
    return msgspec.json.encode(text).decode() if text is not None and not re.fullmatch(r"[A-Za-z][\w./ -]*", text) else str(text)
