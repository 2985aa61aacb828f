"""TreeSHAP by the predictor: what it adds up to, on which scale, and the route with its limits on a real process."""

import json
import threading

import msgspec
import numpy as np
import pandas as pd
import pytest
import xgboost as xgb

from serving.explaining import MOST_WAITING, TooLarge
from serving.predictor.explain import MOST_ROWS, TreeShap
from serving.predictor.scorer import ModelFailed, load
from tests.unit.serving.test_predictor import Running, start, tensors
from tests.unit.serving.test_scorer import skops_model
from tests.unit.serving.tiny import ROW, SCHEMA, answers, call, finish, matrix, records, table, tiny_model, until
from trimtab.errors import InvalidInput

V1 = "/v1/models/bike:explain"
V2 = "/v2/models/bike/explain"
ODD = [{**ROW, "season": "monsoon"}, {**ROW, "temp": None}, {"hour": None, "temp": None, "season": None}]
KNOTS = ((0.0, 0.1), (0.5, 0.3), (1.0, 0.9))


def version(folder, task, parameters, calibration=(), rounds=20, rows=300):
    """Trees of any objective on the tiny table; returns their digest and the booster."""
    frame = table(rows)
    classes = {"regression": (), "binary": ("low", "high"), "multiclass": ("a", "b", "c")}[task]
    label = frame.demand if task == "regression" else pd.qcut(frame.demand, len(classes), labels=False)
    data = matrix(records(frame))
    data.set_label(label)
    given = {"num_class": len(classes)} if task == "multiclass" else {}
    booster = xgb.train({"nthread": 1, "max_depth": 4, **parameters, **given}, data, rounds)
    folder.mkdir()
    booster.save_model(folder / "model.json")
    schema = msgspec.structs.replace(SCHEMA, task=task, classes=classes, calibration=calibration)
    digest = finish(folder, schema, frame)
    return digest, booster


def explaining(folder, digest):
    return TreeShap("bike", "3", load(folder, digest), folder, digest)


FORMS = [
    ("boosted regression", "regression", {"objective": "reg:squarederror"}, (), "unit of the label 'demand'"),
    ("another regression", "regression", {"objective": "count:poisson"}, (), "margin of XGBoost's count:poisson"),
    ("boosted binary", "binary", {"objective": "binary:logistic"}, (), "log odds of 'high'"),
    ("calibrated", "binary", {"objective": "binary:logistic"}, KNOTS, "log odds of 'high'"),
    ("a forest's share", "binary", {"objective": "reg:squarederror", "num_parallel_tree": 3, "eta": 1}, (), "probability of 'high'"),
    ("three classes", "multiclass", {"objective": "multi:softprob"}, (), "log odds of each class, up to a constant that all share"),
]


