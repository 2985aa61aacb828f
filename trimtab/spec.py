"""The Model: what a user declares once, and the little that Trimtab keeps beside it.

These Structs are the single source of the document's names, defaults and bounds; CRDs and reference are generated from them (the
sentence below a field is its description there), and `documents.py` turns what msgspec finds wrong into a sentence. Nothing here
reads a file or a clock.
"""

import hashlib
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field

from trimtab.asking import Breaker as Breaker
from trimtab.asking import DataWatch as DataWatch
from trimtab.asking import Retraining as Retraining
from trimtab.asking import RetrainOn as RetrainOn
from trimtab.asking import Schedule as Schedule
from trimtab.making import Budget as Budget
from trimtab.making import Closed as Closed
from trimtab.making import Column as Column
from trimtab.making import Data as Data
from trimtab.making import Estimator as Estimator
from trimtab.making import Expectation as Expectation
from trimtab.making import Gate as Gate
from trimtab.making import PipelineRef as PipelineRef
from trimtab.making import Search as Search
from trimtab.making import Task as Task
from trimtab.making import Training as Training
from trimtab.rolling import Ab as Ab
from trimtab.rolling import Bake as Bake
from trimtab.rolling import BucketMs as BucketMs
from trimtab.rolling import ErrorGuard as ErrorGuard
from trimtab.rolling import Guard as Guard
from trimtab.rolling import QualityGuard as QualityGuard
from trimtab.rolling import Rollout as Rollout
from trimtab.rolling import Shadow as Shadow
from trimtab.rolling import SlowGuard as SlowGuard
from trimtab.rolling import Strategy as Strategy
from trimtab.rolling import Weight as Weight
from trimtab.status import Champion as Champion
from trimtab.status import Condition as Condition
from trimtab.status import ExplainerSummary as ExplainerSummary
from trimtab.status import LastRelease as LastRelease
from trimtab.status import Metadata as Metadata
from trimtab.status import MonitoringSummary as MonitoringSummary
from trimtab.status import PipelineVersion as PipelineVersion
from trimtab.status import Scheduled as Scheduled
from trimtab.status import Version as Version
from trimtab.status import Watched as Watched
from trimtab.units import Duration, MarginText, PersistenceText
from trimtab.units import Name as Name

API_VERSION = "trimtab.dev/v1alpha1"

ObjectName = Annotated[str, Meta(min_length=1, max_length=253)]


class ExplainerBudget(Closed, frozen=True):
    """What one request for explanations may cost; what costs more is refused."""

    calls: Annotated[int, Meta(ge=1, le=100_000)] = 1000
    """How often the predictor may be asked."""
    time: Duration = "30s"
    """How long it may take: 1s to 5m."""


class Explainer(Closed, frozen=True):
    """What explains single predictions of the champion as a black box, on a host of its own; trees are explained without it."""

    method: Literal["anchor", "kernel_shap"] = "anchor"
    """How: by a rule under which the prediction stays the same, or by each feature's share of it."""
    budget: ExplainerBudget = ExplainerBudget()
    resources: dict[str, Any] = {}
    """Requests and limits of the explainer's container, as in a Pod."""


class Capture(Closed, frozen=True):
    """What the monitor is told of requests and their answers."""

    sample: Annotated[float, Meta(gt=0, le=1)] = 1.0
    """The share of the requests that is told; each then says how many it stands for."""
    redact: Annotated[tuple[Column, ...], Meta(max_length=100)] = ()
    """Columns that callers send and that are never told; a feature among them cannot be monitored."""


