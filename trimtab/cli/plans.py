"""`trimtab rollout plan`: what a Model document's rollout will take, at a traffic that is given or was counted."""

from pathlib import Path

from trimtab.cli.output import print_json, table
from trimtab.cli.place import place
from trimtab.documents import read_model
from trimtab.errors import InvalidInput
from trimtab.release import Plan, Release
from trimtab.rollout.judge import check_margins
from trimtab.rollout.power import UNKNOWN, plan


def show_plan(
    document: Path,
    requests: float | None,
    errors: float | None,
    slow: float | None,
    folder: Path,
    namespace: str | None,
    *,
    as_json: bool,
) -> bool:
    """Print the plan; whether it fits. Raises InvalidInput where the document is none, or no traffic is given and none was counted."""
    model = read_model(document)
    check_margins(model.spec.rollout)
    counted = None if requests is not None else _counted(model.name, folder, namespace)
    if requests is None and counted is None:
        msg = f"no Release of {model.name!r} has counted any traffic yet: give the requests a second with --requests"
        raise InvalidInput(msg)
    known = counted or Plan(requests or 0.0, UNKNOWN, UNKNOWN, fits=False, sentence="")
    found = plan(
        model.spec.rollout,
        known.requests_per_second,
        known.errors if errors is None else errors,
        known.slow if slow is None else slow,
    )
    if as_json:
        print_json(found)
        return found.fits
    columns = ("STEP", "REQUESTS", "SECONDS", "AT MOST", "GUARD", "CATCHES", "IN REACH")
    rows = [
        (
            f"{step.weight}%",
            step.requests,
            None if step.seconds is None else round(step.seconds),
            step.at_most,
            step.guard,
            None if step.detectable is None else f"{100.0 * step.detectable:.2g} points",
            "yes" if step.fits else "no",
        )
        for step in found.steps
    ]
    table(f"Rollout of {model.name}: errors {found.errors:.2g}, slow {found.slow:.2g}", columns, rows)
    print(found.sentence)
    return found.fits


def _counted(name: str, folder: Path, namespace: str | None) -> Plan | None:
    """What the newest Release of the Model that counted any traffic knows of it."""
    releases = place(folder, namespace).objects.all_of(Release)
    plans = [release.status.plan for release in releases if release.spec.model == name and release.status.plan]
    return next((one for one in reversed(plans) if one.requests_per_second > 0.0), None)
