"""A sender that nothing is lost by: what was not acknowledged is sent again, to whatever port the monitor has by then."""

import asyncio
from collections import deque
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from serving.predictor.exchange import Encoder, Exchange, Identity, Told
from trimtab.events import BATCH, STRUCTURED

from .process import SECRET, Live

PAUSE = 0.02


class Message(Struct, frozen=True):
    """A body of one or more events."""

    media: str
    body: bytes

    def request(self) -> bytes:
        """The HTTP request."""
        head = f"POST /events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {SECRET}\r\ncontent-type: {self.media}\r\n"
        return f"{head}content-length: {len(self.body)}\r\n\r\n".encode() + self.body


def exchanges(count: int, models: Sequence[str], now: float) -> list[bytes]:
    """Requests of one row and their answers, ten a second from `now` on: two CloudEvents each, as a predictor's shipper makes them."""
    encoders = [Encoder(Identity(name, "default", "1"), Told()) for name in models]
    found = []
    for number in range(count):
        moment = int((now + number / 10) * 1e9)
        row = {
            "id": number,
            "at": moment / 1e9,
            "load": number % 7 / 3,
            "heat": number % 11 / 4,
            "site": ("east", "north", "west")[number % 3],
        }
        body = msgspec.json.encode({"instances": [row]})
        exchange = Exchange(f"{number:08x}-5f0c-4d5e-9a57-0242ac120002", moment, False, body, b'{"predictions":[1.5]}')
        found.append(encoders[number % len(encoders)].encoded(exchange).body)
    return found


def batched(bodies: Sequence[bytes], events: int) -> list[Message]:
    """Batches of so many events, two of each body."""
    step = events // 2
    return [Message(BATCH, b"[" + b",".join(bodies[at : at + step]) + b"]") for at in range(0, len(bodies), step)]


def single(bodies: Sequence[bytes]) -> list[Message]:
    """Each event in a body of its own."""
    parts = [msgspec.json.decode(b"[" + body + b"]", type=list[msgspec.Raw]) for body in bodies]
    return [Message(STRUCTURED, bytes(event)) for pair in parts for event in pair]


class Sending:
    """Sends all messages over some connections until each was answered with 202; `acknowledged` is how many were."""

    def __init__(self, live: Live, messages: Sequence[Message]) -> None:
        self.acknowledged = 0
        self.again = 0
        self.waits: list[float] = []
        self._live = live
        self._left = deque(messages)

    async def run(self, connections: int = 1) -> None:
        """Returns when everything was acknowledged; anything but a 202 from a monitor that lives is an error."""
        await asyncio.gather(*(self._connection() for _ in range(connections)))

    async def _connection(self) -> None:
        clock = asyncio.get_running_loop().time
        streams = None
        while self._left:
            message = self._left.popleft()
            began = clock()
            try:
                streams = streams or await asyncio.open_connection("127.0.0.1", self._live.port)
                status = await _post(*streams, message)
            except (OSError, asyncio.IncompleteReadError):
                self._left.append(message)
                self.again += 1
                streams = None
                await asyncio.sleep(PAUSE)
                continue
            assert status == 202, status
            self.acknowledged += 1
            self.waits.append(clock() - began)
        if streams:
            streams[1].close()


async def _post(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, message: Message) -> int:
    writer.write(message.request())
    await writer.drain()
    head = await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]))
    return int(head.split(b" ", 2)[1])
