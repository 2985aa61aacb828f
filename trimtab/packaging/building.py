"""From a pipeline's repository to a package: its image, and the folder that is signed and published.

An image's context is what git knows of the repository and does not ignore, so that what is hashed is what is built, on every machine.
"""

import hashlib
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml

from trimtab import __version__
from trimtab.errors import InvalidInput
from trimtab.last_words import last_said
from trimtab.manifest import sha256
from trimtab.package import COMPILED, DIRTY, MANIFEST, SBOM, SIZES, UNKNOWN, Package, encode
from trimtab.packaging import ir as compiled
from trimtab.packaging import sbom
from trimtab.packaging.project import DOCKERFILE, Project

Ended = subprocess.CompletedProcess[str]
Run = Callable[[Sequence[str]], Ended]
PINNED = re.compile(r"^\S+@sha256:[0-9a-f]{64}$")
PATIENCE = 3600.0
"""Seconds that one command may take."""


def run(words: Sequence[str]) -> Ended:
    """Run a command and keep what it says; raises InvalidInput where there is no such command, or it does not end."""
    try:
        return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired) as error:
        said = error.strerror if isinstance(error, OSError) else f"it did not end within {PATIENCE:.0f} s"
        msg = f"the command {words[0]!r} cannot be run: {said}"
        raise InvalidInput(msg) from error


def context(project: Project) -> list[Path]:
    """The files of the image's context, sorted, relative to the repository's folder."""
    listed = _git(project.folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    if listed is None:
        names = [str(path.relative_to(project.folder)) for path in project.folder.rglob("*")]
        names = [name for name in names if not any(part.startswith(".") or part == "__pycache__" for part in Path(name).parts)]
    else:
        names = [name for name in listed.split("\0") if name]
    found = {Path(name) for name in names}
    return sorted(name for name in found if (project.folder / name).is_symlink() or (project.folder / name).is_file())


def image_of(project: Project) -> str:
    """The image's reference: its tag is a hash of everything that the image is built from."""
    if not (project.folder / DOCKERFILE).is_file():
        msg = f"{str(project.folder)!r} has no {DOCKERFILE}: the pipeline's image is built by one, FROM the training image of Trimtab"
        raise InvalidInput(msg)
    digest = hashlib.sha256()
    for name in context(project):
        path = project.folder / name
        body = str(path.readlink()).encode() if path.is_symlink() else path.read_bytes()
        kind = "link" if path.is_symlink() else "exec" if path.stat().st_mode & 0o100 else "file"
        digest.update(f"{name.as_posix()}\0{kind}\0{len(body)}\0".encode() + body)
    return f"{project.image}:{digest.hexdigest()[:16]}"


def build_image(project: Project, run_command: Run = run) -> str:
    """Build the image unless it is there already; returns its reference, pinned by its digest where the project says how to ask for it.

    Raises InvalidInput with what the builder said last where it fails.
    """
    tag = image_of(project)
    if not _present(project, tag, run_command):
        with tempfile.TemporaryDirectory(prefix="trimtab-context-") as scratch:
            for name in context(project):
                (Path(scratch) / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(project.folder / name, Path(scratch) / name, follow_symlinks=False)
            given = {"tag": tag, "file": str(Path(scratch) / DOCKERFILE), "context": scratch}
            _asked(run_command, _words(project.build, given), f"building {tag}")
    if not project.digest:
        return tag
    said = _asked(run_command, _words(project.digest, {"tag": tag}), f"asking for the digest of {tag}").split()
    if not said or not PINNED.match(said[-1]):
        msg = f"digest: the command said {said[-1] if said else 'nothing'!r}; allowed is a reference NAME@sha256:… as its last word"
        raise InvalidInput(msg)
    return said[-1]


def bill(project: Project, run_command: Run = run) -> bytes:
    """The SBOM of the project's image, which must be built: what its command says, else what is installed here.

    Raises InvalidInput where the command fails, or says something else than CycloneDX JSON.
    """
    if not project.sbom:
        return sbom.of_environment()
    tag = image_of(project)
    return sbom.settled(_asked(run_command, _words(project.sbom, {"tag": tag}), f"asking what is in {tag}"), f"{tag}")


def assemble(project: Project, ir: Path, image: str, bill: bytes, out: Path) -> Package:
    """Write the package of the compiled pipeline `ir` to the folder `out`: every task in the one image; equal content, equal digest.

    Raises InvalidInput where `out` holds something else, or git would count it as part of the pipeline's source.
    """
    free(project, out)
    written = compiled.documents(ir)
    for executor in written[0].get("deploymentSpec", {}).get("executors", {}).values():
        if "container" in executor:
            executor["container"]["image"] = image
    out.mkdir(parents=True, exist_ok=True)
    (out / COMPILED).write_text(yaml.safe_dump_all(written, sort_keys=True))
    (out / SBOM).write_bytes(bill)
    graph = compiled.read(out / COMPILED)
    package = Package(
        name=project.name,
        version=project.version,
        commit=commit(project),
        image=image,
        tasks={task.name: graph.runs(task).image for task in graph.tasks.values()},
        parameters=graph.parameters,
        files={COMPILED: sha256(out / COMPILED), SBOM: sha256(out / SBOM)},
        trimtab=__version__,
    )
    (out / MANIFEST).write_bytes(encode(package))
    return package


def commit(project: Project) -> str:
    """The git commit of the repository, with -dirty where anything of it is not in that commit; "unknown" outside git."""
    head, changed = _git(project.folder, "rev-parse", "HEAD"), _git(project.folder, "status", "--porcelain", "--", ".")
    if head is None or changed is None:
        return UNKNOWN
    return head.strip() + (DIRTY if changed.strip() else "")


def free(project: Project, out: Path) -> None:
    """Raises InvalidInput where no package may be written to `out`: it holds something else, or git would count it as source."""
    where = out.resolve()
    odd = sorted(one.name for one in where.iterdir() if one.name not in SIZES) if where.is_dir() else []
    if odd or (where.exists() and not where.is_dir()):
        held = f"it holds {odd[0]!r}" if odd else "it is a file"
        msg = f"{str(out)!r} is no folder for a package: {held}; allowed is an empty folder, or that of an earlier package"
        raise InvalidInput(msg)
    if (
        where.is_relative_to(project.folder)
        and commit(project) != UNKNOWN
        and _git(project.folder, "check-ignore", "-q", str(where / MANIFEST)) is None
    ):
        msg = f"{str(out)!r} is in the pipeline's repository and git does not ignore it: put it into .gitignore, or name a folder outside"
        raise InvalidInput(msg)


def _present(project: Project, tag: str, run_command: Run) -> bool:
    try:
        return run_command(_words(project.exists, {"tag": tag})).returncode == 0
    except InvalidInput:
        return False


def _words(template: str, given: dict[str, str]) -> list[str]:
    words = shlex.split(template)
    for name, value in given.items():
        words = [word.replace(f"{{{name}}}", value) for word in words]
    return words


def _asked(run_command: Run, words: list[str], what: str) -> str:
    ended = run_command(words)
    if ended.returncode:
        said = last_said(f"{ended.stdout}\n{ended.stderr}") or "it said nothing"
        msg = f"{what} failed: {words[0]!r} ended with {ended.returncode}: {said}"
        raise InvalidInput(msg)
    return ended.stdout


def _git(folder: Path, *words: str) -> str | None:
    try:
        ended = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=False, timeout=60)  # noqa: S607
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ended.stdout if ended.returncode == 0 else None
