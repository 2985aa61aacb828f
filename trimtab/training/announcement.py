"""The end of a run that nobody of ours waits for: one started by hand, which asks for a Release; and a task's last words.

A run's own pod must speak, for the pipeline API gives neither results nor reasons: the candidate is announced to the monitor by an
authenticated event, and the sentence of a failure is left where the kubelet reads it from.
"""

import base64
import json
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.client import HTTPException
from pathlib import Path

import msgspec

from trimtab.errors import InvalidInput, Unavailable
from trimtab.events import CANDIDATE, STRUCTURED, CandidateReady, CloudEvent, structured
from trimtab.last_words import TERMINATION_LOG, leave
from trimtab.spec import Model

AUDIENCE = "trimtab"
TOKEN_VARIABLE = "TRIMTAB_TOKEN_FILE"  # noqa: S105 - the name of a variable
TOKEN_FILE = Path("/var/run/secrets/trimtab/token")
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TIMEOUT_SECONDS = 15.0


@contextmanager
def telling(path: Path = TERMINATION_LOG) -> Iterator[None]:
    """Leave the sentence of an error at `path`, where there is such a file (in a container there is), and let the error pass."""
    try:
        yield
    except Exception as error:
        leave(f"{type(error).__name__}: {error}", path)
        raise


def candidate_event(document: str, run: str, cut: str) -> CloudEvent:
    """The event that the MLflow run `run` of the Model `document` has ended; the same run twice is the same event, by (source, id).

    Raises InvalidInput where the document is no Model or the cut no moment.
    """
    try:
        model = msgspec.json.decode(document, type=Model)
        moment = datetime.fromisoformat(cut)
    except (msgspec.DecodeError, msgspec.ValidationError, ValueError) as error:
        msg = f"the run cannot be announced, its Model or cut is none: {error}"
        raise InvalidInput(msg) from error
    namespace, name = model.metadata.namespace, model.name
    sentence = "a run started by hand has ended"
    ready = CandidateReady(name, run, moment, sentence=sentence, namespace=namespace)
    return CloudEvent(
        id=run,
        source=f"/models/{namespace}/{name}/runs",
        type=CANDIDATE,
        time=datetime.now(UTC),
        subject=f"{namespace}/{name}",
        data=msgspec.to_builtins(ready),
    )


def announce(url: str, document: str, run: str, cut: str) -> None:
    """Post the candidate's event to `url`, the monitor's `/events`; nothing where `url` is empty.

    Raises InvalidInput where the monitor refuses the event, Unavailable where it does not answer.
    """
    if not url:
        return
    body = msgspec.json.encode(structured(candidate_event(document, run, cut)))
    secret = token()
    headers = {"Content-Type": STRUCTURED, **({"Authorization": f"Bearer {secret}"} if secret else {})}
    _post(url, body, headers, "the candidate's announcement")


def token() -> str:
    """A ServiceAccount token with the audience `trimtab`: the projected file's, else one the pod's own account asks for; empty outside."""
    file = Path(os.environ.get(TOKEN_VARIABLE) or TOKEN_FILE)
    if file.is_file():
        return file.read_text().strip()
    own = ACCOUNT / "token"
    return _requested(own.read_text().strip()) if own.is_file() else ""


def _requested(own: str) -> str:
    """Ask the API server (TokenRequest) for a token that is good for the monitor only; the pod's own is good for the API server."""
    namespace, name = _account(own)
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST", "kubernetes.default.svc"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    url = f"https://{place}/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": [AUDIENCE], "expirationSeconds": 600}}
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {own}"}
    what = f"a token for the audience {AUDIENCE!r} (ServiceAccount {namespace}/{name} needs `create` on its `serviceaccounts/token`)"
    answer = _post(url, json.dumps(asked).encode(), headers, what, ACCOUNT / "ca.crt")
    return str(json.loads(answer)["status"]["token"])


def _account(own: str) -> tuple[str, str]:
    payload = own.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    namespace, name = str(claims["sub"]).removeprefix("system:serviceaccount:").split(":")
    return namespace, name


def _post(url: str, body: bytes, headers: dict[str, str], what: str, authority: Path | None = None) -> bytes:
    if not url.startswith(("http://", "https://")):
        msg = f"{what}: {url!r} is no address; http://… or https://… is allowed"
        raise InvalidInput(msg)
    request = urllib.request.Request(url, body, headers, method="POST")  # noqa: S310 - the scheme is checked
    trust = ssl.create_default_context(cafile=str(authority) if authority and authority.is_file() else None)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS, context=trust) as answer:  # noqa: S310
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        said = error.read(500).decode(errors="replace").strip()
        sentence = f"{what}: refused with status {error.code}: {said or error.reason}"
        raise (Unavailable if error.code >= 500 or error.code in (408, 429) else InvalidInput)(sentence) from error
    except (OSError, HTTPException) as error:
        msg = f"{what}: no answer: {type(error).__name__}"
        raise Unavailable(msg) from error
