"""What the fetch container is asked for, how it comes in, and where it would write. The rest is in tests/local, with a real MLflow."""

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request

from serving.fetch.__main__ import main
from serving.fetch.server import CREDENTIALS, Access, Server
from serving.fetch.version import safe
from tests.unit.listener import Listener, listening
from trimtab.errors import InvalidInput
from trimtab.fetching import EXIT_CODES, FAULT, LASTING, exit_code

DIGEST = "ab" * 32


@pytest.mark.parametrize("name", ["model.json", "nested/model.ubj", "a b/c..d", "..hidden"])
def test_names_inside_the_version(name):
    assert safe(name)


NAMES = [
    "",
    ".",
    "..",
    "../x",
    "a/../../x",
    "/etc/passwd",
    "a//b",
    "./a",
    "a/",
    "a\\..\\x",
    "a\0b",
    "manifest.json",
    "a/..",
    "x" * 201,
    "ä" * 101,
]


@pytest.mark.parametrize("name", [*NAMES, ".trimtab-fetch-x/model.json"])
def test_names_that_lead_out_or_are_our_own_are_refused(name):
    assert not safe(name)


def test_each_reason_has_an_exit_code_of_its_own_and_says_whether_trying_again_may_help():
    codes = list(EXIT_CODES.values())
    assert len({0, FAULT, *codes}) == len(codes) + 2
    assert [reason for reason, code in EXIT_CODES.items() if code not in LASTING] == ["Unavailable", "NoSpace"]
    assert [exit_code(f"{reason}: a sentence") for reason in EXIT_CODES] == codes
    assert exit_code("something else: a sentence") == FAULT


BAD_CALLS = [
    ("no arguments", [], {}, "InvalidUri: two arguments are needed"),
    ("no tracking URI", [f"mlflow://models/toy/7?sha256={DIGEST}", "to"], {}, "InvalidConfiguration: TRIMTAB_TRACKING_URI is "),
    ("a URI of no server", ["mlflow://x", "to"], {"TRIMTAB_TRACKING_URI": "http://h"}, "InvalidUri: 'mlflow://x' names no version"),
    *(
        (
            f"a tracking URI with {what}",
            [f"mlflow://models/toy/7?sha256={DIGEST}", "to"],
            {"TRIMTAB_TRACKING_URI": uri},
            f"InvalidConfiguration: TRIMTAB_TRACKING_URI is {shown!r}; http://HOST:PORT",
        )
        for what, uri, shown in [
            ("a port that is none", "http://h:port", "http://h:port"),
            ("a port beyond all", "http://h:99999", "http://h:99999"),
            ("brackets that never close", "http://[::1", "http://[::1"),
            ("a password", "ftp://ada:secret@h", "h"),
        ]
    ),
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
def test_a_call_that_cannot_be_done_is_a_sentence_and_the_exit_code_of_its_reason(
    arguments, environment, sentence, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert main(arguments, environment) == EXIT_CODES[sentence.split(":")[0]]
    assert capsys.readouterr().err.splitlines()[-1].startswith(sentence)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def guarded() -> Iterator[Listener]:
    """A server that lets nobody in."""
    with listening(401) as found:
        yield found


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
    assert guarded.heard[0][1].get("Authorization") == guarded.heard[1][1].get("Authorization")
    assert "are the credentials right (MLFLOW_TRACKING_USERNAME, " in capsys.readouterr().err


LYING = [
    ("an answer without an end", b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"x" * 0x10000 + b"\r\n"),
    ("a length far beyond the limit", b"Content-Length: 99999999999\r\n\r\n", b"x" * 0x10000),
]


@pytest.mark.parametrize(("head", "part"), [case[1:] for case in LYING], ids=[case[0] for case in LYING])
def test_the_size_is_counted_while_it_comes_whatever_the_server_says(head, part, tmp_path):
    sent = 0
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            nonlocal sent
            connection, _ = server.accept()
            with connection, contextlib.suppress(OSError):
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\n" + head)
                while True:
                    connection.sendall(part)
                    sent += len(part)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        asked = Server(Access(f"http://127.0.0.1:{server.getsockname()[1]}"))
        with pytest.raises(InvalidInput, match=r"^TooLarge: 'model\.json' is larger than the 3000000 bytes"):
            asked.save("toy/model.json", tmp_path / "model.json", 3_000_000)
        thread.join(10)
    assert (tmp_path / "model.json").stat().st_size <= 3_000_000
    assert sent < 40_000_000, "it hung up"
