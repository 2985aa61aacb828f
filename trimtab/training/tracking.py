"""MLflow behind a few functions: a client, errors that Trimtab knows, and the files of a registered version.

Only here, where a run ends (`register.py`, `runlog.py`, `dataset.py`) and in the platforms' registries is MLflow spoken to; no
exception of it passes on.
"""

import fcntl
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trimtab.errors import InvalidInput, TrimtabError, Unavailable
from trimtab.manifest import verify
from trimtab.training.lean import mlflow
from trimtab.version_uri import parse

RELEASE = "trimtab.release"
RELEASE_UID = "trimtab.release-uid"
ATTEMPT = "trimtab.attempt"
DIGEST = "trimtab.digest"
MODEL_PATH = "model"
OUTCOME = "outcome.json"
_QUIET = {"MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}
_IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
_THEIRS = frozenset({"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "RESOURCE_ALREADY_EXISTS", "BAD_REQUEST", "NOT_FOUND"})


def fetch(uri: str, tracking_uri: str, into: Path) -> Path:
    """A folder `…/<version>` with the files of the version that `uri` names, verified against the digest in it.

    Raises InvalidInput where the files differ from the digest, Unavailable where MLflow does not answer.
    """
    found = parse(uri, folders=True)
    folder = Path(found.folder) if found.folder else download(tracking_uri, found.name, found.version, into / found.version)
    verify(folder, found.digest)
    return folder


def download(tracking_uri: str, name: str, version: str, folder: Path) -> Path:
    """Download the files of a registered version to `folder`, which must not exist; it appears complete or not at all."""
    connected = client(tracking_uri)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".download-") as draft, speaking(f"version {version} of {name!r}"):
        run = connected.get_model_version(name, version).run_id
        Path(connected.download_artifacts(run, MODEL_PATH, draft)).rename(folder)
    return folder


def run_of(tracking_uri: str, name: str, version: str) -> str:
    """The id of the run that a registered version came of; raises InvalidInput where there is no such version."""
    connected = client(tracking_uri)
    with speaking(f"version {version} of {name!r}"):
        return str(connected.get_model_version(name, version).run_id)


def impatient() -> None:
    """Wait at most about twenty seconds for a server, in this process: who asks again by itself need not wait long."""
    for name, value in _IMPATIENT.items():
        os.environ.setdefault(name, value)


def client(tracking_uri: str) -> Any:
    """MLflow's client for a server (http://…) or a database (sqlite:///…)."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    module = mlflow()
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with speaking(f"MLflow at {tracking_uri}"), _alone(tracking_uri):
        made = module.MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)
        made.search_experiments(max_results=1)
        return made


@contextmanager
def _alone(tracking_uri: str) -> Iterator[None]:
    """One process at a time where a database is opened: MLflow makes its tables at the first use, and two at once break each other."""
    database = tracking_uri.removeprefix("sqlite:///")
    if database == tracking_uri:
        yield
        return
    with Path(f"{database}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def artifact_root(tracking_uri: str) -> str | None:
    """Where files go that no server places: beside a database, in `mlartifacts`. None for a server, which has a place of its own."""
    database = tracking_uri.removeprefix("sqlite:///")
    return None if database == tracking_uri else (Path(database).resolve().parent / "mlartifacts").as_uri()


@contextmanager
def speaking(what: str) -> Iterator[None]:
    """Turn what MLflow raises inside into InvalidInput (it refused) or Unavailable (it did not answer), naming `what` was asked."""
    import requests  # type: ignore[import-untyped]
    import sqlalchemy.exc

    exceptions = mlflow().exceptions
    try:
        yield
    except TrimtabError:
        raise
    except exceptions.MlflowException as error:
        if _unreachable(error):
            msg = f"{what}: MLflow does not answer"
            raise Unavailable(msg) from error
        sentence = f"{what}: MLflow says: {str(error).splitlines()[0]}"
        raise (InvalidInput if error.error_code in _THEIRS else Unavailable)(sentence) from error
    except (requests.RequestException, sqlalchemy.exc.SQLAlchemyError, OSError) as error:
        msg = f"{what}: MLflow does not answer: {type(error).__name__}"
        raise Unavailable(msg) from error


def _unreachable(error: BaseException) -> bool:
    """Whether the request never got an answer: MLflow wraps what the connection raised into an exception of its own."""
    import requests

    return isinstance(error.__cause__ or error.__context__, requests.ConnectionError | requests.Timeout)


def find_run(connected: Any, experiments: list[str], release_uid: str, attempt: int) -> Any | None:
    """The run tagged with the Release's uid and the attempt, or None."""
    query = f"tags.`{RELEASE_UID}` = '{release_uid}' and tags.`{ATTEMPT}` = '{attempt}'"
    found = connected.search_runs(experiments, filter_string=query, max_results=1, order_by=["attributes.start_time ASC"])
    return found[0] if found else None
