"""The port `Traffic` on a cluster: blocks of evidence by Service, out of the gateway's own counters.

Envoy counts what a version was asked whether or not it answered, which no predictor can. It needs one cluster a Service for that
(Envoy Gateway: EnvoyProxy `mergeBackends`). Where a gateway only counts the route as a whole, the predictors' own counters have to do,
and what met no predictor is worked out from the route's errors; `problems` then says so.
"""

import http.client
import json
import logging
import re
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from trimtab.errors import Unavailable
from trimtab.platforms.kubernetes.api import Reader
from trimtab.platforms.kubernetes.blocks import PATIENCE, ROUTE, Counts, Reading, advance
from trimtab.platforms.kubernetes.envoy_stats import CLUSTER, RQ, Sample, cluster_counts, clusters, parse, predictor_counts
from trimtab.platforms.kubernetes.isvc import OWNER_LABEL, component, version_of
from trimtab.platforms.kubernetes.mirror import Mirror, mirror_name, read_mirror
from trimtab.platforms.kubernetes.resources import HTTP_ROUTES, PODS
from trimtab.platforms.kubernetes.route import Route, read_route
from trimtab.platforms.kubernetes.split import effective, split_clusters, split_name
from trimtab.release import ArmCounts, Block
from trimtab.spec import Model

log = logging.getLogger(__name__)

STATS_PORT = 19001
PREDICTOR_PORT = 8080
SCRAPE_SECONDS = 3.0
SETTLE = timedelta(seconds=2)
PROMETHEUS_SETTLE = timedelta(seconds=60)
"""How long after a change of weights counters may still be the old weights': Prometheus has them one scrape later."""

CANNOT_TELL = (
    "the gateway cannot tell versions apart: it has one counter for the whole route; set EnvoyProxy spec.mergeBackends: {} "
    "(until then errors are compared by the predictors' own counters, and slow answers only where they keep a histogram)"
)


class Predictor(NamedTuple):
    """A running predictor pod: its name, its version, and where it is scraped."""

    name: str
    version: str
    address: str


