"""What MLflow users expect of a registered model: `MLmodel` with a signature, so that `mlflow.pyfunc.load_model` works on it.

The loader below encodes raw rows by the version's own schema; nothing is pickled.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.schema import Schema

if TYPE_CHECKING:
    import numpy as np

MLMODEL = "MLmodel"


def write_mlmodel(folder: Path, schema: Schema) -> None:
    """Write `MLmodel` for the version in `folder`. It says nothing of the moment, so that equal models stay equal."""
    kinds = {"number": "double", "category": "string"}
    inputs = [{"name": feature.name, "type": kinds[feature.kind], "required": True} for feature in schema.features]
    body = {
        "artifact_path": "model",
        "flavors": {"python_function": {"loader_module": "trimtab.training.mlmodel", "python_version": "3.11"}},
        "signature": {
            "inputs": msgspec.json.encode(inputs).decode(),
            "outputs": '[{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1]}}]',
            "params": None,
        },
    }
    (folder / MLMODEL).write_bytes(msgspec.yaml.encode(body))


class Predictor:
    """A registered version as MLflow's Python function."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def predict(self, rows: Any, params: dict[str, Any] | None = None) -> "np.ndarray[Any, Any]":  # noqa: ARG002
        """The predictions for a pandas data frame of raw values; MLflow passes `params`, which no model of ours has."""
        import pyarrow as pa

        from trimtab.training.model import predict

        return predict(self.folder, pa.Table.from_pandas(rows, preserve_index=False))


def _load_pyfunc(path: str) -> Predictor:
    """MLflow's entry point for `loader_module`."""
    return Predictor(Path(path))
