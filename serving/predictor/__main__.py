"""The predictor's command line: `python -m serving.predictor --name bike-demand --version 3 --folder DIR --digest SHA --port 8081`.

An option that is not given is taken from the environment, where a ServingRuntime and an InferenceService put what they know.
"""

import argparse
import os
import sys
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from serving.predictor.capture import Capture
from serving.predictor.drain import answer_sigterm_before_serving
from serving.predictor.exchange import Identity, Told
from serving.predictor.explain import TreeShap
from serving.predictor.scorer import load
from serving.predictor.spool import Spool
from trimtab.errors import InvalidInput

DRAIN_SECONDS = 2.0


def main() -> int:
    """Load, serve, drain; exit code 2 and one sentence on stderr where the version cannot be served."""
    arguments = _arguments()
    answer_sigterm_before_serving()
    try:
        scorer = load(arguments.folder, arguments.digest)
        capture = _capture(arguments)
    except InvalidInput as error:
        print(error, file=sys.stderr)
        return 2
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
            explainer=TreeShap(arguments.name, arguments.version, scorer, arguments.folder, arguments.digest),
            drain_seconds=arguments.drain,
        )
    finally:
        if capture is not None:
            capture.close(DRAIN_SECONDS)
    return 0


def _capture(arguments: argparse.Namespace) -> Capture | None:
    """The capture as asked for, None where nothing is captured; raises InvalidInput with the option that cannot work."""
    url = arguments.capture_url
    if not url:
        return None
    if arguments.secret_file is None:
        msg = "--capture-url needs --secret-file: the monitor takes no events without a bearer secret"
        raise InvalidInput(msg)
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        msg = f"--capture-url: found {url!r}, http://HOST:PORT/events or https://HOST:PORT/events is allowed"
        raise InvalidInput(msg)
    if not 0 < arguments.capture_sample <= 1:
        msg = f"--capture-sample: found {arguments.capture_sample}, a share above 0 and at most 1 is allowed"
        raise InvalidInput(msg)
    told = Told(arguments.capture_sample, _columns(arguments.capture_redact))
    spool = Spool(Path(arguments.capture_spool), arguments.capture_spool_mib << 20) if arguments.capture_spool else None
    who = Identity(arguments.name, arguments.namespace, arguments.version)
    return Capture(url, arguments.secret_file, who, arguments.capture_queue, told, spool)


def _columns(text: str) -> frozenset[str]:
    try:
        return frozenset(msgspec.json.decode(text or "[]", type=list[str]))
    except msgspec.MsgspecError as error:
        msg = f'--capture-redact: found {text!r:.200}, a JSON list of columns such as ["name", "iban"] is allowed'
        raise InvalidInput(msg) from error


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="serving.predictor",
        description="Serve one verified version of one model by KServe. What is not given comes from variables like TRIMTAB_CAPTURE_URL.",
    )

    def add(name: str, default: str | None, told: str, kind: Callable[[str], Any] = str) -> None:
        given = os.environ.get(f"TRIMTAB_{name.upper().replace('-', '_')}") or default
        parser.add_argument(f"--{name}", default=given, required=given is None, type=kind, help=told)

    add("name", None, "the model's name")
    add("version", None, "the version that the files hold")
    add("namespace", "default", "the model's namespace, for captured events")
    add("folder", None, "the version's files", Path)
    add("digest", None, "SHA-256 of the version's manifest, from another source than the files")
    add("host", "127.0.0.1", "the address to listen on")
    add("capture-url", "", "where captured CloudEvents go; nothing is captured without")
    add("capture-queue", "10000", "how many captured events may wait", int)
    add("capture-sample", "1", "the share of the requests that is captured; each then says how many it stands for", float)
    add("capture-redact", "", 'columns that are left out of what is captured, as JSON: ["name", "iban"]')
    add("capture-spool", "", "a folder for captured events that memory has no room for; none are kept on disk without")
    add("capture-spool-mib", "1024", "how many MiB the spool may take", int)
    add("drain", "0", "seconds to go on answering, not ready, after SIGTERM", float)
    # No variable: Kubernetes sets TRIMTAB_PORT to a URL wherever a Service is named trimtab.
    parser.add_argument("--port", type=int, default=8080, help="the port to listen on")
    secret = os.environ.get("TRIMTAB_SECRET_FILE")
    parser.add_argument("--secret-file", type=Path, default=secret or None, help="the file with the monitor's bearer secret")
    parser.add_argument("--listen-fd", type=int, help="an inherited socket that listens already, in the place of host and port")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
