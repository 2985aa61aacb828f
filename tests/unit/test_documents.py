"""A document is a Model, or one sentence with the field's path, what was found and what is allowed."""

import pytest

from trimtab.documents import parse_model, read_model
from trimtab.errors import InvalidInput

DOCUMENT = """
apiVersion: trimtab.dev/v1alpha1
kind: Model
metadata: {{name: {name}}}
spec:
  task: regression
  data: {{uri: bike.csv, label: demand{data}}}
{spec}
"""


def text(name: str = "bikes", data: str = "", spec: str = "") -> str:
    return DOCUMENT.format(name=name, data=data, spec=spec)


BAD = {
    "a field that is unknown names its neighbours": (
        text(data=", foo: 1"),
        "spec.data.foo: unknown field; allowed here are uri, label, time",
    ),
    "a duration in words": (text(data=", history: 180 days"), "spec.data.history: found '180 days', allowed is a duration such as"),
    "a column that is a number": (text(data=", exclude: [1]"), "spec.data.exclude[0]: found 1, allowed is a column's name"),
    "a name with capitals": (text(name="Bikes"), "metadata.name: found 'Bikes', allowed is a name of at most 40"),
    "a name that is too long": (text(name="b" * 41), "metadata.name: found"),
    "a bare percent as a margin": (text(spec="  rollout: {guard: {errors: {margin: 5%}}}"), "spec.rollout.guard.errors.margin: found '5%'"),
    "a threshold that is no bucket": (
        text(spec="  rollout: {guard: {slow: {threshold: 42ms}}}"),
        "found '42ms', allowed is '50ms', '100ms'",
    ),
    "a strategy of which nobody heard": (
        text(spec="  rollout: {strategy: fast}"),
        "spec.rollout.strategy: found 'fast', allowed is 'canary'",
    ),
    "weights that fall": (text(spec="  rollout: {steps: [50, 20]}"), "spec.rollout.steps: found [50,20], allowed are growing weights"),
    "a weight of nothing": (text(spec="  rollout: {steps: [0]}"), "spec.rollout.steps[0]: found 0, allowed is a share of the traffic"),
    "more hits than windows": (
        text(spec="  monitoring: {drift: {persistence: 3 of 2}}"),
        'persistence: found "3 of 2", more hits than windows',
    ),
    "the label among the excluded columns": (
        text(data=", exclude: [demand]"),
        'spec.data.exclude: found ["demand"], allowed are columns other than',
    ),
    "the label as the time": (text(data=", time: demand"), 'spec.data.label: found "demand", allowed is a column of its own'),
    "an expected type of which nobody heard": (
        text(data=", expect: [{column: size, type: text}]"),
        "spec.data.expect[0].type: found 'text', allowed is 'number', 'category'",
    ),
    "a share of nulls beyond all": (
        text(data=", expect: [{column: size, nulls: 1.5}]"),
        "spec.data.expect[0].nulls: found 1.5, allowed is",
    ),
    "an expectation of nothing": (text(data=", expect: [{min: 1}]"), "spec.data.expect[0].column: is missing and has no default"),
    "a bound in words": (text(data=", expect: [{column: size, min: low}]"), "spec.data.expect[0].min: found 'low', allowed is"),
    "an expected category that is no text": (
        text(data=", expect: [{column: size, values: [1]}]"),
        "spec.data.expect[0].values[0]: found 1",
    ),
    "an unknown field of an expectation names its neighbours": (
        text(data=", expect: [{column: size, unique: true}]"),
        "spec.data.expect[0].unique: unknown field; allowed here are column, type, min, max, values, nulls, available",
    ),
    "an empty range": (
        text(data=", expect: [{column: size, min: 2, max: 1}]"),
        "spec.data.expect[0].min: found 2.0, allowed is at most max",
    ),
    "a column expected twice": (
        text(data=", expect: [{column: a}, {column: a}]"),
        'spec.data.expect: found [{"column":"a"},{"column":"a"}], a column is named more than once',
    ),
    "a gate without a bound": (text(spec="  gates: [{metric: rmse}]"), "spec.gates[0]: exactly one of min, max and notWorseThan"),
    "a margin that goes with nothing": (
        text(spec='  gates: [{metric: rmse, max: 3, margin: "+1"}]'),
        'spec.gates[0].margin: found "+1", a margin only goes with',
    ),
    "a search of no trial": (
        text(spec="  training: {search: {budget: {trials: 0}}}"),
        "trials: found 0, allowed is a whole number of at least 1",
    ),
    "a search without end": (
        text(spec="  training: {search: {budget: {time: soon}}}"),
        "time: found 'soon', allowed is a duration such as",
    ),
    "a search of nothing": (text(spec="  training: {search: {estimators: []}}"), "estimators: found [], allowed is a list of at least 1"),
    "an estimator of which nobody heard": (
        text(spec="  training: {search: {estimators: [catboost]}}"),
        "spec.training.search.estimators[0]: found 'catboost', allowed is 'xgboost', 'random_forest', 'linear'",
    ),
    "more tasks than may be": (
        text(spec="  training: {search: {parallel: 65}}"),
        "parallel: found 65, allowed is a whole number of at most 64",
    ),
    "a holdout at random": (text(spec="  training: {evaluation: random}"), "evaluation: found 'random', allowed is 'holdout', 'rolling'"),
    "a truth in words": (text(spec="  training: {refit: 'yes'}"), "spec.training.refit: found 'yes', allowed is true or false"),
    "one slice that is no list": (text(spec="  training: {slices: region}"), "spec.training.slices: found 'region', allowed is a list"),
    "a sensitive column that is a number": (text(spec="  training: {sensitive: [1]}"), "sensitive[0]: found 1, allowed is a column's name"),
    "a bound that is no number": (
        text(spec="  gates: [{metric: rmse, max: .nan}]"),
        "spec.gates[0].max: found nan, allowed is a finite number",
    ),
    "a range without end": (
        text(data=", expect: [{column: a, max: .inf}]"),
        "spec.data.expect[0].max: found inf, allowed is a finite number",
    ),
    "a sample of nothing": (
        text(spec="  serving: {capture: {sample: 0}}"),
        "serving.capture.sample: found 0, allowed is a number of more than 0",
    ),
    "a sample of more than all": (
        text(spec="  serving: {capture: {sample: 1.5}}"),
        "capture.sample: found 1.5, allowed is a number of at most 1",
    ),
    "a key that is not told": (
        text(data=", key: id", spec="  serving: {capture: {redact: [name, id]}}"),
        'spec.serving.capture.redact: found ["name","id"], the monitor joins labels by the key',
    ),
    "a text where a mapping belongs": (
        text(spec="  monitoring: 3"),
        "spec.monitoring: found 3, allowed is a mapping with window, reference, drift",
    ),
    "no label": (text().replace(", label: demand", ""), "spec.data.label: is missing and has no default"),
    "another kind": (text().replace("kind: Model", "kind: Pod"), "kind: found 'Pod', allowed is 'Model'"),
    "not YAML": ("a: [", "not YAML at line"),
    "a list": ("- a", "a Model document is a mapping"),
}


@pytest.mark.parametrize(("document", "sentence"), BAD.values(), ids=BAD.keys())
def test_what_cannot_work_is_said_in_one_sentence(document: str, sentence: str) -> None:
    with pytest.raises(InvalidInput) as error:
        parse_model(document)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_every_field_but_three_has_a_default() -> None:
    model = parse_model(text())
    assert model.spec.rollout.steps == (5, 25, 50)
    assert model.spec.data.label_delay == "0s"


def test_on_is_a_word_and_not_a_truth() -> None:
    assert parse_model(text(spec="  retraining: {on: [newData]}")).spec.retraining.on == ("newData",)


def test_a_relative_path_is_taken_from_the_document_s_folder(tmp_path) -> None:
    (tmp_path / "model.yaml").write_text(text())
    assert read_model(tmp_path / "model.yaml").spec.data.uri == str(tmp_path / "bike.csv")


def test_a_document_that_is_not_there_is_named(tmp_path) -> None:
    with pytest.raises(InvalidInput, match=r"nothing\.yaml' cannot be read: No such file"):
        read_model(tmp_path / "nothing.yaml")
