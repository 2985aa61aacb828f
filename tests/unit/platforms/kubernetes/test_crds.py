"""The CRDs are what the nouns say, and every field of theirs is described. What an API server makes of them: tests/cluster/test_crds.py."""

import re
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from msgspec import Struct, inspect

from trimtab.described import sentences
from trimtab.people_rules import ACTION_RULES
from trimtab.platforms.kubernetes.crds import FOLDER, KINDS, UNSEEN, Kind, crd, documents, main
from trimtab.platforms.kubernetes.schemas import schema_of
from trimtab.rules import RULES, Rule


def schema(kind: Kind) -> dict[str, Any]:
    return crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def fields(one: dict[str, Any], path: str = "") -> dict[str, dict[str, Any]]:
    """Every field of a schema by its path."""
    found = {}
    for name, inner in one.get("properties", {}).items():
        found |= {f"{path}.{name}".lstrip("."): inner} | fields(inner, f"{path}.{name}".lstrip("."))
    return found | (fields(one["items"], f"{path}[]") if "items" in one else {})


@pytest.mark.parametrize("name", documents())
def test_the_files_are_what_the_nouns_say(name: str) -> None:
    assert (FOLDER / name).read_text() == documents()[name], "run `make generate`"


def test_there_is_a_file_a_kind_and_nothing_else() -> None:
    assert sorted(path.name for path in FOLDER.glob("*.trimtab.dev.yaml")) == sorted(documents())


def test_the_command_writes_them_all(tmp_path: Path) -> None:
    main(tmp_path / "crds")
    assert {path.name: path.read_text() for path in (tmp_path / "crds").iterdir()} == documents()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.resource.kind)
def test_every_field_has_a_description_that_is_a_sentence(kind: Kind) -> None:
    for path, one in fields(schema(kind)).items():
        if path != "metadata":
            assert re.match(r"^\S.*[.)]$", one.get("description", ""), re.DOTALL), f"{kind.resource.kind}.{path} needs a sentence below it"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.resource.kind)
def test_the_server_injects_no_default_but_that_nobody_looked_yet_and_nothing_is_null(kind: Kind) -> None:
    for path, one in fields(schema(kind)).items():
        assert "nullable" not in one, path
        assert one.get("default") == (UNSEEN if path == "status" and "status.observedGeneration" in fields(schema(kind)) else None), path


def required_nulls(info: Any, seen: set[type]) -> list[str]:
    """The fields beneath a type that must be there and may be None: a cluster drops what is null, and then refuses the object."""
    if isinstance(info, inspect.StructType):
        if info.cls in seen:
            return []
        seen.add(info.cls)
        wrong = [f"{info.cls.__name__}.{field.name}" for field in info.fields if field.required and nullable(field.type)]
        return wrong + [name for field in info.fields for name in required_nulls(field.type, seen)]
    parts = [*getattr(info, "types", ()), *getattr(info, "item_types", ())]
    parts += [getattr(info, name) for name in ("item_type", "value_type", "type") if hasattr(info, name)]
    return [name for part in parts for name in required_nulls(part, seen)]


def nullable(info: Any) -> bool:
    return any(isinstance(one, inspect.NoneType) for one in getattr(info, "types", ()))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.resource.kind)
def test_what_may_be_none_may_be_left_out(kind: Kind) -> None:
    assert required_nulls(inspect.type_info(kind.shape), set()) == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.resource.kind)
def test_every_rule_of_a_kind_is_in_its_schema(kind: Kind) -> None:
    made = schema(kind)
    places = {"": made} | fields(made) | {f"{path}[]": one["items"] for path, one in fields(made).items() if "items" in one}
    for rule in kind.rules:
        if not rule.cel:
            assert places[f"{rule.on}.{rule.at}"]["x-kubernetes-list-type"] == "map", rule.name
            continue
        said = [one for one in places[rule.on].get("x-kubernetes-validations", []) if one["rule"] == rule.cel]
        assert [one["message"] for one in said] == [rule.message], rule.name
        if rule.at:
            assert said[0]["fieldPath"] == f".{rule.at}"
            assert f"{rule.on}.{rule.at}".lstrip(".") in places, rule.name
    kept = [one for place in places.values() for one in place.get("x-kubernetes-validations", [])]
    assert len(kept) == len([rule for rule in kind.rules if rule.cel])


