"""The cache never goes back in time, and tells what was news."""

from typing import Any

from trimtab.platforms.kubernetes.cache import Cache
from trimtab.platforms.kubernetes.resources import MODELS, PODS, Resource


class Behind:
    """The API server, of which every question is noted."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any] | None:
        self.asked.append(f"{resource.kind} {namespace}/{name}")
        return None

    def list(self, resource: Resource, namespace: str = "", labels: str = "") -> list[dict[str, Any]]:
        self.asked.append(f"{resource.kind}s {namespace} {labels}")
        return []


def item(name: str, version: int, uid: str = "u", **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "crm", "uid": uid, "resourceVersion": str(version), "labels": labels}}


def test_an_older_state_does_not_replace_a_newer_one() -> None:
    cache = Cache(Behind(), [MODELS])
    assert cache.put(MODELS, item("churn", 9))
    assert not cache.put(MODELS, item("churn", 10 - 3)), "it is from before"
    assert cache.get(MODELS, "crm", "churn") == item("churn", 9)


def test_an_object_made_anew_replaces_the_one_of_its_name_whatever_its_version() -> None:
    cache = Cache(Behind(), [MODELS])
    cache.put(MODELS, item("churn", 9))
    assert cache.put(MODELS, item("churn", 3, uid="another"))
    found = cache.get(MODELS, "crm", "churn")
    assert found
    assert found["metadata"]["uid"] == "another"


def test_the_end_of_an_object_does_not_end_the_one_that_was_made_anew() -> None:
    cache = Cache(Behind(), [MODELS])
    cache.put(MODELS, item("churn", 12, uid="new"))
    cache.drop(MODELS, item("churn", 11, uid="old"))
    assert cache.get(MODELS, "crm", "churn")
    cache.drop(MODELS, item("churn", 12, uid="new"))
    assert cache.get(MODELS, "crm", "churn") is None


def test_a_fresh_list_tells_what_vanished_and_keeps_what_is_newer() -> None:
    cache = Cache(Behind(), [MODELS])
    cache.put(MODELS, item("churn", 9))
    cache.put(MODELS, item("fraud", 4))
    assert cache.fill(MODELS, [item("churn", 7)]) == {("crm", "fraud")}
    assert cache.get(MODELS, "crm", "churn") == item("churn", 9)


def test_the_same_state_twice_is_no_news() -> None:
    cache = Cache(Behind(), [MODELS])
    assert cache.put(MODELS, item("churn", 9))
    assert not cache.put(MODELS, item("churn", 9))


def test_lists_are_by_namespace_and_labels() -> None:
    cache = Cache(Behind(), [MODELS])
    cache.put(MODELS, item("churn", 1, team="a"))
    cache.put(MODELS, item("fraud", 2, team="b"))
    assert [one["metadata"]["name"] for one in cache.list(MODELS, "crm", "team=b")] == ["fraud"]
    assert cache.list(MODELS, "elsewhere") == []


def test_what_is_not_watched_is_asked_for() -> None:
    behind = Behind()
    cache = Cache(behind, [MODELS])
    cache.get(PODS, "crm", "p")
    cache.get(MODELS, "crm", "churn")
    assert behind.asked == ["Pod crm/p"]
