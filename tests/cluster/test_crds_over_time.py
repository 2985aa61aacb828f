"""What may become of an object on a real API server: what never changes, what only grows, and that nothing is lost."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
import pytest
import yaml
from msgspec import Struct

from tests.cluster.crd_kit import ACTION, DESIGN, LOG, MINIMAL, NOW, RELEASE, Cluster, Said, installed, records
from tests.cluster.tools import needs_cluster
from trimtab.described import meta_of, unwrapped
from trimtab.documents import parse_model
from trimtab.release import DecisionLog, Phase, Release, ReleaseAction, ReleaseStatus
from trimtab.spec import Model, ModelStatus, Rollout

pytestmark = needs_cluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with installed() as own:
        yield own


@pytest.mark.parametrize(
    ("body", "patch", "message"),
    [
        (RELEASE, {"recipe": "another"}, "a Release's spec never changes"),
        (RELEASE, {"request": {"by": "bob"}}, "a Release's spec never changes"),
        (RELEASE, {"request": {"event": {"a": {"b": 2}}}}, "a Release's spec never changes"),
        (ACTION, {"user": "bob"}, "what a person said never changes"),
    ],
)
def test_a_spec_that_was_said_stays_said(cluster: Cluster, body: dict[str, Any], patch: dict[str, Any], message: str) -> None:
    made = cluster.made(body)
    said = cluster.patched(made, {"spec": patch})
    assert said.code != 0
    assert message in said.words
    assert cluster.patched(made, {"metadata": {"labels": {"seen": "yes"}}}).code == 0


def test_a_release_that_has_ended_stays_as_it_ended(cluster: Cluster) -> None:
    made = cluster.made(RELEASE)
    for phase in ("Rollout", "Withdrawing", "RolledBack"):
        assert cluster.patched(made, {"status": {"phase": phase}}, status=True).code == 0
    said = cluster.patched(made, {"status": {"phase": "Rollout"}}, status=True)
    assert said.code != 0
    assert "a Release that has ended stays as it ended" in said.words
    assert cluster.patched(made, {"status": {"sentence": "told better"}}, status=True).code == 0


def test_another_champion_has_a_greater_generation(cluster: Cluster) -> None:
    made = cluster.made(MINIMAL)

    def crown(version: str, generation: int | None) -> Said:
        return cluster.patched(made, {"status": {"champion": {"version": version, "digest": "d", "generation": generation}}}, status=True)

    assert crown("1", None).code == 0, "the first has the generation 1, which is not written"
    for version, generation in (("2", None), ("2", 1), ("1", 0)):
        said = crown(version, generation)
        assert said.code != 0
        assert "another champion has a greater generation" in said.words
    assert crown("2", 2).code == 0
    assert crown("2", 2).code == 0
    assert crown("1", 1).code != 0
    assert crown("1", 3).code == 0, "back to an earlier version is another generation as well"


def test_a_log_grows_and_changes_in_no_other_way(cluster: Cluster) -> None:
    two, other = records("one", "two"), records("eins", "zwei", "drei")
    made = cluster.made(LOG | {"records": two})
    refused = {
        "shorter": two[:1],
        "none": None,
        "empty": [],
        "the last replaced": [two[0], other[1]],
        "the first replaced and one added": [other[0], two[1], other[2]],
    }
    for name, kept in refused.items():
        said = cluster.patched(made, {"records": kept})
        assert said.code != 0, name
        assert "decisions can be added at the end, and neither changed nor removed" in said.words, name
    for name, kept in {"a gap": [*two, other[2] | {"sequence": 4}], "another order": two[::-1]}.items():
        said = cluster.patched(made, {"records": kept})
        assert said.code != 0, name
        assert "decisions are numbered 1, 2, 3" in said.words, name
    assert "Duplicate value" in cluster.patched(made, {"records": [*two, two[1]]}).words
    assert cluster.patched(made, {"records": records("one", "two", "three")}).code == 0
    for field, message in (("model", "stays with its Model"), ("release", "stays with its Release")):
        assert message in cluster.patched(made, {field: "another"}).words


def test_a_log_takes_as_many_decisions_as_it_may_hold(cluster: Cluster) -> None:
    many = records(*(f"decision {number}: the weight is 5%, and 40 requests of 8000 were seen" for number in range(2000)))
    item = json.loads(cluster.do("create", "-o", "json", "-f", "-", body=LOG | {"records": many[:1999]}))
    answer = cluster.kubectl("replace", "-f", "-", "-o", "json", body=item | {"records": many})
    assert answer.code == 0, answer.err


def filled(kind: Any) -> Any:
    """A value of the type in which every field is set, to another value than its default where the type allows one."""
    inner = unwrapped(kind)
    if inner is Rollout:
        return Rollout(strategy="direct", steps=(1, 2))
    if get_origin(inner) is Literal:
        return get_args(inner)[-1]
    if get_origin(inner) is tuple:
        return tuple(filled(arg) for arg in get_args(inner) if arg is not Ellipsis)
    if get_origin(inner) is dict:
        return {"a": {"b": [1]}} if get_args(inner)[1] is Any else {"a": filled(get_args(inner)[1])}
    if issubclass(inner, Struct):
        hints = get_type_hints(inner, include_extras=True)
        return inner(**{name: filled(hints[name]) for name in inner.__struct_fields__})
    if issubclass(inner, Phase):
        return Phase.ROLLOUT
    meta = meta_of(kind)
    return {str: "word", int: (meta.ge if meta and meta.ge else 7), float: 0.25, bool: True, datetime: NOW}[inner]


@pytest.mark.parametrize(("body", "kind", "status"), [(MINIMAL, Model, ModelStatus), (RELEASE, Release, ReleaseStatus)])
def test_a_whole_status_comes_back_as_it_was_written(cluster: Cluster, body: dict[str, Any], kind: Any, status: Any) -> None:
    written, made = filled(status), cluster.made(body)
    said = cluster.patched(made, {"status": msgspec.to_builtins(written)}, status=True)
    assert said.code == 0, said.err
    back = msgspec.convert(
        json.loads(cluster.do("get", body["kind"].lower(), made["metadata"]["name"], "-o", "json", "--show-managed-fields")), kind
    )
    assert back.status == written
    assert back.metadata.uid
    assert back.metadata.creation_timestamp


def test_a_whole_document_comes_back_as_it_was_written(cluster: Cluster) -> None:
    body = yaml.safe_load(DESIGN)
    assert msgspec.convert(cluster.made(body), Model).spec == parse_model(DESIGN).spec
    assert cluster.made(body)["spec"] == body["spec"], "the server injects nothing"


@pytest.mark.parametrize(("body", "kind"), [(RELEASE, Release), (ACTION, ReleaseAction), (LOG | {"records": records("one")}, DecisionLog)])
def test_what_was_created_is_one_of_the_nouns(cluster: Cluster, body: dict[str, Any], kind: Any) -> None:
    back = msgspec.convert(cluster.made(body), kind)
    again = json.loads(msgspec.json.encode(back))
    assert {name: again[name] for name in body if name in ("spec", "records", "model", "release")} == {
        name: body[name] for name in body if name in ("spec", "records", "model", "release")
    }
