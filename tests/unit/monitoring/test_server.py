import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from aiohttp import test_utils

from trimtab.events import BATCH, FINDING, STRUCTURED, CloudEvent, structured
from trimtab.monitoring.gate import SecretGate
from trimtab.monitoring.monitor import Monitor
from trimtab.monitoring.ports import SinkAnswer
from trimtab.monitoring.server import make_app

from .folders import START, answered, asked, instances, served, told

SECRET = "a-secret-of-these-tests"
GOOD = {"Authorization": f"Bearer {SECRET}"}
ROW = {"id": 1, "at": START.isoformat(), "load": 1.0, "heat": 1.0, "site": "east"}
FOUND = CloudEvent("f1", "/elsewhere", FINDING, data={"kind": "performance", "model": "demand"})
REPORTS = ("report", "report.html", "report.png", "windows/0", "windows/0/report", "windows/0/report.html", "windows/0/report.png")
Client = test_utils.TestClient[Any, Any]


def sink(event: CloudEvent) -> SinkAnswer:
    answers = {"f1": SinkAnswer("accepted"), "f2": SinkAnswer("duplicate"), "f3": SinkAnswer("refused", "no such kind")}
    return answers.get(event.id, SinkAnswer("unknown", "there is no Model 'x'"))


def run(monitor: Monitor, steps: Callable[[Client], Awaitable[None]]) -> None:
    async def all_of_it() -> None:
        async with test_utils.TestClient(test_utils.TestServer(make_app(monitor, SecretGate(SECRET), sink, interval=0.05))) as client:
            await steps(client)

    asyncio.run(all_of_it())


def one(event: CloudEvent) -> tuple[dict[str, str], bytes]:
    return {"content-type": STRUCTURED}, msgspec.json.encode(structured(event))


def many(*events: CloudEvent) -> tuple[dict[str, str], bytes]:
    return {"content-type": BATCH}, msgspec.json.encode([structured(event) for event in events])


def binary(event: CloudEvent, body: bytes) -> tuple[dict[str, str], bytes]:
    attributes = {"ce-id": event.id, "ce-source": event.source, "ce-type": event.type, "ce-specversion": "1.0"}
    return {"content-type": "application/json", **attributes, **{f"ce-{name}": text for name, text in event.extensions.items()}}, body


def renamed(event: CloudEvent, **changes: Any) -> CloudEvent:
    return msgspec.structs.replace(event, **changes)


@pytest.mark.parametrize(
    ("message", "status", "words"),
    [
        pytest.param(one(asked(1, [ROW])), 202, "", id="a request"),
        pytest.param(many(asked(1, [ROW]), answered(1, [4.0]), told(1, 5.0, START)), 202, "", id="a batch of a pair and a label"),
        pytest.param(binary(asked(1, [ROW]), b'{"instances":[{"id":1}]}'), 202, "", id="binary mode, as KServe's logger sends"),
        pytest.param(many(), 202, "", id="an empty batch"),
        pytest.param(one(told(99, 5.0, START)), 202, "", id="a label for an unknown key"),
        pytest.param(one(FOUND), 202, "", id="a finding that the sink takes"),
        pytest.param(one(renamed(FOUND, id="f2")), 202, "", id="a finding that the sink knows"),
        pytest.param(one(renamed(FOUND, id="f3")), 400, "no such kind", id="a finding that the sink refuses"),
        pytest.param(one(renamed(FOUND, id="f4")), 404, "there is no Model 'x'", id="a finding of a model that the sink does not know"),
        pytest.param(one(asked(1, [ROW], name="other")), 404, "'default/other' is not known here", id="an unknown model"),
        pytest.param(one(renamed(FOUND, type="dev.other")), 400, "'dev.other' is not known; known are org.kubeflow", id="an unknown type"),
        pytest.param(({"content-type": STRUCTURED}, b"{garbage"), 400, "not JSON", id="no JSON"),
        pytest.param(({"content-type": STRUCTURED}, b"[" * 200_000), 400, "nested too deeply", id="nested beyond reason"),
        pytest.param(({"content-type": STRUCTURED}, b"\xff\xfe"), 400, "not JSON", id="no UTF-8"),
        pytest.param(({"content-type": STRUCTURED}, b"[1]"), 400, "JSON object", id="no object"),
        pytest.param(({"content-type": "text/plain"}, b"hello"), 400, "not a CloudEvent", id="no CloudEvent"),
        pytest.param(({"content-type": BATCH}, b'[{"id": "1"}]'), 400, "event 0 of the batch", id="a batch with a bad event"),
        pytest.param(one(renamed(asked(1, [ROW]), data={"rows": []})), 400, "instances", id="a request without instances"),
        pytest.param(one(renamed(told(1, 2, START), data={"model": "demand", "value": 1})), 400, "key", id="a label without a key"),
        pytest.param(one(asked(1, [{"text": "x" * (1 << 20)}])), 413, "a single event may have at most 1,048,576 bytes", id="too large"),
        pytest.param(({"content-type": BATCH}, b" " * ((16 << 20) + 1)), 413, "a batch may have at most 16,777,216", id="a large batch"),
    ],
)
def test_events(monitor: Monitor, message: tuple[dict[str, str], bytes], status: int, words: str) -> None:
    async def steps(client: Client) -> None:
        headers, body = message
        answer = await client.post("/events", headers={**headers, **GOOD}, data=body)
        content = await answer.json()
        assert (answer.status, words in content.get("error", "")) == (status, True), content

    run(monitor, steps)


