"""What a sentence about an impossible combination says: where, what was found, and what is allowed."""

import pytest

from trimtab.actions import ActionSpec, ReleaseAction
from trimtab.measures import FAIRNESS, METRICS, measured
from trimtab.rules import RULES, impossible
from trimtab.spec import (
    API_VERSION,
    Ab,
    ApprovalPolicy,
    Data,
    Expectation,
    Explainer,
    ExplainerBudget,
    Gate,
    Metadata,
    Model,
    ModelSpec,
    Rollout,
    Serving,
    Task,
    Training,
)
from trimtab.template import OWNED

E = Expectation
DATA = Data(uri="rows.csv", label="demand")


def model(name: str = "bikes", namespace: str = "default", **spec: object) -> Model:
    return Model(API_VERSION, "Model", Metadata(name, namespace), ModelSpec(**{"task": "regression", "data": DATA} | spec))  # type: ignore[arg-type]


def test_the_defaults_are_possible() -> None:
    assert impossible(model()) == []


def test_a_sentence_names_place_finding_and_what_is_allowed() -> None:
    assert impossible(model(rollout=Rollout(steps=(50, 20)))) == [
        "spec.rollout.steps: found [50,20], allowed are growing weights such as [5, 25, 50]"
    ]


def test_an_item_of_a_list_is_named_by_its_place() -> None:
    assert impossible(model(gates=(Gate("rmse", max=3), Gate("mae")))) == [
        "spec.gates[1]: exactly one of min, max and notWorseThan is needed"
    ]


GATES = [
    (
        "regression",
        Gate("roc_auc", min=0.7),
        "spec.gates: found [{",
        "a metric that is not measured; allowed in a regression task are rmse, mae, ",
    ),
    ("binary", Gate("speed", max=1.0), "spec.gates: found [{", "allowed in a binary task are roc_auc, pr_auc, log_loss, brier, ece, "),
    ("multiclass", Gate("f1", min=0.7), "spec.gates: found [{", "allowed in a multiclass task are log_loss, brier, ece, "),
    ("binary", Gate("disparate_impact", min=0.8), "spec.gates: found [{", "allowed is one in its slice, or in training.sensitive"),
    (
        "binary",
        Gate("roc_auc", feature="a", min=0.8),
        "spec.gates[0].feature: found ",
        "allowed with attribution_share and shuffled_loss alone",
    ),
    (
        "binary",
        Gate("slice_loss", slice="a", max=2),
        "spec.gates[0].slice: found ",
        "allowed with a metric of predictions or of fairness alone",
    ),
    (
        "binary",
        Gate("calibration_slope", not_worse_than="champion"),
        "spec.gates[0].metric: found ",
        "allowed with notWorseThan are rmse, ",
    ),
    ("binary", Gate("roc_auc", min=70), "spec.gates[0]: ", "the metric is a share; allowed as min and max are 0 to 1"),
    ("regression", Gate("r2", not_worse_than="champion", margin="x0.9"), "spec.gates[0].margin: found ", "allowed is an absolute margin "),
]


@pytest.mark.parametrize(("task", "gate", "start", "part"), GATES)
def test_a_gate_that_cannot_be_asked(task: str, gate: Gate, start: str, part: str) -> None:
    (sentence,) = impossible(model(task=task, gates=(gate,)))
    assert sentence.startswith(start)
    assert part in sentence


@pytest.mark.parametrize("task", METRICS)
def test_every_metric_can_be_asked_in_its_task(task: Task) -> None:
    asked = tuple(Gate(metric, slice="sex" if metric in FAIRNESS[task] else None, max=1.0) for metric in measured(task))
    assert impossible(model(task=task, gates=asked)) == []


def test_a_sensitive_attribute_is_enough_for_a_fairness_gate() -> None:
    assert impossible(model(task="binary", gates=(Gate("disparate_impact", min=0.8),), training=Training(sensitive=("sex",)))) == []


def test_everything_that_is_wrong_is_said_in_the_table_s_order() -> None:
    serving = Serving(explainer=Explainer(budget=ExplainerBudget(time="6m")), template={"minReplicas": 2})
    said = impossible(model(serving=serving, rollout=Rollout(steps=())))
    assert [sentence.split(":")[0] for sentence in said] == [
        "spec.serving.explainer.budget.time",
        "spec.serving.template.minReplicas",
        "spec.rollout.steps",
    ]


