"""The fetch container's program: `python -m serving.fetch mlflow://models/NAME/7?sha256=… /mnt/models`, as KServe calls it.

All else comes by the environment, MLflow's credentials by the variables that its own clients take. Without
TRIMTAB_SIGNING_CERTIFICATE no signature is asked for, an empty one is an error. The last line on stderr is one sentence, and the
container's termination message: what was verified, or why not, starting with the reason that the exit code stands for
(trimtab/fetching.py). No condition of the InferenceService repeats it.
"""

import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from serving.fetch.server import Access, Server, authorization, unwritable
from serving.fetch.version import fetch
from trimtab.errors import InvalidInput, TrimtabError
from trimtab.fetching import INVALID_CONFIGURATION, INVALID_URI, exit_code
from trimtab.last_words import leave
from trimtab.version_uri import REGISTERED, parse

DEFAULT_MAX_BYTES = 8 << 30
PATIENCE_SECONDS = 60.0


def main(arguments: list[str], environment: Mapping[str, str]) -> int:
    """Fetch; returns the exit code."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        said, code = _fetched(arguments, environment), 0
    except TrimtabError as error:
        said = " ".join(str(error).split())
        code = exit_code(said)
    leave(said)
    print(said, file=sys.stderr)
    return code


def _fetched(arguments: list[str], environment: Mapping[str, str]) -> str:
    """Fetch; returns what was verified."""
    if len(arguments) != 2:
        msg = f"{INVALID_URI}: two arguments are needed, {REGISTERED} and a folder; found {len(arguments)}"
        raise InvalidInput(msg)
    try:
        target = parse(arguments[0])
    except InvalidInput as error:
        msg = f"{INVALID_URI}: {error}"
        raise InvalidInput(msg) from error
    patience = _number(environment, "TRIMTAB_FETCH_PATIENCE_SECONDS", PATIENCE_SECONDS)
    limit = int(_number(environment, "TRIMTAB_FETCH_MAX_BYTES", DEFAULT_MAX_BYTES))
    access = Access(
        environment.get("TRIMTAB_TRACKING_URI", ""),
        environment.get("TRIMTAB_TRACKING_CA_FILE", ""),
        authorization(environment),
        patience,
    )
    folder = Path(arguments[1])
    try:
        found = fetch(target, folder, Server(access), environment.get("TRIMTAB_SIGNING_CERTIFICATE"), limit)
    except OSError as error:
        raise unwritable(folder, error) from error
    signed = "no signature was asked for" if found.signer is None else f"signature verified by the key {found.signer!r}"
    return f"{target.told} is in {arguments[1]}: {found.size} bytes came, digest verified, {signed}"


def _number(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(name, "")
    try:
        found = float(text) if text else default
    except ValueError:
        found = -1.0
    if not 0 <= found < float("inf"):
        msg = f"{INVALID_CONFIGURATION}: {name} is {text!r}, a number that is not negative is allowed"
        raise InvalidInput(msg)
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
