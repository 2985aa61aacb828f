"""A predictor's ServiceAccount may send events, is owned by the InferenceService, and is applied only where something differs."""

import pytest

from tests.unit.platforms.kubernetes.api_server import ApiServer, Asked, Refusal
from tests.unit.platforms.kubernetes.kserve_world import model
from trimtab.errors import Unavailable
from trimtab.platforms.kubernetes.api import Api
from trimtab.platforms.kubernetes.identity import KEEP_SECONDS, Identities, account
from trimtab.platforms.kubernetes.resources import INFERENCE_SERVICES, ROLE_BINDINGS, SERVICE_ACCOUNTS

APPLIED = [
    ("PATCH", "/api/v1/namespaces/crm/serviceaccounts/bike-trimtab"),
    ("PATCH", "/apis/rbac.authorization.k8s.io/v1/namespaces/crm/rolebindings/bike-trimtab"),
]


@pytest.fixture
def identities(server: ApiServer) -> Identities:
    api = Api(server.client())
    return Identities(api, api)


def test_a_predictor_may_send_events_and_has_no_token_of_the_api_server(server: ApiServer, identities: Identities) -> None:
    identities.ensure(model())
    assert server.writes() == APPLIED
    made, binding = server.get(SERVICE_ACCOUNTS, "crm", "bike-trimtab"), server.get(ROLE_BINDINGS, "crm", "bike-trimtab")
    assert made
    assert binding
    assert made["automountServiceAccountToken"] is False
    assert binding["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "trimtab-events-sender"}
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "bike-trimtab", "namespace": "crm"}]
    assert made["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "trimtab", "trimtab.dev/model": "bike"}


def test_it_is_owned_by_the_inference_service_once_there_is_one(server: ApiServer, identities: Identities) -> None:
    identities.ensure(model())
    isvc = server.put(INFERENCE_SERVICES, "crm", "bike")
    identities.ensure(model())
    assert server.writes() == APPLIED * 2
    for asked in [asked for asked in server.asked if asked.verb == "PATCH"][2:]:
        (owner,) = asked.body["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"], owner["controller"]) == ("InferenceService", isvc["metadata"]["uid"], False)


def test_what_was_applied_is_not_applied_again_until_something_differs(server: ApiServer, identities: Identities) -> None:
    server.put(INFERENCE_SERVICES, "crm", "bike")
    for _ in range(3):
        identities.ensure(model())
    assert server.writes() == APPLIED
    server.put(INFERENCE_SERVICES, "crm", "bike")
    identities.ensure(model())
    assert server.writes() == APPLIED * 2, "the InferenceService was made anew: what the former owned is being collected"


def test_what_was_applied_is_applied_again_after_an_hour_for_somebody_may_have_deleted_it(server: ApiServer) -> None:
    now = 0.0
    identities = Identities(Api(server.client()), Api(server.client()), lambda: now)
    identities.ensure(model())
    assert identities.kept(model())
    server.remove(SERVICE_ACCOUNTS, "crm", "bike-trimtab")
    now = KEEP_SECONDS + 1
    assert not identities.kept(model())
    identities.ensure(model())
    assert server.get(SERVICE_ACCOUNTS, "crm", "bike-trimtab")


def test_what_failed_half_way_is_applied_again(server: ApiServer, identities: Identities) -> None:
    def refuse(asked: Asked) -> None:
        if "rolebindings" in asked.path:
            raise Refusal(503, "not today")

    server.before = refuse
    with pytest.raises(Unavailable):
        identities.ensure(model())
    server.before = None
    identities.ensure(model())
    assert server.get(ROLE_BINDINGS, "crm", "bike-trimtab")


def test_models_of_two_namespaces_are_two(server: ApiServer, identities: Identities) -> None:
    identities.ensure(model())
    identities.ensure(model(namespace="ads"))
    assert server.get(SERVICE_ACCOUNTS, "ads", "bike-trimtab")


def test_a_model_that_names_its_account_binds_it_itself(server: ApiServer, identities: Identities) -> None:
    named = model(service_account="theirs")
    identities.ensure(named)
    assert server.asked == []
    assert account(named) == "theirs"
