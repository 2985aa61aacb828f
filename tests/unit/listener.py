"""A small HTTP server that keeps what it was sent and answers as it is told."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Listener:
    """`heard` has path, headers and body of each request; each is answered with `said` and `status`, or what `choose` says to its body."""

    def __init__(self, status: int, said: bytes = b"", port: int = 0) -> None:
        self.status, self.said, self.heard = status, said, list[tuple[str, dict[str, str], bytes]]()
        self.choose: Callable[[bytes], int] = lambda _: self.status
        self.headers: dict[str, str] = {}
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                listener.heard.append((self.path, dict(self.headers), body))
                self.send_response(listener.choose(body))
                for name, value in listener.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(listener.said)))
                self.end_headers()
                self.wfile.write(listener.said)

            do_GET = do_POST = _answer  # noqa: N815 - the base class's names

            def log_message(self, *_: Any) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@contextmanager
def listening(status: int, said: bytes = b"", port: int = 0) -> Iterator[Listener]:
    """A Listener that is there inside."""
    found = Listener(status, said, port)
    thread = threading.Thread(target=found.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        found.server.shutdown()
        found.server.server_close()
        thread.join()
