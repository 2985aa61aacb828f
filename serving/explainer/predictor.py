"""The predictor that is explained, asked over HTTP as by any caller, one call at a time, within a request's budget."""

import http.client
import time
from collections.abc import Callable
from typing import Any

import msgspec

from serving.explaining import TooLarge
from serving.predictor.front import CAPTURE_HEADER, VERSION_HEADER
from serving.predictor.protocol import Predictions, Row
from trimtab.errors import InvalidInput, Unavailable

CALL_SECONDS = 10.0
_REFUSED = (400, 413, 422)


class Budget:
    """What one request for explanations may cost: calls of the predictor, and seconds from now."""

    def __init__(self, calls: int, seconds: float) -> None:
        self._calls = self._left = calls
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def spend(self) -> None:
        """One call; raises TooLarge where there is none left, or no time."""
        if self._left <= 0 or time.monotonic() >= self._end:
            msg = (
                f"the explanations need more than a request's budget of {self._calls} calls of the predictor and {self._seconds:g} s: "
                "send fewer rows, or raise the explainer's budget"
            )
            raise TooLarge(msg)
        self._left -= 1


class Predictor:
    """The version `version` of `name` at `host` (HOST or HOST:PORT); `called` hears of each call."""

    def __init__(self, host: str, name: str, version: str, called: Callable[[], None]) -> None:
        self._host = host
        self._path = f"/v1/models/{name}:predict"
        self._version = version
        self._called = called
        self._connection: http.client.HTTPConnection | None = None

    def predict(self, rows: list[Row], budget: Budget) -> Predictions:
        """The predictions, which the monitor does not hear of: the rows are made up.

        Raises InvalidInput where the predictor refuses a row, Unavailable where it does not answer or is another version, TooLarge
        where the budget is spent.
        """
        budget.spend()
        self._called()
        status, version, body = self._post(msgspec.json.encode({"instances": rows}))
        found = _decoded(body)
        if status in _REFUSED:
            raise InvalidInput(str(found.get("error", f"the predictor answered {status}")))
        if status != 200:
            msg = f"the predictor at {self._host} answered {status}: {str(found.get('error', ''))[:200]}"
            raise Unavailable(msg)
        if version != self._version:
            msg = f"the predictor at {self._host} serves version {version!r}, this explainer knows version {self._version!r}"
            raise Unavailable(msg)
        predictions = found.get("predictions")
        if not isinstance(predictions, list) or len(predictions) != len(rows):
            msg = f"the predictor at {self._host} gave no prediction for each of {len(rows)} rows"
            raise Unavailable(msg)
        return predictions

    def _post(self, body: bytes) -> tuple[int, str | None, bytes]:
        """Status, version and body; a connection that the predictor has closed meanwhile is made anew, once."""
        kept = self._connection is not None
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection(self._host, timeout=CALL_SECONDS)
            headers = {"Content-Type": "application/json", CAPTURE_HEADER.decode(): "off"}
            self._connection.request("POST", self._path, body, headers)
            answer = self._connection.getresponse()
            return answer.status, answer.getheader(VERSION_HEADER.decode()), answer.read()
        except (OSError, http.client.HTTPException) as error:
            if self._connection is not None:
                self._connection.close()
            self._connection = None
            if kept and not isinstance(error, TimeoutError):
                return self._post(body)
            msg = f"the predictor at {self._host} does not answer: {type(error).__name__}"
            raise Unavailable(msg) from error


def _decoded(body: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return {}
    return found if isinstance(found, dict) else {}
