"""What a real API server makes of documents: what it takes, what it refuses, with which words, and that a laptop says the same."""

import json
from collections.abc import Iterator
from typing import Any, get_args

import msgspec
import pytest
import yaml

from tests.cluster.crd_kit import ACTION, DESIGN, MINIMAL, RELEASE, ROLLOUT, ROOT, Cluster, changed, installed
from tests.cluster.tools import needs_cluster
from trimtab.actions import ReleaseAction, Word
from trimtab.documents import parse_model
from trimtab.errors import InvalidInput
from trimtab.people_rules import ACTION_RULES
from trimtab.platforms.kubernetes.crds import KINDS, UNSEEN
from trimtab.rules import RULES, impossible
from trimtab.template import OWNED

pytestmark = needs_cluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with installed() as own:
        yield own


def bike_demand() -> dict[str, Any]:
    made = yaml.safe_load((ROOT / "examples" / "bike-demand" / "model.yaml").read_text())
    return changed(made, "spec.data.uri", "http://rows.example.com/bike.csv")


def gates(*made: dict[str, Any]) -> dict[str, Any]:
    return changed(MINIMAL, "spec.gates", list(made))


TEMPLATE = {
    "nodeSelector": {"disk": "fast"},
    "tolerations": [{"key": "gpu", "operator": "Exists"}],
    "volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": "1Gi"}}],
    "labels": {"team": "risk"},
    "maxReplicas": 2,
    "timeout": 30,
    "model": {"env": [{"name": "THREADS", "value": "2"}], "resources": {"limits": {"cpu": "2"}}},
}

TAKEN = {
    "the example": bike_demand(),
    "the design's document without what is coming": yaml.safe_load(DESIGN),
    "nothing but what has no default": MINIMAL,
    "an absolute path, such as a volume's": changed(MINIMAL, "spec.data.uri", "/data/rows/*.parquet"),
    "as many hits as windows": changed(MINIMAL, "spec.monitoring.drift.persistence", "3 of 3"),
    "more than nine hits of more than nine windows": changed(MINIMAL, "spec.monitoring.drift.persistence", "9 of 10"),
    "a direct rollout needs no steps": changed(MINIMAL, "spec.rollout", {"strategy": "direct", "steps": []}),
    "nor does a shadow": changed(MINIMAL, "spec.rollout", {"strategy": "shadow", "steps": []}),
    "the longest list of steps": changed(MINIMAL, "spec.rollout.steps", list(range(1, 100))),
    "a bake of no time": changed(MINIMAL, "spec.rollout.bake.duration", "0s"),
    "a gate of every kind": changed(
        gates(
            {"metric": "rmse", "slice": "season", "notWorseThan": "champion", "margin": "x1.1"},
            {"metric": "r2", "min": -0.5},
            {"metric": "residual_difference", "slice": "season", "max": 0.2},
            {"metric": "attribution_share", "feature": "temp", "max": 0.6},
            {"metric": "spurious_share", "max": 1},
        ),
        "spec.training",
        {"slices": ["season"], "sensitive": ["season"]},
    ),
    "as many gates as there may be": changed(MINIMAL, "spec.gates", [{"metric": "shuffled_loss", "feature": "f" * 256, "max": 3}] * 64),
    "a sample without two columns": changed(MINIMAL, "spec.serving.capture", {"sample": 0.01, "redact": ["name", "iban"]}),
    "no adoption, said": changed(MINIMAL, "spec.serving.adopt", False),
    "adoption": changed(MINIMAL, "spec.serving.adopt", True),
    "an approval by another person, within a day": changed(
        changed(MINIMAL, "spec.approval", "manual"), "spec.approvalPolicy", {"expiry": "24h", "separationOfDuties": True}
    ),
    "an expiry of approvals that nobody is asked for": changed(
        MINIMAL, "spec.approvalPolicy", {"expiry": "24h", "separationOfDuties": False}
    ),
    "an empty template": changed(MINIMAL, "spec.serving.template", {}),
    "a template of what a predictor may have": changed(MINIMAL, "spec.serving", {"replicas": 2, "template": TEMPLATE}),
    "a bound above without replicas": changed(MINIMAL, "spec.serving.template.maxReplicas", 1),
    "gates by slice, by feature, of fairness and of robustness": changed(
        changed(changed(MINIMAL, "spec.task", "binary"), "spec.training", {"slices": ["region"], "sensitive": ["age"]}),
        "spec.gates",
        [
            {"metric": "roc_auc", "slice": "region", "min": 0.7},
            {"metric": "attribution_share", "feature": "plan", "max": 0.6},
            {"metric": "disparate_impact", "slice": "age", "min": 0.8},
            {"metric": "noise_loss", "max": 1.5},
        ],
    ),
    "as many expectations as there may be": changed(
        MINIMAL, "spec.data.expect", [{"column": f"{number:0256}", "min": 0, "max": number, "nulls": 0.5} for number in range(500)]
    ),
    "a column with the most categories": changed(
        MINIMAL, "spec.data.expect", [{"column": "colour", "type": "category", "values": [f"{number:0128}" for number in range(1000)]}]
    ),
    "a column that is not known in time": changed(MINIMAL, "spec.data.expect", [{"column": "refund", "available": False}]),
    "an A/B of which labels come in time": changed(
        changed(MINIMAL, "spec.data", {**MINIMAL["spec"]["data"], "key": "id", "labelDelay": "1d"}),
        "spec.rollout",
        {"strategy": "ab", "maxDuration": "1w", "ab": {"effect": "x0.9", "goal": "smaller", "share": 20}},
    ),
    "the longest name": changed(MINIMAL, "metadata.name", "b" * 40),
}


