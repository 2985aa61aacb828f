"""The port `Monitor` as a client of the monitor's own process, asked over HTTP with a bearer secret or token."""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from trimtab.errors import Unavailable
from trimtab.events import aware
from trimtab.release import Agreement, Outcomes, PairedLosses
from trimtab.spec import Model

TIMEOUT_SECONDS = 3.0


class MonitorClient:
    """What the monitor knows, or `Unavailable` while it does not answer."""

    def __init__(self, url: str, secret: Callable[[], str]) -> None:
        """`url` is the monitor's root, `secret` reads the bearer secret."""
        self._url, self._secret = url, secret

    def watermark(self, model: Model) -> datetime | None:
        """The greatest accepted event time (data time), or None before the first event."""
        found = self.ask(model, "state").get("watermark")
        return aware(datetime.fromisoformat(found)) if found else None

    def paired(self, model: Model, champion: str, candidate: str, since: datetime) -> PairedLosses:
        """Losses of both versions on the same rows with matured labels and event times after `since`."""
        found = self.ask(model, "paired", champion=champion, candidate=candidate, since=since.isoformat())
        return msgspec.convert(found, PairedLosses)

    def agreement(self, model: Model, champion: str, candidate: str, since: datetime, difference: float) -> Agreement:
        """How both versions predicted the same rows with event times after `since`; numbers are alike within so many deviations."""
        asked = {"champion": champion, "candidate": candidate, "since": since.isoformat(), "difference": str(difference)}
        return msgspec.convert(self.ask(model, "agreement", **asked), Agreement)

    def outcomes(self, model: Model, champion: str, candidate: str, since: datetime) -> Outcomes:
        """What the matured labels say of both versions' callers, of rows with event times after `since`."""
        found = self.ask(model, "outcomes", champion=champion, candidate=candidate, since=since.isoformat())
        return msgspec.convert(found, Outcomes)

    def open_quality(self, model: Model) -> list[str]:
        """A sentence for each open quality finding."""
        found: list[str] = self.ask(model, "state").get("openQuality", [])
        return found

    def ask(self, model: Model, what: str, **query: str) -> Any:
        """The JSON answer of one of the monitor's questions about a model."""
        body = self.read(f"/models/{model.metadata.namespace}/{model.name}/{what}?{urllib.parse.urlencode(query)}", what)
        try:
            found = json.loads(body)
        except ValueError as error:
            msg = f"the monitor did not answer {what!r}: {error}"
            raise Unavailable(msg) from error
        if not isinstance(found, (dict, list)):
            msg = f"the monitor did not answer {what!r}: whoever listens at {self._url} is no monitor"
            raise Unavailable(msg)
        return found

    def read(self, path: str, what: str, timeout: float = TIMEOUT_SECONDS) -> bytes:
        """The body of the monitor's answer at a path; `what` names it in a sentence."""
        try:
            request = urllib.request.Request(self._url + path, headers={"authorization": f"Bearer {self._secret()}"})  # noqa: S310 - our own
            with urllib.request.urlopen(request, timeout=timeout) as answer:  # noqa: S310
                found: bytes = answer.read()
        except urllib.error.HTTPError as error:
            msg = f"the monitor did not answer {what!r}: {error.code}: {_sentence(error)}"
            raise Unavailable(msg) from error
        except (OSError, urllib.error.URLError, ValueError) as error:
            msg = f"the monitor did not answer {what!r}: {error}"
            raise Unavailable(msg) from error
        return found


def _sentence(error: urllib.error.HTTPError) -> str:
    """What the monitor says of its refusal."""
    with error:
        try:
            return str(json.loads(error.read(4096))["error"])
        except (OSError, ValueError, LookupError, TypeError):
            return error.reason
