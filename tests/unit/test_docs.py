"""What the docs show is so."""

import json
import re
import shlex
import socket
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import click
import msgspec
import pytest
import typer.main
import yaml

from trimtab.actions import Word
from trimtab.audit.record import AuditRecord, Stand
from trimtab.cli.app import app
from trimtab.control.notices import of_record
from trimtab.documents import parse_model
from trimtab.errors import Unavailable
from trimtab.events import BREAKER_OPENED, ESCALATION, PROMOTED, ROLLED_BACK, CloudEvent, structured
from trimtab.platforms.kubernetes.crds import KINDS
from trimtab.platforms.kubernetes.endpoints import Numbers
from trimtab.platforms.kubernetes.identity import SENDER
from trimtab.platforms.kubernetes.objects import FINALIZER, FIRST_CUT
from trimtab.platforms.kubernetes.runs import TrainingSettings
from trimtab.platforms.webhook import Webhook
from trimtab.release import Phase
from trimtab.spec import API_VERSION, Champion, Version
from trimtab.training.evaluation.reference import REFERENCE_ROWS
from trimtab.training.reproduce import Reproduced

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_reference_is_what_the_code_says() -> None:
    made = subprocess.run([sys.executable, "docs/generate.py", "-"], capture_output=True, text=True, check=True, cwd=ROOT)
    assert (ROOT / "docs" / "reference.md").read_text() == made.stdout, "run `make generate`"


def test_the_document_in_the_readme_is_a_model() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert [parse_model(block).name for block in blocks] == ["bike-demand"]


def test_the_expectations_that_the_page_of_data_shows_can_be_declared() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "data.md").read_text(), re.DOTALL)
    document: dict[str, Any] = {
        "apiVersion": "trimtab.dev/v1alpha1",
        "kind": "Model",
        "metadata": {"name": "a"},
        "spec": {"task": "regression"},
    }
    document["spec"] |= {"data": {"uri": "a.csv", "label": "demand", **yaml.safe_load(block)["data"]}}
    assert len(parse_model(json.dumps(document)).spec.data.expect) == 5


def test_the_page_by_hand_lists_the_words_that_there_are_and_a_policy_that_can_be_declared() -> None:
    page = (ROOT / "docs" / "by-hand.md").read_text()
    fleet = set(re.findall(r"^\| `([a-z]+)` \|", (ROOT / "docs" / "pipelines-fleet.md").read_text(), re.MULTILINE))
    assert fleet == {"halt", "resume", "revert"}
    assert set(re.findall(r"^\| `([a-z]+)` \|", page, re.MULTILINE)) == set(get_args(Word)) - (fleet - {"resume"})
    (block,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    spec = {"task": "regression", "data": {"uri": "a.csv", "label": "y"}, **yaml.safe_load(block)}
    model = parse_model(json.dumps({"apiVersion": API_VERSION, "kind": "Model", "metadata": {"name": "a"}, "spec": spec}))
    assert model.spec.approval_policy.separation_of_duties


def test_every_command_that_the_page_by_hand_shows_is_one() -> None:
    for line in re.findall(r"^    trimtab (.*)$", (ROOT / "docs" / "by-hand.md").read_text(), re.MULTILINE):
        words = shlex.split(line, comments=True)
        command = typer.main.get_command(app)
        for word in words[: 2 if words[0] == "rollout" else 1]:
            command = command.get_command(click.Context(command), word)  # type: ignore[attr-defined]
        assert command.make_context(line, words[2 if words[0] == "rollout" else 1 :])


def test_the_page_of_data_lists_the_checks_that_there_are() -> None:
    listed = set(re.findall(r"`([a-z]+)`", " ".join(re.findall(r"^\| (`[a-z`, ]+) \| [^|]*\|[^|]*\|$", data_page(), re.MULTILINE))))
    made = set(re.findall(r"Check\(\s*\"([a-z]+)\"", code("trimtab/training")))
    assert listed == made - {"data", "available"}


def data_page() -> str:
    return (ROOT / "docs" / "data.md").read_text()


def test_the_version_that_the_page_makes_again_has_the_rows_that_it_would_keep() -> None:
    page = (ROOT / "docs" / "versions.md").read_text()
    trained = int(re.findall(r"for the ([\d,]+) rows of bike-demand", page.replace("\n", " "))[0].replace(",", ""))
    made = Reproduced(True, min(trained, REFERENCE_ROWS), 0, 0.0, True, ())
    assert f"version 2 of 'bike-demand': {made.sentence}\n" in page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_a_page_shows_exists(page: Path) -> None:
    reference = (ROOT / "docs" / "reference.md").read_text()
    known = set(re.findall(r"^\| `trimtab ((?:local )?[a-z]+)", reference, re.MULTILINE))
    shown = set(re.findall(r"`?trimtab ((?:local )?[a-z]+)(?= |`|\n)", page.read_text()))
    words = {command for command in shown if command.split()[0] in {known_command.split()[0] for known_command in known} | {"local"}}
    assert words <= known | {"local"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_make_target_that_the_readme_shows_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"make ([a-z-]+)", (ROOT / "README.md").read_text())) <= targets


