"""Two Releases of one Model, hand edits and crashes in any order, on the real local adapters (hypothesis, stateful).

However it goes: exactly one champion, whose generations grow by one; a whole chain that tells the same; no caller answered by a version
that was not registered, verified and smoke-tested; nothing promoted on a comparison with another champion than the one it followed.
`INTERLEAVINGS=200` says how many are tried, which `make test-interleavings` does; `--hypothesis-seed=1` tries others.
"""

import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tests.local.interleaved import hands
from tests.local.interleaved.chronicle import BY_HAND, template
from tests.local.interleaved.nursery import Nursery
from tests.local.interleaved.ports import PLACES, crash, fail
from tests.local.interleaved.stock import Stock
from tests.local.interleaved.workshop import Ending
from tests.local.interleaved.world import Ground, World
from tests.unit.test_signing import write_key

EXAMPLES = int(os.environ.get("INTERLEAVINGS", "15"))
MOST_STEPS = 10
REACH_SECONDS = 2.0
MEMORY = Path("/dev/shm")  # noqa: S108 - only where it is there: a hundred small databases wait for the disk otherwise

MEDDLING: dict[str, Callable[[World, int], object]] = {
    "crown": hands.crown,
    "crown anew": hands.crown_again,
    "alias": hands.move_alias,
    "edit": hands.edit,
    "admit": hands.admit,
    "rollback": lambda world, number: hands.say(world, "rollback", number),
    "abort": lambda world, number: hands.say(world, "abort", number),
    "reject": lambda world, number: hands.say(world, "reject", number),
    "pause": lambda world, number: hands.say(world, "rollout pause", number),
    "resume": lambda world, number: hands.say(world, "rollout resume", number),
    "promote": lambda world, number: hands.say(world, "rollout promote", number),
    "approve": hands.approve_all,
    "bring back": hands.bring_back,
    "finding": hands.finding,
    "tamper": hands.tamper,
    "tamper copy": hands.tamper_kept,
    "kill predictor": hands.kill_predictor,
    "kill gateway": hands.kill_gateway,
    "worse": hands.worse,
    "time": hands.time_passes,
    "crash": lambda world, _: world.crash(),
}
WITHIN = [*["crash"] * 6, "fail", *sorted(MEDDLING.keys() - {"crash", "time"})]

ENDINGS: tuple[Ending, ...] = ("good", "good", "good", "good", "unlike", "broken", "rejected", "fault")
RACES = ["crown", "crown", "crown anew", "edit", "crash", "fail", "alias", "rollback"]
SWAP = "objects.write_status Model"
STEPS = {"look": 3, "wish": 3, "meddle": 4, "within": 6}
"""How often each is the next step, of sixteen."""


class Session:
    """What all examples share, and what they came by."""

    def __init__(self, folder: Path) -> None:
        key = folder / "tls.key"
        write_key(key)
        self.nursery = Nursery(folder / "nursery")
        self.ground = Ground(folder, self.nursery.python, Stock(folder / "stock"), template(folder / "mlflow"), key)
        self.examples = self.crashes = self.answers = self.refused = self.by_hand = self.again = 0
        self.began = time.monotonic()
        self.reasons, self.ends, self.happened, self.done = Counter[str](), Counter[str](), Counter[Any](), Counter[str]()

    def world(self) -> World:
        """The next example's."""
        self.examples += 1
        return World(self.ground, f"{self.examples}")

    def add(self, world: World) -> None:
        """Count what an example came by."""
        chronicle = world.chronicle
        self.crashes += world.crashes
        self.answers += world.callers.answered
        self.refused += world.callers.refused
        self.reasons += chronicle.reasons
        self.ends.update(hands.ended(world.releases()))
        self.happened += world.watch.happened
        self.by_hand += sum(one.champion.release == BY_HAND for one in chronicle.crowned)
        self.again += sum(release.status.comparisons for release in world.releases())

    def table(self) -> str:
        """What was covered."""
        raced = {what: number for (place, what), number in sorted(self.happened.items()) if place == SWAP}
        places = Counter[str]()
        for (place, what), number in self.happened.items():
            places[f"{place}{': crash' if what == 'crash' else ''}"] += number
        crashes = {place.removesuffix(": crash"): number for place, number in sorted(places.items()) if place.endswith("crash")}
        locks = {reason: self.reasons[reason] for reason in ("ChampionChanged", "AlreadyChampion")}
        told = {
            "interleavings": f"{self.examples}, in {time.monotonic() - self.began:.0f} s",
            "champions": f"{self.reasons['ChampionSwapped']} swaps decided, {self.by_hand} changes by hand",
            "at the swap": raced,
            "champion lock": {**locks, "compared anew": self.again},
            "crashes": {"in all": self.crashes, **crashes},
            "hands": dict(sorted(self.done.items())),
            "Releases ended": dict(sorted(self.ends.items())),
            "answers": f"{self.answers} checked, {self.refused} refused or lost",
        }
        return "\n".join(f"{name:15} {what}" for name, what in told.items())

    def close(self) -> None:
        """End what all shared."""
        self.nursery.close()


