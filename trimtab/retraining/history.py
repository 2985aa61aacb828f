"""What the governor reads off a list of Releases: whose they are, which ran, which failed. Pure, and blind to order and repeats."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from trimtab.release import BAD_ENDS, TERMINAL, Phase, Release
from trimtab.spec import Model
from trimtab.units import duration

NEVER = datetime.min.replace(tzinfo=UTC)


def ordered(releases: Iterable[Release]) -> list[Release]:
    """Each Release once, by creation, then by name."""
    once = {(release.metadata.namespace, release.name): release for release in releases}
    return sorted(once.values(), key=born)


def born(release: Release) -> tuple[datetime, str, str]:
    """What Releases are ordered by: their creation, then their names."""
    return (release.metadata.creation_timestamp or NEVER, release.metadata.namespace, release.name)


def of_model(model: Model, releases: Iterable[Release]) -> list[Release]:
    """The Releases of this very Model: one that was deleted and made anew under its name starts without a history."""
    meta = model.metadata
    return ordered(
        release
        for release in releases
        if (release.metadata.namespace, release.spec.model, release.spec.model_uid) == (meta.namespace, meta.name, meta.uid)
    )


def active(release: Release) -> bool:
    """Whether the Release was admitted and has not ended."""
    return release.status.phase is not Phase.PENDING and release.status.phase not in TERMINAL


def is_trial(release: Release) -> bool:
    """Whether the Release tries a new version of the pipeline: on the champion's own rows, so that it learns nothing new of the world."""
    return release.spec.request.pipeline is not None


def retrains(releases: Iterable[Release]) -> list[datetime]:
    """When (data time) the ended ones that trained on newer rows were admitted, oldest first.

    Neither bringing a version back nor the trial of a pipeline does.
    """
    return sorted(
        release.status.admitted_data
        for release in releases
        if release.terminal and release.status.admitted_data and release.spec.request.version is None and not is_trial(release)
    )


def breaker_open(model: Model, releases: Iterable[Release], now: datetime) -> datetime | None:
    """Since when the breaker is open (data time), or None: so many failures in a row, the last not longer than `reset` ago.

    Promoted resets the count; Inconclusive, Superseded, Cancelled and Refused say nothing about the model, nor does the trial of
    a pipeline, however it ended. A failure counts from its admission. What a person has reset (`status.breaker_reset_at`) is forgotten.
    """
    rule = model.spec.retraining.breaker
    forgiven = model.status.breaker_reset_at
    failed: list[datetime] = []
    for release in of_model(model, releases):
        if is_trial(release):
            continue
        moment = release.status.admitted_data or release.spec.request.cut
        if release.status.phase is Phase.PROMOTED:
            failed.clear()
        elif release.status.phase in BAD_ENDS and (forgiven is None or moment > forgiven):
            failed.append(moment)
    if len(failed) < rule.failures or now >= max(failed) + duration(rule.reset):
        return None
    return max(failed)


def breaker_opened(model: Model, releases: Iterable[Release], failing: Release, phase: Phase, now: datetime) -> datetime | None:
    """Until when (data time) retrains wait because `failing` ends as `phase`; None where that opens no breaker, or it was open."""
    others = [one for one in releases if one.metadata.uid != failing.metadata.uid]
    if phase not in BAD_ENDS or breaker_open(model, others, now):
        return None
    ended = replace(failing, status=replace(failing.status, phase=phase))
    since = breaker_open(model, [*others, ended], now)
    return since + duration(model.spec.retraining.breaker.reset) if since else None


def next_in_budget(moments: list[datetime], per_day: int, now: datetime) -> datetime | None:
    """When a budget of so many a day allows the next one, or None if it does now; a day is the 24 hours before."""
    day = timedelta(days=1)
    within = [moment for moment in moments if moment > now - day]
    return within[-per_day] + day if len(within) >= per_day else None
