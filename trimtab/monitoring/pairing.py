"""Champion and candidate score the same rows, off the request path: the difference of their losses is the judge's evidence (design §7)."""

import http.client
import logging
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec
import numpy as np
import sqlalchemy as sa
from msgspec import Struct

from trimtab.monitoring.columns import Floats, labelled, predicted
from trimtab.monitoring.metric import losses
from trimtab.monitoring.ports import Watched, WatchedVersion
from trimtab.monitoring.records import parsed
from trimtab.monitoring.reference import Reference
from trimtab.monitoring.store import Store
from trimtab.monitoring.tables import appearances, insert_new, labels, rows, scores
from trimtab.release import PairedLosses
from trimtab.spec import Task

log = logging.getLogger(__name__)
BATCH = 64
COMPARED = 10_000
"""How many rows are held against each other at most: enough for any verdict but one at its very threshold."""
TIMEOUT = 2.0
ROUND_SECONDS = 5.0
_HEADERS = {"content-type": "application/json", "x-trimtab-capture": "off"}


class Scored(Struct, frozen=True):
    """How a version did with a batch: a prediction a row (JSON; None where it cannot score the row), or nothing if it did not answer."""

    predictions: list[bytes | None] | None


class Unscored(Struct, frozen=True):
    """A row that a version has not scored."""

    seq: int
    key: str
    features: bytes


def ask(
    url: str, model: str, instances: list[bytes], timeout: float = TIMEOUT, verb: Literal["predict", "explain"] = "predict"
) -> tuple[int, list[Any]]:
    """POST the instances to the predictor at `url` (V1 protocol); returns status and answers. Raises OSError where none comes."""
    place = urlsplit(url)
    kind = http.client.HTTPSConnection if place.scheme == "https" else http.client.HTTPConnection
    connection = kind(place.hostname or "", place.port, timeout=timeout)
    try:
        connection.request("POST", f"{place.path}/v1/models/{model}:{verb}", b'{"instances":[' + b",".join(instances) + b"]}", _HEADERS)
        response = connection.getresponse()
        body = response.read()
        if response.status != http.client.OK:
            return response.status, []
        answers = msgspec.json.decode(body)["predictions" if verb == "predict" else "explanations"]
        return response.status, answers if isinstance(answers, list) else []
    except (http.client.HTTPException, msgspec.DecodeError, KeyError, TypeError) as error:
        msg = f"the predictor's answer cannot be read: {type(error).__name__}"
        raise ConnectionError(msg) from error
    finally:
        connection.close()


def score(url: str, model: str, instances: list[bytes]) -> Scored:
    """Score the rows; one that makes the version answer an error is found by halving and is left without a prediction.

    A version that does not answer, or is not there or not ready (404, 429, 503), has scored nothing: worth trying again.
    """
    try:
        status, predictions = ask(url, model, instances)
    except OSError as error:
        log.info("a predictor of %s did not score %d rows: %s", model, len(instances), error)
        return Scored(None)
    if status == http.client.OK and len(predictions) == len(instances):
        return Scored([msgspec.json.encode(prediction) for prediction in predictions])
    if status in (404, 429, 503):
        return Scored(None)
    if len(instances) == 1:
        return Scored([None])
    middle = len(instances) // 2
    halves = [score(url, model, half).predictions for half in (instances[:middle], instances[middle:])]
    if halves[0] is None or halves[1] is None:
        return Scored(None)
    return Scored(halves[0] + halves[1])


def compared(task: Task, truth: Floats, answers: Sequence[Floats], clip: float) -> PairedLosses:
    """The losses of two versions' `answers` on the rows where nothing is missing, of labels or of answers."""
    usable = ~np.isnan(truth)
    for side in answers:
        usable &= ~np.isnan(side.reshape(len(truth), -1)).any(axis=1)
    first, second = (losses(task, truth[usable], side[usable]) for side in answers)
    return PairedLosses(tuple(first.tolist()), tuple(second.tolist()), clip)


