"""Pipelines as the loop deals with them: what a Release's runs will execute, and one step of a namespace's roll-outs.

A step reads everything anew, creates what is to be created under names that follow from what asked for it, and writes a status last: cut
off anywhere, it is simply made again. While what is published cannot be read, roll-outs go on and none begins.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path

from msgspec.structs import replace

from trimtab.control.intake import create_once, release_for
from trimtab.control.ports import Objects, Packages
from trimtab.control.words import said_to
from trimtab.errors import InvalidInput, TrimtabError, Unavailable
from trimtab.package import BUILT_IN, Package
from trimtab.pipeline_rollout import PipelineRollout, RolloutPhase
from trimtab.release import Phase, Refuse, Release, Request, Wait
from trimtab.retraining.fleet import Step, step
from trimtab.retraining.govern import ROLLOUT_HALTED
from trimtab.retraining.pipelines import NO_PIPELINE, channel_of, due, made_by, on_a_channel, overtaken, standing, version_for
from trimtab.retraining.tally import identity, of_rollout
from trimtab.spec import Model, PipelineVersion, Version

log = logging.getLogger(__name__)

ASKED_EVERY = timedelta(seconds=30)
"""How often the published versions of a pipeline are asked for, at most."""
REFUSED_FOR = timedelta(minutes=5)
"""For how long a package that was refused is not asked for again."""
LOOK_SECONDS = 30.0
_GOING_ON = frozenset({RolloutPhase.PROGRESSING, RolloutPhase.COMPLETE})


class Recent:
    """The port `Packages`, asked for a pipeline's published versions now and then only, however often they are wanted."""

    def __init__(self, packages: Packages, clock: Callable[[], datetime]) -> None:
        """`clock` gives the wall time."""
        self._packages, self._clock = packages, clock
        self._known: dict[str, tuple[datetime, list[PipelineVersion] | Unavailable]] = {}
        self._refused: dict[tuple[PipelineVersion, tuple[str, ...]], tuple[datetime, str]] = {}

    def published(self, name: str) -> list[PipelineVersion]:
        """As they were asked for last, within the last 30 seconds; raises Unavailable as it did then."""
        now = self._clock()
        if name not in self._known or now - self._known[name][0] >= ASKED_EVERY:
            try:
                self._known[name] = (now, self._packages.published(name))
            except Unavailable as error:
                self._known[name] = (now, error)
        found = self._known[name][1]
        if isinstance(found, Unavailable):
            raise Unavailable(str(found))
        return found

    def fetch(self, version: PipelineVersion, keys: tuple[str, ...]) -> tuple[Path, Package]:
        """As the port says; what was refused is so for 5 minutes, though it may have been signed by somebody else since."""
        now, before = self._clock(), self._refused.get((version, keys))
        if before and now - before[0] < REFUSED_FOR:
            raise InvalidInput(before[1])
        try:
            found = self._packages.fetch(version, keys)
        except InvalidInput as error:
            if before is None:
                log.warning("%s", error)
            self._refused[version, keys] = (now, str(error))
            raise
        self._refused.pop((version, keys), None)
        return found


def _refusal(packages: Packages, version: PipelineVersion, models: Iterable[Model]) -> str:
    """Why none of the Models believes the package of a version; empty where one does. Raises Unavailable where that cannot be known."""
    said = ""
    for keys in () if version == BUILT_IN else sorted({one.spec.pipeline_policy.keys for one in models}):
        try:
            packages.fetch(version, keys)
        except InvalidInput as error:
            said = str(error)
        else:
            return ""
    return said


# --- one Release ---


def pipeline_of(
    objects: Objects, packages: Packages, release: Release, releases: Sequence[Release], model: Model
) -> PipelineVersion | Wait | Refuse | None:
    """What the Release's runs execute; while it waits, what they will, or why it may not begin. None: it takes no run to say."""
    request = release.spec.request
    if release.status.phase is not Phase.PENDING:
        return release.status.pipeline
    if request.version:
        return _maker(request.version, model, releases)
    rollouts = objects.all_of(PipelineRollout)
    if halted := _stopped(release, rollouts):
        return halted
    if known := request.pipeline or standing(model, rollouts):
        return known
    try:
        found = _believed(packages, model, rollouts)
    except Unavailable as error:
        found = Wait(None, NO_PIPELINE, f"which pipelines are published is not known: {error}")
    return None if request.run and not isinstance(found, PipelineVersion) else found


