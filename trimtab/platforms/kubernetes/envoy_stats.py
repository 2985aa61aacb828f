"""Counters out of Prometheus' text format: the gateway's own by Service, and the predictors' own where the gateway has none. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from trimtab.platforms.counting import by_bucket
from trimtab.release import ArmCounts

_LINE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+([-+0-9.eEinfNa]+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')

CLUSTER = "envoy_cluster_name"
RQ = "envoy_cluster_upstream_rq"
PREDICTOR_REQUESTS = "trimtab_requests_total"
PREDICTOR_SECONDS = "trimtab_request_seconds"


class Sample(NamedTuple):
    """One line of a scrape."""

    name: str
    labels: Mapping[str, str]
    value: float


def parse(text: str) -> Iterator[Sample]:
    """The samples of a scrape in Prometheus' text format; what is none is passed over."""
    for line in text.splitlines():
        match = _LINE.match(line)
        if match and not line.startswith("#"):
            yield Sample(match[1], dict(_LABEL.findall(match[2] or "")), float(match[3]))


def clusters(samples: Iterable[Sample]) -> set[str]:
    """The Envoy clusters that are named; one that met no request yet is named too."""
    return {sample.labels[CLUSTER] for sample in samples if sample.name.startswith(RQ) and CLUSTER in sample.labels}


def cluster_counts(samples: Iterable[Sample], cluster: str, slow_ms: int) -> ArmCounts:
    """What an Envoy cluster was asked since Envoy's start. Everything but a 2xx is an error; one that timed out is slow as well."""
    answered = errors = slow = 0.0
    upto: dict[float, float] = {}
    for sample in samples:
        if sample.labels.get(CLUSTER) != cluster:
            continue
        if sample.name == f"{RQ}_xx":
            if sample.labels.get("envoy_response_code_class") == "2":
                answered += sample.value
            elif sample.labels.get("envoy_response_code_class") in ("3", "4", "5"):
                errors += sample.value
        elif sample.name in (f"{RQ}_time_count", f"{RQ}_timeout"):
            slow += sample.value
        elif sample.name == f"{RQ}_time_bucket":
            upto[_bound(sample)] = sample.value
    return ArmCounts(int(answered + errors), int(errors), max(int(slow - upto.get(slow_ms, 0.0)), 0), by_bucket(upto))


def predictor_counts(samples: Iterable[Sample], slow_ms: int) -> ArmCounts:
    """What a predictor answered since its start, by its own word; slow only where it keeps a histogram in seconds."""
    requests = errors = slow = 0.0
    for sample in samples:
        if sample.name == PREDICTOR_REQUESTS:
            requests += sample.value
            errors += 0.0 if sample.labels.get("code", "").startswith("2") else sample.value
        elif sample.name == f"{PREDICTOR_SECONDS}_count":
            slow += sample.value
        elif sample.name == f"{PREDICTOR_SECONDS}_bucket" and _bound(sample) == slow_ms / 1000:
            slow -= sample.value
    return ArmCounts(int(requests), int(errors), max(int(slow), 0))


def _bound(sample: Sample) -> float:
    return float(sample.labels.get("le", "nan").replace("+Inf", "inf"))
