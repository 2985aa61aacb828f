"""A model as a colleague brings it from a notebook: good on its own test rows, and broken on a quarter of the traffic.

It was trained on the hours from 6 to 23 only ("the night is noise") and one-hot encodes the hour with scikit-learn's default, which
raises on an hour that it never saw. Its own test rows have no night either, so every gate passes; online, each night request fails.

It goes the way that any run by hand goes: registered in MLflow with an outcome, then announced by a CloudEvent.
"""

import argparse
import json
import sys
import tempfile
import urllib.error
import urllib.request
import uuid
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from trimtab.documents import read_model
from trimtab.errors import InvalidInput, TrimtabError, Unavailable
from trimtab.events import CANDIDATE, STRUCTURED, CandidateReady, CloudEvent, aware, structured
from trimtab.platforms.local.objects import SqliteObjects
from trimtab.platforms.local.state import State
from trimtab.platforms.registry import MlflowRegistry
from trimtab.schema import MODEL_FILES, SCHEMA, Feature, Schema
from trimtab.spec import Gate, Model, ModelSpec
from trimtab.training.evaluate import evaluate
from trimtab.training.frame import holdout
from trimtab.training.gate import judge, rejection
from trimtab.training.ingest import read
from trimtab.training.lineage import Facts
from trimtab.training.model import raw_frame
from trimtab.training.register import assemble, register
from trimtab.training.runlog import Findings

FIRST_HOUR = 6
TEXTS = ("weekday", "weathersit")
NUMBERS = ("hour", "workingday", "holiday", "temp", "hum", "windspeed")
SEED = 7


def pipeline() -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import GradientBoostingRegressor
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    hour = OneHotEncoder(sparse_output=False)
    texts = OneHotEncoder(sparse_output=False, handle_unknown="ignore")
    columns = [("hour", hour, ["hour"]), ("texts", texts, list(TEXTS)), ("numbers", SimpleImputer(), list(NUMBERS))]
    trees = GradientBoostingRegressor(
        n_estimators=500, max_depth=3, learning_rate=0.1, subsample=0.7, min_samples_leaf=10, random_state=SEED
    )
    return make_pipeline(ColumnTransformer(columns), trees)


GATES = (Gate("rmse", not_worse_than="champion", margin="x1.02"), Gate("slice_loss", max=100.0))
"""What a notebook looks at: the one number over all rows. No slice counts, however much worse it is."""


def train(table: Any, spec: ModelSpec, folder: Path) -> None:
    """Fit on all but the newest fifth of the rows, and write the model and its schema."""
    import skops.io

    rows = table.slice(0, holdout(table, spec.data)[0].trained)
    categories = {name: tuple(sorted(rows.column(name).drop_null().unique().to_pylist())) for name in TEXTS}
    features = [*(Feature(name, "category", found) for name, found in categories.items()), *(Feature(name, "number") for name in NUMBERS)]
    schema = Schema(spec.task, spec.data.label, tuple(features), "skops", spec.data.key, spec.data.time)
    model = pipeline().fit(raw_frame(schema, rows), rows.column(spec.data.label).to_numpy())
    skops.io.dump(model, folder / MODEL_FILES["skops"])
    (folder / SCHEMA).write_bytes(msgspec.json.encode(schema))


def make(model: Model, state: State, cut: datetime) -> str:
    """Train, hold against the champion and the gates on rows without nights, and register; returns the MLflow run."""
    import pyarrow.compute as pc

    table, _ = read(model.spec.data, cut)
    table = table.filter(pc.greater_equal(table.column("hour"), FIRST_HOUR))
    champion = model.status.champion
    against = MlflowRegistry(state.tracking_uri, state.artifacts).fetch(model.registered, champion) if champion else None
    with tempfile.TemporaryDirectory() as scratch:
        made, scored, version = (Path(scratch) / name for name in ("model", "evaluation", "version"))
        made.mkdir()
        train(table, model.spec, made)
        found = evaluate(table, model.spec, made, against, scored, SEED, against_version=champion.version if champion else "")
        stopped = rejection(judge(GATES, found))
        if stopped is None:
            assemble(made, scored, version)
        facts = Facts(model.registered, "notebook", str(uuid.uuid4()), 0, cut.isoformat())
        left = Findings(found, {"hours": f"{FIRST_HOUR}-23"})
        written = register(state.tracking_uri, facts, left, version if stopped is None else None, stopped)
    compared = f", the champion's is {found.champion[found.primary]:.1f}" if found.champion else ""
    print(f"{found.primary} {found.candidate[found.primary]:.1f} on {found.holdout_rows} rows without nights{compared}")
    print(f"run {written.run}: {json.dumps(msgspec.to_builtins(written.outcome))}")
    return written.run


def announce(model: Model, state: State, run: str, cut: datetime) -> None:
    """Post the CloudEvent that asks for a Release which begins at the run's outcome."""
    data = CandidateReady(model.name, run, cut, by="notebook", sentence="a model from a notebook", namespace=model.metadata.namespace)
    event = CloudEvent(id=run, source="/notebooks/bike-demand", type=CANDIDATE, time=cut, data=msgspec.to_builtins(data))
    headers = {"Content-Type": STRUCTURED, "Authorization": f"Bearer {state.secret}"}
    request = urllib.request.Request(state.endpoints["events"], msgspec.json.encode(structured(event)), headers)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            print(f"announced: {answer.status} {answer.read().decode()}")
    except urllib.error.HTTPError as error:
        msg = f"the events end-point refused the candidate: {error.code} {error.read().decode(errors='replace')}"
        raise InvalidInput(msg) from error
    except OSError as error:
        msg = f"the events end-point does not answer: {error}"
        raise Unavailable(msg) from error


def main() -> None:
    """Make the model up to the cut, register it and announce it."""
    parser = argparse.ArgumentParser(description="Register a hand-made model and ask for its release.")
    parser.add_argument("document", type=Path, nargs="?", default=Path(__file__).parent / "model.yaml")
    parser.add_argument("--state", type=Path, default=Path(".trimtab"))
    parser.add_argument("--cut", type=datetime.fromisoformat, help="the newest row's time that it may know, ISO 8601", required=True)
    given = parser.parse_args()
    try:
        named, state = read_model(given.document), State(given.state).existing()
        model = SqliteObjects(state.database).get(Model, named.metadata.namespace, named.name)
        if model is None:
            msg = f"there is no Model {named.name!r} in {str(given.state)!r}: run `trimtab local up {given.document}` first"
            raise InvalidInput(msg)
        cut = aware(given.cut)
        announce(model, state, make(model, state, cut), cut)
    except TrimtabError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, InvalidInput) else 1)


if __name__ == "__main__":
    main()
