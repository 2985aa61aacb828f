"""`trimtab lineage`: from a version back to the event that led to it and to the source that made it, and on to what became of it.

MLflow knows the run and the package of its pipeline, the Release who asked, the audit records who said yes. Each may be gone while the
others are there; what is gone is told.
"""

import sys
from pathlib import Path
from typing import Any

from msgspec import Struct

from trimtab.audit.record import Asked
from trimtab.audit.served import Course, course
from trimtab.cli.output import moment, plain, print_json
from trimtab.cli.versions import Target, target
from trimtab.errors import InvalidInput
from trimtab.package import SBOM
from trimtab.platforms.origin import Origin, Packaged, origin, packaged
from trimtab.release import Phase, Release, Request
from trimtab.training.gate import GateResult
from trimtab.training.lineage import Lineage


class Known(Struct, frozen=True):
    """All that is known of a version: its run in MLflow, its Model's Releases, its course by the audit records, its pipeline's package.

    `package` is None where the version names none: it has no lineage, or its pipeline comes with Trimtab.
    """

    wanted: Target
    origin: Origin
    releases: list[Release]
    course: Course | None
    package: Packaged | None


def show_lineage(words: list[str], folder: Path, namespace: str | None, tracking_uri: str, *, as_json: bool) -> None:
    """Print a version's lineage; raises InvalidInput where there is no such version."""
    known = look_up(target(words, folder, namespace, tracking_uri), namespace or "default")
    if as_json:
        print_json(values(known))
        return
    for name, text in lines(known):
        print(f"{name:<10} {plain(text)}")


def show_sbom(words: list[str], folder: Path, namespace: str | None, tracking_uri: str) -> None:
    """Print what is in the image of the pipeline that made a version (CycloneDX); raises InvalidInput where that is not known."""
    known = look_up(target(words, folder, namespace, tracking_uri), namespace or "default")
    if known.package is None or known.package.missing:
        why = (
            known.package.missing
            if known.package
            else "no package of its pipeline is recorded, such as for the one that comes with Trimtab"
        )
        msg = f"{known.wanted.shown} has no SBOM to show: {why}"
        raise InvalidInput(msg)
    sys.stdout.write(known.package.sbom.decode())


def look_up(wanted: Target, namespace: str) -> Known:
    """Everything that is known of the version now."""
    found = origin(wanted.tracking_uri, wanted.registered, wanted.version)
    releases = [one for one in wanted.place.objects.all_of(Release) if one.spec.model == wanted.name]
    records = (one for one in wanted.place.archive.records() if (one.namespace, one.model) == (namespace, wanted.name))
    package = None
    if found.lineage and found.lineage.pipeline.digest:
        keys = wanted.model.spec.pipeline_policy.keys if wanted.model else ()
        package = packaged(wanted.tracking_uri, found.lineage.pipeline, keys)
    return Known(wanted, found, releases, course(records, found.version, found.release_uid), package)


def values(known: Known) -> dict[str, Any]:
    """The lineage as programs read it; what is not known, or gone, is None.

    `release` is the Release that made the version, `course` what the audit records tell of it, `package` that of its pipeline.
    """
    found, maker = known.origin, _maker(known)
    return {
        "model": known.wanted.name,
        "registered": known.wanted.registered,
        "version": found.version.version,
        "digest": found.version.digest,
        "created": found.created,
        "run": found.run,
        "commit": found.commit,
        "champion": _champion(known),
        "lineage": found.lineage,
        "package": None if known.package is None else _package_values(known.package),
        "gates": list(found.gates),
        "release": None if maker is None else {"name": maker.name, "request": maker.spec.request, **_ended(maker)},
        "course": known.course,
        "releases": [{"name": one.name, **_ended(one)} for one in _released(known)],
    }


def lines(known: Known) -> list[tuple[str, str]]:
    """The lineage as people read it: what a line tells, and the line."""
    found, wanted = known.origin, known.wanted
    now = "the champion" if _champion(known) else "not the champion" if wanted.model else "of a Model that is gone"
    told = [
        ("version", f"{found.version.version} of {wanted.name}, {now}"),
        ("digest", found.version.digest or "none: it was not registered by Trimtab"),
        ("run", f"{found.run} in MLflow, {moment(found.created)}"),
        *_asked(known),
        *_course(known.course),
        *(
            _made(found.lineage)
            if found.lineage
            else [("lineage", "none: the version was made before there was one, or not by a pipeline")]
        ),
        *_package(known),
        ("commit", found.commit or "unknown"),
        *(("gate", _gate(one)) for one in found.gates),
    ]
    went = ", ".join(f"{one.name} ({one.status.phase})" for one in _released(known))
    return [*told, ("released", f"by {went}" if went else "by none of the Releases there are")]


