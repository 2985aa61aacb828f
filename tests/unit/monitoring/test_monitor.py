import threading
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from trimtab.cage import Cage
from trimtab.errors import InvalidInput, Unavailable
from trimtab.events import CloudEvent
from trimtab.monitoring import views
from trimtab.monitoring.columns import Column, Table
from trimtab.monitoring.deciding import ColumnTest
from trimtab.monitoring.detectors.choosing import Chosen
from trimtab.monitoring.monitor import Monitor, UnknownModel
from trimtab.monitoring.ports import Watched, WatchedVersion

from .folders import (
    HOUR,
    NOW,
    START,
    MemoryFleet,
    ScipyDetector,
    asked,
    instances,
    labels_of,
    model,
    row_counts,
    served,
    told,
    write_folder,
)

ID = "default/demand"
Rows = list[dict[str, Any]]


def look(monitor: Monitor) -> None:
    """Two ticks and the rounds they begin: all that can be said now is said and sent."""
    for _ in range(2):
        monitor.tick(NOW)
        monitor.settle()
    monitor.tick(NOW)


def feed(monitor: Monitor, rows: Rows, generator: np.random.Generator, *, noise: float = 1.0, first: int = 0, labels: bool = True) -> None:
    events = served(rows, first=first)
    monitor.accept([*events, *(labels_of(rows, generator, noise) if labels else [])], NOW)


def days_after(rows: Rows) -> Rows:
    """One row 30 hours after the last: the watermark moves on so that windows close and labels are mature."""
    last = max(row["at"] for row in rows)
    return [{**rows[0], "id": 10_000_000, "at": (datetime.fromisoformat(last) + 30 * HOUR).isoformat()}]


def said(events: Sequence[CloudEvent]) -> list[tuple[str, int]]:
    return [(event.data["kind"], event.data["window"]) for event in events]


@pytest.fixture
def calm(generator: np.random.Generator) -> Rows:
    return instances(generator, 500)


def test_calm_traffic_makes_windows_and_no_finding(
    monitor: Monitor, sent: list[CloudEvent], calm: Rows, generator: np.random.Generator
) -> None:
    feed(monitor, calm, generator)
    feed(monitor, days_after(calm), generator, first=900, labels=False)
    look(monitor)
    found = views.windows(monitor, ID)
    assert [(window["window"], window["rows"], window["judged"]) for window in found] == [(n, 100, True) for n in range(5)]
    assert found[1]["start"] == "2026-01-05T04:00:00Z"
    assert sent == []
    state = views.state(monitor, ID)
    assert (state["windows"], state["openQuality"], state["counts"]["labels"]) == ({"1": 5}, [], 500)


@pytest.mark.parametrize("detector", ["exact", "tabular"])
def test_a_shift_is_found_by_the_detector_that_the_model_asks_for_and_a_duplicate_has_the_same_id(
    tmp_path: Path, version: WatchedVersion, cage: Cage, detector: str, generator: np.random.Generator
) -> None:
    asking = model(drift={"detector": detector, "persistence": "2 of 3"})
    found = []
    for name in ("first", "second"):
        sent: list[CloudEvent] = []
        monitor = Monitor(tmp_path / f"{name}.db", MemoryFleet(Watched(asking, version)), Chosen(cage), sent.append, replaying=True)
        feed(monitor, instances(np.random.default_rng(3), 420, shift=1.0), generator, labels=False)
        look(monitor)
        found.append({(*pair, event.id) for pair, event in zip(said(sent), sent, strict=True)})
        load = views.windows(monitor, ID)[0]["drift"]["columns"]["load"]
        assert load["psi"] > 0.2
        assert 0.2 < load["jensenShannon"] < 1.0
        monitor.stop()
    assert {(kind, window) for kind, window, _ in found[0]} == {(kind, n) for kind in ("covariate", "prediction") for n in (1,)}, (
        "what lasts is told once in three windows"
    )
    assert found[0] == found[1]


