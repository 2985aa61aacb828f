"""What `trimtab pipeline check|build|publish|list|diff` do."""

import tempfile
from pathlib import Path
from typing import Literal

from trimtab.cli.output import plain, print_json, table
from trimtab.cli.versions import tracking_at
from trimtab.errors import Conflict, InvalidInput
from trimtab.package import MANIFEST, Package, digest, on_channel
from trimtab.packaging import building, contract, difference, project
from trimtab.packaging.compiling import compile_ir
from trimtab.packaging.seal import check_files
from trimtab.platforms.local.state import State
from trimtab.platforms.packages import MlflowPackages

CHANNELS: tuple[Literal["stable", "latest"], ...] = ("stable", "latest")


def check_pipeline(folder: Path, *, as_json: bool) -> bool:
    """Compile the pipeline in `folder` and print what breaks the contract; whether nothing does."""
    found = project.read(folder)
    with tempfile.TemporaryDirectory() as scratch:
        said = contract.broken(compile_ir(found, Path(scratch)))
    _tell(found, said, as_json=as_json)
    return not said


def build_pipeline(folder: Path, out: Path, *, as_json: bool) -> bool:
    """Check the pipeline in `folder`, build its image and write its package to `out`; whether the contract holds."""
    found = project.read(folder)
    building.free(found, out)
    with tempfile.TemporaryDirectory() as scratch:
        ir = compile_ir(found, Path(scratch))
        if said := contract.broken(ir):
            _tell(found, said, as_json=as_json)
            return False
        image = building.build_image(found)
        package = building.assemble(found, ir, image, building.bill(found), out)
    made = digest((out / MANIFEST).read_bytes())
    if as_json:
        print_json({"folder": str(out), "digest": made, "package": package})
        return True
    print(f"{package.name} {package.version} is in {out}, digest {made[:12]}, commit {package.commit}")
    print(f"image {image}" + ("" if building.PINNED.match(image) else ", unpinned: a tag can be moved; `digest` in the table pins it"))
    return True


def publish_package(folder: Path, key: Path, state: Path, namespace: str | None, tracking_uri: str, *, as_json: bool) -> None:
    """Sign and publish the package; raises InvalidInput where it breaks the contract, or was published with other content."""
    if said := contract.broken_by(folder, _package(folder)):
        msg = f"{str(folder)!r} is not published: {said[0]}" + (f" ({len(said) - 1} more)" if said[1:] else "")
        raise InvalidInput(msg)
    if namespace is None and not tracking_uri:
        State(state).prepare()
    try:
        made = _packages(state, namespace, tracking_uri).publish(folder, key)
    except Conflict as error:
        raise InvalidInput(str(error)) from error
    if as_json:
        print_json(made)
    else:
        print(f"{made} is published, digest {made.digest[:12]}")


def show_versions(name: str, state: Path, namespace: str | None, tracking_uri: str, *, as_json: bool) -> None:
    """Print the published versions of a pipeline, oldest first."""
    found = _packages(state, namespace, tracking_uri).published(name)
    newest = {channel: versions[-1] for channel in CHANNELS if (versions := on_channel(found, channel))}
    if as_json:
        print_json({"versions": found, "channels": {channel: one.version for channel, one in newest.items()}})
        return
    rows = [(one.version, one.digest[:12], ", ".join(channel for channel, top in newest.items() if top == one)) for one in found]
    table(f"pipeline {name}", ("version", "digest", "channels"), rows)


def show_difference(name: str, before: str, after: str, state: Path, namespace: str | None, tracking_uri: str, *, as_json: bool) -> None:
    """Print what changed between two versions, each a published one or a folder."""
    packages: list[MlflowPackages] = []

    def side(which: str) -> tuple[Path, Package]:
        if (Path(which) / MANIFEST).is_file():
            return Path(which), _package(Path(which))
        if not packages:
            packages.append(_packages(state, namespace, tracking_uri))
        for one in packages[0].published(name):
            if one.version == which:
                return packages[0].checked(one)
        msg = f"{which!r} is neither a published version of {name!r} nor a package's folder"
        raise InvalidInput(msg)

    found = difference.difference(side(before), side(after))
    if as_json:
        print_json(found)
        return
    print(f"{found.before} -> {found.after}")
    for title, changes in (
        ("source", found.source),
        ("steps", found.steps),
        ("parameters", found.parameters),
        ("dependencies", found.dependencies),
    ):
        print(f"{title}:" + ("" if changes else " no change"))
        for one in changes:
            print(f"  {plain(str(one))}")


def _package(folder: Path) -> Package:
    """The manifest of the package in a folder, whose files are as it says."""
    body = (folder / MANIFEST).read_bytes() if (folder / MANIFEST).is_file() else b""
    return check_files(folder, digest(body), repr(str(folder)))


def _packages(state: Path, namespace: str | None, tracking_uri: str) -> MlflowPackages:
    here = State(state)
    if namespace is None and not tracking_uri and not here.folder.is_dir():
        msg = f"there is no Trimtab state in {str(here.folder)!r}: name it with --state, or MLflow's address with --tracking-uri"
        raise InvalidInput(msg)
    return MlflowPackages(tracking_at(state, namespace, tracking_uri), here.packages)


def _tell(found: project.Project, said: tuple[str, ...], *, as_json: bool) -> None:
    if as_json:
        print_json({"pipeline": found.name, "version": found.version, "broken": said})
        return
    for sentence in said:
        print(plain(sentence))
    if not said:
        print(f"{found.name} {found.version} keeps the contract")
