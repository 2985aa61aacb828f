"""Who may send what, and who may ask: the port, and the laptop's answer to it (one bearer secret for everything)."""

import hmac
from typing import Literal, Protocol

from msgspec import Struct

from trimtab.errors import InvalidInput
from trimtab.events import CANDIDATE, FINDING, NEW_DATA, CloudEvent
from trimtab.monitoring.ingest import model_id, model_of


class Unauthenticated(InvalidInput):
    """Nobody knows who asks (401)."""


class Forbidden(InvalidInput):
    """It is known who asks, and that they may not (403)."""


class Access(Struct, frozen=True):
    """What is asked for: `create` the `events` of a model, or `get` its `monitoring`.

    `model` is `namespace/name`; without a name all of the namespace, without either all there are.
    """

    verb: Literal["create", "get"]
    part: Literal["events", "monitoring"]
    model: str


class Caller(Struct, frozen=True):
    """Who asks. `key` tells callers apart without being a secret."""

    user: str = ""
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()
    key: str = ""


class Gate(Protocol):
    """Raises Unauthenticated, Forbidden, or Unavailable while neither can be said."""

    async def caller(self, authorization: str) -> Caller:
        """Who sent this `Authorization` header (empty: none was sent)."""

    async def check(self, caller: Caller, access: Access) -> None:
        """Return if the caller may."""

    async def close(self) -> None:
        """Let go of what is held."""


class SecretGate:
    """Whoever has the secret may do everything."""

    def __init__(self, secret: str) -> None:
        self._expected = f"Bearer {secret}".encode()

    async def caller(self, authorization: str) -> Caller:
        """Somebody, if the header holds the secret."""
        if not hmac.compare_digest(authorization.encode("utf-8", "surrogateescape"), self._expected):
            msg = 'the header "Authorization: Bearer <secret>" is missing or its secret is wrong'
            raise Unauthenticated(msg)
        return Caller()

    async def check(self, caller: Caller, access: Access) -> None:
        """Nothing is refused."""

    async def close(self) -> None:
        """Nothing is held."""


def about(event: CloudEvent) -> str:
    """The model `namespace/name` that an event of any type is about; raises InvalidInput where it names none."""
    if event.type not in (FINDING, CANDIDATE, NEW_DATA):
        return model_of(event)
    data = event.data if isinstance(event.data, dict) else {}
    name, namespace = data.get("model"), data.get("namespace", "default")
    if not isinstance(name, str) or not isinstance(namespace, str):
        msg = f'event {event.id!r} of type {event.type}: its data lacks "model", the name of the Model that it is about'
        raise InvalidInput(msg)
    return model_id(event, namespace, name)
