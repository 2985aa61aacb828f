"""KServe's ModelServer around the explanations: health and metrics are KServe's own."""

import asyncio
from typing import Any

import uvloop

from serving.explaining import Explainer, Explaining, Reported
from serving.predictor import lean
from serving.predictor.drain import Draining, exit_after
from serving.predictor.server import quiet

GRACE_SECONDS = 30


def serve(name: str, version: str, explainer: Explainer, report: Reported, host: str, port: int, drain_seconds: float) -> None:
    """Serve until SIGTERM or SIGINT; explanations under way then have 30 seconds to end."""
    quiet()
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    kserve_server = lean.kserve("model_server")

    class Server(kserve_server.ModelServer):  # type: ignore[name-defined,misc]
        """Listens where it is told, with the explanations before KServe's application."""

        def setup_event_loop(self) -> None:
            """Nothing: KServe sets handlers on a loop that `asyncio.run` then does not use."""

        async def _serve(self) -> None:
            config = self._rest_server.config
            config.host = host
            config.app = draining = Draining(Explaining(name, version, explainer, kserve_server.app, report), name, version)
            config.interface = "asgi3"
            rest = self._rest_server._server
            rest.handle_exit = exit_after(drain_seconds, draining, rest.handle_exit)
            await super()._serve()

    model: Any = lean.kserve("model").Model(name)
    model.ready = True
    Server(http_port=port, workers=1, enable_grpc=False, enable_latency_logging=False, grace_period=GRACE_SECONDS).start([model])
