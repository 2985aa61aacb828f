"""How an installation makes training runs: one document, which the chart writes and the controller reads when it starts.

Its names and defaults are those of the chart's values. Of `training`, the image, how it is pulled, and the environment are for both
runners; the rest is for Jobs, because what a task of Kubeflow Pipelines may take is said in the pipeline.
"""

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from trimtab import __version__
from trimtab.documents import parse, text_of
from trimtab.spec import Closed

Lasting = Annotated[
    str,
    Meta(
        pattern=r"^([1-9][0-9]{0,4}[smh]|[1-9][0-9]{0,2}[dw])$", description="a duration of at least a second, such as 90s, 30m, 2h or 1d"
    ),
]
Quantity = Annotated[str, Meta(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$", description="an amount such as 500m, 2 or 4Gi")]
Amount = Quantity | int | float
ObjectName = Annotated[str, Meta(pattern=r"^$|^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$", description="the name of an object of Kubernetes")]
Address = Annotated[str, Meta(pattern=r"^$|^https?://[^/?#\s]+(/[^?#\s]*)?$", description="an address http://… or https://…, or empty")]
Word = Annotated[str, Meta(min_length=1)]


class Named(Closed, frozen=True):
    """A reference to an object of the same namespace."""

    name: ObjectName


class SecretKey(Closed, frozen=True):
    """A key of a Secret; with `optional` neither need exist."""

    name: ObjectName
    key: Word
    optional: bool = False


class Source(Closed, frozen=True):
    """Where a variable's value comes from: what both a Job and a task of Kubeflow Pipelines can have."""

    secret_key_ref: SecretKey


class Variable(Closed, frozen=True):
    """An environment variable, as in a container."""

    name: Word
    value: str = ""
    value_from: Source | None = None


class Resources(Closed, frozen=True):
    """Requests and limits, as in a container."""

    requests: dict[str, Amount] = {}
    limits: dict[str, Amount] = {}


class TrainingSettings(Closed, frozen=True):
    """What every run has in common. Secrets and the ServiceAccount are those of the namespace that its pods are in.

    `existing_secret` becomes environment variables (credentials of MLflow or of an object store); it need not exist. `deadline` is for
    one attempt with its retries, `scratch_size` limits the files that a run may write, `ttl` is how long an ended Job is kept.
    """

    image: Word = f"trimtab/training:{__version__}"
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    image_pull_secrets: tuple[Named, ...] = ()
    env: tuple[Variable, ...] = ()
    existing_secret: ObjectName = ""
    service_account_name: ObjectName = ""
    resources: Resources = Resources({"cpu": "1", "memory": "2Gi"}, {"memory": "4Gi"})
    scratch_size: Quantity = "4Gi"
    deadline: Lasting = "2h"
    ttl: Lasting = "1d"
    retries: Annotated[int, Meta(ge=0, le=10, description="a number from 0 to 10")] = 1


class KfpSettings(Closed, frozen=True):
    """How Kubeflow Pipelines is reached (nowhere without `url`), and how its runs are made.

    `namespace` is its own, where Workflows run; with `multi_user` it is each Model's. `deadline` counts from a run's creation. `page` is
    the address of the UI, where a person reads a run's log.
    """

    url: Address = ""
    namespace: ObjectName = "kubeflow"
    multi_user: bool = False
    service_account: ObjectName = ""
    pipeline_root: str = ""
    page: Address = ""
    deadline: Lasting = "2h"


class Runs(Closed, frozen=True):
    """The document."""

    training: TrainingSettings = TrainingSettings()
    kfp: KfpSettings = KfpSettings()


def read_runs(path: Path) -> Runs:
    """The document in a file; raises InvalidInput with one sentence."""
    return parse(text_of(path), Runs, str(path), "how training runs are made is a mapping with training and kfp")
