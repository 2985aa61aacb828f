"""The whole comparison over a small history: what it says, that it says it twice alike, and how it is shown."""

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from msgspec.structs import replace

from tests.unit.monitoring.folders import ScipyDetector
from trimtab.backtest.compare import compare
from trimtab.backtest.page import headline, page
from trimtab.backtest.plot import plot
from trimtab.backtest.policies import NEVER, ORACLE, OWN, WEEKLY
from trimtab.backtest.told import Comparison, encoded
from trimtab.errors import InvalidInput
from trimtab.spec import PipelineRef

from .worlds import FIRST, HOUR, ROWS, START, model, table, write


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(table(), tmp_path_factory.mktemp("data") / "rows.parquet")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept")


@pytest.fixture(scope="module")
def found(rows: Path, kept: Path) -> Comparison:
    return compare(model(rows), FIRST, ScipyDetector, keep=kept)


def test_the_policy_is_worth_it_where_the_world_changes(found: Comparison) -> None:
    own, never, weekly, oracle = (found.named(name) for name in (OWN, NEVER, WEEKLY, ORACLE))
    assert own.value < never.value
    assert own.runs > 0
    assert weekly.runs == 7
    assert oracle.value <= min(own.value, weekly.value) + 1e-9, "what knows all is at least as good as what chose among the same versions"
    assert (never.gain, weekly.gain) == (0.0, 1.0)
    assert found.even is not None
    assert found.even.runs == own.runs


def test_the_numbers_are_those_of_the_rows(found: Comparison) -> None:
    assert (found.rows, found.labelled, sum(period.rows for period in found.periods)) == (ROWS - 501, ROWS - 501, ROWS - 501)
    never = found.named(NEVER)
    weights = [period.rows for period in found.periods]
    squares = [value**2 if value is not None else 0.0 for value in never.values]
    assert np.sqrt(np.average(squares, weights=weights)) == pytest.approx(never.value)


def test_the_same_input_makes_the_same_bytes(found: Comparison, rows: Path, tmp_path: Path) -> None:
    assert encoded(compare(model(rows), FIRST, ScipyDetector, keep=tmp_path)) == encoded(found)


@pytest.mark.long
def test_another_policy_takes_what_was_trained_before(found: Comparison, rows: Path, kept: Path) -> None:
    before = set((kept / "fits").iterdir())
    other = compare(model(rows, on=[]), FIRST, ScipyDetector, keep=kept)
    assert set((kept / "fits").iterdir()) == before
    assert other.named(OWN).value == found.named(NEVER).value
    assert other.even is None


def test_a_model_on_a_package_is_compared_too_and_told_what_made_its_versions(found: Comparison, rows: Path, kept: Path) -> None:
    given = model(rows)
    training = replace(given.spec.training, pipeline=PipelineRef("churn", channel="stable"))
    other = compare(replace(given, spec=replace(given.spec, training=training)), FIRST, ScipyDetector, keep=kept)
    assert other.results == found.results
    assert set(other.notes) - set(found.notes) == {
        "All versions were made by the pipeline tabular 1.0.0, which comes with Trimtab, not by 'churn'."
    }


def test_the_page_is_whole_and_loads_nothing(found: Comparison) -> None:
    made = page(found)
    assert not re.search(r"(src|href)=|@import|url\(", made)
    assert headline(found).split(".")[0] in made.replace("&#x27;", "'")
    drawn = ElementTree.fromstring(plot(found))  # noqa: S314 - our own
    lines = [one for one in drawn.iter() if one.tag.endswith("polyline")]
    assert len(lines) == len(found.results)


def test_a_first_cut_after_the_last_row_is_a_sentence(rows: Path) -> None:
    with pytest.raises(InvalidInput, match="no row is later than 2027"):
        compare(model(rows), START + 10_000 * HOUR, ScipyDetector)
