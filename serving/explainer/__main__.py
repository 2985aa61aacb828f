"""The explainer's command line, as KServe writes it (--model_name, --predictor_host, --http_port) and with what Trimtab adds.

An option that is not given is taken from the environment, as of the predictor.
"""

import argparse
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from serving.explainer.blackbox import Allowed, BlackBox, caged
from serving.explainer.predictor import Predictor
from serving.explaining import counted
from serving.predictor.drain import answer_sigterm_before_serving
from trimtab.errors import TrimtabError
from trimtab.manifest import verify
from trimtab.schema import read_schema

METHODS = ("anchor", "kernel_shap")


def main() -> int:
    """Verify, start the worker, serve; exit code 2 and one sentence on stderr where the version cannot be explained."""
    given = _arguments()
    answer_sigterm_before_serving()
    try:
        verify(given.folder, given.digest)
        schema = read_schema(given.folder)
        cage = caged(given.python, given.method, given.folder, given.seconds)
    except TrimtabError as error:
        print(error, file=sys.stderr)
        return 2
    from prometheus_client import Counter

    from serving.explainer.server import serve

    calls = Counter("trimtab_explanation_calls", "Calls of the predictor for explanations", ["version"]).labels(given.version)
    cached = Counter("trimtab_explanation_cached", "Rows that were explained before", ["version"]).labels(given.version)
    who = {"method": given.method, "model_name": given.model_name, "model_version": given.version}
    predictor = Predictor(given.predictor_host, given.model_name, given.version, calls.inc)
    explainer = BlackBox(who, schema, cage, predictor, Allowed(given.calls, given.seconds), cached.inc)
    try:
        report, grace = counted(given.version), math.ceil(given.seconds)
        serve(given.model_name, given.version, explainer, report, given.host, given.http_port, given.drain, grace)
    finally:
        cage.close()
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="serving.explainer",
        description="Explain the predictions of one version as a black box. What is not given comes from variables like TRIMTAB_METHOD.",
    )

    def add(name: str, default: str | None, told: str, kind: Callable[[str], Any] = str, among: Any = None) -> None:
        given = os.environ.get(f"TRIMTAB_{name.upper()}") or default
        parser.add_argument(f"--{name}", default=given, required=given is None, type=kind, choices=among, help=told)

    parser.add_argument("--model_name", required=True, help="the model's name; KServe gives it")
    parser.add_argument("--predictor_host", required=True, help="HOST or HOST:PORT of the predictor; KServe gives it")
    parser.add_argument("--http_port", type=int, default=8080, help="the port to listen on; KServe gives it")
    add("method", "anchor", f"one of {', '.join(METHODS)}", among=METHODS)
    add("version", None, "the version that the files hold and the predictor serves")
    add("folder", None, "the version's files", Path)
    add("digest", None, "SHA-256 of the version's manifest, from another source than the files")
    add("python", "/opt/alibi/bin/python", "the interpreter of Alibi's own environment", Path)
    add("calls", str(Allowed().calls), "how many calls of the predictor a request may cost", int)
    add("seconds", str(Allowed().seconds), "how many seconds a request may take", float)
    add("host", "127.0.0.1", "the address to listen on")
    add("drain", "0", "seconds to go on answering, not ready, after SIGTERM", float)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
