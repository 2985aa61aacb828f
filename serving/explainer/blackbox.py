"""Explains what the predictor says without knowing what it is: Alibi asks, by the caged worker, and the predictor answers."""

import math
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec import Struct

from serving.explainer import worker
from serving.explainer.predictor import Budget, Predictor
from serving.explaining import Explained
from serving.predictor.protocol import Row
from trimtab import locked
from trimtab.cage import Cage
from trimtab.errors import InvalidInput
from trimtab.schema import REFERENCE, SCHEMA, Schema, encode

MOST_ROWS = 8
CACHED_ROWS = 1024
START_SECONDS = 120.0
GRACE_SECONDS = 15.0
"""How much longer than a request's seconds the worker may take between two calls of the predictor before it is killed."""


class Allowed(Struct, frozen=True):
    """What a request may cost."""

    calls: int = 1000
    seconds: float = 30.0


class BlackBox:
    """Explains rows of one version by one method; `cached` hears of each row that was explained before."""

    most_rows = MOST_ROWS

    def __init__(
        self,
        who: dict[str, str],
        schema: Schema,
        cage: Cage,
        predictor: Predictor,
        allowed: Allowed,
        cached: Callable[[], None],
    ) -> None:
        """`who` is what each explanation says first: method, model_name and model_version."""
        self._who = who
        self._schema = schema
        self._cage = cage
        self._predictor = predictor
        self._allowed = allowed
        self._cached = cached
        self._cache: OrderedDict[tuple[float, ...], dict[str, Any]] = OrderedDict()

    def explain(self, rows: list[Row]) -> Explained:
        """Each row's prediction and explanation. Rows that were explained before cost one call together.

        Raises InvalidInput where the predictor refuses a row, TooLarge where the budget is spent, Unavailable where predictor or
        worker do not answer.
        """
        matrix = encode(self._schema, rows)
        budget = Budget(self._allowed.calls, self._allowed.seconds)
        own = [{name: row[name] for name in self._schema.names} for row in rows]
        predictions = self._predictor.predict(own, budget)
        found = [self._explained(values, said, budget) for values, said in zip(matrix, predictions, strict=True)]
        return Explained(predictions, [{**self._who, **one, "prediction": said} for one, said in zip(found, predictions, strict=True)])

    def _explained(self, values: list[float], prediction: Any, budget: Budget) -> dict[str, Any]:
        row = [None if math.isnan(value) else value for value in values]
        key = tuple(math.inf if value is None else value for value in row)
        if key in self._cache:
            self._cached()
            self._cache.move_to_end(key)
            return self._cache[key]
        answer = self._cage.ask(
            {"row": row, "prediction": prediction}, lambda asked: self._predictor.predict([self._row(values) for values in asked], budget)
        )
        told = anchored(self._schema, answer, prediction) if "anchor" in answer else added_up(self._schema, answer)
        self._cache[key] = told
        if len(self._cache) > CACHED_ROWS:
            self._cache.popitem(last=False)
        return told

    def _row(self, values: list[float | None]) -> Row:
        """The reverse of `encode`."""
        return {
            feature.name: value if value is None or feature.kind == "number" else feature.categories[int(value)]
            for feature, value in zip(self._schema.features, values, strict=True)
        }


def anchored(schema: Schema, answer: dict[str, Any], prediction: Any) -> dict[str, Any]:
    """An anchor with what it holds for, in words."""
    if schema.task == "regression":
        holds = f"the prediction stays within {answer['within']:g} of this one"
    elif schema.task == "binary":
        second = schema.classes[1] if len(schema.classes) == 2 else "the second class"
        holds = f"the probability of {second!r} stays {'at least' if prediction >= 0.5 else 'below'} 0.5"
    else:
        holds = f"the most probable class stays {schema.classes[max(range(len(prediction)), key=prediction.__getitem__)]!r}"
    note = {} if answer["reached"] else {"note": f"no rule holds in {worker.THRESHOLD:.0%} of cases; this is the best that was found"}
    return {"anchor": answer["anchor"], "precision": answer["precision"], "coverage": answer["coverage"], "holds": holds, **note}


def added_up(schema: Schema, answer: dict[str, Any]) -> dict[str, Any]:
    """Shapley values on the prediction's own scale; of several classes as lists in their order."""
    by_output, base = answer["contributions"], answer["base_value"]
    if schema.task == "multiclass":
        moved = dict(zip(schema.names, map(list, zip(*by_output, strict=True)), strict=True))
        return {"scale": "probability of each class", "classes": schema.classes, "base_value": base, "contributions": moved}
    second = schema.classes[1] if len(schema.classes) == 2 else "the second class"
    scale = f"probability of {second!r}" if schema.task == "binary" else f"unit of the label {schema.label!r}"
    return {"scale": scale, "base_value": base[0], "contributions": dict(zip(schema.names, by_output[0], strict=True))}


def caged(python: Path, method: str, folder: Path, seconds: float) -> Cage:
    """The worker in the environment of `python`, warm: Alibi is imported and the version's reference is read.

    Raises InvalidInput where the version has no reference, Unavailable where the worker does not start.
    """
    if not (folder / REFERENCE).is_file():
        msg = f"the version in {folder.name!r} has no {REFERENCE}, and {method} needs rows to compare with"
        raise InvalidInput(msg)
    command = [str(python), "-I", locked.__file__, worker.__file__, "--method", method]
    command += ["--schema", str(folder / SCHEMA), "--reference", str(folder / REFERENCE)]
    cage = Cage("the explainer's worker", command, seconds + GRACE_SECONDS)
    cage.ask({}, within=START_SECONDS)
    return cage
