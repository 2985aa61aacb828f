"""`trimtab local up | down | status`: writes the Model into the state, starts and ends the supervisor, waits and tells."""

import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from trimtab.cli.output import print_json, table
from trimtab.cli.play import parse_time
from trimtab.cli.releases import summary
from trimtab.documents import read_model
from trimtab.errors import InvalidInput, TrimtabError, Unavailable
from trimtab.platforms.local import lock
from trimtab.platforms.local.explainers import EXPLAINERS, explainer_python, lacking
from trimtab.platforms.local.objects import SqliteObjects
from trimtab.platforms.local.processes import port_taken
from trimtab.platforms.local.state import PROBLEMS, PROCESSES, State, read_json
from trimtab.platforms.webhook import Webhook
from trimtab.release import Phase, Release
from trimtab.spec import Model, ModelStatus

READY_WITHIN_SECONDS = 600.0
STARTING_SECONDS = 0.1
"""How long before its wait for it a supervisor was started at most."""
DOWN_WITHIN_SECONDS = 30.0


def bring_up(
    document: Path, folder: Path, start: str | None, ports: dict[str, int], notify: str, *, foreground: bool, as_json: bool
) -> None:
    """Check everything that can be checked, then apply the document, start what does not run, and wait for the first version."""
    from trimtab.rollout.judge import check_margins
    from trimtab.training.check import check

    model = read_model(document)
    check_margins(model.spec.rollout)
    cut = check(model.spec, parse_time("--from", start))
    state = State(folder)
    if notify:
        Webhook(notify)
    state.prepare()
    running = lock.holder(state.lock_file)
    if running is None:
        for name, port in ports.items():
            if port and port_taken(port):
                msg = f"port {port} of {name} is taken; name another one with --{name}-port, or 0 for any that is free"
                raise InvalidInput(msg)
    applied = _apply(SqliteObjects(state.database), model, cut)
    supervisor = _start(state, ports, notify) if running is None else None
    try:
        released = _wait(state, applied, supervisor, as_json=as_json)
        if foreground and supervisor:
            _tell_up(state, model, released, as_json=as_json)
            supervisor.wait()
            return
    except BaseException:
        if supervisor:
            supervisor.terminate()
            supervisor.wait()
        raise
    _tell_up(state, model, released, as_json=as_json)


def _apply(objects: SqliteObjects, model: Model, cut: datetime) -> Model:
    """Create the Model or change its spec, as `kubectl apply` does; the first cut is kept."""
    found = objects.get(Model, model.metadata.namespace, model.name)
    if found is None:
        return objects.create(replace(model, status=ModelStatus(first_cut=cut)))
    return found if found.spec == model.spec else objects.write_spec(replace(found, spec=model.spec))


def _start(state: State, ports: dict[str, int], notify: str) -> "subprocess.Popen[bytes]":
    options = [text for name, port in ports.items() for text in (f"--{name}-port", str(port))]
    options += ["--notify", notify] if notify else []
    for name in (PROBLEMS, EXPLAINERS):
        (state.folder / name).unlink(missing_ok=True)
    command = [sys.executable, "-m", "trimtab.platforms.local.supervisor", "--state", str(state.folder), *options]
    with (state.logs / "supervisor.log").open("ab") as output:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, env=state.environment
        )


