"""One `/metrics` of several workers: whichever is scraped asks the others, and adds up.

Each worker tells its metrics on a socket in the workers' common folder. What a scrape told of each is kept there too, so that a
worker that dies takes none of it away: a counter that falls is taken for a new start by Prometheus.
"""

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from prometheus_client import REGISTRY, exposition
from prometheus_client.metrics_core import Metric

from serving.predictor.asgi import Answer, App, Message, Receive, Send, respond

PATIENCE_SECONDS = 3.0
# A process's own facts, which have no sum; the worker that was scraped tells its own.
_OWN = ("_created", "_info", "_start_time_seconds", "_max_fds")


class Family(Struct, array_like=True):
    """A metric and its samples: name, labels, value."""

    name: str
    documentation: str
    type: str
    samples: list[tuple[str, dict[str, str], float]]


_families = msgspec.msgpack.Decoder(list[Family])


def added(own: Iterable[Family], others: Iterable[list[Family]]) -> list[Family]:
    """The families with each sample summed over all workers, but for those that have no sum."""
    sums: dict[str, Family] = {}
    values: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for families in (own, *others):
        for family in families:
            known = sums.setdefault(family.name, Family(family.name, family.documentation, family.type, []))
            for name, labels, value in family.samples:
                key = (name, tuple(sorted(labels.items())))
                if key not in values:
                    known.samples.append((name, labels, 0.0))
                    values[key] = value
                elif not name.endswith(_OWN):
                    values[key] += value
    for family in sums.values():
        family.samples = [(name, labels, values[name, tuple(sorted(labels.items()))]) for name, labels, _ in family.samples]
    return list(sums.values())


class Peers:
    """An ASGI application before `behind` that answers `/metrics` for all workers of `folder`."""

    def __init__(self, behind: App, folder: Path) -> None:
        self._behind = behind
        self._folder = folder
        self._own = folder / f"{os.getpid()}.sock"
        self._server: asyncio.Server | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """ASGI 3.0."""
        if scope["type"] != "http" or scope["path"] != "/metrics" or scope["method"] != "GET":
            await self._behind(scope, receive, send)
            return
        others = {path.with_suffix(".sock") for kind in ("*.sock", "*.last") for path in self._folder.glob(kind)} - {self._own}
        told = await asyncio.gather(*map(self._ask, others))
        own = _here()
        self._keep(self._own, msgspec.msgpack.encode(own))
        registry = _Added(added(own, told))
        encoder, content_type = exposition.choose_encoder(dict(scope["headers"]).get(b"accept", b"").decode("latin-1"))
        await respond(send, Answer(200, encoder(registry), kind=content_type.encode()))

    async def listen(self) -> None:
        """Begin to tell the other workers what is counted here."""
        self._server = await asyncio.start_unix_server(_tell, self._own)

    async def _ask(self, path: Path) -> list[Family]:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                reader, writer = await asyncio.open_unix_connection(path)
                found = await reader.read()
                writer.close()
            families = _families.decode(found)
        except (OSError, TimeoutError, msgspec.DecodeError):
            kept = path.with_suffix(".last")
            last = _families.decode(kept.read_bytes()) if kept.exists() else []
            return [family for family in last if family.type != "gauge"]
        self._keep(path, found)
        return families

    def _keep(self, path: Path, told: bytes) -> None:
        written = path.with_suffix(f".{os.getpid()}")
        written.write_bytes(told)
        written.replace(path.with_suffix(".last"))


class _Added:
    """What an encoder of prometheus_client takes for a registry."""

    def __init__(self, families: list[Family]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        for family in self._families:
            metric = Metric(family.name, family.documentation, family.type)
            for name, labels, value in family.samples:
                metric.add_sample(name, labels, value)
            yield metric


def _here() -> list[Family]:
    return [
        Family(metric.name, metric.documentation, metric.type, [(sample.name, sample.labels, sample.value) for sample in metric.samples])
        for metric in REGISTRY.collect()
    ]


async def _tell(_: asyncio.StreamReader, writer: Any) -> None:
    writer.write(msgspec.msgpack.encode(_here()))
    await writer.drain()
    writer.close()
