"""The port Runner whose runs end at once, by the pipeline's own last step: real runs, versions and outcomes in a real MLflow.

A run outlives the loop, as a Job does. `wanted` says how the next ones end.
"""

from collections import deque
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlparse

from msgspec import Struct

from tests.local.interleaved.stock import Kind, Made, Stock, heal, poison
from trimtab.control.ports import RunRequest
from trimtab.release import CandidateOutcome, Outcome, RejectedOutcome, RunState
from trimtab.spec import Version
from trimtab.training import tracking
from trimtab.training.lineage import Facts
from trimtab.training.register import register
from trimtab.training.runlog import Findings

Ending = Kind | Literal["rejected", "fault"]


class Run(Struct):
    """A run: how often it is still asked for before it ends."""

    request: RunRequest
    ending: Ending
    left: int
    done: bool = False


class Workshop:
    """Runs, and the versions that came of them by number: what each is made of."""

    def __init__(self, stock: Stock, tracking_uri: str, model: str) -> None:
        self.stock, self._uri, self._model = stock, tracking_uri, model
        self.wanted: deque[tuple[Ending, int]] = deque()
        self.runs: dict[tuple[str, int], Run] = {}
        self.versions: dict[str, tuple[Version, Made]] = {}
        self.tampered: set[str] = set()
        self.compared: set[tuple[str, str]] = set()
        """Which Release's candidate was compared with which version."""
        self.client: Any = tracking.client(tracking_uri)

    def submit(self, request: RunRequest) -> None:
        ending, left = self.wanted.popleft() if self.wanted else ("good", 0)
        self.runs.setdefault((request.release_uid, request.attempt), Run(request, ending, left))

    def state(self, release_uid: str, attempt: int) -> tuple[RunState, str]:
        run = self.runs.get((release_uid, attempt))
        if run is None:
            return "absent", ""
        if run.left > 0:
            run.left -= 1
            return "active", ""
        if not run.done:
            run.done = True
            self._end(run)
        return "ended", "out of memory" if run.ending == "fault" else ""

    def cancel(self, release_uid: str, attempt: int) -> None:
        run = self.runs.get((release_uid, attempt))
        if run is not None:
            run.left, run.done = 0, True

    def _end(self, run: Run) -> None:
        request = run.request
        against = request.champion.version if request.champion else ""
        self.compared.add((request.release_uid, against))
        facts = Facts(self._model, request.release, request.release_uid, request.attempt, request.cut.isoformat(), request.trigger)
        if request.compare_only:
            self._leave(facts, CandidateOutcome(request.compare_only.version, request.compare_only.digest, {}, against))
        elif run.ending == "rejected":
            self._leave(facts, RejectedOutcome("rmse", 12.0, 11.0))
        elif run.ending != "fault":
            made = self.stock.new(run.ending)
            found = register(self._uri, facts, Findings(), made.folder).outcome
            assert isinstance(found, CandidateOutcome)
            self.versions[found.version] = (Version(found.version, found.digest), made)

    def _leave(self, facts: Facts, outcome: Outcome) -> None:
        register(self._uri, facts, Findings(), None, outcome)

    # --- what hands do to the registry ---

    def register_again(self, number: str) -> Version:
        """Somebody registers a version's files once more; they get a number of their own."""
        version, made = self.versions[number]
        old = self.client.get_model_version(self._model, number)
        new = self.client.create_model_version(self._model, old.source, old.run_id, tags={tracking.DIGEST: version.digest})
        again = Version(str(new.version), version.digest)
        self.versions[again.version] = (again, made)
        if number in self.tampered:
            self.tampered.add(again.version)
        return again

    def move_alias(self, number: str) -> None:
        """Somebody moves the alias."""
        self.client.set_registered_model_alias(self._model, "champion", number)

    def alias(self) -> str | None:
        """Where the alias points."""
        found = self.client.get_registered_model(self._model).aliases.get("champion")
        return None if found is None else str(found)

    def folder(self, number: str) -> Path:
        """Where the registry keeps a version's files."""
        return Path(unquote(urlparse(self.client.get_model_version(self._model, number).source).path))

    def tamper(self, number: str, *, whole: bool) -> None:
        """Somebody changes a version's files in the registry."""
        poison(self.folder(number), self.stock, whole=whole)
        self.tampered.add(number)

    def mend(self) -> None:
        """Somebody puts all of them back."""
        for number in self.tampered:
            heal(self.folder(number), self.versions[number][1])
        self.tampered.clear()
