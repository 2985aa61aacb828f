"""The route of explanations, before an application that knows nothing of them: V1 `:explain` and its V2 form `/explain`.

An explanation costs a hundred predictions and more, so it has a thread of its own beside the event loop, one request at a time and a
few that wait; whoever comes then is asked to come again. A refusal is a 4xx, never a 5xx: a canary is judged by its 5xx.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from serving.predictor.asgi import Answer, App, Message, Receive, Send, refusal, respond
from serving.predictor.front import RETRY_AFTER, VERSION_HEADER, Gone, not_taken, read_body
from serving.predictor.protocol import Call, Predictions, Row, parse_v1, parse_v2
from serving.predictor.scorer import ModelFailed
from trimtab.errors import InvalidInput, Unavailable

log = logging.getLogger("trimtab.explain")

MOST_WAITING = 4
OUTPUT = "explanation"

Reported = Callable[[int, float], None]
"""Hears of each answer's status code and of the seconds that it took."""


class TooLarge(InvalidInput):
    """More rows than one request may have explained (HTTP 413)."""


class Explained(Struct, frozen=True):
    """A prediction a row, as `:predict` gives it, and an explanation a row: an object that says its method, model and version."""

    predictions: Predictions
    explanations: list[dict[str, Any]]


class Explainer(Protocol):
    """Explains rows, for at most `most_rows` of them a request; called from one thread."""

    most_rows: int

    def explain(self, rows: list[Row]) -> Explained:
        """The rows explained; raises InvalidInput (400), TooLarge (413), Unavailable (503) or ModelFailed (500)."""


class Explaining:
    """An ASGI application before `behind`, which answers everything but explanations of the model `name`."""

    def __init__(self, name: str, version: str, explainer: Explainer, behind: App, report: Reported) -> None:
        self._name = name
        self._version = version
        self._explainer = explainer
        self._behind = behind
        self._report = report
        self._thread = ThreadPoolExecutor(1, "explain")
        self._inside = 0
        self._v1 = f"/v1/models/{name}:explain"
        self._v2 = f"/v2/models/{name}/explain"

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """ASGI 3.0."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] not in (self._v1, self._v2):
            await self._behind(scope, receive, send)
            return
        began = time.monotonic()
        try:
            body = await read_body(receive)
        except Gone:
            return
        answer = await self._answer(scope["path"] == self._v2, dict(scope["headers"]), body)
        self._report(answer.status, time.monotonic() - began)
        await respond(send, answer, (VERSION_HEADER, self._version.encode()))

    async def _answer(self, v2: bool, headers: dict[bytes, bytes], body: bytes) -> Answer:
        if refused := not_taken(headers, body):
            return refused
        if self._inside > MOST_WAITING:
            said = f"{self._inside} explanations are under way or wait already, at most {MOST_WAITING} wait: ask again later"
            return refusal(429, said, RETRY_AFTER)
        self._inside += 1
        try:
            return await self._explained(v2, body)
        finally:
            self._inside -= 1

    async def _explained(self, v2: bool, body: bytes) -> Answer:
        try:
            call = parse_v2(body, OUTPUT) if v2 else parse_v1(body)
            rows, most = len(call.instances), self._explainer.most_rows
            if rows > most:
                msg = f"the request has {rows} rows, at most {most} are explained at once: send fewer rows a request"
                raise TooLarge(msg)
            found = await asyncio.get_running_loop().run_in_executor(self._thread, self._explainer.explain, list(call.instances))
        except InvalidInput as error:
            return refusal(413 if isinstance(error, TooLarge) else 400, str(error))
        except Unavailable as error:
            return refusal(503, str(error), RETRY_AFTER)
        except ModelFailed as error:
            log.warning("an explanation failed: %s", error)
            return refusal(500, f"version {self._version!r} of {self._name!r}: {error}")
        return Answer(200, self._as_v2(call, found) if v2 else msgspec.json.encode(found))

    def _as_v2(self, call: Call, found: Explained) -> bytes:
        """As MLServer's alibi-explain runtime answers: one output `explanation`, a JSON text a row."""
        data = [msgspec.json.encode(row).decode() for row in found.explanations]
        output = {"name": OUTPUT, "shape": [len(data), 1], "datatype": "BYTES", "parameters": {"content_type": "str"}, "data": data}
        return msgspec.json.encode(
            {"model_name": self._name, "model_version": self._version, "id": call.id or uuid.uuid4().hex, "outputs": [output]}
        )


def counted(version: str) -> Reported:
    """Counts and times explanations in Prometheus' registry."""
    from prometheus_client import Counter, Histogram

    answers = Counter("trimtab_explanations", "Answers to requests for explanations, by status code", ["code", "version"])
    buckets = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
    seconds = Histogram("trimtab_explanation_seconds", "From a request for explanations to its answer", ["version"], buckets=buckets)

    def report(status: int, took: float) -> None:
        answers.labels(str(status), version).inc()
        seconds.labels(version).observe(took)

    return report
