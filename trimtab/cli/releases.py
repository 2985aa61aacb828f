"""What a person asks of Models and Releases."""

from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

from trimtab.cli.output import moment, plain, print_json, table
from trimtab.cli.place import place
from trimtab.control.ports import Objects
from trimtab.errors import InvalidInput
from trimtab.release import Phase, Release
from trimtab.spec import Model


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
        "paused": status.paused is not None,
        "reason": status.outcome.reason if status.outcome else status.reason,
        "sentence": status.why,
        "cut": release.spec.request.cut,
        "request": release.spec.request.sentence,
        "decisions": list(status.decisions),
    }


class Governed(Struct, frozen=True, omit_defaults=True):
    """What became of a Release before it began: `unasked` where it was not looked at, `ended` where the governor did not end it."""

    said: Literal["admitted", "wait", "refused", "ended", "unasked"]
    reason: str = ""
    sentence: str = ""
    at: datetime | None = None
    """When it was admitted, in wall time."""
    data_time: datetime | None = None

    def __str__(self) -> str:
        if self.said == "admitted":
            return f"admitted at {moment(self.at)} (data time {moment(self.data_time)})"
        return f"{self.said}: {self.reason}: {self.sentence}" if self.reason else "not asked yet"


def governed(release: Release) -> Governed:
    """What the governor said of a Release."""
    status = release.status
    if status.admitted_at:
        return Governed("admitted", at=status.admitted_at, data_time=status.admitted_data)
    if release.terminal:
        end = status.outcome or status
        said: Literal["refused", "ended"] = "refused" if status.phase in (Phase.REFUSED, Phase.SUPERSEDED) else "ended"
        return Governed(said, end.reason, end.sentence)
    return Governed("wait", status.reason, status.sentence) if status.reason else Governed("unasked")


def asked(release: Release) -> dict[str, Any]:
    """Who or what asked for a Release, by which event, and what the governor said to it."""
    request = release.spec.request
    pipeline = release.status.pipeline or request.pipeline
    return {
        "name": release.name,
        "model": release.spec.model,
        "phase": str(release.status.phase),
        "trigger": request.trigger,
        "by": request.by or None,
        "why": request.sentence,
        "event": {"source": request.source, "id": request.id, "time": release.metadata.creation_timestamp, "data": request.event},
        "cut": request.cut,
        "pipeline": pipeline,
        "governor": governed(release),
    }


def why_asked(release: Release) -> list[str]:
    """The same as lines for people: who asked and why, the event, what the governor said, and the pipeline where one was named."""
    request, known = release.spec.request, asked(release)
    lines = [
        f"asked for by {request.trigger}{' (' + request.by + ')' if request.by else ''}: {request.sentence}",
        f"by the event {request.id} of {request.source}, at {moment(release.metadata.creation_timestamp)}",
        f"the governor: {known['governor']}",
    ]
    return [plain(line) for line in (*lines, *([f"with the pipeline {known['pipeline']}"] if known["pipeline"] else []))]


def show_releases(folder: Path, namespace: str | None, model: str | None, *, why: bool = False, as_json: bool) -> None:
    """List Releases, oldest first; with `why` what asked for each, and what the governor said to it."""
    objects = place(folder, namespace).objects
    found = [release for release in objects.all_of(Release) if model is None or release.spec.model == model]
    rows = [asked(release) if why else summary(release) for release in found]
    if as_json:
        print_json(rows)
        return
    if why:
        for release in found:
            print("\n  ".join((f"{release.name} for {release.spec.model}: {release.status.phase}", *why_asked(release))))
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
        story = {
            **asked(release),
            "request": release.spec.request,
            "verdict": status.verdict,
            "bakeVerdict": status.bake_verdict,
            "shadow": status.shadow,
        }
        print_json({**summary(release), **story, "decisions": records})
        return
    request = release.spec.request
    print(f"{release.name} for {release.spec.model}: {release.status.phase}")
    print("\n".join(why_asked(release)))
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
