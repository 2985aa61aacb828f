"""What a version's answers rest on: the measure, and the finding end to end with a version that was trained and a predictor that serves."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.unit.serving.test_predictor import start as serve
from tests.unit.serving.tiny import answers, call, until
from tests.unit.training import data
from trimtab.backtest.replay import replay
from trimtab.errors import InvalidInput
from trimtab.events import CloudEvent, Finding, data_of
from trimtab.explanation import ATTRIBUTIONS, read_explanation
from trimtab.monitoring import views
from trimtab.monitoring.attributions import attributed
from trimtab.monitoring.explanation import Ranking, Sizes, movers, ndcg, ranked
from trimtab.monitoring.monitor import Monitor
from trimtab.monitoring.ports import Watched, WatchedVersion
from trimtab.monitoring.reports.model_page import model_page
from trimtab.monitoring.reports.window_page import window_page
from trimtab.retraining.route import route
from trimtab.schema import read_schema
from trimtab.spec import ExplanationPolicy, Model, Training
from trimtab.training.evaluate import evaluate
from trimtab.training.fit import fit
from trimtab.training.ingest import read
from trimtab.training.register import assemble

from .folders import HOUR, NOW, MemoryFleet, ScipyDetector, answered, asked, told

ID = "default/bike"
Rows = list[dict[str, Any]]

# --- the measure

ORDERS: list[tuple[str, list[float], list[float], float]] = [
    ("the same order", [0.5, 0.3, 0.2], [0.6, 0.25, 0.15], 1.0),
    ("a reversed one", [0.7, 0.5, 0.05], [0.1, 0.2, 0.7], (0.05 + 0.5 / np.log2(3) + 0.7 / 2) / (0.7 + 0.5 / np.log2(3) + 0.05 / 2)),
    (
        "two small ones change places",
        [0.9, 0.06, 0.04],
        [0.9, 0.04, 0.06],
        (0.9 + 0.04 / np.log2(3) + 0.03) / (0.9 + 0.06 / np.log2(3) + 0.02),
    ),
    ("live shares that are equal are no other order", [0.5, 0.3, 0.2], [1 / 3, 1 / 3, 1 / 3], 1.0),
    ("one feature has one order", [1.0], [1.0], 1.0),
]


@pytest.mark.parametrize(("before", "now", "expected"), [case[1:] for case in ORDERS], ids=[case[0] for case in ORDERS])
def test_ndcg_is_the_gain_of_training_in_the_live_order(before: list[float], now: list[float], expected: float) -> None:
    assert ndcg(np.array([before]), np.array([now]))[0] == pytest.approx(expected)


@given(arrays(float, (2, 6), elements=st.floats(0.01, 1.0)), st.permutations(range(6)))
def test_ndcg_is_at_most_1_and_does_not_depend_on_the_columns_order(shares: Any, order: list[int]) -> None:
    before, now = shares[:1], shares[1:] + np.arange(6) * 1e-6
    found = ndcg(before, now)[0]
    assert 0 < found <= 1 + 1e-12
    assert ndcg(before[:, order], now[:, order])[0] == pytest.approx(found)
    assert ndcg(before, before)[0] == pytest.approx(1.0)


def sizes(generator: np.random.Generator, rows: int, *widths: float) -> Sizes:
    return Sizes(np.abs(generator.normal(0, widths, (rows, len(widths)))), np.ones(rows))


@pytest.mark.parametrize("now", [(1.0, 1.2, 3.0, 3.0), (5.0, 4.0, 2.0, 2.2), (3.0, 3.0, 3.0, 3.0)], ids=["reversed", "near", "all equal"])
def test_an_interval_holds_what_many_rows_would_say_though_shares_are_nearly_equal(now: tuple[float, ...]) -> None:
    generator = np.random.default_rng(8)
    before = np.array([5.0, 3.0, 1.0, 0.5])
    orders = {float(ndcg(before[None] / before.sum(), np.array([now]) + generator.normal(0, 1e-9, 4))[0]) for _ in range(200)}
    found = [ranked(list("abcd"), sizes(generator, 500, *before), sizes(generator, 256, *now), 5000, 0.9, str(n)) for n in range(150)]
    held = [any(one.low - 1e-3 <= true <= one.high + 1e-3 for true in orders) for one in found]
    assert np.mean(held) >= 0.95
    assert all(one.ndcg is not None and one.low <= one.ndcg <= one.high for one in found)


def test_who_moved_is_told_by_how_much_of_the_attributions_went(generator: np.random.Generator) -> None:
    moved = ranked(list("abcd"), sizes(generator, 2000, 5, 3, 1, 0.5), sizes(generator, 256, 0.1, 3, 1, 5), 5000, 0.9, "w")
    assert [(one.feature, one.before, one.now) for one in movers(moved)][:2] == [("a", 1, 4), ("d", 4, 1)]


def test_of_two_hundred_small_windows_that_rest_on_what_training_did_none_moved() -> None:
    generator = np.random.default_rng(3)
    names, before = [f"f{n}" for n in range(12)], sizes(generator, 500, *np.linspace(3, 0.2, 12))
    found = [ranked(names, before, sizes(generator, 60, *np.linspace(3, 0.2, 12)), 60, 0.9, str(n)) for n in range(200)]
    assert sum(one.moved for one in found) == 0


def test_a_version_that_answers_the_same_whatever_it_is_asked_rests_on_nothing() -> None:
    still = Sizes(np.zeros((100, 2)), np.ones(100))
    assert ranked(["a", "b"], still, still, 100, 0.9, "w").failed == "the version's answers rest on no feature"


# --- a version that was trained, and a predictor that serves it


class Service:
    """A trained version behind a real predictor, watched by a monitor that replays what is fed to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        spec = data.spec(data.write(folder / "a.csv", data.rows(1500)))
        spec = msgspec.structs.replace(spec, training=Training(refit=False))
        table, _ = read(spec.data, data.last(1500))
        fit(table, spec, folder / "model", 7)
        evaluate(table, spec, folder / "model", None, folder / "evaluation", 7)
        self.version = folder / "version"
        self.digest = assemble(folder / "model", folder / "evaluation", self.version)
        self.process, port = serve(self.version, self.digest, folder / "log")
        self.port = port
        until(lambda: answers(port, "/v2/models/bike/ready"), 60)

    def watched(self, url: str = "", version: Path | None = None, **monitoring: Any) -> Watched:
        document = {
            "apiVersion": "trimtab.dev/v1alpha1",
            "kind": "Model",
            "metadata": {"name": "bike", "uid": "uid-1"},
            "spec": {
                "task": "regression",
                "data": {"uri": "x.csv", "label": "amount", "key": "case_id", "time": "at", "labelDelay": "1h"},
                "monitoring": {"window": {"rows": 100}, "drift": {"persistence": "2 of 3"}, **monitoring},
            },
        }
        place = WatchedVersion("3", self.digest, version or self.version, url or f"http://127.0.0.1:{self.port}")
        return Watched(msgspec.convert(document, Model), place)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    made = Service(tmp_path_factory.mktemp("explained"))
    yield made
    made.process.terminate()
    made.process.wait(10)


