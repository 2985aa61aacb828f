"""The explainer's worker: runs Alibi in its own environment, without the right to the network (design §4).

A request is one line of JSON {"row": [number or null, ...], "prediction": what the model says of it}, features in the schema's order and
categories by code; its answer is one line, {"anchor", "precision", ...} or {"base_value", "contributions"}, or {"error": sentence}.
In between it asks for predictions, a line {"ask": [row, ...]}, and is told them, a line {"told": [prediction, ...]}, or null: no more.

It is started by `trimtab/locked.py`. This file imports nothing of Trimtab, whose libraries are newer than Alibi's.

A missing number lies below all numbers that were seen and a missing category is one more category, for Alibi knows neither.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable
from typing import Any

REFERENCE_ROWS = 5000
BACKGROUND_ROWS = 50
ASKED_CELLS = 30_000
ASKED_ROWS = 1000
MISSING = "missing"
SEED = 0
THRESHOLD = 0.95


class Table:
    """The reference as numbers, and the way there and back for rows; `spread` is its predictions' interquartile range."""

    def __init__(self, schema: dict[str, Any], path: str) -> None:
        import numpy as np
        import pyarrow.parquet as pq

        self.task = schema["task"]
        self.names = [feature["name"] for feature in schema["features"]]
        self.categories = {
            place: [*feature.get("categories", ()), MISSING]
            for place, feature in enumerate(schema["features"])
            if feature["kind"] == "category"
        }
        table = pq.read_table(path, columns=[*self.names, "__prediction"] if self.task == "regression" else self.names)
        table = table.take(np.unique(np.linspace(0, table.num_rows - 1, REFERENCE_ROWS).astype(int)))
        raw = np.column_stack([self._column(place, table.column(name)) for place, name in enumerate(self.names)])
        self._absent = np.array([self._below(place, raw[:, place]) for place in range(len(self.names))])
        self.rows = self.filled(raw)
        self.spread: float | None = None
        if self.task == "regression":
            self.spread = float(np.subtract(*np.percentile(table.column("__prediction").to_pylist(), [75, 25])))

    def _column(self, place: int, column: Any) -> Any:
        import numpy as np

        values = column.to_pylist()
        if place not in self.categories:
            return np.array([np.nan if value is None else float(value) for value in values])
        codes = {name: float(code) for code, name in enumerate(self.categories[place][:-1])}
        return np.array([np.nan if value is None else codes.get(str(value), np.nan) for value in values])

    def _below(self, place: int, values: Any) -> float:
        import numpy as np

        if place in self.categories:
            return float(len(self.categories[place]) - 1)
        seen = values[np.isfinite(values)]
        return float(seen.min() - (np.ptp(seen) or 1.0)) if len(seen) else -1.0

    def filled(self, rows: Any) -> Any:
        """What is missing (NaN) as the number that stands for it."""
        import numpy as np

        return np.where(np.isnan(rows), self._absent, rows)

    def emptied(self, rows: Any) -> list[list[float | None]]:
        """The reverse, as JSON knows it."""
        return [
            [None if value == absent else float(value) for value, absent in zip(row, self._absent.tolist(), strict=True)]
            for row in rows.tolist()
        ]


