"""What the monitor's two HTTP applications share: bodies with a limit, and errors as answers with a sentence."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

from trimtab.errors import InvalidInput, Unavailable
from trimtab.monitoring.gate import Forbidden, Unauthenticated
from trimtab.monitoring.monitor import UnknownModel
from trimtab.monitoring.reports.reading import UnknownWindow

SINGLE_LIMIT = 1 << 20
PATIENCE = 30.0
HANDLER = {"auto_decompress": False}
"""How aiohttp is to read requests: a compressed body is refused before a byte of it is unpacked."""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class TooLarge(InvalidInput):
    """A body above its limit."""


class Compressed(InvalidInput):
    """A body that is compressed."""


class BrokenOff(InvalidInput):
    """A body that did not come whole."""


_STATUS: tuple[tuple[type[Exception], int], ...] = (
    (Unauthenticated, 401),
    (Forbidden, 403),
    (UnknownModel, 404),
    (UnknownWindow, 404),
    (TooLarge, 413),
    (Compressed, 415),
    (BrokenOff, 408),
    (InvalidInput, 400),
    (Unavailable, 503),
)


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn errors into answers: what the sender can mend is a 4xx, what may work later a 503."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < web.HTTPBadRequest.status_code:
            raise
        return _failure(error.status, f"{request.method} {request.path}: {error.reason}")
    except (InvalidInput, Unavailable) as error:
        return _failure(next(status for kind, status in _STATUS if isinstance(error, kind)), str(error))


def _failure(status: int, sentence: str) -> web.Response:
    return web.json_response({"error": sentence}, status=status)


def as_json(value: Any) -> web.Response:
    """Any of our values as JSON."""
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")


async def limited(request: web.Request, limit: int, what: str, patience: float = PATIENCE) -> bytes:
    """The request's body; raises TooLarge above `limit` bytes, which are never all in memory, Compressed for what is not as it is.

    And BrokenOff where the sender goes, or takes longer than `patience` seconds.
    """
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        msg = f"the body of {what} may not be compressed, this one is {encoding[:40]!r}; send it as it is"
        raise Compressed(msg)
    received = bytearray()
    declared = request.content_length or 0
    try:
        async with asyncio.timeout(patience):
            while declared <= limit and len(received) <= limit:
                part = await request.content.readany()
                if not part:
                    return bytes(received)
                received += part
    except TimeoutError as error:
        msg = f"the body of {what} did not come whole within {patience:g} s"
        raise BrokenOff(msg) from error
    except (ConnectionError, aiohttp.ClientPayloadError, web.RequestPayloadError) as error:
        msg = f"the body of {what} broke off"
        raise BrokenOff(msg) from error
    msg = f"the body of {what} may have at most {limit:,} bytes, this one has {f'{declared:,}' if declared else 'more'}"
    raise TooLarge(msg)
