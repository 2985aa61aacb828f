"""The API server behind a few calls on plain dictionaries: the only module that meets the Kubernetes client.

Plain dictionaries, because most kinds we touch (KServe's, the Gateway API's, our own) have no class in the client, and server-side
apply wants exactly the fields we own. Everything that writes asks the fence first: a controller that may have lost its Lease changes
nothing any more.
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from trimtab.errors import Conflict, InvalidInput, Unavailable
from trimtab.platforms.kubernetes.resources import MANAGER, Resource

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = (3.0, 15.0)
PAGE = 500
"""How many objects are asked for at once where there may be very many."""
_JSON = "application/json"
_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"
_GONE = (404, 410)
_LATER = (401, 408, 429)


class Reader(Protocol):
    """Who can say what objects there are: the API server itself, or a cache that watches it."""

    def get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any] | None:
        """The object, None where there is none."""

    def list(self, resource: Resource, namespace: str = "", labels: str = "") -> list[dict[str, Any]]:
        """The objects of a namespace (empty: of all) with the labels."""


def connect(context: str | None = None) -> "ApiClient":
    """A client by the pod's ServiceAccount, or else by the kubeconfig; raises InvalidInput where there is neither."""
    import yaml
    from kubernetes import client, config

    try:
        try:
            config.load_incluster_config()
        except config.ConfigException:
            config.load_kube_config(context=context)
    except (config.ConfigException, OSError, ValueError, TypeError, yaml.YAMLError) as error:
        msg = f"no cluster can be reached: {error}; set KUBECONFIG or run inside a pod with a ServiceAccount"
        raise InvalidInput(msg) from error
    settings = client.Configuration.get_default_copy()
    settings.retries = False
    settings.connection_pool_maxsize = 16
    return client.ApiClient(settings)


def _no_fence() -> None:
    return None


