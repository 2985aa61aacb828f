"""Nothing bad gets through a retrain of an example and nothing good is stopped, in one world each; `defects.py` beside it measures more."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.simulation.defects import NAMES, clean, lines, missed, planted
from tests.simulation.examples import EXAMPLES

WORLD = 0


@pytest.fixture(autouse=True)
def _bikes() -> None:
    subprocess.run([sys.executable, str(EXAMPLES / "bike-demand" / "prepare.py")], check=True)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("example", [pytest.param(name, marks=() if name == "bike-demand" else pytest.mark.long) for name in NAMES])
def test_every_planted_defect_is_caught_and_a_clean_retrain_is_not(example: str, record_property: Callable[[str, object], None]) -> None:
    found = {example: [planted(example, WORLD)]}
    record_property("table", "\n".join(lines(found)))
    assert missed(found) == []
    assert clean(example, WORLD) == []
