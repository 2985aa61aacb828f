"""kopf's watches feed the cache and wake the work queue; nothing else of kopf is used, so that it puts no finalizer on anything.

kopf runs in a thread with an event loop of its own. When it ends for want of an API server it is started again; lists at intervals
find what no watch told.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

import kopf

from trimtab.errors import TrimtabError
from trimtab.platforms.kubernetes.api import Api
from trimtab.platforms.kubernetes.cache import Cache, Key, key_of
from trimtab.platforms.kubernetes.resources import Resource

log = logging.getLogger(__name__)

RESYNC_SECONDS = 300.0
RETRY_SECONDS = 2.0
Woken = Callable[[Resource, dict[str, Any]], None]


class Watching:
    """Keeps a cache as the API server tells, and calls `woken` with each object that changed or vanished."""

    def __init__(self, api: Api, cache: Cache, namespaces: Sequence[str], woken: Woken) -> None:
        """`namespaces` empty: the whole cluster."""
        self._api, self._cache, self._namespaces, self._woken = api, cache, tuple(namespaces), woken
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """List everything once (raises Unavailable where that fails), then watch."""
        self.resync()
        for name, target in (("watches", self._watch), ("resync", self._resync_for_ever)):
            thread = threading.Thread(target=target, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Let the watches end."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(timeout=3.0)

    def resync(self) -> None:
        """Compare the cache with fresh lists, and tell what differs."""
        for resource in self._cache.watched:
            before = {key_of(item): item for item in self._cache.list(resource)}
            found = [item for namespace in self._namespaces or ("",) for item in self._api.list(resource, namespace)]
            gone: set[Key] = self._cache.fill(resource, found, before)
            for key in gone:
                self._woken(resource, before[key])
            for item in found:
                if before.get(key_of(item)) != item:
                    self._woken(resource, item)

    def _resync_for_ever(self) -> None:
        while not self._stopping.wait(RESYNC_SECONDS):
            self._catch_up()

    def told(self, resource: Resource, kind: str | None, item: dict[str, Any]) -> None:
        """One event of a watch."""
        if kind == "DELETED":
            self._cache.drop(resource, item)
            self._woken(resource, item)
        elif self._cache.put(resource, item):
            self._woken(resource, item)

    def _watch(self) -> None:
        while not self._stopping.is_set():
            try:
                asyncio.run(self._operate())
            except Exception as error:  # whatever ends the watches, they begin again
                log.warning("the watches broke off and begin again: %s", type(error).__name__)
            if not self._stopping.wait(RETRY_SECONDS):
                self._catch_up()

    def _catch_up(self) -> None:
        try:
            self.resync()
        except TrimtabError as error:
            log.warning("the lists could not be compared: %s", error)

    async def _operate(self) -> None:
        registry, settings = kopf.OperatorRegistry(), kopf.OperatorSettings()
        settings.posting.enabled = False
        settings.scanning.disabled = True
        settings.watching.server_timeout = 270
        settings.watching.client_timeout = 300
        settings.networking.error_backoffs = [1, 1, 2, 2, 3]
        kopf.on.login(registry=registry)(_login)
        for resource in self._cache.watched:
            kopf.on.event(resource.group, resource.version, resource.plural, registry=registry, id=resource.plural)(self._handler(resource))
        stop = asyncio.Event()
        stopper = asyncio.create_task(self._await_stop(stop))
        try:
            await kopf.operator(
                registry=registry,
                settings=settings,
                standalone=True,
                clusterwide=not self._namespaces,
                namespaces=self._namespaces,
                stop_flag=stop,
            )
        finally:
            stopper.cancel()

    async def _await_stop(self, stop: asyncio.Event) -> None:
        while not self._stopping.is_set():
            await asyncio.sleep(0.2)
        stop.set()

    def _handler(self, resource: Resource) -> Callable[..., Any]:
        async def handle(event: Any, **_: Any) -> None:
            self.told(resource, event["type"], dict(event["object"]))

        return handle


def _login(**kwargs: Any) -> Any:
    return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)
