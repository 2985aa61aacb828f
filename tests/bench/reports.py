"""What reports cost, and the pictures of docs/reports.md: a stream that drifts, is retrained and breaks, and a fleet of 1,000 models.

Run it as `python -m tests.bench.reports` (make bench-reports). It writes docs/reports/*.png and build/bench/reports.json: seconds of CPU
(the median of five) and bytes of each page, the fleet's with 1,000 models of 50 columns and 30 windows each in SQLite.
"""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import sqlalchemy as sa

from tests.unit.monitoring.folders import (
    HOUR,
    NOW,
    START,
    MemoryFleet,
    ScipyDetector,
    contributions,
    instances,
    labels_of,
    model,
    served,
    write_folder,
    write_more,
)
from tests.unit.monitoring.test_pairing import serving
from trimtab.drawing.page import Page, to_html
from trimtab.drawing.picture import png
from trimtab.events import Finding, finding_event
from trimtab.monitoring import views
from trimtab.monitoring.deciding import ColumnCheck, Drift, level
from trimtab.monitoring.monitor import Monitor
from trimtab.monitoring.performance import Judgement
from trimtab.monitoring.ports import Watched, WatchedVersion
from trimtab.monitoring.reference import read_reference
from trimtab.monitoring.reports.fleet_page import fleet_page
from trimtab.monitoring.reports.model_page import model_page
from trimtab.monitoring.reports.reading import read_window
from trimtab.monitoring.reports.window_page import window_page
from trimtab.monitoring.store import Store
from trimtab.monitoring.tables import findings, windows
from trimtab.schema import PREDICTION
from trimtab.spec import Metadata, Model, Training

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs" / "reports"
FIGURES = ROOT / "build" / "bench" / "reports.json"
MODELS, COLUMNS, WINDOWS = 1000, 50, 30
ROUNDS = 5
SIZE = 600
STREAM = [(0.0, 1.0, 1.0)] * 8 + [(0.4, 1.2, 1.0), (0.8, 1.5, 2.0), (0.9, 1.7, 3.0), (0.9, 1.9, 3.0), (0.9, 1.9, 3.0)]
"""Of each window of the first version: how far the load moved, the noise of labels, and how many times its heat is what it was."""


def document() -> Model:
    """The tests' Model, by site too."""
    plain = model(window={"rows": SIZE})
    return msgspec.structs.replace(plain, spec=msgspec.structs.replace(plain.spec, training=Training(slices=("site",))))


def explained(rows: list[dict[str, Any]]) -> tuple[int, Any]:
    """What a predictor of the tests' model answers to `:explain`."""
    return 200, {"explanations": [{"method": "tree_shap", "contributions": contributions(row)} for row in rows]}


def stream(folder: Path, url: str) -> Monitor:
    """A monitor that saw two versions: the first drifts and gets worse, the second starts well; in its third window a column is gone.

    The versions explain themselves at `url`.
    """
    generator = np.random.default_rng(5)
    versions = [msgspec.structs.replace(write_folder(folder / name, seed=seed), url=url) for name, seed in (("1", 7), ("2", 8))]
    for one in versions:
        write_more(one.folder)
    fleet = MemoryFleet(Watched(document(), versions[0]))
    monitor = Monitor(folder / "monitor.db", fleet, ScipyDetector(), lambda _event: None, replaying=True)
    first = 0
    parts = [("1", *part, False) for part in STREAM] + [("2", 0.0, 1.0, 1.0, number == 2) for number in range(8)]
    for version, shift, noise, times, gone in parts:
        fleet.models = [Watched(document(), versions[int(version) - 1])]
        rows = instances(generator, SIZE, shift=shift, start=START + first * HOUR, first=first)
        rows = [{**row, "heat": None if gone else row["heat"] * times} for row in rows]
        monitor.accept([*served(rows, version, first), *labels_of(rows, generator, noise)], NOW)
        first += len(rows)
        for _ in range(3):
            monitor.tick(NOW)
            monitor.settle()
    return monitor


def crowd(folder: Path) -> Monitor:
    """A monitor of a fleet: a hundredth of the models drifts, one in two hundred is past its bound, two are broken."""
    generator = np.random.default_rng(6)
    store = Store(folder / "fleet.db")
    watched, rows, told = [], [], []
    for number in range(MODELS):
        name = f"model-{number:04d}"
        document = model(name)
        document = msgspec.structs.replace(document, metadata=Metadata(name=name, namespace="shop", uid=f"uid-{number}"))
        watched.append(Watched(document, WatchedVersion("3", "sha256:0", folder)))
        for window in range(WINDOWS):
            rows.append(_row(generator, f"shop/{name}", window, drifting=number % 100 == 7, worse=number % 200 == 31))
        told += _told(document, rows[-1], number)
    with store.transaction() as connection:
        connection.execute(sa.insert(windows), rows)
        connection.execute(sa.insert(findings), told)
    store.close()
    monitor = Monitor(folder / "fleet.db", MemoryFleet(*watched), ScipyDetector(), lambda _event: None)
    monitor.watched("shop/model-0000")
    return monitor


