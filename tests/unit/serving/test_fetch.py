"""What the fetch container is asked for, how it comes in, and where it would write. The rest is in tests/local, with a real MLflow."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request

from serving.fetch.__main__ import main
from serving.fetch.server import CREDENTIALS
from serving.fetch.version import Target, parse, safe
from trimtab.errors import InvalidInput

DIGEST = "ab" * 32


def test_a_uri_names_a_model_a_version_and_a_digest():
    assert parse(f"mlflow://models/bike-demand/7?sha256={DIGEST}") == Target("bike-demand", "7", DIGEST)
    assert parse(f"mlflow://models/crm.churn%20rate/12?sha256={DIGEST}") == Target("crm.churn rate", "12", DIGEST)


BAD_URIS = [
    ("nothing", ""),
    ("another scheme", f"s3://models/toy/7?sha256={DIGEST}"),
    ("another authority", f"mlflow://runs/toy/7?sha256={DIGEST}"),
    ("no version", f"mlflow://models/toy?sha256={DIGEST}"),
    ("an alias in the place of the version", f"mlflow://models/toy/champion?sha256={DIGEST}"),
    ("a version with a sign", f"mlflow://models/toy/-7?sha256={DIGEST}"),
    ("more than a version", f"mlflow://models/toy/7/model.json?sha256={DIGEST}"),
    ("no name", f"mlflow://models//7?sha256={DIGEST}"),
    ("no digest", "mlflow://models/toy/7"),
    ("a short digest", "mlflow://models/toy/7?sha256=abc"),
    ("two digests", f"mlflow://models/toy/7?sha256={DIGEST}&sha256={DIGEST}"),
]


@pytest.mark.parametrize("uri", [case[1] for case in BAD_URIS], ids=[case[0] for case in BAD_URIS])
def test_a_uri_that_names_no_version_is_a_sentence(uri):
    with pytest.raises(InvalidInput, match=r"^InvalidUri: .*mlflow://models/NAME/VERSION\?sha256=DIGEST is allowed$"):
        parse(uri)


@pytest.mark.parametrize("name", ["model.json", "nested/model.ubj", "a b/c..d", "..hidden"])
def test_names_inside_the_version(name):
    assert safe(name)


NAMES = ["", ".", "..", "../x", "a/../../x", "/etc/passwd", "a//b", "./a", "a/", "a\\..\\x", "a\0b", "manifest.json", "a/..", "x" * 201]


@pytest.mark.parametrize("name", [*NAMES, ".trimtab-fetch-x/model.json"])
def test_names_that_lead_out_or_are_our_own_are_refused(name):
    assert not safe(name)


BAD_CALLS = [
    ("no arguments", [], {}, "InvalidUri: two arguments are needed"),
    ("no tracking URI", [f"mlflow://models/toy/7?sha256={DIGEST}", "to"], {}, "InvalidConfiguration: TRIMTAB_TRACKING_URI is "),
    ("a URI of no server", ["mlflow://x", "to"], {"TRIMTAB_TRACKING_URI": "http://h"}, "InvalidUri: 'mlflow://x' names no version"),
    (
        "a CA file that is not there",
        [f"mlflow://models/toy/7?sha256={DIGEST}", "to"],
        {"TRIMTAB_TRACKING_URI": "https://h", "TRIMTAB_TRACKING_CA_FILE": "/absent.pem"},
        "InvalidConfiguration: TRIMTAB_TRACKING_CA_FILE '/absent.pem' cannot be used",
    ),
    (
        "a token of two lines",
        [f"mlflow://models/toy/7?sha256={DIGEST}", "to"],
        {"TRIMTAB_TRACKING_URI": "http://h", "MLFLOW_TRACKING_TOKEN": "one\ntwo"},
        "InvalidConfiguration: MLFLOW_TRACKING_TOKEN is no token",
    ),
    (
        "a limit that is no number",
        [f"mlflow://models/toy/7?sha256={DIGEST}", "to"],
        {"TRIMTAB_TRACKING_URI": "http://h", "TRIMTAB_FETCH_MAX_BYTES": "8Gi"},
        "InvalidConfiguration: TRIMTAB_FETCH_MAX_BYTES is '8Gi'",
    ),
]


@pytest.mark.parametrize(("arguments", "environment", "sentence"), [case[1:] for case in BAD_CALLS], ids=[case[0] for case in BAD_CALLS])
def test_a_call_that_cannot_be_done_is_a_sentence_and_exit_code_2(arguments, environment, sentence, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments, environment) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(sentence)
    assert list(tmp_path.iterdir()) == []


class Guarded:
    """A server that lets nobody in, and remembers with what they came."""

    def __init__(self) -> None:
        self.heard: list[str | None] = []
        heard = self.heard

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                heard.append(self.headers.get("Authorization"))
                self.send_response(401)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def guarded() -> Iterator[Guarded]:
    found = Guarded()
    thread = threading.Thread(target=found.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield found
    found.server.shutdown()
    found.server.server_close()
    thread.join()


CAME = [
    ("nothing", {}),
    ("user and password", {"MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_TRACKING_PASSWORD": "pässword"}),
    ("a token", {"MLFLOW_TRACKING_TOKEN": "e30.x-y_z=="}),
    ("a user without a password, and a token", {"MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_TRACKING_TOKEN": "t"}),
    ("all of them", {"MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_TRACKING_PASSWORD": "p", "MLFLOW_TRACKING_TOKEN": "t"}),
]


@pytest.mark.parametrize("given", [case[1] for case in CAME], ids=[case[0] for case in CAME])
def test_it_comes_in_with_what_mlflows_own_client_would_send(given, guarded, monkeypatch, capsys, tmp_path):
    for name in CREDENTIALS:
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", str(tmp_path))
    http_request(get_default_host_creds(guarded.url), "/x", "GET", raise_on_status=False)
    environment = {"TRIMTAB_TRACKING_URI": guarded.url, **given}
    assert main([f"mlflow://models/toy/7?sha256={DIGEST}", str(tmp_path / "to")], environment) == 2
    assert guarded.heard[0] == guarded.heard[1]
    assert "are the credentials right (MLFLOW_TRACKING_USERNAME, " in capsys.readouterr().err
