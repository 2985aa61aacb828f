"""What must always hold, read from outside: every state that was ever written, by triggers in the database; the chain; the answers.

Nothing of the product takes part in the looking, but for the audit's own verification.
"""

import sqlite3
from collections import Counter
from pathlib import Path

import msgspec
from msgspec import Struct

from tests.local.interleaved.callers import Answer
from tests.local.interleaved.stock import APART
from tests.local.interleaved.workshop import Workshop
from trimtab.audit.chain import Anchor, Chains
from trimtab.audit.lines import anchors
from trimtab.audit.record import AuditRecord
from trimtab.audit.seal import believed_keys
from trimtab.platforms.local.ledger import SqliteLedger
from trimtab.platforms.local.state import State
from trimtab.release import Phase, Release, ReleaseStatus
from trimtab.rollout.rules.common import same
from trimtab.spec import Champion, Model, Version

BY_HAND = "by-hand"
CLOCK_SECONDS = 0.01
"""How far SQLite's clock, which counts milliseconds, may be from ours."""

_TRIGGERS = """
CREATE TABLE seen (number INTEGER PRIMARY KEY, at REAL, kind TEXT, body BLOB);
CREATE TRIGGER seen_new AFTER INSERT ON objects BEGIN
  INSERT INTO seen (at, kind, body) VALUES ((julianday('now') - 2440587.5) * 86400.0, NEW.kind, NEW.body); END;
CREATE TRIGGER seen_changed AFTER UPDATE ON objects BEGIN
  INSERT INTO seen (at, kind, body) VALUES ((julianday('now') - 2440587.5) * 86400.0, NEW.kind, NEW.body); END;
"""


class Crowned(Struct, frozen=True):
    """A change of champion."""

    at: float
    before: Champion | None
    champion: Champion