@pytest.mark.parametrize("body", TAKEN.values(), ids=TAKEN.keys())
def test_a_document_that_both_take(cluster: Cluster, body: dict[str, Any]) -> None:
    said = cluster.tried(body)
    assert said.code == 0, said.err
    assert parse_model(json.dumps(body)).name == body["metadata"]["name"]


def of_task(task: str, *made: dict[str, Any]) -> dict[str, Any]:
    return changed(gates(*made), "spec.task", task)


def split(**made: Any) -> dict[str, Any]:
    """An A/B that is possible, but for what is `made` of its rollout."""
    keyed = changed(changed(MINIMAL, "spec.data.key", "id"), "spec.data.labelDelay", "24h")
    return changed(keyed, "spec.rollout", {"strategy": "ab", "maxDuration": "86400001ms", **made})


SOME: dict[type[Any], Any] = {str: "a", int: 1, dict: {"name": "a"}, list: [{"name": "a"}]}
TEMPLATED = [(owned, f"spec.serving.template.{owned.path}") for owned in OWNED]


def expect(**made: Any) -> dict[str, Any]:
    return changed(MINIMAL, "spec.data.expect", [{"column": "size"}, {"column": "colour", **made}])


def retraining(**fields: Any) -> dict[str, Any]:
    """The least document with this `spec.retraining`."""
    return changed(MINIMAL, "spec.retraining", fields)


