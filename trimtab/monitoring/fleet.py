"""Over all models: how many of the columns that moved are to be expected by chance, and which model to look at first. Pure.

Each model spends its own budget and decides by itself (`deciding.py`); what is said here is information and decides nothing. With
many models small p-values come by chance alone, so that each model's is also told as a q-value: the false discovery rate at which it
would be called moved, by Benjamini and Hochberg (1995), "Controlling the False Discovery Rate", J. R. Statist. Soc. B 57(1), 289-300. A
model's p-value is its smallest one times its columns (Bonferroni), which is valid however the columns depend on each other.
"""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from trimtab.monitoring.deciding import Drift, window_p
from trimtab.monitoring.records import WindowRecord
from trimtab.monitoring.standing import STATES, Standing
from trimtab.schema import PREDICTION

RATE = 0.05


class Member(Struct, frozen=True):
    """A model with its champion's newest window that was tested, and how old its watermark is (seconds)."""

    model: str
    version: str | None
    stands: Standing
    record: WindowRecord | None
    lag: float | None
    open_quality: int = 0


class Row(Struct, frozen=True, rename="camel"):
    """A model in the fleet's list. `column` has the largest effect of those that moved, else of all; `q` is None without a test."""

    model: str
    version: str | None
    state: str
    sentence: str
    window: int | None
    end: float | None
    columns: int
    moved: int
    column: str | None
    effect: float | None
    p: float | None
    q: float | None
    metric: str | None
    value: float | None
    bound: float | None
    past: bool
    open_quality: int
    lag: float | None


class Fleet(Struct, frozen=True, rename="camel"):
    """The list, what to look at first coming first.

    `discoveries`: models with q at most `rate`, of which about that share is false. `by_chance`: models whose newest window would have a
    column below its level if nothing had moved anywhere, at most. `naive`: columns below 0.05 that chance alone would give.
    """

    rows: list[Row]
    models: int
    tested: int
    columns: int
    moved: int
    rate: float
    discoveries: int
    by_chance: float
    naive: float
    states: dict[str, int]


def benjamini_hochberg(p: Sequence[float]) -> list[float]:
    """The adjusted p-values (q-values), in the order given: those at most r are the discoveries at a false discovery rate of r."""
    values = np.asarray(p, dtype=float)
    order = np.argsort(values)[::-1]
    ranks = np.arange(len(values), 0, -1)
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(1.0, np.minimum.accumulate(values[order] * len(values) / ranks))
    return [float(value) for value in adjusted]


def fleet(members: Sequence[Member]) -> Fleet:
    """The fleet's list and its counts."""
    tested = [(member, drift) for member in members if (drift := _tested(member)) is not None]
    smallest = {member.model: window_p(drift) for member, drift in tested}
    q = dict(zip(smallest, benjamini_hochberg(list(smallest.values())), strict=True))
    rows = sorted((_row(member, smallest.get(member.model), q.get(member.model)) for member in members), key=_first)
    columns = sum(len(drift.columns) for _, drift in tested)
    return Fleet(
        rows=rows,
        models=len(members),
        tested=len(tested),
        columns=columns,
        moved=sum(row.moved > 0 for row in rows),
        rate=RATE,
        discoveries=sum(value <= RATE for value in q.values()),
        by_chance=sum(_by_chance(drift) for _, drift in tested),
        naive=RATE * columns,
        states={state: sum(row.state == state for row in rows) for state in STATES},
    )


def _tested(member: Member) -> Drift | None:
    drift = member.record.drift if member.record else None
    return drift if drift is not None and drift.columns else None


def _by_chance(drift: Drift) -> float:
    """The chance that a window in which nothing moved has a column below its level, at most: what its two kinds may spend."""
    of_features = max(1, sum(check.of != PREDICTION for check in drift.columns.values()))
    kinds = len({check.of == PREDICTION for check in drift.columns.values()})
    return min(1.0, drift.level * of_features * kinds)


def _row(member: Member, p: float | None, q: float | None) -> Row:
    drift = _tested(member) or Drift()
    moved = {name: check for name, check in drift.columns.items() if check.moved}
    among = moved or drift.columns
    column = max(among, key=lambda name: among[name].effect) if among else None
    record = member.record
    judged = record.judgement if record else None
    return Row(
        model=member.model,
        version=member.version,
        state=member.stands.state,
        sentence=member.stands.sentence,
        window=record.window if record else None,
        end=record.end if record else None,
        columns=len(drift.columns),
        moved=len(moved),
        column=column,
        effect=among[column].effect if column else None,
        p=p,
        q=q,
        metric=judged.metric if judged else None,
        value=judged.value if judged else None,
        bound=judged.bound if judged else None,
        past=judged is not None and judged.past,
        open_quality=member.open_quality,
        lag=member.lag,
    )


def _first(row: Row) -> tuple[int, bool, float, float, str]:
    """The worst state first; in it what is past its bound, then the rarest by chance, then the largest effect."""
    return STATES.index(row.state), not row.past, 1.0 if row.q is None else row.q, -(row.effect or 0.0), row.model
