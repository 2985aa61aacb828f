"""The rules of `spec.retraining`: a schedule that comes to pass, in a zone that there is, and what is given is also asked for."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from trimtab.asking import Retraining, Schedule
from trimtab.rule import Rule
from trimtab.units import duration

_PROBE = datetime(2000, 1, 1, tzinfo=UTC)


def _schedule_unnamed(retraining: Retraining) -> bool:
    return retraining.schedule is not None and "schedule" not in retraining.on


def _schedule_missing(retraining: Retraining) -> bool:
    return retraining.schedule is None and "schedule" in retraining.on


def _watch_unnamed(retraining: Retraining) -> bool:
    return retraining.new_data is not None and "newData" not in retraining.on


def _never(retraining: Retraining) -> bool:
    """Whether the fields are none of crontab(5), or name a day that never comes."""
    if retraining.schedule is None:
        return False
    if len(retraining.schedule.cron.split()) != 5:
        return True
    try:
        next(CronSim(retraining.schedule.cron, _PROBE))
    except (CronSimError, StopIteration):
        return True
    return False


def _nowhere(retraining: Retraining) -> bool:
    return retraining.schedule is not None and not _zone_exists(retraining.schedule)


def _zone_exists(schedule: Schedule) -> bool:
    try:
        ZoneInfo(schedule.time_zone)
    except (OSError, ValueError, KeyError):
        return False
    return True


def _looks_for_ever(retraining: Retraining) -> bool:
    return retraining.new_data is not None and duration(retraining.new_data.every).total_seconds() < 1


def _rows_uncounted(retraining: Retraining) -> bool:
    return retraining.new_data is not None and retraining.new_data.rows != 1 and retraining.new_data.by != "count"


TRIGGER_RULES = (
    Rule(
        name="schedule-named",
        on="spec.retraining",
        at="on",
        cel="!has(self.schedule) || (has(self.on) && 'schedule' in self.on)",
        message="there is a schedule; allowed is a list with schedule in it",
        broken=_schedule_unnamed,
    ),
    Rule(
        name="schedule-missing",
        on="spec.retraining",
        at="on",
        cel="!(has(self.on) && 'schedule' in self.on) || has(self.schedule)",
        message='there is no schedule; allowed is one beside it, such as retraining.schedule: {cron: "0 3 * * 1"}, or a list without it',
        broken=_schedule_missing,
    ),
    Rule(
        name="schedule-cron",
        on="spec.retraining",
        at="schedule.cron",
        cel="!has(self.schedule) || self.schedule.cron.matches('^ *[^ ]+( +[^ ]+){4} *$')",
        message='allowed are the five fields of crontab(5), minute hour day month weekday, such as "0 3 * * 1", of a day that comes',
        broken=_never,
    ),
    Rule(
        name="schedule-zone",
        on="spec.retraining",
        at="schedule.timeZone",
        # An API server carries the tz database; a zone that is not in it makes the rule fail with an error that names it.
        cel=(
            "!has(self.schedule) || !has(self.schedule.timeZone) || timestamp('2000-01-01T00:00:00Z').getHours(self.schedule.timeZone) >= 0"
        ),
        message="there is no such time zone; allowed is a name of the tz database, such as Europe/Berlin or UTC",
        broken=_nowhere,
    ),
    Rule(
        name="newdata-named",
        on="spec.retraining",
        at="on",
        cel="!has(self.newData) || (has(self.on) && 'newData' in self.on)",
        message="a place is watched for new data; allowed is a list with newData in it",
        broken=_watch_unnamed,
    ),
    Rule(
        name="newdata-every",
        on="spec.retraining",
        at="newData.every",
        cel="!has(self.newData) || !has(self.newData.every) || !self.newData.every.matches('^(0+[a-z]+|0*[0-9]{1,3}ms)$')",
        message="allowed is a duration of at least a second",
        broken=_looks_for_ever,
    ),
    Rule(
        name="newdata-rows",
        on="spec.retraining",
        at="newData.rows",
        cel=(
            "!has(self.newData) || !has(self.newData.rows) || self.newData.rows == 1 || "
            "(has(self.newData.by) && self.newData.by == 'count')"
        ),
        message="rows are counted by: count alone; allowed is that, or leave rows out",
        broken=_rows_uncounted,
    ),
)
