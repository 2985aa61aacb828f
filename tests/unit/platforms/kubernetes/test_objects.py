"""The ports on custom resources, against an API server with resource versions, over real HTTP (the real one: tests/cluster)."""

import sys
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from tests.unit.audit.drafts import record
from tests.unit.platforms.kubernetes.api_server import ApiServer, Asked, Refusal
from tests.unit.rollout.cases import NOW, SPEC
from trimtab.audit.chain import short
from trimtab.control.intake import release_for
from trimtab.control.words import said_to
from trimtab.errors import Conflict, InvalidInput, Unavailable
from trimtab.pipeline_rollout import Counts, PipelineRollout, PipelineRolloutSpec, RolloutPhase
from trimtab.platforms.kubernetes.api import Api
from trimtab.platforms.kubernetes.cache import Cache
from trimtab.platforms.kubernetes.objects import FINALIZER, FIRST_CUT, KubernetesObjects, free_all
from trimtab.platforms.kubernetes.resources import ACTIONS, MODELS, PIPELINE_ROLLOUTS, RELEASES, Resource
from trimtab.release import TERMINAL, ActionSpec, DecisionRecord, Phase, Release, ReleaseAction, ReleaseStatus, Request
from trimtab.spec import Champion, Metadata, Model, ModelStatus, PipelineVersion

TRAINING = ReleaseStatus(phase=Phase.TRAINING, reason="Admitted", sentence="it begins")


@pytest.fixture
def objects(api: Api) -> KubernetesObjects:
    return KubernetesObjects(api)


def put_model(server: ApiServer, name: str = "bike", **metadata: Any) -> dict[str, Any]:
    return server.put(MODELS, "crm", name, metadata={"uid": f"{name}-uid", **metadata}, spec=msgspec.to_builtins(SPEC))


@pytest.fixture
def model(server: ApiServer, objects: KubernetesObjects) -> Model:
    put_model(server)
    return found(objects)


@pytest.fixture
def release(objects: KubernetesObjects, model: Model) -> Release:
    return objects.create(asked(model))


def found(objects: KubernetesObjects, name: str = "bike") -> Model:
    model = objects.get(Model, "crm", name)
    assert model
    return model


def asked(model: Model) -> Release:
    return release_for(model, Request("person", "tests", "1", NOW, by="ada"))


def decided(release: Release, reason: str = "Admitted") -> DecisionRecord:
    return short(record(release, reason))


def stored(server: ApiServer, resource: Resource, name: str) -> dict[str, Any]:
    body = server.get(resource, "crm", name)
    assert body
    return body


def finalizers(server: ApiServer, name: str = "bike") -> Any:
    return stored(server, MODELS, name)["metadata"].get("finalizers", [])


# --- reading and writing ---


def test_what_is_created_is_what_is_read_and_its_name_is_taken(objects: KubernetesObjects, model: Model) -> None:
    made = objects.create(asked(model))
    assert made.metadata.uid
    assert objects.get(Release, "crm", made.name) == made
    assert objects.all_of(Release) == [made]
    with pytest.raises(Conflict, match="already exists"):
        objects.create(asked(model))


