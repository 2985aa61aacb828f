"""Counters and their text form (Prometheus exposition format 0.0.4).

Label values come from fixed lists or from the fleet, never from callers, so that their number is bounded.
"""

import threading
from collections.abc import Iterable, Mapping

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Labels = tuple[tuple[str, str], ...]


class Counters:
    """Numbers that only grow, by name and labels; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, dict[Labels, float]] = {}

    def add(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Add to the counter of that name and labels."""
        key = tuple(sorted(labels.items()))
        with self._lock:
            values = self._values.setdefault(name, {})
            values[key] = values.get(key, 0.0) + amount

    def values(self) -> dict[str, dict[Labels, float]]:
        """A copy of all counters."""
        with self._lock:
            return {name: dict(values) for name, values in self._values.items()}


def render(counters: Mapping[str, Mapping[Labels, float]], gauges: Mapping[str, Mapping[Labels, float]]) -> str:
    """The text that a Prometheus server reads."""
    lines: list[str] = []
    for kind, families in (("counter", counters), ("gauge", gauges)):
        for name, values in sorted(families.items()):
            lines.append(f"# TYPE {name} {kind}")
            lines += [f"{name}{_labels(labels)} {value:.17g}" for labels, value in sorted(values.items())]
    return "\n".join(lines) + "\n"


def _labels(labels: Iterable[tuple[str, str]]) -> str:
    escaped = [(name, value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")) for name, value in labels]
    inside = ",".join(f'{name}="{value}"' for name, value in escaped)
    return f"{{{inside}}}" if inside else ""
