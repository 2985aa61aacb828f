"""Small HTTP servers that stand for versions, and callers that keep a gateway busy."""

import http.client
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PATH = "/v1/models/bike:predict"


class Upstream:
    """A version that answers each request after `delay` seconds with `status`."""

    def __init__(self, port: int = 0) -> None:
        self.delay = 0.0
        self.status = 200
        self.headers: list[dict[str, str]] = []
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("content-length", 0)))
                upstream.headers.append({name.lower(): value for name, value in self.headers.items()})
                time.sleep(upstream.delay)
                self.send_response(upstream.status)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, *_: Any) -> None:
                pass

        self._server = Server(("127.0.0.1", port), Handler)
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def ask(port: int, path: str = PATH, headers: dict[str, str] | None = None, body: bytes = b"{}") -> tuple[int, str]:
    """The status and the version of one answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=15)
    try:
        connection.request("POST", path, body, headers or {})
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.getheader("x-trimtab-version", "")
    finally:
        connection.close()


class Load:
    """Callers that ask without a break, each over one connection; `answers` counts (status, version)."""

    def __init__(self, port: int, callers: int = 3, body: bytes = b"{}") -> None:
        self.answers: Counter[tuple[int, str]] = Counter()
        self.callers = callers
        self._port = port
        self._body = body
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(callers)]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> "Load":
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    @property
    def failed(self) -> dict[tuple[int, str], int]:
        with self._lock:
            return {key: count for key, count in self.answers.items() if key[0] != 200}

    @property
    def total(self) -> int:
        with self._lock:
            return self.answers.total()

    def _run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=15)
        while not self._end.is_set():
            try:
                connection.request("POST", PATH, self._body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                answer.read()
                key = (answer.status, answer.getheader("x-trimtab-version", ""))
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                key = (0, type(error).__name__)
            with self._lock:
                self.answers[key] += 1
            time.sleep(0.002)
        connection.close()
