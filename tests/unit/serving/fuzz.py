"""Requests as nobody should send them, and what each means by another reading than the predictor's: json, and XGBoost on a matrix."""

import json
import math
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from tests.unit.serving.tiny import SCHEMA, matrix

V1 = "/v1/models/bike:predict"
V2 = "/v2/models/bike/infer"
FLOAT32 = 3.4028234663852886e38
DATATYPES = {"hour": "INT64", "temp": "FP64", "season": "BYTES"}
WHOLE = {"INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"}


class Raw(str):
    """JSON text that is put down as it is."""


class Pairs(list):  # type: ignore[type-arg]
    """An object as its pairs, so that a key may be there twice."""


class Case(NamedTuple):
    """One HTTP request to a hot path."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


def text(tree: Any) -> str:
    if isinstance(tree, Raw):
        return str(tree)
    if isinstance(tree, Pairs):
        return "{" + ",".join(f"{json.dumps(key)}:{text(value)}" for key, value in tree) + "}"
    if isinstance(tree, list):
        return "[" + ",".join(map(text, tree)) + "]"
    return json.dumps(tree)


good = {
    "hour": st.integers(0, 23) | st.none(),
    "temp": st.floats(-30, 40).map(lambda value: round(value, 2)) | st.integers(-30, 40) | st.none(),
    "season": st.sampled_from(["fall", "spring", "summer", "monsoon"]) | st.none(),
}
NUMBERS = ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1" + "0" * 400, "1" + "0" * 5000, "1e39", "-1e308", "1e-400", "-0", "01"]
NUMBERS += ["+1", ".5", "1.", "0x10", "1_000", "18446744073709551616", "9007199254740993", "123456789.123456789e-3"]
TEXTS = [
    '"7"',
    '"1e3"',
    '"NaN"',
    '""',
    '"\\ud800"',
    '"\\u0000"',
    '"a:b\\":c"',
    '"' + "x" * 300 + '"',
    '"\x01"',
    "'x'",
    "undefined",
    "true",
    "false",
    "null",
]
NESTED = [
    "[]",
    "{}",
    "[1]",
    '{"a":1,"a":2}',
    '{"a":{"b":[1,2]}}',
    "[" * 600 + "]" * 600,
    "[" * 100_000,
    '{"a":' * 5000 + "1" + "}" * 5000,
    "",
]
nasty = (
    st.sampled_from([Raw(token) for token in NUMBERS + TEXTS + NESTED]) | st.floats().map(lambda value: Raw(repr(value))) | st.integers()
)
keys = st.sampled_from([*SCHEMA.names, "timestamp", "hour_id", "", "HOUR", "hour ", "\u0000", "instances"])


def odds(draw: Any, one_in: int) -> bool:
    """True once in so many; not at an end of the range, which hypothesis tries more often."""
    return bool(draw(st.integers(0, one_in - 1)) == one_in // 2)


@st.composite
def _v1(draw: Any) -> Any:
    rows = []
    for _ in range(draw(st.integers(1, 4))):
        row = Pairs((name, draw(value)) for name, value in good.items())
        while odds(draw, 4):
            act = draw(st.sampled_from(["replace", "drop", "add", "twice", "shuffle"]))
            place = draw(st.integers(0, max(len(row) - 1, 0)))
            if act == "add":
                row.append((draw(keys), draw(nasty)))
            elif act == "shuffle":
                row.reverse()
            elif row and act == "replace":
                row[place] = (row[place][0], draw(nasty))
            elif row and act == "drop":
                del row[place]
            elif row:
                row.insert(draw(st.integers(0, len(row))), row[place])
        rows.append(row)
    others = st.sampled_from([[], [*rows, Raw("null")], [rows], Raw("{}"), Raw("null"), Raw('"rows"'), [[1, 2, 3]]])
    tree = Pairs([("instances", draw(others) if odds(draw, 12) else rows)])
    if odds(draw, 12):
        tree.append((draw(st.sampled_from(["instances", "inputs", "parameters", "signature_name"])), draw(nasty)))
    return tree


shapes = st.sampled_from(
    [[1], [2], [3], [1, 1], [2, 1], [1, 2], [0], [], [-1], [2**63], [10**30], [1.0], ["1"], [True], [None], 1, None, [[1]], [1, 1, 1]]
)
datatypes = st.sampled_from([*sorted(WHOLE), "FP16", "FP32", "FP64", "BOOL", "BYTES", "fp64", "STRING", "", 1, None])


@st.composite
def _v2(draw: Any) -> Any:
    count = draw(st.integers(1, 3))
    inputs = []
    for name, value in good.items():
        data: Any = [draw(value) for _ in range(count)]
        tensor = Pairs([("name", name), ("shape", [count]), ("datatype", DATATYPES[name]), ("data", data)])
        if odds(draw, 8):
            tensor[1] = ("shape", [count, 1])
            tensor[3] = ("data", draw(st.sampled_from([data, [[each] for each in data]])))
        if odds(draw, 12):
            tensor[1] = ("shape", draw(shapes))
        if odds(draw, 12):
            tensor[3] = ("data", draw(st.sampled_from([[data], [[each] for each in data], data + data, data[:-1], Raw("null"), "abc"])))
        if odds(draw, 8):
            tensor[2] = ("datatype", draw(datatypes))
        if odds(draw, 8):
            tensor[3] = ("data", [draw(nasty), *data[1:]])
        if odds(draw, 16):
            place = draw(st.integers(0, 3))
            if draw(st.booleans()):
                tensor.append(tensor[place])
            else:
                tensor.pop(place)
        inputs.append(tensor)
    if odds(draw, 12):
        inputs.append(draw(st.sampled_from([inputs[0], Raw("null"), Raw("1"), Pairs([("name", "x")])])))
    tree = Pairs([("inputs", inputs)])
    if odds(draw, 6):
        tree.append((draw(st.sampled_from(["id", "outputs", "parameters", "inputs", "more"])), draw(nasty)))
    return tree


@st.composite
def _broken(draw: Any, bodies: Any) -> bytes:
    body: bytes = text(draw(bodies)).encode("utf-8", "surrogatepass")
    act = draw(st.sampled_from(["cut", "insert", "twice", "nothing", "tail", "mark", "wide"])) if odds(draw, 5) else "none"
    place = draw(st.integers(0, len(body)))
    if act == "cut":
        return body[:place]
    if act == "insert":
        return body[:place] + draw(st.binary(min_size=1, max_size=4)) + body[place:]
    if act == "twice":
        return body + body
    if act == "nothing":
        return draw(st.sampled_from([b"", b" ", b"null", b"[]", b"{}", b"\0", b"\xff\xfe"]))
    if act == "tail":
        return body + draw(st.sampled_from([b"x", b"\0", b",", b"}", b"\n"]))
    return {"mark": b"\xef\xbb\xbf" + body, "wide": body.decode("utf-8", "replace").encode("utf-16"), "none": body}[act]


types = st.sampled_from(["application/json; charset=utf-8", "text/plain", "application/xml", "multipart/form-data", "x", ""])
more = st.sampled_from([("content-encoding", "gzip"), ("inference-header-content-length", "5"), ("x-envoy-expected-rq-timeout-ms", "x")])
methods = st.sampled_from(["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
queries = st.sampled_from(["?x=1", "?instances=[]", "?%ff"])


@st.composite
def cases(draw: Any) -> Case:
    v2 = draw(st.booleans())
    body = draw(_broken(_v2() if v2 else _v1()))
    headers = {"content-type": draw(types) if odds(draw, 12) else "application/json"}
    headers |= dict([draw(more)]) if odds(draw, 16) else {}
    path = (V2 if v2 else V1) + (draw(queries) if odds(draw, 12) else "")
    return Case(draw(methods) if odds(draw, 20) else "POST", path, headers, body)


def check(case: Case, booster: Any, status: int, answer: bytes) -> None:
    """An answer is a sentence with a 4xx, or what the native model says of the rows by another reading of the body."""
    found = json.loads(answer)
    if status != 200:
        assert status in (400, 405, 413, 415), (status, found)
        assert isinstance(found["error"], str)
        assert len(found["error"].split()) > 3
        return
    v2 = case.path.startswith(V2)
    rows = _meant(case.body, v2)
    assert case.method == "POST"
    expected = booster.predict(matrix(rows))
    predictions = found["outputs"][0]["data"] if v2 else found["predictions"]
    assert np.allclose(predictions, expected, rtol=1e-5), (case, predictions, expected)


def _meant(body: bytes, v2: bool) -> list[dict[str, Any]]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len({key for key, _ in pairs}) == len(pairs), "a key twice was answered"
        return dict(pairs)

    def never(token: str) -> None:
        msg = f"{token} was answered"
        raise AssertionError(msg)

    tree = json.loads(body, object_pairs_hook=once, parse_constant=never)
    rows = tree["instances"] if not v2 else _rows(tree["inputs"])
    assert rows
    return [{name: _value(name, row[name]) for name in SCHEMA.names} for row in rows]


def _rows(inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    assert len({tensor["name"] for tensor in inputs}) == len(inputs)
    columns = {}
    for tensor in inputs:
        count, *rest = tensor["shape"]
        data = [value[0] if isinstance(value, list) else value for value in tensor["data"]]
        assert rest in ([], [1])
        assert len(data) == count
        kind = tensor["datatype"]
        allowed = (str,) if kind == "BYTES" else (bool,) if kind == "BOOL" else (int, float)
        assert all(value is None or (isinstance(value, allowed) and (kind == "BOOL" or not isinstance(value, bool))) for value in data)
        assert kind not in WHOLE or all(value is None or float(value).is_integer() for value in data)
        columns[tensor["name"]] = data
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _value(name: str, value: Any) -> Any:
    if name == "season":
        assert not isinstance(value, list | dict)
        return value
    assert value is None or isinstance(value, int | float), (name, value)
    return None if value is None else math.copysign(min(abs(float(value)), FLOAT32), value)