class Scores:
    """What versions said of rows, and since when they are to be asked."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._cursor: dict[tuple[str, str], int] = {}

    def pending(self) -> set[str]:
        """The models of which a version stood beside the champion when they were last looked at."""
        with self._store.transaction(reading=True) as connection:
            return set(connection.scalars(sa.select(appearances.c.model).distinct()))

    def appear(self, model: str, versions: list[str], watermark: datetime) -> dict[str, datetime]:
        """Note which versions stand beside the champion; returns since when (data time) each does."""
        with self._store.transaction() as connection:
            known = connection.execute(sa.select(appearances.c.version, appearances.c.since).where(appearances.c.model == model))
            since = {row.version: float(row.since) for row in known}
            gone = [version for version in since if version not in versions]
            new = [version for version in versions if version not in since]
            if gone:
                connection.execute(sa.delete(appearances).where(appearances.c.model == model, appearances.c.version.in_(gone)))
            for version in new:
                connection.execute(sa.insert(appearances), {"model": model, "version": version, "since": watermark.timestamp()})
                since[version] = watermark.timestamp()
        return {version: datetime.fromtimestamp(since[version], watermark.tzinfo) for version in versions}

    def unscored(self, model: str, version: str, since: datetime) -> list[Unscored]:
        """At most 64 rows after `since` (data time) that the version has not scored; of rows with the same key only the first."""
        start = self._cursor.get((model, version), 0)
        done = sa.exists().where(scores.c.model == model, scores.c.version == version, scores.c.key == rows.c.key)
        ours = (rows.c.model == model) & (rows.c.seq > start) & (rows.c.time > since.timestamp()) & ~done
        question = sa.select(rows.c.seq, rows.c.key, rows.c.features).where(ours).order_by(rows.c.seq).limit(BATCH)
        with self._store.transaction(reading=True) as connection:
            found = connection.execute(question).all()
        first: dict[str, Unscored] = {}
        for row in found:
            first.setdefault(row.key, Unscored(row.seq, row.key, row.features))
        return list(first.values())

    def keep(self, model: str, version: str, asked: list[Unscored], scored: Scored) -> None:
        """Keep the scores; None is a row that the version cannot score."""
        if scored.predictions is None or not asked:
            return
        found = [
            {"model": model, "version": version, "key": row.key, "row": row.seq, "prediction": prediction}
            for row, prediction in zip(asked, scored.predictions, strict=True)
        ]
        with self._store.transaction() as connection:
            insert_new(connection, scores, found)
        self._cursor[(model, version)] = max(row.seq for row in asked)

    def paired(self, model: str, champion: str, candidate: str, since: datetime, matured: datetime, reference: Reference) -> PairedLosses:
        """Losses of both on the same rows, with event times after `since` and at most `matured`, in event-time order.

        `reference` is the champion's: its schema reads labels and predictions, its metrics hold the clip.
        """
        left, right = scores.alias(), scores.alias()
        ours = (left.c.model == model) & (left.c.version == champion) & left.c.prediction.is_not(None)
        theirs = (right.c.model == model) & (right.c.key == left.c.key) & (right.c.version == candidate) & right.c.prediction.is_not(None)
        known = (labels.c.model == model) & (labels.c.key == left.c.key)
        when = (rows.c.time > since.timestamp()) & (rows.c.time <= matured.timestamp())
        joined = left.join(right, theirs).join(rows, rows.c.seq == left.c.row).join(labels, known)
        question = sa.select(left.c.prediction, right.c.prediction, labels.c.value).select_from(joined).where(ours, when)
        with self._store.transaction(reading=True) as connection:
            found = [tuple(parsed(part) for part in row) for row in connection.execute(question.order_by(rows.c.time, rows.c.seq))]
        schema, clip = reference.schema, reference.metrics.loss_clip
        if not found:
            return PairedLosses(clip=clip)
        truth = labelled(schema, [row[2] for row in found])
        return compared(schema.task, truth, [predicted(schema, [row[side] for row in found]) for side in (0, 1)], clip)

    def predictions(self, model: str, champion: str, candidate: str, since: datetime) -> tuple[list[Any], list[Any]]:
        """What both said of the first `COMPARED` rows with event times after `since`, as these came; None where there is no prediction."""
        left, right = scores.alias(), scores.alias()
        ours = (left.c.model == model) & (left.c.version == champion) & (rows.c.time > since.timestamp())
        theirs = (right.c.model == model) & (right.c.key == left.c.key) & (right.c.version == candidate)
        joined = left.join(right, theirs).join(rows, rows.c.seq == left.c.row)
        question = sa.select(left.c.prediction, right.c.prediction).select_from(joined).where(ours).order_by(rows.c.seq).limit(COMPARED)
        with self._store.transaction(reading=True) as connection:
            found = connection.execute(question).all()
        one, other = ([None if row[side] is None else parsed(row[side]) for row in found] for side in (0, 1))
        return one, other

    def counts(self) -> dict[str, int]:
        """How many scores there are, and how many rows a version could not score."""
        question = sa.select(sa.func.count(), sa.func.count(scores.c.prediction))
        with self._store.transaction(reading=True) as connection:
            every, good = connection.execute(question).one()
        return {"scored": int(good), "failed": int(every - good)}


def pair(asked: Scores, watched: Watched, watermark: datetime, stopping: threading.Event) -> int:
    """Let the model's versions score what they have not, for some seconds at most; returns how many of them did not answer."""
    since = asked.appear(watched.id, [version.version for version in watched.others], watermark)
    if not since:
        return 0
    first, deadline = min(since.values()), time.monotonic() + ROUND_SECONDS
    going = lambda: time.monotonic() < deadline and not stopping.is_set()  # noqa: E731
    return sum(not _answers(asked, watched, version, since.get(version.version, first), going) for version in watched.versions)


def _answers(scored: Scores, watched: Watched, version: WatchedVersion, since: datetime, going: Callable[[], bool]) -> bool:
    """Whether the version answered as long as there was something to ask it, and time."""
    while version.url and going():
        unscored = scored.unscored(watched.id, version.version, since)
        if not unscored:
            return True
        found = score(version.url, watched.model.name, [row.features for row in unscored])
        if found.predictions is None:
            return False
        scored.keep(watched.id, version.version, unscored, found)
    return True
