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
    cut: str,
    compare_only: str,
    tracking_uri: str,
    dataset: Input[Dataset],
    model: Input[Model],
    evaluation: Input[Artifact],
    outcome: Output[Artifact],
) -> None:
    """Register the candidate in MLflow if its gates passed, and log the run's outcome whatever it is.

    Args:
        name: the Model's name.
        release: the Release's name.
        release_uid: the Release's uid; with the attempt it finds the run again.
        attempt: the number of the attempt, from 1.
        cut: the data time up to which rows were read.
        compare_only: URI of the registered version that was compared anew (nothing is registered), or empty.
        tracking_uri: the MLflow server.
        dataset: the snapshot.
        model: the candidate.
        evaluation: the candidate's evaluation and gates.
        outcome: outcome.json.
    """
    from pathlib import Path

    from trimtab.training import steps
    from trimtab.training.register import Facts

    facts = Facts(name, release, release_uid, attempt, cut)
    paths = Path(dataset.path), Path(model.path), Path(evaluation.path), Path(outcome.path)
    steps.register(facts, compare_only, tracking_uri, *paths)


@dsl.component(base_image=TRAINING_IMAGE, install_kfp_package=False)  # type: ignore[untyped-decorator]
def report(
    name: str,
    release: str,
    release_uid: str,
    attempt: int,
    cut: str,
    tracking_uri: str,
    dataset: Input[Dataset],
    outcome: Output[Artifact],
) -> None:
    """Log to MLflow that the data cannot be trained on, and why.

    Args:
        name: the Model's name.
        release: the Release's name.
        release_uid: the Release's uid; with the attempt it finds the run again.
        attempt: the number of the attempt, from 1.
        cut: the data time up to which rows were read.
        tracking_uri: the MLflow server.
        dataset: the snapshot's checks.
        outcome: outcome.json.
    """
    from pathlib import Path

    from trimtab.training import steps
    from trimtab.training.register import Facts

    steps.report(Facts(name, release, release_uid, attempt, cut), tracking_uri, Path(dataset.path), Path(outcome.path))