class GatewayTraffic:
    """Reads the counters of the proxies that carry a Model's route; keeps nothing between looks but `problems`.

    `problems` has by `namespace/name` of a Model why its counters are less than they could be.
    """

    def __init__(self, reader: Reader, prometheus_url: str = "") -> None:
        """`reader` must be the API server itself, for a route read late would mix weights; with `prometheus_url` no proxy is scraped."""
        self._reader = reader
        self._prometheus = prometheus_url.rstrip("/")
        self.problems: dict[str, str] = {}

    def arms(self, model: Model, champion: str, candidate: str, slow_ms: int, cursor: dict[str, Any]) -> tuple[list[Block], dict[str, Any]]:
        """The block since `cursor`, if it had requests and one constant weight throughout, and the cursor after it.

        `slow_ms` must be one of Envoy's bucket bounds. Raises Unavailable while there is no route, or no proxy answers.
        """
        last = msgspec.convert(cursor, Reading) if cursor else None
        (before, assigned), mirror = self._route(model), self._mirror(model)
        proxies, present = self._proxies(before)
        pair = (champion, candidate)
        named = _clusters(model, pair, assigned, mirrored=mirror.version == candidate)
        sources = {name: _by_version(model, named, samples, slow_ms) for name, samples in self._scraped(model, named, proxies).items()}
        gateway = all(ROUTE not in counts for counts in sources.values())
        predictors: dict[str, Predictor] = {}
        if not gateway:
            predictors = self._predictors(model, pair)
            addresses = {name: one.address for name, one in predictors.items()}
            told = _scrape_all(addresses, f"the predictors of {model.name!r}") if addresses else {}
            answers = {name: {predictors[name].version: predictor_counts(samples, slow_ms)} for name, samples in told.items()}
            sources = {name: {ROUTE: counts.get(ROUTE, ArmCounts())} for name, counts in sources.items()} | answers
            present |= predictors.keys()
        (after, _), still = self._route(model), self._mirror(model)
        now = datetime.now(UTC)
        here = Reading(
            by="gateway" if gateway else "predictors",
            generation=f"{after.mark} {mirror.mark}".strip() if (before.mark, mirror) == (after.mark, still) else "",
            champion=champion,
            candidate=candidate,
            slow_ms=slow_ms,
            weight=after.weights.get(candidate, 0),
            at=now,
            since=now,
            sources=sources,
        )
        versions = {name: one.version for name, one in predictors.items()}
        blocks, following = advance(last, here, frozenset(present), PROMETHEUS_SETTLE if self._prometheus else SETTLE, versions)
        self._say(model, "" if gateway else "; ".join([CANNOT_TELL, *_quiet(following, predictors, now)]))
        return blocks, msgspec.to_builtins(following)

    def _say(self, model: Model, sentence: str) -> None:
        key = f"{model.metadata.namespace}/{model.name}"
        if sentence and self.problems.get(key) != sentence:
            log.warning("%s: %s", key, sentence)
        if sentence:
            self.problems[key] = sentence
        else:
            self.problems.pop(key, None)

    def _route(self, model: Model) -> tuple[Route, dict[str, str]]:
        """The route as callers meet it, and Envoy's clusters by version for those who are assigned, if any are."""
        found = self._reader.get(HTTP_ROUTES, model.metadata.namespace, model.name)
        if found is None:
            msg = f"there is no HTTPRoute {model.metadata.namespace}/{model.name} yet: KServe makes it when the predictor is ready"
            raise Unavailable(msg)
        split = self._reader.get(HTTP_ROUTES, model.metadata.namespace, split_name(model.name))
        return effective(read_route(found, model.name), split, model.name), split_clusters(split, model.name)

    def _mirror(self, model: Model) -> Mirror:
        return read_mirror(self._reader.get(HTTP_ROUTES, model.metadata.namespace, mirror_name(model.name)), model.name)

    def _proxies(self, route: Route) -> tuple[dict[str, str], set[str]]:
        """The addresses of the route's proxies by source, and the sources that are there."""
        if self._prometheus:
            return {}, set()
        found: dict[str, str] = {}
        for namespace, name in route.gateways:
            owner = "gateway.envoyproxy.io/owning-gateway-"
            pods = self._reader.list(PODS, "", f"{owner}name={name},{owner}namespace={namespace}")
            found |= _addresses(pods, STATS_PORT, "/stats/prometheus")
        if not found:
            gateways = ", ".join("/".join(one) for one in route.gateways) or "the route"
            msg = f"no Envoy Gateway proxy of {gateways} is running: nothing is counted"
            raise Unavailable(msg)
        return found, set(found)

    def _scraped(self, model: Model, named: Mapping[str, tuple[str, ...]], proxies: Mapping[str, str]) -> dict[str, list[Sample]]:
        namespace, name = re.escape(model.metadata.namespace), re.escape(model.name)
        clusters_named = "|".join(re.escape(one) for names in named.values() for one in names)
        names = rf"({clusters_named}|httproute/{namespace}/{name}/rule/[0-9]+)"
        if self._prometheus:
            query = f'{{__name__=~"{RQ}_(xx|total|timeout|time_count|time_bucket)",{CLUSTER}=~{json.dumps(names)}}}'
            return _prometheus(self._prometheus, query)
        wanted = urllib.parse.quote(rf"^cluster\.{names}\.upstream_rq_([2-5]xx|total|timeout|time)$")
        return _scrape_all({source: f"{address}?filter={wanted}" for source, address in proxies.items()}, "the gateway's proxies")

    def _predictors(self, model: Model, pair: tuple[str, str]) -> dict[str, Predictor]:
        pods = self._reader.list(PODS, model.metadata.namespace, f"{OWNER_LABEL}={model.name}")
        found = [(pod["metadata"]["name"], version, pod) for pod in pods if (version := _version(model, pod)) in pair]
        return {
            source: Predictor(name, version, address)
            for name, version, pod in found
            for source, address in _addresses([pod], PREDICTOR_PORT, "/metrics").items()
        }


def _clusters(model: Model, pair: tuple[str, str], assigned: Mapping[str, str], *, mirrored: bool) -> dict[str, tuple[str, ...]]:
    """The clusters by version: of its Service, of the route that assigns callers, or of the one that copies requests to a candidate."""
    namespace = model.metadata.namespace
    champion, candidate = (assigned.get(one, f"service/{namespace}/{component(model.name, one)}/80/http") for one in pair)
    route = f"httproute/{namespace}/{mirror_name(model.name)}/rule/0"
    return {pair[0]: (champion, route), pair[1]: (f"{route}-mirror-0" if mirrored else candidate,)}


