"""What is told of two versions of one pipeline: only what changed, and that in words."""

import json
from pathlib import Path

from tests.unit.packaging.shops import a_shop, change, committed
from trimtab.package import Package
from trimtab.packaging import building, compiling, project, sbom
from trimtab.packaging.difference import Change, Difference, difference

FIT = "        trained = ready(fit("


def version(folder: Path, image: str, libraries: dict[str, str], *changes: tuple[str, str]) -> tuple[Path, Package]:
    """A package of the shop's pipeline with these texts replaced, and these libraries installed."""
    found = project.read(a_shop(folder / "shop"))
    for old, new in changes:
        change(found.module, old, new)
    committed(found.folder)
    bill = sbom.sbom(sbom.Distribution(name, number) for name, number in libraries.items())
    return folder / "package", building.assemble(found, compiling.compile_ir(found, folder / "out"), image, bill, folder / "package")


def test_what_changed_is_told_and_nothing_else(tmp_path: Path) -> None:
    before = version(tmp_path / "one", "shop:1", {"numpy": "2.0", "kfp": "2.17.0", "lupa": "2"})
    after = version(
        tmp_path / "two",
        "shop:2",
        {"numpy": "2.1", "kfp": "2.17.0", "optuna": "5"},
        ("    print(depth)\n", "    print(depth)\n    print(depth + 1)\n"),
        ("    depth: int = 3,\n", "    depth: int = 4,\n    width: int = 1,\n"),
        (
            "        trained = ready(fit(",
            "        looked = features(depth=width, dataset=made).set_caching_options(False).outputs['made']\n" + FIT,
        ),
        ('["trials"]), dataset=made))', '["trials"]), dataset=looked).set_cpu_request("2"))'),
    )
    found = difference(before, after)
    assert found.source == (
        Change("changed", "commit", before[1].commit, after[1].commit),
        Change("changed", "image", "shop:1", "shop:2"),
    )
    assert [str(one) for one in found.steps] == ["~ features: code (+1 -0 lines)", "+ features-2", "~ train: inputs (dataset)"]
    assert [str(one) for one in found.parameters] == [
        "~ depth: NUMBER_INTEGER = 3.0 -> NUMBER_INTEGER = 4.0",
        "+ width NUMBER_INTEGER = 1.0",
    ]
    assert [str(one) for one in found.dependencies] == ["- lupa 2", "~ numpy: 2.0 -> 2.1", "+ optuna 5"]


def test_between_a_version_and_itself_nothing_changed(tmp_path: Path) -> None:
    one = version(tmp_path / "one", "shop:1", {"kfp": "2"})
    assert difference(one, one) == Difference("shop 1.4.0", "shop 1.4.0", (), (), (), ())


def test_what_is_set_of_a_steps_container_is_a_change_of_it(tmp_path: Path) -> None:
    one = version(tmp_path / "one", "shop:1", {})
    two = version(tmp_path / "two", "shop:1", {}, ("dataset=data).set_caching", 'dataset=data).set_env_variable("DEPTH", "3").set_caching'))
    assert [str(one) for one in difference(one, two).steps] == ["~ features: resources or environment"]
    assert json.loads((one[0] / "sbom.json").read_text()).get("components", []) == []
