"""The ASGI front of KServe's application: takes the two inference calls itself and leaves all else to KServe.

KServe's own routes parse twice, log three lines and copy tensors through Python lists for each request; they also have no
limit for a body and no place for capture. Health, readiness, metadata and metrics stay KServe's.
"""

import asyncio
import logging
import os
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

from msgspec import Struct

from serving.predictor.asgi import JSON, Answer, App, Message, Receive, Send, refusal, respond
from serving.predictor.bodies import Read
from serving.predictor.capture import Capture
from serving.predictor.limits import AHEAD, ARRIVED, WHOLE, Limits
from serving.predictor.metrics import Answers
from serving.predictor.protocol import Call, Predictions, answer_v1, answer_v2
from serving.predictor.scorer import ModelFailed, Scorer
from trimtab.errors import InvalidInput

log = logging.getLogger("trimtab.predictor")

MAX_BODY_BYTES = 8 << 20
# What the requests that wait for a thread may hold in all.
MAX_WAITING_BYTES = 64 << 20
RETRY_AFTER = (b"retry-after", b"1")
VERSION_HEADER = b"x-trimtab-version"
CAPTURE_HEADER = b"x-trimtab-capture"
ID_HEADER = b"ce-id"
COPY_SUFFIX = b"-shadow"
# Set by the gateway where it chose the version by the caller: who comes another way is in no test.
ASSIGNED_HEADER = b"x-trimtab-assigned"
BINARY_HEADER = b"inference-header-content-length"
TYPES = ("application/json", "application/octet-stream")


class Served(Struct, frozen=True):
    """What the front serves, within which limits, and who hears of it."""

    name: str
    version: str
    scorer: Scorer
    capture: Capture | None
    answers: Answers
    limits: Limits = Limits()
    namespace: str = ""


class Gone(Exception):
    """The caller went away: nobody waits for the answer."""


