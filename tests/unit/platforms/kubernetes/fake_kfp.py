"""A small Kubeflow Pipelines: the v2beta1 REST API over HTTP as it was measured, its faults included, and the Workflows behind it.

What is true of the real one and surprising is kept: a POST of a run id that exists starts a second Workflow, and the finished run
turns FAILED; a 500 may leave work running that the API does not list; a run without a version takes the newest; an unknown
version is a 500; a run has no state until its Workflow begins; a terminated run reads FAILED, and one whose Workflow is gone
RUNNING, for ever; uploads have another error shape; lists come in pages.
"""

import json
import re
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlparse

from trimtab.platforms.kubernetes.resources import Resource

PAGE = 2


class Answer(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.status, self.body = status, {"code": code, "message": message, "details": []}


class UploadError(Answer):
    """An upload's error: another shape, with a stack trace of Go."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)
        self.body = {"error_message": message, "error_details": "goroutine 1 [running]:\nmain.main()"}


class FakeKfp:
    """The state; `posts` counts POSTs to /runs, `uploads` uploads. It is also the Reader that sees Workflows and pods."""

    def __init__(self) -> None:
        self.pipelines: dict[str, dict[str, Any]] = {}
        self.versions: list[dict[str, Any]] = []
        self.contents: list[bytes] = []
        self.experiments: list[dict[str, Any]] = []
        self.runs: dict[str, dict[str, Any]] = {}
        self.workflows: list[dict[str, Any]] = []
        self.pods: list[dict[str, Any]] = []
        self.tokens: list[str] = []
        self.posts = 0
        self.uploads = 0
        self.secret = ""
        self.lose_row = False
        self.drop_answer = ""
        self.down = False
        self.url = ""

    # --- what the tests do to it ---

    def begin(self, run_id: str) -> None:
        self.runs[run_id]["state"] = "RUNNING"
        for workflow in self.of(run_id):
            workflow["status"] = {"phase": "Running", "nodes": {}}

    def end(self, run_id: str, good: bool = True, nodes: dict[str, Any] | None = None) -> None:
        self.runs[run_id].update(state="SUCCEEDED" if good else "FAILED", finished_at=datetime.now(UTC).isoformat())
        for workflow in self.of(run_id):
            workflow["status"] = {"phase": "Succeeded" if good else "Failed", "nodes": nodes or {}}

    def of(self, run_id: str) -> list[dict[str, Any]]:
        return [item for item in self.workflows if item["metadata"]["labels"]["pipeline/runid"] == run_id]

    # --- the Reader ---

    def get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any] | None:
        found = (item for item in self.list(resource, namespace) if item["metadata"]["name"] == name)
        return next(found, None)

    def list(self, resource: Resource, namespace: str = "", labels: str = "") -> list[dict[str, Any]]:
        wanted = dict(pair.split("=") for pair in labels.split(",")) if labels else {}
        held = {"Workflow": self.workflows, "Pod": self.pods}[resource.kind]
        return [
            item
            for item in held
            if wanted.items() <= item["metadata"]["labels"].items() and namespace in ("", item["metadata"].get("namespace", "kubeflow"))
        ]

    # --- the API ---

    def answer(self, verb: str, path: str, query: dict[str, str], body: bytes) -> dict[str, Any]:
        for pattern, wanted, work in (
            (r"/runs", "POST", self._create_run),
            (r"/runs/([^/:]+)", "GET", self._get_run),
            (r"/runs/([^/:]+):terminate", "POST", self._terminate),
            (r"/pipelines/names/([^/]+)", "GET", self._pipeline_by_name),
            (r"/pipelines/upload", "POST", self._upload),
            (r"/pipelines/upload_version", "POST", self._upload_version),
            (r"/pipelines/([^/]+)/versions", "GET", self._versions),
            (r"/experiments", "GET", self._list_experiments),
            (r"/experiments", "POST", self._create_experiment),
        ):
            found = re.fullmatch(pattern, path)
            if found and verb == wanted:
                return work(query, body, *found.groups())
        raise Answer(404, f"Not Found: {verb} {path}", 5)

    def _create_run(self, _: dict[str, str], body: bytes) -> dict[str, Any]:
        self.posts += 1
        asked = json.loads(body)
        known = {
            "run_id",
            "display_name",
            "description",
            "experiment_id",
            "pipeline_version_reference",
            "runtime_config",
            "service_account",
        }
        if asked.keys() - known:
            raise Answer(400, f"unknown field {sorted(asked.keys() - known)[0]!r}", 3)
        reference = asked.get("pipeline_version_reference") or {}
        version = self._version(reference)
        if version is None or not asked.get("display_name"):
            raise Answer(500, "Internal Server Error: failed to fetch a pipeline version", 13)
        run_id = asked.get("run_id") or str(uuid.uuid4())
        self._start(run_id)
        if run_id in self.runs:
            self.runs[run_id]["state"] = "FAILED"
            raise Answer(500, f"Duplicate entry '{run_id}' for key 'PRIMARY'", 13)
        if self.lose_row:
            raise Answer(500, "Data too long for column", 13)
        run = {**asked, "run_id": run_id, "created_at": datetime.now(UTC).isoformat(), "finished_at": "1970-01-01T00:00:00Z"}
        run["pipeline_version_reference"] = {"pipeline_id": version["pipeline_id"], "pipeline_version_id": version["pipeline_version_id"]}
        self.runs[run_id] = run
        return run

    def _version(self, reference: dict[str, str]) -> dict[str, Any] | None:
        mine = [item for item in self.versions if item["pipeline_id"] == reference.get("pipeline_id")]
        if "pipeline_version_id" in reference:
            return next((item for item in mine if item["pipeline_version_id"] == reference["pipeline_version_id"]), None)
        return mine[-1] if mine else None

    def _start(self, run_id: str) -> None:
        name = f"tabular-{len(self.workflows)}"
        made = {"name": name, "labels": {"pipeline/runid": run_id}, "creationTimestamp": datetime.now(UTC).isoformat()}
        self.workflows.append({"metadata": made, "spec": {}, "status": {}})

    def _get_run(self, _: dict[str, str], __: bytes, run_id: str) -> dict[str, Any]:
        if run_id not in self.runs:
            raise Answer(404, f"Run {run_id} not found", 5)
        return self.runs[run_id]

    def _terminate(self, _: dict[str, str], __: bytes, run_id: str) -> dict[str, Any]:
        run = self._get_run({}, b"", run_id)
        if run.get("state") in ("SUCCEEDED", "FAILED"):
            raise Answer(400, "Row not found", 3)
        run["state"] = "CANCELING"
        if not self.of(run_id):
            raise Answer(500, "workflows.argoproj.io not found", 13)
        for workflow in self.of(run_id):
            workflow["spec"]["activeDeadlineSeconds"] = 0
        return {}

    def _pipeline_by_name(self, _: dict[str, str], __: bytes, name: str) -> dict[str, Any]:
        if name not in self.pipelines:
            raise Answer(404, f"Pipeline {name} not found", 5)
        return self.pipelines[name]

    def _upload(self, query: dict[str, str], body: bytes) -> dict[str, Any]:
        self.uploads += 1
        if query["name"] in self.pipelines:
            raise UploadError(409, "Failed to create a new pipeline")
        made = {"pipeline_id": str(uuid.uuid4()), "display_name": query["name"], "description": query.get("description", "")}
        self.pipelines[query["name"]] = made
        self._add_version(made["pipeline_id"], query["name"], body)
        return made

    def _upload_version(self, query: dict[str, str], body: bytes) -> dict[str, Any]:
        self.uploads += 1
        if any((item["pipeline_id"], item["display_name"]) == (query["pipelineid"], query["name"]) for item in self.versions):
            raise UploadError(409, "Failed to create a pipeline version")
        return self._add_version(query["pipelineid"], query["name"], body, query.get("description", ""))

    def _add_version(self, pipeline_id: str, name: str, body: bytes, description: str = "") -> dict[str, Any]:
        made = {"pipeline_id": pipeline_id, "pipeline_version_id": str(uuid.uuid4()), "display_name": name, "description": description}
        self.versions.append(made)
        self.contents.append(body.split(b"\r\n\r\n", 1)[1].rsplit(b"\r\n--", 1)[0])
        return made

    def _versions(self, query: dict[str, str], _: bytes, pipeline_id: str) -> dict[str, Any]:
        mine = [item for item in reversed(self.versions) if item["pipeline_id"] == pipeline_id]
        return _paged("pipeline_versions", _filtered(mine, query), query)

    def _list_experiments(self, query: dict[str, str], _: bytes) -> dict[str, Any]:
        return _paged("experiments", _filtered(self.experiments, query), query)

    def _create_experiment(self, _: dict[str, str], body: bytes) -> dict[str, Any]:
        asked = json.loads(body)
        if any(item["display_name"] == asked["display_name"] for item in self.experiments):
            raise Answer(409, "Already exist error", 6)
        made = {"experiment_id": str(uuid.uuid4()), **asked}
        self.experiments.append(made)
        return made


def _filtered(items: list[dict[str, Any]], query: dict[str, str]) -> list[dict[str, Any]]:
    for predicate in json.loads(query.get("filter", '{"predicates": []}'))["predicates"]:
        if predicate["operation"] != "EQUALS" or predicate["key"] not in ("name", "display_name"):
            raise Answer(400, "unrecognized field", 3)
        items = [item for item in items if item["display_name"] == predicate["string_value"]]
    return items


def _paged(key: str, items: list[dict[str, Any]], query: dict[str, str]) -> dict[str, Any]:
    at = int(query.get("page_token", "0"))
    page: dict[str, Any] = {key: items[at : at + PAGE], "total_size": len(items)}
    return {**page, "next_page_token": str(at + PAGE)} if at + PAGE < len(items) else page


@contextmanager
def serving(fake: FakeKfp) -> Iterator[FakeKfp]:
    """The fake behind a real socket; its `url` is set."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._do("GET")

        def do_POST(self) -> None:
            self._do("POST")

        def _do(self, verb: str) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            fake.tokens.append(token)
            parts = urlparse(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            try:
                if fake.down:
                    raise Answer(503, "no healthy upstream", 14)
                if fake.secret and token != fake.secret:
                    raise Answer(401, "Unauthenticated", 16)
                status, said = 200, fake.answer(verb, parts.path.removeprefix("/apis/v2beta1"), query, body)
            except Answer as error:
                status, said = error.status, error.body
            if verb == "POST" and self.path == f"/apis/v2beta1{fake.drop_answer}":
                self.close_connection = True
                return
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(said).encode())

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
