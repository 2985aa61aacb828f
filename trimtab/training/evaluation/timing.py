"""How long two models take for the same predictions, in processor time and by turns, so that what else the machine does counts little."""

from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING

from msgspec import Struct

from trimtab.training.model import loaded

if TYPE_CHECKING:
    import pyarrow as pa

ROWS, PAIRS = 1000, 21
"""How many rows are predicted at once, at most, and how often by each of the two."""


class Timed(Struct, frozen=True, rename="camel"):
    """Milliseconds of processor time for the predictions of `rows` rows at once, the median of both sides."""

    rows: int
    candidate: float
    champion: float


def timed(candidate: Path, champion: Path, table: "pa.Table") -> Timed | None:
    """The two models, loaded once, take turns at the newest rows of the table; None where there are none.

    Raises InvalidInput where the rows lack what one of them needs.
    """
    rows = table.slice(max(0, table.num_rows - ROWS))
    if rows.num_rows == 0:
        return None
    asked = loaded(candidate), loaded(champion)
    for say in asked:
        say(rows)
    spent: tuple[list[float], list[float]] = [], []
    for turn in range(PAIRS):
        for side in (0, 1) if turn % 2 else (1, 0):
            begun = process_time()
            asked[side](rows)
            spent[side].append(process_time() - begun)
    mine, theirs = (1000 * sorted(one)[PAIRS // 2] for one in spent)
    return Timed(rows.num_rows, mine, theirs)
