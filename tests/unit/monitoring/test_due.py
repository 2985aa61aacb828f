import msgspec
import pytest

from trimtab.monitoring.due import ATTEMPTS, LOOK_SECONDS, NEWS_SECONDS, PAUSE_SECONDS, Due, Patience
from trimtab.monitoring.ports import Watched, WatchedVersion

from .folders import model

ID = "default/demand"
QUIET = ({ID: 3}, (), 1.0)


@pytest.fixture
def looked(version: WatchedVersion) -> tuple[Due, Watched]:
    """A model that was looked at, at a clock's zero."""
    due, watched = Due(), Watched(model(), version)
    assert due.of([watched], {ID: 3}, (), 0.0) == [watched]
    return due, watched


def test_a_model_without_news_is_not_looked_at(looked: tuple[Due, Watched]) -> None:
    due, watched = looked
    assert due.of([watched], *QUIET) == []


@pytest.mark.parametrize(
    ("progress", "failed", "now"),
    [
        pytest.param({ID: 4}, (), 1.0, id="a hundredth of a window was kept"),
        pytest.param({ID: 3}, (ID,), 1.0, id="its last look failed"),
        pytest.param({ID: 3}, (), LOOK_SECONDS, id="the last look was a while ago"),
    ],
)
def test_news(looked: tuple[Due, Watched], progress: dict[str, int], failed: tuple[str, ...], now: float) -> None:
    due, watched = looked
    assert due.of([watched], progress, failed, now) == [watched]


def test_another_champion_another_document_and_a_word_on_a_window_are_news(looked: tuple[Due, Watched]) -> None:
    due, watched = looked
    promoted = msgspec.structs.replace(watched, champion=WatchedVersion("2", "d", watched.versions[0].folder))
    edited = msgspec.structs.replace(promoted, model=model(window={"rows": 50}))
    assert due.of([promoted], *QUIET) == [promoted]
    assert due.of([edited], *QUIET) == [edited]
    assert due.of([edited], *QUIET) == []
    due.said(ID)
    assert due.of([edited], *QUIET) == [edited]


def test_who_does_not_answer_is_asked_again_after_a_pause_and_of_the_same_thing_three_times_at_most() -> None:
    patience, asked = Patience(), []
    assert not patience.waits(ID, 0.0)
    for attempt in range(ATTEMPTS):
        now = attempt * PAUSE_SECONDS
        assert not patience.waits(ID, now)
        asked.append(patience.failed(ID, "window 3", now))
        assert patience.waits(ID, now + PAUSE_SECONDS - 1)
    assert asked == [True, True, False]
    assert patience.failed(ID, "window 4", 999.0), "of the next thing it is asked anew"
    assert not patience.waits("default/other", 999.0)


@pytest.mark.parametrize(
    ("kept", "now", "due"),
    [
        pytest.param(49, 0.5, False, id="less than a hundredth of a window is not worth a look at once"),
        pytest.param(49, NEWS_SECONDS, True, id="but soon"),
        pytest.param(50, 0.5, True, id="a hundredth is"),
    ],
)
def test_a_few_rows_of_a_large_window_wait_for_more(version: WatchedVersion, kept: int, now: float, due: bool) -> None:
    looks, watched = Due(), Watched(model(window={"rows": 5000}), version)
    looks.of([watched], {}, (), 0.0)
    assert bool(looks.of([watched], {ID: kept}, (), now)) is due
