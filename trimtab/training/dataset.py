"""The rows of a version in MLflow: an MLflow dataset that describes them, and the file itself, so that the version can be made again.

The file is the very Parquet file that was trained on, under its SHA-256. It costs as much room as the snapshot takes (a few dozen bytes
a row) for each registered version; it is kept only where a version came of it, and not beyond `LARGEST_KEPT`.
"""

import shutil
from pathlib import Path
from typing import Any

import msgspec

from trimtab.addresses import SCHEMES
from trimtab.manifest import sha256
from trimtab.training import tracking
from trimtab.training.lineage import Lineage

DATA = "data"
LARGEST_KEPT = 1 << 30
DIGEST_LENGTH = 36
_TYPES = {"bool": "boolean", "double": "double", "float": "float", "halffloat": "float", "int32": "integer"}
_BY_PREFIX = {"int": "long", "uint": "long", "timestamp": "datetime", "date": "datetime", "dictionary": "string", "large_string": "string"}


def log_dataset(connected: Any, run: str, lineage: Lineage, snapshot: Path) -> None:
    """Describe the rows as the run's training dataset; the same one twice is one."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    described = DatasetInput(Dataset(**entity(lineage, types_of(snapshot))), [InputTag("mlflow.data.context", "training")])
    connected.log_inputs(run, [described])


def entity(lineage: Lineage, types: dict[str, str]) -> dict[str, str]:
    """The fields of MLflow's dataset entity; `types` are the columns' Arrow types by name.

    MLflow takes at most 36 characters of a digest: the whole SHA-256 is in the profile, and the run's tag `trimtab.dataset`.
    """
    data, uri = lineage.data, lineage.made.data.uri
    scheme = uri.split("://")[0] if "://" in uri else "local"
    columns = [{"type": _type(kind), "name": name, "required": False} for name, kind in types.items()]
    profile: dict[str, Any] = {"num_rows": data.rows, "num_elements": data.rows * len(types), "sha256": data.digest, "cut": lineage.cut}
    profile |= {name: moment.isoformat() for name, moment in (("first", data.first), ("last", data.last)) if moment is not None}
    return {
        "name": lineage.model,
        "digest": data.digest[:DIGEST_LENGTH],
        "source_type": "http" if scheme in SCHEMES else scheme,
        "source": msgspec.json.encode({"url" if scheme in SCHEMES else "uri": uri}).decode(),
        "schema": msgspec.json.encode({"mlflow_colspec": columns}).decode(),
        "profile": msgspec.json.encode(profile).decode(),
    }


def types_of(snapshot: Path) -> dict[str, str]:
    """The Arrow types of a Parquet file's columns by name; no row is read."""
    import pyarrow.parquet as pq

    return {field.name: str(field.type) for field in pq.read_schema(snapshot)}


def worth_keeping(snapshot: Path) -> bool:
    """Whether the file is small enough to be kept with its version."""
    return snapshot.stat().st_size <= LARGEST_KEPT


def kept(tracking_uri: str, run: str, digest: str, folder: Path) -> Path | None:
    """The snapshot that the run kept, brought to `<folder>/<digest>.parquet`; None where it kept none, or what is there is another one.

    Raises Unavailable where MLflow does not answer.
    """
    connected, name = tracking.client(tracking_uri), f"{DATA}/{digest}.parquet"
    with tracking.speaking(f"the snapshot {digest[:12]} of run {run!r}"):
        if name not in {item.path for item in connected.list_artifacts(run, DATA)}:
            return None
        found = Path(connected.download_artifacts(run, name, str(folder)))
    if sha256(found) != digest:
        return None
    place = folder / f"{digest}.parquet"
    shutil.move(found, place)
    return place


def _type(kind: str) -> str:
    return _TYPES.get(kind) or next((word for prefix, word in _BY_PREFIX.items() if kind.startswith(prefix)), "string")
