"""What worse inputs do to a model that rests on one of them."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline

from tests.unit.training.evaluation.models import BINARY, SPEC, line, rows, trees
from trimtab.spec import ModelSpec
from trimtab.training.evaluation.robustness import robustness


@pytest.mark.parametrize("spec", [SPEC, BINARY], ids=["regression", "binary"])
def test_the_loss_grows_by_what_the_model_rests_on(tmp_path: Path, spec: ModelSpec) -> None:
    table = rows(task=spec.task)
    folder, schema = trees(tmp_path / "model", table, spec)
    table = table.slice(1200)
    found = robustness(folder, schema, table, table.column("y").to_numpy(), 1)
    assert found.shuffled["a"] > 1.5 * found.shuffled["colour"] > 1.1
    assert found.shuffled["idle"] == pytest.approx(1, abs=0.06)
    assert found.missing is not None
    assert found.missing > 1.1
    assert 1.0 < found.noise < found.shuffled["a"]
    assert found == robustness(folder, schema, table, table.column("y").to_numpy(), 1), "seeded"


def test_noise_is_a_tenth_of_a_standard_deviation(tmp_path: Path) -> None:
    table = rows(6000)
    folder, schema, fitted = line(tmp_path / "model", table, SPEC)
    found = robustness(folder, schema, table, table.column("y").to_numpy(), 1)
    slope = np.ravel(fitted[-1].coef_)[3]
    assert found.rows == 5000
    assert found.noise == pytest.approx(np.hypot(0.5, 0.1 * slope) / 0.5, rel=0.05)


def test_a_model_that_raises_on_nulls_is_told_as_such(tmp_path: Path) -> None:
    import msgspec
    import skops.io

    from trimtab.schema import SCHEMA
    from trimtab.training.fit import derive
    from trimtab.training.model import raw_frame

    table = rows()
    schema = msgspec.structs.replace(derive(table, SPEC), format="skops")
    columns = ColumnTransformer([("number", "passthrough", ["a", "idle"])])
    fitted = make_pipeline(columns, LinearRegression()).fit(raw_frame(schema, table), table.column("y").to_numpy())
    skops.io.dump(fitted, tmp_path / "model.skops")
    (tmp_path / SCHEMA).write_bytes(msgspec.json.encode(schema))
    assert robustness(tmp_path, schema, table, table.column("y").to_numpy(), 1).missing is None
