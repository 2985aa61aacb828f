"""Component: clean the rows that are trained on. What is judged and kept with the version stays as it came."""

from components.image import TRAINING_IMAGE
from kfp import dsl
from kfp.dsl import Dataset, Input, Output


@dsl.component(base_image=TRAINING_IMAGE, install_kfp_package=False)
def prepare(document: str, dataset: Input[Dataset], prepared: Output[Dataset]) -> None:
    """Cap what lies absurdly far out, in the rows that `search` and `train` see.

    Args:
        document: the Model as JSON.
        dataset: the snapshot.
        prepared: the same rows in the same order, cleaned.
    """
    from pathlib import Path

    import msgspec
    from trimtab.spec import Model
    from trimtab.training.frame import holdout, read_table

    from steps.cleaning import cleaned, write

    spec = msgspec.json.decode(document, type=Model).spec
    table = read_table(Path(dataset.path))
    kept = {spec.data.key} if spec.task == "regression" else {spec.data.key, spec.data.label}
    write(cleaned(table, kept, holdout(table, spec.data)[0].trained), Path(dataset.path), Path(prepared.path))
