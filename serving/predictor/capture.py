"""Capture: each request and its answer become two CloudEvents, sent off the request path, and nothing is lost uncounted.

The request path only appends to a bounded queue; one thread encodes and sends. While the monitor is down events wait,
and the oldest are dropped, counted, when the bound is reached: captured = sent + dropped + queued at any time.
"""

import http.client
import logging
import threading
import time
import urllib.parse
import uuid
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from serving.predictor.protocol import Predictions, Row
from trimtab.events import BATCH, REQUEST, RESPONSE

log = logging.getLogger("trimtab.capture")

BATCH_EVENTS = 200
BATCH_BYTES = 1 << 20
QUEUE_BYTES = 64 << 20
LINGER_SECONDS = 0.2
TIMEOUT_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 2.0
REFUSED = (400, 413, 415, 422)


class Exchange(Struct, frozen=True):
    """A request's rows and, unless it failed, its predictions; `size` is the request's length in bytes."""

    id: str
    time: datetime
    rows: list[Row]
    predictions: Predictions | None
    size: int

    @property
    def events(self) -> int:
        """How many events the exchange becomes."""
        return 1 if self.predictions is None else 2


class Identity(Struct, frozen=True):
    """Whose requests these are; goes into each event."""

    name: str
    namespace: str
    version: str


def events_of(exchange: Exchange, who: Identity) -> list[dict[str, Any]]:
    """The exchange as KServe's own logger would tell it, as CloudEvents in JSON format.

    Request and response share one id; a failed request has no response.
    """
    common = {
        "specversion": "1.0",
        "id": exchange.id,
        "source": f"http://{who.name}.{who.namespace}",
        "time": exchange.time,
        "datacontenttype": "application/json",
        "inferenceservicename": who.name,
        "namespace": who.namespace,
        "component": "predictor",
        "endpoint": "",
        "trimtabversion": who.version,
    }
    request = {**common, "type": REQUEST, "data": {"instances": exchange.rows}}
    if exchange.predictions is None:
        return [request]
    return [request, {**common, "type": RESPONSE, "data": {"predictions": exchange.predictions}}]


class Counts(Struct, frozen=True):
    """Events since the start; captured = sent + dropped + queued. `failures` counts sendings that were not taken, not events."""

    captured: int
    sent: int
    dropped: int
    queued: int
    failures: int


