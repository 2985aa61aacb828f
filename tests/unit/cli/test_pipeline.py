"""`trimtab pipeline check|build|publish|list|diff` on a real repository and a real MLflow: what they say, and how they end."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.packaging.shops import a_shop, change, committed, git, settings
from tests.unit.platforms.test_packages import a_key
from trimtab.cli import main
from trimtab.manifest import sha256
from trimtab.package import COMPILED, MANIFEST, decode, encode

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def trimtab(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run the command line in the test's folder: its exit code, and what it printed on either side."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["trimtab", *words])
        try:
            main()
            code: object = 0
        except SystemExit as ended:
            code = ended.code or 0
        out, err = capsys.readouterr()
        assert isinstance(code, int)
        return code, out, err

    return run


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A repository whose images are built by a command that has nothing to do, committed."""
    folder = a_shop(tmp_path / "shop")
    settings(folder, 'build = "true"', 'exists = "true"')
    committed(folder)
    return folder


def test_a_pipeline_goes_from_its_repository_to_the_list_of_versions(trimtab: Run, shop: Path, tmp_path: Path) -> None:
    a_key(tmp_path, "ci")
    assert trimtab("pipeline", "check", "shop") == (0, "shop 1.4.0 keeps the contract\n", "")
    code, out, _ = trimtab("pipeline", "build", "shop", "--out", "one")
    assert code == 0
    assert "shop 1.4.0 is in one, digest " in out
    assert "unpinned: a tag can be moved; `digest` in the table pins it" in out
    assert trimtab("pipeline", "publish", "one", "--key", "ci.key")[0] == 0
    code, out, _ = trimtab("pipeline", "publish", "one", "--key", "ci.key", "--json")
    published = json.loads(out)
    assert (code, published["version"]) == (0, "1.4.0")

    change(shop / "pipeline.py", "depth: int = 3", "depth: int = 4")
    git(shop, "commit", "--all", "--quiet", "--message", "Deeper")
    trimtab("pipeline", "build", "shop", "--out", "two")
    code, _, err = trimtab("pipeline", "publish", "two", "--key", "ci.key")
    assert code == 2
    assert "shop 1.4.0 was published with other content (digest " in err
    assert "raise the version" in err

    change(shop / "pyproject.toml", 'name = "shop"\nversion = "1.4.0"', 'name = "shop"\nversion = "1.5.0-rc.1"')
    git(shop, "commit", "--all", "--quiet", "--message", "1.5.0-rc.1")
    trimtab("pipeline", "build", "shop", "--out", "two")
    assert trimtab("pipeline", "publish", "two", "--key", "ci.key")[0] == 0
    code, out, _ = trimtab("pipeline", "list", "shop", "--json")
    listed = json.loads(out)
    assert listed["channels"] == {"stable": "1.4.0", "latest": "1.5.0-rc.1"}
    assert listed["versions"][0] == published
    assert "1.5.0-rc.1" in trimtab("pipeline", "list", "shop")[1]

    code, out, _ = trimtab("pipeline", "diff", "shop", "1.4.0", "1.5.0-rc.1")
    assert code == 0
    assert "shop 1.4.0 -> shop 1.5.0-rc.1\n" in out
    assert "steps: no change\nparameters:\n  ~ depth: NUMBER_INTEGER = 3.0 -> NUMBER_INTEGER = 4.0\ndependencies: no change\n" in out
    code, out, _ = trimtab("pipeline", "diff", "shop", "one", "two", "--json")
    assert json.loads(out)["parameters"] == [
        {"kind": "changed", "name": "depth", "before": "NUMBER_INTEGER = 3.0", "after": "NUMBER_INTEGER = 4.0"}
    ]


def test_a_broken_contract_ends_with_two_and_a_sentence_a_break(trimtab: Run, shop: Path, tmp_path: Path) -> None:
    change(shop / "pipeline.py", ".set_caching_options(False)", "")
    change(shop / "pipeline.py", "    depth: int = 3,\n", "")
    change(shop / "pipeline.py", "    document: str,\n", "    document: str,\n    depth: int,\n")
    for words in (("check", "shop"), ("build", "shop", "--out", "one")):
        code, out, _ = trimtab("pipeline", *words)
        assert code == 2
        assert [line.split(":")[0] for line in out.splitlines()] == [
            "parameter 'depth' is the pipeline's own and has no default",
            "task 'features' may be cached",
        ]
    assert not (tmp_path / "one").exists()
    code, out, _ = trimtab("pipeline", "check", "shop", "--json")
    assert (code, len(json.loads(out)["broken"])) == (2, 2)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("check", "nowhere"), "is no pipeline's repository: its pyproject.toml cannot be read"),
        (("publish", "nowhere", "--key", "ci.key"), "package.json of 'nowhere' cannot be read"),
        (("list", "shop"), "there is no Trimtab state in"),
        (("diff", "shop", "1.0.0", "2.0.0", "--tracking-uri", "sqlite:///mlflow.db"), "'1.0.0' is neither a published version of 'shop'"),
        (("list", "shop", "-n", "crm"), "which MLflow has the versions of namespace 'crm'?"),
    ],
)
def test_what_is_not_there_is_said_and_ends_with_two(trimtab: Run, words: tuple[str, ...], said: str) -> None:
    code, _, err = trimtab("pipeline", *words)
    assert (code, said in err) == (2, True), err


@pytest.mark.usefixtures("shop")
def test_a_package_that_breaks_the_contract_is_not_published(trimtab: Run, tmp_path: Path) -> None:
    """Whoever made it, and however: here an image of one task was changed by hand, and the manifest with it."""
    a_key(tmp_path, "ci")
    trimtab("pipeline", "build", "shop", "--out", "one")
    compiled, manifest = tmp_path / "one" / COMPILED, tmp_path / "one" / MANIFEST
    compiled.write_text(compiled.read_text().replace("image: registry.example/shop", "image: elsewhere.example/shop", 1))
    package = decode(manifest.read_bytes(), "one")
    package.files["pipeline.yaml"] = sha256(compiled)
    manifest.write_bytes(encode(package))
    code, _, err = trimtab("pipeline", "publish", "one", "--key", "ci.key")
    assert code == 2
    assert "runs in the image 'elsewhere.example/shop:" in err