def test_a_bad_event_keeps_its_whole_batch_out(monitor: Monitor) -> None:
    async def steps(client: Client) -> None:
        headers, body = many(asked(1, [ROW]), renamed(asked(2, [ROW]), data=None))
        assert (await client.post("/events", headers={**headers, **GOOD}, data=body)).status == 400
        assert (await (await client.get("/models/default/demand/state", headers=GOOD)).json())["counts"]["rows"] == 0

    run(monitor, steps)


def test_a_body_that_does_not_say_its_length_is_limited_too(monitor: Monitor) -> None:
    async def endless() -> Any:
        for _ in range(64):
            yield b" " * (1 << 16)

    async def steps(client: Client) -> None:
        answer = await client.post("/events", headers={"content-type": STRUCTURED, **GOOD}, data=endless())
        assert (answer.status, "this one has more" in await answer.text()) == (413, True)

    run(monitor, steps)


@pytest.mark.parametrize("given", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": SECRET}, {"Authorization": "Bearer é"}])
def test_without_the_secret_there_is_no_answer(monitor: Monitor, given: dict[str, str]) -> None:
    async def steps(client: Client) -> None:
        headers, body = one(asked(1, [ROW]))
        assert (await client.post("/events", headers={**headers, **given}, data=body)).status == 401
        views = (
            "state",
            "windows",
            "findings",
            "performance",
            *(f"{what}?champion=1&candidate=2&since=2026-01-01" for what in ("paired", "outcomes")),
            "agreement?champion=1&candidate=2&since=2026-01-01&difference=0.2",
            *REPORTS,
        )
        for path in (*(f"/models/default/demand/{what}" for what in views), "/fleet", "/fleet/report", "/fleet/report.png"):
            answer = await client.get(path, headers=given)
            assert (answer.status, "secret" in (await answer.json())["error"]) == (401, True)
        assert (await client.get("/healthz")).status == 200
        assert (await client.get("/metrics")).status == 200

    run(monitor, steps)


AGREEMENT = "/models/default/demand/agreement?champion=1&candidate=2&since=2026-01-01&difference"


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        pytest.param("/models/default/other/state", 404, "known are default/demand", id="an unknown model"),
        pytest.param("/models/default/other/report", 404, "known are default/demand", id="a report of an unknown model"),
        pytest.param("/models/default/demand/windows/7", 404, "has no window 7; it has none yet", id="a window that is not there"),
        pytest.param("/models/default/demand/windows/7/report.png", 404, "has no window 7", id="its picture"),
        pytest.param("/models/default/demand/windows/-1", 400, "'-1' is no window; a whole number", id="a negative window"),
        pytest.param("/models/default/demand/windows/%D9%A1", 400, "is no window", id="digits of another script"),
        pytest.param(f"/models/default/demand/windows/{'9' * 5000}/report", 400, "is no window", id="a number without end"),
        pytest.param("/models/default/demand/report.pdf", 404, "Not Found", id="a report of another kind"),
        pytest.param("/fleet?namespace=No%20Name", 400, "namespace='No Name' is no name", id="a fleet of no namespace"),
        pytest.param("/fleet?namespace=elsewhere", 200, "", id="a namespace without models"),
        pytest.param("/fleet/report", 200, "", id="a fleet's page"),
        pytest.param("/models/default/demand/report", 200, "", id="a model's page before its first row"),
        pytest.param("/models/default/demand/other", 404, "Not Found", id="an unknown view"),
        pytest.param("/models/default/demand/paired?champion=1", 400, "the question lacks", id="a question that is not whole"),
        pytest.param("/models/default/demand/paired?champion=1&candidate=2&since=soon", 400, "'soon' is not a time", id="no time"),
        pytest.param("/models/default/demand/paired?champion=9&candidate=2&since=2026-01-01", 404, "'9'", id="an unknown champion"),
        pytest.param("/models/default/demand/paired?champion=1&candidate=2&since=2026-01-01T00:00:00Z", 200, "", id="a good one"),
        pytest.param("/models/default/demand/outcomes?champion=1", 400, "the question lacks", id="outcomes of no pair"),
        pytest.param(
            "/models/default/demand/outcomes?champion=9&candidate=2&since=2026-01-01", 404, "'9'", id="outcomes of an unknown one"
        ),
        pytest.param("/models/default/demand/outcomes?champion=1&candidate=1&since=2026-01-01", 400, "between two", id="of one version"),
        pytest.param("/models/default/demand/outcomes?champion=1&candidate=2&since=2026-01-01", 200, "{}", id="outcomes of nobody yet"),
        pytest.param(f"{AGREEMENT}=0.2", 200, "", id="whether both agree"),
        pytest.param(f"{AGREEMENT}=-1", 400, "'-1' is not a number such as 0.2", id="a difference below nothing"),
        pytest.param(f"{AGREEMENT}=nan", 400, "'nan' is not a number", id="a difference that is no number"),
        pytest.param(AGREEMENT.removesuffix("&difference"), 400, "the question lacks", id="no difference"),
    ],
)
def test_questions(monitor: Monitor, path: str, status: int, words: str) -> None:
    async def steps(client: Client) -> None:
        await asyncio.to_thread(monitor.watched, "default/demand")
        answer = await client.get(path, headers=GOOD)
        assert (answer.status, words in await answer.text()) == (status, True)

    run(monitor, steps)


