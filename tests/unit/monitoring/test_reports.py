"""The pages of a window and of a model: what they show, that they are small, and that nothing of a row or a redacted column is in them."""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.drawing.page import to_html
from trimtab.drawing.picture import png
from trimtab.errors import InvalidInput
from trimtab.monitoring import views
from trimtab.monitoring.columns import table
from trimtab.monitoring.deciding import ColumnCheck, Drift
from trimtab.monitoring.estimate import Estimate
from trimtab.monitoring.explanation import Rank, Ranking
from trimtab.monitoring.monitor import Monitor
from trimtab.monitoring.performance import Judgement
from trimtab.monitoring.ports import Watched, WatchedVersion
from trimtab.monitoring.quality import Break
from trimtab.monitoring.records import WindowRecord
from trimtab.monitoring.reports.distributions import UNSEEN, distributions
from trimtab.monitoring.reports.estimates import estimated
from trimtab.monitoring.reports.model_page import model_page
from trimtab.monitoring.reports.reading import TIMELINE, ModelStory, UnknownWindow, WindowStory, read_window
from trimtab.monitoring.reports.window_page import window_page
from trimtab.monitoring.standing import Standing
from trimtab.schema import PREDICTION, Feature, Schema

from .folders import FEATURES, HOUR, NOW, START, MemoryFleet, ScipyDetector, instances, labels_of, model, served, write_folder

ID = "default/demand"
SCHEMA = Schema("regression", "y", FEATURES, key="id", time="at")
EVIL = "</text><script>alert(1)</script>"


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitor]:
    """Two windows of version 1 that drift and one of version 2 that does not."""
    folder, generator = tmp_path_factory.mktemp("reports"), np.random.default_rng(4)
    versions = [write_folder(folder / "1"), write_folder(folder / "2", seed=8)]
    fleet = MemoryFleet(Watched(model(), versions[0]))
    made = Monitor(folder / "monitor.db", fleet, ScipyDetector(), lambda _event: None, replaying=True)
    first = 0
    for version, shift, noise in (("1", 1.2, 2.5), ("1", 1.2, 2.5), ("2", 0.0, 1.0), ("2", 0.0, 1.0)):
        fleet.models = [Watched(model(), versions[int(version) - 1])]
        rows = instances(generator, 130, shift=shift, start=START + first * HOUR, first=first)
        made.accept([*served(rows, version, first), *labels_of(rows, generator, noise)], NOW)
        first += len(rows)
        for _ in range(3):
            made.tick(NOW)
            made.settle()
    yield made
    made.stop()


