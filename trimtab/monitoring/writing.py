"""How a batch is written: inside the writer's transaction, in a handful of statements whatever its size.

What identifies an event is looked up first, so that everything after it is about new ones only. Request and answer meet here in
any order: an answer that is early waits under its request's identity.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa

from trimtab.events import REQUEST
from trimtab.monitoring.ingest import Answered, Arrival, Asked, Labelled, identity, watermark
from trimtab.monitoring.tables import add, arrivals, insert, labels, rows, streams, tallies, waiting, watermarks

CHUNK = 500
MANY = 5000
ROWS, ANSWERED, UNTIMED, LATE_ROWS, LABELS, UNKNOWN = "rows", "answered", "untimed", "late", "labels", "unknown"
Item = TypeVar("Item")
Tally = Counter[tuple[str, str, str]]
Pair = tuple[str, str]


class Written(msgspec.Struct, frozen=True):
    """What became of a batch: which of its arrivals were new, in order, and how many new labels had a key that no row has yet."""

    fresh: tuple[bool, ...]
    unknown_keys: int


def write(connection: sa.Connection, found: Sequence[Arrival], received: datetime, *, replaying: bool) -> Written:
    """Keep the arrivals that are new."""
    answers = {_of_request(item): item for item in found if isinstance(item, Answered)}
    own = [identity(item.source, item.id, item.type) for item in found]
    numbers = _numbers(connection, {*own, *answers})
    fresh = _note(connection, own, numbers, received)
    new = [item for item, first in zip(found, fresh, strict=True) if first]
    asked = [(numbers[key], item) for item, key, first in zip(found, own, fresh, strict=True) if first and isinstance(item, Asked)]
    answered = {_of_request(item): item for item in new if isinstance(item, Answered)}
    labelled = [item for item in new if isinstance(item, Labelled)]
    tally: Tally = Counter()
    if asked:
        _keep_rows(connection, asked, answered, received, tally)
        _advance(connection, [item for _, item in asked], received, replaying)
    if answered:
        _keep_answers(connection, answered, numbers, received, tally)
    unknown = _keep_labels(connection, labelled, received, tally) if labelled else 0
    add(connection, tally)
    return Written(tuple(fresh), unknown)


def chunks(items: Iterable[Item]) -> Iterator[list[Item]]:
    """The items, as many at a time as a question asks about."""
    every = list(items)
    return (every[start : start + CHUNK] for start in range(0, len(every), CHUNK))


def _of_request(item: Answered) -> bytes:
    """The identity of the request that is answered."""
    return identity(item.source, item.id, REQUEST)


def _numbers(connection: sa.Connection, identities: set[bytes]) -> dict[bytes, int]:
    """The numbers of those arrivals that are there."""
    found: dict[bytes, int] = {}
    for part in chunks(identities):
        question = sa.select(arrivals.c.identity, arrivals.c.seq).where(arrivals.c.identity.in_(part))
        found.update((bytes(row.identity), row.seq) for row in connection.execute(question))
    return found


def _note(connection: sa.Connection, own: Sequence[bytes], numbers: dict[bytes, int], received: datetime) -> list[bool]:
    """Which arrivals are new; they are noted, and numbered in `numbers`."""
    following = int(connection.scalar(sa.select(sa.func.max(arrivals.c.seq))) or 0) + 1
    fresh: list[bool] = []
    notes: list[dict[str, object]] = []
    for key in own:
        fresh.append(key not in numbers)
        if fresh[-1]:
            numbers[key] = following + len(notes)
            notes.append({"seq": numbers[key], "identity": key, "received": received.timestamp()})
    if notes:
        connection.execute(sa.insert(arrivals), notes)
    return fresh


def _keep_rows(
    connection: sa.Connection, asked: list[tuple[int, Asked]], answered: dict[bytes, Answered], received: datetime, tally: Tally
) -> None:
    """Insert the rows, with their answers where these came before or come in the same batch (then taken out of `answered`)."""
    identities = {number: identity(item.source, item.id, item.type) for number, item in asked}
    early = _early(connection, [key for key in identities.values() if key not in answered])
    _known_now(connection, {(item.model, row.key) for _, item in asked for row in item.rows}, tally)
    found: list[dict[str, Any]] = []
    for number, item in asked:
        at_once = answered.pop(identities[number], None)
        answers = at_once.predictions if at_once else early.get(identities[number], ())
        shared = {"model": item.model, "version": item.version, "event": number, "id": item.id, "received": received.timestamp()}
        shared["unit"] = item.unit or None
        found += [
            {
                **shared,
                "position": row.position,
                "key": row.key,
                "time": row.time,
                "features": row.features,
                "prediction": answers[row.position] if row.position < len(answers) else None,
            }
            for row in item.rows
        ]
        tally[item.model, item.version, ROWS] += len(item.rows)
        tally[item.model, item.version, ANSWERED] += min(len(item.rows), len(answers))
        tally[item.model, item.version, UNTIMED] += sum(row.time is None for row in item.rows)
        if len(found) >= MANY:
            connection.execute(sa.insert(rows), found)
            found = []
    if found:
        connection.execute(sa.insert(rows), found)


def _early(connection: sa.Connection, requests: list[bytes]) -> dict[bytes, tuple[bytes, ...]]:
    """The answers that came before these requests; they wait no longer."""
    found: dict[bytes, tuple[bytes, ...]] = {}
    for part in chunks(requests):
        for row in connection.execute(sa.select(waiting).where(waiting.c.identity.in_(part))):
            found[bytes(row.identity)] = tuple(bytes(one) for one in msgspec.json.decode(row.predictions, type=list[msgspec.Raw]))
    for part in chunks(found):
        connection.execute(sa.delete(waiting).where(waiting.c.identity.in_(part)))
    return found


def _keep_answers(
    connection: sa.Connection, answered: dict[bytes, Answered], numbers: dict[bytes, int], received: datetime, tally: Tally
) -> None:
    """Give the answers to rows that are there; those whose request has not come wait for it."""
    events = {numbers[key]: item.predictions for key, item in answered.items() if key in numbers}
    updates = []
    for part in chunks(events):
        ours = rows.c.event.in_(part) & rows.c.prediction.is_(None)
        for row in connection.execute(sa.select(rows.c.seq, rows.c.event, rows.c.position, rows.c.model, rows.c.version).where(ours)):
            if row.position < len(events[row.event]):
                updates.append({"s": row.seq, "answer": events[row.event][row.position]})
                tally[row.model, row.version, ANSWERED] += 1
    if updates:
        connection.execute(sa.update(rows).where(rows.c.seq == sa.bindparam("s")).values(prediction=sa.bindparam("answer")), updates)
    early = [
        {"identity": key, "received": received.timestamp(), "predictions": b"[" + b",".join(item.predictions) + b"]"}
        for key, item in answered.items()
        if key not in numbers
    ]
    if early:
        connection.execute(sa.insert(waiting), early)


def _keep_labels(connection: sa.Connection, found: list[Labelled], received: datetime, tally: Tally) -> int:
    """Keep the labels, the last by time for a key; returns how many have a key that no row has yet."""
    wanted = {(item.model, item.key) for item in found}
    joined, present = _present(connection, rows, wanted), _present(connection, labels, wanted)
    upsert = insert(connection, labels)
    newest = upsert.on_conflict_do_update(
        index_elements=["model", "key"],
        set_={"value": upsert.excluded.value, "time": upsert.excluded.time, "received": upsert.excluded.received},
        where=upsert.excluded.time >= labels.c.time,
    )
    now = received.timestamp()
    values = [{"model": item.model, "key": item.key, "value": item.value, "time": item.time, "received": now} for item in found]
    connection.execute(newest, values)
    _go_on(connection, found)
    for model, key in wanted - present:
        tally[model, "", LABELS] += 1
        tally[model, "", UNKNOWN] += (model, key) not in joined
    return sum((item.model, item.key) not in joined for item in found)


def _go_on(connection: sa.Connection, found: list[Labelled]) -> None:
    """Note how far the labels of each value have come; one that takes a label back is of none."""
    newest: dict[tuple[str, bytes], float] = {}
    for item in found:
        if item.value != b"null":
            newest[item.model, item.stream] = max(item.time, newest.get((item.model, item.stream), item.time))
    upsert = insert(connection, streams)
    later = upsert.on_conflict_do_update(
        index_elements=["model", "value"], set_={"time": upsert.excluded.time}, where=upsert.excluded.time > streams.c.time
    )
    if newest:
        connection.execute(later, [{"model": model, "value": value, "time": time} for (model, value), time in newest.items()])


def _known_now(connection: sa.Connection, keys: set[Pair], tally: Tally) -> None:
    """Count off the labels that were here before the first row with their key, which comes now."""
    models = {model for model, _ in keys}
    question = sa.select(tallies.c.model).where(tallies.c.what == UNKNOWN, tallies.c.count > 0)
    early = {model for part in chunks(models) for model in connection.scalars(question.where(tallies.c.model.in_(part)))}
    found = _present(connection, labels, {pair for pair in keys if pair[0] in early})
    for model, _ in found - _present(connection, rows, found):
        tally[model, "", UNKNOWN] -= 1


def _present(connection: sa.Connection, table: sa.Table, pairs: set[Pair]) -> set[Pair]:
    """Those of the (model, key) that the table has."""
    found: set[Pair] = set()
    both = sa.tuple_(table.c.model, table.c.key)
    for part in chunks(pairs):
        found.update((row.model, row.key) for row in connection.execute(sa.select(table.c.model, table.c.key).where(both.in_(part))))
    return found


def _advance(connection: sa.Connection, asked: list[Asked], received: datetime, replaying: bool) -> None:
    newest: dict[str, float] = {}
    for item in asked:
        time = watermark(item.rows, received, replaying=replaying)
        if time is not None:
            newest[item.model] = max(time, newest.get(item.model, time))
    upsert = insert(connection, watermarks)
    later = upsert.on_conflict_do_update(
        index_elements=["model"], set_={"time": upsert.excluded.time}, where=upsert.excluded.time > watermarks.c.time
    )
    if newest:
        connection.execute(later, [{"model": model, "time": time} for model, time in newest.items()])
