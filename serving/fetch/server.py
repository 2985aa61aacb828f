"""MLflow's REST API by the standard library, for a container that starts before every model server and should weigh nothing.

A request is tried again while nobody answers, or a server says that it cannot now, for `patience` seconds after its first
fault. Every error is a sentence that starts with its reason, for this is all that a person sees of an init container.
"""

import base64
import errno
import http.client
import json
import logging
import ssl
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from msgspec import Struct

from trimtab.errors import InvalidInput, TrimtabError, Unavailable
from trimtab.fetching import INVALID_CONFIGURATION, NO_SPACE, TOO_LARGE, UNAVAILABLE

log = logging.getLogger("trimtab.fetch")

CREDENTIALS = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
"""The environment variables that MLflow's own clients take credentials from."""

TIMEOUT_SECONDS = 30.0
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 8.0
MAX_ANSWER_BYTES = 4 << 20
_CHUNK = 1 << 20
_AGAIN = (408, 425, 429, 500, 502, 503, 504)


class Access(Struct, frozen=True):
    """Where MLflow is and how to come in: a CA file and the header `Authorization`, each may be empty; patience in seconds."""

    tracking_uri: str
    ca_file: str = ""
    authorization: str = ""
    patience: float = 60.0


class _Passing(Exception):
    """A fault that may pass."""


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def authorization(environment: Mapping[str, str]) -> str:
    """The header `Authorization` that MLflow's own client would send: user and password before a token; empty without either."""
    user, password, token = (environment.get(name, "").strip() for name in CREDENTIALS)
    if user and password:
        return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"
    if token and not (token.isascii() and token.isprintable()):
        msg = f"{INVALID_CONFIGURATION}: {CREDENTIALS[2]} is no token: printable characters on one line are allowed"
        raise InvalidInput(msg)
    return f"Bearer {token}" if token else ""


class Missing(Exception):
    """The server says that there is no such thing (404)."""


