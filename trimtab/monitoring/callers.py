"""What the labels say of two versions between which callers are split: the evidence of an A/B rollout (`rollout/ab.py`).

The unit is the caller (`rows.unit`). Where the gateway assigns callers, those whom it cannot assign all get the champion: rows without a
unit are left out as soon as any row has one. Where none has, requests were split at random, and the unit is the row's key.

Of each caller only two numbers are kept: how many matured labels there are, and their sum. They are added up as event time matures, each
row once, so that a question that is asked every second costs what is new; after a restart they are added up anew from the store, for a
second at a time. What comes later than its label had time for, and a label that is corrected after it was counted, is left out, of both
versions alike.
"""

import hashlib
import threading
import time
from collections.abc import Collection, Iterator
from datetime import datetime
from functools import cache
from typing import Any

import msgspec
import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from trimtab.errors import InvalidInput
from trimtab.monitoring.columns import Floats, labelled
from trimtab.monitoring.reference import Reference
from trimtab.monitoring.store import Store
from trimtab.monitoring.tables import LATE, labels, moment, rows, windows
from trimtab.release import ArmOutcomes, Outcomes
from trimtab.schema import Schema

CLIPPED = 0.005
"""The share of the reference's labels beyond each of the two ends at which a number is clipped."""
WORK_SECONDS = 1.0
"""For how long rows are read before a question is answered."""
SLICE = 3600.0
_READ = 20_000
_LARGEST = 1e30


class Callers:
    """The callers of one version: their hashes (ascending), how many labels each has, and these labels' sum; all of shape (callers,)."""

    def __init__(self) -> None:
        self.ids: NDArray[np.uint64] = np.zeros(0, np.uint64)
        self.labels: Floats = np.zeros(0)
        self.sums: Floats = np.zeros(0)

    def add(self, ids: NDArray[np.uint64], values: Floats) -> None:
        """Add labels of these callers, a pair each."""
        new, place = np.unique(ids, return_inverse=True)
        counts: Floats = np.bincount(place, minlength=len(new)).astype(float)
        sums: Floats = np.bincount(place, values, len(new)).astype(float)
        at = np.searchsorted(self.ids, new)
        known = np.zeros(len(new), bool)
        known[at < len(self.ids)] = self.ids[at[at < len(self.ids)]] == new[at < len(self.ids)]
        self.labels[at[known]] += counts[known]
        self.sums[at[known]] += sums[known]
        if not known.all():
            self.ids = np.insert(self.ids, at[~known], new[~known])
            self.labels = np.insert(self.labels, at[~known], counts[~known])
            self.sums = np.insert(self.sums, at[~known], sums[~known])


class Experiment:
    """Two versions since a moment of event time, and how far their rows were added up (`done`, seconds since 1970)."""

    def __init__(self, champion: str, candidate: str, since: datetime) -> None:
        self.key = (champion, candidate, since)
        self.assigned = {champion: Callers(), candidate: Callers()}
        self.others = {champion: Callers(), candidate: Callers()}
        self.done = since.timestamp()
        self.slice = SLICE
        self.lock = threading.Lock()
        self._told: tuple[float, Outcomes] = (self.done, Outcomes())

    def told(self) -> Outcomes:
        """What the callers that were split come to."""
        if self._told[0] < self.done:
            split = self.assigned if any(len(one.ids) for one in self.assigned.values()) else self.others
            champion, candidate = split.values()
            self._told = (self.done, compared(champion, candidate, moment(self.done)))
        return self._told[1]


