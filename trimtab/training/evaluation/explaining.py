"""What the twin's predictions rest on, by three questions: Shapley values, LIME, and what is left when a feature is shuffled."""

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from trimtab.explanation import Explanation
from trimtab.training.evaluation.attribution import Explained, explain, shares_of
from trimtab.training.evaluation.ground import Ground
from trimtab.training.evaluation.lime import Agreement, agreement
from trimtab.training.evaluation.robustness import Robustness, robustness
from trimtab.training.evaluation.slices import MIN_ROWS
from trimtab.training.evaluation.spurious import Learned, Suspicion, suspicions

if TYPE_CHECKING:
    import numpy as np

_TRAINING_ROWS = 500
_TOP = 3


class Rests(Struct, frozen=True):
    """What the twin rests on over the judged rows, and what of it should not be trusted."""

    explained: Explained
    agreement: Agreement | None
    robustness: Robustness
    suspicions: tuple[Suspicion, ...]

    @property
    def explanation(self) -> Explanation:
        """The features' shares."""
        return self.explained.explanation

    def top(self, features: list[str], rows: "np.ndarray[Any, Any]") -> dict[str, float]:
        """The three features that matter most on the rows of a mask, with their shares; nothing where fewer than 50 were explained."""
        inside = rows[self.explained.rows]
        if inside.sum() < MIN_ROWS:
            return {}
        shares = shares_of(features, self.explained.sizes[inside])
        return dict(sorted(shares.items(), key=lambda one: -one[1])[:_TOP])


def rests(on: Ground, seed: int) -> Rests:
    """Explain the twin on the judged rows."""

    explained = explain(on.place, on.held, seed)
    sample = on.held.take(explained.rows)
    robust = robustness(on.place, on.schema, on.held, on.mine.labels, seed)
    before = explain(on.place, _spread(on.training, _TRAINING_ROWS), seed, _TRAINING_ROWS).explanation
    learned = {name: Learned(before.share(name), explained.explanation.share(name), robust.shuffled[name]) for name in on.schema.names}
    return Rests(
        explained=explained,
        agreement=agreement(on.place, on.schema, sample, explained.sizes, seed),
        robustness=robust,
        suspicions=suspicions(on.schema, on.training, on.held, learned),
    )


def _spread(table: Any, rows: int) -> Any:
    import numpy as np

    return table.take(np.unique(np.linspace(0, table.num_rows - 1, rows).astype(int)))