class Interleaving(RuleBasedStateMachine):
    """One Model; the rules are what may happen to it next."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.enough = session.examples >= EXAMPLES
        """Hypothesis counts fewer than it begins: what it cuts short and what it draws twice is none to it."""
        if not self.enough:
            self.world = session.world()
        self.whole = False

    @initialize(chance=st.randoms(use_true_random=True))
    def begin(self, chance: Random) -> None:
        self.chance = Random(f"{self.session.examples} {chance.random()}")  # noqa: S311 - hypothesis draws some seeds again and again
        if not self.enough and self.chance.random() < 4 / 5:
            assert self.world.reach(lambda: bool(self.world.releases()) and not self.world.live(), 30), self.world.told()
        self.whole = not self.enough

    @rule()
    def step(self) -> None:
        """One rule, whose chances are ours: of several, hypothesis leaves most out of most examples."""
        if self.enough:
            return
        (what,) = self.chance.choices(list(STEPS), list(STEPS.values()))
        self.session.done[what] += 1
        getattr(self, what)()

    def look(self) -> None:
        """A look or, for so long as it takes, all until a Release is at some place."""
        goal = self.chance.choice(["", *hands.GOALS])
        if goal:
            self.world.reach(lambda: hands.at(self.world, goal), REACH_SECONDS)
        else:
            self.world.look()

    def wish(self) -> None:
        if len(self.world.releases()) < hands.MOST_RELEASES:
            hands.wish(self.world, self.chance.choice(ENDINGS), self.chance.randrange(3))
        self.look()

    def meddle(self) -> None:
        self._hand(self.chance.choice(sorted(MEDDLING)), self.chance.randrange(8))
        self.world.look()

    def within(self) -> None:
        """It happens when the loop calls that port next, or a call or two later; what is under way goes on until then."""
        if not self.world.live() and len(self.world.releases()) < hands.MOST_RELEASES:
            hands.wish(self.world)
        place = SWAP if self.chance.random() < 1 / 3 else self.chance.choice(PLACES)
        what, number = self.chance.choice(RACES if place == SWAP else WITHIN), self.chance.randrange(8)
        ways: dict[str, Callable[[], object]] = {"crash": crash, "fail": fail}
        do = ways.get(what, lambda: self._hand(what, number))
        left = 1 if place == SWAP else self.chance.randint(1, 3)
        self.world.watch.plan(place, left, what, do, late=self.chance.random() < 1 / 3)
        before = len(self.world.watch.planned)
        self.world.reach(lambda: len(self.world.watch.planned) < before or not self.world.live(), REACH_SECONDS)

    def _hand(self, what: str, number: int) -> None:
        self.session.done[what] += 1
        MEDDLING[what](self.world, number)

    @invariant()
    def holds(self) -> None:
        if self.whole:
            self.whole = False
            self.world.check()
            self.whole = True

    def teardown(self) -> None:
        try:
            if self.whole:
                hands.apply(self.world, "automatic")
                self.whole = False
                self.world.settle(hands.resume_all)
                self.session.add(self.world)
        finally:
            if not self.enough:
                self.world.close()


@pytest.fixture
def session() -> Iterator[Session]:
    folder = Path(tempfile.mkdtemp(prefix="trimtab-", dir=MEMORY if MEMORY.is_dir() else None))
    made = Session(folder)
    yield made
    made.close()
    shutil.rmtree(folder)


@pytest.mark.timeout(3600)
def test_whatever_happens_there_is_one_champion_a_whole_chain_and_no_unverified_answer(
    session: Session, record_property: Callable[[str, object], None], request: pytest.FixtureRequest
) -> None:
    thorough = settings(
        max_examples=EXAMPLES,
        stateful_step_count=MOST_STEPS,
        derandomize=request.config.getoption("--hypothesis-seed") is None,
        database=None,
        deadline=None,
        verbosity=Verbosity.quiet,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    try:
        run_state_machine_as_test(lambda: Interleaving(session), settings=thorough)
    finally:
        record_property("table", session.table())
    assert session.reasons["ChampionSwapped"] > session.examples // 2
    assert session.crashes > 0
