"""A monitor in a process of its own: the real server and store over a fleet in memory, for what a test in this process cannot see.

Run it as `python -m tests.unit.monitoring.process DATABASE FOLDER`; it prints its port and listens until it is killed.
"""

import argparse
import asyncio
import sys
from pathlib import Path
from subprocess import PIPE, Popen

from aiohttp import web

from trimtab.monitoring.detectors.asking import caged
from trimtab.monitoring.detectors.tabular import TabularDrift
from trimtab.monitoring.gate import SecretGate
from trimtab.monitoring.monitor import Monitor
from trimtab.monitoring.ports import SinkAnswer, Watched, WatchedVersion
from trimtab.monitoring.server import make_app

from .folders import DETECTORS, MemoryFleet, ScipyDetector, model

SECRET = "a-secret-of-these-tests"
ROOT = Path(__file__).parents[3]


def names(models: int) -> list[str]:
    """The fleet's names: `demand`, and `demand-2` and so on where there are more."""
    return ["demand", *(f"demand-{number}" for number in range(2, models + 1))]


class Live:
    """A monitor's process that can be killed and started again on the same database; `pinned` is the one processor that it may use."""

    def __init__(self, database: Path | str, folder: Path, *options: str, pinned: int | None = None) -> None:
        pin = [] if pinned is None else ["taskset", "-c", str(pinned)]
        self._command = [*pin, sys.executable, "-m", __name__, str(database), str(folder), *options]
        self.start()

    def start(self) -> None:
        """Returns when it listens."""
        self.process = Popen(self._command, stdout=PIPE, text=True, cwd=ROOT)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def kill(self) -> None:
        """`kill -9`; returns when it is gone."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def __enter__(self) -> "Live":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


async def serve(given: argparse.Namespace) -> None:
    """Listen until the end of the process."""
    version = WatchedVersion("1", "d", given.folder)
    fleet = MemoryFleet(*(Watched(model(name, window={"rows": given.window}), version) for name in names(given.models)))
    detector = TabularDrift(caged(DETECTORS)) if given.caged else ScipyDetector()
    place = given.database if given.database.startswith("postgresql") else Path(given.database)
    monitor = Monitor(place, fleet, detector, lambda _: None, replaying=given.replaying)
    runner = web.AppRunner(
        make_app(monitor, SecretGate(SECRET), lambda _: SinkAnswer("accepted"), patience=given.patience), access_log=None
    )
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """Read the options and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database", help="a file of SQLite, or a URL")
    parser.add_argument("folder", type=Path, help="the one version that every model of the fleet serves")
    parser.add_argument("--models", type=int, default=1)
    parser.add_argument("--window", type=int, default=100, help="rows of a window")
    parser.add_argument("--caged", action="store_true", help="with Alibi Detect in its own process")
    parser.add_argument("--replaying", action="store_true")
    parser.add_argument("--patience", type=float, default=30.0, help="seconds in which a body must come")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
