"""Whether what was seen at a watched place is new, and by which name it asks."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from trimtab.addresses import shown
from trimtab.control.intake import release_for
from trimtab.retraining.newdata import Seen, noticed, place_of, request, watch_of
from trimtab.spec import DataWatch, Model, Watched

from .releases import HOUR, NOW, model

PLACE = "a-place"


def watching(by: Any = "digest", rows: int = 1, known: tuple[str, int] | None = ("m1", 100), *, champion: bool = True) -> Model:
    made = model(champion=champion, new_data=DataWatch(by=by, rows=rows))
    watched = Watched(PLACE, *known, NOW) if known else None
    return replace(made, status=replace(made.status, watched=watched))


def saw(mark: str, size: int, hours: float = 1.0, place: str = PLACE) -> Seen:
    return Seen(place, mark, size, NOW + hours * HOUR)


CASES = (
    ("the first look only remembers", watching(known=None), saw("m1", 100), "", ("m1", 100)),
    ("another place begins anew", watching(), saw("m2", 120, place="another"), "", ("m2", 120)),
    ("a look that is remembered already changes nothing", watching(), saw("m2", 120, hours=0), "", ("m1", 100)),
    ("equal marks are equal places", watching(), saw("m1", 100), "", ("m1", 100)),
    ("another mark is news", watching(), saw("m2", 100), "files changed", ("m2", 100)),
    ("a file that is gone is a change of files too", watching(), saw("m2", 99), "files changed", ("m2", 99)),
    ("one more row is enough where none is named", watching("count"), saw("m2", 101), "1 more rows", ("m2", 101)),
    ("rows add up until there are enough", watching("count", 50), saw("m2", 149), "", ("m1", 100)),
    ("and then they are news", watching("count", 50), saw("m2", 150), "50 more rows", ("m2", 150)),
    ("fewer rows are no news, and what is more is counted from there", watching("count"), saw("m2", 60), "", ("m2", 60)),
    ("another partition is news", watching("partition"), saw("m2", 101), "another partition", ("m2", 101)),
    ("one that came while one went is news", watching("partition"), saw("m2", 100), "another partition", ("m2", 100)),
    ("partitions that are only gone are no news", watching("partition"), saw("m2", 99), "", ("m2", 99)),
    ("before the first champion all is kept for later", watching(champion=False), saw("m2", 120), "", ("m1", 100)),
)


@pytest.mark.parametrize(("sentence", "before", "seen", "news", "remembered"), CASES, ids=[case[0] for case in CASES])
def test_what_is_news(sentence: str, before: Model, seen: Seen, news: str, remembered: tuple[str, int]) -> None:
    watched, said = noticed(before, seen)
    assert said.startswith(news), sentence
    assert bool(said) is bool(news), said
    assert (watched.mark, watched.size) == remembered
    assert watched.seen_at == (NOW if seen.at == NOW else seen.at)


def test_what_came_before_the_first_champion_asks_once_there_is_one() -> None:
    watched, _ = noticed(watching(champion=False), saw("m2", 120))
    crowned = watching()
    _, said = noticed(replace(crowned, status=replace(crowned.status, watched=watched)), saw("m2", 120, hours=2))
    assert said


def test_until_the_status_is_written_the_same_mark_is_the_same_release() -> None:
    before = watching()
    first, again = (release_for(before, request(before, saw("m2", 120, hours), NOW, "news")).name for hours in (1.0, 2.0))
    assert first == again


def test_a_place_that_comes_back_to_an_old_mark_is_news_again() -> None:
    before = watching()
    first = release_for(before, request(before, saw("m2", 120), NOW, "news")).name
    later = replace(before, status=replace(before.status, watched=Watched(PLACE, "m1", 100, NOW + timedelta(hours=3))))
    assert release_for(later, request(later, saw("m2", 120, 4.0), NOW, "news")).name != first


def test_a_place_is_known_by_where_it_is_and_how_it_is_looked_at() -> None:
    watches = [DataWatch(by="digest"), DataWatch(by="count"), DataWatch(by="digest", every="5m"), DataWatch(by="count", rows=9)]
    places = [place_of(watch, "s3://b/*.parquet") for watch in watches]
    assert places[0] == places[2] != places[1] == places[3]
    assert place_of(watches[0], "s3://b/other.parquet") != places[0]


def test_nothing_is_watched_that_is_not_asked_for() -> None:
    assert watch_of(model()) is None
    assert watch_of(model(new_data=DataWatch(), on=("performance",))) is None
    assert watch_of(model(new_data=DataWatch())) == (DataWatch(), "d.csv")
    assert watch_of(model(new_data=DataWatch("s3://b/x"))) == (DataWatch("s3://b/x"), "s3://b/x")


def test_a_sentence_holds_no_secret_of_a_uri() -> None:
    assert shown("https://user:word@host/rows.csv?sig=secret#part") == "https://host/rows.csv"
    assert shown("s3://bucket/rows?.csv") == "s3://bucket/rows?.csv"
