"""What a window's answers rested on, from the version itself: a sample of its rows goes to the predictor's `:explain`.

What they are held against is of training: the absolute attributions of the reference's rows, which stay with the version, had by the same
method. Rows are held against those of the same hours of day and weekdays, as far as the reference knows them, so that a cycle is not a
moved order.
"""

import http.client
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct

from trimtab.errors import InvalidInput, Unavailable
from trimtab.explanation import ATTRIBUTIONS, EXPLAINED_AT, read_explanation
from trimtab.monitoring.columns import Floats
from trimtab.monitoring.explanation import LEAST_ROWS, Ranking, Sizes, ranked, sizes_of
from trimtab.monitoring.ingest import event_time
from trimtab.monitoring.pairing import ask
from trimtab.monitoring.ports import WatchedVersion
from trimtab.monitoring.records import Content
from trimtab.monitoring.seasons import alike
from trimtab.schema import Schema

METHOD = "tree_shap"
ROWS, BATCH = 256, 32
TIMEOUT = 10.0


class Attributed(Struct, frozen=True):
    """Absolute attributions of the reference's rows in shape (rows, features), and the rows' event times (NaN: unknown)."""

    values: Floats
    times: Floats


def attributed(folder: Path, schema: Schema) -> Attributed | str:
    """What the version in `folder` rested on in training, or why that tells nothing of live rows.

    Raises InvalidInput where its files cannot be read.
    """
    told = read_explanation(folder)
    if told is None or not (folder / ATTRIBUTIONS).is_file():
        return "the version keeps no attributions of its reference"
    if told.method != METHOD:
        return f"a predictor explains trees alone, and the version's attributions are {told.method}"
    try:
        found = pq.read_table(folder / ATTRIBUTIONS)
        values = np.column_stack([found.column(name).to_numpy() for name in schema.names]).astype(float)
        times = found.column(EXPLAINED_AT).to_pylist() if EXPLAINED_AT in found.column_names else [None] * found.num_rows
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        msg = f"{ATTRIBUTIONS} of the model in {folder.name!r} cannot be read: {error}"
        raise InvalidInput(msg) from error
    read = [event_time(value) for value in times]
    return Attributed(values, np.array([np.nan if seconds is None else seconds for seconds in read], dtype=float))


def rank(version: WatchedVersion, model: str, schema: Schema, content: Content, bound: float, identity: str) -> Ranking:
    """The ranking of a window's rows; raises Unavailable where the version does not answer now, InvalidInput as `attributed` does."""
    if not version.url:
        return Ranking(bound=bound, failed="there is no predictor to ask")
    known = attributed(version.folder, schema)
    if isinstance(known, str):
        return Ranking(bound=bound, failed=known)
    answered = [place for place, prediction in enumerate(content.predictions) if prediction is not None]
    if len(answered) < LEAST_ROWS:
        return Ranking(bound=bound, rows=len(answered), failed=f"fewer than {LEAST_ROWS} rows have an answer to explain")
    chosen = [answered[place] for place in np.unique(np.linspace(0, len(answered) - 1, min(len(answered), ROWS)).astype(int))]
    asked = [{name: content.instances[place].get(name) for name in schema.names} for place in chosen]
    contributions = explain(version.url, model, asked)
    if len(contributions) < LEAST_ROWS:
        return Ranking(bound=bound, rows=len(contributions), failed=f"the version explained {len(contributions)} of {len(asked)} rows")
    try:
        live = sizes_of(schema.names, contributions)
    except (KeyError, TypeError, ValueError):
        return Ranking(bound=bound, failed="the version's explanations are not of its features")
    weights = alike(known.times, np.array(content.times)).weights
    sides = Sizes(known.values, weights), Sizes(live, np.ones(len(live)))
    return ranked(schema.names, *sides, len(answered), bound, identity)


def explain(url: str, model: str, rows: list[dict[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows' contributions by feature; those of a batch that the version refuses are left out.

    Raises Unavailable where it does not answer.
    """
    found: list[Mapping[str, Any]] = []
    for start in range(0, len(rows), BATCH):
        batch = [msgspec.json.encode(row) for row in rows[start : start + BATCH]]
        try:
            status, explanations = ask(url, model, batch, TIMEOUT, "explain")
        except OSError as error:
            msg = f"a predictor of {model} did not explain its answers: {error}"
            raise Unavailable(msg) from error
        if status in (http.client.NOT_FOUND, http.client.TOO_MANY_REQUESTS) or status >= http.client.INTERNAL_SERVER_ERROR:
            msg = f"a predictor of {model} did not explain its answers: HTTP {status}"
            raise Unavailable(msg)
        found += [one["contributions"] for one in explanations if isinstance(one, dict) and one.get("method") == METHOD]
    return found