class Api:
    """The API server. Errors: Conflict (409), Unavailable (it does not answer, or not now), InvalidInput (it refuses, and why)."""

    def __init__(self, client: "ApiClient", fence: Callable[[], None] = _no_fence, counted: Callable[[str], None] | None = None) -> None:
        """`fence` raises Unavailable where nothing may be written; `counted` hears the verb of each request."""
        self._client = client
        self._fence = fence
        self._counted = counted

    def get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any] | None:
        """The object, None where there is none."""
        try:
            return self._json("GET", resource.path(namespace, name))
        except _Missing:
            return None

    def list(self, resource: Resource, namespace: str = "", labels: str = "") -> list[dict[str, Any]]:
        """The objects of a namespace (empty: of all) with the labels; none where the kind itself is not installed."""
        query = {"labelSelector": labels} if labels else {}
        try:
            found = self._json("GET", resource.path(namespace), query=query)
        except _Missing:
            return []
        head = {"apiVersion": resource.api_version, "kind": resource.kind}
        return [{**head, **item} for item in found.get("items", [])]

    def pages(self, resource: Resource, namespace: str, labels: str = "", size: int = PAGE) -> Iterator[dict[str, Any]]:
        """As `list`, asked for in pages of `size`, in the order of names, as far as they are read: for what there may be very many of."""
        query = {"limit": str(size), **({"labelSelector": labels} if labels else {})}
        more = ""
        while True:
            found = self._json("GET", resource.path(namespace), query={**query, **({"continue": more} if more else {})})
            yield from found.get("items", [])
            more = found.get("metadata", {}).get("continue", "")
            if not more:
                return

    def create(self, resource: Resource, body: Mapping[str, Any]) -> dict[str, Any]:
        """Create it; raises Conflict where the name is taken."""
        self._fence()
        namespace = body["metadata"].get("namespace", "")
        return self._json("POST", resource.path(namespace), {"fieldManager": MANAGER}, _typed(resource, body))

    def apply(self, resource: Resource, body: Mapping[str, Any]) -> dict[str, Any]:
        """Server-side apply: the fields in `body` become ours and as given, all others stay as they are."""
        self._fence()
        metadata = body["metadata"]
        path = resource.path(metadata.get("namespace", ""), metadata["name"])
        return self._json("PATCH", path, {"fieldManager": MANAGER, "force": "true"}, _typed(resource, body), _APPLY)

    def replace_status(self, resource: Resource, body: Mapping[str, Any]) -> dict[str, Any]:
        """Write the status; raises Conflict where `metadata.resourceVersion` is not the stored one any more, or the object is gone."""
        self._fence()
        metadata = body["metadata"]
        path = resource.path(metadata["namespace"], metadata["name"], "status")
        try:
            return self._json("PUT", path, {"fieldManager": MANAGER}, _typed(resource, body))
        except _Missing as error:
            msg = f"{resource.kind} {metadata['name']!r} is gone"
            raise Conflict(msg) from error

    def merge(
        self, resource: Resource, namespace: str, name: str, patch: Mapping[str, Any], subresource: str = ""
    ) -> dict[str, Any] | None:
        """A JSON merge patch; None where the object is gone."""
        self._fence()
        try:
            return self._json("PATCH", resource.path(namespace, name, subresource), {"fieldManager": MANAGER}, patch, _MERGE)
        except _Missing:
            return None

    def delete(self, resource: Resource, namespace: str, name: str) -> None:
        """Delete it and, in the background, what it owns; nothing where it is gone."""
        self._fence()
        try:
            self._json("DELETE", resource.path(namespace, name), {"propagationPolicy": "Background"})
        except _Missing:
            log.debug("%s %s/%s is gone", resource.kind, namespace, name)

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Ask something by a POST that changes nothing: a review."""
        return self._json("POST", path, {}, body)

    def text(self, path: str, **query: str) -> str:
        """The answer as text, such as a pod's log."""
        return self._call("GET", path, query).decode(errors="replace")

    def _json(
        self, verb: str, path: str, query: Mapping[str, str] | None = None, body: Mapping[str, Any] | None = None, content: str = _JSON
    ) -> dict[str, Any]:
        answer = self._call(verb, path, query, body, content)
        try:
            found: dict[str, Any] = json.loads(answer)
        except ValueError as error:
            msg = f"the API server does not answer: {verb} {path}: what came is no JSON"
            raise Unavailable(msg) from error
        return found

    def _call(
        self,
        verb: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content: str = _JSON,
    ) -> bytes:
        import urllib3
        from kubernetes.client import ApiException

        if self._counted:
            self._counted(verb)
        try:
            answer = self._client.call_api(
                path,
                verb,
                query_params=list((query or {}).items()),
                header_params={"Accept": "application/json", "Content-Type": content},
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _return_http_data_only=True,
                _request_timeout=TIMEOUT_SECONDS,
            )
            return bytes(answer.data)
        except ApiException as error:
            raise _error(error.status, error.body, f"{verb} {path}") from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            msg = f"the API server does not answer: {verb} {path}: {type(error).__name__}"
            raise Unavailable(msg) from error


class Namespaces:
    """A `Reader` of certain namespaces: lists of all are lists of these, so that rights in them are enough."""

    def __init__(self, reader: Reader, names: Sequence[str]) -> None:
        self._reader, self._names = reader, names

    def get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any] | None:
        """The object, None where there is none or it is elsewhere."""
        return self._reader.get(resource, namespace, name) if namespace in self._names else None

    def list(self, resource: Resource, namespace: str = "", labels: str = "") -> list[dict[str, Any]]:
        """The objects of the namespaces with the labels."""
        wanted = [name for name in self._names if namespace in ("", name)]
        return [item for name in wanted for item in self._reader.list(resource, name, labels)]


class _Missing(InvalidInput):
    """There is no such object."""


def _typed(resource: Resource, body: Mapping[str, Any]) -> dict[str, Any]:
    return {"apiVersion": resource.api_version, "kind": resource.kind, **body}


def _error(status: int | None, body: str | bytes | None, asked: str) -> Exception:
    try:
        said = json.loads(body or "{}")
        sentence = str(said.get("message") or said)
    except (ValueError, AttributeError):
        sentence = (body.decode(errors="replace") if isinstance(body, bytes) else str(body))[:300]
    msg = f"{asked}: {sentence}"
    if status in _GONE:
        return _Missing(msg)
    if status == 409:
        return Conflict(msg)
    if not status or status >= 500 or status in _LATER:
        return Unavailable(f"the API server does not answer: {msg}")
    return InvalidInput(msg)
