"""Component: snapshot the data known at the cut, and validate it."""

from kfp import dsl
from kfp.dsl import HTML, Dataset, Output

from components.image import TRAINING_IMAGE


@dsl.component(base_image=TRAINING_IMAGE, install_kfp_package=False)  # type: ignore[untyped-decorator]
def ingest(
    document: str,
    cut: str,
    champion: str,
    tracking_uri: str,
    dataset: Output[Dataset],
    checks: Output[HTML],
    labelled: bool = True,
    uri: str = "",
    history: str = "",
    snapshot: str = "",
) -> str:
    """Snapshot the rows known at the cut into a file named by its SHA-256, and check that they can be trained on.

    Args:
        document: the Model as JSON.
        cut: the data time up to which rows are read, ISO 8601.
        champion: URI of the version that serves, or empty.
        tracking_uri: the MLflow server.
        dataset: the snapshot, checks.json and checks.html.
        checks: what was found in the data and where, what is allowed, and in how many rows.
        labelled: whether the rows must have labels, as for training; without them they can be scored by the champion.
        uri: where the rows are, where that is another place than the Model's data.uri; or empty.
        history: how far back from the cut rows are read, such as 1d, where that is not the Model's data.history; or empty.
        snapshot: "champion" where the rows are those that the champion was made from, as in the trial of a pipeline; or empty.

    Returns:
        "valid" or "invalid".
    """
    import shutil
    from pathlib import Path

    from trimtab.training import announcement, steps
    from trimtab.training.checks import PAGE

    with announcement.telling():
        out = Path(dataset.path)
        answer = steps.ingest(document, cut, champion, tracking_uri, out, labelled=labelled, uri=uri, history=history, snapshot=snapshot)
    shutil.copyfile(Path(dataset.path) / PAGE, checks.path)
    return answer
