"""The ASGI front of KServe's application: takes the two inference calls itself and leaves all else to KServe.

KServe's own routes parse twice, log three lines and copy tensors through Python lists for each request; they also have no
limit for a body and no place for capture. Health, readiness, metadata and metrics stay KServe's.
"""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec
from msgspec import Struct

from serving.predictor.capture import Capture
from serving.predictor.protocol import Call, Predictions, answer_v1, answer_v2, parse_v1, parse_v2
from serving.predictor.scorer import ModelFailed, Scorer
from trimtab.errors import InvalidInput

log = logging.getLogger("trimtab.predictor")

MAX_BODY_BYTES = 8 << 20
VERSION_HEADER = b"x-trimtab-version"
CAPTURE_HEADER = b"x-trimtab-capture"
ID_HEADER = b"ce-id"
BINARY_HEADER = b"inference-header-content-length"

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class Served(Struct, frozen=True):
    """What the front serves, and who hears of it: `count` gets each answer's status code."""

    name: str
    version: str
    scorer: Scorer
    capture: Capture | None
    count: Callable[[int], None]


class Front:
    """An ASGI application before `behind`, KServe's own."""

    def __init__(self, served: Served, behind: App) -> None:
        self._served = served
        self._behind = behind
        self._v1 = f"/v1/models/{served.name}:predict"
        self._v2 = f"/v2/models/{served.name}/infer"

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """ASGI 3.0."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] not in (self._v1, self._v2):
            await self._behind(scope, receive, send)
            return
        body = await read_body(receive)
        if body is None:
            return
        status, content = await self._answer(scope["path"] == self._v2, dict(scope["headers"]), body)
        self._served.count(status)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(content)).encode()),
            (VERSION_HEADER, self._served.version.encode()),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    async def _answer(self, v2: bool, headers: dict[bytes, bytes], body: bytes) -> tuple[int, bytes]:
        if len(body) > MAX_BODY_BYTES:
            return 413, error_body(f"the request's body is larger than {MAX_BODY_BYTES >> 20} MiB: send fewer rows a request")
        served = self._served
        try:
            if BINARY_HEADER in headers:
                msg = "binary tensors are not taken: send the tensors' data as JSON"
                raise InvalidInput(msg)
            call = parse_v2(body) if v2 else parse_v1(body)
        except InvalidInput as error:
            return 400, error_body(str(error))
        predictions: Predictions | None = None
        try:
            predictions = await self._predict(call)
            content = answer_v2(predictions, served.name, served.version, call.id or uuid.uuid4().hex) if v2 else answer_v1(predictions)
            status = 200
        except InvalidInput as error:
            return 400, error_body(str(error))
        except ModelFailed as error:
            log.warning("a request failed: %s", error)
            status, content = 500, error_body(f"version {served.version!r} of {served.name!r}: {error}")
        if served.capture is not None and headers.get(CAPTURE_HEADER) != b"off":
            served.capture.take(call.instances, predictions, len(body), headers.get(ID_HEADER, b"").decode("latin-1"))
        return status, content

    async def _predict(self, call: Call) -> Predictions:
        scorer = self._served.scorer
        if len(call.instances) <= scorer.inline_rows:
            return scorer.predict(call.instances)
        return await asyncio.to_thread(scorer.predict, call.instances)


async def read_body(receive: Receive) -> bytes | None:
    """The request's body, cut one byte after the limit (the rest is read and forgotten); None where the caller went away."""
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        if size <= MAX_BODY_BYTES:
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
        if not message.get("more_body", False):
            return b"".join(chunks)[: MAX_BODY_BYTES + 1]


def error_body(sentence: str) -> bytes:
    """The body of an answer that is no success."""
    return msgspec.json.encode({"error": sentence})
