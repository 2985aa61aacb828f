"""A pipeline with one step of its own, built of Trimtab's components."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Output

from components import evaluate, ingest, register, report, search
from components import train as fit
from components.image import TRAINING_IMAGE
from components.needs import ready


@dsl.component(base_image=TRAINING_IMAGE, install_kfp_package=False)
def features(depth: int, dataset: Input[Dataset], made: Output[Dataset]) -> None:
    """Take the snapshot over as it is."""
    import shutil

    print(depth)
    shutil.copytree(dataset.path, made.path)


@dsl.pipeline(name="shop-draft")
def train(
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
    depth: int = 3,
) -> None:
    """Make one candidate version."""
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
        common = {"document": document, "compare_only": compare_only, "tracking_uri": tracking_uri, "seed": seed}
        made = features(depth=depth, dataset=data).set_caching_options(False).outputs["made"]
        with dsl.ParallelFor(shards, name="shares-of-the-search") as shard:
            found = ready(search(**common, champion=champion, shard=shard, shards=shards, work=work, dataset=made))
        trained = ready(fit(**common, evaluation=evaluation, trials=dsl.Collected(found.outputs["trials"]), dataset=made))
        model = trained.outputs["model"]
        scored = ready(evaluate(**common, champion=champion, model=model, dataset=data))
        ready(register(**run, compare_only=compare_only, dataset=data, model=model, evaluation=scored.outputs["evaluation"]))
    with dsl.Else(name="data-is-invalid"):
        ready(report(**run, dataset=data))
