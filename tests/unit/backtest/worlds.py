"""A small world for backtests: a meter whose reading follows two inputs, until the world changes."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from trimtab.spec import Model

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
FIRST = START + 500 * HOUR
ROWS, CHANGE = 1700, 800


def table(rows: int = ROWS, change: int = CHANGE, seed: int = 3) -> pa.Table:
    """Hourly rows; from `change` on, and once more 450 hours later, the reading follows the inputs another way.

    One input moves between the two. `hint` tells the label, and is never a feature.
    """
    draw = np.random.default_rng(seed)
    load, heat = draw.normal(10.0, 2.0, rows), draw.gamma(2.0, 2.0, rows)
    site = draw.choice(["east", "north", "west"], rows)
    load[1000:] += 2.0
    slope = np.select([np.arange(rows) < change, np.arange(rows) < change + 450], [3.0, 9.0], 15.0)
    y = slope * load + 3.0 * heat + draw.normal(0.0, 1.0, rows)
    times = [START + n * HOUR for n in range(rows)]
    columns = {"id": [f"r{n}" for n in range(rows)], "at": times, "load": load, "heat": heat, "site": site, "hint": y * 2, "y": y}
    return pa.table(columns)


def write(made: pa.Table, path: Path) -> Path:
    pq.write_table(made, path)
    return path


def model(path: Path, **retraining: Any) -> Model:
    """Windows of 60 rows, findings need 2 of 3, labels take a day, six days of history."""
    spec = {
        "task": "regression",
        "data": {"uri": str(path), "label": "y", "key": "id", "time": "at", "labelDelay": "24h", "history": "6d", "exclude": ["hint"]},
        "training": {"search": {"estimators": ["linear"]}},
        "gates": [{"metric": "rmse", "max": 90}],
        "rollout": {"bake": {"duration": "1d"}},
        "monitoring": {"window": {"rows": 60}, "drift": {"persistence": "2 of 3"}},
        "retraining": {"cooldown": "1d", **retraining},
    }
    document = {"apiVersion": "trimtab.dev/v1alpha1", "kind": "Model", "metadata": {"name": "meter"}, "spec": spec}
    return msgspec.convert(document, Model)
