"""The supervisor: one process that runs the control loop and keeps every other process of the state folder alive.

It holds the lock, ends what a killed supervisor left, and then makes the world what the recorded state says. It knows no
Model document: `trimtab local up` writes Models into the state, the loop does the rest.
"""

import argparse
import logging
import signal
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import NoReturn
from urllib.parse import urlsplit

from trimtab.control.gather import Ports
from trimtab.control.loop import Loop
from trimtab.errors import InvalidInput, TrimtabError
from trimtab.platforms.local import lock, processes
from trimtab.platforms.local.child import Child
from trimtab.platforms.local.envoy import Envoy
from trimtab.platforms.local.explainers import EXPLAINERS, LocalExplainers
from trimtab.platforms.local.fleet import ADDRESSES
from trimtab.platforms.local.ledger import SqliteLedger
from trimtab.platforms.local.notifying import TOKEN_VARIABLE, keep_token, notifier
from trimtab.platforms.local.objects import SqliteObjects
from trimtab.platforms.local.places import LocalPlaces
from trimtab.platforms.local.runner import LocalRunner
from trimtab.platforms.local.serving import LocalServing
from trimtab.platforms.local.serving_process import Launch
from trimtab.platforms.local.state import PROBLEMS, PROCESSES, State, write_json
from trimtab.platforms.local.traffic import EnvoyTraffic
from trimtab.platforms.monitor_client import MonitorClient
from trimtab.platforms.packages import MlflowPackages
from trimtab.platforms.registry import MlflowRegistry
from trimtab.spec import Model

log = logging.getLogger("trimtab")

PASS_SECONDS = 0.25
PAGE_WAITS_SECONDS = 60.0
WEBHOOK = "the webhook"
HOST = "127.0.0.1"