def operations(heading: str) -> str:
    """One section of operations.md."""
    return (ROOT / "docs" / "operations.md").read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]


def code(folder: str) -> str:
    return "".join(path.read_text() for path in sorted((ROOT / folder).rglob("*.py")))


def test_every_condition_and_reason_in_operations_is_in_the_code() -> None:
    rows = re.findall(r"^\| (?:Model|Release)[^|]* \| (\w+) \| (.*) \|$", operations("Conditions"), re.MULTILINE)
    assert {kind for kind, _ in rows} == {"Ready", "Reconciled", "Finished", "Paused", "Promoted", "Reachable", "Reconciling", "Stalled"}
    written = code("trimtab/platforms/kubernetes")
    names = {kind for kind, _ in rows} | {name for _, reasons in rows for name in re.findall(r"`(\w+)`", reasons)}
    assert [name for name in sorted(names) if f'"{name}"' not in written and f'"{name}: ' not in written] == []


def test_the_metrics_in_operations_are_the_controllers() -> None:
    table = re.findall(r"^\| (`trimtab_.*?) \|", operations("Metrics"), re.MULTILINE)
    shown = {name for cell in table for name in re.findall(r"`(\w+)`", cell)}
    page = Numbers().page().decode()
    known = re.findall(r"^# TYPE (trimtab_\w+) (?:counter|gauge)$", page, re.MULTILINE)
    assert shown == {name for name in known if not name.endswith("_created")}


@pytest.mark.parametrize("short", ["ttm", "ttr"])
def test_the_columns_in_operations_are_what_kubectl_prints(short: str) -> None:
    table = operations("Look").split(f"| `kubectl get {short}` |")[1].split("\n\n")[0]
    shown = {name for cell in re.findall(r"^\| ([A-Z][^|]*) \|", table, re.MULTILINE) for name in cell.split(", ")}
    kind = next(one for one in KINDS if one.short == short)
    assert shown == {column.name for column in kind.columns if not column.priority} - {"Age"}


def test_the_template_in_operations_is_one_that_a_model_may_have() -> None:
    page = operations("The InferenceService")
    [shown] = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    data = {"uri": "s3://a/b.csv", "label": "y"}
    spec = {"task": "regression", "data": data, **yaml.safe_load(shown)}
    model = parse_model(json.dumps({"apiVersion": API_VERSION, "kind": "Model", "metadata": {"name": "a"}, "spec": spec}))
    assert set(model.spec.serving.template) == {"nodeSelector", "tolerations", "labels", "maxReplicas", "model"}


def test_annotation_and_finalizer_are_called_as_in_the_code() -> None:
    shown = set(re.findall(r"`(trimtab\.dev/[a-z-]+)", operations("Annotation, finalizer, deletion")))
    assert shown == {FIRST_CUT, FINALIZER}


def notifications(kind: str) -> str:
    """The one block of that kind on the page of notifications."""
    (block,) = re.findall(rf"```{kind}\n(.*?)```", (ROOT / "docs" / "notifications.md").read_text(), re.DOTALL)
    return str(block)


def test_the_notification_that_is_shown_is_the_one_that_is_sent() -> None:
    old, new = Champion("6", "aaaa", 3, "churn-1"), Champion("7", "bbbb", 4, "churn-800fe7c491")
    moment = datetime(2026, 3, 1, 12, tzinfo=UTC)
    made = AuditRecord(
        sequence=41,
        at=moment,
        phase=Phase.ROLLOUT,
        reason="ChampionSwapped",
        sentence="version 7 becomes champion",
        weight=100,
        evidence="",
        previous="",
        hash="76ff3a0e",
        data_time=moment - timedelta(hours=13),
        namespace="crm",
        model="churn",
        model_uid="u",
        release="churn-800fe7c491",
        release_uid="v",
        before=Stand(Phase.ROLLOUT, 2, 100, old),
        champion=new,
        candidate=Version("7", "bbbb"),
    )
    (event,) = of_record(made)
    assert structured(event) == json.loads(notifications("json"))


