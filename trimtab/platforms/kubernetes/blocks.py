"""From two readings of many counters to a block of evidence. Pure.

A reading has a source a proxy (and, where the gateway cannot tell versions apart, one a predictor pod). Sources come and go and
start anew; a source is only ever compared with itself, and what cannot be compared is left out for both versions alike.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Literal

import msgspec
from msgspec import Struct

from trimtab.platforms.counting import accounted, added, since, went_back
from trimtab.release import ArmCounts, Block

PATIENCE = timedelta(seconds=60)
"""How long a predictor that does not answer a scrape holds the evidence up."""
ROUTE = "route"
"""The arm that stands for a whole route, where a gateway counts no versions."""

Counts = dict[str, ArmCounts]


class Reading(Struct, frozen=True):
    """What the counters said at one moment, by source and arm (a version, or ROUTE), and under which weights.

    `generation` is the route's, empty where it changed while counters were read; `since` is when this generation was first read, or when
    the clock was last set back. `ahead` are errors that predictors had counted and the route, which is read before them, had not.
    `silent` says since when a source does not answer, where all have to; `left_out` are predictors that are waited for no more, by version.
    """

    by: Literal["gateway", "predictors"]
    generation: str
    champion: str
    candidate: str
    slow_ms: int
    weight: int
    at: datetime
    since: datetime
    sources: dict[str, Counts]
    lost: int = 0
    ahead: int = 0
    silent: dict[str, datetime] = {}
    left_out: dict[str, str] = {}


def advance(
    last: Reading | None, here: Reading, present: frozenset[str], settle: timedelta, predictors: Mapping[str, str] | None = None
) -> tuple[list[Block], Reading]:
    """The block between two readings, and what to remember.

    `present` are the sources that are there, those that did not answer included: they are read on later. No block where the readings
    cannot be compared, or while the gateway may still be taking over new weights (`settle`); `lost` counts such requests. Where the route's
    errors are held against the predictors' own, nothing is taken until all of them answer: what one is silent about is not unanswered.
    Of `predictors`, by source their version, those of one version are waited for `PATIENCE`: then what nobody else answered was theirs.
    """
    if last is None:
        return [], here
    if here.by == "predictors":
        here = _silenced(last, here, present, predictors or {})
    shares = {name: _share(last.sources[name], now) for name, now in here.sources.items() if name in last.sources}
    total = _sum(shares.values())
    same = (last.by, last.champion, last.candidate, last.slow_ms) == (here.by, here.champion, here.candidate, here.slow_ms)
    requests = total[here.champion].requests + total[here.candidate].requests if same else 0
    if not same or not here.generation or last.generation != here.generation:
        return [], msgspec.structs.replace(here, lost=last.lost + requests)
    began = min(last.since, here.at)
    if here.at - began < settle:
        return [], msgspec.structs.replace(here, since=began, lost=last.lost + requests)
    if here.silent.keys() - here.left_out.keys():
        return [], msgspec.structs.replace(last, silent=here.silent)
    if here.left_out != last.left_out:
        return [], msgspec.structs.replace(here, since=began, lost=last.lost + requests)
    remembered = {name: last.sources[name] for name in last.sources.keys() & present - here.sources.keys() - here.left_out.keys()}
    for name, now in here.sources.items():
        old, share = last.sources.get(name), shares.get(name)
        remembered[name] = now if not old or not share else {arm: accounted(old.get(arm, ArmCounts()), now[arm], share[arm]) for arm in now}
    champion, candidate = total[here.champion], total[here.candidate]
    ahead = 0
    if here.by == "predictors":
        known = champion.errors + candidate.errors
        errors = total[ROUTE].errors - last.ahead
        ahead = min(max(known - errors, 0), known)
        if here.candidate in here.left_out.values():
            candidate = with_silent(candidate, champion, total[ROUTE].requests, errors)
        elif here.left_out:
            champion = with_silent(champion, candidate, total[ROUTE].requests, errors)
        else:
            champion, candidate = with_unanswered(champion, candidate, errors, here.weight)
    following = msgspec.structs.replace(here, since=began, sources=remembered, lost=last.lost, ahead=ahead)
    if champion.requests + candidate.requests == 0:
        return [], following
    return [Block(here.weight, last.at, here.at, champion, candidate)], following


def with_unanswered(champion: ArmCounts, candidate: ArmCounts, errors: int, weight: int) -> tuple[ArmCounts, ArmCounts]:
    """Both arms with those of the whole route's `errors` that met no predictor.

    They go to the version that answered less than its share of everything, for it is the one that they were meant for.
    """
    missing = max(errors - champion.errors - candidate.errors, 0)
    everything = champion.requests + candidate.requests + missing
    theirs = min(max(round(everything * weight / 100) - candidate.requests, 0), missing)
    return _failed(champion, missing - theirs), _failed(candidate, theirs)


def with_silent(arm: ArmCounts, other: ArmCounts, requests: int, errors: int) -> ArmCounts:
    """The arm of which a predictor does not tell, with all that the whole route was asked and nobody else answered.

    The silent one is taken to be as slow as the others of its version. What was asked past the route makes the arm look worse, not better.
    """
    missing = max(errors - arm.errors - other.errors, 0)
    more = max(requests - arm.requests - other.requests, missing)
    slow = arm.slow + (round(arm.slow * more / arm.requests) if arm.requests else 0)
    return ArmCounts(arm.requests + more, arm.errors + missing, slow)


def _silenced(last: Reading, here: Reading, present: frozenset[str], predictors: Mapping[str, str]) -> Reading:
    """The reading with who does not answer since when, and who of them is left out: none where it could be either version's requests."""
    silent = {name: last.silent.get(name, here.at) for name in sorted(present - here.sources.keys())}
    left = {name: predictors[name] for name, since in silent.items() if name in predictors and here.at - since >= PATIENCE}
    return msgspec.structs.replace(here, silent=silent, left_out=left if len({*left.values()}) == 1 else {})


def _failed(arm: ArmCounts, more: int) -> ArmCounts:
    return added(arm, ArmCounts(more, more))


def _share(old: Counts, now: Counts) -> Counts:
    """What one source counted in between; nothing where it began anew."""
    if any(went_back(old.get(arm, ArmCounts()), counts) for arm, counts in now.items()):
        return {}
    return {arm: since(old.get(arm, ArmCounts()), counts) for arm, counts in now.items()}


def _sum(shares: Iterable[Counts]) -> defaultdict[str, ArmCounts]:
    total: defaultdict[str, ArmCounts] = defaultdict(ArmCounts)
    for share in shares:
        for arm, counts in share.items():
            total[arm] = added(total[arm], counts)
    return total
