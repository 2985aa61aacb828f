"""Who was served how much of the traffic, in data time: read off the decisions, which are the record of it."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from trimtab.release import DecisionRecord, Phase, Release


class Share(Struct, frozen=True):
    """What is served from `start` (data time) on: the champion, and the candidate that gets `weight` percent, if there is one."""

    start: datetime
    champion: str
    candidate: str = ""
    weight: int = 0


def served(releases: Sequence[Release], decisions: dict[str, list[DecisionRecord]], first_cut: datetime | None) -> list[Share]:
    """Who was served how much of the traffic, from the decisions in the order in which they were made. Pure."""
    every = sorted(((record.at, place, record) for place, release in enumerate(releases) for record in decisions[release.name]), key=_when)
    champion, found = "", list[Share]()
    weights: dict[str, int] = {}
    for _, place, record in every:
        status = releases[place].status
        candidate = status.candidate.version if status.candidate else ""
        before = status.compared_with.version if status.compared_with else ""
        if record.reason == "ChampionSwapped":
            champion = candidate
            weights.clear()
        elif record.phase in (Phase.WITHDRAWING, Phase.ROLLED_BACK) and champion == candidate and before:
            champion = before
        if candidate:
            weights[candidate] = record.weight
        beside = next((version for version, weight in weights.items() if weight and version != champion), "")
        start = record.data_time or first_cut or record.at
        share = Share(max(start, found[-1].start) if found else start, champion, beside, weights.get(beside, 0))
        if not champion and not beside:
            continue
        if found and (found[-1].champion, found[-1].candidate, found[-1].weight) == (share.champion, share.candidate, share.weight):
            continue
        found.append(share)
    return found


def _when(item: tuple[datetime, int, DecisionRecord]) -> tuple[datetime, int, int]:
    return item[0], item[1], item[2].sequence


def reigns(shares: Sequence[Share], end: datetime) -> list[tuple[str, datetime, datetime]]:
    """Which version was champion from when to when. Pure."""
    found: list[tuple[str, datetime, datetime]] = []
    for share, until in zip(shares, [*(later.start for later in shares[1:]), end], strict=True):
        if not share.champion:
            continue
        if found and found[-1][0] == share.champion:
            found[-1] = (share.champion, found[-1][1], until)
        else:
            found.append((share.champion, share.start, until))
    return found
