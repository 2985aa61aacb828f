"""Whose an InferenceService is, and what cannot be taken over, with the sentence that says so."""

import pytest

from tests.unit.platforms.kubernetes.kserve_world import model, version
from trimtab.platforms.kubernetes.isvc import Shape, document, predictor
from trimtab.platforms.kubernetes.ownership import intruder, predecessor, refusal, stranger

MODEL, ADOPTING, EARLIER = model(), model(adopt=True), model(uid="u-0")
KNOWN = {name: version(name) for name in ("3", "4")}
SKLEARN = {
    "model": {"modelFormat": {"name": "sklearn"}, "storageUri": "s3://models/bike", "env": [{"name": "A", "value": "1"}], "name": ""}
}


def isvc(predictor=SKLEARN, annotations=(), labels=(), **spec):
    metadata = {"name": "bike", "namespace": "crm", "annotations": dict(annotations), "labels": dict(labels)}
    return {"metadata": metadata, "spec": {"predictor": predictor, **spec}}


def made(of, labels=True, *canaries):
    found = document(of, Shape("3"), KNOWN, None, "trimtab")
    found["spec"]["canary"] = [{"predictor": predictor(one, KNOWN["4"], 1, "trimtab"), "trafficPercent": 0} for one in canaries]
    return {**found, "metadata": {**found["metadata"], "labels": found["metadata"]["labels"] if labels else {}}}


WHOSE = [
    ("made for the Model", made(MODEL), (False, False)),
    ("made for it, and its predictor was replaced by another hand", isvc(labels=made(MODEL)["metadata"]["labels"]), (False, False)),
    ("taken over by it: only its predictor says so", made(MODEL, False), (False, False)),
    ("being taken over by it: its canary says so", made(EARLIER, True, MODEL), (True, False)),
    ("made for an earlier Model", made(EARLIER), (True, True)),
    ("made for an earlier Model, with its canary", made(EARLIER, True, EARLIER), (True, True)),
    ("made by somebody else", isvc(), (True, True)),
]


@pytest.mark.parametrize(("found", "expected"), [case[1:] for case in WHOSE], ids=[case[0] for case in WHOSE])
def test_whose_it_is(found, expected):
    assert (predecessor(found, MODEL), stranger(found, MODEL)) == expected


NOT_ASKED = "; set spec.serving.adopt: true to take it over, give the Model another name, or delete it"
REFUSED = [
    ("somebody else's", MODEL, isvc(), "is there already and was not made by Trimtab" + NOT_ASKED),
    ("an orphan", MODEL, made(EARLIER), "outlived the Model that it was made for" + NOT_ASKED),
    ("an orphan without labels", MODEL, made(EARLIER, False), "outlived the Model that it was made for" + NOT_ASKED),
    (
        "plain containers",
        ADOPTING,
        isvc({"containers": [{"name": "kserve-container"}]}),
        "only beside spec.predictor.model with a storageUri",
    ),
    ("no files", ADOPTING, isvc({"model": {"modelFormat": {"name": "x"}}}), "nothing is served until the first version is ready"),
    (
        "a transformer",
        ADOPTING,
        isvc(transformer={"containers": []}),
        "it has spec.transformer, which KServe passes by for a canary's share",
    ),
    ("an explainer", ADOPTING, isvc(explainer={"containers": []}), "it has spec.explainer, which KServe passes by for a canary's share"),
    (
        "a canary",
        ADOPTING,
        isvc(canary=[{"predictor": {"name": "b"}, "trafficPercent": 5}]),
        "it has a canary already; promote or remove that",
    ),
    ("Knative", ADOPTING, isvc(annotations={"serving.kserve.io/deploymentMode": "Knative"}), "is 'Knative', and KServe has canaries in"),
    (
        "what another server is told",
        ADOPTING,
        isvc({"model": {**SKLEARN["model"], "args": ["--x"], "modelFormat": {"name": "sklearn", "version": "1"}}}),
        "spec.predictor.model.args, spec.predictor.model.modelFormat.version: meant for another server",
    ),
]


@pytest.mark.parametrize(("of", "found", "said"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_is_refused(of, found, said):
    sentence = refusal(found, of)
    assert sentence.startswith("InferenceService crm/bike ")
    assert said in sentence


def test_another_models_explainer_is_never_taken_over():
    found = isvc()
    found["metadata"] |= {"name": "bike", "labels": {"app.kubernetes.io/managed-by": "trimtab", "trimtab.dev/model": "bik"}}
    assert "is the explainer of" not in refusal(found, MODEL)
    of = model("bike-explainer", adopt=True)
    found["metadata"] |= {"name": "bike-explainer", "labels": {"app.kubernetes.io/managed-by": "trimtab", "trimtab.dev/model": "bike"}}
    assert refusal(found, of) == "InferenceService crm/bike-explainer is the explainer of Model 'bike'; give this Model another name"


TAKEN = [
    ("its own, without being asked", MODEL, made(MODEL)),
    ("one that it is taking over", MODEL, made(EARLIER, True, MODEL)),
    ("an orphan", ADOPTING, made(EARLIER)),
    ("somebody else's model", ADOPTING, isvc()),
    (
        "with sidecars, labels and bounds",
        ADOPTING,
        isvc({**SKLEARN, "containers": [{"name": "agent"}], "maxReplicas": 3, "labels": {"a": "b"}}),
    ),
    ("in Standard mode", ADOPTING, isvc(annotations={"serving.kserve.io/deploymentMode": "Standard"})),
]


@pytest.mark.parametrize(("of", "found"), [case[1:] for case in TAKEN], ids=[case[0] for case in TAKEN])
def test_what_may_be_written_to(of, found):
    assert refusal(found, of) == ""


def test_who_writes_a_predecessor_takes_nothing_from_us():
    field = {"f:spec": {"f:predictor": {"f:model": {"f:storageUri": {}}}}}
    managed = [{"manager": "argocd", "operation": "Apply", "fieldsV1": field}]
    for found, expected in ((isvc(), ""), (made(MODEL), "argocd")):
        found["metadata"]["managedFields"] = managed
        assert intruder(found, MODEL) == expected
