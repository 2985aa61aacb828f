"""The governor: may this Release begin now? Retraining costs money and risks the service, so not every wish is granted.

A pure rule over the Release, its Model and all Releases there are, in data time. It grants at most one Release of a model at a
time, lets waiting ones of a model collapse into the one that speaks for them, and shares the places between models. What a
person, a changed recipe or a changed pipeline asks for is never held back by cooldown, budget or breaker.
"""

from collections.abc import Sequence
from datetime import datetime

from trimtab.release import Admission, Admit, Phase, Refuse, Release, Trigger, Wait
from trimtab.retraining.history import NEVER, active, born, breaker_open, is_trial, next_in_budget, of_model, retrains
from trimtab.spec import Model
from trimtab.units import duration

__all__ = ["breaker_open", "govern"]

PRIORITY: tuple[Trigger, ...] = ("person", "performance", "concept", "recipe", "pipeline", "newData", "schedule", "drift")
ALWAYS = frozenset({"person", "recipe", "pipeline"})
FINDINGS = frozenset({"performance", "concept", "drift"})
NO_PLACE = "ConcurrencyLimit"
ROLLOUT_HALTED = "RolloutHalted"
"""Why a trial waits whose roll-out was halted; it comes before nothing else of its model meanwhile."""
_MINUTE = "%Y-%m-%d %H:%M"


def govern(release: Release, model: Model, releases: Sequence[Release], now: datetime, running: int, limit: int) -> Admission:
    """Admit, wait or refuse. `now` is data time; `running` of at most `limit` places are taken over all models.

    The order and repeats of `releases` do not matter, nor whether the Release itself is among them.
    """
    own = of_model(model, [*releases, release])
    blocked = _blocked(release, model, own, now)
    if isinstance(blocked, Refuse):
        return blocked
    first = _first(release, model, own, now)
    if first.name != release.name and _speaks_for(first, release):
        sentence = f"the Release {first.name!r} ({first.spec.request.trigger}) of this model is waiting too and speaks for it"
        return Refuse("Collapsed", sentence, Phase.SUPERSEDED)
    if first.name != release.name:
        return Wait(None, "AnotherFirst", f"the Release {first.name!r} ({first.spec.request.trigger}) of this model comes first")
    busy = next((other for other in own if active(other) and other.name != release.name), None)
    if busy is not None:
        return Wait(None, "AnotherActive", f"the Release {busy.name!r} of this model is under way ({busy.status.phase})")
    return blocked or _place(release, releases, running, limit)


def _speaks_for(first: Release, release: Release) -> bool:
    """Whether the first one makes the other needless; a person's is never, nor one that runs another pipeline."""
    mine, other = release.spec, first.spec
    return mine.request.trigger != "person" and (mine.recipe, mine.request.pipeline) == (other.recipe, other.request.pipeline)


def _blocked(release: Release, model: Model, own: list[Release], now: datetime) -> Wait | Refuse | None:
    """What stands against this Release whatever else waits: the model's policy, cooldown, budget and breaker."""
    trigger = release.spec.request.trigger
    if trigger in ALWAYS:
        return None
    policy = model.spec.retraining
    if trigger not in policy.on:
        return Refuse("TriggerOff", f"spec.retraining.on does not name {trigger!r}: it names {', '.join(policy.on) or 'nothing'}")
    if answered := _answered(release, own):
        return Refuse("AlreadyAnswered", answered, Phase.SUPERSEDED)
    if model.status.champion is None:
        return Wait(None, "NoChampion", "the first version of a model is asked for by a person or by its recipe", ends=False)
    if since := breaker_open(model, own, now):
        until = since + duration(policy.breaker.reset)
        sentence = f"{policy.breaker.failures} Releases in a row failed: the breaker is open until {until:{_MINUTE}}"
        return Wait(until, "BreakerOpen", sentence)
    moments = retrains(own)
    if moments and (until := moments[-1] + duration(policy.cooldown)) > now:
        return Wait(until, "Cooldown", f"the last retrain was admitted at {moments[-1]:{_MINUTE}}: cooldown until {until:{_MINUTE}}")
    if until_budget := next_in_budget(moments, policy.max_per_day, now):
        sentence = f"{policy.max_per_day} retrains a day are spent: the next one from {until_budget:{_MINUTE}}"
        return Wait(until_budget, "BudgetSpent", sentence)
    return None


def _answered(release: Release, own: list[Release]) -> str:
    """A finding from before the last promotion of newer rows is about a champion that is gone; a sentence if it is so."""
    if release.spec.request.trigger not in FINDINGS:
        return ""
    for other in own:
        since = other.status.promotion.since if other.status.promotion else None
        if other.status.phase is Phase.PROMOTED and not is_trial(other) and since and release.spec.request.cut <= since:
            return f"the Release {other.name!r} promoted a new version after this was found"
    return ""


def _first(release: Release, model: Model, own: list[Release], now: datetime) -> Release:
    """The one that comes first of all that wait of a model: what may begin before what may not, then by priority.

    Of equal ones a person's oldest comes first, else the one with the latest cut: it reads the most data.
    """

    def rank(one: Release) -> tuple[bool, int, float, object]:
        asked = one.spec.request
        cut = 0.0 if asked.trigger == "person" else -asked.cut.timestamp()
        return (_blocked(one, model, own, now) is not None, PRIORITY.index(asked.trigger), cut, born(one))

    pending = [one for one in own if one.status.phase is Phase.PENDING and one.status.reason != ROLLOUT_HALTED]
    waiting = [one for one in pending if not isinstance(_blocked(one, model, own, now), Refuse)]
    return min([*waiting, release], key=rank)


def _place(release: Release, releases: Sequence[Release], running: int, limit: int) -> Admission:
    """The places left go to the models whose last admission is the longest ago, then to whoever waits the longest.

    Of other models only those count that wait for a place (or were never looked at): one in its cooldown blocks nobody.
    """
    free = limit - running
    if free <= 0:
        return Wait(None, NO_PLACE, f"{running} Releases are under way, of at most {limit}")
    mine = _model_of(release)
    everyone = [*releases, release]
    taken = {_model_of(other) for other in everyone if active(other)}
    admitted: dict[tuple[str, str], datetime] = {}
    queue = {mine: born(release)}
    for other in everyone:
        key = _model_of(other)
        if other.status.admitted_at:
            admitted[key] = max(admitted.get(key, NEVER), other.status.admitted_at)
        waits = other.status.phase is Phase.PENDING and other.status.reason in ("", NO_PLACE)
        if waits and key not in taken and key != mine:
            queue[key] = min(queue.get(key, born(other)), born(other))
    ahead = sorted(queue, key=lambda key: (admitted.get(key, NEVER), queue[key])).index(mine)
    if ahead < free:
        return Admit()
    return Wait(None, NO_PLACE, f"{free} of {limit} places are free, and {ahead} models have waited longer")


def _model_of(release: Release) -> tuple[str, str]:
    return (release.metadata.namespace, release.spec.model)
