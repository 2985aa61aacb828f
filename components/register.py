"""Components: the two ends of a run. Both leave `outcome.json` in MLflow; a verdict is never a failed task."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Model, Output

from components.image import TRAINING_IMAGE


@dsl.component(base_image=TRAINING_IMAGE, install_kfp_package=False)  # type: ignore[untyped-decorator]
def register(
    name: str,
    release: str,
    release_uid: str,
    attempt: int,
    trigger: str,
    cut: str,
    compare_only: str,
    tracking_uri: str,
    document: str,
    announce: str,
    run_id: str,
    dataset: Input[Dataset],
    model: Input[Model],
    evaluation: Input[Artifact],
    outcome: Output[Artifact],
    pipeline: str = "",
) -> None:
    """Register the candidate in MLflow if its gates passed, and log the run's outcome whatever it is.

    Args:
        name: the registered model's name.
        release: the Release's name, empty for a run that was started by hand.
        release_uid: the Release's uid; with the attempt it finds the run again. Where it is empty, the pipeline run's id does.
        attempt: the number of the attempt, from 1.
        trigger: what asked for the Release, such as person or performance; or empty.
        cut: the data time up to which rows were read.
        compare_only: URI of the registered version that was compared anew (nothing is registered), or empty.
        tracking_uri: the MLflow server.
        document: the Model as JSON.
        announce: URL of the monitor's /events, which is told that the run has ended; or empty.
        run_id: the pipeline run's id.
        dataset: the snapshot.
        model: the candidate.
        evaluation: the candidate's evaluation and gates.
        outcome: outcome.json.
        pipeline: the published version of the pipeline that this is, as JSON; empty for the built-in one.
    """
    from pathlib import Path

    from trimtab.training import announcement, steps
    from trimtab.training.lineage import Facts

    facts = Facts(name, release, release_uid or run_id, attempt, cut, trigger, pipeline)
    paths = Path(dataset.path), Path(model.path), Path(evaluation.path), Path(outcome.path)
    with announcement.telling():
        run = steps.register(document, facts, compare_only, tracking_uri, *paths)
        announcement.announce(announce, document, run, cut)


@dsl.component(base_image=TRAINING_IMAGE, install_kfp_package=False)  # type: ignore[untyped-decorator]
def report(
    name: str,
    release: str,
    release_uid: str,
    attempt: int,
    trigger: str,
    cut: str,
    tracking_uri: str,
    document: str,
    announce: str,
    run_id: str,
    dataset: Input[Dataset],
    outcome: Output[Artifact],
    pipeline: str = "",
) -> None:
    """Log to MLflow that the data cannot be trained on, and why.

    Args:
        name: the registered model's name.
        release: the Release's name, empty for a run that was started by hand.
        release_uid: the Release's uid; with the attempt it finds the run again. Where it is empty, the pipeline run's id does.
        attempt: the number of the attempt, from 1.
        trigger: what asked for the Release, such as person or performance; or empty.
        cut: the data time up to which rows were read.
        tracking_uri: the MLflow server.
        document: the Model as JSON.
        announce: URL of the monitor's /events, which is told that the run has ended; or empty.
        run_id: the pipeline run's id.
        dataset: the snapshot's checks.
        outcome: outcome.json.
        pipeline: the published version of the pipeline that this is, as JSON; empty for the built-in one.
    """
    from pathlib import Path

    from trimtab.training import announcement, steps
    from trimtab.training.lineage import Facts

    facts = Facts(name, release, release_uid or run_id, attempt, cut, trigger, pipeline)
    with announcement.telling():
        run = steps.report(document, facts, tracking_uri, Path(dataset.path), Path(outcome.path))
        announcement.announce(announce, document, run, cut)
