"""What the predictor counts of its answers. Written by the event loop alone, so it takes no lock and a fraction of a microsecond."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from serving.predictor.protocol import Predictions
from trimtab.schema import Schema

# Envoy's buckets, which a rollout's `slow.threshold` is one of, and finer ones below them.
SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
PROBABILITIES = tuple(step / 20 for step in range(1, 21))
_POSITIVE = tuple(float(f"{digit}e{exponent}") for exponent in range(-3, 7) for digit in (1, 2, 5))
# A label has any unit: 1, 2, 5 of each power of ten, on both sides of zero.
ANY_UNIT = (*(-bound for bound in reversed(_POSITIVE)), 0.0, *_POSITIVE)


class Histogram:
    """Counts of values by upper bound (inclusive), as Prometheus has them."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def cumulative(self) -> tuple[list[tuple[str, float]], float]:
        """The buckets (upper bound, values up to it) and the values' sum."""
        total = 0
        buckets: list[tuple[str, float]] = []
        for bound, count in zip([*map(str, self._bounds), "+Inf"], self._counts, strict=True):
            total += count
            buckets.append((bound, float(total)))
        return buckets, self._sum


class Answers(Collector):
    """Answers by code, their seconds, what was predicted, and what waits. `in_flight` says how many requests are held now."""

    def __init__(self, version: str, schema: Schema) -> None:
        self.in_flight: Callable[[], int] = lambda: 0
        self._version = version
        self._codes: Counter[int] = Counter()
        self._gone = 0
        self._seconds = Histogram(SECONDS)
        self._classes = dict.fromkeys(schema.classes, 0) if schema.task == "multiclass" else {}
        self._predicted = Histogram(PROBABILITIES if schema.task == "binary" else ANY_UNIT)

    def answered(self, code: int, seconds: float) -> None:
        """Count one answer, `seconds` after its request arrived."""
        self._codes[code] += 1
        self._seconds.observe(seconds)

    def gone(self) -> None:
        """Count a caller who went away before its answer."""
        self._gone += 1

    def predicted(self, predictions: Predictions) -> None:
        """Count what was predicted: by value, or of several classes the most probable."""
        if self._classes:
            names = list(self._classes)
            for row in predictions:
                assert isinstance(row, list)  # noqa: S101 - a multiclass model gives one probability a class
                self._classes[names[row.index(max(row))]] += 1
            return
        for value in predictions:
            assert isinstance(value, float)  # noqa: S101 - all other models give one number a row
            self._predicted.observe(value)

    def collect(self) -> Iterable[Metric]:
        """The counters as Prometheus' metrics, all with the version as a label."""
        version = [self._version]
        requests = CounterMetricFamily("trimtab_requests", "Answers to inference requests, by status code", labels=["code", "version"])
        for code, count in sorted(self._codes.items()):
            requests.add_metric([str(code), *version], count)
        yield requests
        gone = CounterMetricFamily(
            "trimtab_requests_gone", "Inference requests whose caller went away before the answer", labels=["version"]
        )
        gone.add_metric(version, self._gone)
        yield gone
        seconds = HistogramMetricFamily("trimtab_request_seconds", "From a request's first byte to its answer", labels=["version"])
        seconds.add_metric(version, *self._seconds.cumulative())
        yield seconds
        held = GaugeMetricFamily("trimtab_requests_in_flight", "Requests that were read and are not answered", labels=["version"])
        held.add_metric(version, self.in_flight())
        yield held
        if self._classes:
            classes = CounterMetricFamily("trimtab_predicted_class", "Rows, by their most probable class", labels=["class", "version"])
            for name, count in self._classes.items():
                classes.add_metric([name, *version], count)
            yield classes
        else:
            predicted = HistogramMetricFamily(
                "trimtab_prediction", "Predictions, a row each: probability or the label's unit", labels=["version"]
            )
            predicted.add_metric(version, *self._predicted.cumulative())
            yield predicted


def expose(collector: Collector) -> None:
    """Show the collector's metrics in `/metrics`."""
    REGISTRY.register(collector)
