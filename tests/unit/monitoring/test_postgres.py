"""The monitor on a real PostgreSQL: what it does on SQLite it does there."""

import threading
from datetime import timedelta

import numpy as np
import pytest

from trimtab.errors import InvalidInput, Unavailable
from trimtab.events import CloudEvent
from trimtab.monitoring import views
from trimtab.monitoring.ingest import arrival
from trimtab.monitoring.monitor import Monitor
from trimtab.monitoring.pairing import Scored
from trimtab.monitoring.store import Store

from .folders import HOUR, NOW, START, MemoryFleet, ScipyDetector, asked, instances, labels_of, model, served

ID = "default/demand"


def test_the_whole_loop(postgres: str, fleet: MemoryFleet, generator: np.random.Generator, sent: list[CloudEvent]) -> None:
    monitor = Monitor(postgres, fleet, ScipyDetector(), sent.append, replaying=True)
    rows = instances(generator, 100) + instances(generator, 300, shift=2.0, start=START + 100 * HOUR, first=100)
    monitor.accept([*served(rows), *labels_of(rows, generator, 1.0)], NOW)
    for _ in range(3):
        monitor.tick(NOW)
        monitor.settle()
    assert next(event.data["kind"] for event in sent) == "covariate"
    found = views.findings(monitor, ID)
    assert [item["id"] for item in found] == [event.id for event in monitor.records.findings(ID)]
    state = views.state(monitor, ID)
    assert (state["windows"], state["counts"]["rows"], state["drift"]) == ({"1": 3}, 400, "covariate")
    unscored = monitor.scores.unscored(ID, "1", START)
    for _ in range(2):
        monitor.scores.keep(ID, "1", unscored, Scored([b"1.0"] * len(unscored)))
    assert monitor.scores.counts() == {"scored": len(unscored), "failed": 0}
    assert views.paired(monitor, ID, "1", "1", START).champion
    assert 'trimtab_monitor_rows{model="default/demand",version="1"} 400' in views.metrics(monitor, NOW)
    monitor.stop()
    again = Store(postgres)
    assert again.watermark(ID) == START + 399 * HOUR
    again.close()


def test_two_writers_keep_each_event_once(postgres: str) -> None:
    """A monitor that is being replaced may still write when the next one does."""
    stores = [Store(postgres), Store(postgres)]
    arrivals = [arrival(asked(n, [{"id": n, "at": START.isoformat()}]), model(), NOW, replaying=True) for n in range(200)]
    fresh: list[tuple[bool, ...]] = []
    started = threading.Barrier(2)

    def write(store: Store) -> None:
        started.wait()
        for first in range(0, 200, 10):
            fresh.append(store.write(arrivals[first : first + 10], NOW, replaying=True).fresh)

    threads = [threading.Thread(target=write, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stores[0].counts(ID)["rows"] == 200
    assert sum(sum(flags) for flags in fresh) == 200
    for store in stores:
        store.close()


def test_a_database_that_is_away_is_a_sentence_without_a_payload(postgres: str) -> None:
    store = Store(postgres)
    with pytest.raises(Unavailable, match="the monitor's database cannot be used") as failure, store.transaction() as connection:
        connection.exec_driver_sql("INSERT INTO watermarks VALUES ('secret-payload', 1), ('secret-payload', 2)")
    assert "secret-payload" not in str(failure.value)
    store.close()
    with pytest.raises(Unavailable, match="the monitor's database cannot be used"):
        Store(postgres.replace("monitor", "absent"))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        pytest.param("mysql://host/db", "begins with 'mysql'; postgresql:// is allowed", id="another database"),
        pytest.param("not a url", "cannot be read", id="no URL"),
        pytest.param("postgresql://user:hush@host:port/db", "cannot be read", id="a port that is no number"),
    ],
)
def test_a_url_that_cannot_be_used_is_a_sentence(url: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words) as failure:
        Store(url)
    assert "hush" not in str(failure.value)


def test_a_clock_that_is_ahead_is_held_back(postgres: str) -> None:
    store = Store(postgres)
    late = {"id": 1, "at": (NOW + timedelta(hours=20)).isoformat()}
    store.write([arrival(asked(1, [late]), model(), NOW, replaying=False)], NOW, replaying=False)
    assert store.watermark(ID) == NOW
    store.close()
