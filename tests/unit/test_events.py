"""CloudEvents in their three HTTP modes, and what is none of them."""

import json
from datetime import UTC, datetime

import pytest

from trimtab.errors import InvalidInput
from trimtab.events import BATCH, LABEL, STRUCTURED, Finding, Label, data_of, finding_event, parse, structured

EVENT = {"specversion": "1.0", "id": "1", "source": "s", "type": LABEL, "data": {"a": 1}}


def test_the_three_modes_give_the_same_event() -> None:
    one = parse({"Content-Type": STRUCTURED}, json.dumps(EVENT).encode())
    batch = parse({"content-type": BATCH + "; charset=utf-8"}, json.dumps([EVENT]).encode())
    headers = {"Ce-Id": "1", "Ce-Source": "s", "Ce-Type": LABEL, "Ce-Specversion": "1.0", "Content-Type": "application/json"}
    assert one == batch == parse(headers, b'{"a": 1}')


def test_what_is_beyond_the_specification_s_attributes_is_an_extension_and_survives_a_round_trip() -> None:
    event = parse({"content-type": STRUCTURED}, json.dumps({**EVENT, "trimtabversion": "7"}).encode())[0]
    assert event.extensions == {"trimtabversion": "7"}
    assert parse({"content-type": STRUCTURED}, json.dumps(structured(event)).encode())[0] == event


BAD = {
    "no CloudEvent at all": ({"content-type": "application/json"}, b"{}", 'not a CloudEvent: neither "ce-" headers nor'),
    "not JSON": ({"content-type": STRUCTURED}, b"{", "not JSON"),
    "bytes that are no text": ({"content-type": STRUCTURED}, b'"\xff"', "not JSON"),
    "an object where a batch belongs": ({"content-type": BATCH}, b"{}", "a batch of CloudEvents is a JSON array"),
    "a text in a batch names its place": ({"content-type": BATCH}, b'["x"]', "event 0 of the batch: a CloudEvent is a JSON object"),
    "without an id": ({"content-type": STRUCTURED}, json.dumps({**EVENT, "id": ""}).encode(), "not a CloudEvent 1.0"),
    "of another version": ({"content-type": STRUCTURED}, json.dumps({**EVENT, "specversion": "0.3"}).encode(), "$.specversion"),
    "without a version": ({"ce-id": "1", "ce-type": "t", "ce-source": "s"}, b"", '"specversion" is missing'),
    "a time that is none": ({"content-type": STRUCTURED}, json.dumps({**EVENT, "time": "noon"}).encode(), "$.time"),
}


@pytest.mark.parametrize(("headers", "body", "sentence"), BAD.values(), ids=BAD.keys())
def test_a_malformed_event_is_refused_with_a_sentence(headers: dict[str, str], body: bytes, sentence: str) -> None:
    with pytest.raises(InvalidInput) as error:
        parse(headers, body)
    assert sentence in str(error.value)


def test_data_that_is_not_as_the_type_asks_names_the_event_and_the_field() -> None:
    event = parse({"content-type": STRUCTURED}, json.dumps(EVENT).encode())[0]
    with pytest.raises(InvalidInput, match=r"event '1' of type dev\.trimtab\.label\.v1.*`model`"):
        data_of(event, Label)


def test_the_same_finding_twice_is_the_same_event_and_another_window_is_another() -> None:
    now = datetime(2011, 9, 1, tzinfo=UTC)
    finding = Finding("bikes", "default", "uid", "1", "concept", 3, now, now, now, "worse")
    other = Finding("bikes", "default", "uid", "1", "concept", 4, now, now, now, "worse")
    assert finding_event(finding, "/monitor") == finding_event(finding, "/monitor")
    assert finding_event(finding, "/monitor").id != finding_event(other, "/monitor").id
    assert data_of(finding_event(finding, "/monitor"), Finding) == finding
