"""Kubeflow Pipelines' REST API (v2beta1) by urllib: only the calls that a run needs.

Not the SDK, for `kfp.Client` has no way to choose a run's id, and that is all that makes a create safe to look up again: a POST that
is repeated starts the work a second time. So nothing here retries; who calls looks first.
"""

import json
import logging
import secrets
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlparse

from msgspec import Struct

from trimtab.errors import Conflict, InvalidInput, Unavailable

log = logging.getLogger(__name__)

PREFIX = "/apis/v2beta1"
TOKEN_FILE = Path("/var/run/secrets/kubeflow/pipelines/token")
"""Where a projected ServiceAccount token with the audience `pipelines.kubeflow.org` is mounted by convention."""

_PAGE = 100
_LATER = (401, 408, 429)


class Endpoint(Struct, frozen=True):
    """Where the API is and who asks. `token_file` is read at each call, for the kubelet renews it; without the file no token is sent."""

    url: str
    token_file: Path | None = TOKEN_FILE
    ca_file: Path | None = None
    timeout_seconds: float = 15.0


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the token to another place."""

    def redirect_request(self, *_: Any) -> None:
        return None


class KfpClient:
    """The API. Errors: Conflict (409), InvalidInput (it refuses, and why), Unavailable (it does not answer, or with a 5xx)."""

    def __init__(self, endpoint: Endpoint, fence: Callable[[], None] = lambda: None) -> None:
        """`fence` raises Unavailable where nothing may be changed; it is asked before every change."""
        if urlparse(endpoint.url).scheme not in ("http", "https"):
            msg = f"the address of Kubeflow Pipelines is {endpoint.url!r}; http://… or https://… is allowed"
            raise InvalidInput(msg)
        self._endpoint = endpoint
        self._fence = fence
        trust = ssl.create_default_context(cafile=str(endpoint.ca_file) if endpoint.ca_file else None)
        https = urllib.request.HTTPSHandler(context=trust)
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), https, _NoRedirect())

    def run(self, run_id: str) -> dict[str, Any] | None:
        """The run, None where there is none."""
        try:
            return self._call("GET", f"/runs/{quote(run_id)}")
        except _Missing:
            return None

    def create_run(self, body: Mapping[str, Any]) -> None:
        """Create the run. After Unavailable its work may have been started all the same: never repeat this without looking."""
        self._call("POST", "/runs", body=json.dumps(body).encode())

    def terminate(self, run_id: str) -> None:
        """Ask for the run's end; nothing where it has ended or is unknown."""
        try:
            self._call("POST", f"/runs/{quote(run_id)}:terminate", body=b"{}")
        except (_Missing, _BadRequest) as error:
            log.info("run %s was not terminated: %s", run_id, error)

    def pipeline(self, name: str, namespace: str = "") -> dict[str, Any] | None:
        """The pipeline of that name, None where there is none."""
        try:
            return self._call("GET", f"/pipelines/names/{quote(name)}", _given(namespace=namespace))
        except _Missing:
            return None

    def upload_pipeline(self, name: str, description: str, content: bytes, namespace: str = "") -> dict[str, Any]:
        """Upload a pipeline and, under the same name, its first version; raises Conflict where the name is taken."""
        return self._upload("/pipelines/upload", _given(name=name, description=description, namespace=namespace), content)

    def versions(self, pipeline_id: str, name: str = "") -> Iterator[dict[str, Any]]:
        """The pipeline's versions, newest first; with `name` those of that name."""
        query = _given(sort_by="created_at desc", filter=_equals("name", name) if name else "")
        return self._pages(f"/pipelines/{quote(pipeline_id)}/versions", "pipeline_versions", query)

    def upload_version(self, pipeline_id: str, name: str, content: bytes, description: str = "") -> dict[str, Any]:
        """Upload a version; raises Conflict where the name is taken."""
        query = _given(name=name, pipelineid=pipeline_id, description=description)
        return self._upload("/pipelines/upload_version", query, content)

    def experiment(self, name: str, namespace: str = "") -> dict[str, Any]:
        """The experiment of that name, made where there is none."""
        query = _given(namespace=namespace, filter=_equals("display_name", name))
        for found in self._pages("/experiments", "experiments", query):
            if found.get("display_name") == name:
                return found
        return self._call("POST", "/experiments", body=json.dumps(_given(display_name=name, namespace=namespace)).encode())

    def _pages(self, path: str, key: str, query: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        token = ""
        while True:
            found = self._call("GET", path, {**query, "page_size": str(_PAGE), **_given(page_token=token)})
            yield from found.get(key, [])
            token = found.get("next_page_token", "")
            if not token:
                return

    def _upload(self, path: str, query: Mapping[str, str], content: bytes) -> dict[str, Any]:
        boundary = secrets.token_hex(16)
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="uploadfile"; filename="pipeline.yaml"\r\n'
        body = f"{head}Content-Type: application/x-yaml\r\n\r\n".encode() + content + f"\r\n--{boundary}--\r\n".encode()
        return self._call("POST", path, query, body, f"multipart/form-data; boundary={boundary}")

    def _call(
        self, verb: str, path: str, query: Mapping[str, str] | None = None, body: bytes | None = None, content: str = "application/json"
    ) -> dict[str, Any]:
        if verb != "GET":
            self._fence()
        asked = f"Kubeflow Pipelines: {verb} {path}"
        url = self._endpoint.url.rstrip("/") + PREFIX + path + (f"?{urlencode(query)}" if query else "")
        request = urllib.request.Request(url, body, method=verb)  # noqa: S310 - the scheme is checked
        request.add_header("Accept", "application/json")
        if body is not None:
            request.add_header("Content-Type", content)
        token = self._token()
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with self._opener.open(request, timeout=self._endpoint.timeout_seconds) as answer:
                said = json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            raise _error(error.code, _read(error), asked) from error
        except (OSError, HTTPException, ValueError) as error:
            msg = f"{asked}: no answer: {type(error).__name__}"
            raise Unavailable(msg) from error
        return said if isinstance(said, dict) else {}

    def _token(self) -> str:
        file = self._endpoint.token_file
        try:
            return file.read_text().strip() if file and file.is_file() else ""
        except OSError as error:
            msg = f"the token file {file} cannot be read: {error.strerror}"
            raise Unavailable(msg) from error


class _Missing(InvalidInput):
    """There is no such thing."""


class _BadRequest(InvalidInput):
    """The request is wrong, or comes too late."""


def _given(**values: str) -> dict[str, str]:
    return {name: value for name, value in values.items() if value}


def _equals(key: str, value: str) -> str:
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": key, "string_value": value}]})


def _read(error: urllib.error.HTTPError) -> bytes:
    try:
        return error.read(20_000)
    except (OSError, HTTPException):
        return b""


def _error(status: int, body: bytes, asked: str) -> Exception:
    """The error of an answer: `{"code", "message", "details"}`, for uploads `{"error_message", …}` with a stack trace, left out."""
    try:
        said = json.loads(body)
        sentence = str(said.get("message") or said.get("error_message") or said.get("error") or "no reason is given")
    except (ValueError, AttributeError):
        sentence = body.decode(errors="replace")[:300] or "no reason is given"
    msg = f"{asked}: status {status}: {sentence.splitlines()[0][:500]}"
    if status == 404:
        return _Missing(msg)
    if status == 409:
        return Conflict(msg)
    if status == 400:
        return _BadRequest(msg)
    return Unavailable(msg) if status >= 500 or status in _LATER else InvalidInput(msg)