@pytest.mark.parametrize(("task", "parameters", "knots", "scale"), [case[1:] for case in FORMS], ids=[case[0] for case in FORMS])
def test_base_value_and_contributions_add_up_to_what_the_trees_say(tmp_path, task, parameters, knots, scale):
    digest, booster = version(tmp_path / "v", task, parameters, knots)
    rows = [*records(table(100, seed=3)), *ODD]
    found = explaining(tmp_path / "v", digest).explain(rows)
    margins = booster.predict(matrix(rows), output_margin=True)
    for row, margin, prediction in zip(found.explanations, margins, found.predictions, strict=True):
        assert list(row["contributions"]) == SCHEMA.names
        sums = np.asarray(row["base_value"]) + sum(np.asarray(value) for value in row["contributions"].values())
        np.testing.assert_allclose(sums, margin, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(row["margin"], margin, rtol=1e-5, atol=1e-5)
        assert (row["prediction"], row["scale"]) == (prediction, scale)
        assert (row["method"], row["model_name"], row["model_version"]) == ("tree_shap", "bike", "3")
        assert ("note" in row) == bool(knots)
        assert row.get("classes") == (("a", "b", "c") if task == "multiclass" else None)
    assert found.predictions == load(tmp_path / "v", digest).predict(rows)


def test_the_feature_that_the_label_follows_moves_the_prediction_both_ways(tmp_path):
    found = explaining(tmp_path / "v", tiny_model(tmp_path / "v")).explain([{**ROW, "hour": 23}, {**ROW, "hour": 0}]).explanations
    assert found[0]["contributions"]["hour"] > 20 > -20 > found[1]["contributions"]["hour"]


def test_what_is_no_tree_says_what_to_use(tmp_path):
    _, digest = skops_model(tmp_path / "v", "binary")
    with pytest.raises(InvalidInput, match="ask an explainer of method kernel_shap or anchor"):
        explaining(tmp_path / "v", digest).explain([ROW])


def test_files_that_changed_since_the_version_was_loaded_explain_nothing(tmp_path):
    digest = tiny_model(tmp_path / "v")
    explainer = explaining(tmp_path / "v", digest)
    with (tmp_path / "v" / "model.json").open("ab") as stream:
        stream.write(b" ")
    with pytest.raises(ModelFailed, match="no longer what they were when it was loaded"):
        explainer.explain([ROW])


def test_rows_that_take_too_long_are_a_sentence(tmp_path):
    digest = tiny_model(tmp_path / "v")
    explainer = TreeShap("bike", "3", load(tmp_path / "v", digest), tmp_path / "v", digest, seconds=0)
    assert len(explainer.explain([ROW] * 16).explanations) == 16
    with pytest.raises(TooLarge, match="16 of 40 rows were explained within 0 s"):
        explainer.explain([ROW] * 40)


# --- the route


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    running = Running(tmp_path_factory.mktemp("explained"))
    yield running
    running.close()


def test_both_protocols_give_the_same_explanations_of_the_same_predictions(running):
    rows = [*records(table(20)), *ODD]
    predictions = call(running.port, "POST", "/v1/models/bike:predict", {"instances": rows})[2]["predictions"]
    status, headers, v1 = call(running.port, "POST", V1, {"instances": [{**row, "beside": 1} for row in rows]})
    assert (status, headers["x-trimtab-version"], v1["predictions"]) == (200, "3", predictions)
    assert [row["prediction"] for row in v1["explanations"]] == predictions
    for row in v1["explanations"]:
        assert row["base_value"] + sum(row["contributions"].values()) == pytest.approx(row["prediction"], abs=1e-4)
    status, _, v2 = call(running.port, "POST", V2, {"id": "abc", "inputs": tensors(rows), "outputs": [{"name": "explanation"}]})
    assert (status, v2["id"], v2["model_name"], v2["model_version"]) == (200, "abc", "bike", "3")
    (output,) = v2["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("explanation", "BYTES", [len(rows), 1])
    assert [json.loads(text) for text in output["data"]] == v1["explanations"]


BAD = [
    ("malformed JSON", V1, b'{"instances": [', 400, "not JSON"),
    ("no body", V1, b"", 400, "not JSON"),
    ("no row", V1, {"instances": []}, 400, '"instances" has no row'),
    ("a missing feature", V1, {"instances": [{"hour": 1}]}, 400, "the feature 'temp' is missing"),
    ("a text for a number", V1, {"instances": [{**ROW, "temp": "warm"}]}, 400, "row 0, feature 'temp': found 'warm'"),
    ("a list for a category", V1, {"instances": [{**ROW, "season": []}]}, 400, "row 0, feature 'season': found list"),
    ("a number beyond single precision", V1, {"instances": [ROW, {**ROW, "temp": 1e39}]}, 400, "row 1, feature 'temp': found 1e+39"),
    ("too many rows", V1, {"instances": [ROW] * (MOST_ROWS + 1)}, 413, f"at most {MOST_ROWS} are explained at once"),
    ("more than 8 MiB", V1, b" " * ((8 << 20) + 1), 413, "larger than 8 MiB"),
    ("malformed V2", V2, {"inputs": [{"name": "hour"}]}, 400, "missing required field `shape`"),
    ("another output", V2, {"inputs": tensors([ROW]), "outputs": [{"name": "predict"}]}, 400, "the only output is 'explanation'"),
]


@pytest.mark.parametrize(("path", "body", "status", "sentence"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_a_bad_request_is_a_sentence(running, path, body, status, sentence):
    found, headers, answer = call(running.port, "POST", path, body)
    assert (found, headers["x-trimtab-version"]) == (status, "3")
    assert sentence in answer["error"]


def test_another_model_is_not_explained(running):
    assert call(running.port, "POST", "/v1/models/boat:explain", {"instances": [ROW]}, {"Content-Type": "application/json"})[0] == 404


def test_explanations_are_counted_apart_and_not_captured(running):
    def ask():
        assert call(running.port, "POST", V1, {"instances": [ROW]})[0] == 200
        assert call(running.port, "POST", V1, {"instances": []})[0] == 400
        return running.metrics()

    assert call(running.port, "POST", "/v1/models/bike:predict", {"instances": [ROW]})[0] == 200
    before, after = ask(), ask()  # asked once before, for a code that was never answered is not told
    for code in ("200", "400"):
        name = f'trimtab_explanations_total{{code="{code}",version="3"}}'
        assert after[name] == before[name] + 1
    assert after['trimtab_explanation_seconds_count{version="3"}'] == before['trimtab_explanation_seconds_count{version="3"}'] + 2
    for name in ('trimtab_requests_total{code="200",version="3"}', "trimtab_capture_captured_total"):
        assert after[name] == before[name]


def test_under_more_explanations_than_may_wait_some_are_refused_and_predictions_go_on(tmp_path):
    digest, _ = version(tmp_path / "v", "regression", {"objective": "reg:squarederror", "max_depth": 9}, rounds=600, rows=2000)
    process, port = start(tmp_path / "v", digest, tmp_path / "log")
    try:
        until(lambda: answers(port, "/v2/models/bike/ready"), 60)
        body = {"instances": records(table(32))}
        found = []
        threads = [threading.Thread(target=lambda: found.append(call(port, "POST", V1, body, timeout=60))) for _ in range(MOST_WAITING + 4)]
        for thread in threads:
            thread.start()
        during = 0
        while any(thread.is_alive() for thread in threads):
            assert call(port, "POST", "/v1/models/bike:predict", {"instances": [ROW]})[0] == 200
            during += 1
        statuses = [answer[0] for answer in found]
        assert set(statuses) == {200, 429}
        assert statuses.count(200) > MOST_WAITING
        refused = next(answer for answer in found if answer[0] == 429)
        assert refused[1]["retry-after"] == "1"
        assert "ask again later" in refused[2]["error"]
        assert during > 10
    finally:
        process.terminate()
        process.wait(10)
