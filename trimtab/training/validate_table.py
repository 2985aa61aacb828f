"""The rows as rows: enough of them, each once, each with a key of its own, and up to the cut."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from trimtab.events import aware
from trimtab.training.checks import Check, Severity
from trimtab.training.source import identifier
from trimtab.training.validate_rows import Look, moments
from trimtab.units import duration

COPIES_STOP, COPIES_WARN = 0.05, 0.01
"""Shares of rows that are copies of another row."""
CHANCE = 2.0
"""Equal rows are copies only if the pairs that agree in half of the columns, and not in all, are fewer than half of them."""
STALE_STOP, STALE_WARN = 0.1, 0.05
"""How much of the window's length (of `data.history`, or of the time that the rows span) may have no rows at its end."""
_SEEN = 0.02
"""Rows came after the champion if the newest is so much later; less, and its sample of 10,000 rows may just lack the last of them."""
PAUSES = 10.0
"""... and how many times the longest usual pause (99% of them) between two rows that is at least."""


def keys(look: Look) -> Iterator[Check]:
    """Keys that are missing or not a row's own: late labels could not be joined."""
    name, count = look.spec.data.key, look.rows.count
    if name is None:
        return
    present = int(look.rows.one(f"count({identifier(name)})")[0])
    if present < count:
        sentence = f"key {name!r} is null in {count - present} rows: labels could not be joined"
        yield Check("key", name, f"{count - present} nulls", "a key in each row", count - present, sentence)
    repeated = present - look.rows.different(name)
    if repeated:
        sentence = f"key {name!r} is not unique: {repeated} rows repeat another row's key"
        yield Check("key", name, f"{repeated} repeated", "one row a key", repeated, sentence)


def copies(look: Look) -> Iterator[Check]:
    """Rows that are there more than once, and not by chance.

    Coarse rows agree by chance, and then they agree in half of their columns far more often than in all. Copies agree in all at
    once. Rows with a key of their own may be two of a kind (an order's lines), and are only told.
    """
    names = [name for name in look.rows.kinds if name != look.spec.data.key]
    if len(names) < 2:
        return
    repeated, pairs = _repeated(look, names)
    share = repeated / look.rows.count
    if share <= COPIES_WARN:
        return
    telling = sorted(names, key=lambda name: -look.rows.different(name))
    by_chance = _repeated(look, telling[::2])[1] - pairs
    if by_chance * CHANCE >= repeated:
        return
    severity: Severity = "stop" if share > COPIES_STOP and look.spec.data.key is None else "warn"
    sentence = f"{repeated} of {look.rows.count} rows ({share:.1%}) are copies of another row; at most {COPIES_WARN:.0%} is allowed: "
    sentence += "was a join or a load repeated?"
    yield Check("copies", "", f"{share:.1%} copies", f"at most {COPIES_WARN:.0%}", repeated, sentence, severity)


def _repeated(look: Look, names: list[str]) -> tuple[int, int]:
    """How many rows repeat another in these columns, and how many pairs of rows agree in them, by a 64-bit hash."""
    groups = f"SELECT count(*) AS size FROM rows GROUP BY hash({', '.join(map(identifier, names))})"  # noqa: S608
    query = f"SELECT sum(size - 1)::BIGINT, sum(size * (size - 1) // 2)::BIGINT FROM ({groups})"  # noqa: S608
    repeated, pairs = look.rows.connection.execute(query).fetchall()[0]
    return int(repeated), int(pairs)


def stale(look: Look) -> Iterator[Check]:
    """Whether the newest labelled row is much older than the cut lets it be.

    It stops the run where the window has a declared length, or where rows came after the champion's newest: data that flowed, and
    no longer does. Data that never moved (a file that is trained on again) is only told of.
    """
    time, cut = look.spec.data.time, look.cut
    at = moments(look.rows.sample, time)
    if cut is None or time is None or at is None or len(at) < 2:
        return
    newest = datetime.fromtimestamp(int(look.rows.one(f"epoch_us(max({identifier(time)}))")[0]) / 1e6, UTC)
    silence = aware(cut) - duration(look.spec.data.label_delay) - newest
    length = duration(look.spec.data.history) if look.spec.data.history else timedelta(microseconds=int(at.max() - at.min()))
    pause = timedelta(microseconds=float(np.quantile(np.diff(np.sort(at)), 0.99)))
    if silence <= length * STALE_WARN or silence <= pause * PAUSES:
        return
    flowed = look.spec.data.history is not None or _since_champion(look, newest) > length * _SEEN
    allowed = max(length * STALE_STOP, pause * PAUSES)
    severity: Severity = "stop" if flowed and silence > allowed else "warn"
    sentence = f"the newest labelled row is {_days(silence)} older than the cut and data.labelDelay let it be; "
    sentence += f"at most {_days(allowed)} is allowed: do rows still come?"
    yield Check("stale", time, _days(silence), f"at most {_days(allowed)}", 0, sentence, severity)


def _since_champion(look: Look, newest: datetime) -> timedelta:
    """How much later the newest row is than the newest that the champion's sample of rows holds; nothing without one."""
    reference: Any = look.champion.reference if look.champion is not None else None
    before = moments(reference, look.spec.data.time) if reference is not None else None
    return timedelta(0) if before is None else newest - datetime.fromtimestamp(int(before.max()) / 1e6, UTC)


def _days(length: timedelta) -> str:
    return f"{length / timedelta(days=1):.1f} days"