BROKEN: list[tuple[str, str, dict[str, Any]]] = [
    ("label-excluded", "spec.data.exclude", changed(MINIMAL, "spec.data.exclude", ["casual", "demand"])),
    ("label-shared", "spec.data.label", changed(MINIMAL, "spec.data.time", "demand")),
    ("label-shared", "spec.data.label", changed(MINIMAL, "spec.data.key", "demand")),
    ("history-zero", "spec.data.history", changed(MINIMAL, "spec.data.history", "00d")),
    ("expect-meaning", "spec.data.expect", changed(MINIMAL, "spec.data.expect", [{"column": "demand", "available": False}])),
    (
        "expect-meaning",
        "spec.data.expect",
        changed(changed(MINIMAL, "spec.data.key", "id"), "spec.data.expect", [{"column": "id", "available": False}]),
    ),
    ("expect-range", "spec.data.expect[1].min", expect(min=3, max=2.5)),
    ("expect-numbers", "spec.data.expect[1]", expect(min=3, values=["red"])),
    ("expect-numbers", "spec.data.expect[1]", expect(max=3, type="category")),
    ("expect-values", "spec.data.expect[1].values", expect(type="number", values=["1", "2"])),
    ("gate-bound", "spec.gates[0]", gates({"metric": "rmse"})),
    ("gate-bound", "spec.gates[1]", gates({"metric": "mae", "max": 3}, {"metric": "rmse", "max": 3, "notWorseThan": "champion"})),
    ("gate-margin", "spec.gates[0].margin", gates({"metric": "rmse", "max": 3, "margin": "+1"})),
    ("gate-metric-regression", "spec.gates", gates({"metric": "roc_auc", "min": 0.5})),
    ("gate-metric-binary", "spec.gates", of_task("binary", {"metric": "rmse", "max": 3})),
    ("gate-metric-multiclass", "spec.gates", of_task("multiclass", {"metric": "roc_auc", "min": 0.5})),
    ("gate-attribute", "spec.gates", of_task("binary", {"metric": "equal_opportunity", "max": 0.1})),
    ("gate-feature", "spec.gates[0].feature", gates({"metric": "rmse", "max": 3, "feature": "temp"})),
    ("gate-slice", "spec.gates[0].slice", gates({"metric": "attribution_share", "max": 0.6, "slice": "season"})),
    ("gate-compared", "spec.gates[0].metric", gates({"metric": "noise_loss", "notWorseThan": "champion"})),
    ("gate-share", "spec.gates[0]", gates({"metric": "attribution_share", "max": 60, "feature": "temp"})),
    ("gate-relative", "spec.gates[0].margin", gates({"metric": "r2", "notWorseThan": "champion", "margin": "x0.9"})),
    (
        "redact-needed",
        "spec.serving.capture.redact",
        changed(changed(MINIMAL, "spec.data.key", "id"), "spec.serving.capture.redact", ["id"]),
    ),
    (
        "explainer-time",
        "spec.serving.explainer.budget.time",
        changed(MINIMAL, "spec.serving.explainer", {"method": "anchor", "budget": {"time": "6m"}}),
    ),
    *((f"template-{owned.path}", place, changed(MINIMAL, place, SOME[owned.kind])) for owned, place in TEMPLATED),
    ("template-most", "spec.serving.template.maxReplicas", changed(MINIMAL, "spec.serving.template.maxReplicas", 0)),
    (
        "template-most",
        "spec.serving.template.maxReplicas",
        changed(MINIMAL, "spec.serving", {"replicas": 3, "template": {**TEMPLATE, "maxReplicas": 2}}),
    ),
    ("approval-time", "spec.approvalPolicy.expiry", changed(MINIMAL, "spec.approvalPolicy", {"expiry": "0h"})),
    ("approval-duties", "spec.approvalPolicy.separationOfDuties", changed(MINIMAL, "spec.approvalPolicy", {"separationOfDuties": True})),
    (
        "approval-duties",
        "spec.approvalPolicy.separationOfDuties",
        changed(changed(MINIMAL, "spec.approval", "automatic"), "spec.approvalPolicy", {"separationOfDuties": True}),
    ),
    ("ab-key", "spec.data.key", changed(changed(MINIMAL, "spec.data.labelDelay", "1h"), "spec.rollout.strategy", "ab")),
    ("ab-delay", "spec.data.labelDelay", changed(changed(MINIMAL, "spec.data.key", "id"), "spec.rollout.strategy", "ab")),
    ("ab-delay", "spec.data.labelDelay", changed(split(), "spec.data.labelDelay", "00s")),
    ("ab-task", "spec.task", changed(split(), "spec.task", "multiclass")),
    ("ab-mature", "spec.rollout.maxDuration", split(maxDuration="1d")),
    ("ab-mature", "spec.rollout.maxDuration", split(maxDuration="1440m")),
    ("ab-effect", "spec.rollout.ab.effect", split(ab={"effect": "-0.00"})),
    ("ab-effect", "spec.rollout.ab.effect", split(ab={"effect": "x0.9"})),
    ("ab-effect", "spec.rollout.ab.effect", split(ab={"effect": "x1.1", "goal": "smaller"})),
    ("steps-grow", "spec.rollout.steps", changed(MINIMAL, "spec.rollout.steps", [50, 20])),
    ("steps-grow", "spec.rollout.steps", changed(MINIMAL, "spec.rollout.steps", [20, 20, 50])),
    ("steps-needed", "spec.rollout.steps", changed(MINIMAL, "spec.rollout.steps", [])),
    ("rollout-time", "spec.rollout.maxDuration", changed(MINIMAL, "spec.rollout.maxDuration", "0h")),
    ("window-time", "spec.monitoring.window.every", changed(MINIMAL, "spec.monitoring.window.every", "0ms")),
    ("window-least", "spec.monitoring.window.least", changed(MINIMAL, "spec.monitoring.window.least", 6000)),
    ("season-zero", "spec.monitoring.reference.season", changed(MINIMAL, "spec.monitoring.reference.season", "0d")),
    ("persistence-hits", "spec.monitoring.drift.persistence", changed(MINIMAL, "spec.monitoring.drift.persistence", "10 of 9")),
    ("schedule-named", "spec.retraining.on", retraining(schedule={"cron": "0 3 * * 1"})),
    ("schedule-named", "spec.retraining.on", retraining(on=["concept"], schedule={"cron": "0 3 * * 1"})),
    ("schedule-missing", "spec.retraining.on", retraining(on=["schedule"])),
    ("schedule-cron", "spec.retraining.schedule.cron", retraining(on=["schedule"], schedule={"cron": "0 3 * * 1 2"})),
    ("newdata-named", "spec.retraining.on", retraining(newData={"by": "digest"})),
    ("newdata-every", "spec.retraining.newData.every", retraining(on=["newData"], newData={"every": "0h"})),
    ("newdata-every", "spec.retraining.newData.every", retraining(on=["newData"], newData={"every": "999ms"})),
    ("newdata-rows", "spec.retraining.newData.rows", retraining(on=["newData"], newData={"by": "digest", "rows": 500})),
]
ZONE = "schedule-zone"
"""A zone that there is not makes its CEL fail, so the API server says it in other words."""


