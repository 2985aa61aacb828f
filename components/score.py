"""Component: what a registered version says of many rows."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Output

from components.image import TRAINING_IMAGE


@dsl.component(base_image=TRAINING_IMAGE, install_kfp_package=False)  # type: ignore[untyped-decorator]
def score(
    document: str,
    champion: str,
    tracking_uri: str,
    to: str,
    dataset: Input[Dataset],
    predictions: Output[Dataset],
) -> int:
    """Ask a version about every row of a snapshot that was taken without labels; fails where the snapshot's checks found something.

    Args:
        document: the Model as JSON.
        champion: URI of the version that is asked (mlflow://models/NAME/7?sha256=DIGEST).
        tracking_uri: the MLflow server.
        to: where the predictions are written besides, as a path or with file://, s3:// or gs://, ending with .parquet; or empty.
        dataset: the snapshot and checks.json.
        predictions: a Parquet file with key, time, prediction and version of each row.

    Returns:
        How many rows were scored.
    """
    from pathlib import Path

    from trimtab.training import announcement, steps

    with announcement.telling():
        return steps.score(document, champion, tracking_uri, to, Path(dataset.path), Path(predictions.path))
