import msgspec
import pytest

from serving.predictor.protocol import answer_v1, answer_v2, parse_v1, parse_v2
from trimtab.errors import InvalidInput

V1_BAD = [
    ("a cut-off body", b'{"instances": [', "not JSON"),
    ("no body", b"", "not JSON"),
    ("bytes that are no text", b'{"instances": [{"hour": "\xff\xfe"}]}', "not JSON"),
    ("an array instead of an object", b"[]", "Expected `object`, got `array`"),
    ("no instances", b'{"rows": []}', "missing required field `instances`"),
    ("instances that are no list", b'{"instances": {}}', "Expected `array`, got `object` - at `$.instances`"),
    ("rows as lists", b'{"instances": [[1, 2]]}', "one object a row, by column names"),
    ("a row that is null", b'{"instances": [null]}', "Expected `object`, got `null` - at `$.instances[0]`"),
    ("no row", b'{"instances": []}', "has no row"),
    ("NaN, which JSON does not have", b'{"instances": [{"hour": NaN}]}', "not JSON"),
    ("nesting without end", b'{"instances": [{"hour": ' + b"[" * 100_000, "not JSON"),
]


@pytest.mark.parametrize(("body", "sentence"), [case[1:] for case in V1_BAD], ids=[case[0] for case in V1_BAD])
def test_a_malformed_v1_body_is_a_sentence(body, sentence):
    with pytest.raises(InvalidInput) as caught:
        parse_v1(body)
    assert sentence in str(caught.value)


def tensor(**changes):
    return {"name": "hour", "shape": [1], "datatype": "FP64", "data": [1.5], **changes}


V2_BAD = [
    ("no inputs", {"inputs": []}, "has no tensor"),
    ("a tensor without data", {"inputs": [{"name": "hour", "shape": [1], "datatype": "FP64"}]}, "missing required field `data`"),
    ("a matrix of several columns", {"inputs": [tensor(shape=[1, 2], data=[1, 2])]}, "[n] or [n, 1] is allowed"),
    ("a scalar shape", {"inputs": [tensor(shape=[])]}, "[n] or [n, 1] is allowed"),
    ("a negative size", {"inputs": [tensor(shape=[-1])]}, "Expected `int` >= 0"),
    ("fewer values than the shape says", {"inputs": [tensor(shape=[2])]}, "asks for 2 values, found 1"),
    ("an unknown datatype", {"inputs": [tensor(datatype="COMPLEX")]}, "found datatype 'COMPLEX'"),
    ("a text in a number's tensor", {"inputs": [tensor(data=["x"])]}, "found 'x' in a tensor of datatype FP64"),
    ("a boolean in a number's tensor", {"inputs": [tensor(data=[True])]}, "found True"),
    ("a number in a text's tensor", {"inputs": [tensor(datatype="BYTES", data=[1])]}, "datatype BYTES"),
    ("a number in a boolean's tensor", {"inputs": [tensor(datatype="BOOL", data=[1])]}, "datatype BOOL"),
    ("a column twice", {"inputs": [tensor(), tensor()]}, "given twice"),
    ("columns of different length", {"inputs": [tensor(), tensor(name="temp", shape=[2], data=[1, 2])]}, "all need the same number"),
    ("no row", {"inputs": [tensor(shape=[0], data=[])]}, "at least one is needed"),
    ("another output", {"inputs": [tensor()], "outputs": [{"name": "proba"}]}, "the only output is 'predict'"),
]


@pytest.mark.parametrize(("body", "sentence"), [case[1:] for case in V2_BAD], ids=[case[0] for case in V2_BAD])
def test_a_malformed_v2_body_is_a_sentence(body, sentence):
    with pytest.raises(InvalidInput) as caught:
        parse_v2(msgspec.json.encode(body))
    assert sentence in str(caught.value)


def test_both_protocols_mean_the_same_rows():
    v1 = parse_v1(b'{"instances": [{"hour": 1, "season": "fall", "when": "x"}, {"hour": null, "season": null, "when": "y"}]}')
    inputs = [
        {"name": "hour", "shape": [2, 1], "datatype": "INT64", "data": [[1], [None]]},
        {"name": "season", "shape": [2], "datatype": "BYTES", "data": ["fall", None]},
        {"name": "when", "shape": [2], "datatype": "BYTES", "data": ["x", "y"]},
    ]
    v2 = parse_v2(msgspec.json.encode({"id": "mine", "inputs": inputs}))
    assert v1.instances == list(v2.instances) == [v2.instances[0], *v2.instances[1:]]
    assert v2.id == "mine"


def test_answers_have_one_prediction_a_row():
    assert answer_v1([1.5, 2.0]) == b'{"predictions":[1.5,2.0]}'
    single = msgspec.json.decode(answer_v2([1.5, 2.0], "m", "3", "i"))["outputs"]
    assert single == [{"name": "predict", "shape": [2], "datatype": "FP64", "data": [1.5, 2.0]}]
    several = msgspec.json.decode(answer_v2([[0.1, 0.9], [0.4, 0.6]], "m", "3", "i"))["outputs"]
    assert several == [{"name": "predict", "shape": [2, 2], "datatype": "FP64", "data": [0.1, 0.9, 0.4, 0.6]}]
