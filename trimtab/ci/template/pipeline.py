"""The pipeline @name@: Trimtab's for tables, but what is learned from are cleaned rows.

Trimtab gives a run every parameter of the function below, and takes `outcome.json` of `register` or `report` from it. What judges a
candidate (`evaluate`, `register`) gets the rows as `ingest` took them: a step of ours must not polish what it is judged by.
"""

from components import evaluate, ingest, register, report, search, train
from components.needs import Needs, ready
from kfp import dsl

from steps.prepare import prepare


@dsl.pipeline(name="@name@", description="Trimtab's pipeline for tables, which learns from cleaned rows.")
def pipeline(
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
    """Make one candidate version, or compare an existing one anew. `trimtab pipeline check` tells which parameters there must be."""
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
    common = {"document": document, "compare_only": compare_only, "tracking_uri": tracking_uri, "seed": seed}
    with dsl.If(taken.outputs["Output"] == "valid", name="data-is-valid"):
        rows = ready(prepare(document=document, dataset=data), Needs("500m", "1G")).outputs["prepared"]
        with dsl.ParallelFor(shards, name="shares-of-the-search") as shard:
            found = ready(search(**common, dataset=rows, champion=champion, shard=shard, shards=shards, work=work))
        trained = ready(train(**common, dataset=rows, evaluation=evaluation, trials=dsl.Collected(found.outputs["trials"])))
        model = trained.outputs["model"]
        scored = ready(evaluate(**common, dataset=data, champion=champion, model=model))
        ready(register(**run, compare_only=compare_only, dataset=data, model=model, evaluation=scored.outputs["evaluation"]))
    with dsl.Else(name="data-is-invalid"):
        ready(report(**run, dataset=data))
