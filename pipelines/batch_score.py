"""The pipeline for predictions of many rows at once: ingest (without labels, and validate), score.

It reads the rows that the Model's `data.uri` holds up to the cut, or another place with the same columns. Rows that the version cannot be
asked about end the run as failed, with a sentence: nobody looks at the result of a run that says it went well.
"""

from pathlib import Path

from kfp import compiler, dsl

from components import ingest, score
from components.needs import ready


@dsl.pipeline(  # type: ignore[untyped-decorator]
    name="batch-score",
    description="Snapshot rows without labels, validate them against a version, and write what the version says of each.",
)
def batch_score(document: str, champion: str, tracking_uri: str, cut: str, uri: str = "", history: str = "", to: str = "") -> int:
    """Score rows by a registered version.

    Args:
        document: the Model as JSON.
        champion: URI of the version that is asked (mlflow://models/NAME/7?sha256=DIGEST).
        tracking_uri: the MLflow server.
        cut: the data time up to which rows are read, ISO 8601.
        uri: where the rows are, where that is another place than the Model's `data.uri`; or empty.
        history: how far back from the cut rows are read, such as 1d, where that is not the Model's `data.history`; or empty.
        to: where the predictions are written besides the artifact, ending with .parquet; or empty.

    Returns:
        How many rows were scored.
    """
    common = {"document": document, "champion": champion, "tracking_uri": tracking_uri}
    taken = ready(ingest(**common, cut=cut, labelled=False, uri=uri, history=history))
    scored = ready(score(**common, to=to, dataset=taken.outputs["dataset"]))
    rows: int = scored.outputs["Output"]
    return rows


def compile_to(path: Path) -> None:
    """Write the pipeline's IR to `path`."""
    compiler.Compiler().compile(batch_score, package_path=str(path))
