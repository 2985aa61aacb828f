"""Bodies as they went over the wire, by V1 or V2, as rows and predictions: what our predictors tell, and what KServe's logger does."""

from collections.abc import Sequence
from math import prod
from typing import Any

from msgspec import Struct

from trimtab.errors import InvalidInput


class Tensor(Struct):
    """A V2 tensor: values nested by its shape, or flat in row-major order."""

    name: str
    shape: tuple[int, ...]
    data: list[Any]


class Payload(Struct):
    """The body of a request (`instances` or `inputs`) or of an answer (`predictions` or `outputs`); all None: of neither."""

    instances: list[Any] | None = None
    inputs: list[Tensor] | None = None
    predictions: list[Any] | None = None
    outputs: list[Tensor] | None = None


def rows(body: Payload, names: Sequence[str] = ()) -> list[dict[str, Any]] | None:
    """The rows of a request; None where it is none.

    With `names`, the features in their order, a row may be a list of values, and a single tensor of another name all of them.
    """
    if body.instances is not None:
        return [_named(row, names) for row in body.instances]
    if body.inputs is None:
        return None
    if names and len(body.inputs) == 1 and body.inputs[0].name not in names:
        return [_named(row, names) for row in _values(body.inputs[0])]
    columns = {tensor.name: _values(tensor) for tensor in body.inputs}
    if len({len(column) for column in columns.values()}) > 1:
        msg = "the inputs of the request have unequal numbers of rows"
        raise InvalidInput(msg)
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def answers(body: Payload) -> list[Any] | None:
    """The predictions of an answer, one a row; None where it is none."""
    return body.predictions if body.outputs is None else _values(body.outputs[0]) if body.outputs else None


def _named(row: Any, names: Sequence[str]) -> dict[str, Any]:
    if isinstance(row, dict):
        return row
    if names and isinstance(row, Sequence) and len(row) == len(names) and not isinstance(row, str):
        return dict(zip(names, row, strict=True))
    msg = f"a row of the request is neither an object nor a list of {len(names)} values, one a feature" if names else "a row is no object"
    raise InvalidInput(msg)


def _values(tensor: Tensor) -> list[Any]:
    """A tensor's rows: single values where it has one column."""
    values = tensor.data
    while values and all(isinstance(part, list) for part in values):
        values = [value for part in values for value in part]
    width = prod(tensor.shape[1:])
    if not tensor.shape or width < 1 or len(values) != tensor.shape[0] * width:
        msg = f"the tensor {tensor.name!r} has {len(values)} values, which its shape {list(tensor.shape)} does not say"
        raise InvalidInput(msg)
    return values if width == 1 else [values[start : start + width] for start in range(0, len(values), width)]