class Supervisor:
    """Everything that runs for one state folder."""

    def __init__(self, state: State, ports: dict[str, int], notify: str = "") -> None:
        """`ports` are where gateway, events and mlflow listen; 0 takes the one of the last time, or else a free one.

        `notify` is a webhook that is told of decisions and findings.
        """
        self._state, self._notify = state, notify
        self._ports = {name: port or self._last_port(name) or processes.free_port() for name, port in ports.items()}
        self._stopping = threading.Event()
        self._began = time.monotonic()
        self._told: dict[str, object] = {}

    def _last_port(self, name: str) -> int | None:
        """The port of the last time, so that callers find us again after a restart; None where something else took it."""
        url = self._state.endpoints.get({"gateway": "inference"}.get(name, name), "")
        port = urlsplit(url).port
        return port if port and not processes.port_taken(port) else None

    def run(self) -> None:
        """Run until SIGINT or SIGTERM; raises InvalidInput where the state is in use or a port is taken."""
        self._state.prepare()
        held = lock.take(self._state.lock_file)
        try:
            processes.end_leftovers(self._state.folder)
            keep_token(self._state)
            for name, port in self._ports.items():
                if processes.port_taken(port):
                    msg = f"port {port} of {name} is taken; name another one with --{name}-port, or 0 for any that is free"
                    raise InvalidInput(msg)
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, self._stop)
            self._run()
        finally:
            held.close()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._stopping.set()

    def _run(self) -> None:
        state, urls = self._state, {name: f"http://{HOST}:{port}" for name, port in self._ports.items()}
        objects = SqliteObjects(state.database)
        told = notifier(state, self._notify)
        ledger = SqliteLedger(state.database, state.audit_key, state.audit_export, told.recorded if told else None)
        events = f"{urls['events']}/events"
        registry = MlflowRegistry(state.tracking_uri, state.artifacts)
        warming = threading.Thread(target=registry.warm, name="mlflow", daemon=True)
        warming.start()
        envoy = Envoy(state.folder, self._ports["gateway"])
        envoy.start()
        serving = LocalServing(envoy, Launch(state.folder, events, state.secret_file), registry.fetch)
        explainers = LocalExplainers(state, serving.address)
        children = [Child("monitor", self._monitor(), state)]
        client = MonitorClient(urls["events"], lambda: state.secret)
        runner = LocalRunner(state.folder, state.tracking_uri)
        packages = MlflowPackages(state.tracking_uri, state.packages)
        places = LocalPlaces(state, _now)
        ports = Ports(objects, ledger, runner, serving, EnvoyTraffic(envoy), registry, client, packages, places)
        loop = Loop(ports, _now)
        state.write_endpoints(
            {"inference": urls["gateway"], "events": events, "metrics": f"{urls['events']}/metrics", "mlflow": urls["mlflow"]}
        )
        if told:
            told.start(*ledger.namespaces())
        try:
            while not self._stopping.is_set():
                serving.tend()
                for child in children:
                    child.tend()
                due = self._pass(loop)
                explainers.tend(objects.all_of(Model))
                if len(children) == 1 and not warming.is_alive() and self._calm(objects):
                    children.append(Child("mlflow", self._mlflow(), state))
                self._tell(serving, explainers, children, {**loop.problems, **({WEBHOOK: told.delivery.trouble} if told else {})})
                self._stopping.wait(min(due, PASS_SECONDS))
        finally:
            log.info("ending")
            if told:
                told.close()
            for child in children:
                child.process.terminate()
            explainers.close()
            serving.close()
            runner.close()
            places.close()
            for child in children:
                processes.stop(child.process, 5.0)
            ledger.close()
            objects.close()
            processes.end_leftovers(state.folder)

    def _calm(self, objects: SqliteObjects) -> bool:
        """Whether no first version is being made: MLflow's page can wait for that, it is slow to start."""
        return all(model.status.champion for model in objects.all_of(Model)) or time.monotonic() - self._began > PAGE_WAITS_SECONDS

    def _pass(self, loop: Loop) -> float:
        try:
            return loop.step()
        except TrimtabError as error:
            log.warning("waiting: %s", error)
            return 1.0

    def _tell(self, serving: LocalServing, explainers: LocalExplainers, children: list[Child], problems: dict[str, str]) -> None:
        """Write down, when it has changed, which processes there are, where versions and explainers are asked, what has to be mended."""
        pids = {**{child.name: child.process.pid for child in children}, **serving.pids(), **explainers.pids()}
        files = {
            PROCESSES: pids,
            ADDRESSES: serving.addresses(),
            EXPLAINERS: explainers.told(),
            PROBLEMS: {name.removeprefix("default/"): said for name, said in problems.items() if said},
        }
        for name, content in files.items():
            if self._told.get(name) != content:
                write_json(self._state.folder / name, content)
                self._told[name] = content

    def _monitor(self) -> list[str]:
        module = "trimtab.platforms.local.monitor_main"
        notify = ["--notify", self._notify] if self._notify else []
        return [sys.executable, "-m", module, "--state", str(self._state.folder), "--port", str(self._ports["events"]), *notify]

    def _mlflow(self) -> list[str]:
        store = ["--backend-store-uri", self._state.tracking_uri, "--artifacts-destination", str(self._state.artifacts)]
        return [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(self._ports["mlflow"]), "--workers", "1", *store]


def _now() -> datetime:
    return datetime.now(UTC)


def main() -> NoReturn:
    """`python -m trimtab.platforms.local.supervisor`: exit code 2 with one sentence where the input has to be mended."""
    parser = argparse.ArgumentParser(description="Run everything of one state folder.")
    parser.add_argument("--state", type=Path, required=True)
    for name in ("gateway", "events", "mlflow"):
        parser.add_argument(f"--{name}-port", type=int, default=0)
    parser.add_argument("--notify", default="", help=f"a webhook; its token, if it wants one, in {TOKEN_VARIABLE}")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    ports = {"gateway": given.gateway_port, "events": given.events_port, "mlflow": given.mlflow_port}
    try:
        Supervisor(State(given.state), ports, given.notify).run()
    except TrimtabError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, InvalidInput) else 1)
    sys.exit(0)


if __name__ == "__main__":
    main()
