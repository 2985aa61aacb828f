"""Alibi's side of the drift bench, in its own environment: fits a TabularDrift to each reference, and times its `predict`.

A line in: {"reference": path or null (the last one), "window": path, "categories": [place, ...]} for Arrow files of float64 columns; a
line out: {"fit_s", "predict_s", "p"}. Only `predict` is timed as such: not reading the files, and not making the matrix.
"""

import json
import sys
import time
from typing import Any

import numpy as np
import pyarrow as pa
from alibi_detect.cd import TabularDrift


def matrix(path: str) -> Any:
    with pa.memory_map(path) as source:
        table = pa.ipc.open_file(source).read_all()
    return np.column_stack([column.to_numpy() for column in table.columns])


def main() -> None:
    detector = None
    for line in sys.stdin:
        asked = json.loads(line)
        fit = 0.0
        if asked["reference"]:
            rows = matrix(asked["reference"])
            began = time.perf_counter()
            detector = TabularDrift(rows, categories_per_feature=dict.fromkeys(asked["categories"]) or None)
            fit = time.perf_counter() - began
        if detector is None:
            msg = "no reference was named"
            raise SystemExit(msg)
        window = matrix(asked["window"])
        began = time.perf_counter()
        found = detector.predict(window, drift_type="feature")["data"]["p_val"]
        seconds = time.perf_counter() - began
        print(json.dumps({"fit_s": fit, "predict_s": seconds, "p": [float(p) for p in found]}), flush=True)


if __name__ == "__main__":
    main()
