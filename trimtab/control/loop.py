"""The loop: observe, decide, act, for every Release that has not ended. It is the only writer of their status.

The order inside one look is what makes a crash harmless: the decision goes to the ledger, the status (which is the desired
state) is written by compare-and-swap, and only then is it carried out. Everything carried out may be repeated, and what
shall be served is compared with what is, at every look.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from msgspec.structs import replace

from trimtab.audit.chain import short
from trimtab.control.gather import Ports, data_now, gather
from trimtab.control.intake import recipe_release
from trimtab.control.pipelines import Recent, tend_rollouts
from trimtab.control.recording import crowned, record
from trimtab.control.running import run_request
from trimtab.control.triggers import ask
from trimtab.errors import Conflict, InvalidInput, TrimtabError, Unavailable
from trimtab.release import Act, Decision, Observed, Release, ServingPlan
from trimtab.rollout.decide import decide
from trimtab.rollout.plan import serving_plan
from trimtab.rollout.rules.common import leaving
from trimtab.spec import Champion, Model, ModelStatus

log = logging.getLogger(__name__)

KEPT_DECISIONS = 64
STRAIGHT_ON = 12
"""How many decisions of one Release may follow each other within one pass."""

ALIAS_CHECKED = timedelta(minutes=5)
"""How often the registry's alias is compared with the champion, after all else: between two promotions only a hand moves it."""

EVERYTHING = "all objects"
IDLE_SECONDS = 1.0
CONFLICT_SECONDS = 0.1