WORDS: list[tuple[dict[str, object], str]] = [
    ({"action": "pause", "step": 2}, "spec.step: found 2, only promote goes to a step; allowed with another action is none"),
    ({"action": "approve", "full": True}, "spec.full: found true, only promote goes to 100%; allowed with another action is none"),
    ({"action": "promote", "step": 2, "full": True}, "spec.step: found 2, 100% is beyond every step; allowed is one of step and full"),
    ({"action": "promote", "step": 2}, ""),
    ({"release": ""}, "spec: a word is said to one thing; allowed is one of release and pipelineRollout"),
    ({"action": "resume"}, ""),
    ({"action": "resume", "release": "", "pipeline_rollout": "churn-stable-1-4-0"}, ""),
    ({"action": "halt", "release": "", "pipeline_rollout": "churn-stable-1-4-0"}, ""),
    ({"action": "resume", "pipeline_rollout": "x"}, "spec: a word is said to one thing; allowed is one of release and pipelineRollout"),
    (
        {"action": "revert"},
        'spec.action: found "revert", allowed for a pipelineRollout is halt, resume or revert, and for a release any other word or resume',
    ),
    (
        {"action": "approve", "release": "", "pipeline_rollout": "churn-stable-1-4-0"},
        'spec.action: found "approve", allowed for a pipelineRollout is halt, resume or revert, and for a release any other word or resume',
    ),
    ({"action": "promote", "full": True}, ""),
    ({"action": "promote"}, ""),
]


@pytest.mark.parametrize(("word", "sentence"), WORDS)
def test_where_a_word_may_lead(word: dict[str, object], sentence: str) -> None:
    said = ActionSpec(**{"release": "bikes-1", "action": "promote", "user": "ada"} | word)  # type: ignore[arg-type]
    assert impossible(ReleaseAction(Metadata("a"), said)) == ([sentence] if sentence else [])


APPROVALS = [
    (
        {"approval_policy": ApprovalPolicy(expiry="0h")},
        'spec.approvalPolicy.expiry: found "0h", allowed is a duration above zero; a person needs time',
    ),
    (
        {"approval_policy": ApprovalPolicy(separation_of_duties=True)},
        "spec.approvalPolicy.separationOfDuties: found true, nobody is asked where approval is automatic; "
        "allowed with approval: manual alone",
    ),
    ({"approval": "manual", "approval_policy": ApprovalPolicy("24h", separation_of_duties=True)}, ""),
]


@pytest.mark.parametrize(("spec", "sentence"), APPROVALS)
def test_how_a_yes_is_given(spec: dict[str, object], sentence: str) -> None:
    assert impossible(model(**spec)) == ([sentence] if sentence else [])


KEYED = Data(uri="rows.csv", label="y", key="id", label_delay="24h")
AB: list[tuple[str, dict[str, object], str]] = [
    (
        "labels have no time to come",
        {"data": Data(uri="rows.csv", label="y", key="id")},
        'spec.data.labelDelay: found "0s", strategy ab compares labels that had time to come',
    ),
    (
        "labels cannot be joined",
        {"data": Data(uri="rows.csv", label="y", label_delay="1h")},
        "spec.data.key: found null, strategy ab compares labels, which are joined by the key",
    ),
    ("classes have no mean", {"task": "multiclass"}, 'spec.task: found "multiclass", strategy ab compares means of labels'),
    ("no label in time", {"rollout": Rollout("ab", max_duration="1d")}, 'spec.rollout.maxDuration: found "1d", no label would be known'),
    ("no effect", {"rollout": Rollout("ab", max_duration="2d", ab=Ab(effect="-0.0"))}, 'spec.rollout.ab.effect: found "-0.0", allowed'),
    ("the other way", {"rollout": Rollout("ab", max_duration="2d", ab=Ab(effect="x0.9"))}, 'spec.rollout.ab.effect: found "x0.9", allowed'),
    (
        "the other way for fewer",
        {"rollout": Rollout("ab", max_duration="2d", ab=Ab(effect="x1.1", goal="smaller"))},
        'spec.rollout.ab.effect: found "x1.1", allowed',
    ),
]


@pytest.mark.parametrize(("changes", "start"), [case[1:] for case in AB], ids=[case[0] for case in AB])
def test_an_ab_that_cannot_end_with_a_verdict(changes: dict[str, object], start: str) -> None:
    (sentence,) = impossible(model(**{"data": KEYED, "task": "binary", "rollout": Rollout("ab", max_duration="2d"), **changes}))
    assert sentence.startswith(start)


def test_an_ab_with_a_key_and_time_for_labels_is_possible() -> None:
    assert impossible(model(data=KEYED, rollout=Rollout("ab", max_duration="25h", ab=Ab(effect="x0.9", goal="smaller")))) == []