class Server:
    """One MLflow server. Answers are read whole, and no longer than said."""

    def __init__(self, access: Access) -> None:
        """Nothing is asked yet; raises InvalidInput where the tracking URI or the CA file cannot be used."""
        self.access = access
        try:
            self._parts = urlsplit(access.tracking_uri)
            usable = self._parts.scheme in ("http", "https") and bool(self._parts.hostname) and self._parts.port != 0
        except ValueError:
            usable = False
        if not usable:
            given = f"TRIMTAB_TRACKING_URI is {access.tracking_uri.rsplit('@', 1)[-1]!r}"
            msg = f"{INVALID_CONFIGURATION}: {given}; http://HOST:PORT or https://HOST:PORT is allowed"
            raise InvalidInput(msg)
        self._tls = _context(access.ca_file) if self._parts.scheme == "https" else None

    def ask(self, path: str, **query: str) -> dict[str, Any]:
        """The JSON object that `GET /api/2.0/mlflow/<path>?<query>` answers; raises Missing where there is no such thing."""
        body = bytearray()

        def take(chunk: bytes) -> None:
            body.extend(chunk)

        self._get(f"/api/2.0/mlflow/{path}?{urlencode(query)}", take, body.clear, MAX_ANSWER_BYTES)
        try:
            found = json.loads(bytes(body))
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            msg = f"{INVALID_CONFIGURATION}: {self.shown!r} does not answer as MLflow does: is it an MLflow server?"
            raise InvalidInput(msg)
        return found

    def save(self, artifact: str, file: Path, limit: int) -> int:
        """Write an artifact (its path under the server's root) to `file`, of at most `limit` bytes; returns its size in bytes."""
        with file.open("wb", buffering=0) as stream:

            def take(chunk: bytes) -> None:
                left = memoryview(chunk)
                try:
                    while left:
                        left = left[stream.write(left) :]
                except OSError as error:
                    raise unwritable(file.parent, error) from error

            def restart() -> None:
                stream.seek(0)
                stream.truncate()

            self._get(f"/api/2.0/mlflow-artifacts/artifacts/{quote(artifact)}", take, restart, limit)
            return stream.tell()

    def _get(self, path: str, take: Any, restart: Any, limit: int) -> None:
        """Give the answer's bytes to `take`; `restart` forgets what an attempt that broke off gave."""
        pause = FIRST_PAUSE_SECONDS
        deadline: float | None = None
        while True:
            try:
                self._attempt(path, take, limit)
                return
            except (_Passing, OSError, http.client.HTTPException) as error:
                restart()
                why = str(error) or type(error).__name__
                deadline = deadline or time.monotonic() + self.access.patience
                if time.monotonic() + pause > deadline:
                    msg = f"{UNAVAILABLE}: MLflow at {self.shown} gave no answer for {self.access.patience:g} s: {why}"
                    raise Unavailable(msg) from error
                log.warning("MLflow at %s: %s; once more in %g s", self.shown, why, pause)
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _attempt(self, path: str, take: Any, limit: int) -> None:
        host, port = self._parts.hostname or "", self._parts.port
        connection = (
            http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
            if self._tls is None
            else http.client.HTTPSConnection(host, port, timeout=TIMEOUT_SECONDS, context=self._tls)
        )
        try:
            connection.request("GET", self._parts.path.rstrip("/") + path, headers=self._headers())
            answer = connection.getresponse()
            self._judge(answer)
            expected, size = answer.length, 0
            if expected is None and not answer.chunked:
                msg = "the answer broke off in its headers"
                raise _Passing(msg)
            while chunk := answer.read(_CHUNK):
                size += len(chunk)
                if size > limit:
                    msg = f"{TOO_LARGE}: {path.split('?')[0].rsplit('/', 1)[-1]!r} is larger than the {limit} bytes that may still come"
                    raise InvalidInput(msg)
                take(chunk)
            if expected is not None and size != expected:
                msg = f"the answer broke off after {size} of {expected} bytes"
                raise _Passing(msg)
        finally:
            connection.close()

    def _judge(self, answer: http.client.HTTPResponse) -> None:
        if answer.status == 200:
            return
        if answer.status == 404:
            raise Missing
        said = _said(answer.read(2000))
        if answer.status in _AGAIN:
            msg = f"it answers {answer.status}{said}"
            raise _Passing(msg)
        msg = f"{INVALID_CONFIGURATION}: MLflow at {self.shown} answers {answer.status}{said}"
        if answer.status in (401, 403):
            msg += f": are the credentials right ({', '.join(CREDENTIALS)}), and this host name among its --allowed-hosts?"
        elif 300 <= answer.status < 400:
            msg += f": it moved to {str(answer.getheader('Location'))[:200]!r}; TRIMTAB_TRACKING_URI must name where it is"
        raise InvalidInput(msg)

    def _headers(self) -> dict[str, str]:
        headers = {"Accept-Encoding": "identity", "User-Agent": "trimtab-fetch"}
        return {**headers, "Authorization": self.access.authorization} if self.access.authorization else headers

    @property
    def shown(self) -> str:
        """The server for a sentence, without a user and password."""
        return f"{self._parts.scheme}://{self._parts.netloc.rsplit('@', 1)[-1]}{self._parts.path}"


def unwritable(folder: Path, error: OSError) -> TrimtabError:
    """The error of a folder that cannot be written to: `NoSpace: …` where it is full, else `Unavailable: …`."""
    reason = NO_SPACE if error.errno in _FULL else UNAVAILABLE
    return Unavailable(f"{reason}: the files cannot be written to {str(folder)!r}: {error.strerror or error}")


def _said(body: bytes) -> str:
    """What an error's body says, in one line; MLflow answers {"error_code", "message"}."""
    try:
        found = json.loads(body)
        text = str(found.get("message", "")) if isinstance(found, dict) else ""
    except (ValueError, RecursionError):
        text = body.decode("utf-8", "replace")
    line = (text.strip().splitlines() or [""])[0]
    return f" ({line:.200})" if line and not line.startswith("<") else ""


def _context(ca_file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:
        msg = f"{INVALID_CONFIGURATION}: TRIMTAB_TRACKING_CA_FILE {ca_file!r} cannot be used: {error}"
        raise InvalidInput(msg) from error
