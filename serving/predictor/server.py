"""KServe's ModelServer around the front: one process, one model, REST only, quiet."""

import asyncio
import logging
import sys
import warnings
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import uvloop

from serving.explaining import Explainer, Explaining, counted
from serving.predictor import lean, rpc
from serving.predictor.asgi import App
from serving.predictor.capture import Capture
from serving.predictor.drain import Draining, exit_after
from serving.predictor.front import Front, Served
from serving.predictor.limits import Arrivals, Limits, sweep
from serving.predictor.metrics import Answers, expose
from serving.predictor.peers import Peers
from serving.predictor.scorer import Scorer
from serving.predictor.versions import Versioned
from trimtab.schema import Schema

GRACE_SECONDS = 2
# How long a thread that scores a large request may hold the interpreter; Python's own 5 ms is several small requests long.
SWITCH_SECONDS = 0.0005


def serve(
    *,
    name: str,
    version: str,
    scorer: Scorer,
    capture: Capture | None,
    host: str,
    port: int,
    listen_fd: int | None,
    explainer: Explainer,
    drain_seconds: float,
    limits: Limits,
    workers: Path | None,
    grpc_port: int | None = None,
    namespace: str = "",
) -> None:
    """Serve until SIGTERM or SIGINT; requests in flight then have 2 seconds to end.

    With `drain_seconds` SIGTERM first fails readiness and goes on answering for that long. With `listen_fd` on that socket, which
    whoever started us holds open: callers wait in its queue while we are started anew. `workers` is the folder that several workers of
    this version have in common. With `grpc_port` KServe's gRPC server listens there, on every address, as KServe does.
    """
    quiet()
    sys.setswitchinterval(SWITCH_SECONDS)
    answers = Answers(version, scorer.schema)
    expose(answers)
    report = counted(version)
    served = Served(name, version, scorer, capture, answers, limits, namespace)
    if capture is not None:
        _expose(capture)

    async def before(kserve_app: App, rest: Any) -> Draining:
        # The scrape that asks is one of the tasks.
        answers.in_flight = lambda: max(len(rest.server_state.tasks) - 1, 0)
        behind: App = Explaining(name, version, explainer, Versioned(kserve_app, name, version), report)
        if workers is not None:
            peers = Peers(behind, workers)
            await peers.listen()
            behind = peers
        whole = Draining(Front(served, behind), name, version)
        model.predict = rpc.over(whole, name, capture.unit.decode() if capture else "")
        return whole

    model = _model(name, scorer.schema)
    run(model, before, host, port, drain_seconds, GRACE_SECONDS, limits.seconds, listen_fd, grpc_port)


def run(
    model: Any,
    before: Callable[[App, Any], Awaitable[Draining]],
    host: str,
    port: int,
    drain_seconds: float,
    grace_seconds: int,
    seconds: float = Limits().seconds,
    listen_fd: int | None = None,
    grpc_port: int | None = None,
) -> None:
    """KServe's ModelServer with one model until SIGTERM or SIGINT; requests in flight then have `grace_seconds` to end.

    `before` makes the application that stands before KServe's own, given that and uvicorn's server. A request that is still not whole
    after `seconds` is not waited for.
    """
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    kserve_server = lean.kserve("model_server")

    class Server(kserve_server.ModelServer):  # type: ignore[name-defined,misc]
        """KServe listens on every address; this one listens where it is told, with an application of ours before KServe's."""

        def setup_event_loop(self) -> None:
            """Nothing: KServe sets handlers on a loop that `asyncio.run` then does not use."""

        def register_signal_handler(self) -> None:
            """Nothing: until uvicorn listens, SIGTERM ends the process; KServe's handler would forget it and serve."""

        async def _serve(self) -> None:
            config, rest = self._rest_server.config, self._rest_server._server
            for option, value in {"host": host, "fd": listen_fd, "http": Arrivals, "interface": "asgi3"}.items():
                setattr(config, option, value)
            self._sweeping = asyncio.create_task(sweep(rest.server_state.connections, seconds))
            config.app = draining = await before(kserve_server.app, rest)
            rest.handle_exit = exit_after(drain_seconds, draining, rest.handle_exit)
            self.servers[0] = self._first(self.servers[0])
            await super()._serve()

        async def _first(self, rest: Awaitable[None]) -> None:
            """REST, and gRPC for as long."""
            await rest
            if self._grpc_server is not None:
                await self._grpc_server.stop()

    grpc = {"enable_grpc": grpc_port is not None, "grpc_port": grpc_port}
    Server(http_port=port, workers=1, enable_latency_logging=False, grace_period=grace_seconds, **grpc).start([model])


def _model(name: str, schema: Schema) -> Any:
    """The version as KServe's registry knows it: ready from the start, with V2 metadata; requests are answered by the front."""
    model = lean.kserve("model").Model(name)
    model.ready = True
    datatypes = {"number": "FP64", "category": "BYTES"}
    inputs = [{"name": feature.name, "datatype": datatypes[feature.kind], "shape": [-1]} for feature in schema.features]
    shape = [-1, len(schema.classes)] if schema.task == "multiclass" else [-1]
    model.get_input_types = lambda: inputs
    model.get_output_types = lambda: [{"name": "predict", "datatype": "FP64", "shape": shape}]
    return model


def quiet() -> None:
    """Warnings only, on stderr; no access log and no timing line a request."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for name in ("kserve", "kserve.trace", "uvicorn", "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("uvicorn.access").propagate = False
    warnings.filterwarnings("ignore", message="ORJSONResponse is deprecated")
    # A number beyond the model's 32 bits is as good as the largest one to a tree.
    warnings.filterwarnings("ignore", message="overflow encountered in cast")


def _expose(capture: Capture) -> None:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
    from prometheus_client.metrics_core import Metric
    from prometheus_client.registry import Collector

    class Captured(Collector):
        """The capture's counters of one moment, so that captured = delivered + dropped + queued in every scrape."""

        def collect(self) -> Iterable[Metric]:
            counts = capture.counts()
            yield CounterMetricFamily("trimtab_capture_captured", "Events that were captured", counts.captured)
            yield CounterMetricFamily("trimtab_capture_delivered", "Events that the monitor took", counts.delivered)
            dropped = CounterMetricFamily("trimtab_capture_dropped", "Events that were given up, by reason", labels=["reason"])
            for reason, events in counts.dropped.items():
                dropped.add_metric([reason], events)
            yield dropped
            yield CounterMetricFamily("trimtab_capture_skipped", "Events that are not in the sample", counts.skipped)
            yield CounterMetricFamily("trimtab_capture_failures", "Sendings that the monitor did not take", counts.failures)
            yield GaugeMetricFamily("trimtab_capture_queued", "Events that wait to be sent, in memory or in the spool", counts.queued)

    expose(Captured())
