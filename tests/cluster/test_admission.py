"""Who may say what on a real API server: people act and ask in their own name."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
import yaml

from tests.cluster.crd_kit import ACTION, RELEASE, ROOT, Cluster, Said, changed, installed, namespace
from tests.cluster.tools import needs_cluster, until

pytestmark = needs_cluster
POLICIES = ROOT / "manifests" / "admission"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with installed() as own:
        yield own


@pytest.fixture(scope="module")
def policed(cluster: Cluster) -> Iterator[Cluster]:  # noqa: ARG001 - the CRDs
    """A namespace with the policies, under names of the test's own; ada may act and ask, the writer may attest."""
    with namespace() as own:
        everything = {"apiVersion": "v1", "kind": "List", "items": policies(own.namespace)}
        own.do("create", "-f", "-", body=everything)
        try:
            own.do("create", "role", "act", "--verb=create", "--resource=releaseactions.trimtab.dev,releases.trimtab.dev")
            own.do("create", "role", "attest", "--verb=create,attest", "--resource=releases.trimtab.dev")
            own.do("create", "rolebinding", "act", "--role=act", "--user=ada")
            own.do("create", "rolebinding", "attest", "--role=attest", f"--serviceaccount={own.namespace}:writer")
            until(lambda: "in their own name" in own.tried(changed(ACTION, "spec.user", "bob")).err)
            until(lambda: "in their own name" in as_user(own, "ada", changed(RELEASE, "spec.request.by", "bob")).err)
            yield own
        finally:
            own.kubectl("delete", "-f", "-", body=everything)


def policies(own: str) -> list[dict[str, Any]]:
    """What manifests/admission holds, bound to one namespace only, so that the cluster's other users see nothing of it."""
    documents = [one for path in sorted(POLICIES.glob("release*.yaml")) for one in yaml.safe_load_all(path.read_text())]
    for one in documents:
        one["metadata"]["name"] = f"{own}-{one['metadata']['name']}"
        if one["kind"].endswith("Binding"):
            one["spec"]["policyName"] = f"{own}-{one['spec']['policyName']}"
            one["spec"]["matchResources"] = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": own}}}
    assert len(documents) == 4, "two policies and what binds them"
    return documents


def as_user(cluster: Cluster, user: str, body: dict[str, Any]) -> Said:
    return cluster.kubectl("--as", user, "create", "--dry-run=server", "-f", "-", body=body)


def test_people_act_in_their_own_name(policed: Cluster) -> None:
    assert as_user(policed, "ada", ACTION).code == 0
    said = as_user(policed, "ada", changed(ACTION, "spec.user", "bob"))
    assert said.code != 0
    assert "spec.user: found 'bob', allowed is 'ada': people act in their own name" in said.words


def test_not_even_an_administrator_acts_in_another_name(policed: Cluster) -> None:
    assert "people act in their own name" in policed.tried(ACTION).words


def test_people_ask_in_their_own_name(policed: Cluster) -> None:
    assert as_user(policed, "ada", RELEASE).code == 0
    for by in ("bob", ""):
        said = as_user(policed, "ada", changed(RELEASE, "spec.request.by", by))
        assert said.code != 0
        assert f"spec.request.by: found '{by}', allowed is 'ada': people ask in their own name" in said.words
    nobody = deepcopy(RELEASE)
    del nobody["spec"]["request"]["by"]
    assert "spec.request.by: found '', allowed is 'ada'" in as_user(policed, "ada", nobody).words


def test_people_do_not_speak_for_the_monitor(policed: Cluster) -> None:
    said = as_user(policed, "ada", changed(RELEASE, "spec.request.trigger", "drift"))
    assert said.code != 0
    assert "spec.request.trigger: found 'drift', allowed for 'ada' is 'person': only Trimtab itself says" in said.words


def test_who_may_attest_says_what_and_who_asked(policed: Cluster) -> None:
    writer = f"system:serviceaccount:{policed.namespace}:writer"
    for trigger, by in (("drift", ""), ("person", "bob")):
        said = as_user(policed, writer, changed(changed(RELEASE, "spec.request.by", by), "spec.request.trigger", trigger))
        assert said.code == 0, said.err
