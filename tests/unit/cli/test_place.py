"""The commands on a namespace of a cluster: what is read, what is created, and in whose name."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.unit.audit.drafts import draft
from tests.unit.platforms.kubernetes.api_server import ApiServer, kubeconfig, running
from tests.unit.rollout.cases import DATA_NOW, NOW, SPEC
from trimtab.cli import releases, saying
from trimtab.cli.place import place
from trimtab.cli.plans import Given, show_plan
from trimtab.errors import InvalidInput
from trimtab.platforms.kubernetes.api import Api
from trimtab.platforms.kubernetes.ledger import KubernetesLedger
from trimtab.platforms.kubernetes.resources import ACTIONS, MODELS, RELEASES
from trimtab.release import Latency, Phase, Release, Shadowed
from trimtab.spec import Model

NOWHERE = Path("no-state-folder")
OLD = {"version": "1", "digest": "a" * 64}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    """The cluster of the current kubeconfig."""
    with running() as made:
        path = tmp_path / "kubeconfig"
        path.write_text(kubeconfig(made.url))
        monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(path))
        monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
        yield made


def put_model(server: ApiServer, name: str = "bike", namespace: str = "crm", **status: Any) -> None:
    server.put(MODELS, namespace, name, metadata={"uid": f"{name}-uid"}, spec=msgspec.to_builtins(SPEC), status=status)


def put_release(server: ApiServer, name: str, phase: Phase, model: str = "bike", namespace: str = "crm", **status: Any) -> None:
    request = {"trigger": "person", "source": "tests", "id": name, "cut": DATA_NOW.isoformat()}
    spec = {"model": model, "modelUid": f"{model}-uid", "recipe": "r", "request": request}
    server.put(RELEASES, namespace, name, spec=spec, status={"phase": str(phase), "weight": 0, **status})


def created(server: ApiServer, plural: str) -> list[dict[str, Any]]:
    return [asked.body for asked in server.asked if asked.verb == "POST" and asked.path.endswith(f"/{plural}")]


def test_only_the_namespace_is_read(server: ApiServer) -> None:
    put_model(server)
    put_model(server, namespace="ads")
    put_release(server, "bike-1", Phase.PENDING)
    put_release(server, "bike-2", Phase.PENDING, namespace="ads")
    here = place(NOWHERE, "crm")
    assert [one.metadata.namespace for one in here.objects.all_of(Model)] == ["crm"]
    assert [one.name for one in here.objects.all_of(Release)] == ["bike-1"]
    assert all("/namespaces/crm/" in asked.path for asked in server.asked), "most people may read no more"


def test_who_acts_is_who_the_api_server_says_and_it_is_asked_once(server: ApiServer) -> None:
    here = place(NOWHERE, "crm")
    assert [here.who(""), here.who(""), here.who("grace")] == ["ada@example.com", "ada@example.com", "grace"]
    assert len(created(server, "selfsubjectreviews")) == 1


def test_data_time_is_what_the_status_says(server: ApiServer) -> None:
    put_model(server, "bike", monitoring={"watermark": NOW.isoformat()})
    put_model(server, "churn")
    here = place(NOWHERE, "crm")
    assert {one.name: here.watermark(one) for one in here.objects.all_of(Model)} == {"bike": NOW, "churn": None}


def test_without_a_cluster_there_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(InvalidInput, match="no cluster can be reached"):
        place(NOWHERE, "crm")


def test_without_the_client_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    with pytest.raises(InvalidInput, match=r"pip install 'trimtab\[controller\]'"):
        place(NOWHERE, "crm")


def test_without_a_namespace_the_state_folder_is_meant(server: ApiServer, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=str(tmp_path)):
        place(tmp_path / "state", None)
    assert server.asked == []


# --- the commands ---

WORDS = [
    ("approve what waits", Phase.AWAITING_APPROVAL, "approve", ""),
    ("abort what trains", Phase.TRAINING, "abort", ""),
    ("nothing to approve", Phase.TRAINING, "approve", "only a Release in AwaitingApproval can be approved"),
    ("it has ended", Phase.FAILED, "abort", "has ended as Failed"),
]


@pytest.mark.parametrize(("phase", "word", "refused"), [case[1:] for case in WORDS], ids=[case[0] for case in WORDS])
def test_a_word_is_said_in_the_persons_name_or_refused(server: ApiServer, phase: Phase, word: str, refused: str) -> None:
    put_release(server, "bike-1", phase)

    def act() -> None:
        saying.act(word, "bike-1", "because", "", NOWHERE, "crm", as_json=True)

    if refused:
        with pytest.raises(InvalidInput, match=refused):
            act()
        assert created(server, "releaseactions") == []
        return
    act()
    (said,) = created(server, "releaseactions")
    assert said["spec"] == {"release": "bike-1", "action": word, "user": "ada@example.com", "reason": "because"}
    assert (said["kind"], said["metadata"]["namespace"]) == (ACTIONS.kind, "crm")


def test_asking_to_retrain_makes_a_release_up_to_the_watermark(server: ApiServer, capsys: pytest.CaptureFixture[str]) -> None:
    put_model(server, monitoring={"watermark": NOW.isoformat()})
    put_release(server, "bike-1", Phase.PROMOTED)
    saying.ask_to_retrain(None, "", "", NOWHERE, "crm", as_json=True)
    (made,) = created(server, "releases")
    request = made["spec"]["request"]
    assert (request["trigger"], request["by"], request["cut"]) == ("person", "ada@example.com", "2026-03-01T12:00:00Z")
    assert made["metadata"]["ownerReferences"][0]["uid"] == "bike-uid"
    assert json.loads(capsys.readouterr().out)["name"] == made["metadata"]["name"]


def test_a_model_of_which_nothing_is_known_yet_may_be_retrained(server: ApiServer) -> None:
    put_model(server)
    saying.ask_to_retrain("bike", "", "", NOWHERE, "crm", as_json=True)
    assert len(created(server, "releases")) == 1


def test_a_model_without_a_release_under_way_gets_its_previous_champion_back(server: ApiServer) -> None:
    put_model(server, champion={**OLD, "version": "2"}, previous=OLD)
    put_release(server, "bike-1", Phase.PROMOTED)
    saying.roll_back("bike", "", "", NOWHERE, "crm", as_json=True)
    (made,) = created(server, "releases")
    assert made["spec"]["request"]["version"] == OLD
    put_release(server, "bike-2", Phase.BAKING)
    saying.roll_back("bike", "", "", NOWHERE, "crm", as_json=True)
    assert [said["spec"]["action"] for said in created(server, "releaseactions")] == ["rollback"]


FINDS: list[tuple[str, list[str], str | None, str]] = [
    ("no Model at all", [], None, "there is no Model"),
    ("several", ["a", "b"], None, "several Models, name one: a, b"),
    ("another name", ["a"], "b", "there is no Model 'b'; known are a"),
]


@pytest.mark.parametrize(("names", "asked", "sentence"), [case[1:] for case in FINDS], ids=[case[0] for case in FINDS])
def test_a_model_that_is_not_found_is_told_with_those_there_are(
    server: ApiServer, names: list[str], asked: str | None, sentence: str
) -> None:
    for name in names:
        put_model(server, name)
    with pytest.raises(InvalidInput, match=sentence):
        releases.find_model(place(NOWHERE, "crm").objects, asked)


def test_lists_and_stories_are_of_the_namespace(server: ApiServer, capsys: pytest.CaptureFixture[str]) -> None:
    put_model(server, champion=OLD)
    put_model(server, "churn", "ads")
    put_release(server, "bike-1", Phase.PROMOTED)
    put_release(server, "churn-1", Phase.PENDING, "churn", "ads")
    (known,) = place(NOWHERE, "crm").objects.all_of(Release)
    ledger = KubernetesLedger(Api(server.client()))
    ledger.append(draft(known, "Baked", Phase.PROMOTED), ledger.last(known))
    releases.show_models(NOWHERE, "crm", as_json=True)
    assert [(row["name"], row["champion"], row["release"]) for row in json.loads(capsys.readouterr().out)] == [("bike", "1", "bike-1")]
    releases.show_releases(NOWHERE, "crm", None, as_json=True)
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == ["bike-1"]
    releases.explain("bike", NOWHERE, "crm", as_json=True)
    assert [one["reason"] for one in json.loads(capsys.readouterr().out)["decisions"]] == ["Baked"]


def test_a_story_tells_what_a_shadow_showed(server: ApiServer, capsys: pytest.CaptureFixture[str]) -> None:
    put_model(server, champion=OLD)
    times = Latency((0, 40, 60, *[0] * 10), 10.0, 10.0)
    shadow = Shadowed(since=NOW, copies=100, rows=512, sentence="alike on 97% of 512 rows", champion=times, candidate=times)
    put_release(server, "bike-1", Phase.ROLLOUT, mirrored=True, shadow=msgspec.to_builtins(shadow))
    releases.explain("bike", NOWHERE, "crm", as_json=False)
    told = capsys.readouterr().out
    assert "shadow: alike on 97% of 512 rows" in told
    assert "shadow: 100 copies answered within 10 ms (half) and 10 ms (99%), the champion's answers within 10 ms" in told
    releases.explain("bike", NOWHERE, "crm", as_json=True)
    assert json.loads(capsys.readouterr().out)["shadow"]["copies"] == 100


DOCUMENT = """apiVersion: trimtab.dev/v1alpha1
kind: Model
metadata: {name: bike, namespace: crm}
spec:
  task: regression
  data: {uri: rows.csv, label: y}
  rollout: {steps: [5, 50]}