def test_a_release_is_its_models_and_says_so(server: ApiServer, release: Release, model: Model) -> None:
    body = stored(server, RELEASES, release.name)
    (owner,) = body["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"], owner["controller"]) == ("Model", "bike", model.metadata.uid, True)
    assert body["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "trimtab", "trimtab.dev/model": "bike"}
    assert "status" not in body, "a status is written apart"


def test_a_word_has_no_status(server: ApiServer, objects: KubernetesObjects) -> None:
    word = ReleaseAction(Metadata("abort-1", "crm"), ActionSpec("abort", "ada", "bike-1"))
    objects.create(word)
    assert stored(server, ACTIONS, "abort-1")["spec"] == {"release": "bike-1", "action": "abort", "user": "ada"}
    with pytest.raises(InvalidInput, match="has no status"):
        objects.write_status(word)


def test_a_roll_out_is_kept_with_conditions_that_any_tool_reads(server: ApiServer, objects: KubernetesObjects) -> None:
    spec = PipelineRolloutSpec(PipelineVersion("churn", "1.4.0", "ab" * 32), "stable")
    made = objects.create(PipelineRollout(Metadata("churn-stable-1-4-0", "crm"), spec))
    assert stored(server, PIPELINE_ROLLOUTS, made.name)["spec"] == {
        "pipeline": {"name": "churn", "version": "1.4.0", "digest": "ab" * 32},
        "channel": "stable",
    }
    status = replace(made.status, phase=RolloutPhase.HALTED, reason="TooManyBad", sentence="3 of 20", counts=Counts(20, bad=3))
    written = objects.write_status(replace(made, status=status))
    assert objects.get(PipelineRollout, "crm", made.name) == written
    told = stored(server, PIPELINE_ROLLOUTS, made.name)["status"]
    assert (told["phase"], told["stage"]) == ("Halted", 1)
    assert told["counts"] == {"models": 20, "done": 0, "bad": 3, "inFlight": 0, "waiting": 0}
    assert {one["type"]: (one["status"], one["reason"]) for one in told["conditions"]} == {
        "Ready": ("False", "TooManyBad"),
        "Reconciling": ("False", "TooManyBad"),
        "Stalled": ("True", "TooManyBad"),
    }
    with pytest.raises(Conflict):
        objects.write_status(made)


def test_words_are_in_the_order_in_which_they_were_said_within_a_second_too(
    server: ApiServer, objects: KubernetesObjects, release: Release
) -> None:
    """Neither names nor the order in which they are listed tell it, and none of them is another Release's."""
    said = [("z", 1), ("a", 1), ("m", 1), ("b", 2)]
    for name, second in said:
        put_word(server, name, release.name, second)
    put_word(server, "theirs", "bike-other", 1)
    put_word(server, "elsewhere", release.name, 1, namespace="ads")
    assert [word.metadata.name for word in said_to(objects, release)] == ["z", "a", "m", "b"]


def test_what_was_said_before_a_release_existed_was_not_said_to_it(server: ApiServer, objects: KubernetesObjects, release: Release) -> None:
    put_word(server, "early", release.name, 1)
    put_word(server, "now", release.name, 5)
    born = replace(release, metadata=replace(release.metadata, creation_timestamp=NOW + timedelta(seconds=5)))
    assert [word.metadata.name for word in said_to(objects, born)] == ["now"]


def put_word(server: ApiServer, name: str, release: str, second: int, namespace: str = "crm") -> None:
    at = (NOW + timedelta(seconds=second)).isoformat()
    spec = {"release": release, "action": "pause", "user": "ada"}
    server.put(ACTIONS, namespace, name, metadata={"uid": name, "creationTimestamp": at}, spec=spec)


def test_what_is_not_there_is_none(objects: KubernetesObjects) -> None:
    assert objects.get(Model, "crm", "nobody") is None
    assert objects.all_of(Model) == []


def test_of_two_writers_one_loses(objects: KubernetesObjects, model: Model) -> None:
    mine, theirs = (replace(model, status=ModelStatus(Champion(number, "ab" * 32))) for number in ("1", "2"))
    assert objects.write_status(mine).status == mine.status
    with pytest.raises(Conflict):
        objects.write_status(theirs)
    assert found(objects).status == mine.status


def test_the_oldest_comes_first_and_of_equal_age_the_name_decides(server: ApiServer, objects: KubernetesObjects) -> None:
    for name, made in (("c", "2026-01-02T00:00:00Z"), ("b", "2026-01-03T00:00:00Z"), ("a", "2026-01-02T00:00:00Z")):
        put_model(server, name, creationTimestamp=made)
    assert [one.name for one in objects.all_of(Model)] == ["a", "c", "b"]


def test_one_that_cannot_be_read_hides_no_other(server: ApiServer, objects: KubernetesObjects, caplog: pytest.LogCaptureFixture) -> None:
    put_model(server, "good")
    server.put(MODELS, "crm", "bad", spec={"task": "clairvoyance"})
    assert [one.name for one in objects.all_of(Model)] == ["good"]
    assert "the Model crm/bad cannot be read: " in caplog.text
    with pytest.raises(InvalidInput, match="the Model crm/bad cannot be read"):
        objects.get(Model, "crm", "bad")


def test_a_version_is_decoded_once_and_what_was_changed_anew(server: ApiServer, objects: KubernetesObjects) -> None:
    put_model(server, uid="one")
    assert found(objects) is found(objects)
    put_model(server, uid="two")
    assert found(objects).metadata.uid == "two"
    server.remove(MODELS, "crm", "bike")
    assert objects.all_of(Model) == []


def test_many_threads_may_read_while_objects_come_and_go(api: Api) -> None:
    class Churn:
        """A reader of ever other objects."""

        count = 0

        def get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any] | None:
            raise NotImplementedError

        def list(self, resource: Resource, namespace: str = "", labels: str = "") -> list[dict[str, Any]]:
            del resource, namespace, labels
            self.count += 100
            return [{**body, "metadata": {"name": f"m-{self.count + number}"}} for number in range(100)]

    body = {"apiVersion": "trimtab.dev/v1alpha1", "kind": "Model", "spec": msgspec.to_builtins(SPEC)}
    objects, faults = KubernetesObjects(api, Churn()), []

    def read() -> None:
        try:
            for _ in range(60):
                objects.all_of(Model)
        except RuntimeError as error:
            faults.append(error)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert faults == []


