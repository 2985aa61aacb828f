"""Reading a document: from YAML or JSON text to a checked Struct, or one sentence that says what is wrong where.

msgspec finds the first fault; this module turns it into the field's path, what was found there, and what is allowed. Of a
Model it then asks the rules (`rules.py`) for what no single field can show: combinations that cannot work.
"""

import math
import re
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec
import yaml
from msgspec import Struct
from msgspec.structs import replace

from trimtab.described import unwrapped, words_of
from trimtab.errors import InvalidInput
from trimtab.rules import impossible
from trimtab.spec import Model


class _Loader(yaml.SafeLoader):
    """YAML 1.2's booleans: only true and false, so that `on:` stays the word it is."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))

T = TypeVar("T", bound=Struct)
_PARTS = re.compile(r"\.{3}|[^.\[\]]+")
_PLACE = re.compile(r" - at `\$(?P<path>[^`]*)`$")
_WANTED = re.compile(r"(?P<kind>\w+)(?: of length)?(?: (?P<sign>[<>]=?) (?P<bound>\S+))?(?:, got \w+)?$")
_KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "a text", "array": "a list", "object": "a mapping"}
_BOUNDS = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}


def read_model(path: Path) -> Model:
    """The Model in a file; a relative URI in it is taken from the file's folder. Raises InvalidInput with one sentence."""
    model = parse_model(text_of(path), str(path))
    data, retraining = model.spec.data, model.spec.retraining
    if watch := retraining.new_data:
        retraining = replace(retraining, new_data=replace(watch, uri=_whole(path, watch.uri) if watch.uri else None))
    return replace(model, spec=replace(model.spec, data=replace(data, uri=_whole(path, data.uri)), retraining=retraining))


def _whole(document: Path, uri: str) -> str:
    plain = uri.removeprefix("file://")
    return uri if "://" in plain else str((document.parent / plain).resolve())


def parse_model(text: str, where: str = "the document") -> Model:
    """The Model in a YAML or JSON text; `where` names it in errors."""
    model = parse(text, Model, where, "a Model document is a mapping with apiVersion, kind, metadata and spec")
    for sentence in impossible(model):
        msg = f"{where}: {sentence}"
        raise InvalidInput(msg)
    return model


def text_of(path: Path) -> str:
    """The document in a file as text; raises InvalidInput where it cannot be read."""
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        msg = f"the document {str(path)!r} cannot be read: {error.strerror if isinstance(error, OSError) else 'it is not UTF-8 text'}"
        raise InvalidInput(msg) from error


def parse(text: str, kind: type[T], where: str, shape: str) -> T:
    """The `kind` in a YAML or JSON text; `shape` says what such a document is, for one that is no mapping. Raises InvalidInput."""
    try:
        raw = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}" if mark else ""
        msg = f"{where}: not YAML{place}: {getattr(error, 'problem', None) or 'it cannot be parsed'}"
        raise InvalidInput(msg) from error
    if not isinstance(raw, dict):
        msg = f"{where}: {shape}, found {type(raw).__name__}"
        raise InvalidInput(msg)
    if path := _not_finite(raw):
        msg = f"{where}: {path}: found {_found(raw, path)}, allowed is a finite number"
        raise InvalidInput(msg)
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        msg = f"{where}: {_sentence(str(error), raw, kind)}"
        raise InvalidInput(msg) from error


def _sentence(message: str, raw: dict[str, Any], kind: type[Struct]) -> str:
    place = _PLACE.search(message)
    path = place["path"].lstrip(".") if place else ""
    what = message[: place.start()] if place else message
    unknown = re.match(r"Object contains unknown field `(?P<name>[^`]+)`", what)
    if unknown:
        allowed = ", ".join(_fields(_type_at(path, kind)))
        return f"{_join(path, unknown['name'])}: unknown field; allowed here are {allowed}"
    missing = re.match(r"Object missing required field `(?P<name>[^`]+)`", what)
    if missing:
        return f"{_join(path, missing['name'])}: is missing and has no default"
    return f"{path or 'the document'}: found {_found(raw, path)}, allowed is {_allowed(path, what, kind)}"


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _found(raw: Any, path: str) -> str:
    for part in _PARTS.findall(path):
        if part == "...":  # some value of the mapping: msgspec does not say which
            break
        try:
            raw = raw[int(part)] if isinstance(raw, list) else raw[part]
        except (KeyError, IndexError, TypeError, ValueError):
            return "nothing"
    return f"{raw!r:.80}"


def _annotation_at(path: str, kind: Any) -> Any:
    for part in _PARTS.findall(path):
        inner = unwrapped(kind)
        if isinstance(inner, type) and issubclass(inner, Struct):
            names = dict(zip(inner.__struct_encode_fields__, inner.__struct_fields__, strict=True))
            kind = get_type_hints(inner, include_extras=True).get(names.get(part, ""), Any)
        elif get_args(inner):
            kind = get_args(inner)[1 if get_origin(inner) is dict else 0]
    return kind


def _type_at(path: str, kind: Any) -> Any:
    return unwrapped(_annotation_at(path, kind))


def _fields(kind: Any) -> list[str]:
    return list(kind.__struct_encode_fields__) if isinstance(kind, type) and issubclass(kind, Struct) else ["nothing"]


def _allowed(path: str, what: str, document: type[Struct]) -> str:
    kind = _annotation_at(path, document)
    inner = unwrapped(kind)
    if text := words_of(kind):
        return text
    if get_origin(inner) is not None and get_args(inner) and str(get_origin(inner)) == "typing.Literal":
        return ", ".join(repr(value) for value in get_args(inner))
    if isinstance(inner, type) and issubclass(inner, Struct):
        return "a mapping with " + ", ".join(_fields(inner))
    return _plain(what.removeprefix("Expected ").replace("`", ""))


def _plain(wanted: str) -> str:
    """What msgspec wanted, such as "int >= 1", "array of length <= 20" or "bool, got str", in a reader's words."""
    found = _WANTED.match(wanted)
    if found is None or found["kind"] not in _KINDS:
        return wanted
    bound = f" of {_BOUNDS[found['sign']]} {found['bound'].removesuffix('.0')}" if found["sign"] else ""
    return f"{_KINDS[found['kind']]}{bound}"


def _not_finite(raw: Any, path: str = "") -> str | None:
    """The path of the first number that is none: YAML has words for them, and no bound or share means anything there."""
    if isinstance(raw, float) and not math.isfinite(raw):
        return path
    if isinstance(raw, list):
        inner = ((f"{path}[{index}]", one) for index, one in enumerate(raw))
    elif isinstance(raw, dict):
        inner = ((_join(path, str(name)), one) for name, one in raw.items())
    else:
        return None
    return next((found for where, one in inner if (found := _not_finite(one, where)) is not None), None)