class Experiments:
    """The A/B rollouts that were asked about, at most one a model; a question is answered after `seconds` with what was read by then."""

    def __init__(self, store: Store, seconds: float = WORK_SECONDS) -> None:
        self._store = store
        self._seconds = seconds
        self._found: dict[str, Experiment] = {}

    def only(self, models: Collection[str]) -> None:
        """Forget what is kept of all other models."""
        for model in [known for known in self._found if known not in models]:
            del self._found[model]

    def outcomes(
        self, model: str, champion: str, candidate: str, since: datetime, matured: datetime | None, reference: Reference
    ) -> Outcomes:
        """What the labels say of both versions' rows after `since` and up to `matured`, or so far as could be read in a second.

        `reference` is the champion's: its schema reads the labels, and numbers are clipped at its own labels' quantiles. Raises
        InvalidInput where both are the same version.
        """
        if champion == candidate:
            msg = f"champion and candidate are both version {champion!r}; callers are split between two"
            raise InvalidInput(msg)
        found = self._found.get(model)
        if found is None or found.key != (champion, candidate, since):
            found = self._found[model] = Experiment(champion, candidate, since)
        with found.lock:
            if matured is not None:
                self._go_on(found, model, matured.timestamp(), reference)
            return found.told()

    def _go_on(self, found: Experiment, model: str, until: float, reference: Reference) -> None:
        ends, bounds = time.monotonic() + self._seconds, _bounds(reference)
        champion, candidate, _ = found.key
        while found.done < until:
            began, stop = time.monotonic(), min(until, found.done + found.slice)
            with self._store.transaction(reading=True) as connection:
                asked = {"model": model, "champion": champion, "candidate": candidate, "after": found.done, "until": stop}
                read = list(_read(connection.execute(_question(), asked).partitions(_READ), reference.schema))
            for version, assigned, ids, values in read:
                (found.assigned if assigned else found.others)[version].add(ids, np.clip(values, *bounds))
            found.done = stop
            took = time.monotonic() - began
            found.slice = max(1.0, found.slice * (2.0 if took < self._seconds / 10 else 0.5 if took > self._seconds / 2 else 1.0))
            if time.monotonic() >= ends:
                return


def compared(champion: Callers, candidate: Callers, until: datetime | None) -> Outcomes:
    """What two versions' callers come to."""
    counts, sums = (np.concatenate([getattr(champion, name), getattr(candidate, name)]) for name in ("labels", "sums"))
    if not len(counts):
        return Outcomes(until=until)
    square = (sums - sums.sum() / counts.sum() * counts) ** 2
    spread = float(np.mean(square))
    kurtosis = float(np.mean(square * square)) / spread**2 if spread**2 > 0.0 else 0.0
    return Outcomes(_arm(champion), _arm(candidate), spread, kurtosis, until)


def _arm(callers: Callers) -> ArmOutcomes:
    """One version's mean of all labels, and its variance over callers by the delta method."""
    many, every = len(callers.ids), float(callers.labels.sum())
    if not many:
        return ArmOutcomes()
    mean = float(callers.sums.sum()) / every
    off = callers.sums - mean * callers.labels
    return ArmOutcomes(many, int(every), mean, float(np.sum(off * off)) / every**2 * many / max(many - 1, 1))


def _bounds(reference: Reference) -> tuple[float, float]:
    known = reference.truth[np.isfinite(reference.truth)]
    if reference.schema.task != "regression" or not len(known):
        return -_LARGEST, _LARGEST
    low, high = np.quantile(known, [CLIPPED, 1.0 - CLIPPED])
    return float(low), float(high)


@cache
def _question() -> sa.CompoundSelect[Any]:
    """The labelled rows of two versions with event times `after` the one and up to `until` the other.

    The index of rows is by window before it is by time: a champion's rows are in those windows that touch the span, in none yet, or late.
    """
    model, after, until, *versions = (_asked(name) for name in ("model", "after", "until", "champion", "candidate"))
    ours = (rows.c.model == model) & (rows.c.time > after) & (rows.c.time <= until)
    known = (labels.c.model == rows.c.model) & (labels.c.key == rows.c.key) & (labels.c.value != b"null")
    question = sa.select(rows.c.version, rows.c.unit, rows.c.key, labels.c.value).select_from(rows.join(labels, known))
    parts = []
    for version in versions:
        touched = (windows.c.model == model) & (windows.c.version == version) & (windows.c.end > after) & (windows.c.start <= until)
        inside = rows.c.window.in_(sa.select(windows.c.window).where(touched))
        for place in (rows.c.window.is_(None), rows.c.window == LATE, inside):
            parts.append(question.where(ours, rows.c.version == version, place))
    return sa.union_all(*parts)


def _asked(name: str) -> sa.BindParameter[Any]:
    return sa.bindparam(name)


def _read(parts: Any, schema: Schema) -> Iterator[tuple[str, bool, NDArray[np.uint64], Floats]]:
    """The rows of each version, with and without a unit, some at a time: whose they are, and their labels where these can be read."""
    for part in parts:
        values = labelled(schema, [msgspec.json.decode(row.value) for row in part])
        ids = np.array([_hash(row.key if row.unit is None else row.unit) for row in part], np.uint64)
        named = [(row.version, row.unit is not None) for row in part]
        for version, assigned in dict.fromkeys(named):
            mine = np.array([name == (version, assigned) for name in named]) & ~np.isnan(values)
            yield version, assigned, ids[mine], values[mine]


def _hash(caller: str) -> int:
    return int.from_bytes(hashlib.blake2b(caller.encode(), digest_size=8).digest(), "big")
