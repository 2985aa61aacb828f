"""What `trimtab pipeline init` and `trimtab pipeline ci` do."""

import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType

import msgspec

from trimtab.ci import reports, scaffold
from trimtab.ci.course import Course, unpublishable
from trimtab.ci.running import Runner, Secrets
from trimtab.ci.stages import STAGES, Name, Report, Result, walk
from trimtab.cli.output import plain, print_json
from trimtab.errors import InvalidInput
from trimtab.packaging import building, project


def init_repository(folder: Path, name: str | None, *, as_json: bool) -> None:
    """Write a working repository to `folder`, and say what comes next."""
    called = name or scaffold.name_of(folder)
    files = scaffold.write(folder, called)
    if as_json:
        print_json({"folder": str(folder), "name": called, "files": files})
        return
    print(f"wrote {len(files)} files to {folder} for the pipeline {called!r}")
    print(f"next: cd {folder} && git init && git add . && git commit -m 'A pipeline' && trimtab pipeline ci --until sample")


def run_ci(folder: Path, key: Path | None, tracking_uri: str, until: str, out: Path | None, patience: float, *, as_json: bool) -> bool:
    """Go through the stages; whether all that were asked for passed. Raises InvalidInput before anything is run where that cannot be."""
    last = _stage(until)
    read = project.read(folder)
    secret = _secret(key, tracking_uri, read) if last == "publish" else ""
    secrets = Secrets(os.environ, tracking_uri, secret)
    report = (out or read.folder / "report").resolve()
    _clear(report)
    signal.signal(signal.SIGTERM, _end)
    with tempfile.TemporaryDirectory(prefix="trimtab-ci-") as scratch:
        runner = Runner(read.folder, report / reports.LOGS, Path(scratch), patience, secrets)
        course = Course(read, runner, Path(scratch), key, tracking_uri)
        results = walk(course.work(), last, time.monotonic, secrets.hide, _silent if as_json else _tell)
    passed = all(result.verdict != "failed" for result in results)
    made = Report(read.name, read.version, building.commit(read), passed, results, course.published)
    reports.write(made, report)
    if as_json:
        print_json(made)
    else:
        print(f"{read.name} {read.version}: {_verdict(made, last)}; reports in {report}")
    return passed


def _stage(until: str) -> Name:
    try:
        found: Name = msgspec.convert(until, Name)
        return found
    except msgspec.ValidationError as error:
        msg = f"--until: found {until!r}, allowed is one of {', '.join(STAGES)}"
        raise InvalidInput(msg) from error


def _secret(key: Path | None, tracking_uri: str, read: project.Project) -> str:
    """What is in the key's file; raises InvalidInput where it is clear already that nothing can be published."""
    if key is None or not tracking_uri:
        lacks = " and ".join(name for name, given in (("--key", key), ("--tracking-uri", tracking_uri)) if not given)
        msg = f"{lacks} must be given to publish; --until package does everything but publishing"
        raise InvalidInput(msg)
    if fault := unpublishable(read):
        msg = f"{fault}; --until package does everything but publishing"
        raise InvalidInput(msg)
    try:
        return key.read_text()
    except (OSError, UnicodeDecodeError) as error:
        msg = f"--key {str(key)!r} cannot be read: {error.strerror if isinstance(error, OSError) else 'it is no PEM file'}"
        raise InvalidInput(msg) from error


def _clear(report: Path) -> None:
    """Make the folder, without what an earlier run left. A new one is ignored by git, or it would be a change of the work tree."""
    try:
        new = not report.exists()
        (report / reports.LOGS).mkdir(parents=True, exist_ok=True)
        if new:
            (report / ".gitignore").write_text("*\n")
        for path in (report / reports.JUNIT, report / reports.JSON, *(report / reports.LOGS / f"{stage}.log" for stage in STAGES)):
            path.unlink(missing_ok=True)
    except OSError as error:
        msg = f"--report {str(report)!r} cannot be written: {error.strerror}"
        raise InvalidInput(msg) from error


def _verdict(made: Report, last: Name) -> str:
    failed = next((result for result in made.stages if result.verdict == "failed"), None)
    return f"stopped at {failed.stage}" if failed else f"passed until {last}"


def _tell(result: Result) -> None:
    print(plain(reports.line(result)), flush=True)


def _silent(result: Result) -> None:
    del result


def _end(number: int, frame: FrameType | None) -> None:
    """On SIGTERM: leave by the way that ends what was started."""
    del frame
    sys.exit(128 + number)
