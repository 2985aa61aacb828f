"""Which Model is looked at when and by whom, and what is told of it: the real queue, cache and API client; only the loop is a stand-in."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from tests.unit.platforms.kubernetes.api_server import ApiServer, Asked, Refusal, running
from tests.unit.rollout.cases import NOW, SPEC
from trimtab.errors import Unavailable
from trimtab.platforms.kubernetes import work as module
from trimtab.platforms.kubernetes.api import Api
from trimtab.platforms.kubernetes.cache import Cache
from trimtab.platforms.kubernetes.endpoints import Numbers
from trimtab.platforms.kubernetes.events import Recorder
from trimtab.platforms.kubernetes.lease import Lease
from trimtab.platforms.kubernetes.objects import FINALIZER, KubernetesObjects
from trimtab.platforms.kubernetes.pipeline_rollouts import FLEET
from trimtab.platforms.kubernetes.resources import (
    ACTIONS,
    HTTP_ROUTES,
    INFERENCE_SERVICES,
    LEASES,
    MODELS,
    PIPELINE_ROLLOUTS,
    RELEASES,
    Resource,
)
from trimtab.platforms.kubernetes.watching import Watching
from trimtab.platforms.kubernetes.wiring import Wired
from trimtab.platforms.kubernetes.work import REST_SECONDS, STUCK_SECONDS, SUMMARY_SECONDS, WORKERS, Unit, Work
from trimtab.release import Phase, Release
from trimtab.spec import ExplainerSummary, Model, MonitoringSummary
from trimtab.status import RunLink

WATCHED = (MODELS, RELEASES, ACTIONS, PIPELINE_ROLLOUTS, INFERENCE_SERVICES, HTTP_ROUTES)
UNIT = ("crm", "bike")
CHAMPION = {"version": "1", "digest": "a" * 64}
PATIENCE = 20.0


class FakeLoop:
    """Notes who is looked at; a test may put work into `on_tend` and `on_live`."""

    def __init__(self) -> None:
        self.problems: dict[str, str] = {}
        self.waits: dict[str, str] = {}
        self.looked: list[str] = []
        self.on_tend: Callable[[Model], None] = lambda _: None
        self.on_fleet: Callable[[], None] = lambda: None
        self.on_live: Callable[[Release], float] = lambda _: 1.0

    def tend(self, model: Model) -> float:
        self.looked.append(model.name)
        self.on_tend(model)
        return 1.0

    def fleet(self, namespace: str) -> float:
        self.looked.append(f"the roll-outs of {namespace}")
        self.on_fleet()
        return 30.0

    def live(self, release: Release) -> float:
        self.looked.append(release.name)
        return self.on_live(release)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class World:
    """A Work before a real API server, its cache filled by lists instead of watches."""

    def __init__(self, server: ApiServer) -> None:
        self.server, self.loop, self.clock, self.numbers = server, FakeLoop(), Clock(), Numbers()
        self.summary: Callable[[Model], MonitoringSummary | None] = lambda _: None
        self.traffic_problem = ""
        self.run_link: RunLink | None = None
        self.explainer: ExplainerSummary | None = None
        api = Api(server.client())
        self.cache = Cache(api, WATCHED)
        server.put(LEASES, "trimtab-system", "trimtab-controller", spec={})
        self.lease = Lease(api, "trimtab-system", "trimtab-controller", "me", self.clock)
        wired = Wired(
            None,  # type: ignore[arg-type]
            lambda model: self.summary(model),
            lambda _: self.run_link,
            lambda _: self.traffic_problem,
            lambda _: self.explainer,
        )
        objects, recorder = (
            KubernetesObjects(api, self.cache, refused=lambda kind: self.numbers.refused.labels(kind).inc()),
            Recorder(api, "me"),
        )
        self.work = Work(self.loop, objects, self.cache, self.lease, recorder, self.numbers, wired)  # type: ignore[arg-type]
        self.watching = Watching(api, self.cache, (), self.work.woken)

    def model(self, name: str = "bike", status: dict[str, Any] | None = None, **metadata: Any) -> None:
        self.server.put(
            MODELS, "crm", name, metadata={"uid": f"{name}-uid", **metadata}, spec=msgspec.to_builtins(SPEC), status=status or {}
        )

    def release(self, name: str, phase: Phase, model: str = "bike", uid: str = "", **status: Any) -> None:
        request = {"trigger": "person", "source": "tests", "id": name, "cut": NOW.isoformat()}
        spec = {"model": model, "modelUid": uid or f"{model}-uid", "recipe": "r", "request": request}
        self.server.put(RELEASES, "crm", name, spec=spec, status={"phase": str(phase), "weight": 0, **status})

    def resync(self) -> None:
        self.watching.resync()

    def look(self, unit: Unit = UNIT) -> float | None:
        self.resync()
        return self.work.look(unit)

    def status(self, resource: Resource = MODELS, name: str = "bike") -> dict[str, Any]:
        stored = self.server.get(resource, "crm", name)
        assert stored
        return stored["status"]

    def condition(self, kind: str, resource: Resource = MODELS, name: str = "bike") -> tuple[str, str, str]:
        (found,) = [one for one in self.status(resource, name)["conditions"] if one["type"] == kind]
        return found["status"], found["reason"], found["message"]

    def events(self) -> list[str]:
        return [body["note"] for (plural, _, _), body in self.server.objects.items() if plural == "events"]


@pytest.fixture
def world() -> Iterator[World]:
    with running() as server:
        yield World(server)


@pytest.fixture
def working(world: World) -> Iterator[World]:
    """The world with its workers at work and the lease held."""
    assert world.lease.renew()
    thread = threading.Thread(target=world.work.run)
    thread.start()
    yield world
    world.work.stop()
    thread.join(PATIENCE)
    assert not thread.is_alive(), "the workers end"


# --- who wakes what ---


def body(namespace: str, name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": namespace, "name": name}, "spec": spec}


def labelled(namespace: str, name: str) -> dict[str, Any]:
    labels = {"app.kubernetes.io/managed-by": "trimtab", "trimtab.dev/model": "bike"}
    return {"metadata": {"namespace": namespace, "name": name, "labels": labels}, "spec": {}}


WAKES = [
    ("a Model", MODELS, body("crm", "bike"), ("crm", "bike")),
    ("a Release wakes its Model", RELEASES, body("crm", "bike-17", model="bike"), ("crm", "bike")),
    ("a word wakes its Release's Model", ACTIONS, body("crm", "abort-1", release="bike-17"), ("crm", "bike")),
    ("a word of another namespace does not", ACTIONS, body("ads", "abort-1", release="bike-17"), ("ads", "abort-1")),
    ("a word on nothing wakes nobody else", ACTIONS, body("crm", "abort-2", release="nothing"), ("crm", "abort-2")),
    ("an InferenceService", INFERENCE_SERVICES, body("crm", "bike"), ("crm", "bike")),
    ("an explainer wakes the Model that it is of", INFERENCE_SERVICES, labelled("crm", "bike-explainer"), ("crm", "bike")),
    ("an HTTPRoute", HTTP_ROUTES, body("crm", "bike"), ("crm", "bike")),
]


@pytest.mark.parametrize(("resource", "item", "unit"), [case[1:] for case in WAKES], ids=[case[0] for case in WAKES])
def test_an_object_that_changed_wakes_its_model(world: World, resource: Resource, item: dict[str, Any], unit: Unit) -> None:
    world.cache.put(RELEASES, body("crm", "bike-17", model="bike"))
    world.work.woken(resource, item)
    assert len(world.work.queue) == 1
    assert world.work.queue.take() == unit


CHANNEL = {"pipeline": {"name": "churn", "channel": "stable"}}
WAKE_FLEETS = [
    ("a roll-out", PIPELINE_ROLLOUTS, body("crm", "churn-stable-1-4-0"), [("crm", FLEET)]),
    ("a word on a roll-out", ACTIONS, body("crm", "halt-1", pipelineRollout="churn-stable-1-4-0"), [("crm", FLEET)]),
    ("a Model that follows a channel", MODELS, body("crm", "bike", training=CHANNEL), [UNIT, ("crm", FLEET)]),
    (
        "a Release that a roll-out asked for",
        RELEASES,
        body("crm", "bike-17", model="bike", request={"source": "/pipelinerollouts/crm/churn-stable-1-4-0"}),
        [("crm", FLEET), UNIT],
    ),
]


@pytest.mark.parametrize(("resource", "item", "units"), [case[1:] for case in WAKE_FLEETS], ids=[case[0] for case in WAKE_FLEETS])
def test_the_roll_outs_of_a_namespace_are_a_unit_of_their_own(
    world: World, resource: Resource, item: dict[str, Any], units: list[Unit]
) -> None:
    world.work.woken(resource, item)
    assert [world.work.queue.take() for _ in range(len(world.work.queue))] == units


def test_roll_outs_are_looked_at_where_there_are_any_or_a_model_may_get_one(world: World) -> None:
    world.model()
    assert world.look(("crm", FLEET)) is None
    assert world.loop.looked == []
    spec = {"pipeline": {"name": "churn", "version": "1.4.0"}, "channel": "stable"}
    world.server.put(PIPELINE_ROLLOUTS, "crm", "churn-stable-1-4-0", spec=spec, status={"phase": "Progressing", "stage": 1, "counts": {}})
    assert world.look(("crm", FLEET)) == 30.0
    assert world.loop.looked == ["the roll-outs of crm"]
    assert world.look(("ads", FLEET)) is None
    assert world.events() == []


def test_a_roll_out_that_was_halted_is_told(world: World) -> None:
    spec = {"pipeline": {"name": "churn", "version": "1.4.0"}, "channel": "stable"}
    world.server.put(PIPELINE_ROLLOUTS, "crm", "churn-stable-1-4-0", spec=spec, status={"phase": "Progressing", "stage": 1, "counts": {}})

    def halt() -> None:
        status = {"phase": "Halted", "stage": 1, "counts": {}, "reason": "TooManyBad", "sentence": "1 of 20 Models"}
        world.server.put(PIPELINE_ROLLOUTS, "crm", "churn-stable-1-4-0", spec=spec, status=status)
        world.resync()

    world.loop.on_fleet = halt
    world.look(("crm", FLEET))
    world.loop.on_fleet = lambda: None
    world.look(("crm", FLEET))
    assert world.events() == ["1 of 20 Models"]


# --- workers ---


def test_a_model_is_never_in_two_hands_and_what_came_meanwhile_is_looked_at_afterwards(working: World) -> None:
    for name in ("bike", "churn"):
        working.model(name)
    both, again, go_on = threading.Barrier(2), threading.Event(), threading.Event()
    lock, inside, most, looks = threading.Lock(), {"bike": 0, "churn": 0}, {"bike": 0, "churn": 0}, {"bike": 0, "churn": 0}

    def tend(model: Model) -> None:
        with lock:
            inside[model.name] += 1
            looks[model.name] += 1
            most[model.name] = max(most[model.name], inside[model.name])
            first = looks[model.name] == 1
        if first:
            both.wait(PATIENCE)  # two Models are looked at at once
            go_on.wait(PATIENCE)
        elif model.name == "bike":
            again.set()
        with lock:
            inside[model.name] -= 1

    working.loop.on_tend = tend
    working.resync()
    both_in = threading.Event()
    watcher = threading.Thread(target=lambda: (_until(lambda: sum(inside.values()) == 2), both_in.set()))
    watcher.start()
    assert both_in.wait(PATIENCE)
    for _ in range(WORKERS):
        working.work.queue.add(UNIT)
    assert not again.wait(0.2), "two workers are free, and still nobody takes what is in other hands"
    go_on.set()
    assert again.wait(PATIENCE)
    assert most == {"bike": 1, "churn": 1}


def _until(so: Callable[[], bool]) -> None:
    pause, ends = threading.Event(), datetime.now(UTC).timestamp() + PATIENCE
    while not so() and datetime.now(UTC).timestamp() < ends:
        pause.wait(0.005)
    assert so()


def test_a_look_that_fails_is_told_and_the_workers_go_on(working: World, caplog: pytest.LogCaptureFixture) -> None:
    names = [f"m-{number}" for number in range(WORKERS + 1)]
    for name in names:
        working.model(name)

    def fail(model: Model) -> None:
        if model.name != names[-1]:
            raise ZeroDivisionError

    working.loop.on_tend = fail
    for name in names[:-1]:
        working.resync()
        _until(lambda name=name: f"crm/{name}: a fault of ours" in caplog.text)  # type: ignore[misc]
    _until(lambda: names[-1] in working.loop.looked)
    _until(lambda: not working.work.stuck() and len(working.work.queue) == len(names))
    assert "ZeroDivisionError" in caplog.text


def test_without_the_lease_nothing_is_looked_at(world: World) -> None:
    world.model()
    thread = threading.Thread(target=world.work.run)
    thread.start()
    taken, add = threading.Event(), world.work.queue.add

    def added(unit: Unit, after: float = 0.0) -> None:
        add(unit, 0.0)
        if after == 1.0:
            taken.set()

    world.work.queue.add = added  # type: ignore[method-assign]
    world.resync()
    assert taken.wait(PATIENCE), "it was taken from the queue, and put back for a second"
    assert world.loop.looked == []
    assert world.server.writes() == []
    world.lease.renew()
    _until(lambda: "bike" in world.loop.looked)
    world.work.stop()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_a_controller_whose_lease_ran_out_looks_no_more(working: World) -> None:
    working.clock.now += 1000
    working.model()
    working.resync()
    _until(lambda: len(working.work.queue) == 1 and working.work.queue._due[UNIT] > 0)
    working.work.stop()
    assert working.loop.looked == []


def test_only_a_look_that_lasts_too_long_is_stuck(working: World, monkeypatch: pytest.MonkeyPatch) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def tend(_: Model) -> None:
        inside.set()
        go_on.wait(PATIENCE)

    working.loop.on_tend = tend
    working.model()
    assert working.work.stuck() == ""
    working.resync()
    assert inside.wait(PATIENCE)
    assert working.work.stuck() == ""
    monkeypatch.setattr(module, "STUCK_SECONDS", -1.0)
    assert working.work.stuck() == "a look has lasted 0 s"
    go_on.set()
    monkeypatch.undo()
    assert STUCK_SECONDS > 60
    _until(lambda: not working.work._began)


def test_pending_releases_of_two_models_are_admitted_one_after_the_other(working: World) -> None:
    inside, most, lock, done = [0], [0], threading.Lock(), threading.Semaphore(0)

    def live(_: Release) -> float:
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        threading.Event().wait(0.05)
        with lock:
            inside[0] -= 1
        done.release()
        return 60.0

    working.loop.on_live = live
    for name in ("a", "b", "c"):
        working.model(name)
        working.release(f"{name}-1", Phase.PENDING, name)
    working.resync()
    for _ in range(3):
        assert done.acquire(timeout=PATIENCE)
    assert most == [1], "the governor counts what others have admitted"


# --- one look ---


def test_a_look_tends_the_model_and_its_own_live_releases(world: World) -> None:
    world.model()
    world.model("churn")
    world.release("bike-1", Phase.FAILED)
    world.release("bike-2", Phase.PENDING)
    world.release("churn-1", Phase.PENDING, "churn")
    due = world.look()
    assert world.loop.looked == ["bike", "bike-2"]
    assert due == 1.0, "when the Release is due"
    assert b"trimtab_looks_total 1.0" in world.numbers.page()


REFUSED = [
    ("a Release's status as the loop would have it", "", "bike-1"),
    ("a Release's status as it is told", "releases", "bike-1"),
    ("the Model's status as it is told", "models", "bike"),
]


@pytest.mark.parametrize(("plural", "name"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_a_status_that_is_refused_is_told_where_people_look_until_it_is_taken(world: World, plural: str, name: str) -> None:
    world.model()
    world.release("bike-1", Phase.ROLLOUT)
    said = "StatusRefused: the API server refuses the status of"

    def refuse(asked: Asked) -> None:
        if asked.verb == "PUT" and asked.path.endswith(f"/{plural}/{name}/status"):
            raise Refusal(422, f"{name} is invalid: status.plan: Required value")

    world.server.before = refuse
    if not plural:
        world.loop.problems["crm/bike-1"] = f"{said} Release bike-1, which stays as it is: status.plan: Required value"
    for _ in range(3):
        world.look()
    places = [(MODELS, "bike"), *([(RELEASES, "bike-1")] if name == "bike-1" else [])]
    for resource, one in places:
        state, reason, message = world.condition("Reconciled", resource, one)
        assert (state, reason) == ("False", "StatusRefused")
        assert f"{said} {'Release' if name == 'bike-1' else 'Model'} {name}" in message
        assert "status.plan: Required value" in message
    assert world.status(RELEASES, "bike-1")["phase"] == "Rollout"
    assert len([note for note in world.events() if "status.plan: Required value" in note]) == 1, "an Event, once"
    kind = {"releases": "Release", "models": "Model"}.get(plural, "")
    assert (f'trimtab_statuses_refused_total{{kind="{kind}"}} 3.0' in world.numbers.page().decode()) == bool(plural)
    patches = [one for one in world.server.asked if one.verb == "PATCH" and one.path.endswith("/status")]
    assert len(patches) == (1 if plural else 0), "said once, and only where the whole status is refused"
    assert all(list(one.body["status"]) == ["conditions"] for one in patches)
    world.server.before = None
    world.loop.problems.clear()
    for _ in range(2):
        world.look()
    for resource, one in places:
        assert world.condition("Reconciled", resource, one)[:2] == ("True", "UpToDate")


def finalizers(world: World) -> list[str]:
    stored = world.server.get(MODELS, "crm", "bike")
    assert stored
    return list(stored["metadata"].get("finalizers", []))


def test_a_release_whose_beginning_is_refused_keeps_the_finalizer_and_is_told(world: World) -> None:
    """The finalizer is put on before the status that is refused: taken off and put on at each look, nothing would ever be told."""
    world.model(finalizers=[FINALIZER])
    world.release("bike-1", Phase.PENDING)
    world.loop.problems["crm/bike-1"] = (
        "StatusRefused: the API server refuses the status of Release bike-1, which stays as it is: not today"
    )
    for _ in range(2):
        world.look()
    for resource, name in ((MODELS, "bike"), (RELEASES, "bike-1")):
        assert world.condition("Reconciled", resource, name)[:2] == ("False", "StatusRefused")
    assert finalizers(world) == [FINALIZER]
    world.loop.problems.clear()
    world.look()
    assert finalizers(world) == []


def test_a_model_at_rest_is_looked_at_once_a_minute_and_nothing_is_written_twice(world: World) -> None:
    world.model()
    dues = [world.look() for _ in range(3)]
    assert all(due is not None and 0.8 * REST_SECONDS <= due <= 1.2 * REST_SECONDS for due in dues)
    assert len(set(dues)) > 1, "a fleet is not looked at all at once"
    assert [verb for verb, _ in world.server.writes()] == ["PUT"], "conditions are told once"


def test_a_model_that_serves_is_looked_at_as_often_as_its_monitoring_is_told(world: World) -> None:
    world.model(status={"champion": CHAMPION})
    assert world.look() == SUMMARY_SECONDS


def test_the_explainer_is_told_beside_the_champion_and_no_more_once_there_is_none(world: World) -> None:
    world.model(status={"champion": CHAMPION})
    world.explainer = ExplainerSummary(version="1", sentence="OwnershipConflict: 'argo' keeps changing it")
    world.look()
    assert world.condition("Explaining") == ("False", "OwnershipConflict", "OwnershipConflict: 'argo' keeps changing it")
    world.explainer = ExplainerSummary("http://e.example.com", "1", ready=True, sentence="version 1 is explained by anchor")
    world.look()
    assert world.condition("Explaining") == ("True", "Explaining", "version 1 is explained by anchor")
    told = {"url": "http://e.example.com", "version": "1", "ready": True, "sentence": "version 1 is explained by anchor"}
    assert world.status()["explainer"] == told
    world.explainer = None
    world.look()
    assert "explainer" not in world.status()
    assert "Explaining" not in {one["type"] for one in world.status()["conditions"]}


def test_what_is_gone_is_not_looked_at_again_and_its_releases_until_they_have_ended(world: World) -> None:
    assert world.look() is None
    world.release("bike-1", Phase.TRAINING)
    assert world.look() == 1.0
    assert world.loop.looked == ["bike-1"]
    world.release("bike-1", Phase.CANCELLED)
    assert world.look() is None
    assert world.server.writes() == []


def test_a_model_that_cannot_be_read_is_left_alone(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.server.put(MODELS, "crm", "bike", spec={"task": "clairvoyance"})
    assert world.look() is None
    assert "the Model crm/bike cannot be read" in caplog.text
    assert world.server.writes() == []


@pytest.mark.parametrize(("kind", "reason"), [("problems", "Refused"), ("waits", "Waiting")])
def test_what_stands_against_a_model_is_told_and_looked_at_soon(world: World, kind: str, reason: str) -> None:
    world.model()
    getattr(world.loop, kind)["crm/bike"] = "no such Gateway"
    assert world.look() == 2.0
    state, why, message = world.condition("Reconciled")
    assert (state, why) == ("False", reason)
    assert "no such Gateway" in message
    getattr(world.loop, kind).clear()
    world.look()
    assert world.condition("Reconciled")[0] == "True"


def test_what_stands_against_a_release_is_told_of_it_and_of_its_model(world: World) -> None:
    world.model(finalizers=[FINALIZER])
    world.release("bike-1", Phase.TRAINING)
    world.release("bike-2", Phase.PENDING)
    world.loop.problems["crm/bike-1"] = "SignatureMismatch: the files of version 2 were changed"
    world.look()
    for resource, name in ((RELEASES, "bike-1"), (MODELS, "bike")):
        assert world.condition("Reconciled", resource, name)[:2] == ("False", "SignatureMismatch")
    assert world.condition("Reconciled", RELEASES, "bike-2")[0] == "True"


def test_what_stood_against_a_release_that_has_ended_is_past(world: World) -> None:
    world.model()
    world.release("bike-1", Phase.FAILED)
    world.loop.problems["crm/bike-1"] = "gone by"
    world.look()
    assert world.condition("Reconciled")[0] == "True"
    assert "conditions" not in world.status(RELEASES, "bike-1")


def test_a_problem_makes_one_event_until_it_is_another_or_comes_back_for_another_model(world: World) -> None:
    world.model()
    for sentence in ("a", "a", "b", "b"):
        world.loop.problems["crm/bike"] = sentence
        world.look()
    assert world.events() == ["a", "b"]
    posts = [path for verb, path in world.server.writes() if verb == "POST"]
    assert len(posts) == 2, "what was told is not even asked about"
    world.model(uid="another")
    world.look()
    assert world.events() == ["a", "b", "b"], "a Model made anew is another one"


def test_where_a_gateway_tells_nothing_the_model_waits(world: World) -> None:
    world.model()
    world.traffic_problem = "no proxy answers"
    world.look()
    assert world.condition("Reconciled") == ("False", "Waiting", "waiting: no proxy answers")


SERVING = [
    ("there is none", None, "False", "the InferenceService does not exist"),
    ("nothing is known of it", [], "False", "the InferenceService is not ready: it is starting"),
    ("a message", [{"type": "Ready", "status": "False", "message": "m", "reason": "R"}], "False", "the InferenceService is not ready: m"),
    ("a reason alone", [{"type": "Ready", "status": "Unknown", "reason": "R"}], "False", "the InferenceService is not ready: R"),
    ("it is ready", [{"type": "Ready", "status": "True"}], "True", "version 1 serves"),
]


@pytest.mark.parametrize(("conditions", "state", "sentence"), [case[1:] for case in SERVING], ids=[case[0] for case in SERVING])
def test_a_champion_serves_as_its_inference_service_says(world: World, conditions: Any, state: str, sentence: str) -> None:
    world.model(status={"champion": CHAMPION})
    if conditions is not None:
        world.server.put(INFERENCE_SERVICES, "crm", "bike", status={"conditions": conditions} if conditions else {})
    world.look()
    found = world.condition("Ready")
    assert (found[0], found[2]) == (state, sentence)


def test_where_a_run_is_looked_at_is_told_while_it_runs_and_stays(world: World) -> None:
    world.model()
    world.run_link = RunLink("Job", "bike-1-1", "kubectl logs …")
    world.release("bike-1", Phase.PENDING)
    world.look()
    assert "run" not in world.status(RELEASES, "bike-1")
    world.release("bike-1", Phase.TRAINING)
    world.look()
    assert world.status(RELEASES, "bike-1")["run"]["name"] == "bike-1-1"
    world.run_link = None
    world.look()
    assert world.status(RELEASES, "bike-1")["run"]["name"] == "bike-1-1"


def test_a_status_that_somebody_else_wrote_meanwhile_is_told_again_at_once(world: World) -> None:
    world.model()
    world.resync()
    world.model(finalizers=["theirs/one"])
    assert world.work.look(UNIT) == 0.1
    assert world.look() != 0.1
    assert world.condition("Reconciled")[0] == "True"


@pytest.mark.parametrize("status", [403, 503])
def test_a_status_that_cannot_be_told_is_told_later(world: World, caplog: pytest.LogCaptureFixture, status: int) -> None:
    def refuse(asked: Asked) -> None:
        if asked.verb == "PUT":
            raise Refusal(status, "not today")

    world.model()
    world.server.before = refuse
    with caplog.at_level("INFO"):
        assert world.look() == 5.0
    assert "its status could not be told" in caplog.text
    world.server.before = None
    world.look()
    assert world.condition("Reconciled")[0] == "True"


# --- the finalizer ---

OUT = [
    ("nothing is out", [], True),
    ("a Release waits", [(Phase.PENDING, "")], True),
    ("all have ended", [(Phase.FAILED, ""), (Phase.PROMOTED, "")], True),
    ("a run is out", [(Phase.FAILED, ""), (Phase.TRAINING, "")], False),
    ("a candidate is out", [(Phase.ROLLOUT, "")], False),
    ("it is being withdrawn", [(Phase.WITHDRAWING, "")], False),
    ("what is out is a former Model's of that name", [(Phase.ROLLOUT, "former")], True),
]


@pytest.mark.parametrize("leaves", [False, True], ids=["stays", "leaves"])
@pytest.mark.parametrize(("releases", "freed"), [case[1:] for case in OUT], ids=[case[0] for case in OUT])
def test_a_model_is_let_go_only_when_nothing_of_it_is_out(
    world: World, releases: list[tuple[Phase, str]], freed: bool, leaves: bool
) -> None:
    deleted = {"deletionTimestamp": "2026-03-01T12:00:00Z"} if leaves else {}
    world.model(finalizers=["theirs/one", FINALIZER], **deleted)
    for number, (phase, uid) in enumerate(releases):
        world.release(f"bike-{number}", phase, uid=uid)
    world.look()
    stored = world.server.get(MODELS, "crm", "bike")
    assert stored
    assert stored["metadata"]["finalizers"] == (["theirs/one"] if freed else ["theirs/one", FINALIZER])
    if not freed and leaves:
        assert world.condition("Ready")[:2] == ("False", "Leaving")


def test_a_deleted_model_is_gone_after_the_look_that_found_nothing_out(world: World) -> None:
    world.model(finalizers=[FINALIZER], deletionTimestamp="2026-03-01T12:00:00Z")
    world.look()
    assert world.server.get(MODELS, "crm", "bike") is None
    assert world.look() is None


# --- monitoring ---


def test_monitoring_is_asked_of_a_champion_alone_and_not_at_each_look(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    world.summary = lambda model: asked.append(model.name) or MonitoringSummary(sentence="all is well", watermark=NOW)  # type: ignore[func-returns-value]
    world.model()
    world.look()
    assert asked == []
    world.model(status={"champion": CHAMPION})
    world.look()
    world.look()
    assert asked == ["bike"]
    assert world.status()["monitoring"]["sentence"] == "all is well"
    monkeypatch.setattr(module, "SUMMARY_SECONDS", 0.0)
    world.look()
    assert asked == ["bike", "bike"]


def test_while_the_monitor_is_silent_what_it_said_stays(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SUMMARY_SECONDS", 0.0)
    world.summary = lambda _: MonitoringSummary(sentence="all is well")
    world.model(status={"champion": CHAMPION})
    world.look()

    def silent(_: Model) -> MonitoringSummary:
        raise Unavailable

    world.summary = silent
    world.look()
    assert world.status()["monitoring"]["sentence"] == "all is well"


def test_a_model_made_anew_does_not_inherit_what_the_monitor_said_of_the_former(world: World) -> None:
    world.summary = lambda _: MonitoringSummary(sentence="of the former", watermark=NOW)
    world.model(status={"champion": CHAMPION})
    world.look()
    world.model(uid="another")
    world.look()
    assert "monitoring" not in world.status()
