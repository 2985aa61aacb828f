"""The end of every run: one MLflow run that says what came out, and a registered version if the gates passed.

All of it may be repeated: the run is found by its tags (Release uid and attempt), the version by its own, and an `outcome.json`
that is there already is the outcome. It is written last, so that a run which has one is complete.
"""

import logging
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from trimtab.explanation import ATTRIBUTIONS, EXPLANATION
from trimtab.manifest import write_manifest
from trimtab.release import CandidateOutcome, Outcome
from trimtab.schema import ANSWERS, METRICS, REFERENCE, read_schema
from trimtab.training import runlog, tracking
from trimtab.training.fitted import FOLDS
from trimtab.training.lineage import Facts, commit
from trimtab.training.mlmodel import write_mlmodel
from trimtab.training.runlog import Findings
from trimtab.training.trials import LEADERBOARD

log = logging.getLogger(__name__)


class Written(Struct, frozen=True):
    """What `register` left in MLflow: the run, and the outcome that is in it."""

    run: str
    outcome: Outcome


def assemble(model: Path, evaluation: Path, into: Path, beside: Mapping[str, bytes] = {}) -> str:
    """Bring a model's files and its evaluation's together in one version folder; returns the version's digest.

    `beside` are further files by name. The twin stays with the version, twins of later folds and the trials do not.
    """
    shutil.copytree(model, into, dirs_exist_ok=True, ignore=shutil.ignore_patterns(FOLDS, LEADERBOARD))
    for name in (METRICS, REFERENCE):
        shutil.copyfile(evaluation / name, into / name)
    for name in (EXPLANATION, ATTRIBUTIONS, ANSWERS):
        if (evaluation / name).is_file():
            shutil.copyfile(evaluation / name, into / name)
    for name, content in beside.items():
        (into / name).write_bytes(content)
    write_mlmodel(into, read_schema(into))
    return write_manifest(into)


def register(tracking_uri: str, facts: Facts, found: Findings, made: Path | None, outcome: Outcome | None = None) -> Written:
    """Write the run, register the version folder `made` if there is one, and log `outcome.json`.

    Without `made` the given `outcome` is written as it is. Raises Unavailable where MLflow does not answer.
    """
    connected = tracking.client(tracking_uri)
    with tracking.speaking(f"registering {facts.model!r} for Release {facts.release!r}"):
        experiment = _experiment(connected, facts.model, tracking.artifact_root(tracking_uri))
        run = tracking.find_run(connected, [experiment], facts.release_uid, facts.attempt)
        run = run or connected.create_run(experiment, run_name=f"{facts.release or facts.model}-{facts.attempt}", tags=_tags(facts, found))
        before = _logged_outcome(connected, run.info.run_id)
        if before is not None:
            log.info("run %s has its outcome already", run.info.run_id)
            if run.info.status != "FINISHED":
                connected.set_terminated(run.info.run_id)
            return Written(run.info.run_id, before)
        runlog.write(connected, run, found)
        if made is not None:
            outcome = _version(connected, run, facts, found, made)
        if outcome is None:
            msg = "register needs a version folder or an outcome"
            raise ValueError(msg)
        _log_outcome(connected, run.info.run_id, outcome)
        connected.set_terminated(run.info.run_id)
    return Written(run.info.run_id, outcome)


def _version(connected: Any, run: Any, facts: Facts, found: Findings, made: Path) -> CandidateOutcome:
    digest = write_manifest(made)
    query = f"name = '{facts.model}' and tags.`{tracking.RELEASE_UID}` = '{facts.release_uid}' and run_id = '{run.info.run_id}'"
    try:
        connected.create_registered_model(facts.model, description=_about(found))
    except Exception as error:
        if getattr(error, "error_code", "") != "RESOURCE_ALREADY_EXISTS":
            raise
    known = list(connected.search_model_versions(query))
    if not known:
        connected.log_artifacts(run.info.run_id, str(made), tracking.MODEL_PATH)
        source = f"{run.info.artifact_uri}/{tracking.MODEL_PATH}"
        tags = {tracking.DIGEST: digest, **_tags_of_both(facts, found)}
        known = [connected.create_model_version(facts.model, source, run.info.run_id, tags=tags, description=found.note or None)]
    metrics, against = (found.evaluation.candidate, found.evaluation.compared_with) if found.evaluation is not None else ({}, "")
    data, pipeline = (found.lineage.data.digest, found.lineage.pipeline) if found.lineage else ("", None)
    return CandidateOutcome(str(known[0].version), known[0].tags.get(tracking.DIGEST, digest), metrics, against, data, pipeline)


def _about(found: Findings) -> str | None:
    """What the registered model is, for who looks at the list of models."""
    made = found.lineage
    if made is None:
        return None
    what = f"{made.made.task} of {made.made.data.label}"
    return f"{what}: the Model {made.model!r} of namespace {made.namespace!r}, made and released by Trimtab."


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


def _tags(facts: Facts, found: Findings) -> dict[str, str]:
    made = found.lineage
    return {
        **_tags_of_both(facts, found),
        tracking.ATTEMPT: str(facts.attempt),
        "trimtab.model": facts.model,
        "mlflow.source.name": f"pipelines/{made.pipeline.name} {made.pipeline.version}" if made else "trimtab",
        "mlflow.source.type": "JOB",
        "mlflow.source.git.commit": made.commit if made else commit(),
    }


def _tags_of_both(facts: Facts, found: Findings) -> dict[str, str]:
    """What is told of a run and of its version alike."""
    made = found.lineage
    told = {"trimtab.cut": facts.cut, "trimtab.trigger": facts.trigger, "trimtab.dataset": made.data.digest if made else ""}
    told["trimtab.estimator"] = made.estimator if made else ""
    return {tracking.RELEASE: facts.release, tracking.RELEASE_UID: facts.release_uid, **{name: said for name, said in told.items() if said}}


def _log_outcome(connected: Any, run: str, outcome: Outcome) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / tracking.OUTCOME
        path.write_bytes(msgspec.json.encode(outcome))
        connected.log_artifact(run, str(path))


def _logged_outcome(connected: Any, run: str) -> Outcome | None:
    """The outcome that the run has; half a file, from a process that was killed while it wrote it, is none."""
    if tracking.OUTCOME not in {item.path for item in connected.list_artifacts(run)}:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(connected.download_artifacts(run, tracking.OUTCOME, folder))
        try:
            return msgspec.json.decode(path.read_bytes(), type=Outcome)  # type: ignore[no-any-return]
        except msgspec.DecodeError:
            return None
