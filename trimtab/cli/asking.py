"""A monitor as commands ask it: at its address, by a person's token."""

import os

from trimtab.errors import InvalidInput
from trimtab.platforms.monitor_client import MonitorClient

TOKEN = "TRIMTAB_TOKEN"  # noqa: S105 - where it is read from


def monitor_at(address: str) -> MonitorClient:
    """The monitor at `address`; when it is asked it raises InvalidInput where there is no token."""
    return MonitorClient(address.rstrip("/"), _token)


def _token() -> str:
    found = os.environ.get(TOKEN, "").strip()
    if not found:
        msg = (
            f"{TOKEN} is not set: `kubectl create token SERVICEACCOUNT --audience trimtab` makes one, on a laptop it is the state's secret"
        )
        raise InvalidInput(msg)
    return found
