"""The controller's process: puts ports, lease, watches and workers together. `python -m trimtab.platforms.kubernetes.controller`.

`run` (the default) works until SIGTERM; `release-finalizers` is what uninstalling runs, so that no Model waits for a controller that
will never come back.
"""

import argparse
import logging
import os
import signal
import sys
import threading
import uuid
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trimtab.control.loop import Loop
from trimtab.errors import InvalidInput, TrimtabError, Unavailable
from trimtab.platforms.kubernetes import logs
from trimtab.platforms.kubernetes.api import Api, connect
from trimtab.platforms.kubernetes.cache import Cache
from trimtab.platforms.kubernetes.cursors import ConfigMapCursors
from trimtab.platforms.kubernetes.endpoints import Numbers, serve
from trimtab.platforms.kubernetes.events import Recorder
from trimtab.platforms.kubernetes.kfp_client import TOKEN_FILE as KFP_TOKEN_FILE
from trimtab.platforms.kubernetes.lease import Lease
from trimtab.platforms.kubernetes.ledger import KubernetesLedger
from trimtab.platforms.kubernetes.objects import KubernetesObjects, free_all
from trimtab.platforms.kubernetes.resources import ACTIONS, HTTP_ROUTES, INFERENCE_SERVICES, MODELS, PIPELINE_ROLLOUTS, RELEASES
from trimtab.platforms.kubernetes.runs import Runs, read_runs
from trimtab.platforms.kubernetes.watching import Watching
from trimtab.platforms.kubernetes.wiring import Settings, make_ports
from trimtab.platforms.kubernetes.work import Work
from trimtab.platforms.notifier import Notifier
from trimtab.platforms.webhook import Delivery, Webhook
from trimtab.release import DecisionRecord, Release
from trimtab.spec import Model

log = logging.getLogger("trimtab.controller")

WATCHED = (MODELS, RELEASES, ACTIONS, PIPELINE_ROLLOUTS, INFERENCE_SERVICES, HTTP_ROUTES)
COUNT_SECONDS = 5.0
BEGIN_SECONDS = 2.0


