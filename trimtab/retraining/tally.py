"""What became of a pipeline version at the Models of its channel: whose turn it is, who has it, where it ended badly. Pure.

Nothing of it is remembered but the names of what ended badly, in case those Releases are deleted: all else is read off Models and Releases.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable
from typing import Literal

from trimtab.evidence import Frozen
from trimtab.pipeline_rollout import BadRelease, Counts, PipelineRollout
from trimtab.release import BAD_ENDS, TERMINAL, Phase, Release
from trimtab.retraining.history import ordered
from trimtab.retraining.pipelines import channel_of, made_by, older, on_a_channel, same
from trimtab.spec import Champion, Model

Fate = Literal["waiting", "inFlight", "done", "bad", "withoutEffect"]
_REACHED: frozenset[Fate] = frozenset({"inFlight", "done", "bad"})


class Tally(Frozen, frozen=True):
    """What became of the version at the Models that follow the channel, and of the way back from it.

    `reached` are those that count for a stage: promoted, bad or under way. `back` may come back to another pipeline's version,
    `keeping` were made by this one and have nothing to come back to, `coming_back` are on their way.
    """

    counts: Counts
    bad: tuple[BadRelease, ...]
    waiting: tuple[Model, ...]
    reached: int
    back: tuple[Model, ...]
    coming_back: int
    keeping: int


def identity(rollout: PipelineRollout, model: Model, *, back: bool = False) -> str:
    """The id of the request by which a Model gets the version, or its previous champion back: at most one Release each."""
    return f"{rollout.metadata.uid}/{model.metadata.uid}" + ("/back" if back else "")


def of_rollout(rollout: PipelineRollout, release: Release) -> bool:
    """Whether the Release was asked for by this very roll-out: as its trial of a Model, or to bring a champion back.

    Who may create Releases can write any source and id, so all that such a request says has to fit.
    """
    asked, uid = release.spec.request, f"{rollout.metadata.uid}/{release.spec.model_uid}"
    if asked.source != rollout.source:
        return False
    if asked.version is not None:
        return asked.id == f"{uid}/back"
    return (asked.id, asked.trigger, asked.pipeline) == (uid, "pipeline", rollout.spec.pipeline)


def counted(rollout: PipelineRollout, models: Iterable[Model], releases: Iterable[Release]) -> Tally:
    """What is so now; blind to the order and to repeats of what is given."""
    mine = [one for one in ordered(releases) if of_rollout(rollout, one)]
    trials = {one.spec.model_uid: one for one in mine if one.spec.request.version is None}
    backs = {one.spec.model_uid: one for one in mine if one.spec.request.version is not None}
    followers = _followers(rollout, models)
    bad = _bad(rollout, trials.values(), {one.metadata.uid: one for one in followers if one.metadata.uid not in backs})
    forgiven = [name for name in bad if name in rollout.status.forgiven]
    fates = {one.metadata.uid: _fate(rollout, one, trials.get(one.metadata.uid), bad) for one in followers}
    count = Counter(fates.values())
    again = sum(one.metadata.uid in trials and trials[one.metadata.uid].name in forgiven for one in followers)
    made = [one for one in followers if one.metadata.uid not in backs and _made(rollout, one.status.champion)]
    back = [one for one in made if one.status.previous and not _made(rollout, one.status.previous)]
    counts = Counts(
        models=len(followers),
        done=count["done"],
        bad=len(bad) - len(forgiven),
        in_flight=sum(one.status.phase not in TERMINAL for one in trials.values()),
        waiting=count["waiting"],
        without_effect=count["withoutEffect"],
        forgiven=len(forgiven),
    )
    return Tally(
        counts=counts,
        bad=tuple(sorted(bad.values(), key=lambda one: one.release)),
        waiting=_in_turn(rollout, [one for one in followers if fates[one.metadata.uid] == "waiting"]),
        reached=sum(fates[uid] in _REACHED for uid in trials if uid in fates) - again,
        back=_in_turn(rollout, back),
        coming_back=sum(one.status.phase not in TERMINAL for one in backs.values()),
        keeping=len(made) - len(back),
    )


def _followers(rollout: PipelineRollout, models: Iterable[Model]) -> list[Model]:
    """The Models of the channel that have a champion which this pipeline made, each once."""
    place = (rollout.metadata.namespace, rollout.spec.pipeline.name, rollout.spec.channel)
    found = {one.metadata.uid: one for one in models if on_a_channel(one) and channel_of(one) == place and _healthy(rollout, one)}
    return list(found.values())


def _healthy(rollout: PipelineRollout, model: Model) -> bool:
    champion = model.status.champion
    return champion is not None and model.metadata.deletion_timestamp is None and made_by(champion).name == rollout.spec.pipeline.name


def _bad(rollout: PipelineRollout, trials: Iterable[Release], models: dict[str, Model]) -> dict[str, BadRelease]:
    """What ended badly, by the Releases' names: those that are gone as they are remembered, the others as they are now."""
    trials = list(trials)
    there = {one.name for one in trials}
    found = {one.release: one for one in rollout.status.bad if one.release not in there}
    for one in trials:
        why = one.status.why if one.status.phase in BAD_ENDS else _taken_back(rollout, one, models.get(one.spec.model_uid))
        if why is not None:
            found[one.name] = BadRelease(one.name, one.spec.model, one.status.phase, why)
    return found


def _taken_back(rollout: PipelineRollout, trial: Release, model: Model | None) -> str | None:
    """That the Model's champion is an older pipeline's again, where the trial was promoted.

    The generation tells that from a champion which was read before it was swapped.
    """
    champion, before = (model.status.champion if model else None), trial.status.compared_with
    if champion is None or before is None or trial.status.phase is not Phase.PROMOTED or champion.generation <= before.generation:
        return None
    if not older(made_by(champion), rollout.spec.pipeline):
        return None
    return f"its version was taken back since: version {champion.version}, which {made_by(champion)} made, is the champion"


def _fate(rollout: PipelineRollout, model: Model, trial: Release | None, bad: dict[str, BadRelease]) -> Fate:
    """What became of the version at a Model; one whose bad Release was deleted is not tried again."""
    if trial is None:
        champion = model.status.champion
        behind = champion is not None and older(made_by(champion), rollout.spec.pipeline)
        return "bad" if model.name in {one.model for one in bad.values()} else "waiting" if behind else "done"
    phase = trial.status.phase
    if phase not in TERMINAL:
        return "inFlight"
    return "bad" if trial.name in bad else "done" if phase is Phase.PROMOTED else "withoutEffect"


def _made(rollout: PipelineRollout, champion: Champion | None) -> bool:
    return champion is not None and same(made_by(champion), rollout.spec.pipeline)


def _in_turn(rollout: PipelineRollout, models: Iterable[Model]) -> tuple[Model, ...]:
    """The Models in an order that is the roll-out's own, so that no Model is the first one every time."""
    return tuple(sorted(models, key=lambda one: hashlib.sha256(f"{rollout.metadata.uid}/{one.name}".encode()).hexdigest()))
