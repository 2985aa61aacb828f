"""What is written of a field: the sentence below it in the source, and what its type allows.

One place to write it, three to read it: `docs/reference.md`, the CRDs, and by them `kubectl explain`. A sentence below a field is
no string that Python keeps, so it is read from the module's source, when documents are generated and never while serving.
"""

import ast
import inspect
import sys
from itertools import pairwise
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
from msgspec import Meta, Struct


def sentences(shape: type[Struct]) -> dict[str, str]:
    """The sentence below each field of the Struct, by the field's name in Python; those of its bases as well."""
    found: dict[str, str] = {}
    for base in reversed(shape.__mro__):
        if base in (Struct, object) or not issubclass(base, Struct):
            continue
        body = _bodies(base.__module__)[base.__name__]
        for line, below in pairwise(body):
            if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and isinstance(below, ast.Expr):
                found[line.target.id] = inspect.cleandoc(ast.literal_eval(below.value))
    return found


def _bodies(module: str) -> dict[str, list[ast.stmt]]:
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {node.name: node.body for node in tree.body if isinstance(node, ast.ClassDef)}


def sentence_of(shape: type[Struct], field: str, kind: Any) -> str:
    """What the field is for: the sentence below it, else the first one of the Struct that it holds, else nothing."""
    written = sentences(shape).get(field, "")
    inner = unwrapped(kind)
    if not written and isinstance(inner, type) and issubclass(inner, Struct):
        return first_paragraph(inner)
    return written


def first_paragraph(shape: type[Struct]) -> str:
    """The first paragraph of a Struct's docstring, on one line."""
    return " ".join(inspect.cleandoc(shape.__doc__ or "").split("\n\n")[0].split())


def default_of(field: msgspec.structs.FieldInfo) -> str | None:
    """The field's default as JSON; None where it is required, empty where it is nothing."""
    if field.default is msgspec.NODEFAULT and field.default_factory is msgspec.NODEFAULT:
        return None
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    return "" if value in (None, (), {}) else msgspec.json.encode(value).decode()


def unwrapped(kind: Any) -> Any:
    """The type below Annotated and `| None`."""
    while True:
        if get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
        elif get_origin(kind) in (Union, UnionType):
            kind = next(arg for arg in get_args(kind) if arg is not type(None))
        else:
            return kind


def meta_of(kind: Any) -> Meta | None:
    """The bounds, pattern and description of a type, None where it has none."""
    if get_origin(kind) is Annotated:
        return next((item for item in kind.__metadata__ if isinstance(item, Meta)), None)
    if get_origin(kind) in (Union, UnionType):
        return next((found for arg in get_args(kind) if (found := meta_of(arg))), None)
    return None


def words_of(kind: Any) -> str:
    """What the type's own description allows, or nothing."""
    meta = meta_of(kind)
    return meta.description or "" if meta else ""
