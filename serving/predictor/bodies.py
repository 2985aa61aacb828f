"""Usual requests become the model's matrix without a Python object a value; all others are read by `protocol`, which says what they mean.

Parsing and encoding were most of what a request cost. With 30 numbers, microseconds for 1 / 32 / 512 rows: V1 2 / 13 / 250 in the place of
5 / 110 / 1,840; V2 3 / 9 / 170 in the place of 35 / 120 / 1,410.

What is usual is said in `native/bodies.c`. A usual body gives the very matrix that `protocol` and `schema.encode` give, or is left to
them: what a request means is written once, and a refusal has its sentence from there.
"""

import ctypes
import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from msgspec import Struct

from serving.predictor.native import library
from trimtab.errors import Unavailable
from trimtab.schema import Feature

# What JSON writes with an escape, or may: such a name in a body is not found by its bytes.
_ESCAPED = re.compile(r'["\\\x00-\x1f\x7f]')


class Encoded(Struct, frozen=True):
    """Rows that are the model's matrix already: [rows, features] of float32, NaN where a value is missing."""

    matrix: Any

    def __len__(self) -> int:
        return len(self.matrix)


class Read(Struct, frozen=True):
    """A `protocol.Call` whose rows are encoded; the usual body has no parameters."""

    instances: Encoded
    id: str | None = None
    parameters: None = None


Reader = Callable[[bool, bytes], Read | None]
"""Reads a body, by V2 or not; None where the body is not a usual one. For one thread."""


class _Schema(ctypes.Structure):
    _fields_ = (
        ("features", ctypes.c_uint32),
        ("names", ctypes.c_char_p),
        ("name_ends", ctypes.c_void_p),
        ("first", ctypes.c_void_p),
        ("categories", ctypes.c_char_p),
        ("category_ends", ctypes.c_void_p),
        ("seen", ctypes.c_void_p),
    )


def reader(features: Sequence[Feature]) -> Reader:
    """The reader for a model of these features.

    Raises Unavailable where there is nothing to read with, or a name could be written in several ways.
    """
    import numpy as np

    _refuse_unusual(features)
    native = library().keeping
    first = [0, *itertools.accumulate(len(feature.categories) for feature in features)]
    names, name_ends = _joined(feature.name for feature in features)
    categories, category_ends = _joined(name for feature in features for name in feature.categories)
    kept = [np.array(part, dtype=np.uint32) for part in (name_ends, first, category_ends, [0] * len(features))]
    name_at, first_at, category_at, seen_at = (part.ctypes.data for part in kept)
    schema = _Schema(len(features), names, name_at, first_at, categories, category_at, seen_at)
    given = ctypes.byref(schema)
    body_v1 = _function(native.body_v1, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint64, ctypes.c_void_p, ctypes.c_uint32])
    body_v2 = _function(native.body_v2, [*body_v1.argtypes, ctypes.c_void_p])
    place = np.zeros(2, dtype=np.uint64)
    place_at = place.ctypes.data

    def read(v2: bool, body: bytes) -> Read | None:
        # A value takes two bytes at least.
        most = len(body) // (2 * len(kept[0])) + 1
        matrix = np.empty((most, len(kept[0])), dtype=np.float32)
        if not v2:
            rows = body_v1(given, body, len(body), matrix.ctypes.data, most)
            return None if rows < 0 else Read(Encoded(matrix[:rows]))
        rows = body_v2(given, body, len(body), matrix.ctypes.data, most, place_at)
        if rows < 0:
            return None
        start, length = place.tolist()
        return Read(Encoded(matrix[:rows]), body[start : start + length].decode() if start else None)

    return read


def _refuse_unusual(features: Sequence[Feature]) -> None:
    for feature in features:
        for name in (feature.name, *feature.categories):
            if _ESCAPED.search(name):
                msg = f"the name {name!r:.60} needs escapes in JSON"
                raise Unavailable(msg)
        if (feature.kind == "category") != bool(feature.categories):
            msg = f"the feature {feature.name!r:.60} has no categories"
            raise Unavailable(msg)
    if not features:
        msg = "the model takes no feature"
        raise Unavailable(msg)


def _joined(names: Iterable[str]) -> tuple[bytes, list[int]]:
    """The names, each with the quote that ends it in JSON, and where each ends."""
    parts = [name.encode() + b'"' for name in names]
    return b"".join(parts), list(itertools.accumulate(map(len, parts))) or [0]


def _function(function: Any, arguments: list[Any]) -> Any:
    function.argtypes, function.restype = arguments, ctypes.c_int64
    return function
