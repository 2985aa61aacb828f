"""What MLflow's runs hold of a published package: its files in the folder `package`, and a signature beside it.

Only what a package has is copied, by name and within bounds: a run may hold anything else.
"""

import tempfile
from pathlib import Path
from typing import Any

from trimtab.errors import InvalidInput
from trimtab.package import SIZES
from trimtab.packaging.seal import REFUSED, check_files, check_signature
from trimtab.platforms.kept_packages import FOLDER, SIGNATURES
from trimtab.spec import PipelineVersion
from trimtab.training import tracking

SIGNATURE = "package.sig"
SIGNATURE_SIZE = 1 << 20


def finished(connected: Any, experiment: str, most: int) -> list[str]:
    """The ids of the experiment's first `most` runs that were finished, the oldest first."""
    order = ["attributes.start_time ASC"]
    found = connected.search_runs([experiment], filter_string="attributes.status = 'FINISHED'", max_results=most, order_by=order)
    return [one.info.run_id for one in found]


def gather(connected: Any, runs: list[str], version: PipelineVersion, draft: Path) -> None:
    """Copy the package from those of the `runs` that hold it as its digest says, with the signature of each.

    Raises InvalidInput, `PackageRefused: …`, where none does.
    """
    refused: list[str] = []
    for number, run in enumerate(runs):
        with tempfile.TemporaryDirectory(dir=draft.parent) as scratch:
            try:
                bundle = _copied(connected, run, version, Path(scratch))
            except InvalidInput as error:
                refused.append(str(error))
                continue
            for one in (Path(scratch) / FOLDER).iterdir():
                one.replace(draft / FOLDER / one.name)
            (draft / SIGNATURES / f"{number}.json").write_text(bundle)
    if len(refused) == len(runs):
        raise InvalidInput(refused[0] if refused[0].startswith(REFUSED) else f"{REFUSED}: {refused[0]}")


def is_signed(connected: Any, runs: list[str], version: PipelineVersion, public: str) -> bool:
    """Whether one of the `runs` holds the package whole, and signed by the `public` key (PEM)."""
    for run in runs:
        with tempfile.TemporaryDirectory() as scratch:
            try:
                bundle = _copied(connected, run, version, Path(scratch))
                check_signature(Path(scratch) / FOLDER, [bundle], (public,), str(version))
                return True
            except InvalidInput:
                continue
    return False


def _copied(connected: Any, run: str, version: PipelineVersion, into: Path) -> str:
    """Copy the package to the folder `package` in `into`, and check it against its digest; returns the run's signature."""
    where = f"the package {version}"
    (into / FOLDER).mkdir()
    with tracking.speaking(where):
        sizes = {one.path: one.file_size for one in (*connected.list_artifacts(run), *connected.list_artifacts(run, FOLDER))}
        odd = sorted(name for name in sizes if name.startswith(f"{FOLDER}/") and name.removeprefix(f"{FOLDER}/") not in SIZES)
        if odd:
            msg = f"{REFUSED}: {where} has other files than a package has: {', '.join(map(repr, odd[:3]))}"
            raise InvalidInput(msg)
        for name, most in ((SIGNATURE, SIGNATURE_SIZE), *((f"{FOLDER}/{name}", most) for name, most in SIZES.items())):
            size = sizes.get(name)
            if size is None or size > most:
                said = "is missing" if size is None else f"has {size} bytes, allowed are {most}"
                msg = f"{REFUSED}: {name!r} of {where} {said}"
                raise InvalidInput(msg)
            with tempfile.TemporaryDirectory(dir=into, prefix=".") as scratch:
                Path(connected.download_artifacts(run, name, scratch)).replace(into / name)
    check_files(into / FOLDER, version.digest, where)
    return (into / SIGNATURE).read_text(errors="replace")
