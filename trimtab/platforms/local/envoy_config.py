"""Envoy's documents as pure functions: what is written to its files, and what is read back from its admin interface.

The listener is static (it never changes); clusters and routes come by file-based xDS, so that weights and versions change
without a restart. One cluster a version, so that Envoy's counters tell the versions apart.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from trimtab.platforms.assignment import ASSIGNED_HEADER

VERSION_HEADER = "x-trimtab-version"
CAPTURE_HEADER = "x-trimtab-capture"
GATEWAY = "gateway"
_TYPES = "type.googleapis.com/envoy"
_ROUTER = f"{_TYPES}.extensions.filters.http.router.v3.Router"
_MANAGER = f"{_TYPES}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"


class Route(Struct, frozen=True):
    """A model's share of the gateway: weights by version in Envoy's order, and the version that is asked copies of all requests.

    With `sticky` the hash of that request header chooses the version; a caller without it gets the first one. `generation` is
    another one whenever any of this changes.
    """

    generation: str
    weights: dict[str, int]
    mirror: str = ""
    sticky: str = ""

    def percent(self, version: str) -> int:
        """The version's share of the model's traffic in percent."""
        total = sum(self.weights.values())
        return round(100 * self.weights.get(version, 0) / total) if total else 0


def cluster_name(model: str, version: str) -> str:
    """The name of a version's cluster, which its counters carry."""
    return f"{model}/{version}"


def unassigned_name(cluster: str) -> str:
    """The name under which a version's cluster counts callers that have no header to assign them by: they are in no comparison."""
    return f"{cluster}/unassigned"


def bootstrap(folder: Path, port: int, node: str) -> dict[str, Any]:
    """What Envoy starts with: the gateway on 127.0.0.1:`port`, an admin interface on a free port, and where xDS files are.

    `node` names this start of Envoy, so that a reader of counters can tell it from the one before. Histograms are merged
    when the admin interface is asked (`stats_flush_on_admin`), not by a clock: see `traffic.py`. The port is not shared
    (`enable_reuse_port`), so that a left-over Envoy is an error and never takes half of the traffic.
    """
    manager = {
        "@type": _MANAGER,
        "stat_prefix": GATEWAY,
        "generate_request_id": False,
        "normalize_path": True,
        "rds": {"route_config_name": GATEWAY, "config_source": _source(folder, "rds.json")},
        "http_filters": [{"name": "router", "typed_config": {"@type": _ROUTER}}],
    }
    listener = {
        "name": GATEWAY,
        "enable_reuse_port": False,
        "address": _address(port),
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    return {
        "node": {"id": node, "cluster": "trimtab"},
        "admin": {"address": _address(0)},
        "stats_flush_on_admin": True,
        "dynamic_resources": {"cds_config": _source(folder, "cds.json")},
        "static_resources": {"listeners": [listener]},
    }


def clusters(ports: Mapping[str, int], revision: str) -> dict[str, Any]:
    """The CDS document: `ports` by cluster name, each on 127.0.0.1. Idle connections end before the predictor ends them (65 s)."""
    resources = [
        {
            "@type": f"{_TYPES}.config.cluster.v3.Cluster",
            "name": name,
            "type": "STATIC",
            "connect_timeout": "1s",
            "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": f"{_TYPES}.extensions.upstreams.http.v3.HttpProtocolOptions",
                    "common_http_protocol_options": {"idle_timeout": "50s"},
                    "explicit_http_config": {"http_protocol_options": {}},
                }
            },
            "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(port)}}]}]},
        }
        for name, port in sorted(ports.items())
    ]
    return {"version_info": revision, "resources": resources}


def routes(models: Mapping[str, Route], revision: str, timeout_seconds: float) -> dict[str, Any]:
    """The RDS document: a route a model, split by weight; no retries, for a retry would hide an error of a version.

    Where callers are assigned by a header, a second one takes those who have none.

    A model without a weight answers 503 by Envoy itself, counted against no version; anything else is a 404. The header that
    switches capture off is for direct callers only and is taken away here.
    """
    found = [one for model, route in sorted(models.items()) for one in _routes(model, route, timeout_seconds)]
    nothing = {"name": "nothing", "match": {"prefix": "/"}, **_direct(404, "no such model here: paths are /v1/models/NAME:predict")}
    host = {"name": GATEWAY, "domains": ["*"], "routes": [*found, nothing]}
    resource = {
        "@type": f"{_TYPES}.config.route.v3.RouteConfiguration",
        "name": GATEWAY,
        "virtual_hosts": [host],
        "request_headers_to_remove": [CAPTURE_HEADER],
    }
    return {"version_info": revision, "resources": [resource]}