"""


WHY = (
    ({"trigger": "schedule"}, Phase.PENDING, {}, "unasked", "not asked yet"),
    ({}, Phase.PENDING, {"reason": "Cooldown", "sentence": "until noon"}, "wait", "wait: Cooldown: until noon"),
    ({"by": "ada"}, Phase.TRAINING, {"admittedAt": NOW.isoformat(), "admittedData": DATA_NOW.isoformat()}, "admitted", "admitted at "),
    ({}, Phase.SUPERSEDED, {"reason": "Collapsed", "sentence": "another speaks for it"}, "refused", "refused: Collapsed: another speaks"),
    ({}, Phase.INCONCLUSIVE, {"reason": "PendingTooLong", "sentence": "nobody came"}, "ended", "ended: PendingTooLong: nobody came"),
)


@pytest.mark.parametrize(("request_", "phase", "status", "said", "words"), WHY, ids=[case[3] for case in WHY])
def test_why_there_is_a_release(
    server: ApiServer, capsys: Any, request_: dict[str, Any], phase: Phase, status: dict[str, Any], said: str, words: str
) -> None:
    put_model(server)
    asked = {
        "trigger": "newData",
        "source": "/models/crm/bike/data",
        "id": "event-7",
        "cut": DATA_NOW.isoformat(),
        "sentence": "12 more rows",
    }
    wanted = {"pipeline": {"name": "tabular", "version": "1.1.0"}, **asked, **request_}
    spec = {"model": "bike", "modelUid": "bike-uid", "recipe": "r", "request": wanted}
    made = {"creationTimestamp": "2026-03-01T12:00:00Z"}
    server.put(RELEASES, "crm", "bike-1", metadata=made, spec=spec, status={"phase": str(phase), "weight": 0, **status})
    releases.show_releases(NOWHERE, "crm", None, why=True, as_json=True)
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["trigger"], told["why"], told["by"]) == (wanted["trigger"], "12 more rows", request_.get("by"))
    assert told["event"] == {"source": "/models/crm/bike/data", "id": "event-7", "time": "2026-03-01T12:00:00Z", "data": {}}
    assert (told["governor"]["said"], told["pipeline"]["version"]) == (said, "1.1.0")
    releases.explain("bike-1", NOWHERE, "crm", as_json=False)
    story = capsys.readouterr().out
    releases.show_releases(NOWHERE, "crm", None, why=True, as_json=False)
    listed = capsys.readouterr().out
    for line in (
        "by the event event-7 of /models/crm/bike/data, at 2026-03-01 12:00:00",
        f"the governor: {words}",
        "with the pipeline tabular",
    ):
        assert line in story, story
        assert line in listed, listed


def test_a_plan_is_made_at_the_traffic_that_the_newest_release_counted(server: ApiServer, tmp_path: Path, capsys: Any) -> None:
    document = tmp_path / "model.yaml"
    document.write_text(DOCUMENT)
    with pytest.raises(InvalidInput, match="give the requests a second with --requests"):
        show_plan(document, Given(), NOWHERE, "crm", as_json=True)
    counted = {"requestsPerSecond": 0.5, "errors": 0.02, "slow": 0.001, "fits": False, "sentence": "at 0.5 requests/s ..."}
    put_release(server, "bike-1", Phase.PROMOTED, plan=counted)
    assert not show_plan(document, Given(), NOWHERE, "crm", as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert (found["requestsPerSecond"], found["errors"], found["slow"]) == (0.5, 0.02, 0.001)
    assert "out of reach before the deadline: 5%, 50%" in found["sentence"]
    assert show_plan(document, Given(5000.0, 0.01), NOWHERE, None, as_json=False)
    assert "at 5,000 requests/s the steps need" in capsys.readouterr().out


SPLIT = """apiVersion: trimtab.dev/v1alpha1
kind: Model
metadata: {name: churn, namespace: crm}
spec:
  task: TASK
  data: {uri: rows.csv, label: y, key: id, labelDelay: 24h}
  rollout: {strategy: ab, maxDuration: 8d, ab: {share: 20, effect: "+0.01"}}