class Capture:
    """The bounded queue and the thread that empties it into `url` (http or https).

    The secret is read from its file at each sending, for a ServiceAccount's token is replaced by a new one every hour. A monitor that
    refuses it (401, 403) is asked again as one that is down: rights may be granted later.
    """

    def __init__(self, url: str, secret_file: Path, who: Identity, bound: int = 10_000) -> None:
        self._url = urllib.parse.urlsplit(url)
        self._secret_file = secret_file
        self._who = who
        self._bound = bound
        self._queue: deque[Exchange] = deque()
        self._bytes = 0
        self._captured = self._sent = self._dropped = self._queued = self._failures = 0
        self._changed = threading.Condition()
        self._closing: float | None = None
        self._connection: http.client.HTTPConnection | None = None
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)
        self._thread.start()

    def take(self, rows: list[Row], predictions: Predictions | None, size: int, given: str = "") -> None:
        """Queue one exchange (`size`: the request's bytes). Never waits for the monitor.

        `given` is the caller's own event id, if it gave one, as KServe's logger keeps it: a request asked twice then counts once.
        """
        exchange = Exchange(given or uuid.uuid4().hex, datetime.now(UTC), rows, predictions, size)
        with self._changed:
            self._queue.append(exchange)
            self._captured += exchange.events
            self._queued += exchange.events
            self._bytes += size
            while self._queue and (self._queued > self._bound or self._bytes > QUEUE_BYTES):
                self._drop(self._pop())
            if len(self._queue) == 1 or self._queued >= BATCH_EVENTS:
                self._changed.notify()

    def counts(self) -> Counts:
        """The counters, all of one moment."""
        with self._changed:
            return Counts(self._captured, self._sent, self._dropped, self._queued, self._failures)

    def close(self, seconds: float) -> None:
        """Send what is queued for at most `seconds`, then drop the rest and end the thread."""
        with self._changed:
            self._closing = time.monotonic() + seconds
            self._changed.notify()
        self._thread.join(seconds + 0.5)
        with self._changed:
            while self._queue:
                self._drop(self._pop())
        counts = self.counts()
        if counts.dropped:
            log.warning("%d of %d captured events were dropped", counts.dropped, counts.captured)

    def _pop(self) -> Exchange:
        exchange = self._queue.popleft()
        self._bytes -= exchange.size
        return exchange

    def _drop(self, exchange: Exchange) -> None:
        self._dropped += exchange.events
        self._queued -= exchange.events

    def _run(self) -> None:
        while True:
            batch = self._next()
            if batch:
                self._deliver(batch)
            elif self._closing is not None:
                return

    def _next(self) -> list[Exchange]:
        """The next batch; waits until there is a full one or the oldest has lingered, and for the end of everything."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closing is not None)
            self._changed.wait_for(lambda: self._queued >= BATCH_EVENTS or self._closing is not None, LINGER_SECONDS)
            batch: list[Exchange] = []
            events = size = 0
            while self._queue:
                first = self._queue[0]
                if events + first.events > BATCH_EVENTS or (batch and size + first.size > BATCH_BYTES):
                    break
                exchange = self._pop()
                events, size = events + exchange.events, size + exchange.size
                batch.append(exchange)
            return batch

    def _deliver(self, batch: list[Exchange]) -> None:
        """Send until it is taken; a batch that is refused for good is halved until the refused exchange stands alone and is dropped."""
        try:
            body = msgspec.json.encode([event for exchange in batch for event in events_of(exchange, self._who)])
        except Exception as error:  # what a caller nested too deep must not end the thread
            if len(batch) > 1:
                self._halve(batch)
            else:
                self._give_up(batch, f"it cannot be encoded ({type(error).__name__})")
            return
        pause = 0.1
        while True:
            status = self._post(body)
            if status is not None and 200 <= status < 300:
                with self._changed:
                    count = sum(exchange.events for exchange in batch)
                    self._sent += count
                    self._queued -= count
                return
            with self._changed:
                self._failures += 1
            if status in REFUSED and len(batch) > 1:
                self._halve(batch)
                return
            late = self._closing is not None and time.monotonic() + pause > self._closing
            if status in REFUSED or late:
                self._give_up(batch, f"the monitor answered {status or 'nothing'}")
                return
            if pause == LONGEST_PAUSE_SECONDS:
                log.warning("the monitor takes no events (%s); %d wait", status or "no answer", self.counts().queued)
            with self._changed:
                self._changed.wait_for(lambda: self._closing is not None, pause)
            pause = 0.1 if self._closing is not None else min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _halve(self, batch: list[Exchange]) -> None:
        self._deliver(batch[: len(batch) // 2])
        self._deliver(batch[len(batch) // 2 :])

    def _give_up(self, batch: list[Exchange], why: str) -> None:
        log.warning("%d captured exchanges were dropped: %s", len(batch), why)
        with self._changed:
            for exchange in batch:
                self._drop(exchange)

    def _connect(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._url.scheme == "https" else http.client.HTTPConnection
        return kind(self._url.hostname or "", self._url.port, timeout=TIMEOUT_SECONDS)

    def _post(self, body: bytes) -> int | None:
        """The answer's status, or None where there was no answer."""
        try:
            if self._connection is None:
                self._connection = self._connect()
            secret = self._secret_file.read_text().strip()
            headers = {"Content-Type": BATCH, "Authorization": f"Bearer {secret}"}
            self._connection.request("POST", self._url.path or "/", body, headers)
            answer = self._connection.getresponse()
            answer.read()
            return answer.status
        except (OSError, http.client.HTTPException) as error:
            log.info("the monitor did not answer: %s", type(error).__name__)
            if self._connection is not None:
                self._connection.close()
            self._connection = None
            return None
