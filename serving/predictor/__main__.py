"""The predictor's command line: `python -m serving.predictor --name bike-demand --version 3 --folder DIR --digest SHA --port 8081`."""

import argparse
import sys
from pathlib import Path

from serving.predictor.capture import Capture, Identity
from serving.predictor.scorer import load
from trimtab.errors import InvalidInput

DRAIN_SECONDS = 2.0


def main() -> int:
    """Load, serve, drain; exit code 2 and one sentence on stderr where the version cannot be served."""
    arguments = _arguments()
    try:
        scorer = load(arguments.folder, arguments.digest)
        if arguments.capture_url and arguments.secret_file is None:
            msg = "--capture-url needs --secret-file: the monitor takes no events without a bearer secret"
            raise InvalidInput(msg)
    except InvalidInput as error:
        print(error, file=sys.stderr)
        return 2
    capture = None
    if arguments.capture_url:
        who = Identity(arguments.name, arguments.namespace, arguments.version)
        capture = Capture(arguments.capture_url, arguments.secret_file, who, arguments.capture_queue)
    from serving.predictor.server import serve

    try:
        serve(
            name=arguments.name,
            version=arguments.version,
            scorer=scorer,
            capture=capture,
            host=arguments.host,
            port=arguments.port,
            listen_fd=arguments.listen_fd,
        )
    finally:
        if capture is not None:
            capture.close(DRAIN_SECONDS)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="serving.predictor", description="Serve one verified version of one model by KServe.")
    parser.add_argument("--name", required=True, help="the model's name")
    parser.add_argument("--version", required=True, help="the version that the files hold")
    parser.add_argument("--namespace", default="default", help="the model's namespace, for captured events")
    parser.add_argument("--folder", required=True, type=Path, help="the version's files")
    parser.add_argument("--digest", required=True, help="SHA-256 of the version's manifest, from another source than the files")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    parser.add_argument("--port", type=int, default=8080, help="the port to listen on")
    parser.add_argument("--listen-fd", type=int, help="an inherited socket that listens already, in the place of host and port")
    parser.add_argument("--capture-url", default="", help="where captured CloudEvents go; nothing is captured without")
    parser.add_argument("--secret-file", type=Path, help="the file with the monitor's bearer secret")
    parser.add_argument("--capture-queue", type=int, default=10_000, help="how many captured events may wait")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
