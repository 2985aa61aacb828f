"""The next step of a roll-out of a pipeline version over the Models of a channel: whose turn it is, when it halts, what comes back. Pure.

Each Model gets the version by a Release of its own, with its own gates and canary. What is promised over all of them: with n Models and
the bound B = 1 + floor(maxBad * n), bad ones and those that have not ended are never more than B together when one is begun, so there
are never more than B bad ones; in the first stage none is forgiven. Everything is counted anew from Models and Releases, whose order and
repeats do not matter; so a look that was cut off is simply made again.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from msgspec.structs import replace

from trimtab.actions import ReleaseAction, heard_with, unheard
from trimtab.evidence import Frozen
from trimtab.pipeline_rollout import Hand, PipelineRollout, PipelineRolloutSpec, PipelineRolloutStatus, RolloutPhase
from trimtab.release import Release
from trimtab.retraining.tally import Tally, counted
from trimtab.spec import Model

_NEAR = 1e-9
"""What a product of a share and a number of Models may differ from a whole number by."""


class Step(Frozen, frozen=True):
    """The status to write, and before that the Models whose turn it is: to `begin`, or to `bring_back` to their previous champion."""

    status: PipelineRolloutStatus
    begin: tuple[Model, ...] = ()
    bring_back: tuple[Model, ...] = ()


def bound(spec: PipelineRolloutSpec, models: int) -> int:
    """How many Releases may end badly among so many Models: that many halt the roll-out."""
    return 1 + math.floor(spec.max_bad * models + _NEAR)


def reach(spec: PipelineRolloutSpec, stage: int, models: int) -> int:
    """How many Models a stage (from 1) reaches, one at least."""
    return max(1, math.ceil(spec.stages[min(stage, len(spec.stages)) - 1] * models - _NEAR))


def step(
    rollout: PipelineRollout,
    models: Iterable[Model],
    releases: Iterable[Release],
    words: Sequence[ReleaseAction],
    *,
    newer: bool,
    now: datetime,
) -> Step:
    """The next step; `words` are what people said to it, in order, `newer` is whether a newer version is on its way to the same Models."""
    rollout, refused = _heard(rollout, words, now)
    tally = counted(rollout, models, releases)
    status = replace(rollout.status, counts=tally.counts, bad=tally.bad, observed_generation=rollout.metadata.generation)
    made = _STEPS[status.phase](replace(rollout, status=status), tally, newer)
    return replace(made, status=replace(made.status, reason="ActionRefused", sentence=refused)) if refused else made


# --- what people say ---


def refusal(rollout: PipelineRollout, action: str) -> str:
    """Why a word can change nothing of a roll-out; empty where it can."""
    phase, name = rollout.status.phase, rollout.name
    if action == "halt" and phase is not RolloutPhase.PROGRESSING:
        return f"{name} is {phase}; only what is {RolloutPhase.PROGRESSING} can be halted"
    if action == "resume" and phase is not RolloutPhase.HALTED:
        return f"{name} is {phase}; only what is {RolloutPhase.HALTED} can be resumed"
    if action == "revert" and phase in (RolloutPhase.REVERTING, RolloutPhase.REVERTED):
        return f"{name} is {phase} already"
    return ""


def _heard(rollout: PipelineRollout, words: Sequence[ReleaseAction], now: datetime) -> tuple[PipelineRollout, str]:
    """The roll-out after the words that were not heard yet, and why the last of them was refused, if it was."""
    refused = ""
    for said in words:
        status = rollout.status
        if not unheard(status.heard, said):
            continue
        status = replace(status, heard=heard_with(status.heard, said))
        why = refusal(rollout, said.spec.action)
        refused = f"{said.spec.sentence}; refused: {why}" if why else ""
        if not why:
            status = replace(status, hand=Hand(said.spec.user, said.spec.sentence, now))
            status = _OBEY[said.spec.action](status, said.spec.sentence)
        rollout = replace(rollout, status=status)
    return rollout, refused


def _halt(status: PipelineRolloutStatus, sentence: str) -> PipelineRolloutStatus:
    return replace(status, phase=RolloutPhase.HALTED, reason="HaltedByPerson", sentence=sentence)


def _resume(status: PipelineRolloutStatus, sentence: str) -> PipelineRolloutStatus:
    forgiven = tuple(sorted({*status.forgiven, *(one.release for one in status.bad)}))
    return replace(status, phase=RolloutPhase.PROGRESSING, reason="ResumedByPerson", sentence=sentence, forgiven=forgiven)


def _revert(status: PipelineRolloutStatus, sentence: str) -> PipelineRolloutStatus:
    return replace(status, phase=RolloutPhase.REVERTING, reason="RevertedByPerson", sentence=sentence)


_OBEY: dict[str, Callable[[PipelineRolloutStatus, str], PipelineRolloutStatus]] = {"halt": _halt, "resume": _resume, "revert": _revert}


# --- what follows ---


def _progressing(rollout: PipelineRollout, tally: Tally, newer: bool) -> Step:
    status, spec, counts = rollout.status, rollout.spec, tally.counts
    most = bound(spec, counts.models)
    if newer:
        sentence = f"a newer version than {spec.pipeline} is on its way to the channel {spec.channel}"
        return Step(replace(status, phase=RolloutPhase.SUPERSEDED, reason="NewerVersion", sentence=sentence))
    if counts.bad and (status.stage == 1 or counts.bad >= most):
        return Step(replace(status, phase=RolloutPhase.HALTED, reason="TooManyBad", sentence=_too_many(rollout, tally, most)))
    if not tally.waiting and not counts.in_flight:
        return Step(_complete(rollout, tally))
    stage = status.stage
    while stage < len(spec.stages) and not counts.in_flight and tally.reached >= reach(spec, stage, counts.models):
        stage += 1
    room = min(reach(spec, stage, counts.models) - tally.reached, most - counts.in_flight - counts.bad)
    begin = tally.waiting[: max(0, room)]
    counts = replace(counts, in_flight=counts.in_flight + len(begin), waiting=counts.waiting - len(begin))
    sentence = (
        f"stage {stage} of {len(spec.stages)}, up to {reach(spec, stage, counts.models)} of {counts.models} Models: "
        f"{counts.done} have {spec.pipeline}, {counts.in_flight} are trying it, {counts.bad} of at most {most} ended badly"
    )
    return Step(replace(status, stage=stage, counts=counts, reason="StageUnderWay", sentence=sentence), begin=begin)


def _too_many(rollout: PipelineRollout, tally: Tally, most: int) -> str:
    last = next(one for one in reversed(tally.bad) if one.release not in rollout.status.forgiven)
    allowed = "none may in the first stage" if rollout.status.stage == 1 else f"at most {most} may"
    said = f"{tally.counts.bad} of {tally.counts.models} Models had a Release of {rollout.spec.pipeline} that ended badly, {allowed}"
    return f"{said}; {last.release} ended as {last.phase}: {last.sentence}"


def _complete(rollout: PipelineRollout, tally: Tally) -> PipelineRolloutStatus:
    counts, pipeline = tally.counts, rollout.spec.pipeline
    others = f"; at {counts.without_effect} it ended without effect" if counts.without_effect else ""
    others += f"; {counts.bad + counts.forgiven} ended badly" if counts.bad + counts.forgiven else ""
    sentence = f"every Model had its turn: {counts.done} of {counts.models} have {pipeline}{others}"
    return replace(
        rollout.status, phase=RolloutPhase.COMPLETE, stage=len(rollout.spec.stages), reason="EveryModelHadItsTurn", sentence=sentence
    )


def _completed(rollout: PipelineRollout, tally: Tally, newer: bool) -> Step:
    """It goes on where a Model has joined the channel meanwhile, unless a newer version is on its way to it."""
    if newer or not tally.waiting:
        return Step(rollout.status)
    return _progressing(replace(rollout, status=replace(rollout.status, phase=RolloutPhase.PROGRESSING)), tally, newer)


def _superseded(rollout: PipelineRollout, tally: Tally, newer: bool) -> Step:
    """It goes on where the newer version was halted or taken back."""
    if newer:
        return Step(rollout.status)
    return _progressing(replace(rollout, status=replace(rollout.status, phase=RolloutPhase.PROGRESSING)), tally, newer)


def _reverting(rollout: PipelineRollout, tally: Tally, newer: bool) -> Step:
    """Each Model that it made gets its champion before back; what is under way ends first, so that nothing comes after."""
    del newer
    status, counts = rollout.status, tally.counts
    under_way = tally.coming_back + len(tally.back)
    if under_way or counts.in_flight:
        sentence = (
            f"{under_way} Models get their champion before {rollout.spec.pipeline} back; {counts.in_flight} of its Releases have not ended"
        )
        return Step(replace(status, reason="ComingBack", sentence=sentence), bring_back=tally.back)
    kept = f"; {tally.keeping} keep it, for they have none before that another version made" if tally.keeping else ""
    sentence = f"no further Model gets {rollout.spec.pipeline}, and what it made was taken back{kept}"
    return Step(replace(status, phase=RolloutPhase.REVERTED, reason="RevertedByPerson", sentence=sentence))


def _resting(rollout: PipelineRollout, tally: Tally, newer: bool) -> Step:
    del tally, newer
    return Step(rollout.status)


_STEPS: dict[RolloutPhase, Callable[[PipelineRollout, Tally, bool], Step]] = {
    RolloutPhase.PROGRESSING: _progressing,
    RolloutPhase.HALTED: _resting,
    RolloutPhase.COMPLETE: _completed,
    RolloutPhase.REVERTING: _reverting,
    RolloutPhase.REVERTED: _resting,
    RolloutPhase.SUPERSEDED: _superseded,
}
