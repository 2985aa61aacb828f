"""What a fit leaves besides its model: how it was made, and the twins that are judged in its place.

A version that serves is fitted on all rows, so nothing that it says of them can be held against it or for it. Its twins are
made alike and before the rows that they predict; a rolling evaluation has one for each third of the holdout.

    model.json, schema.json    the version that will serve
    training.json              `Fitted`
    twin/                      model and schema of the twin that saw nothing of the holdout; it stays with the version
    folds/2/, folds/3/         twins of later parts of the holdout; they are left behind when the version is registered
"""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec import Struct

from trimtab.errors import InvalidInput
from trimtab.training.frame import Fold

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

FITTED = "training.json"
TWIN = "twin"
FOLDS = "folds"

Mode = Literal["holdout", "rolling"]
"""How the holdout is predicted: by one twin, or by one for each third of it."""


class Fitted(Struct, frozen=True, rename="camel", omit_defaults=True):
    """How a version was made: enough to make it again from the same rows.

    `rows` is how many rows the serving model was fitted on, `trained_until` the time of the newest of them; `folds` are the
    holdout's, in row numbers of the run's own snapshot.
    """

    estimator: str
    parameters: dict[str, Any]
    seed: int
    rows: int
    trained_until: datetime | None = None
    refit: bool = True
    evaluation: Mode = "holdout"
    folds: tuple[Fold, ...] = ()


def write_fitted(folder: Path, fitted: Fitted) -> None:
    """Write `training.json`."""
    (folder / FITTED).write_bytes(msgspec.json.format(msgspec.json.encode(fitted, order="sorted"), indent=1))


def read_fitted(folder: Path) -> Fitted | None:
    """How the version in `folder` was made; None for one that Trimtab did not fit."""
    path = folder / FITTED
    if not path.is_file():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=Fitted)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        msg = f"{FITTED} of the model in {folder.name!r} cannot be read: {error}"
        raise InvalidInput(msg) from error


def twin(folder: Path) -> Path:
    """Where the model is that saw nothing of its version's holdout: the twin, or the version itself where it was not fitted anew."""
    return folder / TWIN if (folder / TWIN).is_dir() else folder


def predict_holdout(folder: Path, table: "pa.Table") -> "np.ndarray[Any, Any]":
    """What a fresh fit says of its own snapshot's holdout: each row predicted by the twin that saw nothing of it or later rows."""
    import numpy as np

    from trimtab.training.model import predict

    fitted = read_fitted(folder)
    if fitted is None or not fitted.folds:
        msg = f"the model in {folder.name!r} does not say what its holdout was"
        raise InvalidInput(msg)
    places = [twin(folder), *(folder / FOLDS / str(number) for number in range(2, len(fitted.folds) + 1))]
    parts = [predict(place, table.slice(fold.start, fold.stop - fold.start)) for fold, place in zip(fitted.folds, places, strict=True)]
    return np.concatenate(parts)