class Loop:
    """Looks at all Releases, one pass after the other."""

    def __init__(self, ports: Ports, clock: Callable[[], datetime]) -> None:
        """`clock` gives the wall time.

        By object (`namespace/name`), `problems` says what a person has to mend, and `waits` what does not answer.
        """
        self._ports = replace(ports, packages=Recent(ports.packages, clock))
        self._clock = clock
        self._began = clock()
        self._faults: dict[str, str] = {}
        self.waits: dict[str, str] = {}
        self.problems: dict[str, str] = {}
        self._projected: dict[str, tuple[Champion, datetime]] = {}
        """By Model uid, the champion that the alias was made to point at, and when that was last seen to."""
        self._renewed: set[str] = set()

    def step(self) -> float:
        """One pass over everything; returns the seconds after which the next is due."""
        return self._guarded(EVERYTHING, self._pass)

    def _pass(self) -> float:
        due = IDLE_SECONDS
        models = self._ports.objects.all_of(Model)
        for model in models:
            self.tend(model)
        for namespace in sorted({model.metadata.namespace for model in models}):
            due = min(due, self.fleet(namespace))
        for release in self._ports.objects.all_of(Release):
            if not release.terminal:
                due = min(due, self.live(release))
        self.forget_what_is_gone()
        return due

    def forget_what_is_gone(self) -> None:
        """Say no more of what an object had to wait for, or a person to mend, once it has ended or is no more."""
        told = {*self.problems, *self.waits}
        known = self._ports.objects.all_of(Model)
        models = {key_of(model) for model in known} | {_fleet_of(model.metadata.namespace) for model in known}
        live = {key_of(release) for release in self._ports.objects.all_of(Release) if not release.terminal}
        for key in told - models - live - {EVERYTHING}:
            self.problems.pop(key, None)
            self.waits.pop(key, None)

    def tend(self, model: Model) -> float:
        """One look at a Model; returns the seconds after which the next is due."""
        return self._guarded(key_of(model), lambda: self._tend(model))

    def live(self, release: Release) -> float:
        """One look at a Release that has not ended; returns the seconds after which the next is due."""
        return self._guarded(key_of(release), lambda: self._live(release))

    def fleet(self, namespace: str) -> float:
        """One look at the roll-outs of pipelines over a namespace's Models; returns the seconds after which the next is due."""
        ports, now = self._ports, self._clock()
        look = partial(tend_rollouts, ports.objects, ports.packages, namespace, lambda model: data_now(ports, model, now), now)
        return self._guarded(_fleet_of(namespace), look)

    def _guarded(self, name: str, work: Callable[[], float]) -> float:
        try:
            due = work()
        except Conflict as error:
            log.info("%s: %s; looking again", name, error)
            return CONFLICT_SECONDS
        except Unavailable as error:
            if self.waits.get(name) != str(error):
                log.warning("%s: waiting: %s", name, error)
            self.waits[name] = str(error)
        except TrimtabError as error:
            if self.problems.get(name) != str(error):
                log.error("%s: %s", name, error)  # noqa: TRY400 - the sentence is the message
            self.problems[name] = str(error)
        except Exception:
            log.exception("%s: a fault of ours; the others go on", name)
        else:
            self.waits.pop(name, None)
            self.problems.pop(name, None)
            return due
        return IDLE_SECONDS

    # --- Models ---

    def _tend(self, model: Model) -> float:
        """Keep servers, alias and signatures as the champion says, ask for a Release where the recipe is new; what is leaving is left."""
        if leaving(model):
            return IDLE_SECONDS
        releases = [release for release in self._ports.objects.all_of(Release) if _of(model, release)]
        active = next((release for release in releases if not release.terminal and release.status.deployed), None)
        self._converge(model, active)
        champion = model.status.champion
        pointed, seen = self._projected.get(model.metadata.uid, (None, self._began))
        if champion and pointed != champion:
            self._project(model, champion)
        if champion and model.metadata.uid not in self._renewed:
            for arm in serving_plan(model, active).arms:
                self._ports.registry.renew(model, arm.version)
            self._renewed.add(model.metadata.uid)
        now = data_now(self._ports, model, self._clock())
        asked = recipe_release(model, releases, now)
        if asked:
            self._ports.objects.create(asked)
        if champion and pointed == champion and self._clock() - seen >= ALIAS_CHECKED:
            self._project(model, champion)
        ask(self._ports.objects, self._ports.places, model, now)
        return IDLE_SECONDS

    def _converge(self, model: Model, active: Release | None) -> None:
        plan = serving_plan(model, active)
        served = {(one.version, one.weight, one.mirrored) for one in self._ports.serving.observe(model)}
        if served == {(arm.version.version, arm.weight, arm.mirrored) for arm in plan.arms} and self._ports.serving.settled(plan):
            return
        if active and active.status.deployed and active.status.candidate:
            self._ports.registry.sign(model, active.status.candidate, active.metadata.uid)
        self._apply(plan, active)

    def _apply(self, plan: ServingPlan, active: Release | None) -> None:
        try:
            self._ports.serving.apply(plan)
        except InvalidInput as error:
            if active is None:
                raise
            log.error("%s: %s", active.name, error)  # noqa: TRY400 - the sentence is the message
            self._faults[active.metadata.uid] = str(error)

    def _project(self, model: Model, champion: Champion) -> None:
        self._ports.registry.project(model.registered, champion)
        self._projected[model.metadata.uid] = (champion, self._clock())

    # --- Releases ---

    def _live(self, release: Release) -> float:
        """Look at one Release until its decisions no longer follow each other at once."""
        decision = None
        for _ in range(STRAIGHT_ON):
            observed = self._observe(release)
            decision = decide(observed)
            release = self._write(observed, decision)
            self._act(observed, decision, release)
            if decision.look_again > 0 or release.terminal:
                break
        return decision.look_again if decision else IDLE_SECONDS

    def _observe(self, release: Release) -> Observed:
        release = self._since_the_loop_began(release)
        model = self._ports.objects.get(Model, release.metadata.namespace, release.spec.model)
        releases = self._ports.objects.all_of(Release)
        fault = self._faults.get(release.metadata.uid, "")
        return gather(self._ports, release, releases, model, now=self._clock(), fault=fault)

    def _since_the_loop_began(self, release: Release) -> Release:
        """The Release with its clocks of readiness and route moved to the loop's start: while nobody looked, nothing was seen."""
        names = ("deployed_at", "unready_since", "weight_off_since")
        moments = {name: moment for name in names if (moment := getattr(release.status, name)) and moment < self._began}
        return replace(release, status=replace(release.status, **dict.fromkeys(moments, self._began))) if moments else release

    def _write(self, observed: Observed, decision: Decision) -> Release:
        release, before, after = observed.release, observed.release.status, decision.status
        if made := record(self._ports.ledger, observed, decision):
            after = replace(after, decisions=(*after.decisions, short(made))[-KEPT_DECISIONS:])
            log.info("%s: %s: %s", release.name, decision.reason, decision.sentence)
        if after == before:
            return release
        return self._ports.objects.write_status(replace(release, status=after))

    def _act(self, observed: Observed, decision: Decision, release: Release) -> None:
        model, status = observed.model, decision.status
        if model is None:
            if decision.act is Act.CANCEL_RUN:
                self._ports.runner.cancel(release.metadata.uid, status.attempt)
            return
        if decision.act is Act.SUBMIT:
            self._ports.runner.submit(run_request(self._ports.packages, observed, decision, model))
        elif decision.act is Act.CANCEL_RUN:
            self._ports.runner.cancel(release.metadata.uid, status.attempt)
        elif decision.act is Act.SERVE:
            self._converge(model, release)
        elif decision.act is Act.SWAP_CHAMPION and (champion := crowned(observed, decision)):
            self._crown(model, champion, model.status.champion)
        elif decision.act is Act.RESTORE_CHAMPION and (champion := crowned(observed, decision)):
            self._project(self._crown(model, champion, None), champion)
        elif decision.act is Act.SET_ALIAS and model.status.champion:
            self._project(model, model.status.champion)

    def _crown(self, model: Model, champion: Champion, previous: Champion | None) -> Model:
        """The champion lock: the status is written only if nobody wrote the Model since it was read."""
        status: ModelStatus = replace(model.status, champion=champion, previous=previous)
        return self._ports.objects.write_status(replace(model, status=status))


def key_of(item: Model | Release) -> str:
    """How an object is called in `problems` and `waits`."""
    return f"{item.metadata.namespace}/{item.metadata.name}"


def _fleet_of(namespace: str) -> str:
    """How a namespace's roll-outs are called in `problems` and `waits`."""
    return f"{namespace}/pipeline roll-outs"


def _of(model: Model, release: Release) -> bool:
    return (release.spec.model, release.metadata.namespace) == (model.name, model.metadata.namespace)
