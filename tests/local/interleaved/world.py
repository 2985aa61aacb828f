"""One Model on the real local adapters: a state folder of its own, Envoy, predictors, MLflow; and the loop, that can die and begin anew.

Of the platform only the training run (`workshop.py`) and the monitor are stood in for. Clocks run on, and may be moved.
"""

import logging
import os
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from tests.local.interleaved.callers import Callers
from tests.local.interleaved.chronicle import Chronicle
from tests.local.interleaved.ports import Crash, Watch, Watched
from tests.local.interleaved.stock import Stock
from tests.local.interleaved.workshop import Workshop
from trimtab.control.gather import Ports
from trimtab.control.intake import release_for
from trimtab.control.loop import Loop
from trimtab.errors import Unavailable
from trimtab.platforms.local import processes
from trimtab.platforms.local.envoy import Envoy
from trimtab.platforms.local.ledger import SqliteLedger
from trimtab.platforms.local.objects import SqliteObjects
from trimtab.platforms.local.places import LocalPlaces
from trimtab.platforms.local.serving import LocalServing
from trimtab.platforms.local.serving_process import Launch
from trimtab.platforms.local.state import State
from trimtab.platforms.local.traffic import EnvoyTraffic
from trimtab.platforms.packages import MlflowPackages
from trimtab.platforms.registry import MlflowRegistry
from trimtab.platforms.signer import Signer
from trimtab.release import Block, PairedLosses, Release, Request
from trimtab.rolling import Bake, ErrorGuard, Guard, Rollout, SlowGuard
from trimtab.spec import Data, Metadata, Model, ModelSpec, ModelStatus

NAME = "m"
DATA_START = datetime(2026, 3, 1, tzinfo=UTC)
REST_SECONDS = 180.0
WARM = timedelta(seconds=10)
"""How far the gateway's clock is ahead of the loop's: no block is held to be of a process that is not warm yet."""
QUICK = Guard(ErrorGuard("+0.9"), SlowGuard("2500ms", "+0.9"))
SPEC = ModelSpec(
    task="regression",
    data=Data(uri="rows.csv", label="demand", key="hour_id", time="timestamp"),
    rollout=Rollout(steps=(50,), guard=QUICK, bake=Bake("2h"), max_duration="1h"),
)


class Ground(Struct, frozen=True):
    """What all worlds of a session share."""

    folder: Path
    python: str
    stock: Stock
    mlflow: Path
    key: Path


class QuietMonitor:
    """The port Monitor: data time as the world says, and losses on common rows that are alike but for versions in `worse`."""

    def __init__(self) -> None:
        self.now = DATA_START
        self.worse: set[str] = set()

    def watermark(self, _: Model) -> datetime:
        return self.now

    def paired(self, _: Model, champion: str, candidate: str, since: datetime) -> PairedLosses:
        rows = min(int((self.now - since) / timedelta(seconds=10)), 400)
        wave = [((7919 * row) % 101) / 101 for row in range(rows)]
        one, other = (3.0 if version in self.worse else 1.0 for version in (champion, candidate))
        return PairedLosses(tuple(one + part for part in wave), tuple(other + part for part in wave), clip=4.0)

    def open_quality(self, _: Model) -> list[str]:
        return []


class Traffic:
    """The port Traffic: Envoy's counters, on the world's clock."""

    def __init__(self, world: "World", envoy: Envoy) -> None:
        self._world, self._real = world, EnvoyTraffic(envoy)

    def arms(self, *given: Any) -> tuple[list[Block], dict[str, Any]]:
        blocks, cursor = self._real.arms(*given)
        ahead = self._world.moved + WARM
        return [replace(block, start=block.start + ahead, end=block.end + ahead) for block in blocks], cursor