class Asking:
    """The model as a function of a matrix, of which the other side of the pipe answers at most 1,000 rows at a time."""

    def __init__(self, table: Table, out: Any) -> None:
        self._table = table
        self._out = out
        self._block = max(1, min(ASKED_ROWS, ASKED_CELLS // len(table.names)))

    def __call__(self, rows: Any) -> Any:
        """The rows' predictions; raises RuntimeError where they are no longer told."""
        import numpy as np

        found: list[Any] = []
        for start in range(0, len(rows), self._block):
            self._out.write(json.dumps({"ask": self._table.emptied(rows[start : start + self._block])}).encode() + b"\n")
            told = json.loads(sys.stdin.readline())["told"]
            if told is None:
                msg = "there are no more predictions"
                raise RuntimeError(msg)
            found.extend(told)
        return np.asarray(found, dtype=float)


class Anchor:
    """Anchors (Ribeiro, Singh and Guestrin, 2018): a rule under which the prediction stays the same in at least 95% of cases.

    "The same" is the same class, and for a regression a prediction no farther away than half of the reference predictions'
    interquartile range.
    """

    def __init__(self, table: Table, ask: Asking) -> None:
        import numpy as np
        from alibi.explainers import AnchorTabular

        self._ask = ask
        self._prediction: Any = None
        self._within = None if table.spread is None else table.spread / 2
        self._alibi = AnchorTabular(self._same, table.names, categorical_names=table.categories, dtype=np.float64, seed=SEED)
        self._alibi.fit(table.rows, disc_perc=(25, 50, 75))

    def __call__(self, row: Any, prediction: Any) -> dict[str, Any]:
        """The row's anchor, how often it held among the rows that were asked for, and the share of the reference that it covers."""
        import numpy as np

        self._prediction = prediction
        found = self._alibi.explain(row, threshold=THRESHOLD).data
        precision, coverage = (float(np.ravel(found[name])[0]) for name in ("precision", "coverage"))
        reached = bool(found["raw"]["success"])
        return {"anchor": list(found["anchor"]), "precision": precision, "coverage": coverage, "reached": reached, "within": self._within}

    def _same(self, rows: Any) -> Any:
        """A class a row. Alibi asks for one while it is made, when there is no prediction yet."""
        import numpy as np

        if self._prediction is None:
            return np.zeros(len(rows), dtype=int)
        said = self._ask(rows)
        if self._within is not None:
            return (np.abs(said - self._prediction) <= self._within).astype(int)
        return said.argmax(axis=1) if said.ndim == 2 else (said >= 0.5).astype(int)


class KernelShap:
    """Kernel SHAP (Lundberg and Lee, 2017), over 50 rows of the reference for what a hidden feature may be."""

    def __init__(self, table: Table, ask: Asking) -> None:
        import numpy as np
        from alibi.explainers import KernelShap as Alibi

        self._make = Alibi
        self._names = table.names
        self._ask = ask
        self._background = table.rows[np.unique(np.linspace(0, len(table.rows) - 1, BACKGROUND_ROWS).astype(int))]
        self._samples = min(2 * len(table.names) + 512, 2 ** min(len(table.names), 20))

    def __call__(self, row: Any, _: Any) -> dict[str, Any]:
        """The base value of each output and, for each output, the features' values."""
        import numpy as np

        explainer = self._make(self._ask, feature_names=self._names, task="regression", seed=SEED)
        explainer.fit(self._background)
        found = explainer.explain(row[None, :], nsamples=self._samples, l1_reg=False, silent=True)
        return {
            "base_value": np.ravel(found.expected_value).tolist(),
            "contributions": [np.ravel(one).tolist() for one in found.shap_values],
        }


Method = Callable[[Any, Any], dict[str, Any]]
METHODS: dict[str, Callable[[Table, Asking], Method]] = {"anchor": Anchor, "kernel_shap": KernelShap}


def answered(line: str, table: Table, explain: Method) -> dict[str, Any]:
    """The answer to a request; one without a row asks whether the worker is ready."""
    import numpy as np

    request = json.loads(line)
    if "row" not in request:
        return {"ready": True}
    np.random.seed(SEED)
    return explain(table.filled(np.array(request["row"], dtype=float)), request["prediction"])


def main() -> None:
    """Read the reference, then answer requests until the input ends; whatever libraries print goes to standard error."""
    parser = argparse.ArgumentParser(description="Explain rows.")
    parser.add_argument("--method", choices=METHODS, required=True)
    parser.add_argument("--schema", required=True, help="the version's schema.json")
    parser.add_argument("--reference", required=True, help="the version's reference.parquet")
    given = parser.parse_args()
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    table, explain = None, None
    for line in iter(sys.stdin.readline, ""):
        try:
            if table is None or explain is None:
                with open(given.schema, encoding="utf-8") as stream:  # noqa: PTH123
                    table = Table(json.load(stream), given.reference)
                explain = METHODS[given.method](table, Asking(table, out))
            found = answered(line, table, explain)
        except Exception as error:  # whoever asks must learn of any failure, whatever Alibi raised
            found = {"error": f"{type(error).__name__}: {error}"[:300]}
        out.write(json.dumps(found).encode() + b"\n")


if __name__ == "__main__":
    main()