def test_error_growth_is_found_after_persistence_and_never_before_labels_matured(
    monitor: Monitor, sent: list[CloudEvent], calm: Rows, generator: np.random.Generator
) -> None:
    feed(monitor, calm[:200], generator)
    feed(monitor, calm[200:300], generator, noise=3.0, first=200)
    feed(monitor, calm[300:423], generator, noise=3.0, first=300)
    look(monitor)
    assert [window["judged"] for window in views.windows(monitor, ID)] == [True, True, True, False]
    assert said(sent) == []
    feed(monitor, calm[423:], generator, noise=3.0, first=423)
    look(monitor)
    assert said(sent) == [("performance", 3)]
    finding = sent[0].data
    assert (finding["hurts"], finding["evidence"]["inputsMoved"], finding["version"], finding["modelUid"]) == (True, [], "1", "uid-1")
    assert finding["cut"] == "2026-01-21T19:00:00Z"
    report = views.performance(monitor, ID)
    assert report[3]["judgement"]["value"] == pytest.approx(3.0, rel=0.2)
    assert set(report[3]["effects"]) == {"load", "heat", "site", "__prediction"}


def test_a_rise_within_the_margin_at_unchanged_inputs_is_a_concept_finding(
    tmp_path: Path, version: WatchedVersion, sent: list[CloudEvent], calm: Rows, generator: np.random.Generator
) -> None:
    lenient = model(performance={"margin": "x3"})
    monitor = Monitor(tmp_path / "m.db", MemoryFleet(Watched(lenient, version)), ScipyDetector(), sent.append, replaying=True)
    feed(monitor, calm, generator, noise=2.0)
    look(monitor)
    assert said(sent) == [("concept", 1)]
    monitor.stop()


def test_an_estimate_comes_before_the_labels_and_is_not_believed_once_they_contradict_it(
    monitor: Monitor, calm: Rows, generator: np.random.Generator
) -> None:
    feed(monitor, calm[:110], generator, labels=False)
    look(monitor)
    told = views.performance(monitor, ID)[0]
    assert (told["judgement"], told["estimate"]["state"]) == (None, "estimated")
    assert told["estimate"]["value"] == pytest.approx(1.0, rel=0.2)
    monitor.accept(labels_of(calm[:110], generator, 3.0), NOW)
    feed(monitor, calm[110:], generator, first=110, labels=False)
    look(monitor)
    found = views.performance(monitor, ID)
    assert [window["estimate"]["state"] for window in found] == ["unverified"] * 4
    assert found[0]["judgement"]["value"] > found[0]["estimate"]["high"]


def test_labels_that_are_missing_keep_a_window_unjudged(monitor: Monitor, calm: Rows, generator: np.random.Generator) -> None:
    feed(monitor, calm, generator, labels=False)
    monitor.accept(labels_of(calm[:40], generator, 9.0), NOW)
    look(monitor)
    assert not any(window["judged"] for window in views.windows(monitor, ID))
    monitor.accept(labels_of(calm[40:60], generator, 9.0), NOW)
    look(monitor)
    assert [window["judged"] for window in views.windows(monitor, ID)] == [True, False, False, False]


def test_broken_data_is_a_quality_finding_holds_drift_back_and_closes_after_two_clean_windows(
    monitor: Monitor, sent: list[CloudEvent], calm: Rows, generator: np.random.Generator
) -> None:
    broken = [{**row, "heat": row["heat"] * 1000} for row in calm[:200]]
    for first, rows, still_open in ((0, [*broken, *calm[200:310]], 1), (310, calm[310:410], 0)):
        feed(monitor, rows, generator, noise=9.0, first=first)
        look(monitor)
        assert len(views.state(monitor, ID)["openQuality"]) == still_open
    assert [bool(window["breaks"]) for window in views.windows(monitor, ID)] == [True, True, False, False]
    assert [pair for pair in said(sent) if pair[1] < 2] == [("quality", 0)]
    assert "heat" in sent[0].data["sentence"]
    assert next(finding["open"] for finding in views.findings(monitor, ID)) is False


def test_categories_that_training_never_saw_are_told_and_do_not_hide_a_worse_error(
    monitor: Monitor, sent: list[CloudEvent], calm: Rows, generator: np.random.Generator
) -> None:
    feed(monitor, [{**row, "site": "south"} for row in calm], generator, noise=3.0)
    look(monitor)
    assert {kind for kind, _ in said(sent)} == {"quality", "covariate", "performance"}
    assert said(sent)[0] == ("quality", 0)
    assert len(views.state(monitor, ID)["openQuality"]) == 1


