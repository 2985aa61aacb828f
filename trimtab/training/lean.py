"""Importing a library without the optional parts that a step never uses.

Each task of a pipeline is a fresh process. `xgboost` imports scikit-learn and pandas only for its wrapper classes (5.4 s instead
of 1.1 s on two cores), `mlflow` imports pandas only for its datasets (5.3 s instead of 2.7 s); both work where the part is missing.
"""

import importlib
import os
import sys
from types import ModuleType
from typing import Any


def lean_import(name: str, without: tuple[str, ...]) -> Any:
    """The module `name`, imported as if the modules in `without` were not installed.

    What was imported before stays as it is, and the modules in `without` can be imported afterwards as usual.
    """
    hidden: dict[str, ModuleType | None] = {part: None for part in without if part not in sys.modules}
    if name not in sys.modules:
        sys.modules.update(hidden)  # type: ignore[arg-type]
    try:
        return importlib.import_module(name)
    finally:
        for part in hidden:
            if part in sys.modules and sys.modules[part] is None:
                del sys.modules[part]


def one_thread() -> None:
    """Linear algebra on one thread, unless NumPy is there already: matrices are small here, and OpenBLAS's threads spin while waiting."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def xgboost() -> Any:
    """XGBoost's native interface. Its threads sleep while they wait: on busy cores, spinning ones make a fit ten times slower."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    return lean_import("xgboost", without=("sklearn",))


def mlflow() -> Any:
    """MLflow without its data frames; its usage reports are off."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    return lean_import("mlflow", without=("pandas",))
