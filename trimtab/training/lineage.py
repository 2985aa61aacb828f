"""Where a version comes from, in one small file beside it: who asked, which rows, what made it, and by what it was judged.

It holds what the run itself knows. Who or what sent the event is kept with the Release, whose name and uid are here; the MLflow run is
found by the version. Nothing in it speaks of the moment, so that a register step which is repeated writes the same file.
"""

import os
import subprocess
import sys
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from trimtab.addresses import shown
from trimtab.errors import InvalidInput
from trimtab.events import aware
from trimtab.making import Data, Gate, Task, Training
from trimtab.package import BUILT_IN
from trimtab.spec import Model, ModelSpec, PipelineVersion, recipe
from trimtab.training.fitted import Fitted

if TYPE_CHECKING:
    import pyarrow as pa

LINEAGE = "lineage.json"
_LIBRARIES = {"numpy": ("numpy",), "scikit-learn": ("scikit-learn",), "xgboost": ("xgboost-cpu", "xgboost")}


class Facts(Struct, frozen=True):
    """What a run is told of itself: the registered model, the Release, its attempt, trigger and cut (ISO 8601).

    `pipeline` is the published version of the pipeline that runs, as JSON; empty for the one that comes with Trimtab.
    """

    model: str
    release: str
    release_uid: str
    attempt: int
    cut: str = ""
    trigger: str = ""
    pipeline: str = ""


class Made(Struct, frozen=True, rename="camel", omit_defaults=True):
    """The part of a Model that its recipe is the hash of. What may be secret in `data.uri` is left out."""

    task: Task
    data: Data
    training: Training = Training()
    gates: tuple[Gate, ...] = ()

    @property
    def spec(self) -> ModelSpec:
        """The same as a spec whose other parts are the defaults."""
        return ModelSpec(self.task, self.data, self.training, self.gates)


class Used(Struct, frozen=True, rename="camel", omit_defaults=True):
    """The snapshot: `digest` is its SHA-256, `first` and `last` are the event times of its oldest and newest row."""

    digest: str
    rows: int
    columns: tuple[str, ...]
    first: datetime | None = None
    last: datetime | None = None


class Lineage(Struct, frozen=True, rename="camel", omit_defaults=True):
    """Everything that a version was made from and by. `compared_with` is the champion's version, empty where there was none.

    A version that Trimtab did not fit (one from a notebook) has no estimator, parameters and seed. `seconds` is how long its run took
    until it was judged.
    """

    model: str
    namespace: str
    uid: str
    release: str
    release_uid: str
    attempt: int
    cut: str
    recipe: str
    made: Made
    data: Used
    pipeline: PipelineVersion
    commit: str
    libraries: dict[str, str]
    trigger: str = ""
    compared_with: str = ""
    estimator: str = ""
    parameters: dict[str, Any] = {}
    seed: int | None = None
    seconds: float | None = None


def trace(facts: Facts, model: Model, used: Used, fitted: Fitted | None, compared_with: str, seconds: float | None = None) -> Lineage:
    """The lineage of a version that the run of `facts` made of the Model."""
    spec = model.spec
    return Lineage(
        model=model.name,
        namespace=model.metadata.namespace,
        uid=model.metadata.uid,
        release=facts.release,
        release_uid=facts.release_uid,
        attempt=facts.attempt,
        trigger=facts.trigger,
        cut=facts.cut,
        recipe=recipe(spec),
        made=Made(spec.task, msgspec.structs.replace(spec.data, uri=shown(spec.data.uri)), spec.training, spec.gates),
        data=used,
        pipeline=pipeline_of(facts.pipeline),
        commit=commit(),
        libraries=libraries(),
        compared_with=compared_with,
        estimator=fitted.estimator if fitted else "",
        parameters=fitted.parameters if fitted else {},
        seed=fitted.seed if fitted else None,
        seconds=seconds,
    )


def pipeline_of(text: str) -> PipelineVersion:
    """The pipeline that a run was told it is; raises InvalidInput where the text is none."""
    try:
        return msgspec.json.decode(text, type=PipelineVersion) if text else BUILT_IN
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        msg = f"the run's parameter pipeline: found {text!r}, allowed is a PipelineVersion as JSON, or nothing: {error}"
        raise InvalidInput(msg) from error


def used(snapshot: Path, time: str | None) -> Used:
    """What `<sha256>.parquet` holds. Its rows are in the order of time, so that only their ends are read."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(snapshot) as file:
        known, names = file.metadata, tuple(file.schema_arrow.names)
        groups = known.num_row_groups
        timed = time is not None and time in names and known.num_rows > 0
        first = _moment(file.read_row_group(0, [time]), 0) if timed else None
        last = _moment(file.read_row_group(groups - 1, [time]), -1) if timed else None
        return Used(snapshot.stem, known.num_rows, names, first, last)


def _moment(table: "pa.Table", row: int) -> datetime | None:
    found = table.column(0)[row].as_py()
    return aware(found) if isinstance(found, datetime) else None


def encode(lineage: Lineage) -> bytes:
    """The content of `lineage.json`; equal lineages give equal bytes."""
    return msgspec.json.format(msgspec.json.encode(lineage, order="sorted"), indent=1)


def decode(body: bytes, where: str) -> Lineage:
    """The lineage in `body`; raises InvalidInput naming `where` it was found.

    One from before pipelines were published leaves out a name and a version that are those of the pipeline that comes with Trimtab.
    """
    try:
        found = msgspec.json.decode(body)
        if isinstance(found, dict) and isinstance(found.get("pipeline"), dict):
            found["pipeline"] = {**msgspec.to_builtins(BUILT_IN), **found["pipeline"]}
        return msgspec.convert(found, Lineage)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        msg = f"{LINEAGE} of {where} cannot be read: {error}"
        raise InvalidInput(msg) from error


def read_lineage(folder: Path) -> Lineage | None:
    """The lineage of the version in `folder`; None for one that has none. Raises InvalidInput where it cannot be read."""
    path = folder / LINEAGE
    return decode(path.read_bytes(), f"the version in {folder.name!r}") if path.is_file() else None


def libraries() -> dict[str, str]:
    """The versions of Python and of the libraries whose numbers end up in a model; what is not installed is left out."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name, distributions in _LIBRARIES.items():
        for distribution in distributions:
            try:
                found.setdefault(name, metadata.version(distribution))
            except metadata.PackageNotFoundError:
                continue
    return found


def commit() -> str:
    """The git commit of what runs: TRIMTAB_COMMIT (set in images), else the working tree's, else "unknown"."""
    given = os.environ.get("TRIMTAB_COMMIT", "")
    if given:
        return given
    try:
        command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"
