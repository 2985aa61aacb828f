"""The only module that meets the Kubernetes client: what it asks for, and what it makes of each answer."""

import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.platforms.kubernetes.api_server import ApiServer, client_of, kubeconfig
from trimtab.errors import Conflict, InvalidInput, TrimtabError, Unavailable
from trimtab.platforms.kubernetes import api as module
from trimtab.platforms.kubernetes.api import Api, connect
from trimtab.platforms.kubernetes.resources import CONFIG_MAPS, MODELS, NAMESPACES

Call = Callable[[Api], Any]
NAMED = {"metadata": {"name": "a", "namespace": "crm"}}
READS: dict[str, Call] = {
    "get": lambda api: api.get(MODELS, "crm", "a"),
    "list": lambda api: api.list(MODELS, "crm"),
    "text": lambda api: api.text("/api/v1/namespaces/crm/pods/a/log"),
    "post": lambda api: api.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", {"kind": "SelfSubjectReview"}),
}
WRITES: dict[str, Call] = {
    "create": lambda api: api.create(MODELS, NAMED),
    "apply": lambda api: api.apply(MODELS, NAMED),
    "replace_status": lambda api: api.replace_status(MODELS, {**NAMED, "status": {}}),
    "merge": lambda api: api.merge(MODELS, "crm", "a", {"spec": {}}),
    "delete": lambda api: api.delete(MODELS, "crm", "a"),
}
CALLS = READS | WRITES


# --- what a status means ---

MEANINGS = [
    (400, InvalidInput),
    (401, Unavailable),
    (403, InvalidInput),
    (408, Unavailable),
    (409, Conflict),
    (422, InvalidInput),
    (429, Unavailable),
    (500, Unavailable),
    (503, Unavailable),
    (504, Unavailable),
]


@pytest.mark.parametrize("name", CALLS)
def test_each_call_maps_a_status_to_the_same_error_with_the_servers_sentence(server: ApiServer, api: Api, name: str) -> None:
    found: list[tuple[int, type[TrimtabError]]] = []
    for status, _ in MEANINGS:
        server.canned = (status, b'{"kind": "Status", "message": "spec.task: unsupported value"}')
        with pytest.raises(TrimtabError, match=r"(/crm/|reviews).*spec\.task: unsupported value") as caught:
            CALLS[name](api)
        found.append((status, type(caught.value)))
    assert found == MEANINGS


NOTHING = {"get": None, "list": [], "merge": None, "delete": None}


@pytest.mark.parametrize("status", [404, 410])
@pytest.mark.parametrize(("name", "expected"), NOTHING.items())
def test_what_is_not_there_is_no_error_where_that_is_an_answer(server: ApiServer, api: Api, name: str, expected: Any, status: int) -> None:
    server.canned = (status, b'{"message": "not found"}')
    assert CALLS[name](api) == expected
    assert server.asked, "it was asked for"


@pytest.mark.parametrize("name", ["create", "apply", "text", "post"])
def test_what_is_not_there_is_to_be_mended_where_something_should_be_made_of_it(server: ApiServer, api: Api, name: str) -> None:
    server.canned = (404, b'{"message": "namespaces \\"crm\\" not found"}')
    with pytest.raises(InvalidInput, match='namespaces "crm" not found'):
        CALLS[name](api)


def test_a_status_of_what_is_gone_is_a_lost_race(server: ApiServer, api: Api) -> None:
    server.canned = (404, b"{}")
    with pytest.raises(Conflict, match="Model 'a' is gone"):
        WRITES["replace_status"](api)


BODIES = {
    "no JSON at all": (b"upstream connect error", "upstream connect error"),
    "JSON that is no object": (b"[1]", "[1]"),
    "an object without a message": (b'{"code": 1}', "'code': 1"),
    "nothing": (b"", "GET"),
    "a long page": (b"x" * 5000, "x" * 300),
}


@pytest.mark.parametrize(("body", "said"), BODIES.values(), ids=BODIES)
def test_whatever_the_body_of_a_refusal_is_there_is_a_short_sentence(server: ApiServer, api: Api, body: bytes, said: str) -> None:
    server.canned = (403, body)
    with pytest.raises(InvalidInput) as caught:
        READS["get"](api)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_refusal_that_is_no_utf_8_is_still_one_of_our_errors(server: ApiServer, api: Api) -> None:
    server.canned = (502, b"\xff\xfe bad gateway")
    with pytest.raises(Unavailable):
        READS["get"](api)