class Faults(logging.Handler):
    """What the loop's own log calls a fault of ours."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.found.append(logging.Formatter().format(record))


class World:
    """Everything of one example. `look` is one pass of the supervisor's loop."""

    def __init__(self, ground: Ground, name: str) -> None:
        self.state = State(ground.folder / name)
        self.state.prepare()
        shutil.copyfile(ground.mlflow, self.state.folder / "mlflow.db")
        self._ground = ground
        self.watch, self.monitor, self.faults = Watch(), QuietMonitor(), Faults()
        self.moved = timedelta(0)
        self.crashes = 0
        self.workshop = Workshop(ground.stock, self.state.tracking_uri, NAME)
        self.port = processes.free_port()
        logging.getLogger("trimtab.control.loop").addHandler(self.faults)
        SqliteLedger(self.state.database, self.state.audit_key, self.state.audit_export).close()
        self.store = SqliteObjects(self.state.database)
        self.chronicle = Chronicle(self.state, self.workshop)
        self.store.create(Model("trimtab.dev/v1alpha1", "Model", Metadata(NAME), SPEC, ModelStatus(first_cut=DATA_START)))
        self._up()
        self.callers = Callers(self.port, f"/v1/models/{NAME}:predict")

    def now(self) -> datetime:
        """The loop's clock."""
        return datetime.now(UTC) + self.moved

    def _up(self) -> None:
        """What a supervisor does when it starts."""
        state = self.state
        self._objects = SqliteObjects(state.database)
        self._ledger = SqliteLedger(state.database, state.audit_key, state.audit_export)
        registry = MlflowRegistry(state.tracking_uri, state.artifacts, Signer(self._ground.key))
        self.envoy = Envoy(state.folder, self.port)
        self.envoy.start()
        self.serving = LocalServing(self.envoy, Launch(state.folder, python=self._ground.python), registry.fetch)
        parts = {
            "objects": self._objects,
            "ledger": self._ledger,
            "runner": self.workshop,
            "serving": self.serving,
            "traffic": Traffic(self, self.envoy),
            "registry": registry,
            "monitor": self.monitor,
            "packages": MlflowPackages(state.tracking_uri, state.packages),
            "places": LocalPlaces(state, self.now),
        }
        self.loop = Loop(Ports(**{name: Watched(self.watch, name, part) for name, part in parts.items()}), self.now)

    def crash(self) -> None:
        """The supervisor is killed, and its children with it; another one begins on the same files."""
        self.crashes += 1
        self._end()
        self._up()

    def _end(self) -> None:
        for pid in self.serving.pids().values():
            kill(pid)
        self.serving.close()
        self._objects.close()
        self._ledger.close()

    def look(self) -> float:
        """One pass; a crash within it is followed by a new beginning. Returns the seconds after which the next is due."""
        try:
            self.serving.tend()
            return self.loop.step()
        except Crash:
            self.crash()
        return 0.0

    def reach(self, goal: Callable[[], bool], seconds: float) -> bool:
        """Look on until the goal is reached, or for so long."""
        deadline = time.monotonic() + seconds
        while not (reached := goal()) and time.monotonic() < deadline:
            self.look()
            time.sleep(0.01)
        return reached

    # --- what there is ---

    def model(self) -> Model:
        found = self.store.get(Model, "default", NAME)
        assert found is not None
        return found

    def releases(self) -> list[Release]:
        return self.store.all_of(Release)

    def live(self) -> list[Release]:
        return [release for release in self.releases() if not release.terminal]

    # --- what must hold ---

    def check(self) -> None:
        """The invariants of every moment."""
        self.chronicle.check(self.callers.taken())
        assert not self.faults.found, self.faults.found[0]

    def settle(self, tidy: Callable[["World"], object] = lambda _: None) -> None:
        """Everybody stops meddling but who tidies, what was broken is mended, time goes on: all must come to rest, and agree."""
        self.watch.planned.clear()
        self.workshop.mend()
        self.monitor.worse.clear()
        deadline = time.monotonic() + REST_SECONDS
        while not self._at_rest():
            assert time.monotonic() < deadline, f"it does not come to rest: {self.told()}"
            self._want()
            tidy(self)
            self.monitor.now += timedelta(minutes=20)
            self.moved += timedelta(seconds=5)
            self.look()
            time.sleep(0.01)
        self.check()
        self.chronicle.check_rest()
        champion = self.model().status.champion
        assert champion is not None
        self.callers.taken()
        deadline = time.monotonic() + 10
        while not (found := self.callers.taken()):
            assert time.monotonic() < deadline, "callers are not answered at rest"
            time.sleep(0.01)
        assert {answer.version for answer in found} == {champion.version}
        self.chronicle.check(found)

    def _want(self) -> None:
        """Where the Model has no version and nothing that brings one, a person asks for it."""
        if self.model().status.champion is None and all(one.status.reason == "NoChampion" for one in self.live()):
            wish = Request("person", "tests", f"want-{len(self.releases())}", self.monitor.now)
            self.store.create(release_for(self.model(), wish))

    def _at_rest(self) -> bool:
        """Whether all have ended, and servers, route and alias are the champion's, by what they say themselves."""
        champion = self.model().status.champion
        if champion is None or self.live():
            return False
        try:
            served = [(one.version, one.ready, one.weight) for one in self.serving.observe(self.model())]
        except Unavailable:
            return False
        return served == [(champion.version, True, 100)] and self.workshop.alias() == champion.version

    def told(self) -> str:
        """Where everything stands, for whoever reads a failure."""
        model = self.model()
        stand = [(one.name, one.status.phase, one.status.reason, one.status.sentence) for one in self.releases()]
        served = None
        with suppress(Exception):
            served = self.serving.observe(model)
        found = {"champion": model.status.champion, "releases": stand, "served": served, "alias": self.workshop.alias()}
        return str({**found, "waits": self.loop.waits, "problems": self.loop.problems})

    def close(self) -> None:
        """End everything, and keep nothing."""
        self.callers.close()
        self._end()
        self.chronicle.close()
        self.store.close()
        logging.getLogger("trimtab.control.loop").removeHandler(self.faults)
        shutil.rmtree(self.state.folder)


def kill(pid: int) -> None:
    """As a power cut would."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
