"""A run that was started by hand announces itself with a token that is good for the monitor, and a task leaves its last words."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.listener import Listener, listening
from tests.unit.training.data import document, spec
from trimtab.errors import InvalidInput, Unavailable
from trimtab.events import CandidateReady, data_of, parse
from trimtab.training import announcement

DOCUMENT = document(spec(Path("a.csv")))
CUT = "2026-01-02T03:04:05+00:00"


@pytest.fixture
def listener() -> Iterator[Listener]:
    """The monitor's door."""
    with listening(202, b'{"sentence": "as it is"}') as found:
        yield found


@pytest.fixture(autouse=True)
def _outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(announcement, "TOKEN_FILE", tmp_path / "token")
    monkeypatch.setattr(announcement, "ACCOUNT", tmp_path / "account")
    monkeypatch.delenv(announcement.TOKEN_VARIABLE, raising=False)


def test_the_event_names_model_run_and_cut_and_is_the_same_when_repeated(listener: Listener, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    for _ in range(2):
        announcement.announce(f"{listener.url}/events", DOCUMENT, "0123abc", CUT)
    events = [parse(headers, body)[0] for _, headers, body in listener.heard]
    assert events[0].source == events[1].source
    assert events[0].id == events[1].id == "0123abc"
    ready = data_of(events[0], CandidateReady)
    assert (ready.model, ready.namespace, ready.run, ready.cut.isoformat()) == ("toy", "default", "0123abc", CUT)
    path, headers, _ = listener.heard[0]
    assert (path, headers["Authorization"]) == ("/events", "Bearer secret")


def test_nothing_is_announced_where_nobody_asked(listener: Listener) -> None:
    announcement.announce("", DOCUMENT, "0123abc", CUT)
    assert not listener.heard


@pytest.mark.parametrize(("status", "error"), [pytest.param(403, InvalidInput, id="refused"), pytest.param(503, Unavailable, id="not now")])
def test_an_announcement_that_is_not_taken_is_an_error_with_what_was_said(listener: Listener, status: int, error: type[Exception]) -> None:
    listener.status = status
    with pytest.raises(error, match=f'status {status}: {{"sentence": "as it is"}}'):
        announcement.announce(f"{listener.url}/events", DOCUMENT, "0123abc", CUT)


@pytest.mark.parametrize(
    ("url", "error", "sentence"),
    [
        pytest.param("http://127.0.0.1:1/events", Unavailable, "no answer", id="nobody listens"),
        pytest.param("trimtab-monitor:8090", InvalidInput, "is no address", id="no scheme"),
    ],
)
def test_an_address_where_nobody_is(url: str, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        announcement.announce(url, DOCUMENT, "0123abc", CUT)


def test_a_document_that_is_no_model_is_said(listener: Listener) -> None:
    with pytest.raises(InvalidInput, match="cannot be announced"):
        announcement.announce(f"{listener.url}/events", "{}", "0123abc", CUT)
    with pytest.raises(InvalidInput, match="cannot be announced"):
        announcement.announce(f"{listener.url}/events", DOCUMENT, "0123abc", "yesterday")


def test_the_variable_says_where_the_token_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other").write_text("other")
    monkeypatch.setenv(announcement.TOKEN_VARIABLE, str(tmp_path / "other"))
    assert announcement.token() == "other"


def test_without_a_projected_token_the_pods_account_asks_for_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    claims = base64.urlsafe_b64encode(json.dumps({"sub": "system:serviceaccount:team:pipeline-runner"}).encode()).decode().rstrip("=")
    (tmp_path / "account").mkdir()
    (tmp_path / "account" / "token").write_text(f"head.{claims}.signature")
    asked: list[tuple[str, dict[str, Any], str]] = []

    def post(url: str, body: bytes, headers: dict[str, str], *_: Any) -> bytes:
        asked.append((url, json.loads(body), headers["Authorization"]))
        return b'{"status": {"token": "for the monitor"}}'

    monkeypatch.setattr(announcement, "_post", post)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    assert announcement.token() == "for the monitor"
    ((url, body, authorization),) = asked
    assert url == "https://10.96.0.1:443/api/v1/namespaces/team/serviceaccounts/pipeline-runner/token"
    assert body["spec"]["audiences"] == ["trimtab"]
    assert authorization == f"Bearer head.{claims}.signature"


def test_outside_of_a_cluster_there_is_no_token() -> None:
    assert announcement.token() == ""


def fail() -> None:
    msg = "MLflow is away"
    raise Unavailable(msg)


def test_a_task_leaves_its_last_words_where_there_is_a_place_for_them(tmp_path: Path) -> None:
    place = tmp_path / "termination-log"
    with pytest.raises(Unavailable, match="away"), announcement.telling(place):
        fail()
    assert not place.exists(), "no such file: this is no container"
    place.touch()
    with announcement.telling(place):
        assert True
    assert place.read_text() == ""
    with pytest.raises(Unavailable), announcement.telling(place):
        fail()
    assert place.read_text() == "Unavailable: MLflow is away"