class Chronicle:
    """Reads on at each `check`; raises AssertionError with what does not hold."""

    def __init__(self, state: State, workshop: Workshop) -> None:
        """The database must have its tables, and nothing in them."""
        self._state, self._workshop = state, workshop
        self._database = sqlite3.connect(state.database, timeout=10)
        self._database.executescript(_TRIGGERS)
        self._read = 0
        self._chains = Chains(believed_keys(state.audit_public.read_text()))
        self.records: list[AuditRecord] = []
        self.crowned: list[Crowned] = []
        self.releases: dict[str, Release] = {}
        self.champion: Champion | None = None
        self.reasons: Counter[str] = Counter()
        self._cleared: dict[str, float] = {}
        self._ended: dict[str, tuple[float, str]] = {}

    def check(self, answers: list[Answer]) -> None:
        """All that must hold at every moment, of what is new; the chain is read last, for it is ahead of what is written."""
        rows = self._database.execute("SELECT number, at, kind, body FROM seen WHERE number > ? ORDER BY number", (self._read,)).fetchall()
        self._read_chain()
        for number, at, kind, body in rows:
            self._read = number
            if kind == "Model":
                self._model(at, msgspec.json.decode(body, type=Model))
            elif kind == "Release":
                self._release(at, msgspec.json.decode(body, type=Release))
        for answer in answers:
            self._answer(answer)

    def check_rest(self) -> None:
        """What holds once all is quiet: the chain reaches whatever was told of it, and tells of the same champion as the Model."""
        known = [Anchor(record.namespace, record.sequence, record.hash, "the list") for record in self.records]
        told = [
            Anchor(release.metadata.namespace, said.sequence, said.hash, release.name)
            for release in self.releases.values()
            for said in release.status.decisions
        ]
        with self._state.audit_export.open("rb") as stream:
            told += anchors(stream, "the export")
        assert {(one.sequence, one.hash) for one in told} <= {(one.sequence, one.hash) for one in known}, "the chain lacks what was told"
        said = {(one.sequence, one.hash) for one in told}
        assert {(one.sequence, one.hash) for one in known} <= said, "a record is in no export"
        if self.crowned and self.crowned[-1].champion.release != BY_HAND:
            assert self.records[-1].champion == self.champion, "the chain and the Model name different champions"
        promoted = [one for one in self.releases.values() if one.status.phase is Phase.PROMOTED]
        for release in promoted:
            crowns = [one for one in self.crowned if one.champion.release == release.name and same(one.champion, release.status.candidate)]
            assert any(same(one.before, release.status.compared_with) for one in crowns), f"{release.name} was promoted and never crowned"
        generations = [release.status.compared_with.generation for release in promoted if release.status.compared_with]
        assert len(set(generations)) == len(generations), "two Releases won against the same champion"

    def _read_chain(self) -> None:
        ledger = SqliteLedger(self._state.database)
        try:
            new = list(ledger.records())[len(self.records) :]
        finally:
            ledger.close()
        for record in new:
            fault = self._chains.add(record)
            assert fault is None, fault
            self.records.append(record)
            self.reasons[record.reason] += 1

    # --- what was written ---

    def _model(self, at: float, model: Model) -> None:
        before, now = self.champion, model.status.champion
        if before == now:
            return
        assert now is not None, "a champion was taken away"
        assert now.generation == (before.generation if before else 0) + 1, f"generation {now.generation} follows {before}"
        self.champion = now
        self.crowned.append(Crowned(at, before, now))
        if now.release == BY_HAND:
            self._cleared.setdefault(now.version, at)
        else:
            assert any(record.champion == now for record in self.records), f"{now} became champion by no recorded decision"
            assert self._promotes(now, before) or self._restores(now, before), f"{now} follows {before} by no Release's right"
        self._spoken_for(now)

    def _promotes(self, now: Champion, before: Champion | None) -> bool:
        """Whether the Release was tested, compared with the champion before, and is in its promotion."""
        release = self.releases.get(now.release)
        if release is None or release.status.promotion is None or release.status.phase is not Phase.ROLLOUT:
            return False
        status = release.status
        assert same(status.candidate, now), f"{release.name} makes {now} champion, its candidate is {status.candidate}"
        assert status.smoked, f"{release.name} is promoted without a smoke test"
        assert same(status.compared_with, before), f"{release.name} was compared with {status.compared_with}, champion was {before}"
        if before is not None and release.spec.request.version is None:
            compared = (release.metadata.uid, before.version) in self._workshop.compared
            assert compared, f"{release.name} was never compared with version {before.version}"
        return True

    def _restores(self, now: Champion, before: Champion | None) -> bool:
        return any(
            status.phase is Phase.WITHDRAWING and status.promotion is not None and _restored(status, now, before)
            for status in (release.status for release in self.releases.values())
        )

    def _release(self, at: float, release: Release) -> None:
        before = self.releases.get(release.name)
        assert before is None or not before.terminal or before.status == release.status, f"{release.name} changed after its end"
        self.releases[release.name] = release
        status = release.status
        known = {record.hash for record in self.records}
        assert all(record.hash in known for record in status.decisions), "a status tells what no record tells"
        if before is not None and before.status.reason != status.reason:
            told = {(record.phase, record.weight, record.reason) for record in self.records if record.release == release.name}
            assert (status.phase, status.weight, status.reason) in told, f"{release.name} is {status.reason}, which no record tells"
        if status.candidate is None:
            return
        if status.smoked:
            self._cleared.setdefault(status.candidate.version, at)
        if not release.terminal:
            self._spoken_for(status.candidate)
        elif status.phase is not Phase.PROMOTED and not (before and before.terminal):
            self._forget(at, status.candidate, release.name)

    def _spoken_for(self, version: Version) -> None:
        self._ended.pop(version.version, None)

    def _forget(self, at: float, version: Version, release: str) -> None:
        """From here on nobody may be answered by the version, unless another Release or the champion is that version."""
        live = [one.status for one in self.releases.values() if not one.terminal]
        named = [self.champion, *(one.candidate for one in live), *(one.compared_with for one in live)]
        if version.version not in {one.version for one in named if one}:
            self._ended[version.version] = (at, release)

    # --- what callers were answered ---

    def _answer(self, answer: Answer) -> None:
        assert answer.version in self._workshop.versions, f"answered by version {answer.version!r}, which nobody registered"
        _, made = self._workshop.versions[answer.version]
        right = abs(answer.value - made.answer) < APART / 1000
        assert right, f"version {answer.version} answered {answer.value}, its files say {made.answer}: other files are served"
        assert made.kind == "good", f"version {answer.version} answered callers, and is {made.kind}"
        cleared = self._cleared.get(answer.version)
        assert cleared is not None, f"version {answer.version} answered callers and has passed no smoke test"
        assert answer.answered > cleared - CLOCK_SECONDS, f"version {answer.version} answered callers before its smoke test"
        ended = self._ended.get(answer.version)
        late = ended is not None and answer.asked > ended[0] + CLOCK_SECONDS
        assert not late, f"version {answer.version} answered callers after {ended[1] if ended else ''} had ended"

    def close(self) -> None:
        """Close the database."""
        self._database.close()


def _restored(status: ReleaseStatus, now: Champion, before: Champion | None) -> bool:
    return same(status.compared_with, now) and same(status.candidate, before)


def template(folder: Path) -> Path:
    """An MLflow database with its tables and nothing in them, to be copied: making the tables takes MLflow two seconds."""
    from trimtab.training import tracking

    folder.mkdir(parents=True, exist_ok=True)
    tracking.client(f"sqlite:///{folder / 'mlflow.db'}")
    return folder / "mlflow.db"
