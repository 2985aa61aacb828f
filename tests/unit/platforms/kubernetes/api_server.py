"""An API server of a few lines behind real HTTP: versions, conflicts, finalizers and refusals as the real one has them; no watches."""

import copy
import itertools
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from kubernetes import client
from msgspec import Struct

from trimtab.platforms.kubernetes.resources import Resource

Document = dict[str, Any]
Key = tuple[str, str, str]
_PATH = re.compile(r"^/apis?/(?:[^/]+/)?v[^/]+(?:/namespaces/(?P<ns>[^/]+))?/(?P<plural>[a-z]+)(?:/(?P<name>[^/]+))?(?:/(?P<sub>[a-z]+))?$")


class Asked(Struct, frozen=True):
    verb: str
    path: str
    query: dict[str, str]
    content: str
    body: Any


class Refusal(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class ApiServer:
    """Objects by plural, namespace and name. `asked` has every request.

    `before` is called with each request and may change the world or raise a Refusal; `canned`, where it is set, is the answer to
    everything: a status and raw bytes. `absent` are plurals that are not installed.
    """

    def __init__(self) -> None:
        self.objects: dict[Key, Document] = {}
        self.asked: list[Asked] = []
        self.before: Callable[[Asked], None] | None = None
        self.canned: tuple[int, bytes] | None = None
        self.absent: set[str] = set()
        self.url = ""
        self._versions = itertools.count(1)
        self._lock = threading.RLock()

    def client(self) -> client.ApiClient:
        return client_of(self.url)

    def put(self, resource: Resource, namespace: str, name: str, **parts: Any) -> Document:
        """An object that is there already."""
        metadata = {"name": name, "namespace": namespace, **parts.pop("metadata", {})}
        document = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, **parts}
        with self._lock:
            return copy.deepcopy(self._store((resource.plural, namespace, name), document))

    def get(self, resource: Resource, namespace: str, name: str) -> Document | None:
        with self._lock:
            return copy.deepcopy(self.objects.get((resource.plural, namespace, name)))

    def remove(self, resource: Resource, namespace: str, name: str) -> None:
        with self._lock:
            del self.objects[(resource.plural, namespace, name)]

    def writes(self) -> list[tuple[str, str]]:
        return [(one.verb, one.path) for one in self.asked if one.verb != "GET"]

    def answer(self, asked: Asked) -> tuple[int, bytes]:
        self.asked.append(asked)
        if self.canned:
            return self.canned
        try:
            if self.before:
                self.before(asked)
            with self._lock:
                return 200 if asked.verb != "POST" else 201, json.dumps(self._answer(asked)).encode()
        except Refusal as refusal:
            return refusal.status, json.dumps({"kind": "Status", "code": refusal.status, "message": refusal.message}).encode()

    def _answer(self, asked: Asked) -> Document:
        found = _PATH.match(asked.path)
        if found is None or found["plural"] in self.absent:
            raise Refusal(404, "404 page not found")
        key = (found["plural"], found["ns"] or "", found["name"] or "")
        if asked.verb == "GET":
            return self._one(key) if found["name"] else self._some(key, asked.query)
        if asked.verb == "POST":
            return self._create(key, asked.body)
        if asked.verb == "DELETE":
            return self._delete(key)
        if asked.content == "application/apply-patch+yaml" and key not in self.objects:
            return self._store(key, asked.body)
        stored = self._one(key)
        wanted = asked.body.get("metadata", {}).get("resourceVersion")
        if wanted not in (None, stored["metadata"]["resourceVersion"]):
            raise Refusal(409, f'{key[0]} "{key[2]}": the object has been modified')
        if asked.verb == "PUT":
            return self._store(key, {**stored, "status": asked.body.get("status", {})})
        return self._patch(key, stored, asked.body)

    def _one(self, key: Key) -> Document:
        if key not in self.objects:
            raise Refusal(404, f'{key[0]} "{key[2]}" not found')
        return self.objects[key]

    def _some(self, key: Key, query: dict[str, str]) -> Document:
        wanted = dict(part.split("=") for part in query.get("labelSelector", "").split(",") if part)
        found = [
            {name: value for name, value in document.items() if name not in ("apiVersion", "kind")}
            for (plural, namespace, _), document in (sorted(self.objects.items()) if "limit" in query else self.objects.items())
            if plural == key[0] and key[1] in ("", namespace) and wanted.items() <= document["metadata"].get("labels", {}).items()
        ]
        first, many = int(query.get("continue", 0)), int(query.get("limit", len(found)))
        more = {"continue": str(first + many)} if first + many < len(found) else {}
        return {"kind": "List", "metadata": {"resourceVersion": "0", **more}, "items": found[first : first + many]}

    def _create(self, key: Key, body: Document) -> Document:
        if key[0] == "selfsubjectreviews":
            return {**body, "status": {"userInfo": {"username": "ada@example.com"}}}
        key = (key[0], key[1], body["metadata"]["name"])
        if key in self.objects:
            raise Refusal(409, f'{key[0]} "{key[2]}" already exists')
        return self._store(key, body)

    def _delete(self, key: Key) -> Document:
        stored = self._one(key)
        if stored["metadata"].get("finalizers"):
            return self._store(key, merged(stored, {"metadata": {"deletionTimestamp": "2026-03-01T12:00:00Z"}}))
        return self.objects.pop(key)

    def _patch(self, key: Key, stored: Document, patch: Document) -> Document:
        patched = merged(stored, patch)
        finalizers = patched["metadata"].get("finalizers", [])
        if stored["metadata"].get("deletionTimestamp"):
            if set(finalizers) - set(stored["metadata"].get("finalizers", [])):
                raise Refusal(422, "no new finalizers can be added if the object is being deleted")
            if not finalizers:
                del self.objects[key]
                return patched
        return self._store(key, patched)

    def _store(self, key: Key, document: Document) -> Document:
        version = str(next(self._versions))
        made = {"uid": f"uid-{version}", "creationTimestamp": "2026-03-01T12:00:00Z", "generation": 1}
        metadata = {**made, **document["metadata"], "resourceVersion": version}
        self.objects[key] = {**document, "metadata": metadata}
        return self.objects[key]


def client_of(url: str) -> client.ApiClient:
    settings = client.Configuration(host=url)
    settings.retries = False
    return client.ApiClient(settings)


def merged(base: Document, patch: Document) -> Document:
    """RFC 7386."""
    found = dict(base)
    for name, value in patch.items():
        if value is None:
            found.pop(name, None)
        else:
            found[name] = merged(found.get(name) or {}, value) if isinstance(value, dict) else value
    return found


@contextmanager
def running() -> Iterator[ApiServer]:
    """The server on a port of its own."""
    api = ApiServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _any(self) -> None:
            parts = urlsplit(self.path)
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            query, content = dict(parse_qsl(parts.query)), self.headers.get("Content-Type", "")
            status, body = api.answer(Asked(self.command, parts.path, query, content, json.loads(raw) if raw else None))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _any  # noqa: N815 - the base class's names

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    api.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()


def kubeconfig(url: str) -> str:
    """A kubeconfig whose only cluster is at `url`."""
    return (
        "apiVersion: v1\nkind: Config\ncurrent-context: x\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n"
        f"clusters: [{{name: c, cluster: {{server: '{url}'}}}}]\nusers: [{{name: u, user: {{token: t}}}}]\n"
    )