class Serving(Closed, frozen=True):
    """How a version is served on a cluster; on a laptop only `capture` and `explainer` change anything."""

    replicas: Annotated[int, Meta(ge=1, le=1000)] = 1
    """How many pods serve the champion."""
    gateway: Annotated[str, Meta(max_length=317, description="a Gateway as NAMESPACE/NAME")] | None = None
    """The Gateway that callers come through."""
    protocol: Literal["v1", "v2"] | None = None
    """The inference protocol; the predictor answers both where it is left out."""
    service_account: ObjectName | None = None
    """The ServiceAccount of the predictor's pods, in the Model's namespace."""
    resources: dict[str, Any] = {}
    """Requests and limits of the predictor's container, as in a Pod."""
    template: dict[str, Any] = {}
    """Further fields of every version's predictor in the InferenceService, such as nodeSelector, labels, maxReplicas or model.env."""
    adopt: bool = False
    """Whether an InferenceService of the Model's name that is there already is taken over; it serves until the first version does."""
    explainer: Explainer | None = None
    capture: Capture = Capture()


class Window(Closed, frozen=True):
    """When the monitor closes a window: after so many rows, or so much data time, whichever is first."""

    rows: Annotated[int, Meta(ge=20, le=1_000_000)] = 5000
    """After how many rows a window closes."""
    every: Duration | None = None
    """After how much data time a window closes, however few its rows."""
    least: Annotated[int, Meta(ge=20, le=1_000_000)] | None = None
    """With fewer rows a window's drift is not judged: 100 where it is left out, or all rows of a window that has fewer."""
    panes: Annotated[int, Meta(ge=1, le=24)] = 1
    """In how many steps a window slides: with 4 its drift is tested anew whenever a quarter of it came, over the last four quarters."""


class ReferencePolicy(Closed, frozen=True):
    """Which rows of a version's reference a window is compared with, and how long it must be to know the seasons."""

    seasonal: bool = False
    """Whether only rows of the same hours of day and weekdays are, in the window's own mix, so that a cycle is not drift."""
    season: Duration = "365d"
    """The longest cycle of the data; moved inputs that no label speaks of are only watched while the reference spans fewer than 3."""


Detector = Literal["exact", "tabular", "ks", "chi2", "fet", "cvm", "classifier", "cvm_online", "fet_online"]


class Drift(Closed, frozen=True):
    """What counts as a moved distribution: significant, at least `effect` large, and persistent."""

    detector: Detector = "exact"
    """Which tests compare a window with the version's reference: exact is Trimtab's own, the others are Alibi Detect's."""
    expected_run_time: Annotated[int, Meta(ge=100, le=2_000)] = 1_000
    """Of cvm_online and fet_online: after how many rows without drift a column may alarm wrongly, on average."""
    effect: Annotated[float, Meta(gt=0)] = 0.2
    """The least effect that counts: Wasserstein-1 in reference standard deviations for numbers, total variation for categories,
    |AUC - 0.5| for the classifier."""
    persistence: PersistenceText = "2 of 5"
    """How many of the last windows must have moved."""


class Performance(Closed, frozen=True):
    """When an error on matured labels is too large: past the margin of the champion's own validation, or past `floor`."""

    margin: MarginText = "x1.1"
    """How much worse than in the champion's own validation is still good enough."""
    floor: float | None = None
    """A value that the metric must never be past, whatever the champion's validation was."""


class ExplanationPolicy(Closed, frozen=True):
    """When a version answers by other features than in training."""

    ndcg: Annotated[float, Meta(ge=0, lt=1)] = 0.9
    """The least NDCG of the features' order by what live answers rest on, against that of training; 0: no explanation is asked for."""


class Monitoring(Closed, frozen=True):
    """What the monitor looks at, and how sure it must be."""

    window: Window = Window()
    reference: ReferencePolicy = ReferencePolicy()
    drift: Drift = Drift()
    performance: Performance = Performance()
    explanation: ExplanationPolicy = ExplanationPolicy()
    retention: Duration = "400d"
    """How long the rows of closed windows are kept (data time), the label delay not counted; windows and findings stay."""


class ApprovalPolicy(Closed, frozen=True):
    """How a person's yes is given, where `approval` is manual."""

    expiry: Duration = "72h"
    """How long, in wall time, a candidate waits for it; then its Release ends Inconclusive."""
    separation_of_duties: bool = False
    """Whether who asked for a Release may not approve it."""


