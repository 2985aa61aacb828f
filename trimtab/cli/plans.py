"""`trimtab rollout plan`: what a Model document's rollout will take, at a traffic that is given or was counted."""

import math
from pathlib import Path

from msgspec import Struct

from trimtab.cli.output import print_json, table
from trimtab.cli.place import place
from trimtab.documents import read_model
from trimtab.errors import InvalidInput
from trimtab.release import Plan, Release, StepPlan
from trimtab.rollout.ab_power import plan_ab, planned_ab
from trimtab.rollout.judge import check_margins
from trimtab.rollout.power import UNKNOWN, plan
from trimtab.spec import Model
from trimtab.units import duration


class Given(Struct, frozen=True):
    """What the command line says of traffic, of the champion's rates, and of its labels' mean and deviation; None: as counted."""

    requests: float | None = None
    errors: float | None = None
    slow: float | None = None
    mean: float | None = None
    deviation: float | None = None


def show_plan(document: Path, given: Given, folder: Path, namespace: str | None, *, as_json: bool) -> bool:
    """Print the plan; whether it fits. Raises InvalidInput where the document is none, or no traffic is given and none was counted."""
    model = read_model(document)
    check_margins(model.spec.rollout)
    found = (_split if model.spec.rollout.strategy == "ab" else _steps)(model, given, folder, namespace)
    if as_json:
        print_json(found)
        return found.fits
    columns = ("STEP", "REQUESTS", "SECONDS", "AT MOST", "GUARD", "CATCHES", "IN REACH")
    rows = [
        (
            f"{step.weight}%" if step.weight else "shadow",
            step.requests,
            None if step.seconds is None else round(step.seconds),
            step.at_most,
            step.guard,
            None if step.detectable is None else _caught(step),
            "yes" if step.fits else "no",
        )
        for step in found.steps
    ]
    rates = "" if model.spec.rollout.strategy == "ab" else f": errors {found.errors:.2g}, slow {found.slow:.2g}"
    table(f"Rollout of {model.name}{rates}", columns, rows)
    print(found.sentence)
    return found.fits


def _caught(step: StepPlan) -> str:
    return f"{step.detectable:.3g}" if step.guard == "label" else f"{100.0 * (step.detectable or 0.0):.2g} points"


def _steps(model: Model, given: Given, folder: Path, namespace: str | None) -> Plan:
    """The plan of a canary."""
    counted = None if given.requests is not None else _counted(model.name, folder, namespace)
    if given.requests is None and counted is None:
        msg = f"no Release of {model.name!r} has counted any traffic yet: give the requests a second with --requests"
        raise InvalidInput(msg)
    known = counted or Plan(given.requests or 0.0, UNKNOWN, UNKNOWN, fits=False, sentence="")
    errors, slow = (old if new is None else new for new, old in ((given.errors, known.errors), (given.slow, known.slow)))
    return plan(model.spec.rollout, known.requests_per_second, errors, slow)


def _split(model: Model, given: Given, folder: Path, namespace: str | None) -> Plan:
    """The plan of an A/B."""
    rollout = model.spec.rollout
    left = (duration(rollout.max_duration) - duration(model.spec.data.label_delay)).total_seconds()
    if given.requests is None or given.mean is None:
        evidences = [one.status.evidence for one in place(folder, namespace).objects.all_of(Release) if one.spec.model == model.name]
        plans = [found for one in reversed(evidences) if (found := planned_ab(one, rollout.ab, left))]
        if plans:
            return plans[0]
        msg = f"no A/B of {model.name!r} has counted any callers yet: give callers with a label a second with --requests, and --mean"
        raise InvalidInput(msg)
    binary = model.spec.task == "binary"
    if given.deviation is None and not (binary and 0.0 < given.mean < 1.0):
        msg = f"--mean {given.mean:g}: " + (
            "a share of a binary task lies between 0 and 1" if binary else "of numbers --deviation is needed too"
        )
        raise InvalidInput(msg)
    variance = given.mean * (1.0 - given.mean)
    deviation = math.sqrt(variance) if given.deviation is None else given.deviation
    return plan_ab(rollout.ab, given.requests, given.mean, deviation, left, (1.0 - 3.0 * variance) / variance if binary else 1.0)


def _counted(name: str, folder: Path, namespace: str | None) -> Plan | None:
    """What the newest Release of the Model that counted any traffic knows of it; an A/B counts callers."""
    releases = place(folder, namespace).objects.all_of(Release)
    known = [one.status for one in releases if one.spec.model == name]
    plans = [status.plan for status in known if status.plan and (status.rollout is None or status.rollout.strategy != "ab")]
    return next((one for one in reversed(plans) if one.requests_per_second > 0.0), None)