class Controller:
    """Everything that runs in the controller's process."""

    def __init__(self, given: argparse.Namespace) -> None:
        """Connects to nothing yet but reads the configuration; raises InvalidInput where there is none."""
        identity = f"{os.environ.get('HOSTNAME', 'controller')}-{uuid.uuid4().hex[:8]}"
        self._numbers = Numbers()
        client = connect()
        self._lease = Lease(self._api(client, fenced=False), given.lease_namespace, given.lease_name, identity)
        api = self._api(client, fenced=True)
        self._cache = Cache(api, WATCHED)
        self._recorder = Recorder(api, identity)
        self._objects = KubernetesObjects(api, self._cache, self._decided, lambda kind: self._numbers.refused.labels(kind).inc())
        settings = Settings(
            tracking_uri=given.tracking_uri,
            monitor_url=given.monitor_url,
            token_file=given.token_file,
            cache=given.cache,
            runs=read_runs(given.runs) if given.runs else Runs(),
            signing_key=given.signing_key,
            signing_certificate=os.environ.get("TRIMTAB_SIGNING_CERTIFICATE", ""),
            kfp_token_file=given.kfp_token_file,
            prometheus_url=given.prometheus_url,
        )
        self._notifier = self._made_notifier(given, api)
        told = self._notifier.recorded if self._notifier else None
        wired = make_ports(api, self._cache, self._objects, settings, self._lease.fence, told)
        self._loop = Loop(wired.ports, lambda: datetime.now(UTC))
        self._work = Work(self._loop, self._objects, self._cache, self._lease, self._recorder, self._numbers, wired)
        namespaces = [name for name in given.watch_namespaces.split(",") if name]
        self._watching = Watching(api, self._cache, namespaces, self._work.woken)
        self._port = given.port
        self._stopping = threading.Event()

    def _api(self, client: Any, *, fenced: bool) -> Api:
        count = self._numbers.requests
        fence = (lambda: self._lease.fence()) if fenced else (lambda: None)
        return Api(client, fence, lambda verb: count.labels(verb).inc())

    def _made_notifier(self, given: argparse.Namespace, api: Api) -> Notifier | None:
        if not given.notify_url:
            return None
        webhook, count = Webhook(given.notify_url, given.notify_token_file), self._numbers.notifications
        cursors = ConfigMapCursors(api, given.lease_namespace, given.notify_config_map)
        return Notifier(KubernetesLedger(api), cursors, Delivery(webhook.post, lambda result: count.labels(result).inc()), self._holds)

    def _holds(self) -> bool:
        return self._lease.held

    def run(self) -> int:
        """Until SIGTERM or SIGINT; then what is being looked at is finished and the lease given away."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self._stopping.set())
        server = serve(self._port, self._numbers, self._work.stuck, self._not_ready)
        self._lease.start()
        worker = threading.Thread(target=self._begin, name="begin")
        worker.start()
        while not self._stopping.wait(COUNT_SECONDS):
            self._count()
        log.info("ending")
        self._work.stop()
        if self._notifier:
            self._notifier.close()
        worker.join(timeout=20.0)
        self._watching.stop()
        self._lease.stop()
        server.shutdown()
        return 0

    def _begin(self) -> None:
        """Wait for the lease and for the API server, then work."""
        while not self._stopping.is_set():
            if self._lease.held:
                try:
                    self._watching.start()
                    break
                except TrimtabError as error:
                    log.warning("waiting for the API server: %s", error)
            self._stopping.wait(BEGIN_SECONDS)
        if not self._stopping.is_set():
            log.info("working")
            if self._notifier:
                self._notifier.start(*{one.metadata.namespace for one in self._objects.all_of(Model)})
            self._work.run()

    def _not_ready(self) -> str:
        return "" if self._lease.held else "the Lease is not held"

    def _decided(self, release: Release, record: DecisionRecord) -> None:
        self._numbers.decisions.labels(record.reason).inc()
        self._recorder.decided(release, record)

    def _count(self) -> None:
        self._loop.forget_what_is_gone()
        self._numbers.held.set(1 if self._lease.held else 0)
        self._numbers.problems.set(len(self._loop.problems))
        if self._notifier:
            self._numbers.untold.set(self._notifier.behind)
        ready = Counter(
            next((one.status for one in model.status.conditions if one.type == "Ready"), "Unknown") for model in self._objects.all_of(Model)
        )
        for state in ("True", "False", "Unknown"):
            self._numbers.models.labels(state).set(ready[state])
        self._numbers.releases.clear()
        for phase, count in Counter(str(one.status.phase) for one in self._objects.all_of(Release)).items():
            self._numbers.releases.labels(phase).set(count)


def main() -> int:
    """Exit code 2 with one sentence where the configuration has to be mended."""
    given = _arguments()
    logs.configure(given.log_level)
    try:
        if given.command == "release-finalizers":
            print(f"{free_all(Api(connect()))} Models were let go")
            return 0
        return Controller(given).run()
    except InvalidInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Unavailable as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="trimtab-controller", description="The control loop on Kubernetes.")
    parser.add_argument("command", nargs="?", choices=("run", "release-finalizers"), default="run")
    parser.add_argument("--lease-namespace", default=os.environ.get("POD_NAMESPACE", "trimtab-system"), help="where the Lease is")
    parser.add_argument("--lease-name", default="trimtab-controller", help="the Lease's name")
    parser.add_argument("--watch-namespaces", default="", help="namespaces to look after, separated by commas; empty: all")
    parser.add_argument("--tracking-uri", default="http://trimtab-mlflow:5000", help="the MLflow server")
    parser.add_argument("--monitor-url", default="http://trimtab-monitor:8090", help="the monitor")
    parser.add_argument("--token-file", type=Path, default=Path("/var/run/secrets/trimtab/token"), help="the token that the monitor takes")
    parser.add_argument("--runs", type=Path, default=None, help="a YAML file that says how training runs are made; without it, as Jobs")
    parser.add_argument("--signing-key", type=Path, default=None, help="the private key (PEM, EC P-256) that versions are signed with")
    parser.add_argument(
        "--kfp-token-file", type=Path, default=KFP_TOKEN_FILE, help="a token for Kubeflow Pipelines (audience pipelines.kubeflow.org)"
    )
    parser.add_argument("--prometheus-url", default="", help="where Envoy's counters are; empty: the proxies are asked themselves")
    parser.add_argument("--notify-url", default="", help="a webhook that is told of promotions, rollbacks and escalations; empty: nobody")
    parser.add_argument("--notify-token-file", type=Path, default=None, help="the webhook's bearer token")
    parser.add_argument("--notify-config-map", default="trimtab-controller-notified", help="where is kept how far it was told")
    parser.add_argument("--cache", type=Path, default=Path("/var/cache/trimtab"), help="a folder for versions' files")
    parser.add_argument("--port", type=int, default=8080, help="/metrics, /healthz and /readyz")
    parser.add_argument("--log-level", default="INFO", choices=("DEBUG", "INFO", "WARNING"))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