class Life:
    """A monitor of one model, and what it sent."""

    def __init__(self, folder: Path, watched: Watched) -> None:
        self.sent: list[CloudEvent] = []
        self.watched = watched
        self.monitor = Monitor(folder / "m.db", MemoryFleet(watched), ScipyDetector(), self.sent.append, replaying=True)
        self.first = 0

    def feed(self, service: Service, rows: Rows, bias: float | None = None) -> None:
        """Let the predictor answer the rows; labels come at once, `bias` beside the truth, or not at all (None)."""
        rows = [
            {**row, "case_id": f"r{self.first + n}", "at": (data.START + (2000 + self.first + n) * HOUR).isoformat()}
            for n, row in enumerate(rows)
        ]
        said = call(service.port, "POST", "/v1/models/bike:predict", {"instances": rows})[2]["predictions"]
        events = []
        for row, prediction in zip(rows, said, strict=True):
            number = f"{self.first}-{row['case_id']}"
            events += [asked(number, [row], "3", "bike"), answered(number, [prediction], "3", "bike")]
            if bias is not None:
                time = data.START + (2000 + self.first + len(rows)) * HOUR
                events.append(told(row["case_id"], row["amount"] + bias, time, "bike"))
        self.first += len(rows)
        self.monitor.accept(events, NOW)
        for _ in range(3):
            self.monitor.tick(NOW)
            self.monitor.settle()
        self.monitor.tick(NOW)

    def found(self) -> list[Finding]:
        return [finding for event in self.sent if (finding := data_of(event, Finding)).kind == "explanation"]

    def rankings(self) -> list[Any]:
        return [window["explanation"] for window in views.windows(self.monitor, ID)]


