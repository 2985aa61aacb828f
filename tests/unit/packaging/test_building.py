"""An image named by what it is built of, and a package of the same bytes for the same content; the builder is a real command."""

import json
import sys
from pathlib import Path

import pytest

from tests.unit.packaging.shops import a_shop, change, committed, git, settings
from trimtab.errors import InvalidInput
from trimtab.package import COMPILED, MANIFEST, SBOM, decode, digest
from trimtab.packaging import building, compiling, contract, ir, project, sbom
from trimtab.packaging.seal import check_files

BUILDER = """
import pathlib, sys
tag, file, context, log = sys.argv[1:]
names = sorted(str(one.relative_to(context)) for one in pathlib.Path(context).rglob("*") if one.is_file())
pathlib.Path(log).open("a").write(repr([tag, pathlib.Path(file).name, names]) + "\\n")
"""


def with_builder(shop: Path, folder: Path, *lines: str) -> project.Project:
    """The repository, whose images are built by a command that writes down what it got, and are there where it wrote of them."""
    (folder / "builder.py").write_text(BUILDER)
    build = f"{sys.executable} {folder / 'builder.py'} {{tag}} {{file}} {{context}} {folder / 'built'}"
    return settings(shop, f'build = "{build}"', f'exists = "grep -q {{tag}} {folder / "built"}"', *lines)


def built(folder: Path) -> list[str]:
    """What the builder wrote down."""
    path = folder / "built"
    return path.read_text().splitlines() if path.exists() else []


def test_an_image_is_built_once_of_what_git_does_not_ignore(tmp_path: Path) -> None:
    found = with_builder(a_shop(tmp_path / "shop"), tmp_path)
    (found.folder / ".gitignore").write_text("*.log\n")
    committed(found.folder)
    (found.folder / "run.log").write_text("what a run left")
    tag = building.build_image(found)
    assert tag == building.image_of(found)
    (line,) = built(tmp_path)
    assert line == repr([tag, "Dockerfile", [".gitignore", "Dockerfile", "pipeline.py", "pyproject.toml", "steps.py"]])
    assert building.build_image(found) == tag
    assert len(built(tmp_path)) == 1, "it is there already"


@pytest.mark.parametrize(
    "alter",
    [
        lambda shop: change(shop / "steps.py", "The text as it is", "The text"),
        lambda shop: change(shop / "Dockerfile", "0.1.0", "0.1.1"),
        lambda shop: (shop / "new.py").write_text(""),
        lambda shop: (shop / "steps.py").chmod(0o755),
        lambda shop: (shop / "steps.py").rename(shop / "features.py"),
        lambda shop: (shop / "steps.py").unlink(),
        lambda shop: (shop / "link").symlink_to("steps.py"),
    ],
)
def test_whatever_the_image_is_made_of_is_in_its_name(tmp_path: Path, alter: object) -> None:
    found = project.read(a_shop(tmp_path / "shop"))
    committed(found.folder)
    before = building.image_of(found)
    assert callable(alter)
    alter(found.folder)
    assert building.image_of(found) != before


def test_the_same_content_elsewhere_has_the_same_name(tmp_path: Path) -> None:
    one, two = (project.read(a_shop(tmp_path / name)) for name in ("one", "two"))
    committed(one.folder)
    assert building.image_of(one) == building.image_of(two)


