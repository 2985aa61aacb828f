"""`make bench-rollback`: for how long callers still get a version's answers after somebody, or the judge, wants it back.

The real adapters of a laptop at the supervisor's pace, with predictors that start cold, callers without a break, and the real command
line in a process of its own. Only runs and the monitor are stood in for (`tests/local/interleaved`). Writes docs/evidence/rollback.md.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from msgspec import Struct

from tests.local.interleaved import hands
from tests.local.interleaved.callers import Answer
from tests.local.interleaved.chronicle import template
from tests.local.interleaved.stock import Stock
from tests.local.interleaved.world import NAME, Ground, World
from tests.local.laptop import TRIMTAB
from tests.unit.test_signing import write_key
from trimtab.platforms.local.supervisor import PASS_SECONDS
from trimtab.release import Phase, Release

PAGE = Path(__file__).parents[2] / "docs" / "evidence" / "rollback.md"
REPEATS = 10
QUIET_SECONDS = 0.3
"""How long nothing of a version must be answered until it is taken for gone."""

_HEAD = """# Rollback in seconds: the evidence

Written by `make bench-rollback`: {repeats} times each on a machine with 2 processors, a laptop's real adapters (SQLite, MLflow,
Envoy, predictors) at the supervisor's pace, two callers who pause for 15 ms after each answer. Seconds from the moment when the
command is started (it takes {command:.1f} s to say its word and end), or when the labels that show the harm are there, to the last
answer of the version that is not wanted any more.

| what happens | median | longest | Release ended after | answers | failed |
|---|---|---|---|---|---|
"""


class Measured(Struct, frozen=True):
    """One rollback, in seconds: until it was said, until the last answer of the version, until its Release had ended."""

    said: float
    last: float
    ended: float
    answers: int
    failed: int


class Running:
    """A World whose loop looks at the supervisor's pace, in a thread of its own."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Running":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end.set()
        self._thread.join()

    def wait(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        """Until the condition holds; fails where it does not."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.world.told()
            time.sleep(0.005)

    def promoted(self, *, over: bool) -> Release:
        """A new version becomes champion; it bakes, or with `over` its Release has ended."""
        hands.wish(self.world)
        name = self.world.releases()[-1].name
        self.wait(lambda: self._release(name).status.phase is Phase.BAKING)
        if over:
            hands.time_passes(self.world, 2)
            self.wait(lambda: self._release(name).terminal)
        return self._release(name)

    def measure(self, release: Release, want: Callable[[], object]) -> Measured:
        """How long it takes until nobody is answered by the Release's version any more, from `want` on."""
        candidate = release.status.candidate
        assert candidate is not None
        before = len(self.world.releases())
        self.world.check()
        refused, begun = self.world.callers.refused, time.time()
        want()
        said, seen = time.time() - begun, list[Answer]()

        def gone() -> bool:
            new = self.world.callers.taken()
            self.world.chronicle.check(new)
            seen.extend(new)
            last = max((one.answered for one in seen if one.version == candidate.version), default=begun)
            return time.time() > last + QUIET_SECONDS and any(one.version != candidate.version for one in seen)

        self.wait(gone)
        bringing = self.world.releases()[-1] if len(self.world.releases()) > before else release
        self.wait(lambda: self._release(bringing.name).status.phase in (Phase.BAKING, Phase.PROMOTED, Phase.ROLLED_BACK))
        ended = time.time() - begun
        last = max((one.answered - begun for one in seen if one.version == candidate.version), default=0.0)
        return Measured(said, last, ended, len(seen), self.world.callers.refused - refused)

    def settle(self) -> None:
        """Let time go on until all has ended."""
        hands.time_passes(self.world, 2)
        self.wait(lambda: not self.world.live())
        self.world.monitor.worse.clear()
        self.world.check()

    def _release(self, name: str) -> Release:
        return next(release for release in self.world.releases() if release.name == name)

    def _run(self) -> None:
        while not self._end.is_set():
            self._end.wait(min(self.world.look(), PASS_SECONDS))


def typed(world: World, *words: str) -> None:
    """A person's command, in a process of its own."""
    subprocess.run([TRIMTAB, *words, "--state", str(world.state.folder)], check=True, capture_output=True, timeout=60)


def in_the_bake(running: Running) -> Measured:
    release = running.promoted(over=False)
    return running.measure(release, lambda: typed(running.world, "rollback", release.name))


def after_the_end(running: Running) -> Measured:
    release = running.promoted(over=True)
    return running.measure(release, lambda: typed(running.world, "rollback", NAME))


def by_harm(running: Running) -> Measured:
    """The rows of the bake, labels and all, are there at once: what is measured is the way from the verdict to the callers."""
    release = running.promoted(over=False)

    def harm() -> None:
        hands.worse(running.world)
        running.world.monitor.now += hands.HOUR

    return running.measure(release, harm)


WAYS: dict[str, Callable[[Running], Measured]] = {
    "`trimtab rollback RELEASE` in the bake: the old version is warm": in_the_bake,
    "harm in the bake": by_harm,
    "`trimtab rollback MODEL` after the promotion: the old version is started again": after_the_end,
}


@contextmanager
def running(folder: Path) -> Iterator[Running]:
    """A Model that has a first version, and callers."""
    key = folder / "tls.key"
    write_key(key)
    world = World(Ground(folder, sys.executable, Stock(folder / "stock"), template(folder / "mlflow"), key), "rollback")
    try:
        with Running(world) as found:
            found.wait(lambda: world.model().status.champion is not None and not world.live())
            yield found
    finally:
        world.close()


def page(found: dict[str, list[Measured]]) -> str:
    """The page, from the figures alone."""
    commands = [one.said for way, many in found.items() if "trimtab" in way for one in many]
    lines = [_HEAD.format(repeats=len(next(iter(found.values()))), command=statistics.median(commands))]
    for way, many in found.items():
        last, ended = [one.last for one in many], statistics.median(one.ended for one in many)
        answers, failed = sum(one.answers for one in many), sum(one.failed for one in many)
        lines.append(f"| {way} | {statistics.median(last):.2f} s | {max(last):.2f} s | {ended:.2f} s | {answers:,} | {failed} |\n")
    return "".join(lines)


def main() -> None:
    """Measure all ways and write the page; exit code 1 where a caller's request failed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=REPEATS)
    given = parser.parse_args()
    found: dict[str, list[Measured]] = {}
    with tempfile.TemporaryDirectory(prefix="trimtab-") as folder, running(Path(folder)) as each:
        for way, measure in WAYS.items():
            for _ in range(given.repeats):
                found.setdefault(way, []).append(measure(each))
                each.settle()
    text = page(found)
    PAGE.write_text(text)
    print(text)
    sys.exit(any(one.failed for many in found.values() for one in many))


if __name__ == "__main__":
    main()
