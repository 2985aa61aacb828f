"""KServe's V1 and Open Inference (V2) protocols as bytes in and bytes out; both mean the same rows by column.

Each error is an `InvalidInput` whose sentence names the field, what was found and what is allowed.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, overload

import msgspec
from msgspec import Meta, Struct

from serving.predictor import repeated
from trimtab.errors import InvalidInput

Row = dict[str, Any]
Predictions = list[float] | list[list[float]]

OUTPUT = "predict"
_WHOLE: dict[str, tuple[float, float]] = {f"INT{bits}": (-(1 << bits - 1), (1 << bits - 1) - 1) for bits in (8, 16, 32, 64)}
_WHOLE |= {f"UINT{bits}": (0, (1 << bits) - 1) for bits in (8, 16, 32, 64)}
_REAL = {name: (-most, most) for name, most in (("FP16", 65504.0), ("FP32", 3.4028234663852886e38), ("FP64", 1.7976931348623157e308))}
_RANGES = _WHOLE | _REAL
_TYPES: dict[str, set[type]] = {"BOOL": {bool}, "BYTES": {str}, **{name: {int, float} for name in _RANGES}}
_V1_SHAPE = 'allowed is {"instances": [{column: value, ...}, ...]}: one object a row, by column names'
_V2_SHAPE = 'allowed is {"inputs": [{"name", "shape", "datatype", "data"}, ...]}: one tensor a column'


class _V1(Struct):
    instances: list[Row]


class _Tensor(Struct):
    name: str
    shape: list[Annotated[int, Meta(ge=0)]]
    datatype: str
    data: list[Any]
    parameters: dict[str, Any] | None = None


class _Output(Struct):
    name: str
    parameters: dict[str, Any] | None = None


class _V2(Struct):
    inputs: list[_Tensor]
    id: str | None = None
    parameters: dict[str, Any] | None = None
    outputs: list[_Output] = []


class Table(Sequence[Row]):
    """Rows that came by column: a row is made only for who asks for one. All columns have the same number of values."""

    def __init__(self, columns: dict[str, list[Any]]) -> None:
        self.columns = columns
        self._rows = len(next(iter(columns.values()), ()))

    def __len__(self) -> int:
        return self._rows

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(self._rows))]
        return {name: column[index] for name, column in self.columns.items()}

    def __iter__(self) -> Iterator[Row]:
        names = list(self.columns)
        return (dict(zip(names, values, strict=True)) for values in zip(*self.columns.values(), strict=True))


class Call(Struct, frozen=True):
    """The rows of a request, and the id and parameters that a V2 caller gave it."""

    instances: Sequence[Row]
    id: str | None = None
    parameters: dict[str, Any] | None = None


_v1 = msgspec.json.Decoder(_V1)
_v2 = msgspec.json.Decoder(_V2)


def parse_v1(body: bytes) -> Call:
    """The rows of a V1 body; any column is kept, whether the model knows it or not."""
    found = _decode(_v1, body, _V1_SHAPE)
    repeated.refuse(body, 1 + sum(map(len, found.instances)))
    if not found.instances:
        msg = f'"instances" has no row; {_V1_SHAPE}'
        raise InvalidInput(msg)
    return Call(found.instances)


def parse_v2(body: bytes, answered: str = OUTPUT) -> Call:
    """The rows of a V2 body: each input is one column of shape [n] or [n, 1]; inputs that the model does not know are kept.

    `answered` is the only output that may be asked for.
    """
    found = _decode(_v2, body, _V2_SHAPE)
    repeated.refuse(body, 1 + (found.id is not None) + 4 * len(found.inputs))
    if not found.inputs:
        msg = f'"inputs" has no tensor; {_V2_SHAPE}'
        raise InvalidInput(msg)
    for output in found.outputs:
        if output.name != answered:
            msg = f'"outputs": found {output.name!r:.60}, the only output is {answered!r}'
            raise InvalidInput(msg)
    columns: dict[str, list[Any]] = {}
    for tensor in found.inputs:
        if tensor.name in columns:
            msg = f"input {tensor.name!r:.60} is given twice"
            raise InvalidInput(msg)
        columns[tensor.name] = _column(tensor)
    first, *others = columns.items()
    for name, column in others:
        if len(column) != len(first[1]):
            msg = f"input {name!r:.60} has {len(column)} rows and input {first[0]!r:.60} has {len(first[1])}: all need the same number"
            raise InvalidInput(msg)
    if not first[1]:
        msg = "the inputs have no row; at least one is needed"
        raise InvalidInput(msg)
    return Call(Table(columns), found.id, found.parameters)


def answer_v1(predictions: Predictions) -> bytes:
    """The V1 body of an answer: one prediction a row."""
    return msgspec.json.encode({"predictions": predictions})


def answer_v2(predictions: Predictions, name: str, version: str, request_id: str, parameters: dict[str, Any] | None = None) -> bytes:
    """The V2 body of an answer: one FP64 tensor `predict` of shape [n], or [n, classes]; id and parameters are the caller's own."""
    rows = [value for row in predictions for value in row] if isinstance(predictions[0], list) else predictions
    shape = [len(predictions), len(predictions[0])] if isinstance(predictions[0], list) else [len(predictions)]
    output = {"name": OUTPUT, "shape": shape, "datatype": "FP64", "data": rows}
    answer = {"model_name": name, "model_version": version, "id": request_id, "outputs": [output]}
    return msgspec.json.encode(answer if parameters is None else {**answer, "parameters": parameters})


