"""What may become of an object on a real API server: what never changes, what only grows, and that nothing is lost."""

import json
from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
import pytest
import yaml
from msgspec import Struct

from tests.cluster.crd_kit import ACTION, DESIGN, MINIMAL, NOW, RELEASE, ROLLOUT, Cluster, Said, entry, installed
from tests.cluster.tools import needs_cluster
from trimtab.audit.record import AuditEntry
from trimtab.described import meta_of, unwrapped
from trimtab.documents import parse_model
from trimtab.pipeline_rollout import PipelineRollout, PipelineRolloutStatus
from trimtab.release import Phase, Release, ReleaseAction, ReleaseStatus
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
        (ROLLOUT, {"channel": "latest"}, "what is rolled out where never changes"),
        (ROLLOUT, {"pipeline": {"version": "1.5.0"}}, "what is rolled out where never changes"),
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


def test_how_carefully_a_roll_out_goes_may_be_said_anew(cluster: Cluster) -> None:
    made = cluster.made(ROLLOUT)
    assert cluster.patched(made, {"spec": {"maxBad": 0.05, "stages": [0, 0.5, 1]}}).code == 0


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


def test_an_entry_never_changes_and_is_named_by_its_number(cluster: Cluster) -> None:
    made = json.loads(cluster.do("create", "-o", "json", "-f", "-", body=entry(1)))
    for patch in ({"sentence": "another"}, {"hash": "0" * 64}, {"signature": "none"}, {"before": {"phase": "Promoted"}}):
        said = cluster.patched(made, {"record": patch})
        assert said.code != 0, patch
        assert "a decision that was recorded never changes" in said.words, patch
    assert "already exists" in cluster.kubectl("create", "-f", "-", body=entry(1, "another")).err
    misnamed = entry(2) | {"metadata": {"name": "0000000003"}}
    assert "allowed is record.sequence with ten digits" in cluster.tried(misnamed).words
    assert cluster.tried(entry(2)).code == 0


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
    if issubclass(inner, StrEnum):
        return list(inner)[-1]
    meta = meta_of(kind)
    return {str: "word", int: (meta.ge if meta and meta.ge else 7), float: 0.25, bool: True, datetime: NOW}[inner]


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [(MINIMAL, Model, ModelStatus), (RELEASE, Release, ReleaseStatus), (ROLLOUT, PipelineRollout, PipelineRolloutStatus)],
)
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


@pytest.mark.parametrize(("body", "kind"), [(RELEASE, Release), (ACTION, ReleaseAction), (ROLLOUT, PipelineRollout)])
def test_what_was_created_is_one_of_the_nouns(cluster: Cluster, body: dict[str, Any], kind: Any) -> None:
    back = msgspec.convert(cluster.made(body), kind)
    again = json.loads(msgspec.json.encode(back))
    assert again["spec"] == body["spec"]


def test_an_entry_comes_back_as_its_record_was_written(cluster: Cluster) -> None:
    body = entry(7)
    back = msgspec.convert(json.loads(cluster.do("create", "-o", "json", "-f", "-", body=body)), AuditEntry)
    assert json.loads(msgspec.json.encode(back.record)) == body["record"], "its hash is over exactly this"
