"""Component: fit the candidate, or take the version that is to be compared anew."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Model, Output

from components.image import TRAINING_IMAGE


@dsl.component(base_image=TRAINING_IMAGE, install_kfp_package=False)  # type: ignore[untyped-decorator]
def train(
    document: str,
    compare_only: str,
    tracking_uri: str,
    seed: int,
    dataset: Input[Dataset],
    model: Output[Model],
) -> None:
    """Fit a model on all but the newest fifth of the snapshot; with compare_only take that registered version instead.

    Args:
        document: the Model as JSON.
        compare_only: URI of the registered version to compare anew, or empty to train.
        tracking_uri: the MLflow server.
        seed: the seed of everything random.
        dataset: the snapshot.
        model: the model's own JSON and its schema.
    """
    from pathlib import Path

    from trimtab.training import announcement, steps

    with announcement.telling():
        steps.train(document, compare_only, tracking_uri, seed, Path(dataset.path), Path(model.path))
