"""The port `Traffic` on a laptop: blocks of evidence out of Envoy's counters by version.

Counters are exact at any time; the latency histogram is as of the last merge, which asking for statistics causes. So a look asks
twice and uses the second answer. A slow answer whose merge came late counts in the next block of the same weights, and no block
has more slow answers than requests. A request that Envoy timed out is an error and slow.
"""

import re
import urllib.parse
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct

from trimtab.platforms.counting import accounted, by_bucket, since, went_back
from trimtab.platforms.local.envoy import Admin, Envoy
from trimtab.platforms.local.envoy_config import Route, cluster_name
from trimtab.release import ArmCounts, Block
from trimtab.spec import Model


class Cursor(Struct, frozen=True):
    """Where reading stands: which Envoy and which weights the counts belong to, and what was accounted for until `at`.

    `generation` is empty where the weights changed while they were read: then nothing is compared with this reading.
    `lost` counts the requests that no block holds, because the weights changed or Envoy started anew between two looks.
    """

    node: str
    generation: str
    champion: str
    candidate: str
    slow_ms: int
    weight: int
    at: datetime
    counts: tuple[ArmCounts, ArmCounts]
    lost: int = 0


class EnvoyTraffic:
    """Reads the gateway's counters; keeps nothing between looks."""

    def __init__(self, envoy: Envoy) -> None:
        self._envoy = envoy

    def arms(self, model: Model, champion: str, candidate: str, slow_ms: int, cursor: dict[str, Any]) -> tuple[list[Block], dict[str, Any]]:
        """The block since `cursor`, if it had requests and one constant weight throughout, and the cursor after it.

        `slow_ms` must be one of Envoy's bucket bounds. Raises Unavailable while Envoy does not answer.
        """
        last = msgspec.convert(cursor, Cursor) if cursor else None
        with self._envoy.admin() as admin:
            node = admin.node()
            before = admin.routes().get(model.name, Route("", {}))
            counts = read_counts(admin, model.name, (champion, candidate), slow_ms)
            route = admin.routes().get(model.name, Route("", {}))
        generation = route.generation if before == route else ""
        here = Cursor(node, generation, champion, candidate, slow_ms, route.percent(candidate), datetime.now(UTC), counts)
        blocks, following = advance(last, here)
        return blocks, msgspec.to_builtins(following)


def advance(last: Cursor | None, here: Cursor) -> tuple[list[Block], Cursor]:
    """The block between two readings and the cursor to keep. Pure.

    No block where the readings cannot be compared: nothing before, another Envoy, other weights, another pair or threshold,
    or a counter that went back. Such an interval's requests are counted as lost.
    """
    if last is None:
        return [], here
    champion, candidate = (since(old, new) for old, new in zip(last.counts, here.counts, strict=True))
    requests = champion.requests + candidate.requests
    if not _comparable(last, here):
        same = last.node == here.node and (last.champion, last.candidate) == (here.champion, here.candidate)
        return [], msgspec.structs.replace(here, lost=last.lost + (max(requests, 0) if same else 0))
    remembered = tuple(accounted(old, new, arm) for old, new, arm in zip(last.counts, here.counts, (champion, candidate), strict=True))
    following = msgspec.structs.replace(here, counts=remembered, lost=last.lost)
    if requests == 0:
        return [], following
    return [Block(here.weight, last.at, here.at, champion, candidate)], following


def read_counts(admin: Admin, model: str, versions: tuple[str, str], slow_ms: int) -> tuple[ArmCounts, ArmCounts]:
    """The counts of two versions since Envoy's start; zeros for a version without a cluster or without a request."""
    names = "|".join(re.escape(cluster_name(model, version)) for version in versions)
    pattern = rf"^cluster\.({names})\.upstream_rq_([2-5]xx|timeout|time)$"
    path = f"/stats?format=json&histogram_buckets=cumulative&filter={urllib.parse.quote(pattern)}"
    admin.get(path)
    return parse_counts(admin.get(path), [f"cluster.{cluster_name(model, version)}." for version in versions], slow_ms)


def parse_counts(stats: dict[str, Any], prefixes: list[str], slow_ms: int) -> tuple[ArmCounts, ArmCounts]:
    """The counts out of Envoy's JSON statistics with cumulative buckets, for two name prefixes. Pure."""
    values: dict[str, int] = {}
    slow: dict[str, int] = {}
    times: dict[str, tuple[int, ...]] = {}
    for entry in stats["stats"]:
        if "histograms" not in entry:
            values[entry["name"]] = entry["value"]
            continue
        for histogram in entry["histograms"]:
            buckets = {bucket["upper_bound"]: bucket["cumulative"] for bucket in histogram["buckets"]}
            slow[histogram["name"]] = max(buckets.values()) - buckets[slow_ms]
            times[histogram["name"]] = by_bucket(buckets)
    arms = []
    for prefix in prefixes:
        answered = values.get(f"{prefix}upstream_rq_2xx", 0)
        errors = sum(values.get(f"{prefix}upstream_rq_{digit}xx", 0) for digit in (3, 4, 5))
        late = slow.get(f"{prefix}upstream_rq_time", 0) + values.get(f"{prefix}upstream_rq_timeout", 0)
        arms.append(ArmCounts(answered + errors, errors, late, times.get(f"{prefix}upstream_rq_time", ())))
    return arms[0], arms[1]


def _comparable(last: Cursor, here: Cursor) -> bool:
    if not here.generation or (last.node, last.generation) != (here.node, here.generation):
        return False
    if (last.champion, last.candidate, last.slow_ms) != (here.champion, here.candidate, here.slow_ms):
        return False
    return not any(went_back(old, new) for old, new in zip(last.counts, here.counts, strict=True))