def _by_version(model: Model, named: Mapping[str, tuple[str, ...]], samples: list[Sample], slow_ms: int) -> Counts:
    """One proxy's counts by version, or of the whole route where it has no cluster of a version."""
    known = clusters(samples)
    whole = [name for name in known if name.startswith(f"httproute/{model.metadata.namespace}/{model.name}/")]
    if whole and not known & {name for names in named.values() for name in names}:
        counts = [cluster_counts(samples, name, slow_ms) for name in whole]
        return {ROUTE: ArmCounts(*(sum(getattr(one, field) for one in counts) for field in ("requests", "errors", "slow")))}
    first = {version: next((name for name in names if name in known), names[0]) for version, names in named.items()}
    return {version: cluster_counts(samples, name, slow_ms) for version, name in first.items()}


def _quiet(reading: Reading, predictors: Mapping[str, Predictor], now: datetime) -> Iterator[str]:
    """What to say of who has not answered for long."""
    long = [name for name, since in reading.silent.items() if now - since >= PATIENCE]
    names = ", ".join(sorted(predictors[name].name if name in predictors else "a proxy of the gateway" for name in long))
    if reading.left_out:
        yield f"{names} does not answer a scrape: what nobody else answered is counted for version {next(iter(reading.left_out.values()))}"
    elif long:
        yield f"nothing is counted while this does not answer a scrape: {names}"


def _version(model: Model, pod: Mapping[str, Any]) -> str:
    return version_of(model.name, pod["metadata"]["labels"].get("app", "").removeprefix("isvc."))


def _addresses(pods: Iterable[Mapping[str, Any]], port: int, path: str) -> dict[str, str]:
    """Where running pods are scraped, by source: a pod whose containers began anew counts from zero and is another source."""
    found = {}
    for pod in pods:
        status = pod.get("status", {})
        if status.get("podIP") and status.get("phase") == "Running" and not pod["metadata"].get("deletionTimestamp"):
            restarts = "-".join(str(one.get("restartCount", 0)) for one in status.get("containerStatuses") or [])
            host = f"[{status['podIP']}]" if ":" in status["podIP"] else status["podIP"]
            found[f"{pod['metadata']['uid']}/{restarts}"] = f"http://{host}:{port}{path}"
    return found


def _scrape_all(addresses: Mapping[str, str], who: str) -> dict[str, list[Sample]]:
    """What every address that answers says; raises Unavailable where none does."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        texts = dict(zip(addresses, pool.map(_get, addresses.values()), strict=True))
    found = {source: list(parse(text)) for source, text in texts.items() if text is not None}
    if not found:
        msg = f"none of {who} answers a scrape ({len(addresses)} asked)"
        raise Unavailable(msg)
    return found


def _prometheus(url: str, query: str) -> dict[str, list[Sample]]:
    """The newest samples that Prometheus has, by the proxy that they are of."""
    text = _get(f"{url}/api/v1/query?{urllib.parse.urlencode({'query': query})}")
    try:
        answer = json.loads(text or "")
        results = [(dict(one["metric"]), float(one["value"][1])) for one in answer["data"]["result"]]
    except (ValueError, KeyError, TypeError) as error:
        msg = f"Prometheus at {url} does not answer a query"
        raise Unavailable(msg) from error
    found: dict[str, list[Sample]] = {}
    for labels, value in results:
        source = f"{labels.get('instance', '')}/{labels.get('pod', '')}"
        found.setdefault(source, []).append(Sample(str(labels.pop("__name__", "")), labels, value))
    if not found:
        msg = f"Prometheus at {url} has no counters of the route: let it scrape the proxies' /stats/prometheus"
        raise Unavailable(msg)
    return found


def _get(url: str) -> str | None:
    parts = urllib.parse.urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=SCRAPE_SECONDS)
    try:
        connection.request("GET", f"{parts.path}?{parts.query}" if parts.query else parts.path)
        answer = connection.getresponse()
        body = answer.read().decode(errors="replace")
        return body if answer.status == http.HTTPStatus.OK else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
