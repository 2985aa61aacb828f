"""What the tests of the CRDs share: kubectl in a namespace of the test's own, and an object of each kind."""

import json
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from tests.cluster.tools import until
from tests.unit.audit.drafts import draft
from trimtab.platforms.kubernetes.crds import KINDS
from trimtab.release import Release

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


DESIGN = """
apiVersion: trimtab.dev/v1alpha1
kind: Model
metadata: {name: churn}
spec:
  task: binary
  data: {uri: "s3://crm/churn/*.parquet", time: seen_at, label: left, key: case_id, exclude: [refund_total], history: 180d, labelDelay: 24h}
  training:
    pipeline: {name: tabular, version: 1.0.0}
    runner: kfp
    search: {budget: {trials: 40, time: 5m}, estimators: [xgboost]}
  gates:
    - {metric: roc_auc, notWorseThan: champion, margin: "-0.005"}
    - {metric: roc_auc, min: 0.7}
  approval: automatic
  serving: {replicas: 2, gateway: gateways/ingress, resources: {requests: {cpu: 100m}}}
  rollout:
    strategy: canary
    steps: [5, 25, 50]
    maxDuration: 2h
    guard: {errors: {margin: "+0.01"}, slow: {threshold: 250ms, margin: "+0.02"}}
    bake: {duration: 48h, quality: {margin: "x1.05"}}
  monitoring:
    window: {rows: 5000, every: 24h}
    drift: {detector: tabular, effect: 0.2, persistence: 2 of 5}
    performance: {margin: "x1.1"}
  retraining:
    "on": [performance, concept, drift, schedule, newData]
    schedule: {cron: "0 3 * * 1", timeZone: Europe/Berlin}
    newData: {by: count, rows: 5000}
    cooldown: 24h
    maxPerDay: 2
    breaker: {failures: 3, reset: 7d}
  deletionPolicy: Orphan
"""
MINIMAL: dict[str, Any] = {
    "apiVersion": "trimtab.dev/v1alpha1",
    "kind": "Model",
    "metadata": {"name": "bikes"},
    "spec": {"task": "regression", "data": {"uri": "https://rows.example.com/bikes.csv", "label": "demand"}},
}
RELEASE: dict[str, Any] = {
    "apiVersion": "trimtab.dev/v1alpha1",
    "kind": "Release",
    "metadata": {"name": "bikes-0123456789"},
    "spec": {
        "model": "bikes",
        "modelUid": "u",
        "recipe": "r",
        "request": {"trigger": "person", "source": "/cli", "id": "1", "cut": "2026-03-01T00:00:00Z", "by": "ada", "event": {"a": {"b": 1}}},
    },
}
ACTION: dict[str, Any] = {
    "apiVersion": "trimtab.dev/v1alpha1",
    "kind": "ReleaseAction",
    "metadata": {"name": "approve-1"},
    "spec": {"release": "bikes-0123456789", "action": "approve", "user": "ada", "reason": "looked at it"},
}
ROLLOUT: dict[str, Any] = {
    "apiVersion": "trimtab.dev/v1alpha1",
    "kind": "PipelineRollout",
    "metadata": {"name": "churn-stable-1-4-0"},
    "spec": {"pipeline": {"name": "churn", "version": "1.4.0", "digest": "ab"}, "channel": "stable"},
}


class Said(Struct, frozen=True):
    """What kubectl said."""

    code: int
    out: str
    err: str

    @property
    def words(self) -> str:
        """Standard error on one line."""
        return " ".join(self.err.split())


class Cluster:
    """kubectl in a namespace of the test's own."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace

    def kubectl(self, *words: str, body: Any = None) -> Said:
        text = None if body is None else json.dumps(body)
        made = subprocess.run(
            ["kubectl", "-n", self.namespace, *words],
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return Said(made.returncode, made.stdout, made.stderr)

    def do(self, *words: str, body: Any = None) -> str:
        """The output of what has to succeed."""
        said = self.kubectl(*words, body=body)
        assert said.code == 0, said.err
        return said.out

    def tried(self, body: Any) -> Said:
        """A create that is only tried: everything is asked, nothing is kept."""
        return self.kubectl("create", "--dry-run=server", "-f", "-", body=body)

    def made(self, body: Any) -> dict[str, Any]:
        """The object as the API server keeps it, under a name of its own."""
        named = deepcopy(body) | {"metadata": {"name": f"t-{uuid.uuid4().hex[:12]}"}}
        return json.loads(self.do("create", "-o", "json", "-f", "-", body=named))

    def patched(self, item: dict[str, Any], patch: Any, *, status: bool = False) -> Said:
        """A merge patch of the object."""
        words = ["--subresource=status"] if status else []
        return self.kubectl(
            "patch", item["kind"].lower(), item["metadata"]["name"], "--type=merge", "-p", json.dumps(patch), "-o", "json", *words
        )


def entry(number: int, sentence: str = "so") -> dict[str, Any]:
    """An AuditEntry of that number."""
    release = msgspec.convert(RELEASE | {"metadata": {"name": "bikes-0123456789", "uid": "u"}}, Release)
    record = replace(draft(release, sentence=sentence), sequence=number, hash=f"{number:064d}")
    return {
        "apiVersion": "trimtab.dev/v1alpha1",
        "kind": "AuditEntry",
        "metadata": {"name": f"{number:010d}"},
        "record": json.loads(msgspec.json.encode(record)),
    }


@contextmanager
def namespace() -> Iterator[Cluster]:
    own = Cluster(f"crds-{uuid.uuid4().hex[:8]}")
    own.do("create", "namespace", own.namespace)
    try:
        yield own
    finally:
        own.kubectl("delete", "namespace", own.namespace, "--wait=false")


@contextmanager
def installed() -> Iterator[Cluster]:
    """A namespace on a cluster that has the CRDs; they stay, for other tests that run beside this one."""
    with namespace() as own:
        own.do("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "manifests" / "crds"))
        own.do("wait", "--for=condition=Established", "--timeout=30s", *(f"crd/{kind.resource.plural}.trimtab.dev" for kind in KINDS))
        until(lambda: own.tried(MINIMAL).code == 0)
        yield own


def changed(body: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy of the object with one field changed."""
    made = deepcopy(body)
    here = made
    *way, last = path.split(".")
    for word in way:
        here = here.setdefault(word, {})
    here[last] = value
    return made