@pytest.mark.parametrize(("name", "path", "body"), BROKEN, ids=[f"{name}-{number}" for number, (name, _, _) in enumerate(BROKEN)])
def test_a_combination_that_both_refuse_with_the_same_words(cluster: Cluster, name: str, path: str, body: dict[str, Any]) -> None:
    message = next(rule.message for rule in RULES if rule.name == name)
    said = cluster.tried(body)
    assert said.code != 0
    assert f"{path}: Invalid value:" in said.words
    assert message in said.words
    with pytest.raises(InvalidInput) as refused:
        parse_model(json.dumps(body))
    assert f"{path}: " in str(refused.value)
    assert message in str(refused.value)


def test_a_time_zone_that_there_is_not_is_refused_by_both(cluster: Cluster) -> None:
    body = retraining(on=["schedule"], schedule={"cron": "0 3 * * 1", "timeZone": "Europe/Atlantis"})
    said = cluster.tried(body)
    assert said.code != 0
    assert "spec.retraining" in said.words
    assert "Europe/Atlantis" in said.words
    with pytest.raises(InvalidInput, match="there is no such time zone"):
        parse_model(json.dumps(body))


def test_every_rule_has_a_document_that_breaks_it() -> None:
    assert {rule.name for rule in RULES if rule.cel} - {ZONE} == {name for name, _, _ in BROKEN}
    assert {rule.name for rule in RULES if not rule.cel} == {"expect-once"}, "it has a test of its own below"
    elsewhere = {rule.name for kind in KINDS for rule in kind.rules} - {rule.name for rule in RULES}
    assert elsewhere == {
        "name",
        "uri-whole",
        "newdata-uri-whole",
        "explainer-name",
        "champion-grows",
        "release-fixed",
        "ended-stays",
        "action-target",
        "action-word",
        "action-step",
        "action-full",
        "action-one-end",
        "action-fixed",
        "stages-rise",
        "rollout-fixed",
        "entry-name",
        "entry-fixed",
    }, "each of these has a test of its own below"


