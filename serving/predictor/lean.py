"""Imports of KServe and XGBoost without what a predictor never uses: a version is ready in a quarter of the time.

`import kserve` takes the Kubernetes client (2.3 s) and pandas (1.2 s) along, `import xgboost` takes scikit-learn and scipy.stats
(3 s). A predictor of trees needs none of them, and its start is what a restarted version's callers wait for.
"""

import importlib
import importlib.util
import sys
import types
from typing import Any


def kserve(module: str) -> Any:
    """The module `kserve.<module>`, imported without running `kserve/__init__.py`.

    KServe's server module parses the process's command line when it is imported, so it gets an empty one. KServe needs pandas
    only for its own tensors' `as_dataframe`, which the front never calls; for its annotations a placeholder is enough.
    """
    if "kserve" not in sys.modules:
        spec = importlib.util.find_spec("kserve")
        if spec is None or spec.submodule_search_locations is None:
            msg = "the package kserve is not installed here: install the extra `serving`"
            raise ModuleNotFoundError(msg)
        package = types.ModuleType("kserve")
        package.__spec__ = spec
        package.__path__ = list(spec.submodule_search_locations)
        sys.modules["kserve"] = package
    placeholder = types.ModuleType("pandas")
    placeholder.__dict__["DataFrame"] = type("DataFrame", (), {})
    pandas = sys.modules.setdefault("pandas", placeholder)
    arguments, sys.argv = sys.argv, sys.argv[:1]
    try:
        return importlib.import_module(f"kserve.{module}")
    finally:
        sys.argv = arguments
        if pandas is placeholder:
            del sys.modules["pandas"]


def xgboost() -> Any:
    """The package xgboost, without its scikit-learn wrappers where scikit-learn was not imported before.

    None in `sys.modules` makes an import fail as if the package were absent, which XGBoost provides for.
    """
    if "sklearn" in sys.modules:
        return importlib.import_module("xgboost")
    sys.modules["sklearn"] = None  # type: ignore[assignment]
    try:
        return importlib.import_module("xgboost")
    finally:
        del sys.modules["sklearn"]
