"""Which champion a candidate is compared with, and on which rows: of the same age, and on rows that neither was trained on.

A candidate is judged by its twin, which is older than the version that will serve. A champion that was trained after the twin would be
ahead by nothing but its age: in a world that moves, an equal recipe then looks worse (on bike demand by 6 to 10%), and a retrained version
would hardly ever pass. So a champion is compared as it serves where it is no younger than the twin, else as its own twin, which is behind
its cut by as much.
"""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab.errors import InvalidInput
from trimtab.schema import read_schema
from trimtab.training.evaluation.ground import Ground
from trimtab.training.evaluation.measured import Judged, Opponent
from trimtab.training.evaluation.reference import holdout_start
from trimtab.training.fitted import read_fitted, twin
from trimtab.training.model import predict
from trimtab.training.scores import threshold

if TYPE_CHECKING:
    import numpy as np

ENOUGH_ROWS, ENOUGH_SHARE = 50, 0.2
"""On how many judged rows, and on which share of them, the champion must be no younger than the twin to be compared as it serves."""


def opponent(on: Ground, champion: Path) -> Opponent:
    """The champion as it is compared on the judged rows.

    Raises InvalidInput, naming the features, where the rows lack what the champion needs.
    """
    import numpy as np

    schema = read_schema(champion)
    lacking = [name for name in schema.names if name not in on.held.column_names]
    if lacking:
        msg = f"the champion needs {', '.join(map(repr, lacking))}, which the data no longer has"
        raise InvalidInput(msg)
    fitted = read_fitted(champion)
    until = fitted.trained_until if fitted is not None else None
    older = np.array([until is not None and known is not None and until <= known for known in on.learned_until])[on.fold]
    if older.sum() >= max(ENOUGH_ROWS, ENOUGH_SHARE * on.rows):
        place, rows = champion, older
    else:
        place, rows = twin(champion), _since(on, holdout_start(champion))
    chosen = np.flatnonzero(rows)
    said = predict(place, on.held.take(chosen))
    predictions = np.zeros((len(rows), *said.shape[1:]))
    predictions[chosen] = said
    cut = threshold(on.positive, said) if on.mine.task == "binary" and len(said) else None
    return Opponent(rows, Judged(on.mine.task, on.mine.labels, predictions, cut), "served" if place == champion else "twin")


def _since(on: Ground, start: datetime | None) -> "np.ndarray[Any, Any]":
    """Which rows are at or after `start`; all where there are no times."""
    import numpy as np
    import pyarrow.compute as pc

    time = on.spec.data.time
    if start is None or time is None:
        return np.ones(on.rows, dtype=bool)
    return np.asarray(pc.greater_equal(on.held.column(time), start).fill_null(False).to_numpy(), dtype=bool)
