"""What a person sees of roll-outs of pipeline versions, and says to them."""

from pathlib import Path
from typing import Any

from trimtab.actions import ActionSpec, Word, unheard
from trimtab.cli.output import moment, print_json, table
from trimtab.cli.place import place
from trimtab.cli.saying import worded
from trimtab.control.ports import Objects
from trimtab.control.words import said_to
from trimtab.errors import InvalidInput
from trimtab.pipeline_rollout import PipelineRollout
from trimtab.release import Release
from trimtab.retraining.fleet import refusal
from trimtab.retraining.tally import of_rollout


def find_rollout(objects: Objects, name: str) -> PipelineRollout:
    """The PipelineRollout of that name; raises InvalidInput with the names there are."""
    known = objects.all_of(PipelineRollout)
    found = next((one for one in known if one.name == name), None)
    if found is None:
        names = ", ".join(one.name for one in known[-5:]) or "none"
        msg = f"there is no PipelineRollout {name!r}; the newest are {names}"
        raise InvalidInput(msg)
    return found


def summary(rollout: PipelineRollout) -> dict[str, Any]:
    """A PipelineRollout as programs read it."""
    spec, status = rollout.spec, rollout.status
    return {
        "name": rollout.name,
        "pipeline": spec.pipeline.name,
        "version": spec.pipeline.version,
        "channel": spec.channel,
        "phase": str(status.phase),
        "stage": status.stage,
        "stages": len(spec.stages),
        "counts": status.counts,
        "reason": status.reason,
        "sentence": status.sentence,
        "by": status.hand.user if status.hand else None,
        "created": rollout.metadata.creation_timestamp,
    }


def show_rollouts(folder: Path, namespace: str | None, *, as_json: bool) -> None:
    """List roll-outs, oldest first."""
    found = place(folder, namespace).objects.all_of(PipelineRollout)
    if as_json:
        print_json([summary(one) for one in found])
        return
    columns = ("ROLL-OUT", "PHASE", "STAGE", "DONE", "BAD", "MODELS", "CREATED", "LAST")
    lines = [_line(one) for one in found]
    table("Roll-outs of pipelines", columns, lines)


def _line(one: PipelineRollout) -> tuple[object, ...]:
    status, counts = one.status, one.status.counts
    stage, created = f"{status.stage} of {len(one.spec.stages)}", moment(one.metadata.creation_timestamp)
    return one.name, status.phase, stage, counts.done, counts.bad, counts.models, created, status.sentence


def show_rollout(name: str, folder: Path, namespace: str | None, *, as_json: bool) -> None:
    """Tell what became of a version at each Model that it was tried at."""
    objects = place(folder, namespace).objects
    rollout = find_rollout(objects, name)
    mine = [one for one in objects.all_of(Release) if of_rollout(rollout, one)]
    told = [{"release": one.name, "model": one.spec.model, "phase": str(one.status.phase), "sentence": one.status.why} for one in mine]
    if as_json:
        print_json({**summary(rollout), "hand": rollout.status.hand, "releases": told})
        return
    status, counts = rollout.status, rollout.status.counts
    print(f"{rollout.name}: {rollout.spec.pipeline} on the channel {rollout.spec.channel}: {status.phase}")
    print(status.sentence)
    if status.hand:
        print(f"{moment(status.hand.at)}  {status.hand.sentence}")
    print(
        f"of {counts.models} Models {counts.done} have it, {counts.in_flight} try it, {counts.waiting} wait; "
        f"{counts.bad} ended badly, {counts.forgiven} more were forgiven, {counts.without_effect} ended without effect"
    )
    table(
        "Releases", ("MODEL", "RELEASE", "PHASE", "LAST"), [(one["model"], one["release"], one["phase"], one["sentence"]) for one in told]
    )


def say_to_rollout(action: Word, name: str, reason: str, by: str, folder: Path, namespace: str | None, *, as_json: bool) -> None:
    """Say a word to a roll-out; refused where it is known already that it can change nothing."""
    here = place(folder, namespace)
    rollout = find_rollout(here.objects, name)
    said = ActionSpec(action, here.who(by), pipeline_rollout=rollout.name, reason=reason)
    word = worded(said, rollout.metadata.namespace)
    others = any(unheard(rollout.status.heard, one) for one in said_to(here.objects, rollout))
    if not others and (why := refusal(rollout, action)):
        raise InvalidInput(why)
    here.objects.create(word)
    if as_json:
        print_json({"pipelineRollout": rollout.name, "action": action})
        return
    print(f"{said.sentence}: said to {rollout.name}; `trimtab pipeline status {rollout.name}` tells what comes of it")
