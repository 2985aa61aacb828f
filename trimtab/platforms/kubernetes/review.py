"""The monitor's gate on a cluster: TokenReview says who sends, SubjectAccessReview whether they may (design §10).

Capture sends many batches a second with the same token, so that answers are remembered: a good one for a minute (as long as a right
that was taken away still works), a bad one for seconds. What is asked many times at once is asked of the API server once. While it
does not answer nothing is let in and nothing refused: senders get a 503, keep what they have and try again.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, Protocol, TypeVar

from msgspec import Struct

from trimtab.errors import InvalidInput, TrimtabError, Unavailable
from trimtab.monitoring.gate import Access, Caller, Forbidden, Unauthenticated
from trimtab.platforms.kubernetes.resources import GROUP

AUDIENCE = "trimtab"
GOOD_SECONDS = 60.0
BAD_SECONDS = 5.0
AWAY_SECONDS = 1.0
REMEMBERED = 10_000
AT_ONCE = 4
_TOKENS = "/apis/authentication.k8s.io/v1/tokenreviews"
_ACCESSES = "/apis/authorization.k8s.io/v1/subjectaccessreviews"

T = TypeVar("T")


class Reviewer(Protocol):
    """Who can ask the API server for a review."""

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The reviewed object; raises Unavailable where the API server does not answer, InvalidInput where it refuses to review."""


class _Answer(Struct, Generic[T]):
    until: float
    value: T | None
    refusal: InvalidInput | None


class Remembered(Generic[T]):
    """Answers of `ask`, kept for a while by their key; at most `limit`, the oldest are forgotten. For one event loop.

    An answer is a value or an InvalidInput. Unavailable is nobody's answer: for a second it is what everybody hears, so that those
    who ask while the other side hangs do not queue up behind each other's timeouts.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, limit: int = REMEMBERED) -> None:
        self._clock = clock
        self._limit = limit
        self._known: dict[Hashable, _Answer[T]] = {}
        self._asking: dict[Hashable, asyncio.Future[T]] = {}
        self._away: tuple[float, str] = (-1.0, "")
        self._pool = ThreadPoolExecutor(AT_ONCE, "review")

    async def get(self, key: Hashable, ask: Callable[[], T]) -> T:
        """What `ask` answers, or answered a while ago; it is called in a thread."""
        known = self._known.get(key)
        if known is not None and known.until > self._clock():
            if known.refusal is not None:
                raise type(known.refusal)(str(known.refusal))
            return known.value  # type: ignore[return-value]
        asking = self._asking.get(key)
        self._check_away()
        if asking is None:
            asking = asyncio.ensure_future(self._ask(key, ask))
            self._asking[key] = asking
            asking.add_done_callback(lambda done: self._asked(key, done))
        return await asyncio.shield(asking)

    async def _ask(self, key: Hashable, ask: Callable[[], T]) -> T:
        try:
            value = await asyncio.get_running_loop().run_in_executor(self._pool, self._ask_now, ask)
        except InvalidInput as error:
            self._keep(key, _Answer(self._clock() + BAD_SECONDS, None, error))
            raise
        self._keep(key, _Answer(self._clock() + GOOD_SECONDS, value, None))
        return value

    def _ask_now(self, ask: Callable[[], T]) -> T:
        self._check_away()
        try:
            return ask()
        except Unavailable as error:
            self._away = (self._clock() + AWAY_SECONDS, str(error))
            raise

    def _check_away(self) -> None:
        until, sentence = self._away
        if until > self._clock():
            raise Unavailable(sentence)

    def _asked(self, key: Hashable, done: asyncio.Future[T]) -> None:
        self._asking.pop(key, None)
        if not done.cancelled():
            done.exception()

    def _keep(self, key: Hashable, answer: _Answer[T]) -> None:
        self._known.pop(key, None)
        self._known[key] = answer
        while len(self._known) > self._limit:
            self._known.pop(next(iter(self._known)))

    def close(self) -> None:
        """Ask no more."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class ReviewGate:
    """Tokens of ServiceAccounts (or of people) with our audience, and what RBAC says of their owners."""

    def __init__(self, reviewer: Reviewer, audience: str = AUDIENCE, clock: Callable[[], float] = time.monotonic) -> None:
        self._reviewer = reviewer
        self._audience = audience
        self._callers: Remembered[Caller] = Remembered(clock)
        self._checked: Remembered[None] = Remembered(clock)

    async def caller(self, authorization: str) -> Caller:
        """Whose token it is; raises Unauthenticated where it is nobody's, or meant for another audience."""
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token or not token.isascii():
            msg = f'the header "Authorization: Bearer <token of a ServiceAccount, audience {self._audience}>" is missing'
            raise Unauthenticated(msg)
        key = hashlib.sha256(token.encode()).hexdigest()
        return await self._callers.get(key, lambda: self._review_token(token, key))

    async def check(self, caller: Caller, access: Access) -> None:
        """Return if RBAC lets the caller; raises Forbidden where it does not."""
        await self._checked.get((caller.key, access), lambda: self._review_access(caller, access))

    async def close(self) -> None:
        """Ask no more."""
        self._callers.close()
        self._checked.close()

    def _review_token(self, token: str, key: str) -> Caller:
        status = self._ask(_TOKENS, "TokenReview", {"token": token, "audiences": [self._audience]})
        if not status.get("authenticated") or self._audience not in status.get("audiences", []):
            msg = f"the token is not valid here: it is expired, not of this cluster, or not for the audience {self._audience!r}"
            raise Unauthenticated(msg)
        user = status.get("user", {})
        extra = tuple(sorted((name, tuple(values)) for name, values in user.get("extra", {}).items()))
        return Caller(user.get("username", ""), user.get("uid", ""), tuple(user.get("groups", ())), extra, key)

    def _review_access(self, caller: Caller, access: Access) -> None:
        namespace, _, name = access.model.partition("/")
        wanted = {
            "group": GROUP,
            "resource": "models",
            "subresource": access.part,
            "verb": access.verb,
            "namespace": namespace,
            "name": name,
        }
        who = {"user": caller.user, "uid": caller.uid, "groups": caller.groups, "extra": dict(caller.extra)}
        if not self._ask(_ACCESSES, "SubjectAccessReview", {"resourceAttributes": wanted, **who}).get("allowed"):
            what = f"models/{access.part} of {GROUP}"
            which = f"the Model {name!r}" if name else "all Models"
            where, allowing = (f" in namespace {namespace!r}", "Role") if namespace else ("", "ClusterRole")
            msg = f"{caller.user} may not {access.verb} {what} for {which}{where}; a {allowing} can allow it"
            raise Forbidden(msg)

    def _ask(self, path: str, kind: str, spec: dict[str, Any]) -> dict[str, Any]:
        group = path.split("/")[2]
        try:
            answer = self._reviewer.post(path, {"apiVersion": f"{group}/v1", "kind": kind, "spec": spec})
        except TrimtabError as error:
            msg = f"it cannot be said now who may do this: {kind}: {error}"
            raise Unavailable(msg) from error
        status: dict[str, Any] = answer.get("status", {})
        return status
