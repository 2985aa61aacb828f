"""Events over real HTTP: what is sent, which answers mean what, and how long a receiver is left in peace."""

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.listener import listening
from trimtab.errors import InvalidInput, TrimtabError, Unavailable
from trimtab.events import CloudEvent, parse
from trimtab.platforms.webhook import LONGEST_PAUSE, REFUSED_SECONDS, Delivery, Pause, Refused, Webhook

EVENT = CloudEvent("1", "/test", "dev.trimtab.test.v1", subject="crm/bike", data={"a": 1}, extensions={"sequence": "7"})


def test_an_event_is_one_post_of_a_structured_cloud_event() -> None:
    with listening(204) as receiver:
        Webhook(f"{receiver.url}/hook?room=ops").post(EVENT)
    ((path, headers, body),) = receiver.heard
    assert path == "/hook?room=ops"
    assert headers["Content-Type"] == "application/cloudevents+json; charset=utf-8"
    assert "Authorization" not in headers
    assert parse(headers, body) == [EVENT]
    assert json.loads(body)["sequence"] == "7"


def test_the_token_is_read_anew_each_time(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("one\n")
    with listening(200) as receiver:
        webhook = Webhook(receiver.url, tmp_path / "token")
        webhook.post(EVENT)
        (tmp_path / "token").write_text("two\n")
        webhook.post(EVENT)
        (tmp_path / "token").unlink()
        with pytest.raises(Unavailable, match="the webhook's token cannot be read"):
            webhook.post(EVENT)
    assert [headers["Authorization"] for _, headers, _ in receiver.heard] == ["Bearer one", "Bearer two"]


@pytest.mark.parametrize(
    ("status", "kind", "for_good"),
    [
        (400, Refused, True),
        (413, Refused, True),
        (422, Refused, True),
        (401, Refused, False),
        (404, Refused, False),
        (410, Refused, False),
        (301, Refused, False),
        (408, Unavailable, None),
        (429, Unavailable, None),
        (500, Unavailable, None),
        (503, Unavailable, None),
    ],
)
def test_what_an_answer_means(status: int, kind: type[TrimtabError], for_good: bool | None) -> None:
    with listening(status, b"a secret that nobody may read in a log") as receiver, pytest.raises(kind, match=str(status)) as refused:
        Webhook(receiver.url).post(EVENT)
    assert getattr(refused.value, "for_good", None) == for_good
    assert "secret" not in str(refused.value)


def test_a_redirect_is_not_followed() -> None:
    with listening(200) as other, listening(307) as receiver:
        receiver.headers["Location"] = other.url
        with pytest.raises(Refused, match="redirects, which are not followed: it answers 307"):
            Webhook(receiver.url).post(EVENT)
    assert other.heard == []


def test_who_does_not_listen_or_speaks_no_http_may_later() -> None:
    with listening(200) as receiver:
        url = receiver.url
    with pytest.raises(Unavailable, match="the webhook does not answer"):
        Webhook(url).post(EVENT)
    with listening(200) as receiver, pytest.raises(Unavailable, match="the webhook does not answer"):
        Webhook(receiver.url.replace("http:", "https:")).post(EVENT)


@pytest.mark.parametrize("url", ["", "events", "ftp://events", "http://", "https://user:pass@events", "http://events:0", "http://events:x"])
def test_an_address_that_is_none_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(InvalidInput, match="the webhook's address cannot be used") as refused:
        Webhook(url)
    assert "pass" not in str(refused.value)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_pauses_grow_up_to_five_minutes_and_end_with_an_answer() -> None:
    clock = Clock()
    pause = Pause(clock)
    pauses = [pause.failed() for _ in range(40)]
    for number, seconds in enumerate(pauses):
        most = min(2.0**number, LONGEST_PAUSE)
        assert most / 2 <= seconds <= most
    clock.now += LONGEST_PAUSE
    assert pause.left == 0.0
    pause.over()
    assert pause.failed() <= 1.0


def offered(answers: Callable[[], TrimtabError | None], times: int, clock: Clock) -> tuple[list[str], list[bool]]:
    """What is counted, and whether each time the event was done with; ten minutes between two tries."""
    counted: list[str] = []

    def post(_: CloudEvent) -> None:
        if error := answers():
            raise error

    delivery, done = Delivery(post, counted.append, clock), []
    for _ in range(times):
        try:
            delivery.offer(EVENT)
            done.append(True)
        except TrimtabError:
            done.append(False)
        clock.now += 600.0
    return counted, done


def test_what_is_refused_for_good_is_given_up_at_once_and_what_may_be_mended_after_an_hour() -> None:
    assert offered(lambda: Refused("no", for_good=True), 1, Clock()) == (["skipped"], [True])
    tries = int(REFUSED_SECONDS / 600.0)
    assert offered(lambda: Refused("no", for_good=False), tries + 1, Clock()) == (
        ["failed"] * tries + ["skipped"],
        [False] * tries + [True],
    )
    assert offered(lambda: Unavailable("down"), 50, Clock()) == (["failed"] * 50, [False] * 50), "an outage loses nothing"


def test_the_token_of_a_state_folder_is_for_its_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trimtab.platforms.local.notifying import TOKEN_VARIABLE, keep_token
    from trimtab.platforms.local.state import State

    state = State(tmp_path)
    monkeypatch.setenv(TOKEN_VARIABLE, "s3cret")
    keep_token(state)
    assert state.notify_token.read_text() == "s3cret"
    assert stat.S_IMODE(state.notify_token.stat().st_mode) == 0o600
    keep_token(state)
    assert state.notify_token.read_text() == "", "it was taken out of the environment, so that no child has it"
