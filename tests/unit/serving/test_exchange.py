"""What is told of an exchange does not depend on how it came, or on whether its bodies were taken apart."""

import json
import re

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from serving.predictor.exchange import Encoder, Exchange, Identity, Told
from serving.predictor.protocol import answer_v1, answer_v2, parse_v2
from trimtab.events import REQUEST, RESPONSE
from trimtab.monitoring.payload import Payload
from trimtab.monitoring.payload import answers as answers_of
from trimtab.monitoring.payload import rows as rows_of

WHO = Identity("bike", "default", "3")
TIME = 1_767_225_600_123_456_789

numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53) | st.none()
values = numbers | st.booleans() | st.text() | st.lists(numbers, max_size=2)
rows = st.lists(st.dictionaries(st.text(max_size=8), values, max_size=4), min_size=1, max_size=4)
predictions = st.lists(st.floats(0, 1), min_size=1, max_size=4) | st.lists(st.lists(st.floats(0, 1), min_size=2, max_size=2), min_size=1)
columns = st.dictionaries(st.text(min_size=1, max_size=8), st.lists(st.none() | st.floats(-9, 9), min_size=3, max_size=3), min_size=1)


def events(exchange, *redact):
    line = Encoder(WHO, Told(redact=frozenset(redact))).encoded(exchange)
    assert b"\n" not in line.body
    found = msgspec.json.decode(b"[" + line.body + b"]")
    assert len(found) == line.events == exchange.events
    return found


@given(rows, predictions, st.sampled_from([None, 2]), st.text(min_size=1))
def test_a_body_that_is_told_as_it_came_tells_what_taking_it_apart_does(instances, predicted, indent, name):
    body = json.dumps({"instances": instances}, indent=indent).encode()
    exchange = Exchange(name, TIME, False, body, answer_v1(predicted))
    whole = events(exchange)
    assert whole == events(exchange, "no such column at all")
    assert whole[0]["data"] == {"instances": instances}
    assert whole[1]["data"] == {"predictions": predicted}
    assert [(event["type"], event["id"], event["time"]) for event in whole] == [
        (REQUEST, name, "2026-01-01T00:00:00.123456Z"),
        (RESPONSE, name, "2026-01-01T00:00:00.123456Z"),
    ]


@given(columns, predictions, st.booleans())
def test_a_v2_exchange_tells_the_monitor_the_rows_that_the_model_was_given(table, predicted, nested):
    def tensor(name, data):
        shaped = {"shape": [3, 1], "data": [[value] for value in data]} if nested else {"shape": [3], "data": data}
        return {"name": name, "datatype": "FP64", **shaped}

    mine = {"who": "somebody"}
    body = json.dumps({"inputs": [tensor(name, data) for name, data in table.items()], "parameters": mine}).encode()
    exchange = Exchange("id", TIME, True, body, answer_v2(predicted, "bike", "3", "id", mine))
    request, response = (msgspec.convert(event["data"], Payload) for event in events(exchange))
    assert rows_of(request) == list(parse_v2(body).instances)
    assert answers_of(response) == predicted
    redacted = next(iter(table))
    told = [event["data"] for event in events(exchange, redacted)]
    assert [tensor["name"] for tensor in told[0]["inputs"]] == [name for name in table if name != redacted]
    assert [list(data) for data in told] == [["inputs"], ["outputs"]], "nothing else that the caller said"


@given(rows, st.booleans())
def test_a_redacted_column_is_in_no_event(instances, failed):
    body = json.dumps({"inputs": "DE99", "instances": [{**row, "iban": "DE99"} for row in instances]}).encode()
    found = events(Exchange("id", TIME, False, body, None if failed else answer_v1([0.5])), "iban")
    assert found[0]["data"] == {"instances": [{name: value for name, value in row.items() if name != "iban"} for row in instances]}


def unit_of(value, name="bike"):
    exchange = Exchange("id", TIME, False, b'{"instances": []}', b'{"predictions": []}', value)
    line = Encoder(Identity(name, "default", "3"), Told()).encoded(exchange).body
    assert not value or value not in line, "nobody is told the value itself"
    request, response = msgspec.json.decode(b"[" + line + b"]")
    assert "trimtabunit" not in response
    return request.get("trimtabunit")


def test_who_asked_is_told_as_a_pseudonym_that_is_the_same_for_every_version_and_another_for_another_model():
    unit = unit_of(b"ada@example.com")
    assert re.fullmatch("[0-9a-f]{16}", unit)
    assert unit_of(b"ada@example.com") == unit
    assert len({unit, unit_of(b"bob@example.com"), unit_of(b"ada@example.com", "boat"), unit_of("Ada Łu".encode())}) == 4
    assert unit_of(b"") is None
    assert unit_of(b"\xff\xfe") is None, "whom the gateway does not assign is nobody"
