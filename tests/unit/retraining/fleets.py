"""Fleets of Models on a channel, and roll-outs over them, for the tests of their rules."""

from collections.abc import Sequence
from datetime import UTC, datetime

from msgspec.structs import replace

from trimtab.making import PipelineRef, Training
from trimtab.pipeline_rollout import PipelineRollout, PipelineRolloutSpec, PipelineRolloutStatus, RolloutPhase, rollout_name
from trimtab.release import ActionSpec, Phase, Release, ReleaseAction, ReleaseSpec, ReleaseStatus, Request
from trimtab.retraining.fleet import Step, step
from trimtab.retraining.tally import identity
from trimtab.spec import Champion, Data, Metadata, Model, ModelSpec, ModelStatus, PipelineVersion, Version

NOW = datetime(2026, 3, 1, tzinfo=UTC)
OLD, NEW = PipelineVersion("churn", "1.3.0", "a" * 64), PipelineVersion("churn", "1.4.0", "b" * 64)
STABLE = PipelineRef("churn", channel="stable")


def follower(
    name: str = "m", made: PipelineVersion | None = OLD, ref: PipelineRef = STABLE, previous: PipelineVersion | None = None
) -> Model:
    """A Model whose champion `made` made; without one where it is None."""
    status = ModelStatus(
        champion=Champion("2", "c" * 64, 2, pipeline=made) if made else None,
        previous=Champion("1", "d" * 64, 1, pipeline=previous) if previous else None,
    )
    spec = ModelSpec("binary", Data("d.csv", "y"), Training(pipeline=ref))
    return Model("trimtab.dev/v1alpha1", "Model", Metadata(name, uid=f"uid-{name}"), spec, status)


def fleet(count: int) -> list[Model]:
    return [follower(f"m{number}") for number in range(count)]


def rollout(
    phase: RolloutPhase = RolloutPhase.PROGRESSING, *, pipeline: PipelineVersion = NEW, uid: str = "uid-r", **status: object
) -> PipelineRollout:
    """A roll-out of a version on the channel stable."""
    name = rollout_name(pipeline, "stable")
    told = replace(PipelineRolloutStatus(), phase=phase, **status)
    return PipelineRollout(Metadata(name, uid=uid, generation=1), PipelineRolloutSpec(pipeline, "stable"), told)


def trial(of: PipelineRollout, model: Model, phase: Phase = Phase.PENDING, *, back: bool = False) -> Release:
    """The Release by which a Model gets the version, or its champion before back."""
    version = Version("1", "d" * 64) if back else None
    asked = Request("pipeline", of.source, identity(of, model, back=back), NOW, version=version, pipeline=of.spec.pipeline)
    name = f"{model.name}-{'back' if back else 'trial'}"
    status = ReleaseStatus(phase=phase, sentence="it ended so")
    return Release(Metadata(name, uid=f"uid-{name}"), ReleaseSpec(model.name, model.metadata.uid, "r", asked), status)


def word(action: str, to: PipelineRollout, uid: str = "w1") -> ReleaseAction:
    said = ActionSpec(action, "ada", pipeline_rollout=to.name, reason="seen")  # type: ignore[arg-type]
    return ReleaseAction(Metadata(f"say-{uid}", uid=uid, creation_timestamp=NOW), said)


def look(
    of: PipelineRollout, models: Sequence[Model], releases: Sequence[Release] = (), *words: ReleaseAction, newer: bool = False
) -> Step:
    return step(of, models, releases, words, newer=newer, now=NOW)
