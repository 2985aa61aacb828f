"""Builders of Models and Releases for the tables of this room."""

from datetime import UTC, datetime, timedelta

from trimtab.release import Phase, Promotion, Release, ReleaseSpec, ReleaseStatus, Request, Trigger
from trimtab.spec import API_VERSION, Breaker, Champion, Data, Metadata, Model, ModelSpec, ModelStatus, PipelineVersion, Retraining, Version

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
ALL_ON = ("performance", "concept", "drift", "schedule", "newData")


def model(name: str = "churn", *, champion: bool = True, reset_at: datetime | None = None, **retraining: object) -> Model:
    rules = Retraining(**{"on": ALL_ON, "max_per_day": 2, "breaker": Breaker(), **retraining})  # type: ignore[arg-type]
    status = ModelStatus(champion=Champion("1", "a" * 64) if champion else None, breaker_reset_at=reset_at)
    spec = ModelSpec(task="binary", data=Data(uri="d.csv", label="y"), retraining=rules)
    return Model(API_VERSION, "Model", Metadata(name=name, uid=f"uid-{name}"), spec, status)


def release(
    name: str,
    trigger: Trigger = "performance",
    phase: Phase = Phase.PENDING,
    *,
    of: str = "churn",
    born: float = 0.0,
    admitted: float | None = None,
    promoted: float | None = None,
    cut: float = 0.0,
    recipe: str = "r1",
    reason: str = "",
    version: Version | None = None,
    pipeline: PipelineVersion | None = None,
) -> Release:
    """A Release; `born`, `admitted`, `promoted` and `cut` are hours relative to NOW. One that ended was admitted a week ago."""
    if admitted is None and phase is not Phase.PENDING and phase is not Phase.REFUSED:
        admitted = -168.0
    moment = None if admitted is None else NOW + admitted * HOUR
    status = ReleaseStatus(
        phase=phase,
        reason=reason,
        admitted_at=moment,
        admitted_data=moment,
        promotion=None if promoted is None else Promotion(NOW, since=NOW + promoted * HOUR),
    )
    request = Request(trigger, "test", name, NOW + cut * HOUR, version=version, pipeline=pipeline)
    metadata = Metadata(name=name, creation_timestamp=NOW + born * HOUR)
    return Release(metadata, ReleaseSpec(of, f"uid-{of}", recipe, request), status)
