"""Component: one task's share of the search."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Output

from components.image import TRAINING_IMAGE


@dsl.component(base_image=TRAINING_IMAGE, install_kfp_package=False)  # type: ignore[untyped-decorator]
def search(
    document: str,
    champion: str,
    compare_only: str,
    tracking_uri: str,
    seed: int,
    shard: int,
    shards: list[int],
    work: str,
    dataset: Input[Dataset],
    trials: Output[Artifact],
) -> None:
    """Try estimators and settings on forward folds of the training rows, within this task's share of the budget.

    Nothing is tried where the Model's budget is one trial, or where a registered version is compared anew.

    Args:
        document: the Model as JSON.
        champion: URI of the version that serves, whose own settings are tried too; or empty.
        compare_only: URI of the registered version that is compared anew, or empty.
        tracking_uri: the MLflow server.
        seed: the seed of everything random.
        shard: which share is this task's, one of `shards`.
        shards: the shares, from 0.
        work: a folder that outlives this task's process, from which a killed search goes on; or empty.
        dataset: the snapshot.
        trials: trials.json.
    """
    from pathlib import Path

    from trimtab.training import announcement, steps

    with announcement.telling():
        steps.search(document, champion, compare_only, tracking_uri, seed, shard, len(shards), work, Path(dataset.path), Path(trials.path))