"""


def test_a_plan_of_an_ab_tells_callers_and_time(server: ApiServer, tmp_path: Path, capsys: Any) -> None:
    document = tmp_path / "model.yaml"
    document.write_text(SPLIT.replace("TASK", "binary"))
    with pytest.raises(InvalidInput, match="no A/B of 'churn' has counted any callers yet"):
        show_plan(document, Given(), NOWHERE, "crm", as_json=True)
    with pytest.raises(InvalidInput, match="--mean 2: a share of a binary task lies between 0 and 1"):
        show_plan(document, Given(1.0, mean=2.0), NOWHERE, "crm", as_json=True)
    assert show_plan(document, Given(1.0, mean=0.1), NOWHERE, "crm", as_json=True)
    given = json.loads(capsys.readouterr().out)["steps"][0]
    assert (given["weight"], given["guard"], given["requests"]) == (20, "label", 48_825)
    assert not show_plan(document, Given(0.01, mean=0.1), NOWHERE, "crm", as_json=False)
    assert "out of reach: the end comes first" in capsys.readouterr().out
    arms = {"champion": {"callers": 800, "labels": 1600, "mean": 0.1}, "candidate": {"callers": 200, "labels": 400, "mean": 0.1}}
    outcomes = {**arms, "spread": 0.36, "kurtosis": 9.0, "until": "2026-01-01T00:10:00Z"}
    put_release(server, "churn-1", Phase.ROLLOUT, model="churn", evidence={"outcomesSince": "2026-01-01T00:00:00Z", "outcomes": outcomes})
    assert show_plan(document, Given(), NOWHERE, "crm", as_json=True)
    counted = json.loads(capsys.readouterr().out)
    assert (counted["requestsPerSecond"], counted["steps"][0]["requests"]) == (1.7, 48_825)
    document.write_text(SPLIT.replace("TASK", "regression"))
    with pytest.raises(InvalidInput, match="of numbers --deviation is needed too"):
        show_plan(document, Given(1.0, mean=2.0), NOWHERE, "crm", as_json=True)
