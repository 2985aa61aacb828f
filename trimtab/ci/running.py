"""The repository's own code as processes: each with a time limit, without the secrets of CI, and ended with all that it started."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from trimtab.ci.stages import Failed
from trimtab.platforms.local import processes
from trimtab.platforms.local.runner import end_group

_SECRET = re.compile(r"TOKEN|PASSW|SECRET|CREDENTIAL|APIKEY|(?:^|_)(?:KEY|AUTH)(?:_|$)", re.IGNORECASE)
_LEAST = 6
"""Shorter values are no secrets, and would be found in every text."""
HIDDEN = "***"


def secret_names(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The variables whose names say that their values are secret."""
    return tuple(sorted(name for name in environment if _SECRET.search(name)))


class Secrets:
    """What may stand in no output: the values of secret variables, the key, the password in the tracking URI; whole, and line by line."""

    def __init__(self, environment: Mapping[str, str], tracking_uri: str, key: str = "") -> None:
        """`key` is what is in the file of the private key."""
        password = urlsplit(tracking_uri).password or ""
        whole = {
            key,
            password,
            unquote(password),
            quote(unquote(password), safe=""),
            *(environment[name] for name in secret_names(environment)),
        }
        found = whole | {line.strip() for value in whole for line in value.splitlines()}
        self._values = sorted((value for value in found if len(value) >= _LEAST), key=len, reverse=True)

    def hide(self, text: str) -> str:
        """The text without them."""
        for value in self._values:
            text = text.replace(value, HIDDEN)
        return text


class Runner:
    """Runs commands in the repository's folder, one after another, and keeps what they say in a log for each stage."""

    def __init__(self, folder: Path, logs: Path, scratch: Path, patience: float, secrets: Secrets) -> None:
        """`scratch` is a folder of this CI run alone: its name, in their environment, is what processes left behind are known by."""
        self._folder, self._logs, self._scratch = folder, logs, scratch.resolve()
        self._patience, self._secrets = patience, secrets

    def log(self, stage: str) -> Path:
        """What the stage's commands said."""
        return self._logs / f"{stage}.log"

    def python(self, stage: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
        """`python …` of this environment on the repository's code: its folder is importable, and no secret is in its environment."""
        inherited = [one for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if one]
        environment = {
            "PYTHONPATH": os.pathsep.join([str(self._folder), *inherited]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
            **dict.fromkeys(secret_names(os.environ), ""),
        }
        return self._run(stage, [sys.executable, *map(str, words)], environment)

    def command(self, stage: str, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """A command of the project's settings, such as its builder, which may need what is secret to others."""
        return self._run(stage, list(words), {}, self._scratch / "stdout")

    def _run(
        self, stage: str, words: list[str], environment: dict[str, str], output: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        log = self.log(stage)
        before = log.stat().st_size if log.exists() else 0
        given = {**environment, processes.STATE_VARIABLE: str(self._scratch)}
        process = processes.start(words, log, given, cwd=self._folder, output=output)
        try:
            process.wait(self._patience)
        except subprocess.TimeoutExpired as error:
            what = words[words.index("-m") + 1] if "-m" in words else Path(words[0]).name
            msg = f"{what} did not end within {self._patience:g} s and was ended with all that it had started"
            raise Failed(msg) from error
        finally:
            if process.returncode is None:
                end_group(process.pid)
            processes.end_leftovers(self._scratch)
            process.wait()
            written = log.read_bytes()
            said = self._secrets.hide(written[before:].decode(errors="replace"))
            printed = self._secrets.hide(output.read_text(errors="replace")) if output else ""
            log.write_bytes(written[:before] + (said + printed).encode())
        if output:
            return subprocess.CompletedProcess(words, process.returncode, printed, said)
        return subprocess.CompletedProcess(words, process.returncode, said, "")
