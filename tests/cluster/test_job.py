"""Training Jobs on a real cluster, in a namespace that enforces the restricted Pod Security Standard: the very document of the product
with a small program in the pipeline's place."""

import os
import re
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.cluster.tools import needs_cluster, until
from tests.unit.training.data import last, model, spec
from trimtab.control.ports import RunRequest
from trimtab.errors import Unavailable
from trimtab.platforms.kubernetes.api import Api, connect
from trimtab.platforms.kubernetes.job_runner import JobRunner
from trimtab.platforms.kubernetes.resources import JOBS, NAMESPACES, PODS, RELEASES, Resource
from trimtab.platforms.kubernetes.runs import TrainingSettings
from trimtab.spec import Metadata

pytestmark = needs_cluster

ROOT = Path(__file__).parents[2]
IMAGE = os.environ.get("TRIMTAB_TEST_IMAGE", "python:3.11-slim")
ABSENT = ("absent", "")

GOOD = """
import json, os, pathlib
assert json.loads(os.environ["TRIMTAB_REQUEST"])["release_uid"]
assert (os.getuid(), os.getgid()) == (65532, 65532)
for folder in ("/tmp", "/work"):
    pathlib.Path(folder, "file").write_text("x")
assert not os.path.exists("/var/run/secrets/kubernetes.io/serviceaccount/token")
try:
    pathlib.Path("/file").write_text("x")
except OSError as error:
    assert error.errno == 30, error
else:
    raise AssertionError("the root is writable")
"""
SLEEP = "import time; time.sleep(600)"
SECRETS = Resource("", "v1", "secrets", "Secret")
CREDENTIALS = """
import os
assert os.environ["MLFLOW_TRACKING_USERNAME"] == "ada"
assert os.environ["AWS_ACCESS_KEY_ID"] == "of the bucket"
assert "AWS_SECRET_ACCESS_KEY" not in os.environ
assert os.environ["TRIMTAB_TRACKING_URI"] == "http://mlflow:5000", "ours comes last"
"""
FAIL = """
import sys
open("/dev/termination-log", "w").write("Unavailable: MLflow is away")
sys.exit({code})
"""


class Site:
    """A namespace, and Releases in it whose Jobs run a program of the test's."""

    def __init__(self) -> None:
        self.api = Api(connect())
        self.namespace = f"job-{uuid.uuid4().hex[:8]}"
        labels = {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/enforce-version": "latest"}
        self.api.create(NAMESPACES, {"metadata": {"name": self.namespace, "labels": labels}})
        self.releases: dict[str, str] = {}

    def request(self, name: str) -> RunRequest:
        """A request for a Release that exists."""
        request = {"trigger": "person", "source": "/test", "id": name, "cut": last().isoformat()}
        body = {"model": "toy", "modelUid": "u", "recipe": "r", "request": request}
        made = self.api.create(RELEASES, {"metadata": {"name": name, "namespace": self.namespace}, "spec": body})
        self.releases[made["metadata"]["uid"]] = name
        toy = msgspec.structs.replace(model(spec(Path("a.csv"))), metadata=Metadata("toy", self.namespace))
        return RunRequest(name, made["metadata"]["uid"], 1, toy, last())

    def runner(self, program: str, **settings: Any) -> JobRunner:
        """The runner; every call makes one that remembers nothing."""
        small = {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "1", "memory": "128Mi"}}
        given = msgspec.convert({"image": IMAGE, "resources": small, "scratchSize": "16Mi", **settings}, TrainingSettings)
        return JobRunner(self.api, self._find, given, "http://mlflow:5000", ("python", "-c", program))

    def _find(self, uid: str) -> tuple[str, str, str] | None:
        return (self.namespace, self.releases[uid], "job") if uid in self.releases else None

    def pods(self, request: RunRequest) -> list[dict[str, Any]]:
        """The pods of the request's run."""
        return self.api.list(PODS, self.namespace, f"trimtab.dev/release-uid={request.release_uid}")

    def ended(self, runner: JobRunner, request: RunRequest, seconds: float = 60.0) -> str:
        """Wait until the run has ended; returns its fault."""
        until(lambda: runner.state(request.release_uid, 1)[0] == "ended", seconds)
        return runner.state(request.release_uid, 1)[1]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    crds = str(ROOT / "manifests" / "crds")
    subprocess.run(["kubectl", "apply", "--server-side", "--force-conflicts", "-f", crds], check=True, capture_output=True)
    names = ["kubectl", "wait", "--for=condition=Established", "--timeout=30s", f"crd/{RELEASES.plural}.trimtab.dev"]
    subprocess.run(names, check=True, capture_output=True)
    found = Site()
    yield found
    found.api.delete(NAMESPACES, "", found.namespace)


def test_a_run_is_one_job_that_a_restricted_namespace_takes(site: Site) -> None:
    asked = site.request("good")
    runner = site.runner(GOOD)
    assert runner.state(asked.release_uid, 1) == ABSENT
    runner.submit(asked)
    assert runner.state(asked.release_uid, 1)[0] == "active", "right after the submit"
    site.runner(GOOD).submit(asked)
    assert site.ended(runner, asked) == ""
    runner.submit(asked)
    assert site.ended(site.runner(GOOD), asked) == ""
    assert len(site.api.list(JOBS, site.namespace, f"trimtab.dev/release-uid={asked.release_uid}")) == 1
    assert len(site.pods(asked)) == 1


