"""kubectl habits: explain reads like documentation, and get shows how things stand."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from tests.cluster.crd_kit import ACTION, MINIMAL, RELEASE, ROLLOUT, Cluster, entry, installed
from tests.cluster.tools import needs_cluster
from trimtab.pipeline_rollout import Counts, PipelineRolloutStatus
from trimtab.platforms.kubernetes.crds import KINDS
from trimtab.release import ReleaseStatus
from trimtab.spec import Rollout

pytestmark = needs_cluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with installed() as own:
        yield own


def undescribed(schema: dict[str, Any], path: str) -> list[str]:
    """The paths of all fields without a description."""
    found = []
    for name, one in schema.get("properties", {}).items():
        if path or name not in ("metadata",):
            found += [] if one.get("description") else [f"{path}.{name}"]
            found += undescribed(one, f"{path}.{name}")
    return found + (undescribed(schema["items"], f"{path}[]") if "items" in schema else [])


def test_the_api_server_describes_every_field(cluster: Cluster) -> None:
    served = json.loads(cluster.do("get", "--raw", "/openapi/v3/apis/trimtab.dev/v1alpha1"))["components"]["schemas"]
    for kind in KINDS:
        schema = served[f"dev.trimtab.v1alpha1.{kind.resource.kind}"]
        assert schema["description"]
        assert undescribed(schema, "") == []


def test_explain_reads_like_documentation(cluster: Cluster) -> None:
    text = cluster.do("explain", "model.spec.rollout")
    assert "How a candidate takes over the traffic." in text
    fields = text.split("FIELDS:")[1]
    for name in Rollout.__struct_encode_fields__:
        after = fields.split(f"\n  {name}\t", 1)[1].split("\n", 1)[1].split("\n\n")[0]
        sentence = after.split("\n", 1)[-1] if after.lstrip().startswith("enum:") else after
        assert sentence.strip().endswith("."), f"{name} has no sentence"
    assert "Default: 2h." in " ".join(fields.split())


def test_get_shows_how_a_model_stands(cluster: Cluster) -> None:
    made = cluster.made(MINIMAL)
    status = {
        "champion": {"version": "7", "digest": "d"},
        "monitoring": {"drift": "0.31", "sentence": "hum moved by 0.31", "watermark": "2026-03-01T00:00:00Z"},
        "lastRelease": {"name": "bikes-0123456789", "phase": "Baking"},
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "Serving",
                "message": "version 7 serves",
                "lastTransitionTime": "2026-03-01T00:00:00Z",
            }
        ],
    }
    assert cluster.patched(made, {"status": status}, status=True).code == 0
    name = made["metadata"]["name"]
    head, row = (line.split() for line in cluster.do("get", "ttm", name).splitlines())
    assert head == ["NAME", "READY", "CHAMPION", "DRIFT", "LAST", "RELEASE", "PHASE", "AGE"]
    assert row[:-1] == [name, "True", "7", "0.31", "bikes-0123456789", "Baking"]
    assert "version 7 serves" in cluster.do("get", "ttm", name, "-o", "wide")
    assert name in cluster.do("get", "trimtab")


def test_get_shows_how_a_release_stands(cluster: Cluster) -> None:
    made = cluster.made(RELEASE)
    status = msgspec.to_builtins(ReleaseStatus(reason="Admitted", sentence="nothing stands against it"))
    assert cluster.patched(made, {"status": status}, status=True).code == 0
    name = made["metadata"]["name"]
    head, row = cluster.do("get", "ttr", name).splitlines()
    assert head.split() == ["NAME", "MODEL", "PHASE", "VERSION", "WEIGHT", "TRIGGER", "REASON", "AGE"]
    assert row.split()[:-1] == [name, "bikes", "Pending", "0", "person", "Admitted"], "phase and weight are told from the start"
    assert "nothing stands against it" in cluster.do("get", "ttr", name, "-o", "wide")


def test_get_shows_how_far_a_roll_out_is(cluster: Cluster) -> None:
    made = cluster.made(ROLLOUT)
    status = msgspec.to_builtins(PipelineRolloutStatus(counts=Counts(models=20, done=1), reason="StageUnderWay", sentence="stage 1 of 3"))
    assert cluster.patched(made, {"status": status}, status=True).code == 0
    name = made["metadata"]["name"]
    head, row = (line.split() for line in cluster.do("get", "ttp", name).splitlines())
    assert head == ["NAME", "PIPELINE", "VERSION", "CHANNEL", "PHASE", "STAGE", "DONE", "BAD", "MODELS", "AGE"]
    assert row[:-1] == [name, "churn", "1.4.0", "stable", "Progressing", "1", "1", "0", "20"]
    assert "stage 1 of 3" in cluster.do("get", "ttp", name, "-o", "wide")


def test_get_shows_what_people_said(cluster: Cluster) -> None:
    made = cluster.made(ACTION)
    head, row = (line.split() for line in cluster.do("get", "tta", made["metadata"]["name"]).splitlines())
    assert head == ["NAME", "RELEASE", "ACTION", "USER", "AGE"]
    assert row[1:-1] == ["bikes-0123456789", "approve", "ada"]
    cluster.do("create", "-f", "-", body=entry(1))
    head, row = (line.split() for line in cluster.do("get", "ttd", "0000000001").splitlines())
    assert head == ["NAME", "RELEASE", "PHASE", "WEIGHT", "BY", "REASON", "AGE"]
    assert row[:4] == ["0000000001", "bikes-0123456789", "Training", "0"]
