"""What a person says to a Release, and the Releases that a person asks for."""

import uuid
from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import replace

from trimtab.actions import ActionSpec, ReleaseAction, Word, unheard
from trimtab.cli.output import print_json
from trimtab.cli.place import Place, place
from trimtab.cli.releases import find_model, find_release, summary
from trimtab.control.intake import release_for
from trimtab.control.ports import Objects
from trimtab.control.words import said_to
from trimtab.errors import InvalidInput
from trimtab.release import Phase, Release, Request
from trimtab.retraining.history import active
from trimtab.rollout.rules.common import steps_of
from trimtab.rollout.rules.person import asked_step, refusal
from trimtab.rules import impossible
from trimtab.spec import Metadata, Model, Version


def find_target(objects: Objects, target: str) -> Release:
    """The Release of that name, or of the Model of that name the one that is under way; raises InvalidInput where there is none."""
    releases = objects.all_of(Release)
    if any(model.name == target for model in objects.all_of(Model)) and all(release.name != target for release in releases):
        under_way = [release for release in releases if release.spec.model == target and active(release)]
        if not under_way:
            msg = f"no Release of the Model {target!r} is under way"
            raise InvalidInput(msg)
        return under_way[-1]
    return find_release(objects, target)


def worded(said: ActionSpec, namespace: str) -> ReleaseAction:
    """The word as an object of its own; raises InvalidInput where it says what nothing can be told."""
    word = ReleaseAction(Metadata(name=f"{said.action}-{uuid.uuid4().hex[:12]}", namespace=namespace), said)
    for sentence in impossible(word):
        raise InvalidInput(sentence)
    return word


def act(
    action: Word,
    target: str,
    reason: str,
    by: str,
    folder: Path,
    namespace: str | None,
    *,
    step: int | None = None,
    full: bool = False,
    as_json: bool,
) -> None:
    """Say a word on a Release; refused where it is known already that it can change nothing, or may not."""
    here = place(folder, namespace)
    release = find_target(here.objects, target)
    said = ActionSpec(action, here.who(by), release.name, reason=reason, step=step, full=full)
    if action == "promote" and step is None and not full:
        said = _next_step(release, said)
    word = worded(said, release.metadata.namespace)
    if why := _refused(here.objects, release, said):
        raise InvalidInput(why)
    here.objects.create(word)
    if as_json:
        print_json({"release": release.name, "action": action} | ({"step": said.step, "full": said.full} if action == "promote" else {}))
        return
    print(f"{said.sentence}: said to {release.name}; `trimtab why {release.name}` tells what comes of it")
    if action == "promote" and not said.full and release.status.paused:
        print(f"it stays paused there; `trimtab rollout resume {release.name}` lets it go on")


def _next_step(release: Release, said: ActionSpec) -> ActionSpec:
    """The word with the step that is next now, so that it leads no further where the Release meanwhile goes there by itself."""
    steps, following = steps_of(release.status), asked_step(release.status) + 2
    return replace(said, step=following) if following <= len(steps) else replace(said, full=True)


def _refused(objects: Objects, release: Release, said: ActionSpec) -> str:
    """Why the word is refused, as far as it can be known: what others said and the controller has not heard yet may change it."""
    ending = release.terminal or release.status.phase is Phase.WITHDRAWING
    if not ending and any(unheard(release.status.heard, word) for word in said_to(objects, release)):
        return ""
    model = objects.get(Model, release.metadata.namespace, release.spec.model)
    return refusal(release, model, said, datetime.now(UTC))


def roll_back(target: str, reason: str, by: str, folder: Path, namespace: str | None, *, as_json: bool) -> None:
    """Roll back a Release under way; for a Model without one, ask for its previous champion."""
    here = place(folder, namespace)
    objects = here.objects
    model = next((item for item in objects.all_of(Model) if item.name == target), None)
    if model is None:
        act("rollback", target, reason, by, folder, namespace, as_json=as_json)
        return
    under_way = [r for r in objects.all_of(Release) if r.spec.model == model.name and r.status.phase in (Phase.ROLLOUT, Phase.BAKING)]
    if under_way:
        act("rollback", under_way[0].name, reason, by, folder, namespace, as_json=as_json)
        return
    previous = model.status.previous
    if previous is None:
        msg = f"{model.name} has no previous champion to bring back"
        raise InvalidInput(msg)
    why = reason or "the previous champion is wanted back"
    made = _ask(here, model, why, by, previous)
    if as_json:
        print_json(summary(made))
    else:
        print(f"asked: {made.name} brings version {previous.version} back")


def ask_to_retrain(name: str | None, reason: str, by: str, folder: Path, namespace: str | None, *, as_json: bool) -> None:
    """Create a person's Release, with what is known now as its cut."""
    here = place(folder, namespace)
    objects = here.objects
    made = _ask(here, find_model(objects, name), reason or "a person wants a new version", by, None)
    if as_json:
        print_json(summary(made))
    else:
        print(f"asked: {made.name}; `trimtab why {made.name}` tells what comes of it")


def _ask(here: Place, model: Model, sentence: str, by: str, version: Version | None) -> Release:
    """A Release that a person asks for; its cut is the watermark, or where nothing runs the last cut that is known, or else now."""
    objects, watermark = here.objects, here.watermark(model)
    known = [release.spec.request.cut for release in objects.all_of(Release) if release.spec.model == model.name]
    cut = max((moment for moment in (*known, model.status.first_cut, watermark) if moment is not None), default=datetime.now(UTC))
    who = here.who(by)
    request = Request("person", "trimtab/cli", uuid.uuid4().hex, cut, by=who, sentence=sentence, version=version)
    return objects.create(release_for(model, request))
