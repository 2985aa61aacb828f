"""The controller's own end-points: /metrics for Prometheus, /healthz and /readyz for the kubelet. They tell nothing of any payload."""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, generate_latest

Check = Callable[[], str]


class Numbers:
    """What the controller counts."""

    def __init__(self) -> None:
        """A registry of its own, so that a test may make two."""
        self.registry = CollectorRegistry()
        self.requests = Counter("trimtab_api_requests", "Requests to the API server", ["verb"], registry=self.registry)
        self.looks = Counter("trimtab_looks", "Looks at a Model and its Releases", registry=self.registry)
        self.decisions = Counter("trimtab_decisions", "Decisions about Releases", ["reason"], registry=self.registry)
        self.waiting = Gauge("trimtab_queue_depth", "Models that wait for a look", registry=self.registry)
        self.held = Gauge("trimtab_lease_held", "1 while this controller may write", registry=self.registry)
        self.models = Gauge("trimtab_models", "Models by readiness", ["ready"], registry=self.registry)
        self.releases = Gauge("trimtab_releases", "Releases by phase", ["phase"], registry=self.registry)
        self.problems = Gauge("trimtab_problems", "Objects that a person has to mend", registry=self.registry)
        self.refused = Counter("trimtab_statuses_refused", "Statuses that the API server did not take", ["kind"], registry=self.registry)
        self.notifications = Counter("trimtab_notifications", "Events offered to the webhook", ["result"], registry=self.registry)
        self.untold = Gauge("trimtab_notifications_behind", "Decisions that the webhook was not told of yet", registry=self.registry)

    def page(self) -> bytes:
        """Prometheus text."""
        return generate_latest(self.registry)


def serve(port: int, numbers: Numbers, healthy: Check, ready: Check) -> ThreadingHTTPServer:
    """Listen on all addresses; `healthy` and `ready` answer an empty text, or why not (503)."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, numbers.page(), CONTENT_TYPE_LATEST)
                return
            check = {"/healthz": healthy, "/readyz": ready}.get(self.path)
            if check is None:
                self._answer(404, b"known are /metrics, /healthz and /readyz\n")
                return
            fault = check()
            self._answer(503 if fault else 200, (fault or "ok").encode() + b"\n")

        def _answer(self, status: int, body: bytes, content: str = "text/plain; charset=utf-8") -> None:
            self.send_response(status)
            self.send_header("Content-Type", content)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Nothing: the kubelet asks every few seconds."""

    server = ThreadingHTTPServer(("0.0.0.0", port), Handler)  # noqa: S104 - in a pod
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="endpoints", daemon=True).start()
    return server