def read_routes(dump: Mapping[str, Any]) -> tuple[str, dict[str, Route]]:
    """The revision and the models' routes out of `/config_dump?resource=dynamic_route_configs`; nothing where there are none yet."""
    for config in dump.get("configs", []):
        found = {}
        for host in config["route_config"].get("virtual_hosts", []):
            for route in host["routes"]:
                if "metadata" not in route:
                    continue
                action = route.get("route", {})
                parts = action.get("weighted_clusters", {})
                weights = {part["name"].split("/", 1)[1]: int(part.get("weight", 0)) for part in parts.get("clusters", [])}
                copies = [policy["cluster"].split("/", 1)[1] for policy in action.get("request_mirror_policies", [])]
                sticky = action["hash_policy"][0]["header"]["header_name"] if parts.get("use_hash_policy") else ""
                generation = route["metadata"]["filter_metadata"]["trimtab"]["generation"]
                found[route["name"]] = Route(generation, weights, "".join(copies), sticky)
        return config.get("version_info", ""), found
    return "", {}


def read_clusters(dump: Mapping[str, Any]) -> dict[str, int]:
    """Ports by cluster name out of `/config_dump?resource=dynamic_active_clusters`."""
    found = {}
    for config in dump.get("configs", []):
        cluster = config["cluster"]
        endpoint = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
        found[cluster["name"]] = int(endpoint["address"]["socket_address"]["port_value"])
    return found


def _routes(model: str, route: Route, timeout_seconds: float) -> list[dict[str, Any]]:
    path = {"regex": f"^/v[12]/models/{re.escape(model)}(/|:|$).*"}
    match: dict[str, Any] = {"safe_regex": path}
    head = {"name": model, "match": match, "metadata": {"filter_metadata": {"trimtab": {"generation": route.generation}}}}
    if not sum(route.weights.values()):
        return [{**head, **_direct(503, f"no version of {model} is ready")}]
    timeout = {"timeout": f"{timeout_seconds}s"}
    parts = [_part(cluster_name(model, version), version, weight) for version, weight in route.weights.items()]
    unassigned = {"request_headers_to_remove": [ASSIGNED_HEADER]}
    if not route.sticky:
        mirrors = [{"cluster": cluster_name(model, route.mirror)}] if route.mirror else []
        routed = {**timeout, "weighted_clusters": {"clusters": parts}, "request_mirror_policies": mirrors}
        return [{**head, **unassigned, "route": routed}]
    for part, version in zip(parts, route.weights, strict=True):
        part["request_headers_to_add"] = [_header(ASSIGNED_HEADER, version)]
    match["headers"] = [{"name": route.sticky, "string_match": {"safe_regex": {"regex": ".+"}}}]
    chosen = {"hash_policy": [{"header": {"header_name": route.sticky}}], "weighted_clusters": {"clusters": parts, "use_hash_policy": True}}
    first = next(iter(route.weights))
    others = {"clusters": [_part(unassigned_name(cluster_name(model, first)), first, 1)]}
    return [
        {**head, "route": {**timeout, **chosen}},
        {**unassigned, "name": f"{model}/unassigned", "match": {"safe_regex": path}, "route": {**timeout, "weighted_clusters": others}},
    ]


def _part(cluster: str, version: str, weight: int) -> dict[str, Any]:
    return {"name": cluster, "weight": weight, "response_headers_to_add": [_header(VERSION_HEADER, version)]}


def _header(name: str, value: str) -> dict[str, Any]:
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def _direct(status: int, sentence: str) -> dict[str, Any]:
    return {"direct_response": {"status": status, "body": {"inline_string": f'{{"error": "{sentence}"}}'}}}


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _source(folder: Path, name: str) -> dict[str, Any]:
    return {"path_config_source": {"path": str(folder / name)}, "resource_api_version": "V3"}
