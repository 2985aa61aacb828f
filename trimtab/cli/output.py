"""How the command line speaks: tables and sentences for people, one JSON value for programs, errors on standard error."""

import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from trimtab.errors import InvalidInput

UNBROKEN = 10_000
"""A width that no line reaches."""

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON value instead of text.")]


def print_json(value: Any) -> None:
    """Print any of our values as one JSON document."""
    print(json.dumps(msgspec.to_builtins(value), indent=1))


@contextmanager
def writing(out: Path) -> Iterator[None]:
    """Make the folder of what `out` names for what is written inside; raises InvalidInput where it cannot be written."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        msg = f"{str(out)!r} cannot be written: {error.strerror}; name another file with --out"
        raise InvalidInput(msg) from error


def complain(error: Exception) -> None:
    """One sentence on standard error; as JSON where `--json` was asked for."""
    if "--json" in sys.argv:
        print(json.dumps({"error": str(error)}))
    print(f"error: {plain(str(error))}", file=sys.stderr)


def plain(text: str) -> str:
    """A line that other people's words are in, as it may be shown: what would steer a terminal or turn the text round is spelt out."""
    return text if text.isprintable() else "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def table(title: str, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Print a table as wide as the terminal, or COLUMNS, allows; elsewhere one line a row, for who searches in it."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    made = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(columns):
        made.add_column(column, overflow="fold", no_wrap=number == 0)
    for row in rows:
        made.add_row(*("" if cell is None else escape(str(cell)) for cell in row))
    narrow = sys.stdout.isatty() or "COLUMNS" in os.environ
    Console(width=None if narrow else UNBROKEN).print(made)


def moment(when: datetime | None) -> str:
    """A time as people read it."""
    return when.strftime("%Y-%m-%d %H:%M:%S") if when else ""
