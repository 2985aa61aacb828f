"""The fleet: what to look at first, what chance would give, and metrics whose number is bounded."""

import re
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from trimtab.drawing.page import to_html
from trimtab.events import Finding, finding_event
from trimtab.monitoring.deciding import ColumnCheck, Drift
from trimtab.monitoring.fleet import Member, benjamini_hochberg, fleet
from trimtab.monitoring.gauges import gauges
from trimtab.monitoring.overview import newest
from trimtab.monitoring.performance import Judgement
from trimtab.monitoring.records import WindowRecord
from trimtab.monitoring.reports.fleet_page import fleet_page
from trimtab.monitoring.standing import STATES, Standing
from trimtab.monitoring.store import Store
from trimtab.monitoring.tables import findings, windows
from trimtab.schema import PREDICTION

from .folders import NOW, START


def record(p: float = 0.5, effect: float = 0.05, value: float = 1.0, columns: int = 4) -> WindowRecord:
    checks = {
        f"c{place}": ColumnCheck(f"c{place}", p if place == 0 else 0.9, 0.1, effect if place == 0 else 0.01, place == 0 and p < 1e-4)
        for place in range(columns)
    }
    checks[PREDICTION] = ColumnCheck(PREDICTION, 0.8, 0.1, 0.02, False)
    judgement = Judgement("rmse", value, value - 0.1, value + 0.1, 1.0, 1.1, 100, past_margin=value > 1.1)
    return WindowRecord("1", 3, 0.0, 86_400.0, 100, (), Drift(checks, 1e-5), True, judgement)


def member(name: str, state: str = "none", found: WindowRecord | None = None, **changes: Any) -> Member:
    return Member(name, "1", Standing(state, f"{name} is {state}"), found or record(), 60.0, **changes)


def test_adjusted_p_values_are_those_of_the_paper() -> None:
    """Benjamini and Hochberg (1995), table of section 4.1: at 0.05 the first four of fifteen are discoveries."""
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0]
    assert sum(q <= 0.05 for q in benjamini_hochberg(p)) == 4
    assert benjamini_hochberg(p[::-1])[::-1] == pytest.approx(benjamini_hochberg(p))


@given(st.lists(st.floats(0, 1), max_size=60), st.floats(0.001, 0.5))
def test_discoveries_are_those_below_the_line(p: list[float], rate: float) -> None:
    ordered, q = sorted(p), benjamini_hochberg(p)
    below = [rank for rank, value in enumerate(ordered, 1) if value <= rank * rate / len(p) * (1 - 1e-9)]
    assert sum(value <= rate for value in q) >= max(below, default=0)
    assert all(adjusted >= value * (1 - 1e-12) for adjusted, value in zip(q, p, strict=True))


def test_the_rate_of_false_discoveries_is_held() -> None:
    generator, shares = np.random.default_rng(1), []
    for _ in range(300):
        p = np.concatenate([generator.random(900), generator.random(100) * 1e-5])
        called = np.array(benjamini_hochberg(list(p))) <= 0.1
        shares.append(called[:900].sum() / max(called.sum(), 1))
    assert np.mean(shares) <= 0.1


def test_what_to_look_at_first_comes_first() -> None:
    every = [
        member("calm"),
        member("watched", "watch", record(1e-9, 0.4)),
        member("drifted a little", "covariate", record(1e-6, 0.3)),
        member("drifted", "covariate", record(1e-9, 0.9)),
        member("drifted and worse", "covariate", record(1e-5, 0.3, 1.5)),
        member("broken", "quality", open_quality=2),
        member("worse", "performance", record(value=1.4)),
        Member("new", None, Standing("unknown", "no version serves yet"), None, None),
    ]
    found = fleet(every)
    order = ["broken", "worse", "drifted and worse", "drifted", "drifted a little", "watched", "new", "calm"]
    assert [row.model for row in found.rows] == order
    assert (found.models, found.tested, found.columns, found.moved) == (8, 7, 35, 4)
    assert found.naive == pytest.approx(0.05 * 35)
    assert found.by_chance == pytest.approx(7 * 2 * 4 * 1e-5), "each of the two kinds spends its level over its columns"
    assert found.discoveries == 4
    assert sum(found.states.values()) == 8
    msgspec.json.encode(found)


