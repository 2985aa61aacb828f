"""gRPC beside REST: KServe's own server takes a call, which then goes the way of the same V2 request, as JSON.

So there is one place where requests are checked, limited, counted and captured. Copying a tensor into JSON costs a fraction of what gRPC
itself costs in Python, and a call by gRPC is no faster than one by REST anyway.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import msgspec
import numpy as np
from grpc import StatusCode
from grpc_interceptor.exceptions import GrpcException, InvalidArgument

from serving.predictor import lean
from serving.predictor.asgi import JSON, App, Message
from serving.predictor.front import ASSIGNED_HEADER, CAPTURE_HEADER, ID_HEADER
from serving.predictor.limits import AHEAD, ARRIVED, TIMEOUT_HEADER, WHOLE

# A header that ends in -bin has bytes, and none of these does.
_PASSED = frozenset(name.decode() for name in (ASSIGNED_HEADER, CAPTURE_HEADER, ID_HEADER, TIMEOUT_HEADER))
_CODES = {
    HTTPStatus.BAD_REQUEST: StatusCode.INVALID_ARGUMENT,
    HTTPStatus.NOT_FOUND: StatusCode.NOT_FOUND,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: StatusCode.INVALID_ARGUMENT,
    HTTPStatus.TOO_MANY_REQUESTS: StatusCode.RESOURCE_EXHAUSTED,
    HTTPStatus.SERVICE_UNAVAILABLE: StatusCode.UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT: StatusCode.DEADLINE_EXCEEDED,
}


def over(app: App, name: str, unit: str = "") -> Callable[[Any, Any], Awaitable[Any]]:
    """KServe's `Model.predict` (its InferRequest and headers in, its InferResponse out) that asks `app` for the model `name`.

    `unit` is the header that says who asked, where one does.
    """
    types = lean.kserve("protocol.infer_type")
    path = f"/v2/models/{name}"
    passed = _PASSED | {unit}
    in_flight = 0

    async def predict(call: Any, headers: Any) -> Any:
        nonlocal in_flight
        asked = f"{path}/versions/{call.model_version}/infer" if call.model_version else f"{path}/infer"
        body = _body(call, types.to_http_parameters(call.parameters or {}))
        ahead, in_flight = in_flight, in_flight + 1
        try:
            given = {name: value for name, value in (headers or {}).items() if name in passed}
            status, content = await _answer(app, asked, body, ahead, given)
        finally:
            in_flight -= 1
        found = msgspec.json.decode(content)
        if status != HTTPStatus.OK:
            raise GrpcException(status_code=_CODES.get(HTTPStatus(status), StatusCode.INTERNAL), details=found["error"])
        outputs = [types.InferOutput(one["name"], one["shape"], one["datatype"], one["data"]) for one in found["outputs"]]
        return types.InferResponse(found["id"], name, outputs, found["model_version"], parameters=found.get("parameters"))

    return predict


def _body(call: Any, parameters: dict[str, Any]) -> bytes:
    """The call as the body of a V2 request: NaN is a missing value; raises INVALID_ARGUMENT where a tensor is not as its header says."""
    inputs = []
    for one in call.inputs:
        try:
            values = one.as_numpy()
            data = [text.decode() if isinstance(text, bytes) else text for text in values.ravel().tolist()]
        except Exception as error:
            found = f"{one.datatype} of shape {list(one.shape)}"
            msg = f"input {one.name!r:.60}: its data is not {found:.60}"
            raise InvalidArgument(msg) from error
        if values.dtype.kind == "f" and np.isinf(values).any():
            msg = f"input {one.name!r:.60}: found an infinite number, a finite one or NaN (missing) is allowed"
            raise InvalidArgument(msg)
        inputs.append({"name": one.name, "shape": list(one.shape), "datatype": one.datatype, "data": data})
    outputs = [{"name": one.name} for one in call.request_outputs or ()]
    more = {"id": call.id or None, "parameters": parameters or None, "outputs": outputs}
    return msgspec.json.encode({"inputs": inputs, **{name: value for name, value in more.items() if value}})


async def _answer(app: App, path: str, body: bytes, ahead: int, headers: dict[str, str]) -> tuple[int, bytes]:
    """Status and content of what `app` answers to the request."""
    given = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope: dict[str, Any] = {"type": "http", "method": "POST", "path": path, "headers": [(b"content-type", JSON), *given]}
    scope |= {ARRIVED: time.monotonic(), AHEAD: ahead, WHOLE: True}
    status, parts = 0, []
    asked = False

    async def receive() -> Message:
        nonlocal asked
        if asked:
            # A call that its caller gives up is cancelled as a whole.
            await asyncio.get_running_loop().create_future()
        asked = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status
        status = message.get("status", status)
        parts.append(message.get("body", b""))

    await app(scope, receive, send)
    return status, b"".join(parts)
