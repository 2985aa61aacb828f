"""The other servers of the serving bench: the same booster behind what a team would otherwise write or install.

Each is given what it takes natively, which is less JSON than Trimtab's thirty named tensors (stock KServe is given those too),
and XGBoost on one thread, which is the fastest setting for it.
`python -m tests.bench.serving_rivals kserve|fastapi PORT FOLDER` runs the two that are written here.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct

ROOT = Path(__file__).resolve().parents[2]
MLSERVER = ROOT / "build" / "bench" / "mlserver"
MLSERVER_PACKAGES = (["mlserver==1.7.1", "xgboost-cpu==3.2.0", "scikit-learn==1.9.*"], ["--no-deps", "mlserver-xgboost==1.7.1"])


class Rival(Struct, frozen=True):
    """How to start one (`{port}` is filled in), where it says that it is ready, where it is asked, and in which form."""

    name: str
    command: list[str]
    ready: str
    path: str
    form: str
    where: Path
    environment: dict[str, str] = {}


def body(form: str, rows: np.ndarray[Any, Any], names: list[str]) -> bytes:
    """The rows as `named` (V2, a tensor a feature), `tensor` (V2, one), `objects` (V1, by name), `instances` (V1) or `inputs` (MLflow)."""
    content: dict[str, Any]
    if form == "named":
        tensors = [
            {"name": name, "shape": [len(rows)], "datatype": "FP64", "data": rows[:, place].tolist()} for place, name in enumerate(names)
        ]
        content = {"inputs": tensors}
    elif form == "tensor":
        content = {"inputs": [{"name": "x", "shape": list(rows.shape), "datatype": "FP64", "data": rows.ravel().tolist()}]}
    elif form == "objects":
        content = {"instances": [dict(zip(names, row, strict=True)) for row in rows.tolist()]}
    else:
        content = {form: rows.tolist()}
    return json.dumps(content, separators=(",", ":")).encode()


def answered(form: str, content: Any) -> list[float]:
    """The predictions in an answer."""
    found: list[float] = content["outputs"][0]["data"] if form in ("named", "tensor") else content["predictions"]
    return found


def rivals(folder: Path, scratch: Path, uv: Path, only: str) -> list[Rival]:
    """All whose name has `only` in it and that can be run here; `folder` holds model.json.

    MLServer gets an environment of its own, for its pins are others.
    """
    own = [sys.executable, "-m", "tests.bench.serving_rivals"]
    kserve, v2 = [*own, "kserve", "{port}", str(folder)], ("/v2/models/m/ready", "/v2/models/m/infer")
    here = [
        Rival("kserve-named", kserve, *v2, "named", ROOT),
        Rival("kserve-v1", kserve, "/v1/models/m", "/v1/models/m:predict", "instances", ROOT),
        Rival("kserve-v2", kserve, *v2, "tensor", ROOT),
        Rival("fastapi", [*own, "fastapi", "{port}", str(folder)], "/ready", "/predict", "instances", ROOT),
    ]
    found = [rival for rival in here if only in rival.name]
    if only in "mlflow":
        found.append(_mlflow(folder, scratch))
    if only in "mlserver" and _installed(uv):
        found.append(_mlserver(folder, scratch))
    return found


def _mlflow(folder: Path, scratch: Path) -> Rival:
    import mlflow.xgboost
    import xgboost

    booster = xgboost.Booster({"nthread": 1}, model_file=folder / "model.json")
    mlflow.xgboost.save_model(booster, scratch / "mlflow", model_format="json", pip_requirements=["xgboost-cpu"])
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", str(scratch / "mlflow"), "--env-manager", "local"]
    environment = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "MLFLOW_DISABLE_TELEMETRY": "true"}
    return Rival("mlflow", [*command, "--port", "{port}", "--workers", "1"], "/ping", "/invocations", "inputs", scratch, environment)


def _installed(uv: Path) -> bool:
    """Whether MLServer's environment is there, made now where it is not; False where its packages cannot be had."""
    python = MLSERVER / "bin" / "python"
    if (MLSERVER / "bin" / "mlserver").exists():
        return True
    steps = [[str(uv), "venv", "--quiet", "--clear", "--python", sys.executable, str(MLSERVER)]]
    steps += [
        [str(uv), "pip", "install", "--quiet", "--python", str(python), "--only-binary", ":all:", *part] for part in MLSERVER_PACKAGES
    ]
    try:
        for step in steps:
            subprocess.run(step, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"MLServer is left out: {error}", file=sys.stderr)
        return False
    return True


def _mlserver(folder: Path, scratch: Path) -> Rival:
    where = scratch / "mlserver"
    where.mkdir()
    model = {"name": "m", "implementation": "mlserver_xgboost.XGBoostModel", "parameters": {"uri": str(folder / "model.json")}}
    (where / "model-settings.json").write_text(json.dumps(model))
    # Without its pool of processes, which would cost a small model more than it gives.
    settings = {"http_port": "{port}", "parallel_workers": 0, "debug": False}
    environment = {f"MLSERVER_{key.upper()}": str(value) for key, value in settings.items()}
    environment |= {"MLSERVER_GRPC_PORT": "{other}", "MLSERVER_METRICS_PORT": "{third}", "OMP_NUM_THREADS": "1"}
    return Rival(
        "mlserver",
        [str(MLSERVER / "bin" / "mlserver"), "start", str(where)],
        "/v2/models/m/ready",
        "/v2/models/m/infer",
        "tensor",
        where,
        environment,
    )


def _kserve(port: int, folder: Path) -> None:
    """A custom model as KServe's documentation shows it, predicting as KServe's own XGBoost server does; its defaults throughout."""
    import kserve
    import xgboost
    from kserve.utils.utils import get_predict_response

    class Custom(kserve.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__("m")
            self.booster = xgboost.Booster({"nthread": 1}, model_file=folder / "model.json")
            self.ready = True

        def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:  # noqa: ARG002
            if isinstance(payload, dict):
                rows = np.array(payload["instances"])
            elif len(payload.inputs) == 1:
                rows = payload.inputs[0].as_numpy()
            else:
                rows = np.column_stack([tensor.as_numpy() for tensor in payload.inputs])
            return get_predict_response(payload, self.booster.predict(xgboost.DMatrix(rows, nthread=1)), self.name)

    kserve.ModelServer(http_port=port, enable_grpc=False).start([Custom()])


def _fastapi(port: int, folder: Path) -> None:
    """FastAPI on uvicorn with uvloop and httptools, the body a Pydantic model, and XGBoost's own in-place prediction."""
    import fastapi
    import pydantic
    import uvicorn
    import xgboost

    booster = xgboost.Booster({"nthread": 1}, model_file=folder / "model.json")
    app = fastapi.FastAPI()

    class Body(pydantic.BaseModel):
        instances: list[list[float]]

    async def predict(body: Body) -> dict[str, list[float]]:
        return {"predictions": booster.inplace_predict(np.array(body.instances, dtype=np.float32)).tolist()}

    async def ready() -> bool:
        return True

    app.post("/predict")(predict)
    app.get("/ready")(ready)
    uvicorn.run(app, host="127.0.0.1", port=port, access_log=False)


if __name__ == "__main__":
    {"kserve": _kserve, "fastapi": _fastapi}[sys.argv[1]](int(sys.argv[2]), Path(sys.argv[3]))