CUTS = [
    ("2011-07-01T00:00:00+02:00", datetime(2011, 6, 30, 22, tzinfo=UTC)),
    ("2011-07-01", datetime(2011, 7, 1, tzinfo=UTC)),
    ("soon", None),
    ("0001-01-01T00:00:00+14:00", None),
    ("9999-12-31T23:59:59-14:00", None),
]


@pytest.mark.parametrize(("given", "cut"), CUTS)
def test_a_person_may_give_the_first_cut_as_an_annotation(
    server: ApiServer, objects: KubernetesObjects, caplog: pytest.LogCaptureFixture, given: str, cut: datetime | None
) -> None:
    put_model(server, annotations={FIRST_CUT: given})
    (read,) = objects.all_of(Model)
    assert read.status.first_cut == cut
    assert (FIRST_CUT in caplog.text) == (cut is None)


def test_a_first_cut_that_is_known_is_not_moved_by_an_annotation(server: ApiServer, objects: KubernetesObjects) -> None:
    body = put_model(server, annotations={FIRST_CUT: "2011-07-01"})
    server.put(MODELS, "crm", "bike", metadata=body["metadata"], spec=body["spec"], status={"firstCut": "2010-01-01T00:00:00Z"})
    assert found(objects).status.first_cut == datetime(2010, 1, 1, tzinfo=UTC)


def test_the_cache_knows_our_own_writes_at_once(server: ApiServer, api: Api) -> None:
    put_model(server)
    cache = Cache(api, (MODELS, RELEASES))
    cache.fill(MODELS, api.list(MODELS))
    objects = KubernetesObjects(api, cache)
    release = objects.write_status(replace(objects.create(asked(found(objects))), status=TRAINING))
    assert objects.all_of(Release) == [release]
    assert found(objects).metadata.finalizers == (FINALIZER,)


# --- decisions that are heard ---


def test_a_decision_is_heard_once_however_often_the_status_is_written(api: Api, model: Model) -> None:
    heard: list[str] = []
    objects = KubernetesObjects(api, decided=lambda _, record: heard.append(record.reason))
    release = objects.create(asked(model))
    one, two = decided(release), decided(release, "RunEnded")
    for decisions, unready in (((), 0.0), ((one,), 0.0), ((one,), 1.0), ((one, two), 1.0), ((one, two), 2.0)):
        release = objects.write_status(replace(release, status=replace(TRAINING, decisions=decisions, unready_seconds=unready)))
        assert heard == [made.reason for made in decisions]


def test_a_decision_is_not_heard_where_the_write_was_lost(api: Api, model: Model) -> None:
    heard: list[str] = []
    objects = KubernetesObjects(api, decided=lambda _, record: heard.append(record.reason))
    release = objects.create(asked(model))
    stale = replace(
        release, metadata=replace(release.metadata, resource_version="0"), status=replace(TRAINING, decisions=(decided(release),))
    )
    with pytest.raises(Conflict):
        objects.write_status(stale)
    assert heard == []


# --- the finalizer ---


@pytest.mark.parametrize("phase", list(Phase), ids=str)
def test_a_model_is_held_before_a_status_lets_something_out(
    server: ApiServer, objects: KubernetesObjects, release: Release, phase: Phase
) -> None:
    server.asked.clear()
    objects.write_status(replace(release, status=ReleaseStatus(phase=phase)))
    rests = phase in {Phase.PENDING, *TERMINAL}
    assert [verb for verb, _ in server.writes()] == (["PUT"] if rests else ["PATCH", "PUT"])
    assert finalizers(server) == ([] if rests else [FINALIZER])


