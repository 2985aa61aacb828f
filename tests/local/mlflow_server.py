"""A real `mlflow server` with proxied artifacts, one version registered in it by our own steps, and a line to it that can break."""

import contextlib
import os
import socket
import socketserver
import subprocess
import sys
import threading
from pathlib import Path

import msgspec

from tests.unit.serving.tiny import answers, until
from tests.unit.training.data import document, last, rows, spec, write
from trimtab.platforms.local.processes import free_port
from trimtab.release import CandidateOutcome, Outcome
from trimtab.spec import Version
from trimtab.training import steps
from trimtab.training.lineage import Facts


class MlflowServer:
    """`mlflow server` on SQLite and a folder; `home` is where its artifacts are."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "artifacts"
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        command += ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}", "--artifacts-destination", str(self.home)]
        environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with (folder / "mlflow.log").open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True, cwd=folder)
        until(lambda: self.process.poll() is not None or answers(self.port, "/health"), 180)
        assert self.process.poll() is None, (folder / "mlflow.log").read_text()

    def end(self) -> None:
        """Stop the server and the workers that it started."""
        os.killpg(self.process.pid, 15)
        try:
            self.process.wait(20)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, 9)


class Shop:
    """A toy candidate that went through the steps of the pipeline against the server, ready to be registered any number of times."""

    def __init__(self, folder: Path, server: MlflowServer) -> None:
        self.server = server
        self.folder = folder
        self.spec = spec(write(folder / "a.csv", rows()))
        self.dataset, self.model, self.evaluation = folder / "dataset", folder / "model", folder / "evaluation"
        text = document(self.spec)
        assert steps.ingest(text, last().isoformat(), "", server.uri, self.dataset) == "valid"
        steps.train(text, "", server.uri, 7, self.dataset, self.model)
        steps.evaluate(text, "", "", server.uri, 7, self.dataset, self.model, self.evaluation)

    def put(self, uid: str, name: str = "toy") -> Version:
        """Register the candidate for the Release `uid` by the register step."""
        out = self.folder / f"outcome-{uid}"
        facts = Facts(name, f"{name}-{uid}", uid, 1, last().isoformat())
        steps.register(document(self.spec), facts, "", self.server.uri, self.dataset, self.model, self.evaluation, out)
        outcome = msgspec.json.decode(out.read_bytes(), type=Outcome)
        assert isinstance(outcome, CandidateOutcome)
        return Version(outcome.version, outcome.digest)

    def file(self, run: str, name: str) -> Path:
        """A file of the version that the run made, where the server keeps it."""
        (found,) = self.server.home.glob(f"*/{run}/artifacts/model/{name}")
        return found


class Line:
    """A port that leads to another one while it is `up`; `cuts` says after how many bytes of answer the next connections break."""

    def __init__(self, to: int) -> None:
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.cuts: list[int] = []
        self.connections = 0
        self._to = to
        self._server: socketserver.ThreadingTCPServer | None = None
        self._open: set[socket.socket] = set()

    def up(self) -> None:
        """Connections are taken from now on."""
        line = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                line.connections += 1
                left = line.cuts.pop(0) if line.cuts else 1 << 40
                with socket.create_connection(("127.0.0.1", line._to)) as there:
                    line._open.add(self.request)
                    threading.Thread(target=_pump, args=(self.request, there, 1 << 40), daemon=True).start()
                    _pump(there, self.request, left)

        class Listener(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        self._server = Listener(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def down(self) -> None:
        """Connections are refused from now on, and those that are open end."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._open.clear()


def _pump(source: socket.socket, sink: socket.socket, limit: int) -> None:
    with contextlib.suppress(OSError):
        while limit > 0 and (chunk := source.recv(min(65536, limit))):
            sink.sendall(chunk)
            limit -= len(chunk)
        sink.shutdown(socket.SHUT_WR)
