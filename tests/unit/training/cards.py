"""A card's values, as they come of a usual candidate, and changed where a test wants it."""

from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace

from tests.unit.training.data import model
from trimtab.making import Data
from trimtab.schema import Feature, Schema
from trimtab.spec import Model, ModelSpec
from trimtab.training.card_facts import Card
from trimtab.training.evaluate import Evaluation
from trimtab.training.fitted import Fitted
from trimtab.training.gate import GateResult
from trimtab.training.lineage import Facts, Lineage, Used, trace

UNTIL = datetime(2024, 3, 1, tzinfo=UTC)
DATA = Data("s3://crm/rows/*.parquet", "amount", time="at", key="case_id", exclude=("note",))
SCHEMA = Schema(
    "regression", "amount", (Feature("size", "number"), Feature("colour", "category", ("blue", "red"))), key="case_id", time="at"
)
EVALUATION = Evaluation(
    task="regression",
    primary="rmse",
    rows=5000,
    holdout_rows=1000,
    candidate={"rmse": 2.0, "mae": 1.5},
    baseline={"rmse": 9.0, "mae": 8.0},
    champion={"rmse": 2.2, "mae": 1.6},
    compared_with="6",
    interval={"rmse": (1.9, 2.1), "mae": (1.45, 1.55)},
)
GATES = (GateResult("rmse not worse than the champion's, margin x1.02", True, 2.0, 2.244, (1.9, 2.1)),)
FITTED = Fitted("xgboost", {"eta": 0.05, "rounds": 120}, 7, 5000, UNTIL)
FACTS = Facts("toy", "toy-1a2b3c", "uid-1", 1, "2024-03-01T00:00:00+00:00", "performance")
USED = Used("d" * 64, 5000, ("at", "case_id", "size", "colour", "amount"), datetime(2024, 1, 1, tzinfo=UTC), UNTIL)


def document(data: Data = DATA) -> Model:
    """The Model that the card is of."""
    return model(ModelSpec("regression", data))


def lineage(data: Data = DATA) -> Lineage:
    """The lineage of a version of it."""
    return trace(FACTS, document(data), USED, FITTED, "6")


def card(data: Data = DATA, evaluation: dict[str, Any] | None = None, **changes: Any) -> Card:
    """The card's values with these fields changed."""
    usual = Card(lineage(data), SCHEMA, replace(EVALUATION, **(evaluation or {})), GATES, FITTED)
    return replace(usual, **changes)
