"""Clean tables of three kinds, and defects planted in them: what validation must stop, and what it must not.

A world is drawn by its seed, drifts from month to month as worlds do, and is cut into what the champion was trained on and what a
later run reads.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct

from trimtab.schema import Feature, Schema
from trimtab.spec import Data, ModelSpec, Task
from trimtab.training.frame import classes_of, kind_of
from trimtab.training.validate import features_of
from trimtab.training.validate_rows import Champion

START = datetime(2024, 1, 1, tzinfo=UTC)
HOURS = 24 * 330
HISTORY = 240

Table = pa.Table
Columns = dict[str, Any]


class World(Struct, frozen=True):
    """A table over eleven months, and the spec that reads the last 240 days before a cut."""

    table: Table
    spec: ModelSpec

    def window(self, day: int) -> Table:
        """The rows of the 240 days before a day."""
        at = self.table.column("at")
        until = START + timedelta(days=day)
        kept = pc.and_(pc.less_equal(at, pa.scalar(until)), pc.greater(at, pa.scalar(until - timedelta(days=HISTORY))))
        return self.table.filter(kept)

    def champion(self, day: int, seed: int) -> Champion:
        """What a version that was trained on that day keeps."""
        return champion_of_rows(self.window(day), self.spec, seed)


def champion_of_rows(rows: Table, spec: ModelSpec, seed: int) -> Champion:
    """The schema and 2,000 sampled rows, as `evaluate.write_reference` keeps them."""
    names = features_of(rows, spec)
    texts = {name: tuple(sorted(rows.column(name).drop_null().unique().to_pylist())) for name in names if is_text(rows, name)}
    features = tuple(Feature(name, "category", texts[name]) if name in texts else Feature(name, "number") for name in names)
    classes = () if spec.task == "regression" else classes_of(rows.column(spec.data.label))
    schema = Schema(spec.task, spec.data.label, features, key=spec.data.key, time=spec.data.time, classes=classes)
    chosen = np.sort(np.random.default_rng(seed).permutation(rows.num_rows)[:2000])
    return Champion(schema, rows.take(pa.array(chosen)))


def is_text(rows: Table, name: str) -> bool:
    return kind_of(rows.schema.field(name)) == "text"


def world(kind: str, seed: int) -> World:
    """A shop's demand (regression), a bank's fraud (binary, 2%), or clicks in a shop (binary, mostly categories)."""
    draw = np.random.default_rng([seed, len(kind)])
    columns, label, task = {"demand": _demand, "fraud": _fraud, "clicks": _clicks}[kind](draw)
    rows = len(columns[label])
    at = np.sort(draw.integers(0, HOURS * 3600, rows)) if kind != "demand" else np.arange(rows) * 3600
    times = pa.array((at + int(START.timestamp())) * 1_000_000, pa.timestamp("us", "UTC"))
    keys = pa.array([f"{kind}-{number:07}" for number in range(rows)])
    table = pa.table({"at": times, "key": keys, **columns})
    return World(table, ModelSpec(task, Data("rows.parquet", label, "at", "key", history=f"{HISTORY}d")))


def _nulls(draw: Any, values: Any, share: float) -> pa.Array:
    return pa.array(values, mask=draw.random(len(values)) < share)


def _demand(draw: Any) -> tuple[Columns, str, Task]:
    """Hourly, with a day, a week, a season and growth; the weather is autocorrelated."""
    hours = np.arange(HOURS)
    season = np.sin(2 * np.pi * (hours / (24 * 365) - draw.uniform(0, 1)))
    weather = np.convolve(draw.normal(size=HOURS + 71), np.ones(72) / 72, "valid") * 30
    temperature = 12 + 11 * season + 5 * np.sin(2 * np.pi * (hours % 24 - 9) / 24) + weather
    rain = np.where(draw.random(HOURS) < np.clip(0.1 - weather / 40, 0, 1), draw.gamma(0.6, 3, HOURS), 0.0)
    workday = (hours // 24 % 7 < 5).astype(int)
    daily = 1 + np.exp(-((hours % 24 - 8) ** 2) / 8) * workday + np.exp(-((hours % 24 - 17) ** 2) / 12)
    level = 80 * daily * (1 + 0.5 * np.clip(temperature, -5, 30) / 30) * (1 - 0.4 * (rain > 0.5)) * (1 + hours / HOURS * 0.6)
    columns: Columns = {
        "hour": hours % 24,
        "weekday": np.array(["mon", "tue", "wed", "thu", "fri", "sat", "sun"])[hours // 24 % 7],
        "workday": workday.astype(bool),
        "temperature": _nulls(draw, np.round(temperature, 2), 0.02),
        "rain": np.round(rain, 1),
        "wind": np.round(draw.gamma(2, 6, HOURS), 1),
        "sky": _nulls(draw, np.where(rain > 0, "rain", np.where(weather > 0, "clear", "cloud")), 0.01),
        "demand": draw.poisson(level),
    }
    return columns, "demand", "regression"


def _fraud(draw: Any) -> tuple[Columns, str, Task]:
    """Payments: heavy tails, a growing number of customers, and fraudsters who change their ways in autumn."""
    rows = 20_000
    place = np.arange(rows) / rows
    amount = np.exp(draw.normal(3.5 + 0.3 * place, 1.2, rows))
    age = draw.gamma(1.5, 400, rows)
    abroad = draw.random(rows) < 0.08 + 0.04 * place
    night = draw.random(rows) < 0.2
    risk = -6.0 + 0.9 * np.log(amount / 30) + 1.5 * abroad + np.where(place < 0.7, 1.2 * night, 1.5 * (age < 60)) - age / 1500
    columns: Columns = {
        "amount": np.round(amount, 2),
        "account_age_days": age.astype(int),
        "country": np.where(abroad, draw.choice(["fr", "it", "us", "cn", "br"], rows), "de"),
        "channel": draw.choice(["web", "app", "store"], rows, p=[0.5, 0.35, 0.15]),
        "night": night,
        "merchant": np.char.add("m", np.minimum(draw.zipf(1.5, rows), 400).astype(str)),
        "payments_last_hour": draw.poisson(0.4 + 1.0 * night),
        "score": _nulls(draw, np.round(draw.normal(600, 80, rows)), 0.15 + 0.05 * place),
        "fraud": (draw.random(rows) < 1 / (1 + np.exp(-risk))).astype(int),
    }
    return columns, "fraud", "binary"


def _clicks(draw: Any) -> tuple[Columns, str, Task]:
    """Shown articles: categories mostly, and a new season with new collections from month seven on."""
    rows = 20_000
    place = np.arange(rows) / rows
    late = draw.random(rows) < np.clip((place - 0.6) * 6, 0, 0.9)
    collection = np.where(
        late, draw.choice(["autumn-1", "autumn-2", "autumn-3"], rows), draw.choice(["spring-1", "spring-2", "basic"], rows)
    )
    device = draw.choice(["phone", "desktop", "tablet"], rows, p=[0.6, 0.3, 0.1])
    price = np.round(np.exp(draw.normal(3 + 0.5 * late, 0.6, rows)), 2)
    position = draw.integers(1, 21, rows)
    liked = np.isin(collection, ["spring-1", "autumn-2"])
    odds = -2.2 + 1.0 * liked - 0.07 * position + 0.4 * (device == "desktop") - 0.01 * price * ~late
    columns: Columns = {
        "collection": collection,
        "device": device,
        "brand": np.char.add("brand ", draw.integers(1, 60, rows).astype(str)),
        "colour": _nulls(draw, draw.choice(["black", "white", "red", "blue", "green"], rows), 0.05),
        "price": price,
        "position": position,
        "visits": draw.poisson(3, rows),
        "clicked": np.where(draw.random(rows) < 1 / (1 + np.exp(-odds)), "yes", "no"),
    }
    return columns, "clicked", "binary"


KINDS = ("demand", "fraud", "clicks")
AMOUNT = {"demand": "wind", "fraud": "amount", "clicks": "price"}
"""A number column of each world."""
CATEGORY = {"demand": "weekday", "fraud": "channel", "clicks": "device"}
Defect = Callable[[Table, str, Any], Table]


def put(table: Table, name: str, values: Any) -> Table:
    """The table with another column of that name."""
    column = values if isinstance(values, (pa.Array, pa.ChunkedArray)) else pa.array(values)
    if name not in table.column_names:
        return table.append_column(name, column)
    return table.set_column(table.column_names.index(name), name, column)


def _scaled(factor: float, share: float = 1.0) -> Defect:
    def plant(table: Table, kind: str, _: Any) -> Table:
        values = table.column(AMOUNT[kind]).to_numpy(zero_copy_only=False).astype(float).copy()
        values[len(values) - int(len(values) * share) :] *= factor
        return put(table, AMOUNT[kind], values)

    return plant


def _respelled(table: Table, kind: str, _: Any) -> Table:
    return put(table, CATEGORY[kind], pc.utf8_upper(table.column(CATEGORY[kind])))


def _emptied(table: Table, kind: str, _: Any) -> Table:
    values = table.column(AMOUNT[kind]).to_numpy(zero_copy_only=False).astype(float)
    return put(table, AMOUNT[kind], pa.array(values, mask=np.arange(len(values)) > 0.9 * len(values)))


def _leak(table: Table, kind: str, draw: Any) -> Table:
    label = LABEL[kind]
    if kind == "demand":
        values = table.column(label).to_numpy().astype(float)
        return put(table, "refund", np.round(values * 0.93 + draw.normal(0, 0.1 * values.std(), len(values)), 1))
    codes = pc.index_in(table.column(label).cast(pa.string()), pa.array(classes_of(table.column(label)))).to_numpy()
    return put(table, "refund", pa.array(draw.gamma(2, 20, len(codes)), mask=(codes == 0)))


def _shuffled(table: Table, kind: str, draw: Any) -> Table:
    return put(table, LABEL[kind], table.column(LABEL[kind]).take(pa.array(draw.permutation(table.num_rows))))


def _repeated(table: Table, _: str, draw: Any) -> Table:
    again = table.take(pa.array(draw.choice(table.num_rows, table.num_rows // 5)))
    return pa.concat_tables([table, again]).sort_by("at")


LABEL = {"demand": "demand", "fraud": "fraud", "clicks": "clicked"}
EPOCH = "seen"

DEFECTS: dict[str, tuple[str, Defect]] = {
    "unit: 10 times in all rows": ("unit", _scaled(10)),
    "unit: 1/1000 in all rows": ("unit", _scaled(0.001)),
    "unit: 1000 times in the newest tenth": ("unit", _scaled(1000, 0.1)),
    "unit: 1/100 in the newest third": ("unit", _scaled(0.01, 0.33)),
    "categories in another spelling": ("categories", _respelled),
    "a column dropped": ("missing", lambda table, kind, _: table.drop_columns([AMOUNT[kind]])),
    "a column no longer filled": ("nulls", _emptied),
    "a leak": ("leak", _leak),
    "a shuffled label": ("label", _shuffled),
    "rows loaded twice": ("key", _repeated),
    "rows loaded twice, without a key": ("copies", lambda table, kind, draw: _repeated(table, kind, draw).drop_columns(["key"])),
    "a row number as a feature": ("identifier", lambda table, _, __: put(table, "row", np.arange(table.num_rows) + 70_000)),
    "a shuffled number as a feature": (
        "identifier",
        lambda table, _, draw: put(table, "customer", draw.permutation(table.num_rows) + 1),
    ),
    "a text identifier as a feature": (
        "identifier",
        lambda table, _, draw: put(table, "session", [f"s{number:x}" for number in draw.integers(0, 1 << 48, table.num_rows)]),
    ),
    "a time stamp as a feature": (
        "timestamp",
        lambda table, _, __: put(table, EPOCH, table.column("at").cast(pa.timestamp("s", "UTC")).cast(pa.int64())),
    ),
    "no rows for the last thirty days": (
        "stale",
        lambda table, _, __: table.filter(pc.less(table.column("at"), pa.scalar(pc.max(table.column("at")).as_py() - timedelta(days=30)))),
    ),
    "a number that became text": (
        "type",
        lambda table, kind, _: put(
            table, AMOUNT[kind], pc.binary_join_element_wise("EUR", table.column(AMOUNT[kind]).cast(pa.string()), " ")
        ),
    ),
    "another label under the same name": ("label", lambda table, kind, draw: put(table, LABEL[kind], _other(table, kind, draw))),
}


def _other(table: Table, kind: str, draw: Any) -> Any:
    if kind == "demand":
        return table.column("demand").to_numpy() + 5000
    return np.where(draw.random(table.num_rows) < 0.5, *(("yes", "no") if kind == "clicks" else (1, 0)))
