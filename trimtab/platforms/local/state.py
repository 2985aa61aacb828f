"""The state folder: what lies where in `.trimtab/`, in one place.

Everything that a restart needs is in it; nothing of it is needed by the user but through the command line.
"""

import hashlib
import json
import os
import secrets
from pathlib import Path
from typing import Any

from trimtab.audit.seal import make_key
from trimtab.errors import InvalidInput

MARK = "TRIMTAB_STATE"
PROCESSES = "processes.json"
PROBLEMS = "problems.json"


class State:
    """The folder's paths, and its two small files: the end-points and the bearer secret."""

    def __init__(self, folder: Path) -> None:
        """Nothing is created yet."""
        self.folder = folder.resolve()
        self.database = self.folder / "state.db"
        self.monitor_database = self.folder / "monitor.db"
        self.secret_file = self.folder / "secret"
        self.notify_token = self.folder / "notify.token"
        self.audit_key = self.folder / "audit.key"
        self.audit_public = self.folder / "audit.key.pub"
        self.audit_export = self.folder / "audit.jsonl"
        self.lock_file = self.folder / "lock"
        self.endpoints_file = self.folder / "endpoints.json"
        self.logs = self.folder / "logs"
        self.runs = self.folder / "runs"
        self.packages = self.folder / "packages"

    @property
    def tracking_uri(self) -> str:
        """Where MLflow keeps runs and versions."""
        return f"sqlite:///{self.folder / 'mlflow.db'}"

    @property
    def artifacts(self) -> Path:
        """Where MLflow keeps files."""
        return self.folder / "mlartifacts"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of every process that belongs to this state; `MARK` is how left-overs are recognised."""
        quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "PYTHONUNBUFFERED": "1"}
        return {**os.environ, **quiet, MARK: str(self.folder)}

    def version_folder(self, model: str, version: str) -> Path:
        """Where the verified copy of a version lies that is served, or was."""
        return self.folder / "versions" / model / version

    def prepare(self) -> None:
        """Create the folder, the secret and the key that signs audit records; raises InvalidInput where it cannot be written."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for folder in (self.logs, self.runs, self.artifacts):
                folder.mkdir(exist_ok=True)
            probe = self.folder / ".writable"
            probe.write_text("")
            probe.unlink()
            if not self.secret_file.exists():
                _write_secret(self.secret_file, secrets.token_urlsafe(32))
            make_key(self.audit_key, self.audit_public)
        except OSError as error:
            raise self._unwritable(error) from error

    def keep_notify_token(self, token: str) -> None:
        """Keep the webhook's bearer token, or that there is none; raises InvalidInput where it cannot be written."""
        try:
            self.notify_token.unlink(missing_ok=True)
            _write_secret(self.notify_token, token)
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> InvalidInput:
        return InvalidInput(f"the state folder {str(self.folder)!r} cannot be written: {error.strerror}; name another one with --state")

    def existing(self) -> "State":
        """This state, or InvalidInput where `local up` never ran on it."""
        if not self.database.exists():
            msg = f"there is no Trimtab state in {str(self.folder)!r}: run `trimtab local up model.yaml` first, or name it with --state"
            raise InvalidInput(msg)
        return self

    @property
    def secret(self) -> str:
        """The bearer secret of the events end-point."""
        return self.secret_file.read_text().strip()

    def write_endpoints(self, endpoints: dict[str, str]) -> None:
        """Tell other processes where this one listens; atomically."""
        write_json(self.endpoints_file, endpoints)

    @property
    def endpoints(self) -> dict[str, str]:
        """Where the running processes listen; empty if nothing was ever up."""
        found: dict[str, str] = read_json(self.endpoints_file) or {}
        return found

    def play_file(self, data: Path) -> Path:
        """Where `local play` remembers how far it came with a file."""
        return self.folder / "play" / f"{data.stem}-{hashlib.sha256(str(data.resolve()).encode()).hexdigest()[:8]}.json"


def write_json(path: Path, content: Any) -> None:
    """Write by rename, so that a reader never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(f".{os.getpid()}.tmp")
    scratch.write_text(json.dumps(content, indent=1))
    scratch.replace(path)


def read_json(path: Path) -> Any:
    """The file's content, None where there is no such file."""
    return json.loads(path.read_text()) if path.exists() else None


def _write_secret(path: Path, text: str) -> None:
    """A new file that its owner alone can read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
