"""The monitor's process on a laptop: puts store, fleet, caged detector and the sink of Releases together and listens.

Findings and other asking events become Releases right here, in the same database that the control loop reads.
"""

import argparse
import logging
import sys
from pathlib import Path

from aiohttp import web

from trimtab.monitoring.detectors.asking import caged
from trimtab.monitoring.detectors.choosing import Chosen
from trimtab.monitoring.gate import SecretGate
from trimtab.monitoring.monitor import Monitor
from trimtab.monitoring.server import make_app
from trimtab.platforms.local.fleet import LocalFleet
from trimtab.platforms.local.notifying import pager
from trimtab.platforms.local.objects import SqliteObjects
from trimtab.platforms.local.state import State
from trimtab.platforms.releases import release_emit, release_sink

CAGE = ".venv-detectors"


def detector_python() -> Path:
    """The interpreter of the environment that Alibi Detect lives in: beside ours, under its own name."""
    return Path(sys.prefix).parent / CAGE / "bin" / "python"


def main() -> None:
    """`python -m trimtab.platforms.local.monitor_main --state .trimtab --port 8090`."""
    parser = argparse.ArgumentParser(description="Watch the models of one state folder.")
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--notify", default="", help="a webhook that is told findings of broken data")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    state = State(given.state).existing()
    objects = SqliteObjects(state.database)

    detector = Chosen(caged(detector_python()))
    fleet, page = LocalFleet(state, objects), pager(state, given.notify)
    monitor = Monitor(state.monitor_database, fleet, detector, release_emit(objects), page=page, replaying=True)
    app = make_app(monitor, SecretGate(state.secret), release_sink(objects))
    web.run_app(app, host="127.0.0.1", port=given.port, print=None, access_log=None)


if __name__ == "__main__":
    main()