def _wait(state: State, model: Model, supervisor: "subprocess.Popen[bytes] | None", *, as_json: bool) -> Release | None:
    """Wait until a version serves; tells each decision on the way. Raises where the first version ends another way."""
    objects = SqliteObjects(state.database)
    told: set[str] = set()
    deadline = time.monotonic() + READY_WITHIN_SECONDS
    since = time.time() - STARTING_SECONDS if supervisor else 0.0
    while time.monotonic() < deadline:
        if supervisor and supervisor.poll() is not None:
            last = (state.logs / "supervisor.log").read_text(errors="replace").strip().splitlines()[-1:]
            msg = last[0].removeprefix("error: ") if last else "the supervisor ended"
            raise (InvalidInput if supervisor.returncode == 2 else Unavailable)(msg)
        problem = (read_json(state.folder / PROBLEMS) or {}).get(model.name)
        if problem:
            raise InvalidInput(problem)
        releases = [item for item in objects.all_of(Release) if item.spec.model == model.name]
        for release in releases:
            for record in release.status.decisions:
                if record.hash not in told and not as_json and (release.status.phase is not Phase.PROMOTED or not told):
                    print(f"  {record.phase:<12} {record.sentence}", file=sys.stderr)
                told.add(record.hash)
        now = objects.get(Model, model.metadata.namespace, model.name)
        if now and now.status.champion and _serving(state, now, since):
            return releases[-1] if releases else None
        first = releases[-1] if releases else None
        if first and first.terminal and first.status.phase is not Phase.PROMOTED and now and not now.status.champion:
            msg = f"no version could be put in service: {first.status.phase}: {first.status.sentence}"
            raise InvalidInput(msg) if first.status.phase is Phase.REJECTED else TrimtabError(msg)
        time.sleep(0.2)
    msg = f"no version served within {READY_WITHIN_SECONDS:.0f} s; see the logs in {str(state.logs)!r}"
    raise Unavailable(msg)


def _serving(state: State, model: Model, since: float) -> bool:
    """Whether the gateway answers for the model; at an address that was written before `since`, somebody else may."""
    import urllib.error
    import urllib.request

    url = state.endpoints.get("inference")
    if not url or state.endpoints_file.stat().st_mtime < since:
        return False
    try:
        with urllib.request.urlopen(f"{url}/v1/models/{model.name}", timeout=2) as answer:  # noqa: S310 - our own loopback URL
            return bool(answer.status == 200)
    except OSError:
        return False


def _tell_up(state: State, model: Model, release: Release | None, *, as_json: bool) -> None:
    if as_json:
        print_json({"state": str(state.folder), "endpoints": state.endpoints, "release": summary(release) if release else None})
        return
    version = release.status.candidate.version if release and release.status.candidate else "?"
    print(f"version {version} serves")
    for name, url in state.endpoints.items():
        print(f"  {name:<10} {url}")
    if model.spec.serving.explainer:
        print(f"  explainer  {lacking(explainer_python()) or '`trimtab local status` says where, once it has started'}")


def take_down(folder: Path, *, as_json: bool) -> None:
    """End the supervisor, and with it everything; nothing happens where nothing runs."""
    state = State(folder).existing()
    pid = lock.holder(state.lock_file)
    if pid is not None:
        _end(pid)
    if as_json:
        print_json({"ended": pid})
    else:
        print(f"ended process {pid}" if pid else "nothing was running")


def _end(pid: int) -> None:
    """Ask the supervisor to end everything, and wait until it has."""
    import psutil

    try:
        supervisor = psutil.Process(pid)
        supervisor.terminate()
        supervisor.wait(DOWN_WITHIN_SECONDS)
    except psutil.TimeoutExpired as error:
        msg = f"the supervisor (process {pid}) did not end within {DOWN_WITHIN_SECONDS:.0f} s"
        raise Unavailable(msg) from error
    except psutil.NoSuchProcess:
        return


def show_processes(folder: Path, *, as_json: bool) -> None:
    """The supervisor, its processes and the end-points."""
    state = State(folder).existing()
    pid = lock.holder(state.lock_file)
    running: dict[str, Any] = (read_json(state.folder / PROCESSES) or {}) if pid else {}
    endpoints = state.endpoints if pid else {}
    problems: dict[str, str] = (read_json(state.folder / PROBLEMS) or {}) if pid else {}
    explainers: dict[str, dict[str, Any]] = (read_json(state.folder / EXPLAINERS) or {}) if pid else {}
    if as_json:
        told = {"supervisor": pid, "processes": running, "endpoints": endpoints, "explainers": explainers, "problems": problems}
        print_json({"state": str(state.folder), "running": pid is not None, **told})
        return
    if pid is None:
        print(f"nothing runs on {state.folder}; `trimtab local up` goes on from it")
        return
    table("Processes", ("PROCESS", "PID"), [("supervisor", pid), *running.items()])
    table("End-points", ("END-POINT", "URL"), endpoints.items())
    if explainers:
        table("Explainers", ("MODEL", "URL", ""), [(name, one.get("url", ""), one["sentence"]) for name, one in explainers.items()])
    for name, problem in problems.items():
        print(f"{name}: {problem}")