def test_each_rule_of_the_document_is_asked_in_python_too() -> None:
    rules = {kind.resource.kind: set(kind.rules) for kind in KINDS}
    assert set(RULES) <= rules["Model"]
    assert set(ACTION_RULES) <= rules["ReleaseAction"]
    asked = {*RULES, *ACTION_RULES}
    assert all(rule.broken for rule in asked)
    assert not any(rule.broken for kind in rules.values() for rule in kind - asked), "what Python can tell belongs to rules.py"


def test_rule_names_are_unique_within_a_kind() -> None:
    for kind in KINDS:
        assert len({rule.name for rule in kind.rules}) == len(kind.rules)


def test_columns_lead_to_fields() -> None:
    for kind in KINDS:
        known = fields(schema(kind)).keys() | {"metadata.creationTimestamp"}
        for column in kind.columns:
            path = re.sub(r"\[\?.*?\]", "[]", column.path).lstrip(".")
            assert path in known, f"{kind.resource.kind}: column {column.name}"


def test_a_list_of_conditions_is_a_map_by_type() -> None:
    status = fields(schema(KINDS[0]))["status.conditions"]
    assert (status["x-kubernetes-list-type"], status["x-kubernetes-list-map-keys"]) == ("map", ["type"])
    assert "observedGeneration" in status["items"]["properties"]


class Base(Struct):
    """What both have."""

    first: int
    """The first."""


class Small(Base):
    """One of each."""

    words: tuple[Literal["a", "b"], ...] = ("a",)
    """Some words."""
    pair: tuple[float, float] = (0.0, 0.0)
    """Two numbers."""
    free: dict[str, Any] = {}
    """Anything."""
    labels: dict[str, str] = {}
    """Words by words."""
    moment: datetime | None = None
    """When."""


def test_each_type_has_its_schema() -> None:
    made = schema_of(Small, [Rule("r", "words", "self.size() > 0", "m")])
    assert made["required"] == ["first"]
    properties = {name: {key: one[key] for key in one if key != "description"} for name, one in made["properties"].items()}
    assert properties["first"] == {"type": "integer", "format": "int64"}
    assert properties["words"] == {
        "type": "array",
        "items": {"type": "string", "enum": ["a", "b"]},
        "x-kubernetes-list-type": "atomic",
        "x-kubernetes-validations": [{"rule": "self.size() > 0", "message": "m"}],
    }
    assert properties["pair"]["minItems"] == properties["pair"]["maxItems"] == 2
    assert properties["free"] == {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    assert properties["labels"] == {"type": "object", "additionalProperties": {"type": "string"}}
    assert properties["moment"] == {"type": "string", "format": "date-time"}
    assert made["properties"]["words"]["description"] == 'Some words. Default: ["a"].'


def test_what_rules_read_of_an_open_mapping_is_named_in_it_and_anything_else_is_kept() -> None:
    kept = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    rules = [
        Rule("word", "", "true", "give it elsewhere", at="free.word", reads=str),
        Rule("deep", "free", "true", "leave it out", at="inner.list", reads=list),
        Rule("other", "labels", "true", "none of its", at="word", reads=str),
    ]
    free = schema_of(Small, rules)["properties"]["free"]
    assert {key: free[key] for key in kept} == kept
    assert free["properties"]["word"] == {"type": "string", "description": "Give it elsewhere."}
    inner = free["properties"]["inner"]
    assert {key: inner[key] for key in kept} == kept
    assert inner["properties"] == {
        "list": {"type": "array", "items": kept, "x-kubernetes-list-type": "atomic", "description": "Leave it out."}
    }
    assert free["properties"].keys() == {"word", "inner"}


def test_sentences_of_a_base_are_inherited() -> None:
    assert sentences(Small)["first"] == "The first."


class Odd(Struct):
    """What no document has."""

    thing: bytes = b""


def test_a_type_without_a_schema_is_named() -> None:
    with pytest.raises(TypeError, match="thing: no schema is known for the type <class 'bytes'>"):
        schema_of(Odd, [])


def test_policies_are_two_and_bound() -> None:
    folder = FOLDER.parent / "admission"
    found = [one for path in sorted(folder.glob("release*.yaml")) for one in yaml.safe_load_all(path.read_text())]
    kinds = [(one["kind"], one["spec"].get("policyName", one["metadata"]["name"])) for one in found]
    assert kinds == [
        ("ValidatingAdmissionPolicy", "trimtab-releaseactions"),
        ("ValidatingAdmissionPolicyBinding", "trimtab-releaseactions"),
        ("ValidatingAdmissionPolicy", "trimtab-releases"),
        ("ValidatingAdmissionPolicyBinding", "trimtab-releases"),
    ]
