"""From the nouns to structural OpenAPI v3 schemas, which is what a CRD holds.

Bounds, patterns and enums come from the types, descriptions from what is written below the fields, CEL from the rules. Defaults are
told in the description and never injected by the server: they live in code, and a document in Git stays the document in the cluster.
Nothing is nullable: what is nothing is left out, for a merge patch loses nulls, those within lists included.
"""

from collections.abc import Sequence
from copy import deepcopy
from datetime import datetime
from enum import Enum
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

from trimtab.described import default_of, first_paragraph, meta_of, sentence_of, unwrapped, words_of
from trimtab.release import DecisionRecord
from trimtab.rules import Rule
from trimtab.spec import Expectation
from trimtab.status import Condition

KEYS: dict[type[Struct], list[str]] = {Condition: ["type"], DecisionRecord: ["sequence"], Expectation: ["column"]}
_SCALARS: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer", "format": "int64"},
    float: {"type": "number"},
    datetime: {"type": "string", "format": "date-time"},
}
_OPEN: dict[str, Any] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_READ = {**_SCALARS, dict: _OPEN, list: {"type": "array", "items": _OPEN, "x-kubernetes-list-type": "atomic"}}


def schema_of(kind: type[Struct], rules: Sequence[Rule]) -> dict[str, Any]:
    """The schema of a kind of object: its Struct's fields, and the rules that hold for them."""
    made = _struct(kind, "", rules)
    standard = {
        "apiVersion": {"type": "string", "description": "The version of this schema: trimtab.dev/v1alpha1."},
        "kind": {"type": "string", "description": f"The kind of object: {kind.__name__}."},
        "metadata": {"type": "object"},
    }
    made["properties"] = standard | {name: one for name, one in made["properties"].items() if name not in standard}
    made["required"] = [name for name in made["required"] if name not in standard]
    return {"type": "object", "description": first_paragraph(kind), **made}


def _struct(shape: type[Struct], path: str, rules: Sequence[Rule]) -> dict[str, Any]:
    hints = get_type_hints(shape, include_extras=True)
    properties, required = {}, []
    for field in msgspec.structs.fields(shape):
        kind, name = hints[field.name], field.encode_name
        needed = default_of(field) is None
        description = _description(sentence_of(shape, field.name, kind), kind, default_of(field))
        place = f"{path}.{name}".lstrip(".")
        properties[name] = {"description": description, **_schema(kind, place, rules)}
        if needed:
            required.append(name)
    made: dict[str, Any] = {"type": "object", "properties": properties}
    if required:
        made["required"] = required
    return made | _validations(path, rules)


def _schema(kind: Any, path: str, rules: Sequence[Rule]) -> dict[str, Any]:
    inner = unwrapped(kind)
    if isinstance(inner, type) and issubclass(inner, Struct):
        return _struct(inner, path, rules)
    if get_origin(inner) is tuple:
        return _array(kind, inner, path, rules)
    if get_origin(inner) is dict:
        return _mapping(inner, path, rules)
    if get_origin(inner) is Literal:
        made: dict[str, Any] = {"type": "string", "enum": list(get_args(inner))}
    elif isinstance(inner, type) and issubclass(inner, Enum):
        made = {"type": "string", "enum": [str(value) for value in inner]}
    elif inner in _SCALARS:
        made = _SCALARS[inner] | _bounds(kind)
    else:
        msg = f"{path}: no schema is known for the type {inner!r}"
        raise TypeError(msg)
    return made | _validations(path, rules)


def _array(kind: Any, inner: Any, path: str, rules: Sequence[Rule]) -> dict[str, Any]:
    items = get_args(inner)
    made: dict[str, Any] = {"type": "array", "items": _schema(items[0], f"{path}[]", rules)}
    if items[-1] is not Ellipsis:
        made |= {"minItems": len(items), "maxItems": len(items)}
    if meta := meta_of(kind):
        made |= {name: value for name, value in (("minItems", meta.min_length), ("maxItems", meta.max_length)) if value is not None}
    keys = KEYS.get(items[0])
    made |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": keys} if keys else {"x-kubernetes-list-type": "atomic"}
    return made | _validations(path, rules)


def _mapping(inner: Any, path: str, rules: Sequence[Rule]) -> dict[str, Any]:
    value = get_args(inner)[1]
    made = _open(path, rules) if value is Any else {"type": "object", "additionalProperties": _schema(value, f"{path}.*", rules)}
    return made | _validations(path, rules)


def _open(path: str, rules: Sequence[Rule]) -> dict[str, Any]:
    """A mapping of anything, in which only what a rule reads is named: CEL sees nothing else of it."""
    places = {f"{rule.on}.{rule.at}".lstrip("."): rule for rule in rules if rule.reads}
    properties: dict[str, Any] = {}
    for place, rule in places.items():
        if not place.startswith(f"{path}."):
            continue
        name, _, deeper = place.removeprefix(f"{path}.").partition(".")
        if deeper:
            properties[name] = {
                "description": "Anything may stand here, within the rules of what is named.",
                **_open(f"{path}.{name}", rules),
            }
        else:
            properties[name] = {"description": f"{rule.message[0].upper()}{rule.message[1:]}.", **deepcopy(_READ[rule.reads])}
    return {**_OPEN, "properties": properties} if properties else _OPEN


def _bounds(kind: Any) -> dict[str, Any]:
    meta = meta_of(kind)
    if meta is None:
        return {}
    made = {
        "pattern": meta.pattern,
        "minLength": meta.min_length,
        "maxLength": meta.max_length,
        "minimum": meta.gt if meta.ge is None else meta.ge,
        "exclusiveMinimum": None if meta.gt is None else True,
        "maximum": meta.lt if meta.le is None else meta.le,
        "exclusiveMaximum": None if meta.lt is None else True,
    }
    return {name: value for name, value in made.items() if value is not None}


def _validations(path: str, rules: Sequence[Rule]) -> dict[str, Any]:
    found = [
        {"rule": rule.cel, "message": rule.message, **({"fieldPath": f".{rule.at}"} if rule.at else {})}
        for rule in rules
        if rule.on == path and rule.cel
    ]
    return {"x-kubernetes-validations": found} if found else {}


def _description(sentence: str, kind: Any, default: str | None) -> str:
    """The sentence, then what is allowed where the type says it in words, then the default."""
    inner = unwrapped(kind)
    words, each = words_of(kind), ""
    if not words and get_origin(inner) is tuple:
        each = words_of(get_args(inner)[0])
    parts = [sentence, f"Allowed is {words}." if words else "", f"Each is {each}." if each else ""]
    told = default and not (isinstance(inner, type) and issubclass(inner, Struct)) and default not in ('""', "0", "0.0", "false", "-1")
    parts.append(f"Default: {default.strip(chr(34)).replace(',', ', ')}." if told and default else "")
    return " ".join(part for part in parts if part)
