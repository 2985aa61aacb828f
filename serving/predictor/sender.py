"""Batches of captured events to the monitor, over one connection that is kept open."""

import http.client
import logging
import urllib.parse
from collections.abc import Sequence
from enum import Enum
from pathlib import Path

from serving.predictor.exchange import Encoded
from trimtab.events import BATCH

log = logging.getLogger("trimtab.capture")

TIMEOUT_SECONDS = 5.0
# The kernel takes so much at once, during which nobody else gets the processor.
SLICE_BYTES = 1 << 14
_REFUSED = (400, 413, 415, 422)


class Answer(Enum):
    """What came of a sending. What is refused for good will be refused again; everything else may pass later."""

    TAKEN = "taken"
    REFUSED = "refused"
    LATER = "later"


class Sender:
    """Posts to `url` (http or https).

    The secret is read from its file at each sending, for a ServiceAccount's token is replaced by a new one every hour. A monitor that
    refuses it (401, 403) is asked again as one that is down: rights may be granted later. For one thread.
    """

    def __init__(self, url: str, secret_file: Path) -> None:
        self._url = urllib.parse.urlsplit(url)
        self._secret_file = secret_file
        self._connection: http.client.HTTPConnection | None = None

    def send(self, batch: Sequence[Encoded]) -> Answer:
        """Send the exchanges as one batch; waits for at most five seconds without a word from the monitor."""
        status = self._post(b"[" + b",".join(one.body for one in batch) + b"]")
        if status is not None and 200 <= status < 300:
            return Answer.TAKEN
        log.info("the monitor answered %s", status or "nothing")
        return Answer.REFUSED if status in _REFUSED else Answer.LATER

    def _post(self, body: bytes) -> int | None:
        """The answer's status, or None where there was no answer."""
        try:
            if self._connection is None:
                kind = http.client.HTTPSConnection if self._url.scheme == "https" else http.client.HTTPConnection
                self._connection = kind(self._url.hostname or "", self._url.port, timeout=TIMEOUT_SECONDS)
            secret = self._secret_file.read_text().strip()
            headers = {"Content-Type": BATCH, "Authorization": f"Bearer {secret}", "Content-Length": str(len(body))}
            view = memoryview(body)
            slices = (view[at : at + SLICE_BYTES] for at in range(0, len(body), SLICE_BYTES))
            self._connection.request("POST", self._url.path or "/", slices, headers)
            answer = self._connection.getresponse()
            answer.read()
            return answer.status
        except (OSError, http.client.HTTPException) as error:
            log.info("the monitor did not answer: %s", type(error).__name__)
            if self._connection is not None:
                self._connection.close()
            self._connection = None
            return None
