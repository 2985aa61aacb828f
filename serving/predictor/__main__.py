"""The predictor's command line: `python -m serving.predictor --name bike-demand --version 3 --folder DIR --digest SHA --port 8081`.

An option that is not given is taken from the environment, where a ServingRuntime and an InferenceService put what they know.
"""

import argparse
import sys
from pathlib import Path

from serving.predictor.capture import Capture
from serving.predictor.drain import answer_sigterm_before_serving
from serving.predictor.exchange import Identity
from serving.predictor.options import parsed, told
from serving.predictor.scorer import load
from serving.predictor.shipper import Settings
from serving.predictor.spool import claim
from serving.predictor.workers import CANNOT_BE_SERVED, shared_folder, supervise
from trimtab.errors import InvalidInput

DRAIN_SECONDS = 2.0


def main() -> int:
    """Load, serve, drain; exit code 2 and one sentence on stderr where the version cannot be served."""
    try:
        given = parsed()
        return supervise(given.workers, given.host, given.port, given.listen_fd) if given.workers > 1 else _served(given)
    except InvalidInput as error:
        print(error, file=sys.stderr)
        return CANNOT_BE_SERVED


def _served(given: argparse.Namespace) -> int:
    answer_sigterm_before_serving()
    workers = shared_folder()
    scorer = load(given.folder, given.digest)
    capture = _capture(given)
    from serving.predictor.explain import TreeShap
    from serving.predictor.limits import Limits
    from serving.predictor.server import serve

    try:
        serve(
            name=given.name,
            version=given.version,
            scorer=scorer,
            capture=capture,
            host=given.host,
            port=given.port,
            listen_fd=given.listen_fd,
            explainer=TreeShap(given.name, given.version, scorer, given.folder, given.digest),
            drain_seconds=given.drain,
            limits=Limits(given.max_in_flight, given.deadline),
            workers=workers,
            grpc_port=given.grpc_port or None,
            namespace=given.namespace,
        )
    finally:
        if capture is not None:
            capture.close()
    return 0


def _capture(given: argparse.Namespace) -> Capture | None:
    if not given.capture_url:
        return None
    settings = Settings(
        url=given.capture_url,
        secret_file=str(given.secret_file),
        who=Identity(given.name, given.namespace, given.version),
        told=told(given),
        bound=given.capture_queue,
        spool_bytes=given.capture_spool_mib << 20,
        seconds=DRAIN_SECONDS,
    )
    return Capture(settings, claim(Path(given.capture_spool)) if given.capture_spool else None)


if __name__ == "__main__":
    sys.exit(main())