def test_an_empty_fleet_and_one_that_was_not_tested() -> None:
    assert fleet([]).rows == []
    found = fleet([Member("new", None, Standing("unknown", "no version serves yet"), None, None)])
    assert (found.tested, found.rows[0].q) == (0, None)
    for one in (fleet([]), found):
        assert "No window was tested yet." in to_html(fleet_page(one, NOW))


def test_the_page_escapes_and_stays_small_for_thousands() -> None:
    evil = "<img src=x onerror=alert(1)>"
    html = to_html(fleet_page(fleet([member(f"{evil}{n}", STATES[n % 8], record(10.0**-n)) for n in range(3000)]), NOW))
    assert "<img" not in html
    assert len(html) < 200_000


def test_series_are_bounded_by_models_and_never_by_columns() -> None:
    every = [member(f"m{n:03d}", "watch" if n % 2 else "none", record(1e-9, 0.3, columns=50)) for n in range(30)]
    found = gauges(every, most=10)
    series = [(name, labels) for name, values in found.items() for labels in values]
    assert len(series) <= 11 * len(found) + 8
    assert {name for _, labels in series for name, _ in labels} == {"model", "state", "metric"}
    assert not re.search(r"c\d", str([value for _, labels in series for _, value in labels]))
    states = found["trimtab_monitor_model_state"]
    assert sum(states.values()) == 30
    assert states[(("model", "other"), ("state", "watch"))] == 10
    assert found["trimtab_monitor_columns_moved"][(("model", "other"),)] == 20
    assert (("model", "other"), ("metric", "rmse")) not in found["trimtab_monitor_metric"]
    assert found["trimtab_monitor_metric_bound"][(("model", "m000"), ("metric", "rmse"))] == 1.1


def row(model: str, version: str, window: int, drift: Drift | None) -> dict[str, Any]:
    said = None if drift is None else msgspec.json.encode(drift)
    return {"model": model, "version": version, "window": window, "start": 0.0, "end": 1.0, "rows": 9, "closed": 1.0, "drift": said}


def finding(model: str, version: str, window: int, kind: str, is_open: int = 0) -> dict[str, Any]:
    made = Finding(model, "shop", model, version, kind, window, START, START, START, f"{kind} in {window}")  # type: ignore[arg-type]
    event = finding_event(made, "/test")
    shared = {"id": event.id, "model": f"shop/{model}", "version": version, "kind": kind, "window": window}
    return {**shared, "event": msgspec.json.encode(event), "open": is_open}


def test_the_newest_of_each_model_in_one_question(store: Store) -> None:
    """The champion's newest tested window and number, the findings of its newest windows, and what is open of any version."""
    drift = Drift({"a": ColumnCheck("a", 0.5, 0.1, 0.1, False)}, 0.01)
    with store.transaction() as connection:
        connection.execute(
            sa.insert(windows),
            [
                *(row("shop/a", "1", n, drift) for n in range(9)),
                *(row("shop/a", "2", n, drift if n < 2 else None) for n in range(4)),
                row("shop/b", "1", 0, None),
                row("shop/other", "1", 5, drift),
            ],
        )
        told = [finding("a", "1", 8, "covariate"), finding("a", "2", 0, "concept"), finding("a", "2", 3, "covariate")]
        connection.execute(sa.insert(findings), [*told, finding("a", "1", 2, "quality", 1), finding("b", "1", 0, "quality", 0)])
    found = newest(store, {"shop/a": "2", "shop/b": "1", "shop/c": ""}, 3)
    a, b, c = (found[f"shop/{name}"] for name in "abc")
    assert (a.tested.window if a.tested else None, a.last) == (1, 3)
    assert [one.sentence for one in a.findings] == ["covariate in 3"]
    assert [one.sentence for one in a.broken] == ["quality in 2"]
    assert (b.tested, b.last, b.broken) == (None, 0, [])
    assert (c.tested, c.last, c.findings, c.watermark) == (None, -1, [], None)
    assert newest(store, {}, 3) == {}


def test_more_models_than_a_statement_takes(tmp_path: Path) -> None:
    store = Store(tmp_path / "many.db")
    found = newest(store, {f"shop/m{n}": "1" for n in range(12_000)}, 2)
    assert len(found) == 12_000
    store.close()
