"""What a version's predictions rest on: each feature's share of the attribution. It stays with the version, in `explanation.json`.

Training writes it of the model that serves, on its reference rows, and row by row in `attributions.parquet`, which the monitor holds the
attributions of traffic against.
"""

from pathlib import Path

import msgspec
from msgspec import Struct

from trimtab.errors import InvalidInput

EXPLANATION = "explanation.json"
# Of each explained row the absolute Shapley values, a column a feature, and its event time where the version has one.
ATTRIBUTIONS = "attributions.parquet"
EXPLAINED_AT = "__time"


class Attribution(Struct, frozen=True, omit_defaults=True):
    """A feature's share of the mean absolute Shapley values of all features, from 0 to 1, and its 95% interval."""

    feature: str
    share: float
    interval: tuple[float, float] | None = None


class Explanation(Struct, frozen=True, omit_defaults=True):
    """The features in the order of their shares, the largest first; `method` says how Shapley values were had, on how many rows.

    `tree_shap`: exactly, along the paths of trees (Lundberg et al., 2020). `additive`: exactly, for a model that adds up what single
    features say. `sampled`: by random orders of the features (Strumbelj and Kononenko, 2014). All are of log odds where the task is a
    classification; of several classes the absolute values are added.
    """

    method: str
    rows: int
    features: tuple[Attribution, ...]

    def share(self, feature: str) -> float:
        """The feature's share; 0 for one that the model does not have."""
        return next((one.share for one in self.features if one.feature == feature), 0.0)


def read_explanation(folder: Path) -> Explanation | None:
    """The explanation of the version in `folder`, None where it has none; raises InvalidInput where it cannot be read."""
    path = folder / EXPLANATION
    if not path.is_file():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=Explanation)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        msg = f"{EXPLANATION} of the model in {folder.name!r} cannot be read: {error}"
        raise InvalidInput(msg) from error