class Front:
    """An ASGI application before `behind`, KServe's own."""

    def __init__(self, served: Served, behind: App) -> None:
        self._served = served
        self._behind = behind
        self._v1 = f"/v1/models/{served.name}:predict"
        self._v2 = (f"/v2/models/{served.name}/infer", f"/v2/models/{served.name}/versions/{served.version}/infer")
        self._calls = frozenset((self._v1, *self._v2))
        self._threads = ThreadPoolExecutor(len(os.sched_getaffinity(0)), "score")
        self._waiting_bytes = 0
        self._unit = b"" if served.capture is None else served.capture.unit

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """ASGI 3.0."""
        if scope["type"] != "http" or scope["path"] not in self._calls:
            await self._behind(scope, receive, send)
            return
        arrived = scope.get(ARRIVED) or time.monotonic()
        try:
            answer = await self._answer(scope, receive, arrived)
        except Gone:
            self._served.answers.gone()
            return
        self._served.answers.answered(answer.status, time.monotonic() - arrived)
        await respond(send, answer, (VERSION_HEADER, self._served.version.encode()))

    def close(self) -> None:
        """Wait for the calls that threads have begun; nothing else may begin."""
        self._threads.shutdown(cancel_futures=True)

    async def _answer(self, scope: Message, receive: Receive, arrived: float) -> Answer:
        if scope["method"] != "POST":
            return refusal(405, f"found the method {scope['method']}, POST is allowed here", (b"allow", b"POST"))
        limits = self._served.limits
        if scope.get(AHEAD, 0) >= limits.in_flight:
            return _overload(f"{limits.in_flight} requests are being answered already")
        headers = dict(scope["headers"])
        seconds = limits.allowed(headers)
        until = arrived + seconds
        try:
            left = _left(until)
            body = await (read_body(receive) if WHOLE in scope else asyncio.wait_for(read_body(receive), left))
            return await self._infer(scope["path"] != self._v1, headers, body, receive, arrived, until)
        except TimeoutError:
            return refusal(504, f"no answer within {seconds:g} s: send fewer rows a request, or ask again when there is less to do")

    async def _infer(self, v2: bool, headers: dict[bytes, bytes], body: bytes, receive: Receive, arrived: float, until: float) -> Answer:
        if refused := not_taken(headers, body):
            return refused
        served = self._served
        predictions: Predictions | None = None
        try:
            call = served.scorer.read(v2, body)
            if len(call.instances) > served.scorer.inline_rows and self._waiting_bytes + len(body) > MAX_WAITING_BYTES:
                return _overload(f"the requests that wait hold {MAX_WAITING_BYTES >> 20} MiB already")
            predictions = await self._predict(call, len(body), receive, until)
            if v2:
                content = answer_v2(predictions, served.name, served.version, call.id or uuid.uuid4().hex, call.parameters)
            else:
                content = answer_v1(predictions)
            answer = Answer(200, content)
        except InvalidInput as error:
            return refusal(400, str(error))
        except ModelFailed as error:
            log.warning("a request failed: %s", error)
            answer = refusal(500, f"version {served.version!r} of {served.name!r}: {error}")
        if predictions is not None:
            served.answers.predicted(predictions)
        capture = None if headers.get(CAPTURE_HEADER) == b"off" else served.capture
        if capture is not None and not is_copy(headers.get(b"host", b""), served.namespace):
            answered = None if predictions is None else answer.content
            unit = headers.get(self._unit, b"") if self._unit and ASSIGNED_HEADER in headers else b""
            capture.take(v2, body, answered, arrived, headers.get(ID_HEADER, b""), unit)
        return answer

    async def _predict(self, call: Call | Read, size: int, receive: Receive, until: float) -> Predictions:
        """Small calls at once; others in a thread, and not begun if the time is up or the caller has gone before their turn."""
        scorer = self._served.scorer
        left = _left(until)
        if len(call.instances) <= scorer.inline_rows:
            return scorer.predict(call.instances)
        job = self._threads.submit(scorer.predict, call.instances)
        work = asyncio.wrap_future(job)
        gone = asyncio.ensure_future(_gone(receive))
        self._waiting_bytes += size
        try:
            await asyncio.wait((work, gone), timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                raise Gone
            if not work.done():
                raise TimeoutError
            return work.result()
        finally:
            self._waiting_bytes -= size
            job.cancel()
            work.cancel()
            gone.cancel()


def is_copy(host: bytes, namespace: str) -> bool:
    """Whether a gateway copied a request to this host from one that another version answers: nobody gets this answer, so it tells nothing.

    Envoy appends `-shadow` to the host of a copy. A host that ends so by itself is a Service in a namespace of such a name.
    """
    name = host.partition(b":")[0]
    return name.endswith(COPY_SUFFIX) and name.rpartition(b".")[2] != namespace.encode()


def _left(until: float) -> float:
    """The seconds until then; raises TimeoutError where there are none."""
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


async def read_body(receive: Receive) -> bytes:
    """The request's body, cut one byte after the limit (the rest is read and forgotten); raises Gone."""
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        if size <= MAX_BODY_BYTES:
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
        if not message.get("more_body", False):
            return b"".join(chunks)[: MAX_BODY_BYTES + 1]


async def _gone(receive: Receive) -> None:
    """Returns when the caller has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


def not_taken(headers: dict[bytes, bytes], body: bytes) -> Answer | None:
    """The refusal of a body that is too large (413) or of another kind than JSON (415); None where it is neither."""
    if len(body) > MAX_BODY_BYTES:
        return refusal(413, f"the request's body is larger than {MAX_BODY_BYTES >> 20} MiB: send fewer rows a request")
    unsupported = _unsupported(headers)
    return refusal(415, unsupported) if unsupported else None


def _unsupported(headers: dict[bytes, bytes]) -> str:
    """The sentence on a body that is no plain JSON by its own headers; empty where it is. No content type at all is taken as JSON."""
    if BINARY_HEADER in headers:
        return "binary tensors are not taken: send the tensors' data as JSON"
    encoding = headers.get(b"content-encoding", b"identity")
    if encoding != b"identity":
        return f"found the content encoding {encoding.decode('latin-1')!r:.60}, none is allowed"
    given = headers.get(b"content-type", JSON).decode("latin-1")
    media = given.partition(";")[0].strip().lower()
    if media not in TYPES and not media.endswith("+json"):
        return f"found the content type {given!r:.60}, application/json is allowed"
    return ""


def _overload(found: str) -> Answer:
    return refusal(429, f"{found}: ask again in {RETRY_AFTER[1].decode()} s", RETRY_AFTER)
