"""Whether a watched place has something new. Pure: it compares what was seen with what the Model's status remembers.

The first look only remembers. An event's id follows from what was seen and from when the status was written last, so that a crash between
the Release and the status makes no second Release, and a place that comes back to an old mark is news again.
"""

import hashlib
from datetime import datetime

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from trimtab.addresses import shown
from trimtab.release import Request
from trimtab.spec import DataWatch, Model, Watched


class Seen(Struct, frozen=True):
    """What a place was at a moment of wall time: `mark` is its hash, `size` how many rows, files or partitions it had."""

    place: str
    mark: str
    size: int
    at: datetime


def watch_of(model: Model) -> tuple[DataWatch, str] | None:
    """How the Model's data is watched, and where; None where it is not."""
    watch = model.spec.retraining.new_data
    if watch is None or "newData" not in model.spec.retraining.on:
        return None
    return watch, watch.uri or model.spec.data.uri


def place_of(watch: DataWatch, uri: str) -> str:
    """Which place is looked at, and how; a change of either begins anew."""
    return hashlib.sha256(msgspec.json.encode((uri, watch.by))).hexdigest()[:16]


def noticed(model: Model, seen: Seen) -> tuple[Watched, str]:
    """What the status shall remember once `seen` was seen, and a sentence on what is new (empty: nothing)."""
    known = model.status.watched
    fresh = Watched(seen.place, seen.mark, seen.size, seen.at)
    if known is None or known.place != seen.place:
        return fresh, ""
    found = watch_of(model)
    if found is None or seen.at <= known.seen_at:
        return known, ""
    if model.status.champion is None:
        return replace(known, seen_at=seen.at), ""
    watch, uri = found
    grown = seen.size - known.size
    if watch.by == "count":
        if 0 <= grown < watch.rows:
            return replace(known, seen_at=seen.at), ""
        return fresh, f"{grown} more rows at {shown(uri)}, {seen.size} in all" if grown > 0 else ""
    if seen.mark == known.mark or (watch.by == "partition" and grown < 0):
        return fresh, ""
    if watch.by == "partition":
        return fresh, f"another partition at {shown(uri)}, {seen.size} in all"
    return fresh, f"files changed at {shown(uri)}, {seen.size} in all"


def request(model: Model, seen: Seen, cut: datetime, sentence: str) -> Request:
    """What something new asks for; `model` is as it was before `seen` was remembered."""
    known = model.status.watched
    since = known.seen_at.isoformat() if known else ""
    return Request(
        trigger="newData",
        source=f"/models/{model.metadata.namespace}/{model.name}/data",
        id=f"{model.metadata.uid}/{seen.place}/{seen.mark}@{since}",
        cut=cut,
        sentence=sentence,
        event={"mark": seen.mark, "size": seen.size, "seenAt": seen.at.isoformat()},
    )
