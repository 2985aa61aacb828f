"""Which occurrence of a schedule is due: never before its time, never twice, at most one after any pause; and where clocks change."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from trimtab.control.intake import release_for
from trimtab.errors import InvalidInput
from trimtab.retraining.schedule import followed, newest, request
from trimtab.spec import Model, Schedule, Scheduled

from .releases import NOW, model

BERLIN = "Europe/Berlin"
CLOCKS = (
    ("a job at 02:30 in spring, when 02:00 to 03:00 is skipped: once, as the gap ends", "30 2 * * *", "2026-03-29T01:00Z", 1),
    ("not before the gap ends", "30 2 * * *", "2026-03-29T00:59Z", 0),
    ("a job at 02:30 in autumn, when it is 02:30 twice: the first time", "30 2 * * *", "2026-10-25T00:30Z", 1),
    ("and not the second time again", "30 2 * * *", "2026-10-25T01:30Z", 1),
    ("a job of two hours in the gap: once, for both fall on its end", "0 2,3 * * *", "2026-03-29T01:00Z", 1),
    ("a job of every hour runs in both of the two equal hours", "0 * * * *", "2026-10-25T01:00Z", 4),
    ("and in none of the gap", "0 * * * *", "2026-03-29T01:00Z", 3),
    ("a job of every half hour likewise", "*/30 * * * *", "2026-10-25T01:30Z", 8),
    ("a job at 03:00 is not moved by the change", "0 3 * * *", "2026-10-25T02:00Z", 1),
)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def with_schedule(cron: str, zone: str = "UTC", *, since: datetime | None = None, champion: bool = True) -> Model:
    made = model(champion=champion, schedule=Schedule(cron, zone))
    return replace(made, status=replace(made.status, scheduled=Scheduled(cron, zone, since) if since else None))


def lived(schedule: Model, moments: list[datetime]) -> list[datetime]:
    """The occurrences that are asked for while data time goes through these moments."""
    found = []
    for now in moments:
        scheduled, occurrence = followed(schedule, now)
        schedule = replace(schedule, status=replace(schedule.status, scheduled=scheduled))
        if occurrence:
            found.append(occurrence)
    return found


@pytest.mark.parametrize(("sentence", "cron", "until", "expected"), CLOCKS, ids=[case[0] for case in CLOCKS])
def test_where_clocks_change(sentence: str, cron: str, until: str, expected: int) -> None:
    """The count of occurrences from local midnight on, seen minute by minute."""
    end = at(until)
    start = datetime.combine(end.astimezone(ZoneInfo(BERLIN)).date(), datetime.min.time(), ZoneInfo(BERLIN)).astimezone(UTC)
    moments = [start - timedelta(seconds=1) + timedelta(minutes=number) for number in range(int((end - start).total_seconds() // 60) + 1)]
    found = lived(with_schedule(cron, BERLIN), [*moments, end])
    assert len(found) == expected, (sentence, found)


def test_an_occurrence_is_read_in_its_zone() -> None:
    assert newest(Schedule("0 3 * * 1", BERLIN), at("2026-07-06T12:00Z")) == at("2026-07-06T01:00Z")
    assert newest(Schedule("0 3 * * 1", BERLIN), at("2026-01-05T12:00Z")) == at("2026-01-05T02:00Z")


ONCE = (
    ("nothing is made up for when a schedule is first seen", None, "2026-03-10T12:00Z", None),
    ("what came round since is due", "2026-03-09T00:00Z", "2026-03-10T12:00Z", "2026-03-10T03:00Z"),
    ("after a month away only the newest is", "2026-02-01T00:00Z", "2026-03-10T12:00Z", "2026-03-10T03:00Z"),
    ("what asked already asks no more", "2026-03-10T03:00Z", "2026-03-10T12:00Z", None),
    ("at its very moment it is due", "2026-03-09T03:00Z", "2026-03-10T03:00Z", "2026-03-10T03:00Z"),
    ("a microsecond before it is not", "2026-03-09T03:00Z", "2026-03-10T02:59:59.999999Z", None),
    ("where data time is behind what is remembered, it begins anew", "2026-04-01T00:00Z", "2026-03-10T12:00Z", None),
)


@pytest.mark.parametrize(("sentence", "since", "now", "expected"), ONCE, ids=[case[0] for case in ONCE])
def test_what_is_due(sentence: str, since: str | None, now: str, expected: str | None) -> None:
    _, occurrence = followed(with_schedule("0 3 * * *", since=at(since) if since else None), at(now))
    assert occurrence == (at(expected) if expected else None), sentence


def test_a_schedule_begins_with_the_first_champion() -> None:
    assert followed(with_schedule("* * * * *", champion=False), NOW) == (None, None)


def test_another_schedule_begins_anew() -> None:
    before = with_schedule("0 3 * * *", since=NOW - timedelta(days=30))
    after = replace(before, spec=with_schedule("0 4 * * *").spec)
    assert followed(after, NOW) == (Scheduled("0 4 * * *", "UTC", NOW), None)
    assert followed(model(), NOW) == (None, None)


def test_the_same_occurrence_is_the_same_release() -> None:
    made = with_schedule("0 3 * * *")
    names = {release_for(made, request(made, NOW, NOW + timedelta(hours=hours))).name for hours in range(3)}
    assert len(names) == 1
    other = replace(made, metadata=replace(made.metadata, uid="made-anew"))
    assert release_for(other, request(other, NOW, NOW)).name not in names


@pytest.mark.parametrize(
    ("schedule", "sentence"),
    [
        (Schedule("0 3 * * 1", "Mars/Base"), "there is no time zone 'Mars/Base'"),
        (Schedule("0 99 * * 1"), "'0 99 * * 1' is no schedule"),
    ],
)
def test_what_an_api_server_let_pass_gets_a_sentence(schedule: Schedule, sentence: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(sentence)):
        newest(schedule, NOW)


CRONS = st.sampled_from(
    ["0 3 * * 1", "30 2 * * *", "*/15 * * * *", "0 * * * *", "0 0 29 2 *", "5 1-3 * * *", "0 0 1 */3 *", "59 23 31 12 *", "0 12 * * 1#2"]
)
ZONES = st.sampled_from(["UTC", BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Casablanca"])
STARTS = st.integers(0, 3 * 365 * 86_400).map(lambda seconds: datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds))
STEPS = st.lists(st.timedeltas(timedelta(0), timedelta(days=3)), min_size=1, max_size=30)


@given(CRONS, ZONES, STARTS, STEPS)
def test_never_twice_never_early_and_what_is_newest(cron: str, zone: str, start: datetime, steps: list[timedelta]) -> None:
    moments = [start]
    for step in steps:
        moments.append(moments[-1] + step)
    schedule = with_schedule(cron, zone)
    asked: list[datetime] = []
    for now in moments:
        scheduled, occurrence = followed(schedule, now)
        schedule = replace(schedule, status=replace(schedule.status, scheduled=scheduled))
        if occurrence:
            assert start < occurrence <= now, "never before its time, and never from before the schedule began"
            assert all(occurrence > earlier for earlier in asked), "never twice"
            following = next(CronSim(cron, occurrence.astimezone(ZoneInfo(zone)))).astimezone(UTC)
            assert following > now or following <= occurrence, "the newest of those that were missed"
            asked.append(occurrence)
