"""A tiny real model folder, a monitor that can be down, and small HTTP helpers for the serving tests."""

import http.client
import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import xgboost as xgb

from trimtab.events import CloudEvent, parse
from trimtab.manifest import write_manifest
from trimtab.schema import Feature, Metrics, Schema, encode

SCHEMA = Schema(
    "regression",
    "demand",
    (Feature("hour", "number"), Feature("temp", "number"), Feature("season", "category", ("fall", "spring", "summer"))),
    key="hour_id",
    time="timestamp",
)
ROW = {"hour": 7, "temp": 21.5, "season": "summer"}
SECRET = "a-secret"


def table(rows: int = 300, seed: int = 0) -> pd.DataFrame:
    """Rows with nulls in a number and in a category."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "hour": rng.integers(0, 24, rows),
            "temp": rng.normal(15, 8, rows),
            "season": rng.choice(["fall", "spring", "summer"], rows),
            "timestamp": pd.date_range("2011-01-01", periods=rows, freq="h", tz="UTC"),
            "hour_id": np.arange(rows),
        }
    )
    frame.loc[::20, "temp"] = np.nan
    frame.loc[::33, "season"] = None
    frame["demand"] = frame.hour * 3 + frame.temp.fillna(10) + (frame.season == "summer") * 20
    return frame


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The features as a caller sends them."""
    part = frame[SCHEMA.names].astype(object)
    rows: list[dict[str, Any]] = part.where(part.notna(), None).to_dict("records")
    return rows


def matrix(rows: list[dict[str, Any]]) -> xgb.DMatrix:
    """The rows as training sees them."""
    return xgb.DMatrix(np.array(encode(SCHEMA, rows)), feature_names=SCHEMA.names, feature_types=["q", "q", "c"], enable_categorical=True)


def tiny_model(folder: Path, shift: float = 0.0) -> str:
    """Train and write a version into `folder`; returns its digest. `shift` is added to every label."""
    folder.mkdir(parents=True)
    frame = table()
    data = matrix(records(frame))
    data.set_label(frame.demand + shift)
    booster = xgb.train({"nthread": 1, "max_depth": 3}, data, 20)
    booster.save_model(folder / "model.json")
    frame["__prediction"] = booster.predict(data)
    frame["__holdout"] = False
    return finish(folder, SCHEMA, frame)


def finish(folder: Path, schema: Schema, frame: pd.DataFrame) -> str:
    """Write what goes beside a model, and the manifest."""
    frame.to_parquet(folder / "reference.parquet", index=False)
    (folder / "schema.json").write_bytes(msgspec.json.encode(schema))
    (folder / "metrics.json").write_bytes(msgspec.json.encode(Metrics({"rmse": 1.0}, "rmse", 1.0, len(frame), 50)))
    return write_manifest(folder)


def until(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    """Wait for a condition to hold; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)
    return found


def call(
    port: int, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, timeout: float = 10.0
) -> tuple[int, dict[str, str], Any]:
    """One HTTP request to 127.0.0.1; the answer's JSON (or text). Raises OSError where nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request(method, path, body if isinstance(body, bytes | None) else json.dumps(body), headers or {})
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    found = {name.lower(): value for name, value in answer.getheaders()}
    return answer.status, found, json.loads(content) if content[:1] in (b"{", b"[") else content.decode()


def answers(port: int, path: str) -> bool:
    """Whether a GET is answered with 200."""
    try:
        return call(port, "GET", path)[0] == 200
    except OSError:
        return False


class TinyMonitor:
    """A monitor's `/events`; `status` is what it answers, `refuse` may turn single batches away."""

    def __init__(self, port: int = 0) -> None:
        self.events: list[CloudEvent] = []
        self.batches: list[int] = []
        self.status = 202
        self.refuse: Callable[[list[CloudEvent]], bool] = lambda _: False
        monitor = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status = monitor.status if self.headers["authorization"] == f"Bearer {SECRET}" else 401
                if status == 202:
                    found = parse(dict(self.headers), body)
                    if monitor.refuse(found):
                        status = 413
                    else:
                        monitor.batches.append(len(found))
                        monitor.events.extend(found)
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/events"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