class Trial(Closed, frozen=True):
    """What a new version of the pipeline must show on the champion's own rows, before anything that it made is deployed."""

    quality: MarginText | None = None
    """How much worse its model's primary metric may be than the old pipeline's model's, on the same rows: it is stopped where it is worse
    with 95% certainty. Where it is left out, rmse and log loss may be 1% worse (x1.01), ROC AUC 0.01 (-0.01)."""
    training_time: MarginText = "x3"
    """How much longer its run may take than the one that made the champion."""
    prediction_time: MarginText = "x2"
    """How much longer its model may take for a prediction than the champion."""


class PipelinePolicy(Closed, frozen=True):
    """Which pipelines may make this Model's versions, and what a new version of one must show."""

    keys: Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=4096)], ...], Meta(max_length=8)] = ()
    """The public keys (PEM, EC P-256) of those who may publish; a package that none of them signed is refused."""
    trial: Trial = Trial()


class ModelSpec(Closed, frozen=True):
    """Everything a user says of a model."""

    task: Task
    """What kind of thing is predicted: a number, one of two classes, or one of several."""
    data: Data
    training: Training = Training()
    gates: Annotated[tuple[Gate, ...], Meta(max_length=64)] = ()
    """What a candidate must meet before anything of it is deployed; without any, it must be about as good as the champion."""
    approval: Literal["automatic", "manual"] = "automatic"
    """Whether a person must say yes to a candidate that passed its gates."""
    approval_policy: ApprovalPolicy = ApprovalPolicy()
    serving: Serving = Serving()
    rollout: Rollout = Rollout()
    monitoring: Monitoring = Monitoring()
    retraining: Retraining = Retraining()
    pipeline_policy: PipelinePolicy = PipelinePolicy()
    deletion_policy: Literal["Orphan", "Delete"] = "Orphan"
    """Whether the InferenceService outlives the Model (Orphan) or goes with it (Delete)."""


class ModelStatus(Struct, frozen=True, rename="camel", omit_defaults=True):
    """What Trimtab knows of a Model: its champion (the only truth; alias and servers are projections) and the first cut."""

    champion: Champion | None = None
    previous: Champion | None = None
    """The champion before; what a rollback brings back."""
    first_cut: datetime | None = None
    """Up to when, in data time, the first training run reads."""
    breaker_since: datetime | None = None
    """Since when, in data time, the breaker is open: nothing is retrained by itself."""
    breaker_reset_at: datetime | None = None
    """When, in data time, the breaker was reset; failures before it count no more."""
    scheduled: Scheduled | None = None
    watched: Watched | None = None
    monitoring: MonitoringSummary | None = None
    explainer: ExplainerSummary | None = None
    last_release: LastRelease | None = None
    observed_generation: int = 0
    """The metadata.generation that this status speaks of."""
    conditions: tuple[Condition, ...] = ()
    """What is so of the Model right now; Ready first of all."""


class Model(Struct, frozen=True, rename="camel", omit_defaults=True, forbid_unknown_fields=True):
    """A model, declared once: trained, gated, rolled out by canary, watched, and retrained when the world drifts."""

    api_version: Literal["trimtab.dev/v1alpha1"]
    kind: Literal["Model"]
    metadata: Metadata
    spec: ModelSpec
    status: ModelStatus = field(default_factory=ModelStatus)

    @property
    def name(self) -> str:
        """The Model's name; the served model and the InferenceService carry it too."""
        return self.metadata.name

    @property
    def registered(self) -> str:
        """The name in the model registry."""
        return registered_name(self.name, self.metadata.namespace)


def registered_name(name: str, namespace: str) -> str:
    """A Model's name in the model registry, which knows no namespaces: `name` in namespace default, else `namespace.name`."""
    return name if namespace == "default" else f"{namespace}.{name}"


def recipe(spec: ModelSpec) -> str:
    """What a version is made by: a hash of task, data, training and gates.

    A Release whose recipe is no longer its Model's is superseded; any other edit applies in place.
    """
    made_by = (spec.task, spec.data, spec.training, spec.gates)
    return hashlib.sha256(msgspec.json.encode(made_by, order="sorted")).hexdigest()[:16]
