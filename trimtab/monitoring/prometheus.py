"""Counters and histograms, and their text form (Prometheus exposition format 0.0.4).

Label values come from fixed lists or from the fleet, never from callers, so that their number is bounded.
"""

import threading
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Labels = tuple[tuple[str, str], ...]
BUCKETS: dict[str, tuple[float, ...]] = {
    "trimtab_monitor_commit_seconds": (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0),
    "trimtab_monitor_commit_events": (1, 10, 50, 100, 200, 500, 1000, 2000, 5000, 10_000),
    "trimtab_monitor_event_lag_seconds": (0.1, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0, 3600.0, 86_400.0),
}
"""The upper ends of each histogram's buckets, in its unit."""


class Counters:
    """Numbers that only grow, by name and labels, and how often values fell where; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, dict[Labels, float]] = {}
        self._counts = {name: [0] * (len(ends) + 1) for name, ends in BUCKETS.items()}
        self._sums = dict.fromkeys(BUCKETS, 0.0)

    def add(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Add to the counter of that name and labels."""
        key = tuple(sorted(labels.items()))
        with self._lock:
            values = self._values.setdefault(name, {})
            values[key] = values.get(key, 0.0) + amount

    def observe(self, name: str, values: Sequence[float]) -> None:
        """Count the values into a histogram of `BUCKETS`."""
        with self._lock:
            counts, ends = self._counts[name], BUCKETS[name]
            for value in values:
                counts[bisect_left(ends, value)] += 1
            self._sums[name] += sum(values)

    def values(self) -> dict[str, dict[Labels, float]]:
        """A copy of all counters."""
        with self._lock:
            return {name: dict(values) for name, values in self._values.items()}

    def histograms(self) -> dict[str, tuple[list[int], float]]:
        """A copy of all histograms: how often a value fell into each bucket (the last: beyond all), and the sum of the values."""
        with self._lock:
            return {name: (list(counts), self._sums[name]) for name, counts in self._counts.items()}


def render(counters: Counters, gauges: Mapping[str, Mapping[Labels, float]]) -> str:
    """The text that a Prometheus server reads."""
    lines: list[str] = []
    for kind, families in (("counter", counters.values()), ("gauge", gauges)):
        for name, values in sorted(families.items()):
            lines.append(f"# TYPE {name} {kind}")
            lines += [f"{name}{_labels(labels)} {value:.17g}" for labels, value in sorted(values.items())]
    for name, (counts, total) in sorted(counters.histograms().items()):
        lines.append(f"# TYPE {name} histogram")
        ends = [*(f"{end:g}" for end in BUCKETS[name]), "+Inf"]
        lines += [f'{name}_bucket{{le="{end}"}} {sum(counts[: place + 1])}' for place, end in enumerate(ends)]
        lines += [f"{name}_sum {total:.17g}", f"{name}_count {sum(counts)}"]
    return "\n".join(lines) + "\n"


def _labels(labels: Iterable[tuple[str, str]]) -> str:
    escaped = [(name, value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")) for name, value in labels]
    inside = ",".join(f'{name}="{value}"' for name, value in escaped)
    return f"{{{inside}}}" if inside else ""
