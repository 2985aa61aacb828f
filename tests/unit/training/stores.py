"""An S3 server and a GCS server of this machine's own, and a way to do something between two of their answers."""

import http.client
import logging
import socket
import threading
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote

BUCKET = "bucket"
Heard = Callable[[str], None]


class S3:
    """A server of S3's own protocol (moto), behind a door at `url`.

    The door tells `heard` the method of each answered request, and gives `status` in its place where there is one.
    """

    def __init__(self) -> None:
        from moto.server import ThreadedMotoServer

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self.server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        self.server.start()
        host, port = self.server.get_host_and_port()
        self.forget()
        self.door = _door(host, port, self)
        self.url = f"http://127.0.0.1:{self.door.server_address[1]}"
        self._direct = f"http://{host}:{port}"
        self.put("", b"")

    def forget(self) -> None:
        """Let everything through, and tell nobody."""
        self.heard: Heard = lambda _method: None
        self.status: int | None = None

    def put(self, key: str, content: bytes) -> None:
        """Write an object (or, without a key, the bucket) past the door."""
        place = f"{self._direct}/{BUCKET}" + (f"/{quote(key)}" if key else "")
        signed = "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
        headers = {"Content-Type": "application/octet-stream", "Authorization": signed}
        urllib.request.urlopen(urllib.request.Request(place, data=content, headers=headers, method="PUT"), timeout=10).close()

    def environment(self) -> dict[str, str]:
        """What a process needs to find the server, in everybody's words."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def stop(self) -> None:
        self.door.shutdown()
        self.door.server_close()
        self.server.stop()


class Gcs:
    """A server of Google Cloud Storage's JSON protocol."""

    def __init__(self) -> None:
        from gcp_storage_emulator.server import create_server

        logging.getLogger("gcp_storage_emulator").setLevel(logging.ERROR)
        self.server = create_server("127.0.0.1", 0, in_memory=True, default_bucket=BUCKET)
        self.server.start()
        self.url = f"http://127.0.0.1:{self.server._api._httpd.server_port}"

    def put(self, key: str, content: bytes) -> None:
        """Write an object."""
        place = f"{self.url}/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name={quote(key, safe='')}"
        urllib.request.urlopen(urllib.request.Request(place, data=content, method="POST")).close()

    def environment(self) -> dict[str, str]:
        return {"STORAGE_EMULATOR_HOST": self.url}

    def stop(self) -> None:
        self.server.stop()


def silent() -> tuple[socket.socket, str]:
    """A server that takes connections and never says a word, and its URL; it ends with its socket."""
    made = socket.create_server(("127.0.0.1", 0), backlog=64)
    return made, f"http://127.0.0.1:{made.getsockname()[1]}"


def nobody() -> str:
    """The URL of a port at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        return f"http://127.0.0.1:{made.getsockname()[1]}"


def _door(host: str, port: int, s3: S3) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _pass(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            onward = http.client.HTTPConnection(host, port, timeout=30)
            onward.request(self.command, self.path, body, dict(self.headers))
            answer = onward.getresponse()
            content = answer.read()
            s3.heard(self.command)
            self.send_response(s3.status or answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                    self.send_header(name, value)
            self.send_header("Content-Length", answer.getheader("Content-Length", str(len(content))))
            self.end_headers()
            self.wfile.write(content)
            onward.close()

        do_GET = do_HEAD = _pass  # noqa: N815 - the base class's names

        def log_message(self, *_: Any) -> None:
            pass

    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    return made