def test_an_image_is_pinned_where_the_table_says_how(tmp_path: Path) -> None:
    pinned = f"registry.example/shop@sha256:{'a' * 64}"
    assert building.build_image(with_builder(a_shop(tmp_path / "shop"), tmp_path, f'digest = "echo pushed {pinned}"')) == pinned


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('build = "false"', "building registry.example/shop:[0-9a-f]{16} failed: 'false' ended with 1: it said nothing"),
        ("build = \"sh -c 'echo no space left >&2; exit 3'\"", "failed: 'sh' ended with 3: no space left"),
        ('build = "no-such-builder {tag}"', "the command 'no-such-builder' cannot be run: No such file or directory"),
        ('build = "true"\ndigest = "echo latest"', "digest: the command said 'latest'; allowed is a reference NAME@sha256"),
        ('build = "true"\ndigest = "true"', "digest: the command said 'nothing'; allowed is"),
    ],
)
def test_what_a_builder_does_wrong_is_a_sentence(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        building.build_image(settings(a_shop(tmp_path / "shop"), line, 'exists = "false"'))


def test_a_repository_without_a_dockerfile(tmp_path: Path) -> None:
    found = project.read(a_shop(tmp_path / "shop"))
    (found.folder / "Dockerfile").unlink()
    with pytest.raises(InvalidInput, match="has no Dockerfile: the pipeline's image is built by one"):
        building.image_of(found)


def test_a_package_has_one_image_and_the_same_digest_for_the_same_content(tmp_path: Path) -> None:
    found = project.read(a_shop(tmp_path / "shop"))
    commit = committed(found.folder)
    compiled, bill = compiling.compile_ir(found, tmp_path / "compiled"), sbom.of_environment()
    made = [building.assemble(found, compiled, "registry.example/shop:1", bill, tmp_path / name) for name in ("one", "two", "one")]
    assert made[0] == made[1] == made[2]
    bodies = [(tmp_path / name / MANIFEST).read_bytes() for name in ("one", "two")]
    assert bodies[0] == bodies[1]
    package = check_files(tmp_path / "one", digest(bodies[0]), "the package")
    assert package == made[0] == decode(bodies[0], "the package")
    assert (package.commit, package.image) == (commit, "registry.example/shop:1")
    assert set(package.tasks) == {"ingest", "features", "search", "train", "evaluate", "register", "report"}
    assert set(package.tasks.values()) == {"registry.example/shop:1"}
    assert contract.broken(tmp_path / "one" / COMPILED) == ()
    assert "runAsNonRoot" in str(ir.read(tmp_path / "one" / COMPILED).executors["exec-train"].settings), "what Kubernetes is told is kept"


def test_a_commit_is_dirty_where_the_source_is_not_all_in_it(tmp_path: Path) -> None:
    found = project.read(a_shop(tmp_path / "shop"))
    commit = committed(found.folder)
    assert building.commit(found) == commit
    (found.folder / "new.py").write_text("")
    assert building.commit(found) == f"{commit}-dirty"


def test_a_repository_outside_git_has_no_commit(tmp_path: Path) -> None:
    assert building.commit(project.read(a_shop(tmp_path / "shop"))) == "unknown"


def test_a_package_is_written_where_it_is_no_source_and_nothing_else_is_lost(tmp_path: Path) -> None:
    found = project.read(a_shop(tmp_path / "shop"))
    committed(found.folder)
    with pytest.raises(InvalidInput, match=r"git does not ignore it: put it into \.gitignore"):
        building.free(found, found.folder / "dist")
    with pytest.raises(InvalidInput, match="is no folder for a package: it holds"):
        building.free(found, found.folder)
    with pytest.raises(InvalidInput, match="is no folder for a package: it is a file"):
        building.free(found, found.folder / "steps.py")
    (found.folder / ".gitignore").write_text("dist/\n")
    git(found.folder, "add", "--all")
    building.free(found, found.folder / "dist")
    building.free(found, tmp_path / "elsewhere")


def test_an_sbom_is_valid_cyclonedx_and_the_same_for_the_same_environment() -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    body = sbom.of_environment()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(body.decode()) is None
    assert body == sbom.of_environment()
    told = json.loads(body)
    assert "timestamp" not in told.get("metadata", {})
    found = sbom.components(body, "the package")
    assert {one.name: one.version for one in sbom.installed()} == found
    assert found["kfp"] == "2.17.0"


def test_the_serial_number_of_an_sbom_is_of_its_content() -> None:
    one, same, other = (
        json.loads(sbom.sbom([sbom.Distribution("numpy", version), sbom.Distribution("kfp", "2")])) for version in ("2.0", "2.0", "2.1")
    )
    assert one["serialNumber"] == same["serialNumber"] != other["serialNumber"]


def test_another_tools_sbom_is_taken_without_its_time_and_random_number(tmp_path: Path) -> None:
    document = {"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [{"type": "library", "name": "numpy", "version": "2.0"}]}
    odd = {"serialNumber": "urn:uuid:3e671687-395b-41f5-a30f-a58921a69b79", "metadata": {"timestamp": "2026-01-01T00:00:00Z"}}
    (tmp_path / "told.json").write_text(json.dumps(document | odd))
    found = settings(a_shop(tmp_path / "shop"), f'sbom = "cat {tmp_path / "told.json"}"')
    assert json.loads(building.bill(found)) == document | {"metadata": {}}
    (tmp_path / "told.json").write_text("{}")
    with pytest.raises(InvalidInput, match=r"the SBOM of registry\.example/shop:[0-9a-f]{16} is no CycloneDX document"):
        building.bill(found)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"components": [7]}', b'{"components": [{}]}', b"\xff"])
def test_an_sbom_that_is_none_is_said(body: bytes) -> None:
    with pytest.raises(InvalidInput, match="the SBOM of shop 1 is no CycloneDX document"):
        sbom.components(body, "shop 1")


def test_what_is_no_package_is_refused(tmp_path: Path) -> None:
    """A manifest that names another file than a package has, whatever its digest is."""
    (tmp_path / SBOM).write_text("{}")
    manifest = {
        "name": "shop",
        "version": "1.0.0",
        "commit": "c0ffee",
        "image": "shop:1",
        "tasks": {},
        "parameters": {},
        "files": {"../x": "0" * 64},
        "trimtab": "0.1.0",
    }
    for odd in ({}, {"files": {}, "name": "../x"}, {"files": {}, "version": "../1"}, {"files": {"sbom.json": "x"}}):
        body = json.dumps(manifest | odd).encode()
        (tmp_path / MANIFEST).write_bytes(body)
        with pytest.raises(InvalidInput, match=r"package\.json of the package"):
            check_files(tmp_path, digest(body), "the package")
