"""The detector worker: runs Alibi Detect in its own environment and listens to nothing but its parent's pipe.

Each line on standard input is a request {"reference": path, "window": path, "categories": [column, ...]} for two Arrow IPC files with
the same float64 columns (null = missing, left out); each line on standard output is its answer {"columns": {name: {"p", "statistic"}}} or
{"error": sentence}. It ends with its input. It imports nothing of Trimtab, whose libraries are newer than Alibi's.
"""

import json
import os
import sys
from typing import Any

import numpy as np
import pyarrow as pa


def columns(path: str) -> dict[str, np.ndarray[Any, Any]]:
    """The file's columns as float64 without the missing values."""
    with pa.memory_map(path) as source:
        table = pa.ipc.open_file(source).read_all()
    return {name: table.column(name).drop_null().to_numpy().astype(np.float64) for name in table.column_names}


def test(reference: dict[str, Any], window: dict[str, Any], categories: set[str]) -> dict[str, dict[str, float]]:
    """Kolmogorov-Smirnov for numbers and chi-squared for categories, by TabularDrift over columns of equal length together."""
    from alibi_detect.cd import TabularDrift

    groups: dict[tuple[int, int], list[str]] = {}
    for name in reference:
        groups.setdefault((len(reference[name]), len(window[name])), []).append(name)
    found = {}
    for names in groups.values():
        places = {place: None for place, name in enumerate(names) if name in categories}
        detector = TabularDrift(np.column_stack([reference[name] for name in names]), categories_per_feature=places or None)
        answer = detector.predict(np.column_stack([window[name] for name in names]), drift_type="feature")["data"]
        for name, p, statistic in zip(names, answer["p_val"], answer["distance"], strict=True):
            found[name] = {"p": float(p), "statistic": float(statistic)}
    return found


def main() -> None:
    """Answer requests until the input ends; whatever libraries print goes to standard error."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"columns": test(columns(request["reference"]), columns(request["window"]), set(request["categories"]))}
        except Exception as error:  # the parent must learn of any failure, whatever Alibi raised
            answer = {"error": f"{type(error).__name__}: {error}"[:300]}  # type: ignore[dict-item]
        out.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