def _decode(decoder: "msgspec.json.Decoder[Any]", body: bytes, allowed: str) -> Any:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        msg = f"the request: {error}; {allowed}"
        raise InvalidInput(msg) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        msg = f"the request's body is not JSON: {error}"
        raise InvalidInput(msg) from error


def _column(tensor: _Tensor) -> list[Any]:
    if len(tensor.shape) not in (1, 2) or (len(tensor.shape) == 2 and tensor.shape[1] != 1):
        msg = f"{_where(tensor)}: found shape {str(tensor.shape)[:60]}, [n] or [n, 1] is allowed"
        raise InvalidInput(msg)
    values = tensor.data
    if len(tensor.shape) == 2 and any(isinstance(value, list) for value in values):
        if not all(isinstance(value, list) and len(value) == 1 for value in values):
            msg = f"{_where(tensor)}: shape {tensor.shape} asks for data like [[1], [2]] or [1, 2]"
            raise InvalidInput(msg)
        values = [value[0] for value in values]
    if len(values) != tensor.shape[0]:
        msg = f"{_where(tensor)}: shape {tensor.shape} asks for {tensor.shape[0]} values, found {len(values)}"
        raise InvalidInput(msg)
    types = _TYPES.get(tensor.datatype)
    if types is None:
        msg = f"{_where(tensor)}: found datatype {tensor.datatype!r:.60}, allowed are {', '.join(sorted(_TYPES))}"
        raise InvalidInput(msg)
    found = values if None not in values else [value for value in values if value is not None]
    if not _fit(found, tensor.datatype, types):
        bad = next(value for value in found if not _fit([value], tensor.datatype, types))
        msg = f"{_where(tensor)}: found {bad!r:.60} in a tensor of datatype {tensor.datatype}"
        raise InvalidInput(msg)
    return values


def _where(tensor: _Tensor) -> str:
    return f"input {tensor.name!r:.60}"


def _fit(values: list[Any], datatype: str, types: set[type]) -> bool:
    """Whether the datatype can hold each value; a whole number may be written with a point."""
    kinds = {*map(type, values)}
    if not kinds <= types:
        return False
    if datatype not in _RANGES or not values:
        return True
    lowest, highest = _RANGES[datatype]
    if min(values) < lowest or max(values) > highest:
        return False
    return datatype not in _WHOLE or float not in kinds or all(float(value).is_integer() for value in values)