def test_the_types_and_reasons_of_notifications_are_those_in_the_code() -> None:
    page = (ROOT / "docs" / "notifications.md").read_text().split("## What is told")[1].split("```json")[0]
    cells = [row.split("|") for row in page.splitlines() if row.startswith("|")][2:]
    assert {name for row in cells for name in re.findall(r"`(dev\.[a-z.0-9]+)`", row[1])} == {
        PROMOTED,
        ROLLED_BACK,
        ESCALATION,
        BREAKER_OPENED,
    }
    written = code("trimtab/rollout") + code("trimtab/control")
    reasons = [name for row in cells for name in re.findall(r"`(\w+)`", row[3])]
    assert [name for name in reasons if f'"{name}"' not in written] == []


def test_the_receiver_that_is_shown_tells_an_event_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    (tmp_path / "receiver.py").write_text(notifications("python").replace("9000", str(port)))
    event = CloudEvent("1", "/test", PROMOTED, subject="crm/churn", data={"sentence": "version 7 becomes champion"})
    with subprocess.Popen([sys.executable, str(tmp_path / "receiver.py")], stdout=subprocess.PIPE, text=True) as receiver:
        try:
            webhook, ends, pause = Webhook(f"http://127.0.0.1:{port}"), time.monotonic() + 20, threading.Event()
            for number in ("1", "1", "2"):
                while True:
                    try:
                        webhook.post(msgspec.structs.replace(event, id=number))
                        break
                    except Unavailable:
                        assert time.monotonic() < ends, "the receiver does not listen"
                        pause.wait(0.05)
        finally:
            receiver.kill()
        assert receiver.stdout
        assert receiver.stdout.read() == f"crm/churn {PROMOTED} version 7 becomes champion\n" * 2


def blocks(page: str) -> list[list[Any]]:
    """The YAML documents of a page, by block."""
    found = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)
    return [list(yaml.safe_load_all(text)) for text in found]


def test_every_value_that_the_docs_name_is_one_of_the_charts() -> None:
    values = yaml.safe_load((ROOT / "helm" / "trimtab" / "values.yaml").read_text())
    for page in ("install.md", "operations.md"):
        shown = re.findall(r"`([a-z]\w+(?:\.\w+)+)(?:[:=][^`]*)?`", (ROOT / "docs" / page).read_text().split("\n# On a cluster\n")[-1])
        named = [name.split(".") for name in shown if name.split(".")[0] in values]
        assert named
        for path in named:
            found: Any = values
            for part in path:
                assert part in found, f"{page}: {'.'.join(path)}"
                found = found[part]


def test_credentials_for_kubeflow_pipelines_are_given_as_install_shows() -> None:
    (values,) = next(block for block in blocks("install.md") if "training" in block[0])
    assert len(msgspec.convert(values["training"], TrainingSettings).env) == 2


def test_what_install_binds_for_an_announcement_is_what_it_asks_for_and_no_more() -> None:
    token, asking, sending = next(block for block in blocks("install.md") if len(block) == 3)
    (rule,) = token["rules"]
    assert rule == {"apiGroups": [""], "resources": ["serviceaccounts/token"], "resourceNames": ["pipeline-runner"], "verbs": ["create"]}
    assert asking["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": token["kind"], "name": token["metadata"]["name"]}
    assert asking["metadata"]["namespace"] == token["metadata"]["namespace"] == asking["subjects"][0]["namespace"]
    assert sending["subjects"] == asking["subjects"] == [{"kind": "ServiceAccount", "name": "pipeline-runner", "namespace": "kubeflow"}]
    assert (sending["roleRef"]["kind"], sending["roleRef"]["name"]) == ("ClusterRole", SENDER)
    installed = yaml.safe_load_all((ROOT / "manifests" / "base" / "rbac-people.yaml").read_text())
    role = next(body for body in installed if body["metadata"]["name"] == SENDER)
    assert role["rules"] == [{"apiGroups": ["trimtab.dev"], "resources": ["models/events"], "verbs": ["create"]}]


def test_the_tutorials_document_is_a_model() -> None:
    command = re.search(r"```sh\n(.*?)```", (ROOT / "docs" / "tutorial-cluster.md").read_text(), re.DOTALL)
    assert command
    text = subprocess.run(["bash", "-c", command[1]], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    model = parse_model(text)
    assert (model.metadata.namespace, list(model.metadata.annotations)) == ("bike-demand", [FIRST_CUT])
    assert "://" in model.spec.data.uri
