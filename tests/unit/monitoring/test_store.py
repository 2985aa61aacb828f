import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from trimtab.errors import Unavailable
from trimtab.events import CloudEvent
from trimtab.monitoring.ingest import arrival
from trimtab.monitoring.records import Records
from trimtab.monitoring.store import Store, Written
from trimtab.monitoring.windows import Closed

from .folders import HOUR, NOW, START, answered, asked, instances, model, served, told

ID = "default/demand"


def keep(store: Store, events: Sequence[CloudEvent]) -> Written:
    return store.write([arrival(event, model(), NOW, replaying=True) for event in events], NOW, replaying=True)


def content(store: Store, count: int) -> list[tuple[object, object, object]]:
    """Every row's key, prediction and label: all rows are put into one window first."""
    records = Records(store)
    seqs, times = records.open_rows(ID, "1")
    records.close(ID, "1", [Closed(times[0], times[-1], 0, count)], seqs, times[-1])
    found = records.content(ID, "1", 0)
    return [(row["id"], answer, label) for row, answer, label in zip(found.instances, found.predictions, found.labels, strict=True)]


ROW = {"id": 1, "at": START.isoformat(), "load": 1.0}
OTHER = {"id": 2, "at": (START + HOUR).isoformat(), "load": 2.0}


@pytest.mark.parametrize(
    "batches",
    [
        pytest.param([[asked(1, [ROW, OTHER]), answered(1, [3.0, 6.0])]], id="request and response in one batch"),
        pytest.param([[asked(1, [ROW, OTHER])], [answered(1, [3.0, 6.0])]], id="the response after the request"),
        pytest.param([[answered(1, [3.0, 6.0])], [asked(1, [ROW, OTHER])]], id="the response before the request"),
        pytest.param([[answered(1, [3.0, 6.0]), asked(1, [ROW, OTHER])]], id="the response before the request in one batch"),
        pytest.param([[asked(1, [ROW, OTHER]), answered(1, [3.0, 6.0])]] * 3, id="everything three times"),
        pytest.param([[asked(1, [ROW, OTHER])] * 2, [answered(1, [3.0, 6.0])] * 2], id="each twice in one batch"),
        pytest.param([[answered(1, [3.0, 6.0])], [answered(1, [9.0, 9.0])], [asked(1, [ROW, OTHER])]], id="a second answer is a duplicate"),
    ],
)
def test_a_pair_becomes_the_same_rows_in_any_order(store: Store, batches: list[list[CloudEvent]]) -> None:
    for batch in batches:
        keep(store, batch)
    assert content(store, 2) == [(1, 3.0, None), (2, 6.0, None)]
    assert store.counts(ID)["rows"] == 2


def test_the_same_id_from_another_source_is_another_event(store: Store) -> None:
    event = asked(1, [ROW])
    other = CloudEvent(event.id, "/elsewhere", event.type, time=event.time, data={"instances": [OTHER]}, extensions=event.extensions)
    assert keep(store, [event, other, event]).fresh == (True, True, False)
    keep(store, [answered(1, [3.0])])
    assert content(store, 2) == [(1, 3.0, None), (2, None, None)]


def test_one_models_sender_cannot_touch_anothers_events(store: Store) -> None:
    """Identities are unique within a model: who may send for `other` guesses an id of `demand`'s and changes nothing of it."""
    keep(store, [answered(1, [-1.0], name="other"), asked(1, [OTHER], name="other")])
    assert keep(store, [asked(1, [ROW]), answered(1, [3.0])]).fresh == (True, True)
    keep(store, [answered(1, [-1.0], name="other")])
    assert content(store, 1) == [(1, 3.0, None)]


def test_a_request_without_response_is_kept_and_counted(store: Store) -> None:
    keep(store, [asked(1, [ROW]), asked(2, [{"id": 3, "at": "soon"}])])
    assert store.counts(ID) == {
        "rows": 2,
        "rowsWithoutAnswer": 2,
        "rowsWithoutTime": 1,
        "rowsLate": 0,
        "labels": 0,
        "labelsUnknownKey": 0,
    }
    assert store.watermark(ID) == START


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        pytest.param([told(1, 5.0, NOW)], 5.0, id="one label"),
        pytest.param([told(1, 5.0, NOW), told(1, 6.0, NOW + HOUR, number="b")], 6.0, id="the later one wins"),
        pytest.param([told(1, 6.0, NOW + HOUR, number="b"), told(1, 5.0, NOW)], 6.0, id="the later one wins though it came first"),
    ],
)
def test_the_last_label_by_time_wins(store: Store, labels: list[CloudEvent], expected: float) -> None:
    keep(store, [asked(1, [ROW]), answered(1, [3.0])])
    for label in labels:
        keep(store, [label])
    assert content(store, 1) == [(1, 3.0, expected)]


def test_a_label_for_an_unknown_key_is_kept_counted_and_joins_later(store: Store) -> None:
    assert keep(store, [told(1, 5.0, NOW), told(99, 5.0, NOW)]).unknown_keys == 2
    assert store.counts(ID)["labelsUnknownKey"] == 2
    keep(store, [asked(1, [ROW])])
    assert store.counts(ID)["labelsUnknownKey"] == 1
    assert content(store, 1) == [(1, None, 5.0)]


def test_watermark_never_goes_back(store: Store) -> None:
    keep(store, [asked(1, [OTHER])])
    keep(store, [asked(2, [ROW])])
    assert store.watermark(ID) == START + HOUR


def test_many_batches_are_kept_exactly(store: Store, generator: np.random.Generator) -> None:
    events = served(instances(generator, 3000))
    for first in range(0, len(events), 200):
        keep(store, events[first : first + 200])
    assert store.counts(ID) | {"rowsWithoutAnswer": 0} == store.counts(ID)
    assert store.counts(ID)["rows"] == 3000


def test_a_file_that_is_no_database_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "monitor.db"
    path.write_bytes(b"this is no database at all, but some text that is long enough" * 100)
    with pytest.raises(Unavailable, match="the monitor's database cannot be used"):
        Store(path)


WRITER = """
import sys
from pathlib import Path
from tests.unit.monitoring.folders import NOW, answered, asked, model
from trimtab.monitoring.ingest import arrival
from trimtab.monitoring.store import Store
store = Store(Path(sys.argv[1]))
for number in range(100_000):
    events = [asked(number, [{"id": number, "at": NOW.isoformat()}]), answered(number, [1.0])]
    store.write([arrival(event, model(), NOW, replaying=True) for event in events], NOW, replaying=True)
    print(number, flush=True)
"""


def test_kill_9_in_mid_ingest_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path / "m.db")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]) as child:
        assert child.stdout is not None
        acknowledged = [int(child.stdout.readline()) for _ in range(60)]
        os.kill(child.pid, signal.SIGKILL)
        acknowledged += [int(line) for line in child.stdout.read().split("\n")[:-1]]
    again = Store(tmp_path / "m.db")
    last = acknowledged[-1]
    for number in range(last + 3):
        again.write([arrival(asked(number, [{"id": number, "at": NOW.isoformat()}]), model(), NOW, replaying=True)], NOW, replaying=True)
        if number == last:
            counts = again.counts(ID)
            assert last + 1 <= counts["rows"] <= last + 2
            assert counts["rowsWithoutAnswer"] == 0
    assert again.counts(ID)["rows"] == last + 3
    again.close()
