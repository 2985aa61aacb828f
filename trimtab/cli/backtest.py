"""`trimtab backtest`: lives the policies, and tells it as a table, a page or JSON."""

import sys
from pathlib import Path

import msgspec
from msgspec.structs import replace

from trimtab.backtest.compare import compare
from trimtab.backtest.page import COLUMNS, headline, page, rows
from trimtab.backtest.told import Comparison
from trimtab.cli.output import print_json, table, writing
from trimtab.cli.play import parse_time
from trimtab.documents import read_model
from trimtab.errors import InvalidInput
from trimtab.monitoring.detectors import Detector
from trimtab.monitoring.detectors.asking import caged
from trimtab.monitoring.detectors.choosing import Chosen
from trimtab.platforms.local.monitor_main import detector_python
from trimtab.spec import Model


def run_backtest(document: Path, data: Path | None, start: str | None, trials: int, keep: Path | None, out: Path, *, as_json: bool) -> None:
    """Compare the policies over the rows and write the page; raises InvalidInput where either cannot be done."""
    model = _read(document, data)
    with writing(out):  # minutes of work must not end at a file that cannot be written
        out.touch()
    if model.spec.monitoring.drift.detector != "exact" and not detector_python().exists():
        msg = f"the detector's environment {str(detector_python().parent.parent)!r} is not there: make build/stamps/detectors"
        raise InvalidInput(msg)
    tell = (lambda _: None) if as_json else (lambda name: print(f"  lived {name}", file=sys.stderr))
    found = compare(model, parse_time("--from", start), detector, trials, tell, keep)
    out.write_text(page(found))
    if as_json:
        print_json({"report": str(out), **_numbers(found)})
        return
    _show(found)
    print(f"wrote {out}")


def detector() -> Detector:
    """Every detector that a document can name; Alibi's run in the worker's own environment."""
    return Chosen(caged(detector_python()))


def _read(document: Path, data: Path | None) -> Model:
    model = read_model(document)
    if data is None:
        return model
    if not data.is_file():
        msg = f"there is no file {str(data)!r} to play"
        raise InvalidInput(msg)
    return replace(model, spec=replace(model.spec, data=replace(model.spec.data, uri=str(data.resolve()))))


def _numbers(found: Comparison) -> dict[str, object]:
    numbers: dict[str, object] = msgspec.to_builtins(found)
    return numbers


def _show(found: Comparison) -> None:
    columns = [column.format(metric=found.metric).upper() for column in COLUMNS]
    title = f"{found.model}: {found.labelled:,} labelled rows from {found.start:%Y-%m-%d} to {found.end:%Y-%m-%d}"
    table(title, columns, rows(found))
    print(headline(found))
    for note in found.notes:
        print(f"  {note}")
