"""Which version of its pipeline a Model's next run executes, and which new version the Models of a channel are to get. Pure.

What made the champion makes the next version too, until a newer one has proved itself: a new version on a channel reaches a Model by the
Release that its PipelineRollout asks for, never by a retrain that something else asked for. Channels are derived from what is published.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby

from trimtab.errors import InvalidInput
from trimtab.making import PipelineRef
from trimtab.package import BUILT_IN, built_in, in_order, on_channel, semver
from trimtab.pipeline_rollout import FALLEN, Channel, PipelineRollout, PipelineRolloutSpec, RolloutPhase, rollout_name
from trimtab.release import Refuse, Wait
from trimtab.spec import Champion, Metadata, Model, PipelineVersion

NO_PIPELINE = "NoPipeline"
_REVERTED = frozenset({RolloutPhase.REVERTING, RolloutPhase.REVERTED})


def made_by(champion: Champion) -> PipelineVersion:
    """The pipeline that made a champion; one of which nothing was written down is older than packages."""
    return champion.pipeline or BUILT_IN


def same(one: PipelineVersion, other: PipelineVersion) -> bool:
    """Whether both are the same version of the same pipeline."""
    return (one.name, one.version) == (other.name, other.version)


def older(one: PipelineVersion, other: PipelineVersion) -> bool:
    """Whether the one is an older version of the same pipeline than the other (Semantic Versioning §11)."""
    return one.name == other.name and semver(one.version) < semver(other.version)


def standing(model: Model, rollouts: Iterable[PipelineRollout]) -> PipelineVersion | None:
    """The version that the next run executes by what the Model has alone; None where what is published must be looked at."""
    ref, champion = model.spec.training.pipeline, model.status.champion
    if champion and _means(ref, made_by(champion)) and not _stopped(made_by(champion), model.metadata.namespace, rollouts, _REVERTED):
        return made_by(champion)
    return BUILT_IN if built_in(ref) else None


def version_for(model: Model, published: Iterable[PipelineVersion], rollouts: Sequence[PipelineRollout]) -> PipelineVersion | Wait | Refuse:
    """The version that a Model's next run executes, or why there is none (yet)."""
    if known := standing(model, rollouts):
        return known
    ref = model.spec.training.pipeline
    there = _there(ref.name, published)
    if ref.channel is None:
        return _exactly(ref, there)
    space = model.metadata.namespace
    offered = [one for one in on_channel(there, ref.channel) if not _stopped(one, space, rollouts, FALLEN)]
    settled = [one for one in offered if all(map(_settled, _of(one, space, rollouts)))]
    if not offered:
        sentence = f"no version of the pipeline {ref.name!r} is on the channel {ref.channel}: published are {_told(there)}"
        return Wait(None, NO_PIPELINE, sentence, ends=False)
    return (settled or offered)[-1]


def due(models: Iterable[Model], published: Iterable[PipelineVersion], rollouts: Sequence[PipelineRollout]) -> list[PipelineRollout]:
    """The PipelineRollouts to create: of a channel's newest version, where some champion there was made by an older one."""
    published, found = list(published), []
    there = {(one.metadata.namespace, one.name) for one in rollouts}
    for (space, name, channel), group in groupby(sorted(filter(on_a_channel, models), key=channel_of), channel_of):
        newest = newest_of(space, name, channel, published, rollouts)
        champions = [model.status.champion for model in group if model.status.champion]
        if newest is None or not any(older(made_by(champion), newest) for champion in champions):
            continue
        metadata = Metadata(rollout_name(newest, channel), space)
        if (space, metadata.name) not in there:
            found.append(PipelineRollout(metadata, PipelineRolloutSpec(newest, channel)))
    return found


def newest_of(
    space: str, name: str, channel: Channel, published: Iterable[PipelineVersion], rollouts: Iterable[PipelineRollout]
) -> PipelineVersion | None:
    """The newest version of a channel that was neither halted nor taken back in the namespace."""
    offered = [one for one in on_channel(_there(name, published), channel) if not _stopped(one, space, rollouts, FALLEN)]
    return offered[-1] if offered else None


def overtaken(rollout: PipelineRollout, rollouts: Iterable[PipelineRollout]) -> bool:
    """Whether a newer version is on its way to the same Models, and was not stopped."""
    return any(
        older(rollout.spec.pipeline, other.spec.pipeline) and other.status.phase not in FALLEN
        for other in rollouts
        if (other.metadata.namespace, other.spec.channel) == (rollout.metadata.namespace, rollout.spec.channel)
    )


def on_a_channel(model: Model) -> bool:
    """Whether the Model follows a channel."""
    return model.spec.training.pipeline.channel is not None


def channel_of(model: Model) -> tuple[str, str, Channel]:
    """The namespace, the pipeline's name and the channel that a Model follows."""
    ref = model.spec.training.pipeline
    return model.metadata.namespace, ref.name, ref.channel or "stable"


def _exactly(ref: PipelineRef, there: list[PipelineVersion]) -> PipelineVersion | Wait | Refuse:
    wanted = _version(ref)
    try:
        semver(wanted)
    except InvalidInput as error:
        return Refuse(NO_PIPELINE, f"spec.training.pipeline.version: {error}")
    found = next((one for one in there if one.version == wanted), None)
    sentence = f"the pipeline {ref.name} {wanted} is not published; published are {_told(there)}"
    return found or Wait(None, NO_PIPELINE, sentence, ends=False)


def _means(ref: PipelineRef, version: PipelineVersion) -> bool:
    """Whether a Model that says `ref` may be made by this version."""
    if version.name != ref.name:
        return False
    return bool(on_channel([version], ref.channel)) if ref.channel else version.version == _version(ref)


def _version(ref: PipelineRef) -> str:
    return ref.version or BUILT_IN.version


def _there(name: str, published: Iterable[PipelineVersion]) -> list[PipelineVersion]:
    """All versions of a pipeline, oldest first; nobody publishes over the one that comes with Trimtab."""
    mine = {one.version: one for one in published if one.name == name}
    return in_order({**mine, **({BUILT_IN.version: BUILT_IN} if name == BUILT_IN.name else {})}.values())


def _stopped(version: PipelineVersion, space: str, rollouts: Iterable[PipelineRollout], phases: Iterable[RolloutPhase]) -> bool:
    """Whether the version's roll-out in the namespace, on any channel, is in one of these phases."""
    return any(one.status.phase in phases for one in _of(version, space, rollouts))


def _of(version: PipelineVersion, space: str, rollouts: Iterable[PipelineRollout]) -> list[PipelineRollout]:
    return [one for one in rollouts if same(one.spec.pipeline, version) and one.metadata.namespace == space]


def _settled(rollout: PipelineRollout) -> bool:
    """Whether the version has proved itself: every Model had its turn, and some have it."""
    return rollout.status.phase is RolloutPhase.COMPLETE and rollout.status.counts.done > 0


def _told(versions: Sequence[PipelineVersion]) -> str:
    return ", ".join(one.version for one in versions[-5:]) or "none"
