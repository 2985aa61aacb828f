"""What the labels say of callers who were split between two versions, from a store with real rows."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import sqlalchemy as sa

from trimtab.errors import InvalidInput
from trimtab.monitoring import views
from trimtab.monitoring.callers import Callers, Experiments, compared
from trimtab.monitoring.ingest import Asked, Labelled, Row
from trimtab.monitoring.monitor import Monitor
from trimtab.monitoring.ports import Watched, WatchedVersion
from trimtab.monitoring.records import Records
from trimtab.monitoring.reference import Reference, read_reference
from trimtab.monitoring.store import Store
from trimtab.monitoring.tables import rows
from trimtab.monitoring.windows import Closed
from trimtab.release import ArmOutcomes, Outcomes

from .folders import HOUR, NOW, START, MemoryFleet, asked, instances, model, told

ID = "default/demand"
LATER = START + timedelta(days=365)


@pytest.fixture(scope="session")
def reference(version: WatchedVersion) -> Reference:
    return read_reference(version.folder)


def keep(store: Store, version: str, found: Sequence[tuple[str, int, float | None]], first: int = 0) -> None:
    """Rows of this version, each (caller, hours after the start, label); an empty caller is none, and None no label."""
    arrivals: list[Any] = []
    for number, (_, hour, value) in enumerate(found, first):
        key, when = f"{version}-{number}", (START + hour * HOUR).timestamp()
        arrivals.append(Asked("tests", f"r{key}", ID, version, (Row(0, key, when, b"{}"),)))
        if value is not None:
            arrivals.append(Labelled("tests", f"l{key}", ID, key, msgspec.json.encode(value), when))
    store.write(arrivals, NOW, replaying=True)
    with store.transaction() as connection:
        for number, (caller, _, _) in enumerate(found, first):
            connection.execute(sa.update(rows).where(rows.c.key == f"{version}-{number}").values(unit=caller or None))


def ask(found: Experiments, reference: Reference, until: datetime = LATER, since: datetime = START) -> Outcomes:
    return found.outcomes(ID, "1", "2", since, until, reference)


def test_callers_are_the_unit_and_the_mean_is_that_of_all_labels(store: Store, reference: Reference) -> None:
    keep(store, "1", [("ann", 1, 1.0), ("ann", 2, 2.0), ("ann", 3, 3.0), ("bob", 4, 4.0)])
    keep(store, "2", [("cid", 1, 5.0), ("dee", 2, 1.0)])
    found = ask(Experiments(store), reference)
    assert (found.champion.callers, found.champion.labels, found.champion.mean) == (2, 4, 2.5)
    assert (found.candidate.callers, found.candidate.labels, found.candidate.mean) == (2, 2, 3.0)
    apart = np.array([6.0 - 2.5 * 3, 4.0 - 2.5])
    assert found.champion.variance == pytest.approx(float(apart @ apart) / 16 * 2)


def test_a_row_is_counted_when_it_is_mature_and_once(store: Store, reference: Reference) -> None:
    found = Experiments(store)
    keep(store, "1", [("ann", hour, 1.0) for hour in range(1, 11)])
    keep(store, "2", [("bob", hour, 2.0) for hour in range(1, 11)])
    seen = []
    for hour in (0, 3, 3, 7, 10, 10):
        so_far = ask(found, reference, START + hour * HOUR)
        seen.append((so_far.champion.labels, so_far.candidate.labels))
    assert seen == [(0, 0), (3, 3), (3, 3), (7, 7), (10, 10), (10, 10)]
    assert ask(Experiments(store), reference, START + 10 * HOUR) == ask(found, reference, START + 10 * HOUR)


def test_rows_before_the_beginning_are_no_part_of_it(store: Store, reference: Reference) -> None:
    keep(store, "1", [("ann", hour, 1.0) for hour in range(1, 11)])
    assert ask(Experiments(store), reference, since=START + 4 * HOUR).champion.labels == 6


def test_faster_labels_are_no_advantage(store: Store, reference: Reference) -> None:
    """The candidate's good labels are there at once, the champion's only when they have to be: at the cut both count alike."""
    keep(store, "1", [("ann", hour, 1.0 if hour <= 5 else None) for hour in range(1, 11)])
    keep(store, "2", [("bob", hour, 1.0) for hour in range(1, 11)])
    found = ask(Experiments(store), reference, START + 5 * HOUR)
    assert (found.champion.labels, found.candidate.labels) == (5, 5)


def test_rows_in_windows_late_ones_and_those_in_none_are_all_found(store: Store, reference: Reference) -> None:
    keep(store, "1", [(f"c{hour}", hour, 1.0) for hour in range(1, 21)])
    records = Records(store)
    seqs, times = records.open_rows(ID, "1")
    windows = [Closed(times[0], times[4], 0, 5), Closed(times[5], times[11], 5, 12)]
    records.close(ID, "1", windows, seqs, times[-1])
    keep(store, "1", [("late", 2, 1.0)], first=100)
    records.open_rows(ID, "1")
    for until in (3, 8, 12, 15, 20):
        assert ask(Experiments(store), reference, START + until * HOUR).champion.labels == until + (until >= 2)


UNASSIGNED = [
    ("whom nobody can assign gets the champion, and is left out", [("ann", 1, 1.0), ("", 2, 9.0)], [("bob", 1, 2.0)], (1, 1), (1.0, 2.0)),
    ("without any assignment a row's key is the unit", [("", 1, 1.0), ("", 2, 3.0)], [("", 1, 2.0)], (2, 1), (2.0, 2.0)),
]


@pytest.mark.parametrize(
    ("champion", "candidate", "many", "means"), [case[1:] for case in UNASSIGNED], ids=[case[0] for case in UNASSIGNED]
)
def test_callers_without_a_unit(store: Store, reference: Reference, champion: Any, candidate: Any, many: Any, means: Any) -> None:
    keep(store, "1", champion)
    keep(store, "2", candidate)
    found = ask(Experiments(store), reference)
    assert (found.champion.callers, found.candidate.callers) == many
    assert (found.champion.mean, found.candidate.mean) == means


def test_labels_that_say_nothing_are_left_out_and_far_ones_are_clipped(store: Store, reference: Reference) -> None:
    keep(store, "1", [("ann", 1, None), ("bob", 2, 1e9)])
    store.write([Labelled("tests", "gone", ID, "1-0", b"null", START.timestamp())], NOW, replaying=True)
    found = ask(Experiments(store), reference)
    assert found.champion == ArmOutcomes(1, 1, pytest.approx(float(np.quantile(reference.truth, 0.995))), 0.0)  # type: ignore[arg-type]


def test_much_that_is_unread_is_read_in_parts(store: Store, reference: Reference) -> None:
    """A look that has no time reads one slice, and the next goes on behind it."""
    keep(store, "1", [(f"c{hour % 7}", hour, 1.0) for hour in range(1, 40)])
    found, ends = Experiments(store, seconds=0.0), []
    for _ in range(8):
        so_far = ask(found, reference, START + 39 * HOUR)
        assert so_far.until is not None
        assert so_far.champion.labels == int((so_far.until - START) / HOUR)
        ends.append(so_far.until)
    assert ends[0] == START + HOUR
    assert ends == sorted(set(ends))
    assert ends[-1] < START + 39 * HOUR


def test_adding_in_any_order_comes_to_the_same(generator: np.random.Generator) -> None:
    ids, values = generator.integers(0, 50, 500).astype(np.uint64), generator.normal(size=500)
    whole, parts = Callers(), Callers()
    whole.add(ids, values)
    order = generator.permutation(500)
    for part in np.array_split(order, 7):
        parts.add(ids[part], values[part])
    one, other = compared(whole, Callers(), None), compared(parts, Callers(), None)
    assert one.champion.callers == 50
    assert (other.champion.mean, other.spread, other.kurtosis) == pytest.approx((one.champion.mean, one.spread, one.kurtosis))


def test_the_monitor_answers_for_versions_that_serve(monitor: Monitor, fleet: MemoryFleet, version: WatchedVersion) -> None:
    fleet.models = [Watched(model(), version, (msgspec.structs.replace(version, version="2"),))]
    monitor.tick(NOW)
    generator = np.random.default_rng(3)
    for number in ("1", "2"):
        some = instances(generator, 60, first=1000 * int(number))
        monitor.accept([asked(f"{number}-{row['id']}", [row], version=number) for row in some], NOW)
        monitor.accept([told(row["id"], float(number), datetime.fromisoformat(row["at"])) for row in some], NOW)
    found = views.outcomes(monitor, ID, "1", "2", START)
    assert (found.champion.mean, found.candidate.mean) == (1.0, 2.0)
    assert found.champion.labels == found.candidate.labels < 60
    with pytest.raises(InvalidInput, match="version '9' of 'default/demand' is not served"):
        views.outcomes(monitor, ID, "9", "2", START)


def test_what_was_kept_of_an_ended_one_is_forgotten(tmp_path: Path, reference: Reference) -> None:
    store = Store(tmp_path / "s.db")
    found = Experiments(store)
    keep(store, "1", [("ann", 1, 1.0)])
    assert ask(found, reference).champion.labels == 1
    keep(store, "1", [("ann", 1, 1.0)], first=50)
    assert ask(found, reference).champion.labels == 1
    found.only([])
    assert ask(found, reference).champion.labels == 2
    store.close()
