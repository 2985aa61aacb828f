"""Making a version again from its rows, its settings and its seed, and saying whether it is the same: by what it predicts.

Predictions are compared on the version's own reference rows, where it recorded them when it was registered. What else differs (rows,
commit, libraries, features) is told either way: it is what a difference comes from.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from trimtab.errors import InvalidInput
from trimtab.manifest import sha256
from trimtab.schema import MODEL_FILES, PREDICTION, REFERENCE, Schema, read_schema
from trimtab.training.fit import again
from trimtab.training.fitted import read_fitted
from trimtab.training.frame import read_table
from trimtab.training.lineage import Lineage, commit, libraries
from trimtab.training.model import predict

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

RELATIVE, ABSOLUTE = 1e-5, 1e-7
"""Predictions are the same within 1e-5 of their size: models reckon with 24 bits, and sums may come in another order."""


class Reproduced(Struct, frozen=True, rename="camel"):
    """Whether the version made again predicts the same for its `rows` reference rows.

    `differing` of them get another prediction, `largest` is the greatest difference (None where there are more or fewer numbers);
    `differences` are sentences about all that is not as it was, `identical` says whether even the model's file is the same.
    """

    same: bool
    rows: int
    differing: int
    largest: float | None
    identical: bool
    differences: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """The result in one sentence."""
        if self.same:
            file = ", down to the model's file" if self.identical else ""
            return f"the same: all {self.rows} reference rows get the prediction that was recorded{file}"
        most = "" if self.largest is None else f" (largest difference {self.largest:.4g})"
        return f"not the same: {self.differing} of {self.rows} reference rows get another prediction{most}"


def reproduce(version: Path, lineage: Lineage, snapshot: Path, scratch: Path) -> Reproduced:
    """Make the version in the folder `version` again from the file of rows, in `scratch`, and compare the two.

    Raises InvalidInput where the version does not say how it was made, or its rows cannot be fitted any more.
    """
    fitted = read_fitted(version)
    if fitted is None:
        msg = f"the version in {version.name!r} does not say how it was fitted: it was not made by Trimtab's pipeline"
        raise InvalidInput(msg)
    before = read_schema(version)
    again(read_table(snapshot), lineage.made.spec, fitted, before.calibration, scratch)
    now = read_schema(scratch)
    reference = read_table(version / REFERENCE)
    recorded, predicted = recorded_predictions(reference), predict(scratch, reference)
    differing, largest, first = compare(recorded, predicted)
    digest = sha256(snapshot)
    told = [
        *([] if digest == lineage.data.digest else [f"the rows have SHA-256 {digest[:12]} instead of {lineage.data.digest[:12]}"]),
        *features_differ(before, now),
        *([first] if first else []),
        *circumstances_differ(lineage, commit(), libraries()),
    ]
    files = [folder / MODEL_FILES[schema.format] for folder, schema in ((version, before), (scratch, now))]
    identical = before == now and sha256(files[0]) == sha256(files[1])
    return Reproduced(differing == 0, len(recorded), differing, largest, identical, tuple(told))


def recorded_predictions(reference: "pa.Table") -> "np.ndarray[Any, Any]":
    """The predictions in a version's reference, in the shapes that `scores` describes."""
    import numpy as np

    return np.array(reference.column(PREDICTION).to_pylist(), dtype=np.float64)


def compare(recorded: "np.ndarray[Any, Any]", predicted: "np.ndarray[Any, Any]") -> tuple[int, float | None, str]:
    """How many rows differ, by how much at most, and a sentence about the first one; empty where all are the same.

    Shapes that are not the same differ in every row.
    """
    import numpy as np

    if recorded.shape != predicted.shape:
        text = f"predictions have shape {_shape(predicted)} instead of {_shape(recorded)}"
        return len(recorded), None, text
    size = np.maximum(np.abs(recorded), np.abs(predicted))
    off = np.abs(recorded - predicted)
    wrong = (off > ABSOLUTE + RELATIVE * size) | (np.isnan(recorded) != np.isnan(predicted))
    rows = wrong.any(axis=1) if wrong.ndim == 2 else wrong
    if not rows.any():
        return 0, float(np.nanmax(off, initial=0.0)), ""
    first = int(np.argmax(rows))
    text = f"the first reference row that differs is the {first + 1}.: {_told(predicted[first])} instead of {_told(recorded[first])}"
    return int(rows.sum()), float(np.nanmax(off, initial=0.0)), text


def features_differ(before: Schema, now: Schema) -> list[str]:
    """A sentence about the first thing in which the two models' inputs differ; none where they take the same."""
    if before.format != now.format:
        return [f"the model is of the format {now.format} instead of {before.format}"]
    gone, new = (sorted(set(one.names) - set(other.names)) for one, other in ((before, now), (now, before)))
    if gone or new:
        return [f"the features are others: gone are {', '.join(gone) or 'none'}, new are {', '.join(new) or 'none'}"]
    if before.names != now.names:
        return ["the features are in another order"]
    for old, made in zip(before.features, now.features, strict=True):
        if old.kind != made.kind:
            return [f"feature {old.name!r} is a {made.kind} instead of a {old.kind}"]
        if old.categories != made.categories:
            return [f"feature {old.name!r} has other categories: {len(made.categories)} instead of {len(old.categories)}"]
    return ["the classes of the label are others"] if before.classes != now.classes else []


def circumstances_differ(lineage: Lineage, commit_now: str, libraries_now: dict[str, str]) -> list[str]:
    """Sentences about commit and libraries, where they are not those of the version."""
    told = [] if commit_now == lineage.commit else [f"the commit is {commit_now[:12]} instead of {lineage.commit[:12]}"]
    for name, version in lineage.libraries.items():
        found = libraries_now.get(name, "missing")
        told += [] if found == version else [f"{name} is {found} instead of {version}"]
    return told


def _shape(values: "np.ndarray[Any, Any]") -> str:
    return " x ".join(map(str, values.shape))


def _told(value: Any) -> str:
    import numpy as np

    return ", ".join(f"{float(part):.6g}" for part in np.atleast_1d(value))
