"""The pipeline for tables: ingest (and validate), search, train, evaluate (and gate), register.

It ends with an outcome in MLflow whatever happens: a run whose data cannot be trained on skips to `report`, a candidate that a gate
stops is reported by `register`. With `compare_only` it is the evaluate-only entry: nothing is trained and nothing registered.

The search is one task for each of `shards`, at least one: kfp.local collects nothing from no task. Where there is nothing to search it
ends at once, before it has imported anything that takes time.

The file holds two YAML documents: the pipeline, and for Kubernetes alone the user of each pod, without whom a namespace of the
restricted Pod Security Standard refuses it. kfp.local reads the first and ignores the second.
"""

from pathlib import Path

from kfp import compiler, dsl

from components import evaluate, ingest, register, report, search, train
from components.needs import ready


@dsl.pipeline(  # type: ignore[untyped-decorator]
    name="tabular", description="Snapshot, validate, search, train, evaluate, gate and register one version of a Model on a table."
)
def tabular(
    document: str,
    name: str,
    cut: str,
    tracking_uri: str,
    release: str = "",
    release_uid: str = "",
    attempt: int = 1,
    trigger: str = "",
    champion: str = "",
    compare_only: str = "",
    announce: str = "",
    seed: int = 7,
    shards: list[int] = [0],  # noqa: B006 - KFP reads the default from the signature
    evaluation: str = "holdout",
    work: str = "",
    pipeline: str = "",
    snapshot: str = "",
) -> None:
    """Make one candidate version, or compare an existing one anew.

    Args:
        document: the Model as JSON.
        name: the registered model's name.
        cut: the data time up to which rows are read, ISO 8601.
        tracking_uri: the MLflow server.
        release: the Release's name; empty for a run that is started by hand.
        release_uid: the Release's uid; with the attempt it finds the run again. Where it is empty, the pipeline run's id does.
        attempt: the number of the attempt, from 1.
        trigger: what asked for the Release, such as person or performance; or empty.
        champion: URI of the version to compare with (mlflow://models/NAME/7?sha256=DIGEST), or empty.
        compare_only: URI of a registered version to compare anew instead of training, or empty.
        announce: URL of the monitor's /events: a run that is started by hand tells it that it has ended, and so becomes a Release.
        seed: the seed of everything random.
        shards: the shares of the search, from 0: one task each.
        evaluation: "holdout", or "rolling" for a twin from before each third of the holdout.
        work: a folder that outlives a task's process, from which a killed search goes on; or empty.
        pipeline: the published version of the pipeline that this is (name, version, digest), as JSON; empty for the built-in one.
        snapshot: "champion" where the rows are those that the champion was made from instead of what data.uri holds; or empty.
    """
    taken = ready(ingest(document=document, cut=cut, champion=champion, tracking_uri=tracking_uri, snapshot=snapshot))
    data = taken.outputs["dataset"]
    run = {
        "name": name,
        "release": release,
        "release_uid": release_uid,
        "attempt": attempt,
        "trigger": trigger,
        "cut": cut,
        "tracking_uri": tracking_uri,
        "document": document,
        "announce": announce,
        "pipeline": pipeline,
        "run_id": dsl.PIPELINE_JOB_ID_PLACEHOLDER,
    }
    with dsl.If(taken.outputs["Output"] == "valid", name="data-is-valid"):
        common = {"document": document, "compare_only": compare_only, "tracking_uri": tracking_uri, "seed": seed, "dataset": data}
        with dsl.ParallelFor(shards, name="shares-of-the-search") as shard:
            found = ready(search(**common, champion=champion, shard=shard, shards=shards, work=work))
        trained = ready(train(**common, evaluation=evaluation, trials=dsl.Collected(found.outputs["trials"])))
        model = trained.outputs["model"]
        scored = ready(evaluate(**common, champion=champion, model=model))
        ready(register(**run, compare_only=compare_only, dataset=data, model=model, evaluation=scored.outputs["evaluation"]))
    with dsl.Else(name="data-is-invalid"):
        ready(report(**run, dataset=data))


def compile_to(path: Path) -> None:
    """Write the pipeline's IR to `path`."""
    compiler.Compiler().compile(tabular, package_path=str(path))