def test_traffic_becomes_windows_findings_and_metrics(monitor: Monitor, sent: list[CloudEvent], generator: np.random.Generator) -> None:
    async def steps(client: Client) -> None:
        events = served(instances(generator, 240, shift=1.0))
        headers, body = many(*events)
        for _ in range(2):
            assert (await client.post("/events", headers={**headers, **GOOD}, data=body)).status == 202
        headers, body = one(told(99_999, 1.0, START))
        await client.post("/events", headers={**headers, **GOOD}, data=body)
        deadline = asyncio.get_running_loop().time() + 20
        while len(sent) < 2 and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.02)
        assert {event.data["kind"] for event in sent} == {"covariate", "prediction"}
        found = await (await client.get("/models/default/demand/findings", headers=GOOD)).json()
        assert {finding["id"] for finding in found} == {event.id for event in sent}
        assert len(await (await client.get("/models/default/demand/windows", headers=GOOD)).json()) == 2
        assert len(await (await client.get("/models/default/demand/performance", headers=GOOD)).json()) == 2
        text = await (await client.get("/metrics")).text()
        for line in (
            'trimtab_monitor_events_total{result="accepted",type="org.kubeflow.serving.inference.request"} 240',
            'trimtab_monitor_events_total{result="duplicate",type="org.kubeflow.serving.inference.request"} 240',
            "trimtab_monitor_labels_unknown_key_total 1",
            'trimtab_monitor_rows{model="default/demand",version="1"} 240',
            'trimtab_monitor_findings{kind="covariate"} 1',
        ):
            assert line in text.splitlines()
        assert "trimtab_monitor_watermark_lag_seconds" in text

    run(monitor, steps)


def test_a_window_and_a_model_are_told_as_json_page_and_picture(monitor: Monitor, generator: np.random.Generator) -> None:
    async def steps(client: Client) -> None:
        headers, body = many(*served(instances(generator, 120, shift=1.0)))
        assert (await client.post("/events", headers={**headers, **GOOD}, data=body)).status == 202
        deadline = asyncio.get_running_loop().time() + 20
        found: dict[str, Any] = {}
        while not found.get("drift") and asyncio.get_running_loop().time() < deadline:
            found = await (await client.get("/models/default/demand/windows/0", headers=GOOD)).json()
            await asyncio.sleep(0.02)
        assert found["drift"]["columns"]["load"]["moved"]
        load = found["distributions"]["load"]
        assert len(load["edges"]) == len(load["reference"]) + 1 == len(load["live"]) + 1
        assert (found["rows"], found["labelled"], found["withoutDistributions"]) == (100, 0, "")
        kinds = {"report": "text/html", "report.html": "text/html", "report.png": "image/png"}
        for path in ("/models/default/demand", "/models/default/demand/windows/0", "/fleet"):
            for name, kind in kinds.items():
                answer = await client.get(f"{path}/{name}", headers=GOOD)
                assert (answer.status, answer.content_type) == (200, kind)
                assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert (await answer.read()).startswith(b"<!doctype html>" if kind == "text/html" else b"\x89PNG")
        fleet = await (await client.get("/fleet?namespace=default", headers=GOOD)).json()
        assert [(row["model"], row["state"], row["column"]) for row in fleet["rows"]] == [("default/demand", "watch", "load")]
        text = await (await client.get("/metrics")).text()
        for line in (
            'trimtab_monitor_model_state{model="default/demand",state="watch"} 1',
            'trimtab_monitor_open_quality_findings{model="default/demand"} 0',
        ):
            assert line in text.splitlines()

    run(monitor, steps)
