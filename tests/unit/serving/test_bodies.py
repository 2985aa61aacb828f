"""What C reads is what the protocol and the schema say, exactly; what they refuse, or is rare, is left to them."""

import json
import string

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from serving.predictor.bodies import reader
from serving.predictor.protocol import Table, parse_v1, parse_v2
from trimtab.errors import InvalidInput, Unavailable
from trimtab.schema import Feature, Schema, encode, encode_columns

FEATURES = (Feature("hour", "number"), Feature("ho", "number"), Feature("season", "category", ("summer", "sum", "wint\u00e9r")))
SCHEMA = Schema("regression", "y", FEATURES)
ROW = {"hour": 7, "ho": -21.5, "season": "summer"}
USUAL_V1 = [
    ("a row", {"instances": [ROW]}),
    ("rows whose features are in another order", {"instances": [ROW, dict(reversed(ROW.items()))]}),
    ("missing values", {"instances": [{"hour": None, "ho": 0, "season": None}]}),
    ("a category that training never saw", {"instances": [{**ROW, "season": "monsoon"}]}),
    ("a category that begins like another", {"instances": [{**ROW, "season": "sum"}, {**ROW, "season": "su"}]}),
    ("a category beyond ASCII", {"instances": [{**ROW, "season": "wint\u00e9r"}]}),
    ("columns that the model does not take", {"instances": [{"id": "a-1", **ROW, "ok": True, "no": False, "n": None, "f": 1e20}]}),
    ("numbers in every form", {"instances": [{**ROW, "hour": number} for number in (0, -0.0, 1e-7, 1.5e22, 12345678901234567, 0.1 + 0.2)]}),
]
TENSORS = [
    {"name": "hour", "shape": [2], "datatype": "INT64", "data": [1, None]},
    {"name": "ho", "datatype": "FP32", "shape": [2, 1], "data": [1, 2.5]},
    {"name": "season", "shape": [2], "datatype": "BYTES", "data": ["sum", "other"]},
]
USUAL_V2 = [
    ("a table", {"inputs": TENSORS}),
    ("an id before", {"id": "a b", "inputs": TENSORS}),
    ("an id after, and another order", {"inputs": TENSORS[::-1], "id": "0"}),
    ("columns that the model does not take", {"inputs": [{**TENSORS[2], "name": "key"}, *TENSORS, {**TENSORS[0], "name": "more"}]}),
]
DATATYPES = ("FP16", "FP32", "FP64", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "BYTES", "BOOL")


def expected(schema, v2, body):
    """What Python says of the body: the matrix and the id, or None where it is refused."""
    try:
        call = parse_v2(body) if v2 else parse_v1(body)
        if isinstance(call.instances, Table):
            matrix = np.array(encode_columns(schema, call.instances.columns)).T
        else:
            matrix = np.array(encode(schema, call.instances))
    except InvalidInput:
        return None
    with np.errstate(over="ignore"):
        return matrix.astype(np.float32), call.id


def same(read, schema, v2, body):
    """Whether the body was read; fails where what was read is not what Python says."""
    found = read(v2, body)
    if found is None:
        return False
    told = expected(schema, v2, body)
    assert told is not None, body
    assert found.id == told[1], body
    matrix = found.instances.matrix
    assert matrix.dtype == np.float32, body
    assert np.array_equal(matrix, told[0], equal_nan=True), body
    return True


def written(value, **style):
    return json.dumps(value, ensure_ascii=False, **style).encode()


STYLES = [{}, {"indent": 1}, {"separators": (",", ":")}]


@pytest.mark.parametrize("style", STYLES, ids=["spaced", "indented", "compact"])
@pytest.mark.parametrize(
    ("v2", "body"),
    [(False, case[1]) for case in USUAL_V1] + [(True, case[1]) for case in USUAL_V2],
    ids=[one[0] for one in USUAL_V1 + USUAL_V2],
)
def test_a_usual_body_is_read_as_it_is_meant(v2, body, style):
    assert same(reader(FEATURES), SCHEMA, v2, written(body, **style))


def v1(**changes):
    return {"instances": [{**ROW, **changes}]}


