"""Small data with a known truth, and the documents that describe it."""

import csv
import math
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from trimtab.spec import Data, Metadata, Model, ModelSpec, Task

START = datetime(2024, 1, 1, tzinfo=UTC)
HEADER = ("at", "case_id", "size", "colour", "open", "note", "amount")


def rows(count: int = 400, seed: int = 1) -> list[dict[str, Any]]:
    """One row an hour; `amount` follows size, colour and open, with noise."""
    draw = random.Random(seed)  # noqa: S311
    found = []
    for index in range(count):
        size, colour, is_open = draw.uniform(0, 10), draw.choice(["red", "green", "blue"]), draw.random() < 0.5
        amount = 3 * size + {"red": 0, "green": 5, "blue": 10}[colour] + 4 * is_open + draw.gauss(0, 0.5)
        found.append(
            {
                "at": (START + timedelta(hours=index)).isoformat(),
                "case_id": f"case-{index:05}",
                "size": "" if index % 50 == 7 else round(size, 4),
                "colour": "" if index % 60 == 9 else colour,
                "open": str(is_open).lower(),
                "note": f"note {index} {draw.random()}",
                "amount": round(amount, 4),
            }
        )
    return found


def write(path: Path, found: list[dict[str, Any]], header: tuple[str, ...] = HEADER) -> Path:
    """The rows as a CSV file."""
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, header, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(found)
    return path


def spec(path: Path, task: Task = "regression", **data: Any) -> ModelSpec:
    """A spec over the CSV that `write` makes."""
    given = {"label": "amount", "time": "at", "key": "case_id", "exclude": ("note",), **data}
    return ModelSpec(task, Data(str(path), **given))


def model(spec: ModelSpec, name: str = "toy") -> Model:
    """A Model of that spec."""
    return Model("trimtab.dev/v1alpha1", "Model", Metadata(name, uid="uid-of-the-model"), spec)


def document(spec: ModelSpec) -> str:
    """The Model as the pipeline gets it."""
    return msgspec.json.encode(model(spec)).decode()


def last(count: int = 400) -> datetime:
    """The newest row's time."""
    return START + timedelta(hours=count - 1)


def rmse(left: Any, right: Any) -> float:
    """The root of the mean squared difference."""
    return math.sqrt(sum((a - b) ** 2 for a, b in zip(left, right, strict=True)) / len(left))
