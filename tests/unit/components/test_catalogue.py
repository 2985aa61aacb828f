"""The catalogue is what the components say, and every component says enough to be used alone."""

import re
from pathlib import Path
from typing import Any

import pytest
from kfp import compiler

from components.catalogue import PAGE, every, page, section
from components.needs import NEEDS

COMPONENTS = {component.name: component for component in every()}


def test_the_catalogue_is_fresh() -> None:
    assert PAGE.read_text() == page(), "run `make generate`"


def test_every_component_has_needs_and_every_need_a_component() -> None:
    assert NEEDS.keys() == COMPONENTS.keys()


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_component_says_what_it_does_and_what_goes_in(name: str) -> None:
    spec = COMPONENTS[name].component_spec
    assert len(spec.description or "") > 20
    for key, given in (spec.inputs or {}).items():
        assert given.description, f"input {key} is not described"
        assert given.type, f"input {key} has no type"
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \|$", section(COMPONENTS[name]), re.MULTILINE)
    assert {row[0] for row in rows} == {*(spec.inputs or {}), *(spec.outputs or {})}
    assert [row[0] for row in rows if not row[2].strip()] == [], "outputs are described too"


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_component_is_used_alone_as_the_catalogue_shows(name: str, tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", section(COMPONENTS[name]), re.DOTALL)
    made: dict[str, Any] = {}
    exec(code, made)  # noqa: S102 - our own text
    compiler.Compiler().compile(made[f"{name}_alone"], str(tmp_path / "alone.yaml"))
    compiled = (tmp_path / "alone.yaml").read_text()
    assert "maxRetryCount: 1" in compiled
    assert f"resourceMemoryRequest: {NEEDS[name].memory}" in compiled
