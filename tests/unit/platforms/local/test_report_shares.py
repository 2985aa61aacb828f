"""Who was served how much of the traffic follows from the decisions alone."""

from datetime import timedelta

import pytest

from trimtab.platforms.local.report_shares import Share, reigns, served
from trimtab.release import DecisionRecord, Phase, Release, ReleaseSpec, ReleaseStatus, Request
from trimtab.spec import Champion, Metadata, Version

from .report_monitored import START

DAY = timedelta(days=1)


def release(number: int, before: str = "", phase: Phase = Phase.PROMOTED) -> Release:
    request = Request("person", "s", str(number), START)
    compared = Champion(before, "d") if before else None
    status = ReleaseStatus(phase=phase, candidate=Version(str(number), "d"), compared_with=compared)
    return Release(Metadata(name=f"r{number}"), ReleaseSpec("bikes", "u", "r", request), status)


def decided(days: int, reason: str, weight: int, phase: Phase = Phase.ROLLOUT) -> DecisionRecord:
    return DecisionRecord(days, START + days * DAY, phase, reason, "", weight, "", "", f"{days}{reason}", START + days * DAY)


FIRST = [decided(0, "PromotionStarted", 100), decided(1, "ChampionSwapped", 100)]
CANARY = [decided(2, "NextStep", 20), decided(3, "NextStep", 50)]
SERVED: dict[str, tuple[list[DecisionRecord], list[tuple[int, str, str, int]]]] = {
    "a canary that is promoted takes over": (
        [*CANARY, decided(4, "PromotionStarted", 100), decided(5, "ChampionSwapped", 100), decided(6, "Baking", 100, Phase.BAKING)],
        [(2, "1", "2", 20), (3, "1", "2", 50), (4, "1", "2", 100), (5, "2", "", 0)],
    ),
    "a canary that is withdrawn leaves the champion alone": (
        [*CANARY, decided(4, "Harm", 0, Phase.WITHDRAWING), decided(5, "Harm", 0, Phase.ROLLED_BACK)],
        [(2, "1", "2", 20), (3, "1", "2", 50), (4, "1", "", 0)],
    ),
    "harm within the bake brings the champion before back": (
        [
            *CANARY,
            decided(4, "ChampionSwapped", 100),
            decided(5, "BakeHarm", 100, Phase.WITHDRAWING),
            decided(6, "BakeHarm", 0, Phase.WITHDRAWING),
        ],
        [(2, "1", "2", 20), (3, "1", "2", 50), (4, "2", "", 0), (5, "1", "2", 100), (6, "1", "", 0)],
    ),
    "a candidate that waits at 0% changes nothing": ([decided(2, "Deployed", 0), decided(3, "Ready", 0)], []),
}


@pytest.mark.parametrize(("records", "expected"), SERVED.values(), ids=SERVED)
def test_who_is_served_follows_from_the_decisions(records: list[DecisionRecord], expected: list[tuple[int, str, str, int]]) -> None:
    releases = [release(1), release(2, "1")]
    found = served(releases, {"r1": FIRST, "r2": records}, START)
    told_of = [((share.start - START).days, share.champion, share.candidate, share.weight) for share in found]
    assert told_of == [(0, "", "1", 100), (1, "1", "", 0), *expected]


def test_a_release_that_waits_leaves_the_canary_of_another_alone() -> None:
    releases = [release(1), release(2, "1"), release(3)]
    waiting = [decided(3, "AnotherActive", 0, Phase.PENDING)]
    found = served(releases, {"r1": FIRST, "r2": CANARY[:1], "r3": waiting}, START)
    assert found[-1] == Share(START + 2 * DAY, "1", "2", 20)


def test_a_reign_lasts_from_one_promotion_to_the_next() -> None:
    shares = [Share(START, "", "1", 100), Share(START + DAY, "1"), Share(START + 2 * DAY, "1", "2", 20), Share(START + 3 * DAY, "2")]
    assert reigns(shares, START + 9 * DAY) == [("1", START + DAY, START + 3 * DAY), ("2", START + 3 * DAY, START + 9 * DAY)]
