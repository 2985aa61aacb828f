"""Which occurrence of a Model's schedule is due. Pure, in data time.

Data time may stand still, jump over many occurrences (an outage, a backfill) or begin long ago: so what is due is the newest
occurrence that has passed and was not asked for yet, at most one. Where clocks change it is as in Debian's cron: a job at certain hours
that a change skips runs once, right after the gap, and one in the hour that comes twice runs the first time only; a job of every hour
or minute (a star in either field) runs in real time, in both of the two hours and in none of the gap.
"""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from trimtab.errors import InvalidInput
from trimtab.release import Request
from trimtab.spec import Model, Schedule, Scheduled


def newest(schedule: Schedule, now: datetime) -> datetime | None:
    """The newest occurrence that is not after `now`, in UTC; None where there was none for 50 years.

    Raises InvalidInput where the schedule or its zone is none, as an API server may have let pass.
    """
    try:
        zone = ZoneInfo(schedule.time_zone)
    except (OSError, ValueError, KeyError) as error:
        msg = f"spec.retraining.schedule.timeZone: there is no time zone {schedule.time_zone!r}; a name of the tz database is allowed"
        raise InvalidInput(msg) from error
    local = now.astimezone(zone)
    try:
        found = next(CronSim(schedule.cron, local.replace(microsecond=1), reverse=True), None)
        after = CronSim(schedule.cron, found) if found else None
        # In the second of two equal hours the local clock is behind an occurrence of the first: so look forward from what is behind.
        while found and after and (following := next(after, None)) and following.astimezone(UTC) <= now:
            found = following
    except CronSimError as error:
        msg = f"spec.retraining.schedule.cron: {schedule.cron!r} is no schedule ({error}); the five fields of crontab(5) are allowed"
        raise InvalidInput(msg) from error
    return found.astimezone(UTC) if found else None


def followed(model: Model, now: datetime) -> tuple[Scheduled | None, datetime | None]:
    """How far the schedule is followed at `now` (data time), and the occurrence that is due, if one is.

    A schedule begins when it is first seen on a Model that has a champion; what was before is not made up for.
    """
    schedule, known = model.spec.retraining.schedule, model.status.scheduled
    if schedule is None or "schedule" not in model.spec.retraining.on:
        return None, None
    if model.status.champion is None:
        return known, None
    if known is None or (known.cron, known.time_zone) != (schedule.cron, schedule.time_zone) or now < known.at:
        return Scheduled(schedule.cron, schedule.time_zone, now), None
    occurrence = newest(schedule, now)
    if occurrence is None or occurrence <= known.at:
        return known, None
    return Scheduled(schedule.cron, schedule.time_zone, occurrence), occurrence


def request(model: Model, occurrence: datetime, cut: datetime) -> Request:
    """What an occurrence asks for; the same occurrence twice is the same event, by (source, id)."""
    schedule = model.spec.retraining.schedule or Schedule("* * * * *")
    local = occurrence.astimezone(ZoneInfo(schedule.time_zone))
    return Request(
        trigger="schedule",
        source=f"/models/{model.metadata.namespace}/{model.name}/schedule",
        id=f"{model.metadata.uid}/{occurrence.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        cut=cut,
        sentence=f"the schedule {schedule.cron!r} ({schedule.time_zone}) came round at {local:%Y-%m-%d %H:%M %Z}",
        event={"cron": schedule.cron, "timeZone": schedule.time_zone, "occurrence": f"{occurrence.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"},
    )
