"""The predictor's options and their variables, and what each may be."""

import argparse
import os
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from serving.predictor.exchange import Told
from trimtab.errors import InvalidInput


def parsed() -> argparse.Namespace:
    """The options as they are given or as their variables say; raises InvalidInput where one has a value that cannot be meant."""
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
    add("capture-redact", "[]", 'columns that are left out of what is captured, as JSON: ["name", "iban"]')
    add("capture-unit", "", "the request header whose value, hashed, tells who asked; nothing is told of that without")
    add("capture-spool", "", "a folder for captured events that memory has no room for; none are kept on disk without")
    add("capture-spool-mib", "1024", "how many MiB the spool may take", int)
    add("max-in-flight", "256", "how many requests a process holds at once; more are answered 429", int)
    add("deadline", "30", "seconds until a request that is not answered is answered 504", float)
    add("workers", "1", "how many processes share the port", int)
    add("drain", "0", "seconds to go on answering, not ready, after SIGTERM", float)
    add("grpc-port", "0", "the port of KServe's gRPC server, on every address; none without", int)
    # No variable: Kubernetes sets TRIMTAB_PORT to a URL wherever a Service is named trimtab.
    parser.add_argument("--port", type=int, default=8080, help="the port to listen on")
    secret = os.environ.get("TRIMTAB_SECRET_FILE")
    parser.add_argument("--secret-file", type=Path, default=secret or None, help="the file with the monitor's bearer secret")
    parser.add_argument("--listen-fd", type=int, help="an inherited socket that listens already, in the place of host and port")
    given = parser.parse_args()
    _check(given)
    return given


def told(given: argparse.Namespace) -> Told:
    """What of the requests is captured."""
    return Told(given.capture_sample, _columns(given.capture_redact), given.capture_unit)


def _check(given: argparse.Namespace) -> None:
    for name in ("max-in-flight", "deadline", "workers", "capture-queue", "capture-spool-mib"):
        found = getattr(given, name.replace("-", "_"))
        if not found > 0:
            msg = f"--{name}: found {found}, a number above 0 is allowed"
            raise InvalidInput(msg)
    if not 0 < given.capture_sample <= 1:
        msg = f"--capture-sample: found {given.capture_sample}, a share above 0 and at most 1 is allowed"
        raise InvalidInput(msg)
    _columns(given.capture_redact)
    if not given.capture_url:
        return
    if given.secret_file is None:
        msg = "--capture-url needs --secret-file: the monitor takes no events without a bearer secret"
        raise InvalidInput(msg)
    if urllib.parse.urlsplit(given.capture_url).scheme not in ("http", "https"):
        msg = f"--capture-url: found {given.capture_url!r}, http://HOST:PORT/events or https://HOST:PORT/events is allowed"
        raise InvalidInput(msg)


def _columns(text: str) -> frozenset[str]:
    try:
        return frozenset(msgspec.json.decode(text, type=list[str]))
    except msgspec.MsgspecError as error:
        msg = f'--capture-redact: found {text!r:.200}, a JSON list of columns such as ["name", "iban"] is allowed'
        raise InvalidInput(msg) from error
