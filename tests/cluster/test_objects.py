"""What the ports `Objects` and `Ledger` promise, on a real API server: atomic names, compare-and-swap, a chain that only grows."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.cluster.tools import needs_cluster, until
from tests.unit.audit.drafts import draft, record
from trimtab.audit.chain import verify
from trimtab.control.intake import release_for
from trimtab.control.words import said_to
from trimtab.documents import parse_model
from trimtab.errors import Conflict, InvalidInput
from trimtab.platforms.kubernetes.api import Api
from trimtab.platforms.kubernetes.ledger import KubernetesLedger, name_of
from trimtab.platforms.kubernetes.objects import FINALIZER, KubernetesObjects, free_all
from trimtab.platforms.kubernetes.resources import AUDIT, EVENTS, MODELS, NAMESPACES, RELEASES
from trimtab.release import ActionSpec, Phase, Release, ReleaseAction, ReleaseStatus, Request
from trimtab.spec import Champion, Metadata, Model, ModelStatus, Version

pytestmark = needs_cluster
NOW = datetime(2026, 1, 1, tzinfo=UTC)
DOCUMENT = """
apiVersion: trimtab.dev/v1alpha1
kind: Model
metadata: {{name: churn, namespace: {namespace}}}
spec: {{task: binary, data: {{uri: "https://data.example.com/churn.csv", label: left}}}}
"""


@pytest.fixture(scope="module")
def namespace(api: Api, crds: Path) -> Iterator[str]:
    del crds
    name = f"objects-{uuid.uuid4().hex[:6]}"
    api.create(NAMESPACES, {"metadata": {"name": name}})
    yield name
    free_all(api)
    api.delete(NAMESPACES, "", name)


@pytest.fixture
def objects(api: Api) -> KubernetesObjects:
    return KubernetesObjects(api)


@pytest.fixture
def model(api: Api, objects: KubernetesObjects, namespace: str) -> Iterator[Model]:
    yield objects.create(parse_model(DOCUMENT.format(namespace=namespace)))
    free_all(api)
    api.delete(MODELS, namespace, "churn")


def ask(model: Model) -> Release:
    return release_for(model, Request("person", "tests", uuid.uuid4().hex, NOW, by="ada", sentence="a test wants it"))


def test_a_name_is_taken_once(objects: KubernetesObjects, model: Model) -> None:
    with pytest.raises(Conflict, match="already exists"):
        objects.create(model)


def test_what_is_written_is_what_is_read(objects: KubernetesObjects, model: Model) -> None:
    champion = Champion("7", "ab" * 32, 3, "churn-1")
    stored = objects.write_status(replace(model, status=ModelStatus(champion=champion, first_cut=NOW)))
    found = objects.get(Model, model.metadata.namespace, "churn")
    assert found == stored
    assert found.status.champion == champion
    assert found.status.first_cut == NOW
    assert found.spec == model.spec, "no default was written into the document"


def test_of_two_writers_one_loses(objects: KubernetesObjects, model: Model) -> None:
    mine, theirs = (replace(model, status=ModelStatus(champion=Champion(str(number), "ab" * 32))) for number in (1, 2))
    objects.write_status(mine)
    with pytest.raises(Conflict):
        objects.write_status(theirs)
    found = objects.get(Model, model.metadata.namespace, "churn")
    assert found
    assert found.status.champion == mine.status.champion


def test_a_release_survives_storage_and_belongs_to_its_model(api: Api, objects: KubernetesObjects, model: Model) -> None:
    release = objects.create(ask(model))
    status = ReleaseStatus(phase=Phase.ROLLOUT, candidate=Version("2", "cd" * 32), weight=25, step=1, reason="NextStep", sentence="25%")
    stored = objects.write_status(replace(release, status=status))
    assert stored.status.weight == 25
    assert {one.type: one.status for one in stored.status.conditions} == {"Finished": "False", "Promoted": "Unknown", "Reconciling": "True"}
    body = api.get(RELEASES, model.metadata.namespace, release.name)
    assert body
    assert body["metadata"]["ownerReferences"][0]["uid"] == model.metadata.uid
    assert release.name in [one.name for one in objects.all_of(Release)]


def test_a_model_of_which_something_is_out_waits_for_the_withdrawal_when_it_is_deleted(
    api: Api, objects: KubernetesObjects, model: Model
) -> None:
    release = objects.create(ask(model))
    namespace = model.metadata.namespace
    objects.write_status(replace(release, status=ReleaseStatus(phase=Phase.TRAINING)))
    api.delete(MODELS, namespace, "churn")
    leaving = objects.get(Model, namespace, "churn")
    assert leaving
    assert leaving.metadata.deletion_timestamp
    assert leaving.metadata.finalizers == (FINALIZER,)
    objects.free(leaving)
    assert objects.get(Model, namespace, "churn") is None


def test_a_model_at_rest_has_no_finalizer(objects: KubernetesObjects, model: Model) -> None:
    release = objects.create(ask(model))
    objects.write_status(replace(release, status=ReleaseStatus(phase=Phase.PENDING, reason="Cooldown")))
    found = objects.get(Model, model.metadata.namespace, "churn")
    assert found
    assert found.metadata.finalizers == ()


def test_the_ledger_is_one_whole_chain_that_outlives_what_it_is_about(api: Api, objects: KubernetesObjects, model: Model) -> None:
    release, namespace = objects.create(ask(model)), model.metadata.namespace
    ledger, began = KubernetesLedger(api), len(list(KubernetesLedger(api, namespace=namespace).records()))
    last = ledger.last(release)
    for number in range(3):
        last = ledger.append(draft(release, f"R{number}", Phase.PENDING), last)
    other = KubernetesLedger(api)
    other.last(release)
    with pytest.raises(Conflict):
        other.append(draft(release, "Other"), None)
    api.delete(MODELS, namespace, "churn")
    until(lambda: api.get(RELEASES, namespace, release.name) is None)
    kept = list(KubernetesLedger(api, namespace=namespace).records())
    assert [record.reason for record in kept[began:]] == ["R0", "R1", "R2"]
    assert verify(kept) is None
    assert KubernetesLedger(api).last(release) == last


def test_nobody_changes_an_entry(api: Api, objects: KubernetesObjects, model: Model) -> None:
    ledger, release = KubernetesLedger(api), objects.create(ask(model))
    made = ledger.append(draft(release), ledger.last(release))
    with pytest.raises(InvalidInput, match="a decision that was recorded never changes"):
        api.merge(AUDIT, model.metadata.namespace, name_of(made.sequence), {"record": {"sentence": "never"}})


def test_a_persons_word_is_kept(objects: KubernetesObjects, model: Model) -> None:
    release = objects.create(ask(model))
    word = ReleaseAction(
        Metadata(f"approve-{uuid.uuid4().hex[:8]}", namespace=model.metadata.namespace), ActionSpec("approve", "ada", release.name)
    )
    assert objects.create(word).spec == word.spec


def test_words_of_one_second_are_heard_in_the_order_in_which_they_were_said(objects: KubernetesObjects, model: Model) -> None:
    """Names that sort the other way round; a creation time has whole seconds."""
    release = objects.create(ask(model))
    names = [f"w{9 - number}-{uuid.uuid4().hex[:8]}" for number in range(9)]
    for name in names:
        objects.create(ReleaseAction(Metadata(name, namespace=model.metadata.namespace), ActionSpec("pause", "ada", release.name)))
    found = said_to(objects, release)
    assert [word.metadata.name for word in found] == names
    assert len({word.metadata.creation_timestamp for word in found}) < len(names), "some were said in one second"


def test_an_event_is_told_once(api: Api, objects: KubernetesObjects, model: Model) -> None:
    from trimtab.platforms.kubernetes.events import Recorder

    release = objects.create(ask(model))
    told = record(release, "NextStep", Phase.ROLLOUT, sentence="step 1 of 3: 5% of the traffic")
    for _ in range(2):
        Recorder(api, "controller-1").decided(release, told)
    found = [one for one in api.list(EVENTS, model.metadata.namespace) if one["regarding"]["name"] == release.name]
    assert [(one["reason"], one["note"]) for one in found] == [("NextStep", "step 1 of 3: 5% of the traffic")]
