"""A version's reference: what it is held to is what was said of rows whose labels nobody had seen."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.unit.monitoring.folders import write_folder
from trimtab.monitoring.reference import read_reference
from trimtab.schema import ANSWERS, HOLDOUT, PREDICTION, REFERENCE, VALIDATION


def test_the_answers_are_the_twins_where_there_is_one_and_else_the_versions_own(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "1").folder
    before = read_reference(folder)
    table = pq.read_table(folder / REFERENCE)
    held = table.column(HOLDOUT).to_numpy()
    own = table.column(PREDICTION).to_numpy()
    np.testing.assert_array_equal(before.answers, own[held])
    validation = pa.array(np.where(held, own + 1, np.nan), pa.float64(), from_pandas=True)
    pq.write_table(table.append_column(VALIDATION, validation), folder / REFERENCE)
    after = read_reference(folder)
    np.testing.assert_array_equal(after.answers, own[held] + 1)
    np.testing.assert_array_equal(after.table[PREDICTION], before.table[PREDICTION])


def test_more_of_the_holdouts_answers_than_the_sample_has_are_read_where_a_version_brings_them(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "1").folder
    pq.write_table(pa.table({"y": [1.0, 2.0, 3.0], VALIDATION: [1.5, 2.5, 3.5]}), folder / ANSWERS)
    found = read_reference(folder)
    assert (found.truth.tolist(), found.answers.tolist()) == ([1.0, 2.0, 3.0], [1.5, 2.5, 3.5])
