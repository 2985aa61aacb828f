"""Component: judge the candidate beside the champion, and hold it against the gates."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, ClassificationMetrics, Dataset, Input, Markdown, Metrics, Model, Output

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
    classification: Output[ClassificationMetrics],
    report: Output[Markdown],
    page: Output[HTML],
) -> None:
    """Judge candidate, champion and a model without features on the same newest rows, and hold the candidate against the gates.

    Args:
        document: the Model as JSON.
        champion: URI of the version that serves, or empty.
        compare_only: URI of the registered version that is compared anew, or empty.
        tracking_uri: the MLflow server.
        seed: the seed of everything random.
        dataset: the snapshot.
        model: the candidate and its twins.
        evaluation: evaluation.json, gates.json, metrics.json, explanation.json, the reference sample with predictions, and the report.
        metrics: the candidate's metrics.
        classification: of a binary task the ROC curve, of any classification the confusion matrix.
        report: gates, metrics, slices and explanation.
        page: the same with figures.
    """
    import shutil
    from pathlib import Path

    from trimtab.training import announcement, steps

    out = Path(evaluation.path)
    with announcement.telling():
        found = steps.evaluate(document, champion, compare_only, tracking_uri, seed, Path(dataset.path), Path(model.path), out)
    for name, value in found.candidate.items():
        metrics.log_metric(name, value)
    if found.roc is not None:
        curve = found.roc
        classification.log_roc_curve(list(curve.false_positive_rate), list(curve.true_positive_rate), list(curve.thresholds))
    if found.confusion:
        classification.log_confusion_matrix(list(found.classes), [list(row) for row in found.confusion])
    shutil.copyfile(out / steps.REPORT, report.path)
    shutil.copyfile(out / steps.REPORT_PAGE, page.path)
