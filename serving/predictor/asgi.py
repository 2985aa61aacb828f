"""The shapes of an ASGI 3.0 application (asgi.readthedocs.io), which the parts before KServe's own are, and how they answer."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NamedTuple

import msgspec

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

JSON = b"application/json"


class Answer(NamedTuple):
    """An HTTP answer."""

    status: int
    content: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()
    kind: bytes = JSON


def refusal(status: int, sentence: str, *headers: tuple[bytes, bytes]) -> Answer:
    """An answer that is no success: its body is one sentence."""
    return Answer(status, msgspec.json.encode({"error": sentence}), headers)


async def respond(send: Send, answer: Answer, *headers: tuple[bytes, bytes]) -> None:
    """Send the answer, with these headers beside its own."""
    common = [(b"content-type", answer.kind), (b"content-length", str(len(answer.content)).encode())]
    await send({"type": "http.response.start", "status": answer.status, "headers": [*common, *headers, *answer.headers]})
    await send({"type": "http.response.body", "body": answer.content})
