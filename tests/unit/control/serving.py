"""Servers, the route before them and its counters, simulated: whatever is asked for takes a tick or more."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from tests.unit.control.storage import Part, port
from trimtab.errors import InvalidInput
from trimtab.release import ArmCounts, Block, ServedVersion, ServingPlan
from trimtab.spec import Model, Version

if TYPE_CHECKING:
    from tests.unit.control.world import World


class Server(Struct):
    """One version's server: ready once `starting` is 0; `down` ticks of an outage are left."""

    starting: int
    down: int = 0
    restarts: int = 0


class Look(Struct):
    """What one tick's requests met: the route's weights, which version was asked copies, and (requests, errors) by version."""

    weights: dict[str, int]
    counts: dict[str, tuple[int, int]]
    start: datetime
    end: datetime
    mirror: str = ""


class Site(Struct):
    """What is served for one Model, and what shall be."""

    servers: dict[str, Server] = {}
    weights: dict[str, int] = {}
    wanted: dict[str, int] | None = None
    mirror: str = ""
    wanted_mirror: str = ""
    looks: list[Look] = []
    stuck: bool = False


class SimulatedServing(Part):
    """Deploys take ticks, a route follows after one, and a version that cannot be fetched is refused."""

    def __init__(self, world: "World") -> None:
        super().__init__(world)
        self.sites: dict[str, Site] = {}
        self.applied: list[ServingPlan] = []

    def site(self, model: str) -> Site:
        return self.sites.setdefault(model, Site())

    @port
    def observe(self, model: Model) -> list[ServedVersion]:
        site = self.site(model.name)
        fault = {version: "" if self.world.version(model.name, version).starts else "not a model" for version in site.servers}
        return [
            ServedVersion(
                version,
                ready=not server.starting and not server.down,
                weight=site.weights.get(version, 0),
                restarts=server.restarts,
                fault=fault[version],
                mirrored=site.mirror == version,
            )
            for version, server in site.servers.items()
        ]

    @port
    def apply(self, plan: ServingPlan) -> None:
        name = plan.model.name
        site = self.site(name)
        for arm in plan.arms:
            up = site.servers.get(arm.version.version)
            if (up is None or up.down) and not self.world.version(name, arm.version.version).digest_ok:
                msg = f"version {arm.version.version} has another digest than {arm.version.digest}"
                raise InvalidInput(msg)
        for arm in plan.arms:
            site.servers.setdefault(arm.version.version, Server(self.world.deploy_ticks))
        assert sum(arm.weight for arm in plan.arms) in (0, 100)
        self.applied.append(plan)
        site.wanted = {arm.version.version: arm.weight for arm in plan.arms}
        site.wanted_mirror = next((arm.version.version for arm in plan.arms if arm.mirrored), "")

    @port
    def settled(self, plan: ServingPlan) -> bool:
        return bool(plan.arms) or not self.site(plan.model.name).servers

    @port
    def smoke(self, model: Model, version: Version) -> tuple[bool, str]:
        good = self.world.version(model.name, version.version).smoke_ok
        return good, "32 rows agree" if good else "row 3 differs"

    def tick(self, start: datetime, end: datetime) -> None:
        for name, site in self.sites.items():
            for version, server in site.servers.items():
                server.down = max(server.down - 1, 0)
                if self.world.version(name, version).starts:
                    server.starting = max(server.starting - 1, 0)
            self._route(site)
            self._serve(name, site, start, end)

    def _route(self, site: Site) -> None:
        """The route follows what is wanted where the versions that shall get traffic stand; what is no longer wanted is dropped."""
        if site.wanted is None or site.stuck:
            return
        if all(version in site.servers and not site.servers[version].starting for version, weight in site.wanted.items() if weight):
            site.weights = dict(site.wanted)
            site.mirror = site.wanted_mirror
        for version in list(site.servers):
            if version not in site.wanted and not site.weights.get(version, 0):
                del site.servers[version]

    def _serve(self, name: str, site: Site, start: datetime, end: datetime) -> None:
        if not self.world.traffic_on or not any(site.weights.values()):
            return
        counts = {}
        for version, weight in site.weights.items():
            server = site.servers.get(version)
            requests = self.world.requests * (100 if version == site.mirror else weight) // 100
            dead = server is None or server.down or server.starting
            counts[version] = (requests, requests if dead else round(requests * self.world.version(name, version).errors))
        site.looks.append(Look(dict(site.weights), counts, start, end, site.mirror))


class SimulatedTraffic(Part):
    """The counters, read as blocks since a cursor."""

    @port
    def arms(self, model: Model, champion: str, candidate: str, slow_ms: int, cursor: dict[str, Any]) -> tuple[list[Block], dict[str, Any]]:
        assert slow_ms > 0
        looks = self.world.serving.site(model.name).looks
        fresh = looks[cursor["looks"] :] if cursor else []
        blocks = [
            Block(
                look.weights.get(candidate, 0),
                look.start,
                look.end,
                ArmCounts(*look.counts.get(champion, (0, 0))),
                ArmCounts(*look.counts.get(candidate, (0, 0))),
            )
            for look in fresh
        ]
        return blocks, {"looks": len(looks)}
