"""The load of the serving bench: keep-alive HTTP/1.1 on bare sockets, and a server that does nothing, to see what the load itself can do.

Each connection sends its next request when the answer to the last is whole (a closed loop). Nothing is parsed but the status and the
length, so that one process asks several times faster than any of the servers answers. Both halves are run as processes of their own:
`python -m tests.bench.serving_load ask PORT PATH BODY CONNECTIONS SECONDS` prints one JSON object;
`python -m tests.bench.serving_load answer PORT` answers 202 to everything; `swallow PORT` does so for captured events.

What asks and what swallows live on other machines than a server in reality. Here they keep to the last processor, so that the scheduler
does not put them in a server's way on its own; a server and its children may run on all.
"""

import asyncio
import json
import os
import socket
import sys
import threading
import time
from pathlib import Path

import numpy as np
import uvloop

WARM_SECONDS = 0.4
ACCEPTED = b"HTTP/1.1 202 Accepted\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
CHUNK = 1 << 14


def _length(head: bytes) -> int:
    at = head.lower().find(b"content-length:")
    return int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0


class _Messages(asyncio.Protocol):
    """Cuts a stream into HTTP messages with a length."""

    def __init__(self) -> None:
        self._buffer = b""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            whole = end + 4 + _length(self._buffer[: end + 2])
            if len(self._buffer) < whole:
                return
            head, self._buffer = self._buffer[:end], self._buffer[whole:]
            self.message(head)

    def message(self, head: bytes) -> None:
        raise NotImplementedError


class _Asking(_Messages):
    def __init__(self, request: bytes, times: list[tuple[float, float]], failed: list[bytes]) -> None:
        super().__init__()
        self._request, self._times, self._failed = request, times, failed
        self._sent = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._ask()

    def message(self, head: bytes) -> None:
        now = time.perf_counter()
        self._times.append((self._sent, now))
        if head[9:10] != b"2":
            self._failed.append(head[:80])
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._failed.append(b"the connection was closed")

    def _ask(self) -> None:
        self._sent = time.perf_counter()
        self.transport.write(self._request)


class _Answering(_Messages):
    def message(self, head: bytes) -> None:  # noqa: ARG002
        self.transport.write(ACCEPTED)


async def ask(port: int, path: str, body: bytes, connections: int, seconds: float) -> dict[str, float]:
    """Requests a second and quantiles of the latency in ms over `seconds`, after a short warm-up, and all `requests` with it.

    Ends the process where a request failed.
    """
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    times: list[tuple[float, float]] = []
    failed: list[bytes] = []
    loop = asyncio.get_running_loop()
    for _ in range(connections):
        await loop.create_connection(lambda: _Asking(head.encode() + body, times, failed), "127.0.0.1", port)
    began = time.perf_counter() + WARM_SECONDS
    await asyncio.sleep(WARM_SECONDS + seconds)
    ended = time.perf_counter()
    if failed:
        msg = f"{len(failed)} of {len(times)} requests to {path} failed, the first: {failed[0]!r}"
        raise SystemExit(msg)
    ends = np.array([time for _, time in times])
    latency = np.array([end - start for start, end in times])[(ends >= began) & (ends < ended)] * 1000
    if not latency.size:
        msg = f"no request to {path} was answered within {seconds} s"
        raise SystemExit(msg)
    p50, p99, p999 = np.quantile(latency, [0.5, 0.99, 0.999])
    return {"rps": latency.size / (ended - began), "p50_ms": p50, "p99_ms": p99, "p999_ms": p999, "requests": len(times)}


async def answer(port: int) -> None:
    """Answer 202 to everything until the process is ended."""
    server = await asyncio.get_running_loop().create_server(_Answering, "127.0.0.1", port)
    await server.serve_forever()


def swallow(port: int) -> None:
    """Take large bodies at the least cost until the process is ended: none is kept."""
    with socket.create_server(("127.0.0.1", port)) as server:
        while True:
            threading.Thread(target=_swallow, args=(server.accept()[0],), daemon=True).start()


def _swallow(connection: socket.socket) -> None:
    with connection, connection.makefile("rb", CHUNK) as stream:
        while head := stream.readline():
            left = 0
            while head.strip():
                name, _, value = head.partition(b":")
                left = int(value) if name.lower() == b"content-length" else left
                head = stream.readline()
            while left > 0 and (read := stream.read(min(left, CHUNK))):
                left -= len(read)
            connection.sendall(ACCEPTED)


def _aside() -> None:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def main(arguments: list[str]) -> None:
    """The three commands."""
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    if arguments[0] == "answer":
        asyncio.run(answer(int(arguments[1])))
    elif arguments[0] == "swallow":
        _aside()
        swallow(int(arguments[1]))
    else:
        _aside()
        port, path, body, connections, seconds = arguments[1:]
        print(json.dumps(asyncio.run(ask(int(port), path, Path(body).read_bytes(), int(connections), float(seconds)))))


if __name__ == "__main__":
    main(sys.argv[1:])
