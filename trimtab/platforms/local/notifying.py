"""The webhook of a state folder: its token's file, and the notifier that follows the folder's audit records."""

import os

from trimtab.platforms.local.cursors import SqliteCursors
from trimtab.platforms.local.ledger import SqliteLedger
from trimtab.platforms.local.state import State
from trimtab.platforms.notifier import Notifier
from trimtab.platforms.webhook import Delivery, Pager, Webhook

TOKEN_VARIABLE = "TRIMTAB_NOTIFY_TOKEN"  # noqa: S105 - its name


def keep_token(state: State) -> None:
    """Write the bearer token of the environment, if there is one, where the processes that need it read it."""
    state.keep_notify_token(os.environ.pop(TOKEN_VARIABLE, ""))


def webhook(state: State, url: str) -> Webhook:
    """The webhook; raises InvalidInput where `url` is no address."""
    return Webhook(url, state.notify_token)


def notifier(state: State, url: str) -> Notifier | None:
    """Follows the folder's chains once it is started; without a `url` None, and what is decided from now on is never told."""
    cursors = SqliteCursors(state.database)
    if not url:
        cursors.forget()
        cursors.close()
        return None
    return Notifier(SqliteLedger(state.database), cursors, Delivery(webhook(state, url).post))


def pager(state: State, url: str) -> Pager | None:
    """Tells the monitor's findings of broken data; None without a `url`."""
    return Pager(Delivery(webhook(state, url).post)) if url else None
