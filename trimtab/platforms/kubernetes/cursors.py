"""How far the webhook was told, in a ConfigMap that is installed with the webhook: a number for each namespace.

Not on the AuditEntries, which never change, nor on the Lease, whose holder must not be kept from renewing it. The ConfigMap is never made
here: an installation without a webhook has none, and one that gets a webhook again begins anew.
"""

from datetime import datetime

from trimtab.errors import Unavailable
from trimtab.platforms.kubernetes.api import Api
from trimtab.platforms.kubernetes.resources import CONFIG_MAPS

BEGAN = "began.at"
"""No namespace is called so: their names have no dots."""


class ConfigMapCursors:
    """The cursors of an installation, in one ConfigMap of its own namespace."""

    def __init__(self, api: Api, namespace: str, name: str) -> None:
        """Nothing is asked yet."""
        self._api, self._namespace, self._name = api, namespace, name

    def began(self, otherwise: datetime) -> datetime:
        """Since when there is a notifier, which is kept; `otherwise` where there was none before."""
        known = _moment(self._data().get(BEGAN))
        if known is None:
            self._write({BEGAN: otherwise.isoformat()})
        return known or otherwise

    def all(self) -> dict[str, int]:
        """By namespace the number of the last record that was told of."""
        return {name: int(number) for name, number in self._data().items() if number.isdecimal()}

    def move(self, namespace: str, sequence: int) -> None:
        """Keep a cursor."""
        self._write({namespace: str(sequence)})

    def _data(self) -> dict[str, str]:
        body = self._api.get(CONFIG_MAPS, self._namespace, self._name)
        if body is None:
            raise Unavailable(self._missing())
        return body.get("data") or {}

    def _write(self, data: dict[str, str]) -> None:
        if self._api.merge(CONFIG_MAPS, self._namespace, self._name, {"data": data}) is None:
            raise Unavailable(self._missing())

    def _missing(self) -> str:
        return f"there is no ConfigMap {self._namespace}/{self._name}: it is part of an installation with a webhook, install it anew"


def _moment(text: str | None) -> datetime | None:
    try:
        found = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return found if found and found.tzinfo else None
