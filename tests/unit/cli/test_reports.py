"""`trimtab report`: from a state folder, and from a monitor over HTTP."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from trimtab.cli.reports import fleet_report, report
from trimtab.errors import InvalidInput, Unavailable


class Answering(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        allowed = self.headers["authorization"] == "Bearer good"
        self.send_response(200 if allowed else 401)
        self.end_headers()
        self.wfile.write(self.path.encode() if allowed else b'{"error": "nobody knows you"}')

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def monitor() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_what_is_asked_of_a_monitor(monitor: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIMTAB_TOKEN", "good")
    out = tmp_path / "new" / "a.png"
    report("churn", 7, "2", out, tmp_path, "crm", monitor, as_json=False)
    assert out.read_text() == "/models/crm/churn/windows/7/report.png?version=2"
    report("churn", None, None, tmp_path / "a.html", tmp_path, None, monitor, as_json=True)
    assert (tmp_path / "a.html").read_text() == "/models/default/churn/report.html"
    fleet_report(tmp_path / "f.html", "crm", monitor, as_json=False)
    assert (tmp_path / "f.html").read_text() == "/fleet/report.html?namespace=crm"


def test_a_monitor_that_refuses_says_why(monitor: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIMTAB_TOKEN", "wrong")
    with pytest.raises(Unavailable, match="401: nobody knows you"):
        report("churn", None, None, tmp_path / "a.html", tmp_path, None, monitor, as_json=False)
    monkeypatch.delenv("TRIMTAB_TOKEN")
    with pytest.raises(InvalidInput, match="TRIMTAB_TOKEN is not set"):
        report("churn", None, None, tmp_path / "a.html", tmp_path, None, monitor, as_json=False)


@pytest.mark.parametrize(
    ("model", "window", "version", "name", "monitor", "words"),
    [
        pytest.param("churn", None, None, "a.pdf", "", "ends in .html or .png", id="another kind of file"),
        pytest.param("churn", None, "2", "a.html", "", "name the window too", id="a version without a window"),
        pytest.param(None, None, None, "a.html", "http://127.0.0.1:1", "name the Model", id="a monitor asked of no model"),
        pytest.param("churn", None, None, "a.html", "", "there is no Trimtab state", id="a folder without a state"),
    ],
)
def test_what_cannot_be_asked(
    tmp_path: Path, model: str | None, window: int | None, version: str | None, name: str, monitor: str, words: str
) -> None:
    with pytest.raises(InvalidInput, match=words):
        report(model, window, version, tmp_path / name, tmp_path, None, monitor, as_json=False)


def test_a_fleet_needs_a_monitor(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="asked of a monitor"):
        fleet_report(tmp_path / "f.html", None, "", as_json=False)