def _champion(known: Known) -> bool:
    champion = known.wanted.model.status.champion if known.wanted.model else None
    return champion is not None and (champion.version, champion.digest) == (known.origin.version.version, known.origin.version.digest)


def _maker(known: Known) -> Release | None:
    """The Release whose run made the version: by its uid, for another one may have its name."""
    uid = known.origin.release_uid
    return next((one for one in known.releases if uid and one.metadata.uid == uid), None)


def _released(known: Known) -> list[Release]:
    """The Releases that carried the version, whoever made it."""
    number = known.origin.version.version
    return [one for one in known.releases if one.status.candidate and one.status.candidate.version == number]


def _ended(release: Release) -> dict[str, Any]:
    status = release.status
    return {"phase": str(status.phase), "promoted": status.phase is Phase.PROMOTED, "sentence": status.why}


def _asked(known: Known) -> list[tuple[str, str]]:
    maker, found = _maker(known), known.origin
    if maker is not None:
        return [("release", f"{maker.name}: {maker.status.phase}"), *_asking(maker.spec.request)]
    name = f"{found.release} (it is gone)" if found.release else "none: the run was started by hand"
    asked = known.course.asked if known.course else None
    return [("release", name), *(_asking(asked) if asked else [("asked by", "unknown: no audit record tells")])]


def _asking(asked: Request | Asked) -> list[tuple[str, str]]:
    who = f" by {asked.by}" if asked.by else ""
    return [("asked by", f"{asked.trigger}{who}: {asked.sentence}"), ("event", f"{asked.source} {asked.id}")]


def _course(found: Course | None) -> list[tuple[str, str]]:
    if found is None:
        return [("approved", "unknown: no audit record tells")]
    yes = found.approval
    said = f"by {yes.by} at {moment(yes.at)}: {yes.sentence}" if yes else "by the rules alone: no person was asked"
    return [
        ("admitted", moment(found.admitted) or "unknown: no audit record tells"),
        ("approved", said),
        ("promoted", f"{moment(found.promoted)}, by {found.release}" if found.promoted else f"not by {found.release}"),
    ]


def _package(known: Known) -> list[tuple[str, str]]:
    if known.package is None or known.origin.lineage is None:
        return [("package", "none: the pipeline comes with Trimtab")] if known.origin.lineage else []
    digest, found = known.origin.lineage.pipeline.digest, known.package
    if found.package is None:
        return [("package", f"{digest}, which cannot be shown: {found.missing}")]
    images = dict.fromkeys((found.package.image, *found.package.tasks.values()))
    return [
        ("package", digest),
        ("source", f"commit {found.package.commit} of the pipeline's repository, by Trimtab {found.package.trimtab}"),
        *(("image", one) for one in images),
        ("sbom", f"{found.package.files.get(SBOM, 'none')} (--sbom prints it)"),
        ("signature", _signature(known.wanted, found)),
    ]


def _signature(wanted: Target, found: Packaged) -> str:
    if wanted.model is None:
        return "not verified: the Model is gone, and with it the keys that it believed"
    return f"not verified: {found.unverified}" if found.unverified else "verified by a key that the Model believes"


def _package_values(found: Packaged) -> dict[str, Any]:
    sbom = found.package.files.get(SBOM) if found.package else None
    verified = found.package is not None and not found.unverified
    return {"manifest": found.package, "sbom": sbom, "verified": verified, "sentence": found.missing or found.unverified}


def _made(known: Lineage) -> list[tuple[str, str]]:
    data, spec = known.data, known.made
    window = f", {moment(data.first)} to {moment(data.last)}" if data.first else ""
    settings = ", ".join(f"{name}={value}" for name, value in sorted(known.parameters.items()))
    fitted = [("estimator", f"{known.estimator}, seed {known.seed}: {settings}")] if known.estimator else []
    return [
        ("attempt", f"{known.attempt}, on what was known at {known.cut}"),
        ("data", f"{data.rows:,} rows of {spec.data.uri}{window}"),
        ("snapshot", data.digest),
        ("pipeline", f"{known.pipeline}, recipe {known.recipe}"),
        *fitted,
        ("libraries", ", ".join(f"{name} {version}" for name, version in known.libraries.items())),
        ("compared", f"with version {known.compared_with}" if known.compared_with else "with nothing: there was no champion"),
    ]


def _gate(one: GateResult) -> str:
    value, bound = ("" if number is None else f"{number:.5g}" for number in (one.value, one.bound))
    around = f" (95%: {one.interval[0]:.5g} to {one.interval[1]:.5g})" if one.interval else ""
    return f"{'passed' if one.passed else 'failed'}: {one.gate}: {value}{around}, bound {bound}"
