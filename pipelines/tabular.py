"""The pipeline for tables: ingest (and validate), train, evaluate (and gate), register.

It ends with an outcome in MLflow whatever happens: a run whose data cannot be trained on skips to `report`, a candidate that a gate
stops is reported by `register`. With `compare_only` it is the evaluate-only entry: nothing is trained and nothing registered.
"""

from pathlib import Path

from kfp import compiler, dsl

from components import evaluate, ingest, register, report, train


def _resources(task: dsl.PipelineTask, cpu: str, memory: str) -> None:
    task.set_caching_options(False)
    task.set_cpu_request(cpu).set_cpu_limit("2").set_memory_request(memory).set_memory_limit("4G")
    task.set_retry(num_retries=1, backoff_duration="5s")


@dsl.pipeline(  # type: ignore[untyped-decorator]
    name="tabular", description="Snapshot, validate, train, evaluate, gate and register one version of a Model on a table."
)
def tabular(
    document: str,
    name: str,
    release: str,
    release_uid: str,
    attempt: int,
    cut: str,
    tracking_uri: str,
    champion: str = "",
    compare_only: str = "",
    seed: int = 7,
) -> None:
    """Make one candidate version, or compare an existing one anew.

    Args:
        document: the Model as JSON.
        name: the Model's name.
        release: the Release's name.
        release_uid: the Release's uid; with the attempt it finds the run again.
        attempt: the number of the attempt, from 1.
        cut: the data time up to which rows are read, ISO 8601.
        tracking_uri: the MLflow server.
        champion: URI of the version to compare with (mlflow://models/NAME/7?sha256=DIGEST), or empty.
        compare_only: URI of a registered version to compare anew instead of training, or empty.
        seed: the seed of everything random.
    """
    taken = ingest(document=document, cut=cut, champion=champion, tracking_uri=tracking_uri)
    _resources(taken, "500m", "1G")
    data = taken.outputs["dataset"]
    run = {"name": name, "release": release, "release_uid": release_uid, "attempt": attempt, "cut": cut, "tracking_uri": tracking_uri}
    with dsl.If(taken.outputs["Output"] == "valid", name="data-is-valid"):
        trained = train(document=document, compare_only=compare_only, tracking_uri=tracking_uri, seed=seed, dataset=data)
        _resources(trained, "1", "2G")
        model = trained.outputs["model"]
        scored = evaluate(
            document=document,
            champion=champion,
            compare_only=compare_only,
            tracking_uri=tracking_uri,
            seed=seed,
            dataset=data,
            model=model,
        )
        _resources(scored, "1", "2G")
        ended = register(**run, compare_only=compare_only, dataset=data, model=model, evaluation=scored.outputs["evaluation"])
        _resources(ended, "250m", "1G")
    with dsl.Else(name="data-is-invalid"):
        _resources(report(**run, dataset=data), "250m", "1G")


def compile_to(path: Path) -> None:
    """Write the pipeline's IR to `path`."""
    compiler.Compiler().compile(tabular, package_path=str(path))