def test_a_failure_is_retried_once_and_told_in_the_runs_own_words(site: Site) -> None:
    asked = site.request("fails")
    runner = site.runner(FAIL.format(code=1))
    runner.submit(asked)
    assert site.ended(runner, asked, 90) == "Unavailable: MLflow is away"
    assert len(site.pods(asked)) == 2


def test_what_a_person_must_mend_is_not_retried(site: Site) -> None:
    asked = site.request("invalid")
    runner = site.runner(FAIL.format(code=2))
    runner.submit(asked)
    assert site.ended(runner, asked) == "Unavailable: MLflow is away"
    assert len(site.pods(asked)) == 1


def test_a_process_that_dies_without_a_word_is_told_by_its_logs_end(site: Site) -> None:
    asked = site.request("dies")
    runner = site.runner("import nothing.at.all", retries=0)
    runner.submit(asked)
    assert site.ended(runner, asked) == "ModuleNotFoundError: No module named 'nothing'"


def test_memory_is_told(site: Site) -> None:
    asked = site.request("eats")
    runner = site.runner("a = bytearray(1 << 30)", retries=0)
    runner.submit(asked)
    assert site.ended(runner, asked) == "the run's process was killed for want of memory (OOMKilled)"


def test_a_run_ends_at_its_deadline(site: Site) -> None:
    asked = site.request("sleeps")
    runner = site.runner(SLEEP, deadline="3s")
    runner.submit(asked)
    assert site.ended(runner, asked) == "the run did not end within 0:00:03"


def test_credentials_come_from_the_secrets_of_the_namespace(site: Site) -> None:
    whole = {"MLFLOW_TRACKING_USERNAME": "ada", "TRIMTAB_TRACKING_URI": "http://elsewhere"}
    for name, content in (("training", whole), ("bucket", {"id": "of the bucket"})):
        site.api.create(SECRETS, {"metadata": {"name": name, "namespace": site.namespace}, "stringData": content})
    keys = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key"}
    env = [{"name": name, "valueFrom": {"secretKeyRef": {"name": "bucket", "key": key, "optional": True}}} for name, key in keys.items()]
    asked = site.request("credentials")
    runner = site.runner(CREDENTIALS, existingSecret="training", env=env, retries=0)
    runner.submit(asked)
    assert site.ended(runner, asked) == ""


def test_a_cancelled_run_is_active_until_its_process_has_ended(site: Site) -> None:
    asked = site.request("cancelled")
    runner = site.runner(SLEEP)
    runner.submit(asked)
    until(lambda: any(pod["status"].get("phase") == "Running" for pod in site.pods(asked)))
    runner.cancel(asked.release_uid, 1)
    assert runner.state(asked.release_uid, 1) == ("active", "its Job was deleted, its pod is ending")
    runner.cancel(asked.release_uid, 1)
    until(lambda: site.runner(SLEEP).state(asked.release_uid, 1) == ABSENT)
    assert not any(pod["status"].get("phase") == "Running" for pod in site.pods(asked))
    runner.cancel(asked.release_uid, 1)


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        pytest.param("account", {"serviceAccountName": "nobody"}, 'its pod cannot be created: .*"nobody" not found', id="account"),
        pytest.param(
            "huge",
            {"resources": {"requests": {"cpu": 900, "memory": "16Mi"}}},
            "its pod cannot be scheduled: .*Insufficient cpu",
            id="node",
        ),
        pytest.param("image", {"image": "nowhere.invalid/nobody:1"}, "its pod waits: (ErrImagePull|ImagePullBackOff)", id="image"),
    ],
)
def test_what_keeps_a_run_waiting_is_told(site: Site, name: str, settings: dict[str, Any], words: str) -> None:
    asked = site.request(f"waits-{name}")
    runner = site.runner(SLEEP, **settings)
    runner.submit(asked)
    until(lambda: runner.state(asked.release_uid, 1)[1] != "", 90)
    state, said = runner.state(asked.release_uid, 1)
    assert state == "active"
    assert re.match(words, said), said
    runner.cancel(asked.release_uid, 1)
    until(lambda: runner.state(asked.release_uid, 1) == ABSENT)


def test_the_job_goes_with_its_release_and_a_release_of_the_same_name_waits_for_that(site: Site) -> None:
    asked = site.request("anew")
    runner = site.runner(SLEEP)
    runner.submit(asked)
    site.api.delete(RELEASES, site.namespace, "anew")
    again = site.request("anew")

    def submitted() -> bool:
        try:
            runner.submit(again)
        except Unavailable:
            return False
        return True

    until(submitted)
    assert runner.state(again.release_uid, 1)[0] == "active"
    job = site.api.get(JOBS, site.namespace, "anew-1")
    assert job is not None
    assert job["metadata"]["labels"]["trimtab.dev/release-uid"] == again.release_uid
    runner.cancel(again.release_uid, 1)
