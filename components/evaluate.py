"""Component: score the candidate beside the champion, and hold it against the gates."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Markdown, Metrics, Model, Output

from components.image import TRAINING_IMAGE


@dsl.component(base_image=TRAINING_IMAGE, install_kfp_package=False)  # type: ignore[untyped-decorator]
def evaluate(
    document: str,
    champion: str,
    compare_only: str,
    tracking_uri: str,
    seed: int,
    dataset: Input[Dataset],
    model: Input[Model],
    evaluation: Output[Artifact],
    metrics: Output[Metrics],
    report: Output[Markdown],
) -> None:
    """Score candidate, champion and a model without features on the same newest rows, and hold the candidate against the gates.

    Args:
        document: the Model as JSON.
        champion: URI of the version that serves, or empty.
        compare_only: URI of the registered version that is compared anew, or empty.
        tracking_uri: the MLflow server.
        seed: the seed of everything random.
        dataset: the snapshot.
        model: the candidate.
        evaluation: evaluation.json, gates.json, metrics.json and the reference sample with predictions.
        metrics: the candidate's metrics.
        report: the gates as a page.
    """
    import shutil
    from pathlib import Path

    from trimtab.training import announcement, steps

    out = Path(evaluation.path)
    with announcement.telling():
        found = steps.evaluate(document, champion, compare_only, tracking_uri, seed, Path(dataset.path), Path(model.path), out)
    for name, value in found.candidate.items():
        metrics.log_metric(name, value)
    shutil.copyfile(out / steps.REPORT, report.path)
