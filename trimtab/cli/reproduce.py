"""`trimtab reproduce`: fetch a version and its rows, make it again, and say whether it is the same."""

import tempfile
from pathlib import Path

from trimtab.addresses import shown
from trimtab.cli.output import print_json
from trimtab.cli.versions import Target, target
from trimtab.errors import InvalidInput
from trimtab.platforms.origin import Origin, origin
from trimtab.platforms.registry import MlflowRegistry
from trimtab.training.dataset import kept
from trimtab.training.lineage import Lineage


def make_again(words: list[str], folder: Path, namespace: str | None, tracking_uri: str, *, as_json: bool) -> bool:
    """Make the version again and print what came of it; returns whether it is the same.

    Raises InvalidInput where there is no such version, where it cannot be made again, or where its rows are nowhere to be had.
    """
    wanted = target(words, folder, namespace, tracking_uri)
    found = origin(wanted.tracking_uri, wanted.registered, wanted.version)
    if found.lineage is None:
        msg = f"{wanted.shown} has no lineage: it was made before there was one, or not by Trimtab's pipeline"
        raise InvalidInput(msg)
    from trimtab.training.reproduce import reproduce

    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        version = MlflowRegistry(wanted.tracking_uri, scratch).fetch(wanted.registered, found.version)
        snapshot, place = _rows(wanted, found, found.lineage, scratch)
        made = reproduce(version, found.lineage, snapshot, scratch / "again")
    told = {"model": wanted.name, "version": wanted.version, "sentence": made.sentence, "rowsFrom": place}
    if as_json:
        print_json({**told, "result": made})
        return made.same
    print(f"{wanted.shown}: {made.sentence}")
    print(f"  the rows are {place}")
    for difference in made.differences:
        print(f"  {difference}")
    return made.same


def _rows(wanted: Target, found: Origin, known: Lineage, scratch: Path) -> tuple[Path, str]:
    """The file of the rows, and in words where it is from: what the run kept, else what `data.uri` holds now, up to the cut."""
    snapshot = kept(wanted.tracking_uri, found.run, known.data.digest, scratch)
    if snapshot is not None:
        return snapshot, "those that the run kept"
    from trimtab.training.trial_rows import read_again

    uri = known.made.data.uri
    try:
        again = read_again(known, wanted.model.spec.data.uri if wanted.model is not None else uri, scratch)
    except InvalidInput as error:
        msg = f"{wanted.shown}: its run kept no rows, and they cannot be read again: {error}"
        raise InvalidInput(msg) from error
    return again.path, f"read again from {shown(uri)!r}, for the run kept none"
