"""Leaving without losing a request: readiness fails first, and the server goes on answering until nobody sends any more.

When a pod is ended, its address stays in Envoy's lists for a moment, and connections that Envoy holds open may carry one more
request at any time. So after SIGTERM the server answers as before for some seconds, says that it is not ready, and asks with each
answer that the connection be closed; then it stops listening. Without this, each request of that moment is a 503.
"""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any

from serving.predictor.asgi import App, Message, Receive, Send, refusal, respond

log = logging.getLogger("trimtab.predictor")

Handler = Callable[[int, FrameType | None], None]


class Draining:
    """An ASGI application before `front`, which costs nothing until `leaving`."""

    def __init__(self, front: App, name: str, version: str) -> None:
        self.leaving = False
        self._front = front
        model = f"/v2/models/{name}"
        self._ready = ("/v2/health/ready", f"{model}/ready", f"{model}/versions/{version}/ready", f"/v1/models/{name}")
        self._stopping = refusal(503, f"version {version!r} of {name!r} is stopping")

    def __call__(self, scope: Message, receive: Receive, send: Send) -> Awaitable[None]:
        """ASGI 3.0."""
        return self._last(scope, receive, send) if self.leaving else self._front(scope, receive, send)

    async def _last(self, scope: Message, receive: Receive, send: Send) -> None:
        async def closing(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
            await send(message)

        if scope["type"] == "http" and scope["path"] in self._ready:
            await respond(closing, self._stopping)
        else:
            await self._front(scope, receive, closing)


def exit_after(seconds: float, draining: Draining, leave: Handler) -> Handler:
    """A signal handler that begins the draining on SIGTERM and calls `leave` after `seconds`; a second signal, or SIGINT, leaves at once.

    Must be made inside the running event loop.
    """
    loop = asyncio.get_running_loop()

    def handle(number: int, frame: FrameType | None) -> None:
        if seconds <= 0 or draining.leaving or number != signal.SIGTERM:
            leave(number, frame)
            return
        draining.leaving = True
        loop.call_soon_threadsafe(loop.call_later, seconds, leave, number, None)

    return handle


def answer_sigterm_before_serving() -> None:
    """While a version loads there is nothing to drain: end at once. The first process of a container ignores what it does not handle."""

    def end(*_: Any) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, end)
