"""The laptop's looks at watched places: processes of their own, asked and never waited for; what they remember is the status alone."""

import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.unit.retraining.releases import model
from trimtab.errors import InvalidInput, Unavailable
from trimtab.platforms.local.places import LocalPlaces
from trimtab.platforms.local.state import State
from trimtab.retraining.newdata import Seen, noticed
from trimtab.spec import DataWatch, Model


class Clock:
    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def places(tmp_path: Path, clock: Clock) -> Iterator[LocalPlaces]:
    state = State(tmp_path / "state")
    state.prepare()
    made = LocalPlaces(state, clock)
    yield made
    made.close()


def watching(uri: Path | str, every: str = "1h") -> Model:
    return model(new_data=DataWatch(str(uri), "digest", every))


def until(look: Callable[[], Seen | None], seconds: float = 60.0) -> Seen:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        began = time.monotonic()
        found = look()
        assert time.monotonic() - began < 5.0, "the loop waits for nobody"
        if found:
            return found
        time.sleep(0.05)
    msg = f"nothing was seen within {seconds:g} s"
    raise AssertionError(msg)


def test_a_place_is_looked_at_every_so_often_and_a_restart_goes_on_from_the_status(
    places: LocalPlaces, clock: Clock, tmp_path: Path
) -> None:
    (tmp_path / "rows.csv").write_text("a\n1\n")
    watched = watching(tmp_path / "rows.csv")
    assert places.look(watched) is None, "the first look has only begun"
    first = until(lambda: places.look(watched))
    assert (first.size, first.at) == (1, clock.now)
    watched = replace(watched, status=replace(watched.status, watched=noticed(watched, first)[0]))
    (tmp_path / "rows.csv").write_text("a\n1\n2\n")
    clock.now += timedelta(minutes=59)
    state = State(tmp_path / "state")
    anew = LocalPlaces(state, clock)
    assert anew.look(watched) is None
    assert anew._looks == {}, "it was looked at less than an hour ago, by what the status says"
    clock.now += timedelta(minutes=1)
    second = until(lambda: anew.look(watched))
    assert second.mark != first.mark
    assert noticed(watched, second)[1].startswith("files changed")
    anew.close()


def test_another_place_is_not_taken_for_the_one_before(places: LocalPlaces, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a\n1\n")
    one, other = watching(tmp_path / "a.csv"), watching(tmp_path / "*.parquet")
    first = until(lambda: places.look(one))
    assert places.look(other) is None
    second = until(lambda: places.look(other))
    assert (second.size, second.place == first.place) == (0, False)


def test_what_went_wrong_is_said_until_a_later_look_does_better(places: LocalPlaces, clock: Clock) -> None:
    wrong = watching("s3://only-a-bucket")
    with pytest.raises(InvalidInput, match="names no object"):
        until(lambda: places.look(wrong))
    with pytest.raises(InvalidInput):
        places.look(wrong)
    clock.now += timedelta(minutes=1)
    with pytest.raises(InvalidInput):
        until(lambda: places.look(wrong))


def test_a_server_that_never_answers_holds_up_nothing(places: LocalPlaces) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        watched = watching(f"http://127.0.0.1:{silent.getsockname()[1]}/rows.csv")
        began = time.monotonic()
        for _ in range(20):
            assert places.look(watched) is None
        assert time.monotonic() - began < 5.0
        last = places._looks[watched.metadata.uid]
        last.deadline = time.monotonic()
        with pytest.raises(Unavailable, match="did not answer within 300 s"):
            places.look(watched)
