"""What a pipeline's repository says of itself, and each way in which it can say it wrongly."""

import re
from pathlib import Path

import msgspec
import pytest

from tests.unit.packaging.shops import a_shop, change, settings
from trimtab.errors import InvalidInput
from trimtab.packaging import compiling, project

TABLE = 'name = "shop"\nversion = "1.4.0"\npipeline = "pipeline.py:train"\nimage = "registry.example/shop"\n'


def test_a_repository_is_read_with_its_defaults(tmp_path: Path) -> None:
    found = project.read(a_shop(tmp_path / "shop"))
    assert (found.name, found.version, found.image) == ("shop", "1.4.0", "registry.example/shop")
    assert (found.module, found.function) == (tmp_path / "shop" / "pipeline.py", "train")
    assert (found.build, found.tests, found.digest) == (project.BUILD, "tests", "")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        pytest.param(TABLE, "", "pyproject.toml.: name: is missing", id="an empty table"),
        pytest.param("[tool.trimtab.pipeline]", "[tool.other]", r"has no \[tool.trimtab.pipeline\]: it needs at least name", id="no table"),
        pytest.param("[tool.trimtab.pipeline]", "[tool.trimtab.pipeline", "is not TOML", id="no TOML"),
        pytest.param('"shop"\n', '"tabular"\n', "'tabular' is the pipeline that comes with Trimtab", id="the name of Trimtab's own"),
        pytest.param('"shop"\n', '"Shop"\n', "name: found 'Shop', allowed is a name of at most 40 small letters", id="a name that is none"),
        pytest.param(TABLE, TABLE.replace("1.4.0", "1.4"), "version: '1.4' is no version: allowed is MAJOR", id="a version that is none"),
        pytest.param(TABLE, TABLE.replace("1.4.0", "v1.4.0"), "version: 'v1.4.0' is no version", id="a version with a v"),
        pytest.param("pipeline.py:train", "pipeline:train", "allowed is FILE.py:FUNCTION", id="a module for a file"),
        pytest.param("pipeline.py:train", "other.py:train", "pipeline: there is no file 'other.py'", id="a file that is not there"),
        pytest.param("pipeline.py:train", "../x.py:train", "pipeline: '../x.py' is outside the repository", id="a file elsewhere"),
        pytest.param('example/shop"', 'example/shop:1.0@x"', "image: found .* allowed is a repository's name without tag", id="no image"),
        pytest.param(
            'example/shop"', 'example/shop:1.0"', "image: found .* allowed is a repository's name without tag", id="an image's tag"
        ),
        pytest.param(TABLE, TABLE + 'build = "make {image}"\n', "build: found {image}, allowed is {context}, {file}, {tag}", id="a place"),
        pytest.param(TABLE, TABLE + 'build = "make \'x"\n', "build: .* cannot be split into words", id="a quote that is open"),
        pytest.param(TABLE, TABLE + 'tests = "/tmp"\n', "tests: '/tmp' is outside the repository", id="tests elsewhere"),
        pytest.param(TABLE, TABLE + "retries = 3\n", "retries: unknown field; allowed here are name, version", id="a field that is none"),
        pytest.param(TABLE, TABLE.replace('"1.4.0"', "1.4"), "version: found 1.4, allowed is a text", id="a number for a version"),
    ],
)
def test_what_a_repository_says_wrongly_is_a_sentence(tmp_path: Path, old: str, new: str, said: str) -> None:
    shop = a_shop(tmp_path / "shop")
    change(shop / "pyproject.toml", old, new)
    with pytest.raises(InvalidInput, match=said):
        project.read(shop)


def test_the_page_of_packages_tells_every_field_and_its_table_is_one(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "pipelines.md").read_text()
    told = re.findall(r"^\| `(\w+)` \| .* \| (?:`(.+?)`|.*) ?\|$", page.split("| field |")[1].split("\n\n")[0], re.MULTILINE)
    fields = msgspec.structs.fields(project.Settings)
    assert [name for name, _ in told] == [one.name for one in fields]
    assert {name: default for name, default in told if default} == {
        one.name: one.default for one in fields if isinstance(one.default, str) and one.default
    }
    (table,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    shop = a_shop(tmp_path / "shop")
    (shop / "pyproject.toml").write_text(table)
    assert project.read(shop).version == "1.4.0"


def test_a_folder_that_is_no_repository(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"is no pipeline's repository: its pyproject\.toml cannot be read: No such file"):
        project.read(tmp_path)


def test_a_package_of_trimtabs_own_name_would_hide_it(tmp_path: Path) -> None:
    shop = a_shop(tmp_path / "shop")
    (shop / "components").mkdir()
    with pytest.raises(InvalidInput, match="the repository has its own 'components', which is a Python package of Trimtab"):
        project.read(shop)


def test_braces_that_are_no_place_are_left_alone(tmp_path: Path) -> None:
    given = "docker inspect --format '{{json .RepoDigests}} {{.Id}}' {tag}"
    assert settings(a_shop(tmp_path / "shop"), f'digest = "{given}"').digest == given


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        pytest.param("depth=depth, dataset=data", "dataset=data", r"TypeError: features\(\) missing 1 required", id="what kfp refuses"),
        pytest.param("def train(", "def other(", "train is missing; allowed is a function that @dsl.pipeline decorates", id="no function"),
        pytest.param('@dsl.pipeline(name="shop-draft")\n', "", "train is function; allowed is a function that", id="not decorated"),
        pytest.param("from kfp import dsl\n", "from kfp import dsl\nimport nowhere\n", "No module named 'nowhere'", id="a missing module"),
        pytest.param("from kfp import dsl\n", "from kfp import dsl\nraise SystemExit(7)\n", "Python ended with 7", id="an end of its own"),
        pytest.param(
            "from kfp import dsl\n", "from kfp import dsl\nimport os\nos._exit(0)\n", "Python ended with 0", id="an end without a word"
        ),
    ],
)
def test_what_does_not_compile_is_said_in_one_sentence(tmp_path: Path, old: str, new: str, said: str) -> None:
    shop = a_shop(tmp_path / "shop")
    change(shop / "pipeline.py", old, new)
    with pytest.raises(InvalidInput, match=f"pipeline.py:train does not compile: .*{said}"):
        compiling.compile_ir(project.read(shop), tmp_path / "out")


def test_compiling_twice_gives_the_same_bytes_under_the_packages_name(tmp_path: Path) -> None:
    """And leaves nothing in the repository, nor in this process: its modules are imported elsewhere."""
    shop = a_shop(tmp_path / "shop")
    change(shop / "pipeline.py", "from kfp import dsl\n", "import steps\nfrom kfp import dsl\n\nassert steps\n")
    before = sorted(shop.rglob("*"))
    one, two = (compiling.compile_ir(project.read(shop), tmp_path / name).read_bytes() for name in ("one", "two"))
    assert one == two
    assert b"name: shop\n" in one
    assert sorted(shop.rglob("*")) == before
