"""Builds the images, and only those whose content changed.

One Dockerfile holds all of them, so that they share layers. It is cut here to the stages that one image is made of, with
the commit filled in: any builder that takes a Dockerfile, a context and a tag will do (docker, buildah, podman, kaniko),
whether or not it knows `--target` and `--build-arg`. What an image is made of (those stages and the files they copy) is
hashed; an image with a stamp of the same hash is skipped, so that the commit in it is the last one that touched its content.
"""

import argparse
import hashlib
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCKERFILE = ROOT / "images" / "Dockerfile"
IMAGES = ("fetch", "controller", "monitor", "training", "predictor", "detectors", "explainer")
STAGE = re.compile(r"^FROM +(\S+) +AS +(\S+) *$", re.MULTILINE)
FROM_STAGE = re.compile(r"(?:--from|from)=([a-z]+)")
COPIED = re.compile(r"^COPY +(?!--from)(.+) \S+$", re.MULTILINE)
DEFAULT = "docker build --quiet --tag {tag} --file {file} {context}"


def stages(text: str) -> dict[str, str]:
    """The Dockerfile's stages in order, each from its FROM to the next."""
    starts = [(found.start(), found[2]) for found in STAGE.finditer(text)]
    ends = [start for start, _ in starts[1:]] + [len(text)]
    return {name: text[start:end].rstrip() + "\n" for (start, name), end in zip(starts, ends, strict=True)}


def cut(text: str, target: str) -> str:
    """The Dockerfile of `target` alone: the stages that it is built on or copies from, in their order."""
    every = stages(text)
    needed, new = set(), {target}
    while new:
        needed |= new
        named = {name for stage in new for name in (*FROM_STAGE.findall(every[stage]), STAGE.findall(every[stage])[0][0])}
        new = (named & every.keys()) - needed
    return "\n".join(body for name, body in every.items() if name in needed)


def copied(dockerfile: str) -> list[str]:
    """Paths and globs of the build context that end up in the image, or decide what is installed there."""
    context = [path for line in COPIED.findall(dockerfile) for path in line.split()]
    taken = [path for path in re.findall(r"--from=source /app/(\S+)", dockerfile) if "__pycache__" not in path]
    return sorted({path for path in context if (ROOT / path).is_file()} | set(taken))


def files(paths: list[str]) -> Iterator[Path]:
    """Every file below the paths that a builder would get, sorted."""
    for path in paths:
        for place in sorted(ROOT.glob(path)):
            for file in sorted(place.rglob("*")) if place.is_dir() else [place]:
                if file.is_file() and "__pycache__" not in file.parts:
                    yield file


def content(dockerfile: str) -> str:
    """A hash of all that decides what is in the image."""
    digest = hashlib.sha256(dockerfile.encode())
    for file in files(copied(dockerfile)):
        body = file.read_bytes()
        digest.update(f"\0{file.relative_to(ROOT)}\0{len(body)}\0".encode() + body)
    return digest.hexdigest()[:16]


def commit(paths: list[str]) -> str:
    """The last commit that touched the paths, with -dirty where they differ from it; "unknown" outside a repository."""
    try:
        last = _git("log", "-1", "--format=%h", "--", *paths) or "none"
        return f"{last}-dirty" if _git("status", "--porcelain", "--", *paths) else last
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def version() -> str:
    """The package's version, which is every image's tag."""
    found = re.search(r'__version__ = "([^"]+)"', (ROOT / "trimtab" / "__init__.py").read_text())
    if not found:
        msg = "trimtab/__init__.py has no __version__"
        raise SystemExit(msg)
    return found[1]


def build(image: str, tag: str, builder: str, exists: str) -> str:
    """Build one image unless it is there already; a sentence that says which."""
    dockerfile = cut(DOCKERFILE.read_text(), image)
    made_of = content(dockerfile)
    mark = f"{made_of} {hashlib.sha256(builder.encode()).hexdigest()[:8]}\n"
    folder = ROOT / "build" / "images"
    stamp = folder / f"{tag.replace('/', '_').replace(':', '_')}.stamp"
    if stamp.exists() and stamp.read_text() == mark and _present(exists, tag):
        return f"{tag}: unchanged"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{image}.Dockerfile"
    file.write_text(dockerfile.replace("TRIMTAB_COMMIT=unknown", f"TRIMTAB_COMMIT={commit(copied(dockerfile))}"))
    began = time.monotonic()
    _run(builder, tag=tag, file=str(file), context=str(ROOT))
    stamp.write_text(mark)
    return f"{tag}: built in {time.monotonic() - began:.0f} s"


def main() -> None:
    """`python images/build.py [IMAGE...] [--builder COMMAND] [--exists COMMAND] [--prefix REGISTRY/]`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", nargs="*", help=f"which of {', '.join(IMAGES)}; all of them by default")
    parser.add_argument("--builder", default=DEFAULT, help="a command with {tag}, {file} and {context} in it; %(default)s by default")
    parser.add_argument("--exists", default="", help="a command with {tag} in it that succeeds where the builder has the image already")
    parser.add_argument("--prefix", default="", help="what comes before trimtab/NAME in a tag, as registry.example/")
    given = parser.parse_args()
    unknown = set(given.images) - set(IMAGES)
    if unknown:
        parser.error(f"no image is called {', '.join(sorted(unknown))}; there are {', '.join(IMAGES)}")
    for image in given.images or IMAGES:
        print(build(image, f"{given.prefix}trimtab/{image}:{version()}", given.builder, given.exists), flush=True)


def _present(exists: str, tag: str) -> bool:
    return not exists or subprocess.run(_words(exists, tag=tag), check=False, capture_output=True).returncode == 0


def _run(command: str, **fields: str) -> None:
    done = subprocess.run(_words(command, **fields), check=False)
    if done.returncode:
        sys.exit(f"images/build.py: {shlex.join(_words(command, **fields))} failed with exit code {done.returncode}")


def _words(command: str, **fields: str) -> list[str]:
    return [word.format(**fields) for word in shlex.split(command)]


def _git(*arguments: str) -> str:
    return subprocess.run(["git", "-C", str(ROOT), *arguments], check=True, capture_output=True, text=True).stdout.strip()  # noqa: S607


if __name__ == "__main__":
    main()