def v2(**changes):
    return {"inputs": [{**TENSORS[0], **changes}, *TENSORS[1:]]}


LEFT = [
    ("a feature that a row lacks", False, written({"instances": [{"hour": 1, "season": "sum"}]})),
    ("a feature twice", False, b'{"instances": [{"hour": 1, "hour": 2, "ho": 1, "season": "sum"}]}'),
    ("another column twice", False, b'{"instances": [{"hour": 1, "ho": 1, "season": "sum", "k": 1, "k": 1}]}'),
    ("a text for a number", False, written(v1(hour="7"))),
    ("a number for a category", False, written(v1(season=1))),
    ("a boolean for a number", False, written(v1(hour=True))),
    ("a number beyond 32 bits", False, written(v1(hour=1e39))),
    ("a number beyond 64 bits", False, b'{"instances": [{"hour": 1e999, "ho": 1, "season": "sum"}]}'),
    ("a number whose digits 64 bits lose", False, written(v1(hour=2**64))),
    ("a fraction whose digits 64 bits lose", False, b'{"instances": [{"hour": 1.8446744073709551616, "ho": 1, "season": "sum"}]}'),
    ("a number that begins with zero", False, b'{"instances": [{"hour": 01, "ho": 1, "season": "sum"}]}'),
    ("a number that ends with a point", False, b'{"instances": [{"hour": 1., "ho": 1, "season": "sum"}]}'),
    ("NaN, which JSON does not have", False, written(v1(hour=float("nan")))),
    ("a nested value", False, written(v1(more=[1]))),
    ("an escape", False, b'{"instances": [{"hour": 1, "ho": 1, "season": "s\\u0075m"}]}'),
    ("a text that is none", False, b'{"instances": [{"hour": 1, "ho": 1, "season": "\xff"}]}'),
    ("another key beside", False, written({**v1(), "parameters": {}})),
    ("no row", False, b'{"instances": []}'),
    ("something after the end", False, written(v1()) + b"x"),
    ("a zero byte after the end", False, written(v1()) + b"\0"),
    ("no body", False, b""),
    ("a shape that is not the data's", True, written(v2(shape=[3]))),
    ("a shape of two columns", True, written(v2(shape=[2, 2]))),
    ("a size that is no whole number", True, written(v2(shape=[2.5]))),
    ("a size with a point", True, written({"inputs": [{**TENSORS[0], "shape": [2.0]}, *TENSORS[1:]]})),
    ("a size of many digits", True, b'{"inputs": [{"name": "hour", "shape": [18446744073709551617], "datatype": "INT8", "data": [1]}]}'),
    ("no row in a tensor", True, written(v2(shape=[0], data=[]))),
    ("a fraction in a whole number's tensor", True, written(v2(data=[1.5, 2]))),
    ("a number that the datatype cannot hold", True, written(v2(datatype="UINT8", data=[256, 1]))),
    ("an unknown datatype", True, written(v2(datatype="FP128"))),
    ("texts for a number", True, written(v2(datatype="BYTES", data=["1", "2"]))),
    ("a tensor twice", True, written({"inputs": [*TENSORS, TENSORS[0]]})),
    ("a tensor that is missing", True, written({"inputs": TENSORS[1:]})),
    ("parameters", True, written({"inputs": TENSORS, "parameters": {"a": 1}})),
    ("an id that is no text", True, written({"inputs": TENSORS, "id": 1})),
    ("inputs twice", True, b'{"inputs": [], "inputs": []}'),
]


@pytest.mark.parametrize(("v2", "body"), [case[1:] for case in LEFT], ids=[case[0] for case in LEFT])
def test_what_is_rare_or_wrong_is_left_to_python(v2, body):
    assert reader(FEATURES)(v2, body) is None


@pytest.mark.parametrize(
    ("sentence", "features"),
    [
        ("needs escapes", (Feature('a"b', "number"),)),
        ("needs escapes", (Feature("a", "category", ("x\\y",)),)),
        ("has no categories", (Feature("a", "category"),)),
        ("takes no feature", ()),
    ],
    ids=["a quote in a name", "a backslash in a category", "a category of nothing", "no feature"],
)
def test_a_schema_whose_names_have_no_one_form_is_not_read_by_c(sentence, features):
    with pytest.raises(Unavailable, match=sentence):
        reader(features)


