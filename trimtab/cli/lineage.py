"""`trimtab lineage`: from a version back to the event that led to it, and on to what became of it."""

from pathlib import Path
from typing import Any

from trimtab.cli.output import moment, print_json
from trimtab.cli.versions import Target, target
from trimtab.platforms.origin import Origin, origin
from trimtab.release import Phase, Release
from trimtab.training.gate import GateResult
from trimtab.training.lineage import Lineage


def show_lineage(words: list[str], folder: Path, namespace: str | None, tracking_uri: str, *, as_json: bool) -> None:
    """Print a version's lineage; raises InvalidInput where there is no such version."""
    wanted = target(words, folder, namespace, tracking_uri)
    found = origin(wanted.tracking_uri, wanted.registered, wanted.version)
    releases = [one for one in wanted.place.objects.all_of(Release) if one.spec.model == wanted.name]
    if as_json:
        print_json(values(wanted, found, releases))
        return
    for name, text in lines(wanted, found, releases):
        print(f"{name:<10} {text}")


def values(wanted: Target, found: Origin, releases: list[Release]) -> dict[str, Any]:
    """The lineage as programs read it; `release` is None where the Release that made the version is gone."""
    maker = _maker(found, releases)
    return {
        "model": wanted.name,
        "registered": wanted.registered,
        "version": found.version.version,
        "digest": found.version.digest,
        "created": found.created,
        "run": found.run,
        "commit": found.commit,
        "champion": _champion(wanted, found),
        "lineage": found.lineage,
        "gates": list(found.gates),
        "release": None if maker is None else {"name": maker.name, "request": maker.spec.request, **_ended(maker)},
        "releases": [{"name": one.name, **_ended(one)} for one in _released(found, releases)],
    }


def lines(wanted: Target, found: Origin, releases: list[Release]) -> list[tuple[str, str]]:
    """The lineage as people read it: what a line tells, and the line."""
    now = "the champion" if _champion(wanted, found) else "not the champion" if wanted.model else "of a Model that is gone"
    told = [
        ("version", f"{found.version.version} of {wanted.name}, {now}"),
        ("digest", found.version.digest or "none: it was not registered by Trimtab"),
        ("run", f"{found.run} in MLflow, {moment(found.created)}"),
        *_asked(found, _maker(found, releases)),
        *(
            _made(found.lineage)
            if found.lineage
            else [("lineage", "none: the version was made before there was one, or not by a pipeline")]
        ),
        ("commit", found.commit or "unknown"),
        *(("gate", _gate(one)) for one in found.gates),
    ]
    went = ", ".join(f"{one.name} ({one.status.phase})" for one in _released(found, releases))
    return [*told, ("released", f"by {went}" if went else "by none of the Releases there are")]


def _champion(wanted: Target, found: Origin) -> bool:
    champion = wanted.model.status.champion if wanted.model else None
    return champion is not None and (champion.version, champion.digest) == (found.version.version, found.version.digest)


def _maker(found: Origin, releases: list[Release]) -> Release | None:
    """The Release whose run made the version: by its uid, for another one may have its name."""
    return next((one for one in releases if found.release_uid and one.metadata.uid == found.release_uid), None)


def _released(found: Origin, releases: list[Release]) -> list[Release]:
    """The Releases that carried the version, whoever made it."""
    return [one for one in releases if one.status.candidate and one.status.candidate.version == found.version.version]


def _ended(release: Release) -> dict[str, Any]:
    outcome = release.status.outcome
    sentence = outcome.sentence if outcome else release.status.sentence
    return {"phase": str(release.status.phase), "promoted": release.status.phase is Phase.PROMOTED, "sentence": sentence}


def _asked(found: Origin, maker: Release | None) -> list[tuple[str, str]]:
    if maker is None:
        known = found.release or "none: the run was started by hand"
        return [("release", f"{known}{' (it is gone)' if found.release else ''}")]
    request = maker.spec.request
    who = f" by {request.by}" if request.by else ""
    return [
        ("release", f"{maker.name}: {maker.status.phase}"),
        ("asked by", f"{request.trigger}{who}: {request.sentence}"),
        ("event", f"{request.source} {request.id}"),
    ]


def _made(known: Lineage) -> list[tuple[str, str]]:
    data, spec = known.data, known.made
    window = f", {moment(data.first)} to {moment(data.last)}" if data.first else ""
    settings = ", ".join(f"{name}={value}" for name, value in sorted(known.parameters.items()))
    fitted = [("estimator", f"{known.estimator}, seed {known.seed}: {settings}")] if known.estimator else []
    return [
        ("attempt", f"{known.attempt}, on what was known at {known.cut}"),
        ("data", f"{data.rows:,} rows of {spec.data.uri}{window}"),
        ("snapshot", data.digest),
        ("pipeline", f"{known.pipeline.name} {known.pipeline.version}, recipe {known.recipe}"),
        *fitted,
        ("libraries", ", ".join(f"{name} {version}" for name, version in known.libraries.items())),
        ("compared", f"with version {known.compared_with}" if known.compared_with else "with nothing: there was no champion"),
    ]


def _gate(one: GateResult) -> str:
    value, bound = ("" if number is None else f"{number:.5g}" for number in (one.value, one.bound))
    around = f" (95%: {one.interval[0]:.5g} to {one.interval[1]:.5g})" if one.interval else ""
    return f"{'passed' if one.passed else 'failed'}: {one.gate}: {value}{around}, bound {bound}"