def test_others_finalizers_stay_when_ours_comes_and_goes(server: ApiServer, api: Api, objects: KubernetesObjects, release: Release) -> None:
    api.merge(MODELS, "crm", "bike", {"metadata": {"finalizers": ["theirs/one"]}})
    release = objects.write_status(replace(release, status=TRAINING))
    assert finalizers(server) == ["theirs/one", FINALIZER]
    server.asked.clear()
    objects.write_status(replace(release, status=replace(TRAINING, attempt=1)))
    assert [verb for verb, _ in server.writes()] == ["PUT"], "a held Model is not held twice"
    objects.free(found(objects))
    assert finalizers(server) == ["theirs/one"]


HINDRANCES = [
    ("the Model changed meanwhile", 409, Conflict),
    ("the API server is away", 503, Unavailable),
    ("an admission policy says no", 403, InvalidInput),
]


@pytest.mark.parametrize(("status", "error"), [case[1:] for case in HINDRANCES], ids=[case[0] for case in HINDRANCES])
def test_where_the_model_cannot_be_held_nothing_is_let_out(
    server: ApiServer, objects: KubernetesObjects, release: Release, status: int, error: type[Exception]
) -> None:
    def refuse(request: Asked) -> None:
        if request.verb == "PATCH":
            raise Refusal(status, "not now")

    server.before = refuse
    with pytest.raises(error):
        objects.write_status(replace(release, status=TRAINING))
    assert "status" not in stored(server, RELEASES, release.name)


def test_a_leaving_model_takes_no_finalizer_and_its_release_may_still_be_written(
    server: ApiServer, api: Api, objects: KubernetesObjects, release: Release
) -> None:
    api.merge(MODELS, "crm", "bike", {"metadata": {"finalizers": ["theirs/one"]}})
    api.delete(MODELS, "crm", "bike")
    assert objects.write_status(replace(release, status=TRAINING)).status.phase is Phase.TRAINING
    assert finalizers(server) == ["theirs/one"]


def test_a_stale_model_is_not_let_go(server: ApiServer, objects: KubernetesObjects, release: Release) -> None:
    objects.write_status(replace(release, status=TRAINING))
    held = found(objects)
    put_model(server, finalizers=[FINALIZER])
    with pytest.raises(Conflict):
        objects.free(held)
    assert finalizers(server) == [FINALIZER]


def test_a_deleted_model_that_is_let_go_is_gone_whichever_is_told_first(server: ApiServer, api: Api) -> None:
    put_model(server, finalizers=[FINALIZER])
    api.delete(MODELS, "crm", "bike")
    cache = Cache(api, (MODELS,))
    cache.fill(MODELS, api.list(MODELS))
    objects = KubernetesObjects(api, cache)
    model, body = found(objects), stored(server, MODELS, "bike")
    server.before = lambda request: cache.drop(MODELS, body) if request.verb == "PATCH" else None
    objects.free(model)
    assert server.get(MODELS, "crm", "bike") is None
    assert objects.get(Model, "crm", "bike") is None, "the watch told of the end before the patch was answered"


def test_free_all_clears_only_ours(server: ApiServer, api: Api) -> None:
    given = {"both": ["theirs/one", FINALIZER], "ours": [FINALIZER], "theirs": ["theirs/one"], "none": []}
    for name, names in given.items():
        put_model(server, name, finalizers=names)
    put_model(server, "leaving", finalizers=[FINALIZER], deletionTimestamp="2026-01-01T00:00:00Z")
    assert free_all(api) == 3
    left = {name: finalizers(server, name) for name in given}
    assert left == {"both": ["theirs/one"], "ours": [], "theirs": ["theirs/one"], "none": []}
    assert server.get(MODELS, "crm", "leaving") is None
    assert {path.rsplit("/", 1)[1] for _, path in server.writes()} == {"both", "ours", "leaving"}
    assert free_all(api) == 0


def test_free_all_goes_on_past_one_that_is_refused(server: ApiServer, api: Api, caplog: pytest.LogCaptureFixture) -> None:
    put_model(server, "a", finalizers=[FINALIZER])
    put_model(server, "b", finalizers=[FINALIZER])

    def refuse(request: Asked) -> None:
        if request.path.endswith("/a"):
            raise Refusal(403, "an admission policy says no")

    server.before = refuse
    assert free_all(api) == 1
    assert (finalizers(server, "a"), finalizers(server, "b")) == ([FINALIZER], [])
    assert "an admission policy says no" in caplog.text


def test_free_all_where_the_kind_was_never_installed(server: ApiServer, api: Api) -> None:
    server.absent = {"models"}
    assert free_all(api) == 0