def _believed(packages: Packages, model: Model, rollouts: Sequence[PipelineRollout]) -> PipelineVersion | Wait | Refuse:
    """The version for the Model's next run; on a channel one whose package the Model believes, the newest first."""
    published, said = packages.published(model.spec.training.pipeline.name), ""
    while True:
        found = version_for(model, published, rollouts)
        if not isinstance(found, PipelineVersion) or not on_a_channel(model):
            return replace(found, sentence=f"{found.sentence}; {said}") if said and isinstance(found, Wait) else found
        refusal = _refusal(packages, found, [model])
        if not refusal:
            return found
        published, said = [one for one in published if one != found], said or refusal


def _maker(version: Version, model: Model, releases: Sequence[Release]) -> PipelineVersion | None:
    """The pipeline that made a version which is brought back, as far as Model and Releases know it."""
    for champion in (model.status.champion, model.status.previous):
        if champion and (champion.version, champion.digest) == (version.version, version.digest):
            return made_by(champion)
    made = [one for one in releases if one.spec.model_uid == model.metadata.uid and one.status.candidate == version]
    return next((one.status.pipeline for one in made if one.status.pipeline), None)


def _stopped(release: Release, rollouts: Sequence[PipelineRollout]) -> Wait | Refuse | None:
    """That the roll-out which asked for a Release goes on no more, where it is so; what a person may resume is waited for."""
    asked = next((one for one in rollouts if of_rollout(one, release)), None)
    if asked is None or asked.status.phase in _GOING_ON:
        return None
    phase = asked.status.phase
    sentence = f"the roll-out {asked.name} of {asked.spec.pipeline} is {phase}: {asked.status.sentence}"
    if phase is RolloutPhase.HALTED:
        return Wait(None, ROLLOUT_HALTED, sentence, ends=False)
    return Refuse(f"Rollout{phase}", sentence, Phase.SUPERSEDED)


# --- the roll-outs of a namespace ---


def tend_rollouts(objects: Objects, packages: Packages, namespace: str, data_time: Callable[[Model], datetime], now: datetime) -> float:
    """One step of each roll-out, then those begun that are due; returns the seconds after which the next look is due.

    What stands against the step of one keeps no other from its own; the first of that is raised at the end.
    """
    models = [one for one in objects.all_of(Model) if one.metadata.namespace == namespace]
    rollouts = [one for one in objects.all_of(PipelineRollout) if one.metadata.namespace == namespace]
    faults: list[TrimtabError] = []
    releases = objects.all_of(Release) if rollouts else []
    for rollout in rollouts:
        made = step(rollout, models, releases, said_to(objects, rollout), newer=overtaken(rollout, rollouts), now=now)
        try:
            _carry_out(objects, rollout, made, data_time)
        except TrimtabError as error:
            log.info("%s: %s; the other roll-outs go on", rollout.name, error)
            faults.append(error)
    followers = sorted(filter(on_a_channel, models), key=channel_of)
    begun = [one for _, group in groupby(followers, channel_of) for one in _begun(packages, list(group), rollouts)]
    for rollout in begun:
        log.info("%s: %s goes to the channel %s", rollout.name, rollout.spec.pipeline, rollout.spec.channel)
        create_once(objects, rollout)
    if faults:
        raise faults[0]
    return 0.0 if begun else LOOK_SECONDS


def _begun(packages: Packages, followers: Sequence[Model], rollouts: Sequence[PipelineRollout]) -> list[PipelineRollout]:
    """What is due at the Models of one channel, of the versions whose package one of them believes."""
    published = packages.published(followers[0].spec.training.pipeline.name)
    while found := due(followers, published, rollouts):
        refused = {one.spec.pipeline for one in found if _refusal(packages, one.spec.pipeline, followers)}
        if not refused:
            break
        published = [one for one in published if one not in refused]
    return found


def _carry_out(objects: Objects, rollout: PipelineRollout, made: Step, data_time: Callable[[Model], datetime]) -> None:
    pipeline = rollout.spec.pipeline
    for model in made.begin:
        sentence = f"the pipeline {pipeline} is new on the channel {rollout.spec.channel}: stage {made.status.stage} of its roll-out"
        asked = Request("pipeline", rollout.source, identity(rollout, model), data_time(model), sentence=sentence, pipeline=pipeline)
        create_once(objects, release_for(model, asked))
    for model in made.bring_back:
        said, previous = made.status.hand, model.status.previous
        if said and previous:
            sentence = f"{said.sentence}: version {previous.version} comes back, which {made_by(previous)} made"
            asked = Request(
                trigger="person",
                source=rollout.source,
                id=identity(rollout, model, back=True),
                cut=data_time(model),
                by=said.user,
                sentence=sentence,
                version=Version(previous.version, previous.digest),
            )
            create_once(objects, release_for(model, asked))
    if made.status != rollout.status:
        if made.status.phase is not rollout.status.phase:
            log.info("%s: %s: %s", rollout.name, made.status.phase, made.status.sentence)
        objects.write_status(replace(rollout, status=made.status))
