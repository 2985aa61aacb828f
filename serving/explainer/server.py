"""KServe's ModelServer around the explanations: health and metrics are KServe's own."""

from typing import Any

from serving.explaining import Explainer, Explaining, Reported
from serving.predictor import lean
from serving.predictor.asgi import App
from serving.predictor.drain import Draining
from serving.predictor.server import quiet, run


def serve(
    name: str, version: str, explainer: Explainer, report: Reported, host: str, port: int, drain_seconds: float, grace_seconds: int
) -> None:
    """Serve until SIGTERM or SIGINT; explanations under way then have `grace_seconds` to end."""
    quiet()
    model: Any = lean.kserve("model").Model(name)
    model.ready = True

    async def before(kserve_app: App, _: Any) -> Draining:
        return Draining(Explaining(name, version, explainer, kserve_app, report), name, version)

    run(model, before, host, port, drain_seconds, grace_seconds)
