"""The end of every run: one MLflow run that says what came out, and a registered version if the gates passed.

All of it may be repeated: the run is found by its tags (Release uid and attempt), the version by its own, and an `outcome.json`
that is there already is the outcome. It is written last, so that a run which has one is complete.
"""

import logging
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from trimtab.explanation import EXPLANATION
from trimtab.manifest import write_manifest
from trimtab.release import CandidateOutcome, Outcome
from trimtab.schema import METRICS, REFERENCE, read_schema
from trimtab.training import tracking
from trimtab.training.evaluate import Evaluation
from trimtab.training.mlmodel import write_mlmodel

log = logging.getLogger(__name__)


class Facts(Struct, frozen=True):
    """What is known of a run whatever comes out: the Release, its attempt and cut, and what the version is made of."""

    model: str
    release: str
    release_uid: str
    attempt: int
    cut: str = ""
    dataset: str = ""
    parameters: dict[str, Any] = {}


class Written(Struct, frozen=True):
    """What `register` left in MLflow: the run, and the outcome that is in it."""

    run: str
    outcome: Outcome


def assemble(model: Path, evaluation: Path, into: Path) -> str:
    """Bring a model's files and its evaluation's together in one version folder; returns the version's digest."""
    shutil.copytree(model, into, dirs_exist_ok=True)
    for name in (METRICS, REFERENCE, EXPLANATION):
        shutil.copyfile(evaluation / name, into / name)
    write_mlmodel(into, read_schema(into))
    return write_manifest(into)


def register(
    tracking_uri: str,
    facts: Facts,
    evaluation: Evaluation | None,
    made: Path | None,
    outcome: Outcome | None,
    report: Path | None = None,
) -> Written:
    """Write the run, register the version folder `made` if there is one, and log `outcome.json`.

    Without `made` the given `outcome` is written as it is; `report` is a page kept beside it. Raises Unavailable where MLflow
    does not answer.
    """
    connected = tracking.client(tracking_uri)
    with tracking.speaking(f"registering {facts.model!r} for Release {facts.release!r}"):
        experiment = _experiment(connected, facts.model, tracking.artifact_root(tracking_uri))
        run = tracking.find_run(connected, [experiment], facts.release_uid, facts.attempt)
        run = run or connected.create_run(experiment, run_name=f"{facts.release or facts.model}-{facts.attempt}", tags=_tags(facts))
        before = _logged_outcome(connected, run.info.run_id)
        if before is not None:
            log.info("run %s has its outcome already", run.info.run_id)
            return Written(run.info.run_id, before)
        _describe(connected, run.info.run_id, facts, evaluation)
        if report is not None:
            connected.log_artifact(run.info.run_id, str(report))
        if made is not None:
            outcome = _version(connected, run, facts, evaluation, made)
        if outcome is None:
            msg = "register needs a version folder or an outcome"
            raise ValueError(msg)
        _log_outcome(connected, run.info.run_id, outcome)
        connected.set_terminated(run.info.run_id)
    return Written(run.info.run_id, outcome)


def _version(connected: Any, run: Any, facts: Facts, evaluation: Evaluation | None, made: Path) -> CandidateOutcome:
    digest = write_manifest(made)
    query = f"name = '{facts.model}' and tags.`{tracking.RELEASE_UID}` = '{facts.release_uid}' and run_id = '{run.info.run_id}'"
    try:
        connected.create_registered_model(facts.model)
    except Exception as error:
        if getattr(error, "error_code", "") != "RESOURCE_ALREADY_EXISTS":
            raise
    found = list(connected.search_model_versions(query))
    if not found:
        connected.log_artifacts(run.info.run_id, str(made), tracking.MODEL_PATH)
        tags = {tracking.DIGEST: digest, tracking.RELEASE: facts.release, tracking.RELEASE_UID: facts.release_uid}
        source = f"{run.info.artifact_uri}/{tracking.MODEL_PATH}"
        found = [connected.create_model_version(facts.model, source, run.info.run_id, tags={**tags, "trimtab.dataset": facts.dataset})]
    metrics, against = (evaluation.candidate, evaluation.compared_with) if evaluation is not None else ({}, "")
    return CandidateOutcome(str(found[0].version), found[0].tags.get(tracking.DIGEST, digest), metrics, against)


def _experiment(connected: Any, name: str, artifacts: str | None) -> str:
    found = connected.get_experiment_by_name(name)
    if found is None:
        try:
            return str(connected.create_experiment(name, artifact_location=f"{artifacts}/{name}" if artifacts else None))
        except Exception as error:
            if getattr(error, "error_code", "") != "RESOURCE_ALREADY_EXISTS":
                raise
            found = connected.get_experiment_by_name(name)
    return str(found.experiment_id)


def _tags(facts: Facts) -> dict[str, str]:
    return {
        tracking.RELEASE: facts.release,
        tracking.RELEASE_UID: facts.release_uid,
        tracking.ATTEMPT: str(facts.attempt),
        "trimtab.model": facts.model,
        "trimtab.cut": facts.cut,
        "trimtab.dataset": facts.dataset,
        "mlflow.source.git.commit": commit(),
    }


def _describe(connected: Any, run: str, facts: Facts, evaluation: Evaluation | None) -> None:
    import time

    from mlflow.entities import Metric, Param

    now = int(time.time() * 1000)
    sets = {"": evaluation.candidate, "champion_": evaluation.champion or {}, "baseline_": evaluation.baseline} if evaluation else {}
    metrics = [Metric(f"{prefix}{name}", value, now, 0) for prefix, values in sets.items() for name, value in values.items()]
    params = [Param(name, str(value)) for name, value in facts.parameters.items()]
    connected.log_batch(run, metrics=metrics, params=params)


def _log_outcome(connected: Any, run: str, outcome: Outcome) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / tracking.OUTCOME
        path.write_bytes(msgspec.json.encode(outcome))
        connected.log_artifact(run, str(path))


def _logged_outcome(connected: Any, run: str) -> Outcome | None:
    if tracking.OUTCOME not in {item.path for item in connected.list_artifacts(run)}:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(connected.download_artifacts(run, tracking.OUTCOME, folder))
        return msgspec.json.decode(path.read_bytes(), type=Outcome)  # type: ignore[no-any-return]


def commit() -> str:
    """The git commit of what runs: TRIMTAB_COMMIT (set in images), else the working tree's, else "unknown"."""
    given = os.environ.get("TRIMTAB_COMMIT", "")
    if given:
        return given
    try:
        command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"