NAMES = st.text(st.characters(exclude_characters='"\\\x7f', min_codepoint=32, exclude_categories=("Cs",)), max_size=5)
NUMBERS = st.one_of(
    st.integers(-(10**18), 10**18),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(-1e6, 1e6).map(lambda value: round(value, 4)),
    st.none(),
)


@st.composite
def requests(draw):
    """A schema, and rows of it with a column more."""
    names = draw(st.lists(NAMES, min_size=2, max_size=6, unique=True))
    features = tuple(
        Feature(name, "category", tuple(sorted(draw(st.sets(NAMES, min_size=1, max_size=4)))))
        if draw(st.booleans())
        else Feature(name, "number")
        for name in names[:-1]
    )
    values = [st.sampled_from([*feature.categories, None, "?"]) if feature.categories else NUMBERS for feature in features]
    count = draw(st.integers(1, 5))
    rows = [{feature.name: draw(value) for feature, value in zip(features, values, strict=True)} | {names[-1]: "k"} for _ in range(count)]
    return features, rows, draw(st.sampled_from(STYLES)), draw(st.sampled_from(DATATYPES))


@settings(max_examples=400, deadline=None)
@given(requests())
def test_whatever_is_read_is_what_python_reads(request):
    features, rows, style, datatype = request
    schema, read = Schema("regression", "y", features), reader(features)
    same(read, schema, False, written({"instances": rows}, **style))
    kinds = {feature.name: "BYTES" if feature.categories else datatype for feature in features}
    tensors = [
        {"name": name, "shape": [len(rows)], "datatype": kinds.get(name, "BYTES"), "data": [row[name] for row in rows]} for name in rows[0]
    ]
    same(read, schema, True, written({"id": "7", "inputs": tensors}, **style))


@settings(max_examples=500, deadline=None)
@example("18446744073709551616")
@example("0.18446744073709551616")
@example("00.0000000000000000000000001")
@example("0.0000000000000000000000001")
@given(st.from_regex(r"-?(0|[1-9][0-9]{0,19})(\.[0-9]{1,22})?([eE][-+]?[0-9]{1,3})?", fullmatch=True))
def test_a_number_is_the_nearest_float(text):
    features = (Feature("x", "number"),)
    same(reader(features), Schema("regression", "y", features), False, b'{"instances": [{"x": %b}]}' % text.encode())


def test_decimals_of_all_lengths_are_read_and_right():
    """Of such numbers none is left to Python but the few that lie at a half of the last place."""
    rng, features = np.random.default_rng(0), (Feature("x", "number"),)
    read, schema = reader(features), Schema("regression", "y", features)
    numbers = (rng.uniform(-1, 1, 20_000) * 10.0 ** rng.integers(-6, 8, 20_000)).tolist()
    assert sum(same(read, schema, False, written({"instances": [{"x": number}]})) for number in numbers) > 19_900


def test_a_body_with_a_few_bytes_changed_is_read_as_python_does_or_left():
    rng, read = np.random.default_rng(1), reader(FEATURES)
    whole = [(False, written(case[1], **style)) for case in USUAL_V1 for style in STYLES]
    whole += [(True, written(case[1], **style)) for case in USUAL_V2 for style in STYLES]
    alphabet = np.frombuffer(b'{}[]",:.-+eE0123456789 \n\\nulltruefalse\0\xff' + string.ascii_letters.encode(), dtype=np.uint8)
    taken = 0
    for _ in range(20_000):
        v2, body = whole[rng.integers(len(whole))]
        changed = bytearray(body)
        for _ in range(rng.integers(1, 4)):
            at = rng.integers(len(changed) or 1)
            changed[at : at + rng.integers(4)] = rng.choice(alphabet, rng.integers(3)).tobytes()
        taken += same(read, SCHEMA, v2, bytes(changed))
    assert taken > 1_000