@pytest.fixture
def life(tmp_path: Path, service: Service) -> Iterator[Life]:
    made = Life(tmp_path, service.watched())
    yield made
    made.monitor.stop()


def calm(count: int, seed: int = 5) -> Rows:
    rows = data.rows(count, seed)
    return [
        {**row, "size": None if row["size"] == "" else row["size"], "colour": row["colour"] or None, "open": row["open"] == "true"}
        for row in rows
    ]


def alike(count: int, seed: int = 6) -> Rows:
    """All rows have nearly the same size, which training's answers rested on the most."""
    rows = []
    for row in calm(count, seed):
        size, before = 5.0 + (row["size"] or 0.0) / 50, row["size"] or 0.0
        rows.append({**row, "size": size, "amount": row["amount"] + 3 * (size - before)})
    return rows


def test_rows_as_in_training_are_answered_by_the_same_features(life: Life, service: Service) -> None:
    life.feed(service, calm(1030), bias=0.0)
    assert len(life.rankings()) == 10
    assert all(one["ndcg"] > 0.99 and not one["moved"] and not one["failed"] for one in life.rankings())
    assert life.found() == []
    first = life.rankings()[0]
    assert [(one["feature"], one["before"], one["now"]) for one in first["features"]] == [("size", 1, 1), ("colour", 2, 2), ("open", 3, 3)]
    assert sum(one["reference"] for one in first["features"]) == pytest.approx(1.0, abs=0.01)


def test_a_moved_order_is_found_once_it_lasts_and_is_watched_while_no_label_says_that_it_hurts(life: Life, service: Service) -> None:
    life.feed(service, [*calm(100), *alike(330)])
    (finding,) = life.found()
    assert (finding.window, finding.version, finding.hurts, finding.severity) == (2, "3", None, "warning")
    assert finding.sentence.startswith("version 3 answers by other features than in training, in 2 of 3 windows: NDCG 0.")
    assert "'size' went from rank 1 (" in finding.sentence
    assert finding.evidence["high"] < finding.evidence["bound"] == 0.9
    assert [one["moved"] for one in life.rankings()] == [False, True, True, True]
    assert route(finding, life.watched.model).reason == "ExplanationWatched"
    page = window_page(views.window_story(life.monitor, ID, 2, "3"))
    (section,) = [section for section in page.sections if section.title == "What the answers rest on"]
    assert section.rows[0][:2] == ("size", "1")
    assert "below the bound of 0.9" in section.sentences[0]
    (drawn,) = [one for one in model_page(views.story(life.monitor, ID)).sections if one.title == "What the answers rest on"]
    assert drawn.figures[0].drawing.svg.count("below the bound") == 1
    assert 'trimtab_monitor_explanation_ndcg{model="default/bike"} 0.' in views.metrics(life.monitor, NOW)


def test_another_bound_over_the_stored_windows_is_replayed(life: Life, service: Service) -> None:
    life.feed(service, alike(330))
    stored = msgspec.convert(views.windows(life.monitor, ID)[1]["explanation"], Ranking)
    windows = life.monitor.records.recent(ID, None, 10)
    assert stored == windows[1].explanation, "the JSON is what was stored"
    made, model = [data_of(event, Finding) for event in life.sent], life.watched.model
    for bound, kinds in ((0.9, ["explanation"]), (0.2, [])):
        monitoring = msgspec.structs.replace(model.spec.monitoring, explanation=ExplanationPolicy(bound))
        other = msgspec.structs.replace(model, spec=msgspec.structs.replace(model.spec, monitoring=monitoring))
        told = replay(other, windows, made, [], lambda _version: 0.0).told
        assert [one.finding.kind for one in told if one.finding.kind == "explanation"] == kinds


