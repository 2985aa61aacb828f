"""A cluster's looks at watched places: one Job a slot of time, which has no token and no rights; its last words are the answer."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from tests.unit.retraining.releases import model
from trimtab.errors import InvalidInput, Unavailable
from trimtab.platforms.kubernetes.api import Api
from trimtab.platforms.kubernetes.places import KubernetesPlaces, job_name
from trimtab.platforms.kubernetes.resources import JOBS, PODS
from trimtab.platforms.kubernetes.runs import TrainingSettings
from trimtab.retraining.newdata import Seen, noticed, place_of, watch_of
from trimtab.spec import DataWatch, Model
from trimtab.training.watching import QUESTION, Answer, Question

from .api_server import ApiServer

SETTINGS = TrainingSettings("trimtab/training:0.1.0", existing_secret="lake-reader")
BEGINS = datetime(2026, 3, 10, 12, tzinfo=UTC)
WATCHED = model(new_data=DataWatch("s3://lake/rows/*.parquet", "digest", "1h"))


class Clock:
    now = BEGINS + timedelta(minutes=20)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def places(api: Api, clock: Clock) -> KubernetesPlaces:
    return KubernetesPlaces(api, SETTINGS, clock)


def jobs(server: ApiServer) -> list[dict[str, Any]]:
    return [body for (plural, _, _), body in server.objects.items() if plural == "jobs"]


def ends(server: ApiServer, answer: Answer | None, *, code: int = 0) -> None:
    """The kubelet ran the pod of the newest Job."""
    job = jobs(server)[-1]
    name = job["metadata"]["name"]
    message = msgspec.json.encode(answer).decode() if answer else ""
    ended = {"exitCode": code, "message": message, "reason": "Completed" if code == 0 else "Error"}
    statuses = [{"name": "training", "state": {"terminated": ended}}]
    labels = {"batch.kubernetes.io/job-name": name}
    server.put(PODS, "default", f"{name}-x", metadata={"labels": labels}, status={"containerStatuses": statuses, "phase": "Succeeded"})
    kind = "Complete" if code == 0 else "Failed"
    metadata = {**job["metadata"], "creationTimestamp": "2026-03-10T12:20:00Z"}
    status = {"conditions": [{"type": kind, "status": "True", "reason": "BackoffLimitExceeded", "message": "it failed"}]}
    server.put(JOBS, "default", name, metadata=metadata, spec=job["spec"], status=status)


def watched(made: Model) -> tuple[DataWatch, str]:
    found = watch_of(made)
    assert found
    return found


def remembered(one: Model, seen: Seen) -> Model:
    return replace(one, status=replace(one.status, watched=noticed(one, seen)[0]))


def test_the_pod_has_the_namespaces_secret_and_no_rights(places: KubernetesPlaces, server: ApiServer) -> None:
    assert places.look(WATCHED) is None
    (job,) = jobs(server)
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["command"] == ["python", "-m", "trimtab.training.watching"]
    assert container["envFrom"] == [{"secretRef": {"name": "lake-reader", "optional": True}}]
    asked = next(variable["value"] for variable in container["env"] if variable["name"] == QUESTION)
    assert msgspec.json.decode(asked, type=Question) == Question("s3://lake/rows/*.parquet", "digest")
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert job["metadata"]["ownerReferences"][0]["uid"] == WATCHED.metadata.uid
    assert len(job["metadata"]["name"]) <= 63


def test_one_job_a_slot_whoever_looks(places: KubernetesPlaces, server: ApiServer, api: Api, clock: Clock) -> None:
    for _ in range(3):
        assert places.look(WATCHED) is None
        assert KubernetesPlaces(api, SETTINGS, clock).look(WATCHED) is None
    assert len(jobs(server)) == 1
    ends(server, Answer("m1", 7))
    seen = places.look(WATCHED)
    assert seen is not None
    assert (seen.mark, seen.size, seen.at) == ("m1", 7, BEGINS + timedelta(minutes=20))
    assert places.look(WATCHED) == seen, "until it is remembered it is told again"
    known = remembered(WATCHED, seen)
    before = len(server.asked)
    assert places.look(known) is None
    assert len(server.asked) == before, "what is remembered costs no question"
    clock.now += timedelta(hours=1)
    assert places.look(known) is None
    assert len(jobs(server)) == 2


def test_a_pod_is_started_every_minute_at_most(places: KubernetesPlaces, clock: Clock, server: ApiServer) -> None:
    often = model(new_data=DataWatch("s3://lake/x.csv", "digest", "1s"))
    for seconds in range(0, 600, 10):
        clock.now = BEGINS + timedelta(seconds=seconds)
        places.look(often)
    assert 10 <= len(jobs(server)) <= 11


def test_models_do_not_all_look_at_once(places: KubernetesPlaces, clock: Clock, server: ApiServer) -> None:
    fleet = [replace(WATCHED, metadata=replace(WATCHED.metadata, name=f"m{number}", uid=f"uid-{number}")) for number in range(60)]
    fleet = [remembered(one, Seen(place_of(*watched(one)), "m", 1, clock.now)) for one in fleet]
    begun = []
    for _ in range(6):
        clock.now += timedelta(minutes=10)
        before = len(jobs(server))
        for one in fleet:
            places.look(one)
        begun.append(len(jobs(server)) - before)
    assert sum(begun) == len(fleet)
    assert max(begun) < len(fleet) / 2


def test_what_went_wrong_is_a_sentence(places: KubernetesPlaces, server: ApiServer) -> None:
    places.look(WATCHED)
    ends(server, Answer(fault="data.uri: the store refuses (ACCESS_DENIED)", mend=True))
    with pytest.raises(InvalidInput, match="the store refuses"):
        places.look(WATCHED)


def test_a_pod_that_fails_or_cannot_start_is_told(places: KubernetesPlaces, server: ApiServer) -> None:
    places.look(WATCHED)
    name = jobs(server)[-1]["metadata"]["name"]
    waiting = {"name": "training", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}
    labels = {"batch.kubernetes.io/job-name": name}
    server.put(PODS, "default", f"{name}-x", metadata={"labels": labels}, status={"containerStatuses": [waiting]})
    with pytest.raises(Unavailable, match="ImagePullBackOff: no such image"):
        places.look(WATCHED)
    ends(server, None, code=137)
    with pytest.raises(Unavailable, match="the place could not be looked at: "):
        places.look(WATCHED)


def test_names_differ_by_model_place_and_slot() -> None:
    anew = replace(WATCHED, metadata=replace(WATCHED.metadata, uid="another"))
    names = {job_name(made, place, BEGINS + timedelta(hours=hour)) for made in (WATCHED, anew) for place in "ab" for hour in (0, 1)}
    assert len(names) == 8
    longest = replace(WATCHED, metadata=replace(WATCHED.metadata, name="a" * 40))
    assert len(job_name(longest, "a", BEGINS)) <= 63
