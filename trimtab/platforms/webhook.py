"""A webhook that is told events: CloudEvents 1.0, structured mode, one HTTP POST each, with a bearer token that is read anew each time.

TLS is verified and redirects are not followed. What the receiver answers is not read but for its status.
"""

import http.client
import json
import logging
import random
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from trimtab.control.notices import of_finding
from trimtab.errors import InvalidInput, TrimtabError, Unavailable
from trimtab.events import STRUCTURED, CloudEvent, structured

log = logging.getLogger("trimtab.notifications")

TIMEOUT_SECONDS = 10.0
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 300.0
REFUSED_SECONDS = 3600.0
"""How long an event is offered that the receiver refuses, before the ones after it get their turn."""
_THIS_EVENT = (400, 413, 415, 422)
"""Refusals that speak of the event; all others (a token, an address) may be mended at the receiver."""
_LATER = (408, 429)


class Refused(InvalidInput):
    """The receiver does not want the event; `for_good` where it would not want it later either."""

    def __init__(self, sentence: str, *, for_good: bool) -> None:
        super().__init__(sentence)
        self.for_good = for_good


class Webhook:
    """Where events are posted to."""

    def __init__(self, url: str, token_file: Path | None = None) -> None:
        """`token_file` holds the bearer token, if there is one; raises InvalidInput where `url` is no address."""
        try:
            parts = urlsplit(url)
            usable = parts.scheme in ("http", "https") and parts.hostname and parts.username is None and parts.port != 0
        except ValueError:
            usable = False
        if not usable:
            msg = "the webhook's address cannot be used; http:// or https:// and a host is allowed, and a token apart from it"
            raise InvalidInput(msg)
        self._url, self._token_file = url, token_file
        self._opener = urllib.request.build_opener(_Stay, urllib.request.HTTPSHandler(context=ssl.create_default_context()))

    def post(self, event: CloudEvent) -> None:
        """Deliver the event; raises Refused (3xx, 4xx), or Unavailable where the same may work later."""
        headers = {"Content-Type": f"{STRUCTURED}; charset=utf-8", "User-Agent": "trimtab"}
        if token := self._token():
            headers["Authorization"] = f"Bearer {token}"
        body = json.dumps(structured(event)).encode()
        request = urllib.request.Request(self._url, body, headers, method="POST")  # noqa: S310 - the scheme was looked at
        try:
            with self._opener.open(request, timeout=TIMEOUT_SECONDS):
                return
        except urllib.error.HTTPError as error:
            status = error.code
            error.close()
        except (OSError, http.client.HTTPException, ValueError) as error:
            msg = f"the webhook does not answer: {getattr(error, 'reason', None) or error or type(error).__name__}"
            raise Unavailable(msg) from error
        if status >= 500 or status in _LATER:
            msg = f"the webhook does not take events now: it answers {status}"
            raise Unavailable(msg)
        what = "redirects, which are not followed:" if status < 400 else "refuses:"
        msg = f"the webhook {what} it answers {status}"
        raise Refused(msg, for_good=status in _THIS_EVENT)

    def _token(self) -> str:
        try:
            return self._token_file.read_text().strip() if self._token_file else ""
        except (OSError, UnicodeError) as error:
            msg = f"the webhook's token cannot be read: {error}"
            raise Unavailable(msg) from error


class Pause:
    """How long to leave in peace who did not answer: twice as long each time, at most five minutes, and never just as long."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._times, self._until = clock, 0, 0.0

    @property
    def left(self) -> float:
        """Seconds until it may be tried again; 0 for now."""
        return max(0.0, self._until - self._clock())

    def failed(self) -> float:
        """Note a failure; returns the seconds that follow."""
        most = min(FIRST_PAUSE * 2.0 ** min(self._times, 30), LONGEST_PAUSE)
        self._times += 1
        self._until = self._clock() + most * random.uniform(0.5, 1.0)  # noqa: S311 - spreads the tries
        return self.left

    def over(self) -> None:
        """It answered."""
        self._times, self._until = 0, 0.0


def _forget(_: str) -> None:
    return None


class Delivery:
    """Offers events to one receiver; `trouble` is why it has not got what it should have, empty where it has."""

    def __init__(
        self, post: Callable[[CloudEvent], None], counted: Callable[[str], None] = _forget, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`post` raises Refused or Unavailable. `counted` hears `delivered`, `failed` (a try), or `skipped` (given up)."""
        self._post, self._counted, self._clock = post, counted, clock
        self._refused: dict[str, float] = {}
        self.trouble = ""

    def offer(self, event: CloudEvent) -> None:
        """Deliver it, or give it up for good; raises Refused or Unavailable where it is to be offered again."""
        try:
            self._post(event)
        except (Refused, Unavailable) as error:
            if not self._gives_up(event, error):
                self._counted("failed")
                if str(error) != self.trouble:
                    log.warning("events wait: %s", error)
                self.trouble = str(error)
                raise
            log.error("the event %s (%s of %s) is given up: %s", event.id, event.type, event.subject, error)  # noqa: TRY400 - it says all
            self._counted("skipped")
        else:
            self._counted("delivered")
            self.trouble = ""
        self._refused.pop(event.id, None)

    def _gives_up(self, event: CloudEvent, error: TrimtabError) -> bool:
        if not isinstance(error, Refused):
            return False
        first = self._refused.setdefault(event.id, self._clock())
        return error.for_good or self._clock() - first >= REFUSED_SECONDS


class Pager:
    """Tells the findings that page and lead to nothing that a chain would hold: the monitor's `page`."""

    def __init__(self, delivery: Delivery, clock: Callable[[], float] = time.monotonic) -> None:
        self._delivery, self._pause = delivery, Pause(clock)

    def __call__(self, event: CloudEvent) -> bool:
        """Whether the finding was told, or is none to be told; False: later."""
        told = of_finding(event)
        if told is None:
            return True
        if self._pause.left:
            return False
        try:
            self._delivery.offer(told)
        except TrimtabError:
            self._pause.failed()
            return False
        self._pause.over()
        return True


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Nowhere: a redirect is an answer like any other."""
        return