def test_out_of_order_rows_make_the_same_windows_and_late_ones_are_set_aside(
    monitor: Monitor, calm: Rows, generator: np.random.Generator
) -> None:
    order = np.argsort(np.arange(300) + generator.uniform(0, 2, 300))
    for number, place in enumerate(order):
        if place != 50:
            feed(monitor, [calm[place]], generator, first=number, labels=False)
    feed(monitor, calm[300:310], generator, first=300, labels=False)
    look(monitor)
    feed(monitor, [calm[50], *calm[310:410]], generator, first=310, labels=False)
    look(monitor)
    found = views.windows(monitor, ID)
    assert [(window["start"], window["rows"]) for window in found][:2] == [("2026-01-01T00:00:00Z", 100), ("2026-01-05T05:00:00Z", 100)]
    assert [window["start"] for window in found[2:]] == ["2026-01-09T09:00:00Z", "2026-01-13T13:00:00Z"]
    assert views.state(monitor, ID)["counts"]["rows"] == 410


def test_a_promotion_begins_new_windows_against_the_new_versions_own_reference(
    tmp_path: Path, monitor: Monitor, fleet: MemoryFleet, sent: list[CloudEvent], generator: np.random.Generator
) -> None:
    moved = instances(generator, 500, shift=1.0)
    feed(monitor, moved[:240], generator, labels=False)
    look(monitor)
    assert said(sent) == [("covariate", 1), ("prediction", 1)]
    second = write_folder(tmp_path / "2", seed=8)
    sample = msgspec.structs.replace(second, version="2")
    fleet.models = [Watched(model(), sample)]
    monitor.accept(served(moved[240:], version="2", first=240), NOW)
    look(monitor)
    assert views.state(monitor, ID)["windows"] == {"1": 2, "2": 2}
    assert views.windows(monitor, ID)[2]["start"] == "2026-01-11T00:00:00Z"


def test_a_window_with_too_few_rows_is_not_judged_and_says_so(
    tmp_path: Path, version: WatchedVersion, sent: list[CloudEvent], generator: np.random.Generator
) -> None:
    sparse = model(window={"rows": 1000, "every": "48h", "least": 40})
    monitor = Monitor(tmp_path / "m.db", MemoryFleet(Watched(sparse, version)), ScipyDetector(), sent.append, replaying=True)
    moved = instances(generator, 300, shift=2.0)
    feed(monitor, [row for hour, row in enumerate(moved) if not 48 <= hour < 96 or hour % 3 == 0], generator, labels=False)
    look(monitor)
    found = views.windows(monitor, ID)
    assert [window["rows"] for window in found][:4] == [48, 16, 48, 48]
    assert found[1]["drift"]["failed"] == "not judged: 16 of 40 rows"
    assert "failed" not in found[0]["drift"]
    assert ("covariate", 2) in said(sent), "two of three windows moved, the one between was not judged"
    monitor.stop()


def test_a_sliding_window_is_tested_anew_with_each_pane(
    tmp_path: Path, version: WatchedVersion, sent: list[CloudEvent], generator: np.random.Generator
) -> None:
    sliding = model(window={"rows": 200, "panes": 4})
    monitor = Monitor(tmp_path / "m.db", MemoryFleet(Watched(sliding, version)), ScipyDetector(), sent.append, replaying=True)
    rows = [*instances(generator, 300), *instances(generator, 120, shift=2.0, start=START + 300 * HOUR, first=300)]
    feed(monitor, rows, generator, labels=False)
    look(monitor)
    found = views.windows(monitor, ID)
    assert [window["rows"] for window in found] == [50] * 8
    assert [window["drift"].get("failed", "") for window in found] == [f"not judged: {n} of 100 rows" for n in (50,)] + [""] * 7
    effects = [window["drift"]["columns"]["load"]["effect"] for window in found[1:]]
    assert max(effects[:5]) < 0.35
    assert effects[6] == pytest.approx(1.0, abs=0.3), "half of the last four panes moved by two"
    monitor.stop()


