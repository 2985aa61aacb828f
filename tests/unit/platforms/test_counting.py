"""What reaches the judge is never more than what happened, and nothing twice, whatever becomes of scrapes, processes, clocks and writes.

A gateway of several proxies is played; each look reads them as the adapter does, and its block and cursor are written together or, after
a crash, not at all.
"""

from datetime import UTC, datetime, timedelta

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from trimtab.platforms.kubernetes import blocks
from trimtab.platforms.kubernetes.blocks import ROUTE, Reading
from trimtab.platforms.local import traffic as local
from trimtab.release import ArmCounts, Block

START = datetime(2026, 1, 1, tzinfo=UTC)
SETTLE = timedelta(seconds=2)
ARMS = ("3", "4")
PROXIES = st.integers(0, 2)
ARM = st.sampled_from(ARMS)
REQUESTS = st.integers(0, 40)


def total(counts: list[ArmCounts]) -> ArmCounts:
    return ArmCounts(*(sum(getattr(one, name) for one in counts) for name in ("requests", "errors", "slow")))


def within(part: ArmCounts, whole: ArmCounts) -> bool:
    return part.requests <= whole.requests and part.errors <= whole.errors and part.slow <= whole.slow


class _World(RuleBasedStateMachine):
    """Counters that grow, begin anew, fall silent and come and go; a status that is written or not."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.generation = 1
        self.truth: dict[tuple[int, str], list[ArmCounts]] = {}
        self.blocks: list[Block] = []
        self.cursor: bytes = b""

    def happened(self, arm: str, counts: ArmCounts) -> None:
        self.truth.setdefault((self.generation, arm), []).append(counts)

    def write(self, found: list[Block], cursor: object, *, crash: bool) -> None:
        if not crash:
            self.blocks += found
            self.cursor = msgspec.json.encode(cursor)

    @rule(seconds=st.integers(-4000, 4000))
    def the_clock_is_set(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule()
    def weights_change(self) -> None:
        self.generation += 1

    @invariant()
    def no_block_says_the_impossible(self) -> None:
        for block in self.blocks:
            for arm in (block.champion, block.candidate):
                assert min(arm.requests, arm.errors, arm.slow) >= 0
                assert max(arm.errors, arm.slow) <= arm.requests


class Gateway(_World):
    """Three proxies, each with counters by version; the histogram of slow answers lags."""

    def __init__(self) -> None:
        super().__init__()
        self.restarts, self.silent, self.gone = [0, 0, 0], set[int](), set[int]()
        self.counters = {(proxy, arm): ArmCounts() for proxy in range(3) for arm in ARMS}
        self.unmerged = dict.fromkeys(self.counters, 0)

    @rule(proxy=PROXIES, arm=ARM, requests=REQUESTS, errors=REQUESTS, slow=REQUESTS)
    def requests_come(self, proxy: int, arm: str, requests: int, errors: int, slow: int) -> None:
        counts = ArmCounts(requests, min(errors, requests), min(slow, requests))
        self.happened(arm, counts)
        self.counters[proxy, arm] = total([self.counters[proxy, arm], ArmCounts(counts.requests, counts.errors)])
        self.unmerged[proxy, arm] += counts.slow

    @rule(proxy=PROXIES, arm=ARM)
    def the_histogram_is_merged(self, proxy: int, arm: str) -> None:
        self.counters[proxy, arm] = total([self.counters[proxy, arm], ArmCounts(0, 0, self.unmerged[proxy, arm])])
        self.unmerged[proxy, arm] = 0

    @rule(proxy=PROXIES, seen=st.booleans())
    def a_proxy_starts_anew(self, proxy: int, seen: bool) -> None:
        """`seen`: under another name; else only its counters tell."""
        self.restarts[proxy] += seen
        for arm in ARMS:
            self.counters[proxy, arm], self.unmerged[proxy, arm] = ArmCounts(), 0

    @rule(proxy=PROXIES, which=st.sampled_from(["silent", "gone"]))
    def a_proxy_falls_silent_or_is_gone_or_is_back(self, proxy: int, which: str) -> None:
        getattr(self, which).symmetric_difference_update({proxy})

    @rule(seconds=st.integers(0, 20), crash=st.booleans(), torn=st.booleans())
    def a_look(self, seconds: int, crash: bool, torn: bool) -> None:
        self.now += timedelta(seconds=seconds)
        present = {proxy: f"{proxy}/{self.restarts[proxy]}" for proxy in range(3) if proxy not in self.gone}
        sources = {name: {arm: self.counters[proxy, arm] for arm in ARMS} for proxy, name in present.items() if proxy not in self.silent}
        generation = "" if torn else str(self.generation)
        here = Reading("gateway", generation, *ARMS, 250, self.generation, self.now, self.now, sources)
        last = msgspec.json.decode(self.cursor, type=Reading) if self.cursor else None
        self.write(*blocks.advance(last, here, frozenset(present.values()), SETTLE), crash=crash)

    @invariant()
    def nothing_is_counted_that_did_not_happen(self) -> None:
        """By weight for requests and errors; the histogram may be late by more than a change of weights."""
        for place, arm in enumerate(ARMS):
            for weight in {block.weight for block in self.blocks}:
                counted = total([(block.champion, block.candidate)[place] for block in self.blocks if block.weight == weight])
                assert within(msgspec.structs.replace(counted, slow=0), total(self.truth.get((weight, arm), [])))
            slow = sum((block.champion, block.candidate)[place].slow for block in self.blocks)
            assert slow <= sum(one.slow for (_, name), all_ in self.truth.items() for one in all_ if name == arm)


class Predictors(_World):
    """A gateway with one counter for the route, and a predictor of each version; some requests meet no predictor."""

    def __init__(self) -> None:
        super().__init__()
        self.route = 0
        self.counters = {arm: ArmCounts() for arm in ARMS}
        self.restarts = dict.fromkeys(ARMS, 0)
        self.silent: set[str] = set()

    @rule(arm=ARM, requests=REQUESTS, errors=REQUESTS, unanswered=st.integers(0, 5))
    def requests_come(self, arm: str, requests: int, errors: int, unanswered: int) -> None:
        counts = ArmCounts(requests, min(errors, requests))
        self.happened(arm, total([counts, ArmCounts(unanswered, unanswered)]))
        self.counters[arm] = total([self.counters[arm], counts])
        self.route += counts.errors + unanswered

    @rule(arm=ARM, seen=st.booleans())
    def a_predictor_starts_anew(self, arm: str, seen: bool) -> None:
        self.restarts[arm] += seen
        self.counters[arm] = ArmCounts()

    @rule(arm=ARM)
    def a_predictor_falls_silent_or_is_back(self, arm: str) -> None:
        self.silent ^= {arm}

    @rule(seconds=st.integers(0, 20), crash=st.booleans(), meanwhile=st.integers(0, 3), arm=ARM)
    def a_look(self, seconds: int, crash: bool, meanwhile: int, arm: str) -> None:
        """The route is read before the predictors; `meanwhile` errors are answered in between."""
        self.now += timedelta(seconds=seconds)
        route = self.route
        self.requests_come(arm, meanwhile, meanwhile, 0)
        names = {arm: f"{arm}/{self.restarts[arm]}" for arm in ARMS}
        sources = {"proxy": {ROUTE: ArmCounts(route, route)}}
        sources |= {name: {arm: self.counters[arm]} for arm, name in names.items() if arm not in self.silent}
        here = Reading("predictors", str(self.generation), *ARMS, 250, 50, self.now, self.now, sources)
        last = msgspec.json.decode(self.cursor, type=Reading) if self.cursor else None
        self.write(*blocks.advance(last, here, frozenset({"proxy", *names.values()}), SETTLE), crash=crash)

    @invariant()
    def nothing_is_counted_that_did_not_happen(self) -> None:
        """Of both versions together: whom an unanswered request was meant for is worked out, not known."""
        counted = total([arm for block in self.blocks for arm in (block.champion, block.candidate)])
        assert within(counted, total([one for all_ in self.truth.values() for one in all_]))


class Laptop(_World):
    """One Envoy, whose start is known by its name."""

    def __init__(self) -> None:
        super().__init__()
        self.node = 0
        self.counters = dict.fromkeys(ARMS, ArmCounts())

    @rule(arm=ARM, requests=REQUESTS, errors=REQUESTS, slow=REQUESTS)
    def requests_come(self, arm: str, requests: int, errors: int, slow: int) -> None:
        counts = ArmCounts(requests, min(errors, requests), min(slow, requests))
        self.happened(arm, counts)
        self.counters[arm] = total([self.counters[arm], counts])

    @rule(seen=st.booleans())
    def envoy_starts_anew(self, seen: bool) -> None:
        self.node += seen
        self.counters = dict.fromkeys(ARMS, ArmCounts())

    @rule(crash=st.booleans(), torn=st.booleans())
    def a_look(self, crash: bool, torn: bool) -> None:
        generation = "" if torn else str(self.generation)
        counts = (self.counters["3"], self.counters["4"])
        here = local.Cursor(str(self.node), generation, *ARMS, 250, self.generation, self.now, counts)
        last = msgspec.json.decode(self.cursor, type=local.Cursor) if self.cursor else None
        self.write(*local.advance(last, here), crash=crash)

    @invariant()
    def nothing_is_counted_that_did_not_happen(self) -> None:
        for place, arm in enumerate(ARMS):
            for weight in {block.weight for block in self.blocks}:
                counted = total([(block.champion, block.candidate)[place] for block in self.blocks if block.weight == weight])
                assert within(counted, total(self.truth.get((weight, arm), [])))


LONG = settings(max_examples=150, stateful_step_count=40, deadline=None)
for machine in (Gateway, Predictors, Laptop):
    machine.TestCase.settings = LONG
TestGateway, TestPredictors, TestLaptop = Gateway.TestCase, Predictors.TestCase, Laptop.TestCase

ROUNDS = st.lists(st.tuples(PROXIES, ARM, REQUESTS, st.sets(PROXIES), st.booleans(), st.booleans()), max_size=30)


@settings(max_examples=200, deadline=None)
@given(ROUNDS)
def test_what_no_block_holds_is_said_as_long_as_no_proxy_starts_anew(rounds) -> None:
    """Scrapes may fail, looks may repeat, writes may crash, weights may change: counted and lost are all there was.

    Only what a proxy was asked that is silent just when weights change is in neither.
    """
    counters = {(proxy, arm): ArmCounts() for proxy in range(3) for arm in ARMS}
    generation, now = 1, START
    names = frozenset(map(str, range(3)))

    def reading(silent: set[int]) -> Reading:
        sources = {str(proxy): {arm: counters[proxy, arm] for arm in ARMS} for proxy in range(3) if proxy not in silent}
        return Reading("gateway", str(generation), *ARMS, 250, generation, now, now, sources)

    found, cursor = blocks.advance(None, reading(set()), names, SETTLE)
    for proxy, arm, requests, silent, crash, changes in rounds:
        counters[proxy, arm] = total([counters[proxy, arm], ArmCounts(requests)])
        now += timedelta(seconds=1)
        if changes:
            found, cursor = _and(found, blocks.advance(cursor, reading(set()), names, SETTLE))
            generation += 1
        settling = now - cursor.since < SETTLE
        after = blocks.advance(cursor, reading(set() if changes or settling else silent), names, SETTLE)
        found, cursor = (found, cursor) if crash and not changes else _and(found, after)
    found, cursor = _and(found, blocks.advance(cursor, reading(set()), names, SETTLE))
    counted = sum(block.champion.requests + block.candidate.requests for block in found)
    assert counted + cursor.lost == sum(one.requests for one in counters.values())


def _and(found: list[Block], more: tuple[list[Block], Reading]) -> tuple[list[Block], Reading]:
    return found + more[0], more[1]
