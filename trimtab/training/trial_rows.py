"""The rows of a pipeline's trial: those that the champion was made from, so that nothing but the pipeline differs."""

from datetime import datetime
from pathlib import Path

from msgspec.structs import replace

from trimtab.addresses import shown
from trimtab.errors import InvalidInput
from trimtab.spec import registered_name
from trimtab.training import tracking
from trimtab.training.dataset import kept
from trimtab.training.ingest import Snapshot, snapshot, told_apart
from trimtab.training.lineage import Lineage, read_lineage
from trimtab.version_uri import parse


def champions_rows(champion: Path | None, named: str, uri: str, tracking_uri: str, folder: Path) -> tuple[Snapshot, datetime]:
    """The champion's snapshot as `<folder>/<sha256>.parquet`, and its cut: the file that its run kept, else read again.

    `champion` is the folder of its files, `named` its URI, `uri` the Model's data.uri. Raises InvalidInput where there is no
    champion, or its rows are nowhere to be had as they were.
    """
    lineage = read_lineage(champion) if champion is not None else None
    if lineage is None or not lineage.cut:
        said = f"{parse(named, folders=True).told} does not say which they were" if named else "there is no champion"
        msg = f"a pipeline is tried on the rows that the champion was made from, and {said}"
        raise InvalidInput(msg)
    version, digest = parse(named, folders=True).version, lineage.data.digest
    cut, registered = datetime.fromisoformat(lineage.cut), registered_name(lineage.model, lineage.namespace)
    found = kept(tracking_uri, tracking.run_of(tracking_uri, registered, version), digest, folder)
    if found is not None:
        return Snapshot(found, digest, lineage.data.rows, 0), cut
    again = read_again(lineage, uri, folder)
    if again.digest != digest:
        again.path.unlink()
        msg = (
            f"a pipeline is tried on the rows that the champion was made from: the run of version {version} kept none, and "
            f"{shown(uri)!r} holds others now (SHA-256 {again.digest[:12]}, expected {digest[:12]})"
        )
        raise InvalidInput(msg)
    return again, cut


def read_again(lineage: Lineage, uri: str, folder: Path) -> Snapshot:
    """What the place of a version's rows holds now, up to the version's cut; `uri` is the Model's own, which may hold what is secret.

    Raises InvalidInput where the columns are no longer there.
    """
    data = lineage.made.data
    if shown(uri) == data.uri:
        data = replace(data, uri=uri)
    cut = datetime.fromisoformat(lineage.cut) if lineage.cut else None
    return snapshot(data, cut, folder, told_apart(lineage.made.spec))