def test_the_raw_p_value_is_kept_beside_the_one_that_decided(monitor: Monitor, calm: Rows, generator: np.random.Generator) -> None:
    feed(monitor, calm, generator, labels=False)
    look(monitor)
    windows = [window["drift"]["columns"] for window in views.windows(monitor, ID)]
    assert all(check["rows"] <= 100 for checks in windows for check in checks.values())
    shares = [checks["site"] for checks in windows]
    assert all(check["adjusted"] >= check["p"] * (1 - 1e-9) for check in shares), "a number may be told by its spread instead"
    assert any(check["adjusted"] > 1.1 * check["p"] for check in shares)


class Flaky:
    """A sink that does not answer until it is told to."""

    def __init__(self) -> None:
        self.answers: str = "unavailable"
        self.got: list[CloudEvent] = []

    def __call__(self, event: CloudEvent) -> None:
        if self.answers == "unavailable":
            msg = "the sink does not answer"
            raise Unavailable(msg)
        self.got.append(event)
        if self.answers == "refuses":
            msg = "the sink wants no findings"
            raise InvalidInput(msg)


@pytest.mark.parametrize(("answers", "times"), [pytest.param("takes", 1, id="taken"), pytest.param("refuses", 1, id="refused")])
def test_findings_survive_a_sink_that_is_away_and_a_restart(
    tmp_path: Path, fleet: MemoryFleet, generator: np.random.Generator, answers: str, times: int
) -> None:
    sink = Flaky()
    monitor = Monitor(tmp_path / "m.db", fleet, ScipyDetector(), sink, replaying=True)
    feed(monitor, instances(generator, 240, shift=1.0), generator, labels=False)
    look(monitor)
    waiting = [event.id for event in monitor.records.pending()]
    assert (len(waiting), sink.got) == (2, [])
    monitor.stop()
    monitor = Monitor(tmp_path / "m.db", fleet, ScipyDetector(), sink, replaying=True)
    sink.answers = answers
    look(monitor)
    look(monitor)
    assert [event.id for event in sink.got] == waiting * times
    monitor.stop()


def test_broken_data_is_told_to_people_until_they_have_it_and_holds_no_other_finding_up(
    tmp_path: Path, fleet: MemoryFleet, sent: list[CloudEvent], calm: Rows, generator: np.random.Generator
) -> None:
    told, answers = list[CloudEvent](), [False]

    def page(event: CloudEvent) -> bool:
        told.append(event)
        return answers[0]

    monitor = Monitor(tmp_path / "m.db", fleet, ScipyDetector(), sent.append, page=page, replaying=True)
    feed(monitor, [{**row, "site": "south"} for row in calm], generator, noise=3.0)
    for _ in range(3):
        look(monitor)
    assert {kind for kind, _ in said(told)} == {"quality"}
    assert len(told) > 1, "it is told again until somebody has it"
    assert {kind for kind, _ in said(sent)} == {"covariate", "performance"}, "the others have left"
    monitor.stop()
    told.clear()
    answers[0] = True
    monitor = Monitor(tmp_path / "m.db", fleet, ScipyDetector(), sent.append, page=page, replaying=True)
    for _ in range(3):
        look(monitor)
    assert len({event.id for event in told}) == len(told) > 0, "after a restart, and then no more"
    assert monitor.records.pending() == []
    monitor.stop()


class Absent:
    """A detector that never answers."""

    def test(self, columns: Sequence[Column], reference: Table, window: Table, *_: object) -> dict[str, ColumnTest]:
        msg = f"no answer for {len(columns)} columns, {len(reference)} and {len(window)}"
        raise Unavailable(msg)

    def close(self) -> None:
        pass


def test_a_detector_that_fails_is_tried_twice_and_does_not_stop_the_rest(
    tmp_path: Path, fleet: MemoryFleet, sent: list[CloudEvent], calm: Rows, generator: np.random.Generator
) -> None:
    monitor = Monitor(tmp_path / "m.db", fleet, Absent(), sent.append, replaying=True)
    feed(monitor, calm, generator, noise=3.0)
    for _ in range(6):
        look(monitor)
    assert [window["drift"]["failed"][:13] for window in views.windows(monitor, ID)] == ["no answer for"] * 4
    assert said(sent) == [("performance", 1)]
    assert "trimtab_monitor_detector_failures_total 8" in views.metrics(monitor, NOW)
    monitor.stop()


