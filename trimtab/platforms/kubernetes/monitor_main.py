"""The monitor's process on a cluster: store, fleet, gate, the detector worker beside it, and the sink of Releases, put together.

`python -m trimtab.platforms.kubernetes.monitor_main --data /var/lib/trimtab`. Secrets come by the environment alone: the database's
URL by TRIMTAB_DATABASE_URL. On SIGTERM what is under way is finished, within ten seconds.
"""

import argparse
import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

from aiohttp import web

from trimtab.control.ports import Objects
from trimtab.errors import InvalidInput, Unavailable
from trimtab.monitoring.detectors.asking import beside
from trimtab.monitoring.detectors.choosing import Chosen
from trimtab.monitoring.gate import Gate
from trimtab.monitoring.kserve import make_kserve_app
from trimtab.monitoring.monitor import Monitor
from trimtab.monitoring.server import make_app
from trimtab.platforms.kubernetes import logs
from trimtab.platforms.kubernetes.api import Api, Namespaces, connect
from trimtab.platforms.kubernetes.fleet import KubernetesFleet, VersionFolders, fetcher
from trimtab.platforms.kubernetes.objects import KubernetesObjects
from trimtab.platforms.kubernetes.review import AUDIENCE, ReviewGate
from trimtab.platforms.releases import release_emit, release_sink
from trimtab.platforms.webhook import Delivery, Pager, Webhook

log = logging.getLogger("trimtab.monitor")
SHUTDOWN_SECONDS = 10.0


async def serve(monitor: Monitor, gate: Gate, objects: Objects, host: str | None, port: int, kserve_port: int) -> None:
    """Listen until SIGTERM or SIGINT, then finish what is under way; `kserve_port` 0: KServe's logger is not listened to."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    applications = [(make_app(monitor, gate, release_sink(objects)), port)]
    if kserve_port:
        applications.append((make_kserve_app(monitor), kserve_port))
    runners = []
    try:
        for application, place in applications:
            runner = web.AppRunner(application, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
            runners.append(runner)
            await runner.setup()
            await web.TCPSite(runner, host, place).start()
            log.info("listening on %s", runner.addresses)
        await stopped.wait()
        log.info("ending")
    finally:
        for runner in reversed(runners):
            await runner.cleanup()


def run(given: argparse.Namespace) -> None:
    """Work until SIGTERM; raises InvalidInput or Unavailable where it cannot begin."""
    api = Api(connect())
    names = [name for name in given.watch_namespaces.split(",") if name]
    objects = KubernetesObjects(api, Namespaces(api, names) if names else None)
    folders = VersionFolders(given.data / "versions", fetcher(given.tracking_uri))
    detector = Chosen(beside(given.worker), given.worker.parent)
    database = os.environ.get("TRIMTAB_DATABASE_URL") or given.data / "monitor.db"
    fleet, page = KubernetesFleet(objects, folders), None
    if given.notify_url:
        page = Pager(Delivery(Webhook(given.notify_url, given.notify_token_file).post))
    monitor = Monitor(database, fleet, detector, release_emit(objects), page=page, replaying=given.replaying)
    folders.start()
    try:
        asyncio.run(serve(monitor, ReviewGate(api, given.audience), objects, given.host or None, given.port, given.kserve_port))
    finally:
        folders.stop()


def main() -> int:
    """Exit code 2 with one sentence where the configuration has to be mended, 1 where it may work later."""
    given = _arguments()
    logs.configure(given.log_level)
    try:
        given.data.mkdir(parents=True, exist_ok=True)
        run(given)
    except InvalidInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (Unavailable, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="trimtab-monitor", description="Watch the Models of a cluster.")
    parser.add_argument("--data", type=Path, default=Path("/var/lib/trimtab"), help="a folder that stays: the database, versions' files")
    parser.add_argument("--watch-namespaces", default="", help="namespaces to look after, separated by commas; empty: all")
    parser.add_argument("--tracking-uri", default="http://trimtab-mlflow:5000", help="the MLflow server")
    parser.add_argument("--worker", type=Path, default=Path("/work/worker.sock"), help="the detector worker's socket, in a shared folder")
    parser.add_argument("--audience", default=AUDIENCE, help="what tokens must be meant for")
    parser.add_argument("--host", default="", help="the address to listen on; empty: all")
    parser.add_argument("--port", type=int, default=8090, help="/events, the views, /metrics, /healthz and /readyz")
    parser.add_argument("--kserve-port", type=int, default=0, help="KServe's payload logger, which cannot authenticate; 0: off")
    parser.add_argument("--notify-url", default="", help="a webhook that is told findings of broken data; empty: nobody")
    parser.add_argument("--notify-token-file", type=Path, default=None, help="the webhook's bearer token")
    parser.add_argument("--replaying", action="store_true", help="believe any event time: traffic of the past is played")
    parser.add_argument("--log-level", default="INFO", choices=("DEBUG", "INFO", "WARNING"))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
