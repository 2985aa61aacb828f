"""`trimtab report`: a window, a model's life or the fleet as a page or a picture; from the state folder, or from a cluster's monitor."""

import urllib.parse
from pathlib import Path

from trimtab.cli.asking import monitor_at
from trimtab.cli.output import print_json, writing
from trimtab.cli.releases import find_model
from trimtab.drawing.page import Page, to_html
from trimtab.drawing.picture import png
from trimtab.errors import InvalidInput
from trimtab.monitoring.records import Records
from trimtab.monitoring.reference import read_reference
from trimtab.monitoring.reports.model_page import model_page
from trimtab.monitoring.reports.reading import read_model, read_window
from trimtab.monitoring.reports.window_page import window_page
from trimtab.monitoring.store import Store
from trimtab.platforms.local.objects import SqliteObjects
from trimtab.platforms.local.state import State

_PATIENCE = 60.0


def report(
    model: str | None,
    window: int | None,
    version: str | None,
    out: Path,
    folder: Path,
    namespace: str | None,
    monitor: str,
    *,
    as_json: bool,
) -> None:
    """Write the page (`.html`) or the picture (`.png`) that `out` names; raises InvalidInput where it cannot be made or written."""
    if out.suffix not in (".html", ".png"):
        msg = f"{str(out)!r} is neither a page nor a picture: a name that ends in .html or .png is allowed"
        raise InvalidInput(msg)
    if version is not None and window is None:
        msg = "--version says whose window is meant: name the window too, with --window"
        raise InvalidInput(msg)
    if monitor:
        made = _asked(monitor, model, window, version, namespace or "default", out.suffix)
    else:
        page = _read(folder, model, window, version)
        made = png(page) if out.suffix == ".png" else to_html(page).encode()
    _write(out, made, as_json=as_json)


def fleet_report(out: Path, namespace: str | None, monitor: str, *, as_json: bool) -> None:
    """Write the page or picture of all models that a monitor watches; raises InvalidInput without a monitor to ask."""
    if not monitor or out.suffix not in (".html", ".png"):
        msg = "a fleet's report is asked of a monitor (--monitor URL) and written to a name that ends in .html or .png"
        raise InvalidInput(msg)
    query = f"?namespace={urllib.parse.quote(namespace, safe='')}" if namespace else ""
    made = monitor_at(monitor).read(f"/fleet/report{out.suffix}{query}", "fleet", _PATIENCE)
    _write(out, made, as_json=as_json)


def _asked(monitor: str, model: str | None, window: int | None, version: str | None, namespace: str, suffix: str) -> bytes:
    if model is None:
        msg = "name the Model whose report is asked of the monitor"
        raise InvalidInput(msg)
    where = f"/models/{urllib.parse.quote(namespace, safe='')}/{urllib.parse.quote(model, safe='')}"
    where += f"/windows/{window}" if window is not None else ""
    query = f"?version={urllib.parse.quote(version, safe='')}" if version else ""
    return monitor_at(monitor).read(f"{where}/report{suffix}{query}", "report", _PATIENCE)


def _read(folder: Path, name: str | None, window: int | None, version: str | None) -> Page:
    state = State(folder).existing()
    model = find_model(SqliteObjects(state.database), name)
    if not state.monitor_database.exists():
        msg = f"the monitor of {str(state.folder)!r} has seen nothing yet"
        raise InvalidInput(msg)
    store = Store(state.monitor_database)
    try:
        records = Records(store)
        if window is None:
            champion = model.status.champion
            return model_page(read_model(store, records, model, champion.version if champion else None))
        story = read_window(records, model, lambda which: read_reference(state.version_folder(model.name, which)), window, version)
        return window_page(story)
    finally:
        store.close()


def _write(out: Path, made: bytes, *, as_json: bool) -> None:
    with writing(out):
        out.write_bytes(made)
    if as_json:
        print_json({"report": str(out), "bytes": len(made)})
    else:
        print(f"wrote {out}")
