"""Notifications of object stores: which objects they name, which Models read them, and what the monitor's own door makes of them."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from aiohttp import test_utils

from tests.unit.control.storage import MemoryObjects
from tests.unit.control.world import World
from tests.unit.monitoring.folders import MemoryFleet, ScipyDetector, model
from tests.unit.monitoring.test_gate import ANN, Rights
from tests.unit.monitoring.test_server import many, one
from trimtab.control.intake import accept
from trimtab.errors import InvalidInput
from trimtab.events import NEW_DATA, CloudEvent
from trimtab.monitoring.gate import Access
from trimtab.monitoring.monitor import Monitor
from trimtab.monitoring.notified import notifies, wishes, written
from trimtab.monitoring.ports import Watched
from trimtab.monitoring.server import make_app
from trimtab.platforms.releases import release_sink
from trimtab.spec import Data, DataWatch, Metadata, Model, Retraining

NOW = datetime(2026, 3, 1, 12, 7, 30, tzinfo=UTC)
S3 = {"bucket": {"name": "lake"}, "object": {"key": "rows/dt%3D1/my+rows.csv", "size": 7}}
RECORD = {"eventName": "ObjectCreated:Put", "eventTime": "2026-03-01T12:01:00.000Z", "s3": S3}
BRIDGED = {"detail-type": "Object Created", "time": "2026-03-01T12:01:00Z", "detail": {**S3, "object": {"key": "rows/dt=1/my rows.csv"}}}
OURS = "s3://lake/rows/dt=1/my rows.csv"


def event(kind: str, data: Any, source: str = "aws:s3.eu-west-1.lake", subject: str = "") -> CloudEvent:
    return CloudEvent("n1", source, kind, subject=subject, data=data)


SHAPES = (
    ("the CloudEvents adapter's", event("com.amazonaws.s3.ObjectCreated:Put", {"s3": S3}), [OURS]),
    ("the same, with the part s3 alone", event("com.amazonaws.s3.ObjectCreated:Put", S3), [OURS]),
    ("TriggerMesh's, a whole record", event("com.amazon.s3.objectcreated", RECORD), [OURS]),
    (
        "Ceph's, and what a MinIO webhook sends in an envelope",
        event("com.amazonaws.ObjectCreated:Put", {"Records": [RECORD] * 2}),
        [OURS] * 2,
    ),
    ("EventBridge's message", event("Object Created", BRIDGED, "aws.s3"), [OURS]),
    ("EventBridge's detail alone", event("Object Created", BRIDGED["detail"], "aws.s3"), [OURS]),
    ("Google's", event("google.cloud.storage.object.v1.finalized", {"bucket": "lake", "name": "a b.csv"}), ["gs://lake/a b.csv"]),
    (
        "Google's, where only source and subject name it",
        event("google.cloud.storage.object.v1.finalized", None, "//storage.googleapis.com/projects/_/buckets/lake", "objects/a.csv"),
        ["gs://lake/a.csv"],
    ),
    ("an object that was removed", event("com.amazonaws.s3.ObjectRemoved:Delete", {"s3": S3}), []),
    ("the test event of a new notification", event("com.amazon.s3.testevent", {}), []),
    ("EventBridge's of a removed object", event("Object Deleted", BRIDGED, "aws.s3"), []),
    ("Google's of a removed object", event("google.cloud.storage.object.v1.deleted", {"bucket": "lake", "name": "a"}), []),
)


@pytest.mark.parametrize(("name", "told", "expected"), SHAPES, ids=[case[0] for case in SHAPES])
def test_shapes(name: str, told: CloudEvent, expected: list[str]) -> None:
    assert notifies(told), name
    assert [found.uri for found in written(told, NOW)] == expected


@pytest.mark.parametrize(
    "kind", ["dev.trimtab.newdata.v1", "org.kubeflow.serving.inference.request", "com.example.ObjectCreated", "object created"]
)
def test_other_events_are_none(kind: str) -> None:
    assert not notifies(event(kind, {"s3": S3}))


BAD = (
    ("no data", event("com.amazonaws.s3.ObjectCreated:Put", None), "lacks s3.bucket.name and s3.object.key"),
    ("a key that is no text", event("com.amazonaws.s3.ObjectCreated:Put", {"s3": {**S3, "object": {"key": 7}}}), "lacks s3.bucket.name"),
    ("records that are none", event("com.amazonaws.s3.ObjectCreated:Put", {"Records": "x"}), "lacks s3.bucket.name"),
    ("no bucket", event("Object Created", {"detail": {}}), "lacks detail.bucket.name and detail.object.key"),
    ("no name", event("google.cloud.storage.object.v1.finalized", {"bucket": "lake"}), "lacks bucket and name"),
    ("a time that is none", event("com.amazon.s3.objectcreated", {**RECORD, "eventTime": "noon"}), "'noon' is no time"),
)


@pytest.mark.parametrize(("told", "sentence"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_bad_shapes_get_a_sentence(told: CloudEvent, sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        written(told, NOW)


def reading(name: str, uri: str, watch: DataWatch | None = None, on: Any = ("newData",), namespace: str = "default") -> Model:
    made = model(name)
    spec = msgspec.structs.replace(made.spec, data=Data(uri, "y"), retraining=Retraining(on=on, new_data=watch))
    return msgspec.structs.replace(made, metadata=Metadata(name, namespace, f"uid-{name}"), spec=spec)


READERS = (
    (reading("whole", OURS), True),
    (reading("pattern", "s3://lake/rows/*/*.csv"), True),
    (reading("deep", "s3://lake/**/*.csv"), True),
    (reading("shallow", "s3://lake/rows/*.csv"), False),
    (reading("parquet", "s3://lake/**/*.parquet"), False),
    (reading("other-store", OURS.replace("s3:", "gs:")), False),
    (reading("other-bucket", "s3://lake2/**/*.csv"), False),
    (reading("elsewhere", "s3://copy/x.csv", DataWatch("s3://lake/**/*.csv")), True),
    (reading("watches-another", OURS, DataWatch("s3://lake/done.txt")), False),
    (reading("does-not-ask", OURS, on=("performance",)), False),
)


@pytest.mark.parametrize(("reader", "expected"), READERS, ids=[reader.name for reader, _ in READERS])
def test_who_reads_an_object(reader: Model, expected: bool) -> None:
    assert [made.subject for made in wishes(written(SHAPES[0][1], NOW), [reader])] == [f"default/{reader.name}"] * expected


def test_a_storm_is_one_wish_in_five_minutes() -> None:
    start = datetime(2026, 3, 1, 12, tzinfo=UTC)
    records = [{**RECORD, "eventTime": (start + timedelta(seconds=number / 4)).isoformat()} for number in range(1000)]
    told = [event("com.amazon.s3.objectcreated", record) for record in records]
    asked = [made for one_of_them in told for made in wishes(written(one_of_them, NOW), [reading("demand", OURS)])]
    assert len(asked) == 1000
    assert len({(made.source, made.id) for made in asked}) == 1
    late = wishes(
        written(event("com.amazon.s3.objectcreated", {**RECORD, "eventTime": "2026-03-01T12:05:00Z"}), NOW), [reading("demand", OURS)]
    )
    assert late[0].id != asked[0].id


def test_a_run_reads_up_to_when_the_object_was_written_and_never_later_than_now() -> None:
    (early,), (late,) = (
        wishes(written(event("com.amazon.s3.objectcreated", {**RECORD, "eventTime": at}), NOW), [reading("demand", OURS)])
        for at in ("2026-03-01T12:01:00Z", "2030-01-01T00:00:00Z")
    )
    assert (early.data["cut"], late.data["cut"]) == ("2026-03-01T12:01:00+00:00", NOW.isoformat())
    assert early.type == NEW_DATA


def posted(
    monitor: Monitor, gate: Rights, messages: Sequence[tuple[dict[str, str], bytes]], objects: MemoryObjects
) -> list[tuple[int, Any]]:
    """What the monitor answers to these posts, with the real sink of Releases behind its door."""
    found: list[tuple[int, Any]] = []

    async def all_of_it() -> None:
        server = test_utils.TestServer(make_app(monitor, gate, release_sink(objects), interval=0.05))
        async with test_utils.TestClient(server) as client:
            for headers, body in messages:
                answer = await client.post("/events", data=body, headers={**ANN, **headers})
                found.append((answer.status, await answer.json()))

    asyncio.run(all_of_it())
    return found


class Door:
    """A monitor that watches these Models, and the objects that Releases are created among."""

    def __init__(self, folder: Any, *models: Model) -> None:
        self.world = World()
        fleet = MemoryFleet(*(Watched(self.world.store.create(reader)) for reader in models))
        self.monitor = Monitor(folder / "m.db", fleet, ScipyDetector(), lambda _: None)
        self.monitor.tick(NOW)

    def post(self, gate: Rights, *messages: tuple[dict[str, str], bytes]) -> list[tuple[int, Any]]:
        return posted(self.monitor, gate, messages, self.world.objects)


def may(*models: str) -> Rights:
    return Rights(*(Access("create", "events", name) for name in models))


def test_a_thousand_objects_make_one_release_through_the_monitors_door(tmp_path: Any) -> None:
    door = Door(tmp_path, reading("demand", "s3://lake/rows/**/*.csv"), reading("other", "s3://other/*.csv"))
    single = [one(event("com.amazonaws.s3.ObjectCreated:Put", {**RECORD, "eventTime": "2026-03-01T12:01:00Z"})) for _ in range(3)]
    storm = many(*(event("com.amazon.s3.objectcreated", RECORD) for _ in range(1000)))
    answers = door.post(may("default/demand"), *single, storm)
    assert [status for status, _ in answers] == [202] * 4
    (made,) = door.world.releases("demand")
    assert (made.spec.request.trigger, made.spec.request.event["object"]) == ("newData", OURS)
    assert door.world.releases("other") == []
    assert accept(wishes(written(SHAPES[2][1], NOW), [door.world.model("demand")])[0], door.world.objects).result == "duplicate"


READ_BY_TWO = (reading("demand", OURS), reading("stranger", OURS, namespace="theirs"))


def test_who_may_not_send_is_refused(tmp_path: Any) -> None:
    door = Door(tmp_path, *READ_BY_TWO)
    ((status, said),) = door.post(may(), one(SHAPES[0][1]))
    assert (status, "may not create events" in said["error"]) == (403, True)
    assert door.world.releases("demand") == door.world.releases("stranger") == []


def test_a_stranger_who_reads_the_same_object_does_not_refuse_others(tmp_path: Any) -> None:
    door = Door(tmp_path, *READ_BY_TWO)
    assert door.post(may("default/demand"), one(SHAPES[0][1]))[0][0] == 202
    assert [len(door.world.releases(name)) for name in ("demand", "stranger")] == [1, 0]


def test_what_no_model_reads_asks_for_nothing_and_a_bad_one_is_refused(tmp_path: Any) -> None:
    door = Door(tmp_path, reading("demand", "s3://another/*.csv"))
    unread, (status, said) = door.post(may(), one(SHAPES[0][1]), one(BAD[0][1]))
    assert unread == (202, {"accepted": 0})
    assert (status, "lacks s3.bucket.name and s3.object.key" in said["error"]) == (400, True)