TIMES = [("1s", True), ("1000ms", True), ("030s", True), ("300s", True), ("5m", True), ("300000ms", True)]
TIMES += [("0s", False), ("999ms", False), ("301s", False), ("6m", False), ("300001ms", False), ("1h", False), ("10m", False)]


@pytest.mark.parametrize(("time", "allowed"), TIMES)
def test_how_long_an_explanation_may_take(time: str, allowed: bool) -> None:
    said = impossible(model(serving=Serving(explainer=Explainer(budget=ExplainerBudget(time=time)))))
    assert said == ([] if allowed else [f'spec.serving.explainer.budget.time: found "{time}", {TOO_LONG}'])


TOO_LONG = "allowed is 1s to 5m: one request is explained at a time, and others wait for it"


TEMPLATES = [
    ("a field that the Model has", {"minReplicas": 2}, "minReplicas: found 2, this is Trimtab's own: give spec.serving.replicas"),
    (
        "one below model",
        {"model": {"protocolVersion": "v2"}},
        'model.protocolVersion: found "v2", this is Trimtab\'s own: give spec.serving.protocol',
    ),
    (
        "one that nobody gives",
        {"canary": []},
        "canary: found [], this is Trimtab's own: weights are moved as spec.rollout says; leave it out",
    ),
    ("a bound below the replicas", {"maxReplicas": 1}, "maxReplicas: found 1, allowed is a whole number, at least spec.serving.replicas"),
    ("a bound in words", {"maxReplicas": "all"}, 'maxReplicas: found "all", allowed is a whole number, at least spec.serving.replicas'),
]


@pytest.mark.parametrize(("template", "said"), [case[1:] for case in TEMPLATES], ids=[case[0] for case in TEMPLATES])
def test_what_a_template_may_not_say(template: dict[str, object], said: str) -> None:
    assert impossible(model(serving=Serving(replicas=2, template=template))) == [f"spec.serving.template.{said}"]


def test_all_that_is_trimtabs_in_a_template_is_refused() -> None:
    for owned in OWNED:
        template: object = 1
        for name in reversed(owned.path.split(".")):
            template = {name: template}
        [said] = impossible(model(serving=Serving(template=template)))  # type: ignore[arg-type]
        assert said == f"spec.serving.template.{owned.path}: found 1, this is Trimtab's own: {owned.instead}"


def test_anything_else_may_be_in_a_template() -> None:
    free = {
        "nodeSelector": {"name": "a"},
        "maxReplicas": 2,
        "model": {"env": [{"name": "a"}], "resources": {}},
        "labels": {"minReplicas": "1"},
    }
    assert impossible(model(serving=Serving(replicas=2, template=free))) == []


@pytest.mark.parametrize(
    ("expect", "sentence"),
    [
        pytest.param((E("a", min=3, max=2),), "spec.data.expect[0].min: found 3, allowed is at most max", id="an empty range"),
        pytest.param(
            (E("b"), E("a", type="number", values=("1",))),
            'spec.data.expect[1].values: found ["1"], values are those of a category; allowed for numbers are min and max',
            id="categories of numbers",
        ),
        pytest.param(
            (E("a", type="category", max=2),),
            "spec.data.expect[0]: a range goes with numbers and values with categories; allowed is one of them",
            id="a range of categories",
        ),
        pytest.param(
            (E("a", values=("x",), min=2),),
            "spec.data.expect[0]: a range goes with numbers and values with categories; allowed is one of them",
            id="a range and categories",
        ),
        pytest.param(
            (E("a"), E("a", nulls=0)),
            'spec.data.expect: found [{"column":"a"},{"column":"a","nulls":0}], '
            "a column is named more than once; allowed is one entry a column",
            id="a column twice",
        ),
        pytest.param(
            (E("demand", available=False),),
            'spec.data.expect: found [{"column":"demand","available":false}], label, time and key are never features; '
            "allowed is available: false for other columns",
            id="a label that is not known in time",
        ),
    ],
)
def test_expectations_that_no_data_can_meet(expect: tuple[Expectation, ...], sentence: str) -> None:
    assert impossible(model(data=Data(uri="rows.csv", label="demand", expect=expect))) == [sentence]


def test_expectations_that_can_be_met() -> None:
    expect = (E("a", min=2, max=2), E("b", values=("x",)), E("refund", available=False), E("demand", min=0), E("c", "category"))
    assert impossible(model(data=Data(uri="rows.csv", label="demand", expect=expect))) == []


def test_rules_have_names_of_their_own() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)


@pytest.mark.parametrize(("namespace", "registered"), [("default", "bikes"), ("crm", "crm.bikes")])
def test_the_registry_has_one_name_for_two_namespaces(namespace: str, registered: str) -> None:
    assert model(namespace=namespace).registered == registered
