"""The fleet as Prometheus gauges: a fixed handful of series a model, none of a column, and at most `NAMED` models under their own names.

The models beyond that (by name, so that a series stays whose it is) are told together under "other": counts are added up, of times the
longest is told, and values, which cannot be added, are left out.
"""

from collections.abc import Iterable, Sequence

from trimtab.monitoring.fleet import Member
from trimtab.monitoring.prometheus import Labels
from trimtab.monitoring.reports.estimates import estimated

NAMED = 1_000
OTHER = "other"


def named(models: Iterable[str], most: int = NAMED) -> set[str]:
    """The models that have series of their own."""
    return set(sorted(models)[:most])


def gauges(members: Sequence[Member], most: int = NAMED) -> dict[str, dict[Labels, float]]:
    """Each gauge's values by its labels."""
    own = named((member.model for member in members), most)
    found: dict[str, dict[Labels, float]] = {f"trimtab_monitor_{name}": {} for name in _NAMES}
    for member in members:
        model = member.model if member.model in own else OTHER
        alone: Labels = (("model", model),)
        _add(found, "model_state", (*alone, ("state", member.stands.state)), 1.0)
        _add(found, "open_quality_findings", alone, float(member.open_quality))
        if member.lag is not None:
            lags = found["trimtab_monitor_watermark_lag_seconds"]
            lags[alone] = max(lags.get(alone, 0.0), member.lag)
        drift = member.record.drift if member.record else None
        if drift is not None:
            _add(found, "columns_moved", alone, float(sum(check.moved for check in drift.columns.values())))
        if model == OTHER or member.record is None:
            continue
        if drift is not None and drift.columns:
            _add(found, "largest_effect", alone, max(check.effect for check in drift.columns.values()))
        judged = member.record.judgement
        if judged is not None:
            _add(found, "metric", (*alone, ("metric", judged.metric)), judged.value)
            if judged.bound is not None:
                _add(found, "metric_bound", (*alone, ("metric", judged.metric)), judged.bound)
        ranking = member.record.explanation
        if ranking is not None and ranking.ndcg is not None:
            _add(found, "explanation_ndcg", alone, ranking.ndcg)
        for guess in estimated([member.record]):
            if not guess.doubt:
                _add(found, "metric_estimate", alone, guess.value)
    return found


_NAMES = (
    "model_state",
    "open_quality_findings",
    "watermark_lag_seconds",
    "columns_moved",
    "largest_effect",
    "metric",
    "metric_bound",
    "metric_estimate",
    "explanation_ndcg",
)


def _add(found: dict[str, dict[Labels, float]], name: str, labels: Labels, value: float) -> None:
    values = found[f"trimtab_monitor_{name}"]
    values[labels] = values.get(labels, 0.0) + value
