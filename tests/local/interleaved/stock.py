"""Versions to hand out: tiny real models, made once, whose answers tell them apart. And what a stranger would put in their place."""

import shutil
from pathlib import Path
from typing import Literal

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import xgboost as xgb
from msgspec import Struct

from tests.unit.serving.tiny import ROW, matrix, tiny_model
from trimtab.manifest import write_manifest
from trimtab.schema import PREDICTION

Kind = Literal["good", "unlike", "broken"]
"""unlike: answers other predictions than were recorded, so that its smoke test fails. broken: it cannot be loaded."""

BODY = msgspec.json.encode({"instances": [ROW]})
APART = 100.0
GOODS = 16


class Made(Struct, frozen=True):
    """A version's files, and what it answers to `BODY`."""

    folder: Path
    answer: float
    kind: Kind


class Stock:
    """Model folders of each kind, and the poison: a model that answers what no version does."""

    def __init__(self, folder: Path) -> None:
        self._good = [_made(folder / f"good-{number}", APART * number) for number in range(GOODS)]
        self._unlike = _made(folder / "unlike", APART * GOODS, "unlike")
        table = pq.read_table(self._unlike.folder / "reference.parquet")
        shifted = pa.array([value + 1 for value in table[PREDICTION].to_pylist()])
        pq.write_table(
            table.set_column(table.column_names.index(PREDICTION), PREDICTION, shifted), self._unlike.folder / "reference.parquet"
        )
        self._broken = _made(folder / "broken", APART * (GOODS + 1), "broken")
        (self._broken.folder / "model.json").write_text("{}")
        for made in (self._unlike, self._broken):
            write_manifest(made.folder)
        self.poison = _made(folder / "poison", -APART)
        self._given = 0

    def new(self, kind: Kind) -> Made:
        """The next model of the kind; good ones are each another one, as long as there are any."""
        if kind != "good":
            return self._unlike if kind == "unlike" else self._broken
        self._given += 1
        return self._good[self._given % GOODS]


def _made(folder: Path, shift: float, kind: Kind = "good") -> Made:
    tiny_model(folder, shift)
    booster = xgb.Booster({"nthread": 1}, model_file=folder / "model.json")
    return Made(folder, float(booster.predict(matrix([ROW]))[0]), kind)


def poison(folder: Path, stock: Stock, *, whole: bool) -> None:
    """Put the poison in the place of the model; with `whole` also a manifest that is right for it."""
    shutil.copyfile(stock.poison.folder / "model.json", folder / "model.json")
    if whole:
        write_manifest(folder)


def heal(folder: Path, made: Made) -> None:
    """Put back what was there."""
    for name in ("model.json", "manifest.json"):
        shutil.copyfile(made.folder / name, folder / name)
