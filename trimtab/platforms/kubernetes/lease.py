"""One controller at a time: a Lease that is renewed, and a fence that every write asks.

As in client-go, another holder's lease counts as expired when it has not *changed* for its duration on our own clock, so that
clocks need not agree. The fence closes before the lease does: a controller that was frozen or cut off writes nothing afterwards.

The Lease is part of the installation and is never made here: it goes with the installation, and a controller that is still ending
then has no right to bring it back.
"""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from trimtab.errors import Conflict, TrimtabError, Unavailable
from trimtab.platforms.kubernetes.api import Api
from trimtab.platforms.kubernetes.resources import LEASES

log = logging.getLogger(__name__)

DURATION_SECONDS = 15
RENEW_SECONDS = 3.0
FENCE_SECONDS = 10.0


class Lease:
    """A Lease in the controller's own namespace. `identity` must be another one at each start (a pod's name and a random part)."""

    def __init__(self, api: Api, namespace: str, name: str, identity: str, clock: Callable[[], float] = time.monotonic) -> None:
        """`api` must have no fence of its own; nothing is asked yet."""
        self._api, self._namespace, self._name, self._identity, self._clock = api, namespace, name, identity, clock
        self._renewed: float | None = None
        self._seen: tuple[Any, float] = (None, 0.0)
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def held(self) -> bool:
        """Whether the lease was renewed lately enough to write."""
        return self._renewed is not None and self._clock() - self._renewed < FENCE_SECONDS

    def fence(self) -> None:
        """Raise Unavailable unless the lease is held."""
        if not self.held:
            msg = f"this controller does not hold the Lease {self._namespace}/{self._name}: nothing is written"
            raise Unavailable(msg)

    def start(self) -> None:
        """Renew, or try to take the lease, every three seconds in a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop renewing and give the lease away, so that the next controller need not wait."""
        self._stopped.set()
        if self._thread:
            self._thread.join(timeout=RENEW_SECONDS)
        if self.held:
            try:
                if body := self._api.get(LEASES, self._namespace, self._name):
                    self._write(body, holder="")
            except TrimtabError as error:
                log.info("the Lease was not given away: %s", error)
        self._renewed = None

    def _run(self) -> None:
        while not self._stopped.is_set():
            self.renew()
            self._stopped.wait(RENEW_SECONDS)

    def renew(self) -> bool:
        """Take or renew the lease; returns whether that worked."""
        asked = self._clock()
        try:
            body = self._api.get(LEASES, self._namespace, self._name)
            if body is None:
                log.warning("there is no Lease %s/%s: it is part of the installation, install it anew", self._namespace, self._name)
                return False
            if self._others(body.get("spec") or {}):
                return False
            self._write(body, self._identity)
        except Conflict:
            return False
        except TrimtabError as error:
            log.warning("the Lease cannot be renewed: %s", error)
            return False
        if not self.held:
            log.info("the Lease %s/%s is ours", self._namespace, self._name)
        self._renewed = asked
        return True

    def _others(self, spec: dict[str, Any]) -> bool:
        """Whether somebody else holds it: their lease has changed within its duration, as far as we have seen."""
        holder = spec.get("holderIdentity") or ""
        if holder in ("", self._identity):
            return False
        state = (holder, spec.get("renewTime"))
        if self._seen[0] != state:
            self._seen = (state, self._clock())
        return self._clock() - self._seen[1] < float(spec.get("leaseDurationSeconds") or DURATION_SECONDS)

    def _write(self, body: dict[str, Any], holder: str) -> None:
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        spec = {"holderIdentity": holder, "leaseDurationSeconds": DURATION_SECONDS, "renewTime": now}
        patch = {"metadata": {"resourceVersion": body["metadata"]["resourceVersion"]}, "spec": spec}
        self._api.merge(LEASES, self._namespace, self._name, patch)