def spoken(**word: Any) -> dict[str, Any]:
    spec = {**ACTION["spec"], **word}
    return ACTION | {"spec": {name: value for name, value in spec.items() if value != ""}}


@pytest.mark.parametrize(
    "word",
    [
        *({"action": action} for action in get_args(Word) if action not in ("halt", "revert")),
        *({"action": action, "release": "", "pipelineRollout": "churn-stable-1-4-0"} for action in ("halt", "resume", "revert")),
        {"action": "promote", "step": 1},
        {"action": "promote", "step": 99, "full": False},
        {"action": "promote", "full": True},
        {"action": "pause", "full": False},
    ],
    ids=str,
)
def test_a_word_that_both_take(cluster: Cluster, word: dict[str, Any]) -> None:
    tried = cluster.tried(spoken(**word))
    assert tried.code == 0, tried.err
    assert impossible(msgspec.convert(spoken(**word), ReleaseAction)) == []


@pytest.mark.parametrize(
    ("name", "path", "word"),
    [
        ("action-word", "spec.action", {"action": "halt"}),
        ("action-word", "spec.action", {"action": "approve", "release": "", "pipelineRollout": "churn-stable-1-4-0"}),
        ("action-step", "spec.step", {"action": "pause", "step": 2}),
        ("action-full", "spec.full", {"action": "approve", "full": True}),
        ("action-one-end", "spec.step", {"action": "promote", "step": 2, "full": True}),
    ],
    ids=["a halt of a Release", "an approval of a roll-out", "a step to pause at", "a full approval", "two ends"],
)
def test_a_word_that_both_refuse_with_the_same_words(cluster: Cluster, name: str, path: str, word: dict[str, Any]) -> None:
    message = next(rule.message for rule in ACTION_RULES if rule.name == name)
    tried = cluster.tried(spoken(**word))
    assert tried.code != 0
    assert f"{path}: Invalid value:" in tried.words
    assert message in tried.words
    (sentence,) = impossible(msgspec.convert(spoken(**word), ReleaseAction))
    assert sentence.startswith(f"{path}: found ")
    assert message in sentence


@pytest.mark.parametrize("word", [{"release": ""}, {"action": "resume", "pipelineRollout": "churn-stable-1-4-0"}], ids=["none", "both"])
def test_a_word_is_said_to_one_thing(cluster: Cluster, word: dict[str, Any]) -> None:
    tried = cluster.tried(spoken(**word))
    assert tried.code != 0
    assert "a word is said to one thing; allowed is one of release and pipelineRollout" in tried.words
    assert "a word is said to one thing" in impossible(msgspec.convert(spoken(**word), ReleaseAction))[0]


@pytest.mark.parametrize(("stages", "taken"), [([1], True), ([0, 0.1, 1], True), ([0.5, 0.1, 1], False), ([0, 0.5], False)])
def test_stages_rise_to_all(cluster: Cluster, stages: list[float], taken: bool) -> None:
    tried = cluster.tried(changed(ROLLOUT, "spec.stages", stages))
    assert (tried.code == 0) is taken
    assert taken or "stages rise, and the last reaches all Models" in tried.words


@pytest.mark.parametrize(("word", "message"), [({"step": 0}, "greater than or equal to 1"), ({"action": "skip"}, "supported values")])
def test_a_word_that_nobody_knows(cluster: Cluster, word: dict[str, Any], message: str) -> None:
    tried = cluster.tried(spoken(**{"action": "promote", **word}))
    assert tried.code != 0
    assert message in tried.words
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(spoken(**{"action": "promote", **word}), ReleaseAction)


def test_a_column_that_is_expected_twice_is_refused_by_both(cluster: Cluster) -> None:
    body = expect(column="size")
    said = cluster.tried(body)
    assert said.code != 0
    assert "spec.data.expect[1]: Duplicate value:" in said.words
    with pytest.raises(InvalidInput, match=r"spec\.data\.expect: found .*a column is named more than once; allowed is one entry a column"):
        parse_model(json.dumps(body))