@pytest.mark.parametrize("name", [name for name in CALLS if name != "text"])
def test_an_answer_that_is_no_json_means_that_the_api_server_did_not_answer(server: ApiServer, api: Api, name: str) -> None:
    server.canned = (200, b"<html>please log in</html>")
    with pytest.raises(Unavailable, match="does not answer"):
        CALLS[name](api)


# --- connections ---


def faulty(answer: Callable[[socket.socket], Any], scheme: str = "http") -> tuple[Api, socket.socket]:
    """An Api before a server that does this with its first connection; the caller closes the socket."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            answer(connection)

    threading.Thread(target=serve, daemon=True).start()
    return Api(client_of(f"{scheme}://127.0.0.1:{listener.getsockname()[1]}")), listener


CUTS: dict[str, tuple[str, Callable[[socket.socket], Any]]] = {
    "closed without a word": ("http", lambda _: None),
    "no HTTP": ("http", lambda connection: connection.sendall(b"\x15\x03\x01 hello\r\n\r\n")),
    "cut off": ("http", lambda connection: connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"items"')),
    "no TLS": ("https", lambda connection: connection.sendall(b"this is no TLS\r\n")),
}


@pytest.mark.parametrize(("scheme", "cut"), CUTS.values(), ids=CUTS)
def test_a_broken_connection_is_unavailable(scheme: str, cut: Callable[[socket.socket], Any]) -> None:
    api, listener = faulty(cut, scheme)
    with listener, pytest.raises(Unavailable, match="does not answer: GET"):
        READS["list"](api)


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"], ids=["before the answer", "within the answer"])
def test_silence_ends_after_a_while(monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr(module, "TIMEOUT_SECONDS", (0.2, 0.2))
    over = threading.Event()

    def silent(connection: socket.socket) -> None:
        connection.sendall(sent)
        over.wait(20)

    api, listener = faulty(silent)
    with listener, pytest.raises(Unavailable, match="ReadTimeoutError"):
        READS["get"](api)
    over.set()


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(Unavailable, match="NewConnectionError"):
        WRITES["create"](Api(client_of(f"http://127.0.0.1:{port}")))


# --- the fence and the counter ---


def shut() -> None:
    msg = "the Lease is not ours"
    raise Unavailable(msg)


@pytest.mark.parametrize("call", WRITES.values(), ids=WRITES)
def test_nothing_is_written_past_a_closed_fence(server: ApiServer, call: Call) -> None:
    with pytest.raises(Unavailable, match="the Lease is not ours"):
        call(Api(server.client(), shut))
    assert server.asked == []


@pytest.mark.parametrize("call", READS.values(), ids=READS)
def test_reading_needs_no_lease(server: ApiServer, call: Call) -> None:
    server.canned = (200, b'{"items": []}')
    call(Api(server.client(), shut))
    assert len(server.asked) == 1


def test_every_request_is_counted_by_its_verb_also_one_that_fails(server: ApiServer) -> None:
    verbs: list[str] = []
    api = Api(server.client(), counted=verbs.append)
    api.create(MODELS, NAMED)
    assert READS["get"](api)
    with pytest.raises(Conflict):
        api.create(MODELS, NAMED)
    api.delete(MODELS, "crm", "a")
    assert verbs == ["POST", "GET", "POST", "DELETE"]


# --- what is asked for ---


def test_creating_names_the_kind_and_us_and_a_name_is_taken_once(server: ApiServer, api: Api) -> None:
    made = api.create(MODELS, NAMED)
    asked = server.asked[0]
    assert (asked.verb, asked.path) == ("POST", "/apis/trimtab.dev/v1alpha1/namespaces/crm/models")
    assert asked.query == {"fieldManager": "trimtab"}
    assert asked.body == {**NAMED, "apiVersion": "trimtab.dev/v1alpha1", "kind": "Model"}
    assert made["metadata"]["uid"]
    with pytest.raises(Conflict, match="already exists"):
        api.create(MODELS, NAMED)


def test_what_is_of_no_namespace_has_none_in_its_path(server: ApiServer, api: Api) -> None:
    api.create(NAMESPACES, {"metadata": {"name": "crm"}})
    assert server.asked[0].path == "/api/v1/namespaces"


def test_a_list_names_kinds_and_is_narrowed_by_namespace_and_labels(server: ApiServer, api: Api) -> None:
    server.put(CONFIG_MAPS, "crm", "a", metadata={"labels": {"x": "1"}})
    server.put(CONFIG_MAPS, "crm", "b")
    server.put(CONFIG_MAPS, "ads", "c", metadata={"labels": {"x": "1"}})
    assert [one["metadata"]["name"] for one in api.list(CONFIG_MAPS)] == ["a", "b", "c"]
    assert [one["metadata"]["name"] for one in api.list(CONFIG_MAPS, "crm")] == ["a", "b"]
    assert [one["metadata"]["name"] for one in api.list(CONFIG_MAPS, "crm", "x=1")] == ["a"]
    assert {(one["apiVersion"], one["kind"]) for one in api.list(CONFIG_MAPS)} == {("v1", "ConfigMap")}


def test_server_side_apply_is_ours_and_forced(server: ApiServer, api: Api) -> None:
    api.apply(CONFIG_MAPS, {**NAMED, "data": {"k": "v"}})
    asked = server.asked[0]
    assert (asked.verb, asked.content) == ("PATCH", "application/apply-patch+yaml")
    assert asked.query == {"fieldManager": "trimtab", "force": "true"}
    assert asked.path == "/api/v1/namespaces/crm/configmaps/a"


def test_of_two_status_writers_one_loses(server: ApiServer, api: Api) -> None:
    body = server.put(MODELS, "crm", "a", status={})
    api.replace_status(MODELS, {**body, "status": {"x": 1}})
    assert server.asked[-1].path.endswith("/models/a/status")
    with pytest.raises(Conflict, match="has been modified"):
        api.replace_status(MODELS, {**body, "status": {"x": 2}})
    stored = server.get(MODELS, "crm", "a")
    assert stored
    assert stored["status"] == {"x": 1}


def test_a_merge_patch_changes_what_it_names_and_loses_over_a_stale_version(server: ApiServer, api: Api) -> None:
    body = server.put(MODELS, "crm", "a", spec={"x": 1, "y": 1})
    patch = {"metadata": {"resourceVersion": body["metadata"]["resourceVersion"]}, "spec": {"x": None}}
    patched = api.merge(MODELS, "crm", "a", patch)
    assert patched
    assert patched["spec"] == {"y": 1}
    assert server.asked[-1].content == "application/merge-patch+json"
    with pytest.raises(Conflict):
        api.merge(MODELS, "crm", "a", patch)


def test_deleting_takes_along_what_is_owned_in_the_background(server: ApiServer, api: Api) -> None:
    server.put(MODELS, "crm", "a")
    api.delete(MODELS, "crm", "a")
    assert server.asked[-1].query == {"propagationPolicy": "Background"}
    assert server.get(MODELS, "crm", "a") is None


def test_a_text_is_given_as_it_is_even_where_it_is_no_utf_8(server: ApiServer, api: Api) -> None:
    server.canned = (200, b"one\ntw\xf6\n")
    assert api.text("/api/v1/namespaces/crm/pods/a/log", container="main", tailLines="5") == "one\ntw\N{REPLACEMENT CHARACTER}\n"
    assert server.asked[0].query == {"container": "main", "tailLines": "5"}


# --- connecting ---

KUBECONFIGS = {
    "there is none": None,
    "it is empty": "",
    "it is no YAML": "clusters: [",
    "it is a list": "- a",
    "it has no current context": "apiVersion: v1\nkind: Config\n",
    "its context does not exist": "apiVersion: v1\nkind: Config\ncurrent-context: x\ncontexts: []\nclusters: []\nusers: []\n",
    "its certificate is no base64": (
        "apiVersion: v1\nkind: Config\ncurrent-context: x\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n"
        "clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1', certificate-authority-data: abc}}]\nusers: [{name: u, user: {}}]\n"
    ),
}


@pytest.mark.parametrize("text", KUBECONFIGS.values(), ids=KUBECONFIGS)
def test_a_kubeconfig_that_cannot_be_used_is_to_be_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None) -> None:
    path = tmp_path / "config"
    if text is not None:
        path.write_text(text)
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(path))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(InvalidInput, match=r"(?s)no cluster can be reached: .+; set KUBECONFIG"):
        connect()


def test_a_kubeconfig_that_can_be_used_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: ApiServer) -> None:
    path = tmp_path / "config"
    path.write_text(kubeconfig(server.url))
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(path))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    server.put(MODELS, "crm", "a")
    assert Api(connect()).get(MODELS, "crm", "a")
