"""Where a backtest's versions are made: the pipeline's own steps, and a folder that keeps what was made before.

What a step leaves depends on its inputs alone, so it is kept under a name that they are hashed into: policies that retrain at the same
cut share the fit, and those with the same champion the evaluation. Nothing goes to a registry.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from trimtab.manifest import MANIFEST, sha256
from trimtab.release import InvalidDataOutcome, RejectedOutcome
from trimtab.spec import Model, ModelStatus, recipe
from trimtab.training import steps
from trimtab.training.checks import read_checks, sentences
from trimtab.training.found import GATES, snapshot_digest
from trimtab.training.gate import GateResult, rejection
from trimtab.training.register import assemble
from trimtab.version_uri import VersionUri

SEED = 7
Mode = Literal["holdout", "rolling"]


class Made(Struct, frozen=True):
    """A version's folder and digest, and the cut that it knows."""

    folder: Path
    digest: str
    cut: datetime


class Fitted(Struct, frozen=True):
    """What was fitted on which snapshot, or what stopped it: data that cannot be trained on."""

    dataset: Path
    folder: Path | None = None
    stopped: InvalidDataOutcome | None = None


class Ended(Struct, frozen=True):
    """What a run came to: a version, or what stopped it; `fitted` is the folder of what was fitted, whatever the gates said of it."""

    version: Made | None = None
    stopped: RejectedOutcome | InvalidDataOutcome | None = None
    fitted: Path | None = None


class Workshop:
    """Makes versions of one Model in `folder`; processes, and later backtests, may share it."""

    def __init__(self, model: Model, folder: Path) -> None:
        """What was made there by another recipe, or from a file with other bytes, is not taken."""
        source = Path(model.spec.data.uri)
        self._made_by = (recipe(model.spec), sha256(source) if source.is_file() else "")
        self._document = msgspec.json.encode(msgspec.structs.replace(model, status=ModelStatus())).decode()
        self._searched = model.spec.training.search.budget.trials > 1
        self._name, self._folder = model.name, folder

    def fit(self, cut: datetime, mode: Mode, champion: Made | None) -> Fitted:
        """Snapshot, validate, search and fit at a cut, as a run does; raises InvalidInput where one does."""
        against, beside = self._uri(champion), champion.digest if champion else ""
        dataset = self._kept("data", (cut.isoformat(), beside), lambda out: steps.ingest(self._document, cut.isoformat(), against, "", out))
        stops = sentences(read_checks(dataset))
        if stops:
            return Fitted(dataset, stopped=InvalidDataOutcome(stops))
        content = (snapshot_digest(dataset), mode, beside if self._searched else "")
        return Fitted(dataset, self._kept("fits", content, lambda out: self._fit(mode, against, dataset, out)))

    def make(self, cut: datetime, mode: Mode, champion: Made | None) -> Ended:
        """Fit, evaluate beside the champion, and gate at a cut, as a run does; raises InvalidInput where one does."""
        found = self.fit(cut, mode, champion)
        dataset, fitted = found.dataset, found.folder
        if fitted is None:
            return Ended(stopped=found.stopped)
        against, key = self._uri(champion), (fitted.name, champion.digest if champion else "")
        evaluation = self._kept("evaluations", key, lambda out: steps.evaluate(self._document, against, "", "", SEED, dataset, fitted, out))
        stopped = rejection(msgspec.json.decode((evaluation / GATES).read_bytes(), type=tuple[GateResult, ...]))
        if stopped is not None:
            return Ended(stopped=stopped, fitted=fitted)
        version = self._kept("versions", key, lambda out: assemble(fitted, evaluation, out / "1")) / "1"
        return Ended(Made(version, sha256(version / MANIFEST), cut), fitted=fitted)

    def _uri(self, champion: Made | None) -> str:
        return str(VersionUri(self._name, "1", champion.digest, str(champion.folder))) if champion else ""

    def _fit(self, mode: Mode, champion: str, dataset: Path, out: Path) -> None:
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            tried = Path(folder)
            steps.search(self._document, champion, "", "", SEED, 0, 1, "", dataset, tried)
            steps.train(self._document, "", "", SEED, dataset, out, [tried], mode)

    def _kept(self, kind: str, key: tuple[str, ...], make: Callable[[Path], object]) -> Path:
        """The folder of what is named by `key`, made if it is not there; it appears whole."""
        place = self._folder / kind / hashlib.sha256(msgspec.json.encode((self._made_by, key))).hexdigest()[:24]
        if place.is_dir():
            return place
        place.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=place.parent, prefix="draft-"))
        try:
            make(draft)
            draft.rename(place)
        except OSError:
            if not place.is_dir():
                raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return place
