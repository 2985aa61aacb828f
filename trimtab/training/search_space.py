"""Where a search looks: the settings of the allowed estimators, what all of them may set, and where it begins."""

from collections.abc import Iterator
from typing import Any, Literal

from msgspec import Struct

from trimtab.spec import Estimator as Name
from trimtab.spec import Task
from trimtab.training.estimators import ESTIMATORS
from trimtab.training.estimators.base import Choice, Rows, Space
from trimtab.training.fitted import Fitted

_UNEVEN = 0.2
_FEWEST_RARE = 100
_HALF_LIVES = Choice((0.0, 0.0625, 0.125, 0.25, 0.5, 1.0))
_BALANCE = Choice((0.0, 0.5, 1.0))


class Start(Struct, frozen=True):
    """A setting that is tried before anything is sampled."""

    origin: Literal["defaults", "champion"]
    estimator: Name
    settings: dict[str, Any]


def common(rows: Rows) -> Space:
    """What every estimator may set: how fast old rows fade; and, where one of two classes is rare, how much more its rows count."""
    found: Space = {"half_life": _HALF_LIVES}
    if rows.schema.task == "binary":
        rarer = min(int((rows.labels == 1).sum()), int((rows.labels == 0).sum()))
        if _FEWEST_RARE <= rarer < _UNEVEN * rows.count:
            found["balance"] = _BALANCE
    return found


def defaults(task: Task, name: Name) -> dict[str, Any]:
    """An estimator's sound settings; all rows count alike."""
    return {**ESTIMATORS[name].defaults(task), "half_life": 0.0}


def starts(task: Task, spaces: dict[Name, Space], champion: Fitted | None) -> Iterator[Start]:
    """What is tried first: the defaults of each estimator in the order given, then what the champion was made with.

    Of the champion's settings those count that the space still has, moved into its bounds; the defaults stand for the others.
    """
    usual = {name: {**dict.fromkeys(space, 0.0), **defaults(task, name)} for name, space in spaces.items()}
    for name, settings in usual.items():
        yield Start("defaults", name, settings)
    own = next((name for name in spaces if champion is not None and champion.estimator == name), None)
    if own is None or champion is None:
        return
    admitted = {key: within.admit(champion.parameters.get(key)) for key, within in spaces[own].items()}
    settings = {**usual[own], **{key: value for key, value in admitted.items() if value is not None}}
    if settings != usual[own]:
        yield Start("champion", own, settings)