MALFORMED = {
    "a field that is unknown": (changed(MINIMAL, "spec.data.foo", 1), 'unknown field "spec.data.foo"'),
    "a task of which nobody heard": (changed(MINIMAL, "spec.task", "ranking"), 'supported values: "regression", "binary", "multiclass"'),
    "a duration in words": (changed(MINIMAL, "spec.data.history", "180 days"), "spec.data.history in body should match"),
    "a duration that leaves the calendar": (changed(MINIMAL, "spec.data.history", "99999w"), "spec.data.history in body should match"),
    "a bare percent as a margin": (changed(MINIMAL, "spec.monitoring.performance.margin", "5%"), "margin in body should match"),
    "hits in words": (changed(MINIMAL, "spec.monitoring.drift.persistence", "two of five"), "persistence in body should match"),
    "a weight of everything": (changed(MINIMAL, "spec.rollout.steps", [100]), "should be less than or equal to 99"),
    "a tolerance of everything": (changed(MINIMAL, "spec.rollout.harmTolerance", 1), "should be less than 1"),
    "an effect of nothing": (changed(MINIMAL, "spec.monitoring.drift.effect", 0), "should be greater than 0"),
    "a share of nulls beyond all": (expect(nulls=1.5), "should be less than or equal to 1"),
    "an expected type of which nobody heard": (expect(type="text"), 'supported values: "number", "category"'),
    "a column without a name": (changed(MINIMAL, "spec.data.time", ""), "should be at least 1 chars long"),
    "a text where a number belongs": (changed(MINIMAL, "spec.serving.replicas", "two"), "must be of type integer"),
    "no label": (changed(MINIMAL, "spec.data", {"uri": "s3://a/b.csv"}), "spec.data.label: Required value"),
}


@pytest.mark.parametrize(("body", "message"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_field_that_both_refuse(cluster: Cluster, body: dict[str, Any], message: str) -> None:
    said = cluster.tried(body)
    assert said.code != 0
    assert message in said.words
    with pytest.raises(InvalidInput):
        parse_model(json.dumps(body))


def test_an_explainer_needs_a_name_that_its_own_fits_beside(cluster: Cluster) -> None:
    asking = changed(MINIMAL, "spec.serving.explainer", {"method": "anchor"})
    assert cluster.tried(changed(asking, "metadata.name", "b" * 38)).code == 0
    assert cluster.tried(changed(MINIMAL, "metadata.name", "b" * 39)).code == 0
    said = cluster.tried(changed(asking, "metadata.name", "b" * 39))
    assert said.code != 0
    assert "spec.serving.explainer: allowed where metadata.name has at most 38 characters" in said.words


def test_a_relative_path_has_no_folder_on_a_cluster(cluster: Cluster) -> None:
    said = cluster.tried(changed(MINIMAL, "spec.data.uri", "../../build/bike.csv"))
    assert "spec.data.uri: Invalid value:" in said.words
    assert "there is no folder that a relative path starts in" in said.words


def test_a_watched_place_that_only_a_laptop_has_is_refused(cluster: Cluster) -> None:
    said = cluster.tried(retraining(on=["newData"], newData={"uri": "../bike.csv"}))
    assert "spec.retraining.newData.uri: Invalid value:" in said.words


@pytest.mark.parametrize("body", [MINIMAL, RELEASE, ACTION, ROLLOUT], ids=lambda body: body["kind"])
@pytest.mark.parametrize("name", ["b" * 41, "1bikes", "bikes.eu"])
def test_a_name_that_the_parts_of_trimtab_could_not_carry(cluster: Cluster, body: dict[str, Any], name: str) -> None:
    said = cluster.tried(changed(body, "metadata.name", name))
    assert said.code != 0
    assert "metadata.name: allowed is a name of at most 40 small letters" in said.words


@pytest.mark.parametrize("body", [MINIMAL, RELEASE], ids=lambda body: body["kind"])
def test_an_object_that_nobody_looked_at_yet_says_so(cluster: Cluster, body: dict[str, Any]) -> None:
    made = cluster.made(body)
    stored = json.loads(cluster.do("get", made["kind"], made["metadata"]["name"], "-o", "json"))
    assert stored["status"] == UNSEEN
    assert stored["spec"] == made["spec"] == body["spec"], "nothing is put into what was written"