def test_a_rise_is_no_concept_finding_where_nobody_could_say_whether_the_inputs_moved(
    tmp_path: Path, version: WatchedVersion, sent: list[CloudEvent], calm: Rows, generator: np.random.Generator
) -> None:
    lenient = model(performance={"margin": "x3"})
    monitor = Monitor(tmp_path / "m.db", MemoryFleet(Watched(lenient, version)), Absent(), sent.append, replaying=True)
    feed(monitor, calm, generator, noise=2.0)
    for _ in range(6):
        look(monitor)
    assert [window["judgement"]["rose"] for window in views.windows(monitor, ID)] == [True] * 4
    assert said(sent) == []
    monitor.stop()


class Slow(Absent):
    """A detector that answers nothing until it is closed, as one whose libraries take long to import."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.closed = threading.Event()

    def test(self, columns: Sequence[Column], reference: Table, window: Table, *_: object) -> dict[str, ColumnTest]:
        self.asked.set()
        self.closed.wait(60)
        return super().test(columns, reference, window)

    def close(self) -> None:
        self.closed.set()


def test_a_tick_does_not_wait_for_the_detector_and_the_end_does_not_either(
    tmp_path: Path, fleet: MemoryFleet, calm: Rows, generator: np.random.Generator
) -> None:
    slow = Slow()
    monitor = Monitor(tmp_path / "m.db", fleet, slow, lambda _: None, replaying=True)
    feed(monitor, calm, generator)
    monitor.tick(NOW)
    assert slow.asked.wait(30)
    monitor.tick(NOW)
    assert not slow.closed.is_set()
    assert [window["breaks"] for window in views.windows(monitor, ID)] == [()] * 4
    started = time.monotonic()
    monitor.stop()
    assert time.monotonic() - started < 5.0


def test_settling_after_the_end_does_not_wait_for_what_was_never_begun(tmp_path: Path, fleet: MemoryFleet, calm: Rows) -> None:
    for number in range(20):
        monitor = Monitor(tmp_path / f"{number}.db", fleet, ScipyDetector(), lambda _: None, replaying=True)
        monitor.accept(served(calm[:110]), NOW)
        monitor.tick(NOW)
        monitor.stop()
        monitor.settle()


def test_one_broken_version_does_not_keep_the_others_from_being_watched(
    tmp_path: Path, version: WatchedVersion, sent: list[CloudEvent], calm: Rows, generator: np.random.Generator
) -> None:
    empty = WatchedVersion("1", "0", tmp_path / "nothing")
    fleet = MemoryFleet(Watched(model("broken"), empty), Watched(model(), version))
    monitor = Monitor(tmp_path / "m.db", fleet, ScipyDetector(), sent.append, replaying=True)
    monitor.accept([asked("x", [calm[0]], name="broken")], NOW)
    feed(monitor, calm, generator)
    look(monitor)
    assert len(views.windows(monitor, ID)) == 4
    monitor.stop()


def test_a_model_that_is_not_watched_is_a_sentence_and_stores_nothing(monitor: Monitor, calm: Rows) -> None:
    with pytest.raises(UnknownModel, match="'default/other' is not known here; known are default/demand"):
        monitor.accept([*served(calm[:1]), told(1, 2.0, NOW, name="other")], NOW)
    assert monitor.store.counts(ID)["rows"] == 0


def test_events_that_name_no_version_are_the_champions_while_it_serves_alone(
    monitor: Monitor, fleet: MemoryFleet, version: WatchedVersion, calm: Rows
) -> None:
    bare = [msgspec.structs.replace(event, extensions={"inferenceservicename": "demand"}) for event in served(calm[:2])]
    monitor.accept(bare[:2], NOW)
    other = msgspec.structs.replace(version, version="2")
    fleet.models = [Watched(model(), version, (other,))]
    monitor.tick(NOW)
    monitor.accept(bare[2:], NOW)
    assert row_counts(monitor.store) == {(ID, "1"): 1, (ID, ""): 1}
    assert monitor.store.watermark(ID) == START + HOUR
