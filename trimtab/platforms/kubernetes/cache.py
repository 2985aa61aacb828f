"""What the watches have told, so that a look at a fleet costs no request.

A cache may be behind; that is safe because statuses are written by compare-and-swap, names are taken atomically, and adapters ask
the API server itself before they act on the *absence* of something. A kind that nobody watches is read from the API server.
"""

import threading
from collections.abc import Iterable
from typing import Any

from trimtab.platforms.kubernetes.api import Reader
from trimtab.platforms.kubernetes.resources import Resource

Key = tuple[str, str]
_REMEMBERED = 1000
"""Of so many deleted objects a late answer or list does not make one live again."""


class Cache:
    """A `Reader` over watched kinds, in front of another one for the rest; all methods may be called from any thread."""

    def __init__(self, behind: Reader, watched: Iterable[Resource]) -> None:
        """Nothing is known before `fill`."""
        self._behind = behind
        self._lock = threading.Lock()
        self._known: dict[Resource, dict[Key, dict[str, Any]]] = {resource: {} for resource in watched}
        self._dropped: dict[str, None] = {}

    @property
    def watched(self) -> tuple[Resource, ...]:
        """The kinds that are kept here."""
        return tuple(self._known)

    def get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any] | None:
        """The object as it was told last, None where there is none."""
        if resource not in self._known:
            return self._behind.get(resource, namespace, name)
        with self._lock:
            return self._known[resource].get((namespace, name))

    def list(self, resource: Resource, namespace: str = "", labels: str = "") -> list[dict[str, Any]]:
        """The objects of a namespace (empty: of all) with the labels, given as `name=value,…`."""
        if resource not in self._known:
            return self._behind.list(resource, namespace, labels)
        wanted = dict(part.split("=", 1) for part in labels.split(",") if part)
        with self._lock:
            found = list(self._known[resource].values())
        return [
            item
            for item in found
            if (not namespace or item["metadata"].get("namespace") == namespace)
            and wanted.items() <= item["metadata"].get("labels", {}).items()
        ]

    def fill(self, resource: Resource, items: Iterable[dict[str, Any]], before: Iterable[Key] | None = None) -> set[Key]:
        """Replace all that is known of a kind by a fresh list; returns the names of what vanished unnoticed.

        `before` are the names that were known when the list was asked for: what came since is kept though the list lacks it.
        """
        with self._lock:
            fresh = {key_of(item): item for item in items if item["metadata"].get("uid") not in self._dropped}
            known = self._known[resource]
            gone = (known.keys() if before is None else known.keys() & set(before)) - fresh.keys()
            kept = {key: item for key, item in known.items() if key not in gone and key not in fresh}
            self._known[resource] = kept | {key: _newer(known.get(key), item) for key, item in fresh.items()}
        return gone

    def put(self, resource: Resource, item: dict[str, Any]) -> bool:
        """Keep what a watch or a write of ours told, unless something newer is known; returns whether it was news."""
        with self._lock:
            known = self._known.get(resource)
            if known is None or item["metadata"].get("uid") in self._dropped:
                return False
            before = known.get(key_of(item))
            known[key_of(item)] = _newer(before, item)
            return known[key_of(item)] is item and before != item

    def drop(self, resource: Resource, item: dict[str, Any]) -> None:
        """Forget what was deleted, unless another object of that name is known by now."""
        with self._lock:
            known = self._known.get(resource, {})
            before = known.get(key_of(item))
            self._dropped[item["metadata"].get("uid", "")] = None
            for uid in list(self._dropped)[:-_REMEMBERED]:
                del self._dropped[uid]
            if before and before["metadata"].get("uid") == item["metadata"].get("uid"):
                del known[key_of(item)]


def key_of(item: dict[str, Any]) -> Key:
    """The object's namespace and name."""
    return item["metadata"].get("namespace", ""), item["metadata"]["name"]


def _newer(one: dict[str, Any] | None, other: dict[str, Any]) -> dict[str, Any]:
    """The newer of two states of an object: resource versions are numbers that grow (Kubernetes API concepts)."""
    if one is None or one["metadata"].get("uid") != other["metadata"].get("uid"):
        return other
    return one if _version(one) > _version(other) else other


def _version(item: dict[str, Any]) -> int:
    text = item["metadata"].get("resourceVersion", "0")
    return int(text) if text.isdigit() else 0
