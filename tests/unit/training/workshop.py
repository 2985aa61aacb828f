"""A toy candidate that went through ingest, train and evaluate, and a registry on a real MLflow database to put it in."""

import json
from pathlib import Path
from typing import Any

import msgspec

from tests.unit.training.data import document, last, rows, spec, write
from trimtab.release import CandidateOutcome, Outcome
from trimtab.spec import ModelSpec, Version
from trimtab.training import steps
from trimtab.training.lineage import Facts

TRIALS = 40


def trial(number: int, loss: float, **more: Any) -> dict[str, Any]:
    """A trial as the search writes it."""
    return {"number": number, "estimator": "xgboost", "parameters": {"eta": 0.1, "rounds": 9}, "loss": loss, "losses": [loss], **more}


def leave_the_rest(dataset: Path, model: Path, evaluation: Path) -> None:
    """What the other steps leave where they have something to tell: pages, a leaderboard, an explanation."""
    (dataset / "checks.html").write_text("<p>nothing is wrong</p>")
    (evaluation / "report.html").write_text("<p>the report</p>")
    shares = [{"feature": "size", "share": 0.7, "interval": [0.6, 0.8]}, {"feature": "colour", "share": 0.3}]
    (evaluation / "explanation.json").write_text(json.dumps({"method": "tree_shap", "rows": 80, "features": shares}))
    (evaluation / "attributions.parquet").write_bytes(b"what the monitor reads")
    (model / "leaderboard.json").write_text(json.dumps([trial(number, 1 + number / 10) for number in range(TRIALS)]))
    (model / "folds" / "2").mkdir(parents=True, exist_ok=True)
    (model / "folds" / "2" / "model.json").write_text("{}")
    (model / "twin").mkdir(exist_ok=True)
    (model / "twin" / "schema.json").write_bytes((model / "schema.json").read_bytes())
    (model / "twin" / "model.json").write_bytes((model / "model.json").read_bytes())


class Workshop:
    """The candidate's folders, and the registry; its folder is laid out as a state folder is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.uri = f"sqlite:///{folder / 'mlflow.db'}"
        self.spec = spec(write(folder / "a.csv", rows()))
        self.dataset, self.model, self.evaluation = folder / "dataset", folder / "model", folder / "evaluation"
        assert steps.ingest(document(self.spec), last().isoformat(), "", self.uri, self.dataset) == "valid"
        steps.train(document(self.spec), "", self.uri, 7, self.dataset, self.model)
        self.evaluate(self.evaluation)

    def evaluate(self, out: Path, champion: str = "", given: ModelSpec | None = None, compare_only: str = "") -> None:
        """The evaluate step into `out`."""
        steps.evaluate(document(given or self.spec), champion, compare_only, self.uri, 7, self.dataset, self.model, out)

    def register(self, uid: str, evaluation: Path | None = None, attempt: int = 1, compare_only: str = "") -> Outcome:
        """The register step; returns the outcome file's content."""
        facts, out = Facts("toy", f"toy-{uid}", uid, attempt, last().isoformat()), self.folder / f"outcome-{uid}"
        steps.register(document(self.spec), facts, compare_only, self.uri, self.dataset, self.model, evaluation or self.evaluation, out)
        return msgspec.json.decode(out.read_bytes(), type=Outcome)  # type: ignore[no-any-return]

    def version(self, uid: str) -> Version:
        """Register the candidate; returns the version."""
        outcome = self.register(uid)
        assert isinstance(outcome, CandidateOutcome)
        return Version(outcome.version, outcome.digest)
