"""The fetch container's program: `python -m serving.fetch mlflow://models/NAME/7?sha256=… /mnt/models`, as KServe calls it.

All else comes by the environment, MLflow's credentials by the variables that its own clients take. Without
TRIMTAB_SIGNING_CERTIFICATE no signature is asked for, an empty one is an error. The last line on stderr is one sentence that starts with
its reason: KServe has it as the init container's termination message, and no condition of the InferenceService repeats it. Exit
code 2: somebody must mend something; 1: it may work the next time.
"""

import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from serving.fetch.server import INVALID_CONFIGURATION, INVALID_URI, UNAVAILABLE, Access, Server, authorization
from serving.fetch.version import fetch, parse
from trimtab.errors import InvalidInput, Unavailable

DEFAULT_MAX_BYTES = 8 << 30
PATIENCE_SECONDS = 60.0


def main(arguments: list[str], environment: Mapping[str, str]) -> int:
    """Fetch; returns the exit code."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        if len(arguments) != 2:
            msg = (
                f"{INVALID_URI}: two arguments are needed, mlflow://models/NAME/VERSION?sha256=DIGEST and a folder; found {len(arguments)}"
            )
            raise InvalidInput(msg)
        target = parse(arguments[0])
        patience = _number(environment, "TRIMTAB_FETCH_PATIENCE_SECONDS", PATIENCE_SECONDS)
        limit = int(_number(environment, "TRIMTAB_FETCH_MAX_BYTES", DEFAULT_MAX_BYTES))
        access = Access(
            environment.get("TRIMTAB_TRACKING_URI", ""),
            environment.get("TRIMTAB_TRACKING_CA_FILE", ""),
            authorization(environment),
            patience,
        )
        certificate = environment.get("TRIMTAB_SIGNING_CERTIFICATE")
        size = fetch(target, Path(arguments[1]), Server(access), certificate, limit)
    except InvalidInput as error:
        print(error, file=sys.stderr)
        return 2
    except Unavailable as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{UNAVAILABLE}: the files could not be written to {arguments[1]!r}: {error}", file=sys.stderr)
        return 1
    signed = "no signature was asked for" if certificate is None else "signature verified"
    logging.getLogger("trimtab.fetch").info("%s is in %s: %d bytes came, digest verified, %s", target, arguments[1], size, signed)
    return 0


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