def test_labels_that_say_that_it_hurts_ask_for_a_retrain(life: Life, service: Service) -> None:
    life.feed(service, alike(130), bias=12.0)
    life.feed(service, alike(130), bias=12.0)
    (finding,) = life.found()
    assert (finding.hurts, finding.severity) == (True, "critical")
    decided = route(finding, life.watched.model)
    assert (decided.action, decided.trigger, decided.reason) == ("retrain", "concept", "ExplanationHurts")


def test_labels_that_say_that_it_is_harmless_make_it_information(life: Life, service: Service) -> None:
    life.feed(service, alike(130), bias=0.0)
    life.feed(service, alike(130), bias=0.0)
    (finding,) = life.found()
    assert (finding.hurts, finding.severity) == (False, "info")


def test_a_world_that_changes_behind_the_same_inputs_moves_no_order(life: Life, service: Service) -> None:
    life.feed(service, calm(330), bias=6.0)
    assert [one["moved"] for one in life.rankings()] == [False, False, False]
    assert life.found() == []
    assert {data_of(event, Finding).kind for event in life.sent} == {"performance"}


# --- when nobody explains


def failed(life: Life, service: Service) -> str:
    life.feed(service, alike(330))
    (why,) = {one["failed"] for one in life.rankings()}
    assert life.found() == []
    (section,) = [one for one in model_page(views.story(life.monitor, ID)).sections if one.title == "What the answers rest on"]
    assert section.sentences == (f"Not known: {why}.",)
    return str(why)


def test_a_model_that_says_so_is_not_asked(tmp_path: Path, service: Service) -> None:
    life = Life(tmp_path, service.watched(explanation={"ndcg": 0}))
    assert failed(life, service) == "not asked: spec.monitoring.explanation.ndcg is 0"
    life.monitor.stop()


def test_a_version_without_attributions_is_told_and_raises_nothing(tmp_path: Path, service: Service) -> None:
    version = tmp_path / "3"
    version.mkdir()
    for file in service.version.iterdir():
        if file.is_file() and file.name != ATTRIBUTIONS:
            (version / file.name).write_bytes(file.read_bytes())
    life = Life(tmp_path, service.watched(version=version))
    assert failed(life, service) == "the version keeps no attributions of its reference"
    life.monitor.stop()


def test_a_version_whose_attributions_are_not_of_trees_is_not_asked(tmp_path: Path, service: Service) -> None:
    kept = read_explanation(service.version)
    assert kept is not None
    for name in ("explanation.json", ATTRIBUTIONS, "schema.json"):
        (tmp_path / name).write_bytes((service.version / name).read_bytes())
    (tmp_path / "explanation.json").write_bytes(msgspec.json.encode(msgspec.structs.replace(kept, method="additive")))
    assert attributed(tmp_path, read_schema(tmp_path)) == "a predictor explains trees alone, and the version's attributions are additive"


def test_attributions_that_cannot_be_read_are_a_sentence(tmp_path: Path, service: Service) -> None:
    for name in ("explanation.json", "schema.json"):
        (tmp_path / name).write_bytes((service.version / name).read_bytes())
    (tmp_path / ATTRIBUTIONS).write_bytes(b"no parquet")
    with pytest.raises(InvalidInput, match=r"attributions\.parquet of the model in .* cannot be read"):
        attributed(tmp_path, read_schema(tmp_path))


def test_a_predictor_that_is_away_is_asked_again_later_and_drift_does_not_wait_for_it(tmp_path: Path, service: Service) -> None:
    life = Life(tmp_path, service.watched(url="http://127.0.0.1:9"))
    life.feed(service, alike(330))
    assert life.rankings() == [None, None, None]
    assert {data_of(event, Finding).kind for event in life.sent} >= {"covariate"}
    assert "trimtab_monitor_explanation_failures_total 1" in views.metrics(life.monitor, NOW)
    life.monitor.stop()


def test_a_ranking_that_was_not_made_did_not_move() -> None:
    assert not Ranking(failed="nobody knows").moved
