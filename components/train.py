"""Component: fit the candidate, or take the version that is to be compared anew."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Model, Output

from components.image import TRAINING_IMAGE


@dsl.component(base_image=TRAINING_IMAGE, install_kfp_package=False)  # type: ignore[untyped-decorator]
def train(
    document: str,
    compare_only: str,
    tracking_uri: str,
    seed: int,
    evaluation: str,
    dataset: Input[Dataset],
    trials: Input[list[Artifact]],
    model: Output[Model],
) -> None:
    """Fit the best of the search's trials: the twins that are judged, and the version that serves; with compare_only take a registered one.

    Args:
        document: the Model as JSON.
        compare_only: URI of the registered version to compare anew, or empty to train.
        tracking_uri: the MLflow server.
        seed: the seed of everything random.
        evaluation: "holdout" for one twin from before all of the holdout, "rolling" for one from before each third of it.
        dataset: the snapshot.
        trials: what each task of the search tried.
        model: the model with its schema, its twins, training.json and leaderboard.json.
    """
    from pathlib import Path

    from trimtab.training import announcement, steps

    with announcement.telling():
        steps.train(
            document,
            compare_only,
            tracking_uri,
            seed,
            Path(dataset.path),
            Path(model.path),
            [Path(one.path) for one in trials],
            evaluation,
        )