def _row(generator: np.random.Generator, name: str, window: int, *, drifting: bool, worse: bool) -> dict[str, Any]:
    start = (START + window * timedelta(days=1)).timestamp()
    bound = level(1.0) / COLUMNS
    columns = {}
    for place in range(COLUMNS):
        moved = drifting and place < 3 and window > WINDOWS - 6
        p, effect = (1e-9, 0.45) if moved else (float(generator.random()), float(generator.gamma(4.0, 0.01)))
        named = PREDICTION if place == COLUMNS - 1 else f"column_{place:02d}"
        columns[named] = ColumnCheck(named, p, 0.1, effect, moved)
    value = float(generator.normal(2.4 if worse else 1.0, 0.04))
    judgement = Judgement("rmse", value, value - 0.08, value + 0.08, 1.0, 1.1, 5000, worse, worse)
    said = {"quality": (), "drift": Drift(columns, bound), "performance": judgement}
    times = {"start": start, "end": start + 86_390.0, "closed": start + 90_000.0}
    return {
        "model": name,
        "version": "3",
        "window": window,
        "rows": 5000,
        **times,
        **{key: msgspec.json.encode(v) for key, v in said.items()},
    }


def _told(document: Any, row: dict[str, Any], number: int) -> list[dict[str, Any]]:
    kinds = {7: "covariate", 31: "performance", 55: "quality"}
    kind = kinds.get(number % 500 if number % 500 == 55 else number % 200 if number % 200 == 31 else number % 100)
    if kind is None:
        return []
    when = START + WINDOWS * timedelta(days=1)
    sentence = f"made up for this picture: what the monitor would say of a {kind} finding"
    metadata = document.metadata
    found = Finding(metadata.name, metadata.namespace, metadata.uid, "3", kind, row["window"], when, when, when, sentence)  # type: ignore[arg-type]
    event = finding_event(found, "/bench")
    shared = {"model": row["model"], "version": "3", "kind": kind, "window": row["window"], "emitted": None}
    return [{"id": event.id, "event": msgspec.json.encode(event), "open": int(kind == "quality"), **shared}]


def seconds(work: Callable[[], Any]) -> float:
    """Seconds of CPU, the median of a few rounds."""
    taken = []
    for _ in range(ROUNDS):
        started = time.process_time()
        work()
        taken.append(time.process_time() - started)
    return round(statistics.median(taken), 4)


def measured(name: str, make: Callable[[], Page]) -> dict[str, Any]:
    """What a page takes, and its picture in docs."""
    page = make()
    picture = png(page)
    (PICTURES / f"{name}.png").write_bytes(picture)
    read, drawn = seconds(make), seconds(lambda: png(page))
    return {"page": name, "read_s": read, "html_bytes": len(to_html(page).encode()), "png_s": drawn, "png_bytes": len(picture)}


def main() -> int:
    """Write pictures and figures; exit code 1 where the fleet takes a second or more, or a page half a megabyte or more."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    FIGURES.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name, serving(explained) as predictor:
        one, many = stream(Path(name), predictor.url), crowd(Path(name))
        now = START + WINDOWS * timedelta(days=1)
        found = [
            measured(
                "window",
                lambda: window_page(read_window(one.records, document(), lambda version: read_reference(Path(name) / version), 11, "1")),
            ),
            measured("model", lambda: model_page(views.story(one, "default/demand"))),
            measured("fleet", lambda: fleet_page(views.fleet(many, "", now), now)),
        ]
        found[-1] |= {"models": MODELS, "columns": COLUMNS, "windows": WINDOWS, "json_s": seconds(lambda: views.fleet(many, "", now))}
        found[-1] |= {"metrics_s": seconds(lambda: views.metrics(many, now)), "series": views.metrics(many, now).count("\n")}
        one.stop()
        many.stop()
    FIGURES.write_text(json.dumps(found, indent=1))
    print(json.dumps(found, indent=1))
    return int(found[-1]["json_s"] >= 1.0 or max(page["html_bytes"] for page in found) >= 500_000)


if __name__ == "__main__":
    sys.exit(main())