def drawings(html: str) -> list[ElementTree.Element]:
    return [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", html, re.DOTALL)]  # noqa: S314 - our own


def test_a_window_tells_what_moved_with_its_distribution_metric_and_finding(told: Monitor) -> None:
    version = told.watched(ID).versions[0].folder.parent
    found = read_window(told.records, model(), lambda name: told.reference(WatchedVersion(name, name, version / name)), 1, "1")
    page = window_page(found)
    assert not page.good
    assert page.verdict.startswith(("Rmse of version 1", "1 of the inputs, 'load' the most"))
    html = to_html(page)
    for shown in (
        "window 1 of version 1",
        "What moved",
        "Distributions",
        "Performance",
        "Nothing is broken.",
        "the reference of version 1",
    ):
        assert shown in html
    assert len(drawings(html)) == 1 + 4 + 1
    assert len(html) < 100_000


def test_the_newest_window_of_a_number_is_meant_and_an_old_version_needs_no_reference(told: Monitor) -> None:
    assert views.window(told, ID, 0, None)["version"] == "2"
    old = views.window(told, ID, 0, "1")
    assert (old["distributions"], "version 1 does not serve any more" in old["withoutDistributions"]) == ({}, True)
    assert "does not serve any more" in to_html(window_page(views.window_story(told, ID, 0, "1")))


@pytest.mark.parametrize(
    ("number", "version", "words"),
    [
        pytest.param(99, None, "'default/demand' has no window 99; those it has are 0 to", id="a number that no version has"),
        pytest.param(0, "9", "version '9' of 'default/demand' has no window 0; it has none yet", id="a version that has no windows"),
    ],
)
def test_a_window_that_is_not_there(told: Monitor, number: int, version: str | None, words: str) -> None:
    with pytest.raises(UnknownWindow, match=words):
        views.window_story(told, ID, number, version)


def test_a_models_page_marks_the_promotion_and_tells_every_window(told: Monitor) -> None:
    page = model_page(views.story(told, ID))
    html = to_html(page)
    assert page.good
    assert "None of 4 columns of version 2 moved" in page.verdict
    for shown in ("version 1", "version 2", "Findings", "covariate", "Drift", "Columns", "Traffic", "past the bound"):
        assert shown in html
    assert len(page.sections[-1].rows) == len(views.windows(told, ID)) == 4
    assert len(drawings(html)) == 6
    assert png(page)[:4] == b"\x89PNG"


def test_a_model_without_a_window_has_a_page(monitor: Monitor) -> None:
    page = model_page(views.story(monitor, ID))
    assert page.verdict == "No window of version 1 was tested yet."
    assert [section.title for section in page.sections] == ["In short"]


def test_no_row_and_no_redacted_column_is_told(monitor: Monitor, fleet: MemoryFleet, version: WatchedVersion) -> None:
    document = model()
    hidden = msgspec.convert({**msgspec.to_builtins(document), "spec": msgspec.to_builtins(document.spec)}, type(document))
    capture = msgspec.structs.replace(hidden.spec.serving.capture, redact=("heat",))
    spec = msgspec.structs.replace(hidden.spec, serving=msgspec.structs.replace(hidden.spec.serving, capture=capture))
    fleet.models = [Watched(msgspec.structs.replace(hidden, spec=spec), version)]
    rows = instances(np.random.default_rng(2), 110)
    monitor.accept(served([{name: value for name, value in row.items() if name != "heat"} | {"heat": 0.0} for row in rows]), NOW)
    monitor.tick(NOW)
    monitor.settle()
    found = views.window(monitor, ID, 0, None)
    assert set(found["distributions"]) == {"load", "site", PREDICTION}
    text = msgspec.json.encode(found["distributions"]).decode()
    assert not any(repr(row["load"]) in text for row in rows)


def guess(value: float | None = 1.0, low: float | None = 0.8, high: float | None = 1.2, insufficient: str = "") -> Estimate:
    return Estimate("rmse", 100, value, low, high, insufficient=insufficient)


def judged(value: float) -> Judgement:
    return Judgement("rmse", value, value - 0.1, value + 0.1, 1.0, 1.2, 100)


@pytest.mark.parametrize(
    ("estimate", "judgement", "doubt"),
    [
        pytest.param(guess(), None, "", id="labels have not come"),
        pytest.param(guess(), judged(1.1), "", id="labels agree"),
        pytest.param(guess(), judged(1.5), "labels fell outside it", id="labels disagree"),
        pytest.param(guess(insufficient="too few positives"), None, "too few positives", id="it says itself that it is weak"),
        pytest.param(guess(None, None, None, "no rows"), None, None, id="there is none"),
        pytest.param(None, judged(1.0), None, id="the window has none"),
    ],
)
def test_an_estimate_is_drawn_with_its_doubt(estimate: Estimate | None, judgement: Judgement | None, doubt: str | None) -> None:
    record = WindowRecord("1", 0, 0.0, 86_400.0, 100, (), Drift(), True, judgement, estimate=estimate)
    assert [one.doubt for one in estimated([record])] == ([] if doubt is None else [doubt])
    html = to_html(window_page(WindowStory(model(), record, [], 0, {}, "none")))
    assert ("The estimate without labels holds only" in html) == (doubt is not None)
    story = ModelStory(model(), "1", START, Standing("none", "x"), [record], 1, [], [])
    assert ("estimate without labels" in to_html(model_page(story))) == (doubt is not None)


PARTS = {
    "site = east": msgspec.structs.replace(judged(1.05), rows=300),
    "site = north": msgspec.structs.replace(judged(1.4), past_margin=True, rows=160),
    "site = west": msgspec.structs.replace(judged(1.1), rows=126, validation=0.9),
}


def test_parts_are_drawn_with_intervals_the_worst_first() -> None:
    judgement = msgspec.structs.replace(judged(1.1), slices=PARTS)
    record = WindowRecord("1", 0, 0.0, 86_400.0, 600, (), Drift(), True, judgement)
    page = window_page(WindowStory(model(), record, [], 600, {}, "none"))
    (section,) = [one for one in page.sections if one.title == "Performance by part"]
    assert [row[0] for row in section.rows] == ["site = north", "site = west", "site = east"], "past its bound, then by how much worse"
    assert section.rows[0] == ("site = north", "160", "1.4", "1.3 to 1.5", "1", "1.2", "NO")
    assert section.figures[0].drawing.svg.count("site = north") >= 2
    assert told_slices(record) == set(PARTS)


def told_slices(record: WindowRecord) -> set[str]:
    story = WindowStory(model(), record, [], 600, {}, "none")
    return set(views.told(story)["judgement"]["slices"])


def wide(columns: int, windows: int, name: str = "") -> ModelStory:
    checks = {f"{name}column_{place}": ColumnCheck("x", 1e-9, 0.5, place / columns, place > columns - 5) for place in range(columns)}
    whole = msgspec.structs.replace(judged(1.0), slices={f"{name} = {n}": judged(1.0) for n in range(min(columns, 60))})
    ranks = tuple(Rank(f"{name}column_{place}", 0.02, 0.03, place + 1, columns - place) for place in range(min(columns, 40)))
    ranking = Ranking(0.95, 0.93, 0.97, 0.9, 256, ranks)
    broken = (Break(f"{name}a", "nulls", 0.5, f"{name} is null"),)
    records = [
        WindowRecord("1", n, n * 864e2, n * 864e2 + 8e4, 5000, broken, Drift(checks, 1e-6), True, whole, explanation=ranking)
        for n in range(windows)
    ]
    return ModelStory(model(), "1", START, Standing("none", f"{name} fine"), records[-TIMELINE:], len(records), [], [])


def test_pages_of_wide_models_with_long_lives_stay_small() -> None:
    story = wide(300, 1000)
    assert len(to_html(model_page(story))) < 320_000
    assert len(to_html(window_page(WindowStory(model(), story.windows[-1], [], 0, {}, "none")))) < 100_000


def test_names_from_data_are_text_in_every_page() -> None:
    story = wide(30, 30, EVIL)
    schema = Schema("multiclass", "y", (Feature(EVIL, "number"), Feature("kind", "category", (EVIL, "b"))), classes=(EVIL, "no"))
    rows = [{EVIL: float(place), "kind": EVIL if place % 2 else "never seen"} for place in range(60)]
    sample = table(schema, rows, [[0.9, 0.1]] * 60)
    window = WindowStory(model(), story.windows[-1], [], 0, distributions(schema, sample, sample, ()))
    for page in (model_page(story), window_page(window)):
        html = to_html(page)
        assert "<script" not in html
        assert drawings(html)
        assert html.count("&lt;script&gt;") > 5


@pytest.mark.parametrize(
    ("reference", "live", "edges"),
    [
        pytest.param([0.0, 10.0], [0.0, 10.0], (0.0, 10.0), id="equal ones"),
        pytest.param([5.0] * 40, [5.0] * 40, (4.5, 5.5), id="a constant"),
        pytest.param([], [], (-0.5, 0.5), id="nothing at all"),
        pytest.param([float("nan")] * 3, [1.0, 2.0], (1.0, 2.0), id="all missing in the reference"),
    ],
)
def test_the_bins_of_a_number(reference: list[float], live: list[float], edges: tuple[float, float]) -> None:
    schema = Schema("regression", "y", (Feature("x", "number"),))
    old, new = (table(schema, [{"x": value} for value in side], [None] * len(side)) for side in (reference, live))
    found = distributions(schema, old, new, ())["x"]
    assert found.edges[0] <= edges[0]
    assert found.edges[-1] >= edges[1]
    for side in (found.reference, found.live):
        assert sum(side) == pytest.approx(1.0, abs=0.01) or side == ()


@given(st.lists(st.one_of(st.floats(allow_infinity=False), st.none(), st.text(max_size=3)), max_size=80), st.integers(1, 5))
def test_any_window_has_distributions(values: list[Any], seed: int) -> None:
    sample = table(SCHEMA, instances(np.random.default_rng(seed), 50), [1.0] * 50)
    window = table(SCHEMA, [{"load": value, "site": value} for value in values], values)
    for name, found in distributions(SCHEMA, sample, window, ()).items():
        assert len(found.reference) == len(found.edges) - 1 if found.edges else len(found.names), name
        assert list(found.edges) == sorted(found.edges)
        assert sum(found.live) == pytest.approx(1.0, abs=0.01) or found.live == ()


def test_categories_that_training_never_saw_and_rare_ones_are_told_together() -> None:
    many = tuple(f"c{place:02d}" for place in range(40))
    schema = Schema("regression", "y", (Feature("kind", "category", many),))
    old = table(schema, [{"kind": name} for name in many], [0.0] * 40)
    new = table(schema, [{"kind": "secret name"}] * 40, [0.0] * 40)
    found = distributions(schema, old, new, ())["kind"]
    assert (found.names[0], found.live[0], found.names[-1]) == (UNSEEN, 1.0, "29 others")
    assert "secret name" not in str(found)


def test_rows_that_are_gone_leave_the_checks(told: Monitor, tmp_path: Path) -> None:
    record = told.records.recent(ID, "1", 1)[0]
    fresh = Monitor(tmp_path / "other.db", MemoryFleet(), ScipyDetector(), lambda _event: None)
    with pytest.raises(InvalidInput, match="is not known here"):
        views.story(fresh, ID)
    fresh.stop()
    html = to_html(window_page(WindowStory(model(), record, [], 0, {}, "its rows are not kept any more, only what was said of them")))
    assert "There are none: its rows are not kept any more" in html
