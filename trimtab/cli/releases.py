"""What a person asks of Models and Releases, and what they say to them."""

import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trimtab.cli.output import moment, print_json, table
from trimtab.cli.place import Place, place
from trimtab.control.intake import release_for
from trimtab.control.ports import Objects
from trimtab.errors import InvalidInput
from trimtab.release import ActionSpec, Phase, Release, ReleaseAction, Request
from trimtab.spec import Metadata, Model, Version


def find_model(objects: Objects, name: str | None) -> Model:
    """The named Model, or the only one; raises InvalidInput with the names there are."""
    models = objects.all_of(Model)
    if name is None and len(models) == 1:
        return models[0]
    found = next((model for model in models if model.name == name), None)
    if found is None:
        known = ", ".join(model.name for model in models) or "none"
        msg = f"there is no Model {name!r}; known are {known}" if name else f"there are several Models, name one: {known}"
        if not models and name is None:
            msg = "there is no Model here"
        raise InvalidInput(msg)
    return found


def find_release(objects: Objects, name: str) -> Release:
    """The Release of that name, or the only one that begins with it; raises InvalidInput with the newest names."""
    releases = objects.all_of(Release)
    matching = [release for release in releases if release.name == name] or [
        release for release in releases if release.name.startswith(name)
    ]
    if len(matching) != 1:
        newest = ", ".join(release.name for release in releases[-5:]) or "none"
        msg = f"{len(matching) or 'no'} Releases are named {name!r}; the newest are {newest}"
        raise InvalidInput(msg)
    return matching[0]


def summary(release: Release) -> dict[str, Any]:
    """A Release as programs read it."""
    status = release.status
    return {
        "name": release.name,
        "model": release.spec.model,
        "phase": str(status.phase),
        "trigger": release.spec.request.trigger,
        "version": status.candidate.version if status.candidate else None,
        "created": release.metadata.creation_timestamp,
        "finished": status.finished,
        "weight": status.weight,
        "reason": status.outcome.reason if status.outcome else status.reason,
        "sentence": status.outcome.sentence if status.outcome else status.sentence,
        "cut": release.spec.request.cut,
        "request": release.spec.request.sentence,
        "decisions": list(status.decisions),
    }


def show_releases(folder: Path, namespace: str | None, model: str | None, *, as_json: bool) -> None:
    """List Releases, oldest first."""
    objects = place(folder, namespace).objects
    found = [release for release in objects.all_of(Release) if model is None or release.spec.model == model]
    rows = [summary(release) for release in found]
    if as_json:
        print_json(rows)
        return
    columns = ("RELEASE", "PHASE", "TRIGGER", "VERSION", "CREATED", "LAST")
    lines = [(row["name"], row["phase"], row["trigger"], row["version"], moment(row["created"]), row["sentence"]) for row in rows]
    table("Releases", columns, lines)


def show_models(folder: Path, namespace: str | None, *, as_json: bool) -> None:
    """List Models with their champion and newest Release."""
    here = place(folder, namespace)
    objects = here.objects
    releases = objects.all_of(Release)
    rows: list[dict[str, Any]] = []
    for model in objects.all_of(Model):
        newest = [release for release in releases if release.spec.model == model.name][-1:]
        champion = model.status.champion
        rows.append(
            {
                "name": model.name,
                "task": model.spec.task,
                "champion": champion.version if champion else None,
                "previous": model.status.previous.version if model.status.previous else None,
                "firstCut": model.status.first_cut,
                "watermark": here.watermark(model),
                "release": newest[0].name if newest else None,
                "phase": str(newest[0].status.phase) if newest else None,
            }
        )
    if as_json:
        print_json(rows)
        return
    table(
        "Models",
        ("MODEL", "TASK", "CHAMPION", "WATERMARK", "LAST RELEASE", "PHASE"),
        [(r["name"], r["task"], r["champion"], moment(r["watermark"]), r["release"], r["phase"]) for r in rows],
    )


def explain(name: str, folder: Path, namespace: str | None, *, as_json: bool) -> None:
    """Tell a Release's story: who asked, what was decided when and why, with the judge's numbers."""
    here = place(folder, namespace)
    release = find_release(here.objects, name)
    records = here.archive.of(release)
    if as_json:
        status = release.status
        story = {"request": release.spec.request, "verdict": status.verdict, "bakeVerdict": status.bake_verdict, "shadow": status.shadow}
        print_json({**summary(release), **story, "decisions": records})
        return
    request = release.spec.request
    print(f"{release.name} for {release.spec.model}: {release.status.phase}")
    print(f"asked for by {request.trigger}{' (' + request.by + ')' if request.by else ''}: {request.sentence}")
    print(f"trained on what was known at {moment(request.cut)} (data time)")
    for record in records:
        print(f"{record.sequence:>3}  {moment(record.at)}  {record.phase:<12} {record.weight:>3}%  {record.reason}: {record.sentence}")
    for verdict in (release.status.verdict, release.status.bake_verdict):
        for guard in verdict.guards if verdict else ():
            print(f"     evidence: {guard.sentence}")
    if found := release.status.shadow:
        from trimtab.rollout.shadow import latencies

        print(f"     shadow: {found.sentence}")
        print(f"     shadow: {latencies(found)}")


def act(action: str, name: str, reason: str, by: str, folder: Path, namespace: str | None, *, as_json: bool) -> None:
    """Say a word on a Release; refused where it can no longer change anything."""
    here = place(folder, namespace)
    objects = here.objects
    release = find_release(objects, name)
    phase = release.status.phase
    if release.terminal:
        msg = f"{release.name} has ended as {phase}; nothing can be said to it any more"
        raise InvalidInput(msg)
    if action == "approve" and phase is not Phase.AWAITING_APPROVAL:
        msg = f"{release.name} is in phase {phase}; only a Release in {Phase.AWAITING_APPROVAL} can be approved"
        raise InvalidInput(msg)
    if action == "reject" and release.status.promotion:
        msg = f"{release.name} is promoted already; use `trimtab rollback {release.name}`"
        raise InvalidInput(msg)
    _say(here, release, action, reason, by)
    if as_json:
        print_json({"release": release.name, "action": action})
    else:
        print(f"{action}: said to {release.name}; `trimtab why {release.name}` tells what comes of it")


def _say(here: Place, release: Release, action: Any, reason: str, by: str) -> None:
    metadata = Metadata(name=f"{action}-{uuid.uuid4().hex[:12]}", namespace=release.metadata.namespace)
    here.objects.create(ReleaseAction(metadata, ActionSpec(release.name, action, here.who(by), reason)))


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
