"""The installation that the end-to-end tests share: the chart, with its images on the cluster already (`make images`)."""

import json
import shutil
import subprocess
from pathlib import Path

from tests.cluster.tools import ROOT, eventually, kubectl
from tests.cluster.world import SYSTEM

CHART = ROOT / "helm" / "trimtab"
VALUES = ("monitor.replaying=true", "monitor.persistence.size=1Gi", "mlflow.persistence.size=1Gi")
KEPT = (
    "auditentries.trimtab.dev",
    "models.trimtab.dev",
    "pipelinerollouts.trimtab.dev",
    "releaseactions.trimtab.dev",
    "releases.trimtab.dev",
)


def helm(*arguments: str) -> str:
    """What helm prints; fails with what it says where it refuses."""
    done = subprocess.run(["helm", *arguments], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"helm {' '.join(arguments)}: {done.stderr}"
    return done.stdout


def install(*values: str) -> None:
    """Install or upgrade, and wait until all of it is ready."""
    words = [word for value in (*VALUES, *values) for word in ("--set", value)]
    adopt_crds()
    helm("upgrade", "--install", "trimtab", str(CHART), "-n", SYSTEM, "--create-namespace", "--wait", "--timeout", "3m", *words)


def adopt_crds() -> None:
    """CRDs that another test applied, or that an uninstalled chart kept, become the chart's."""
    found = [name for name in KEPT if kubectl("get", "crd", name, "--ignore-not-found", "-o", "name").strip()]
    for name in found:
        kubectl("label", "crd", name, "app.kubernetes.io/managed-by=Helm", "--overwrite")
        marks = ("meta.helm.sh/release-name=trimtab", f"meta.helm.sh/release-namespace={SYSTEM}")
        kubectl("annotate", "crd", name, *marks, "--overwrite")


def uninstall() -> None:
    """Uninstall, and wait until the pods are gone."""
    helm("uninstall", "trimtab", "-n", SYSTEM, "--wait", "--timeout", "2m", "--ignore-not-found")
    eventually("the end of the pods", lambda: not json.loads(kubectl("get", "pods", "-n", SYSTEM, "-o", "json"))["items"], 90)


def bases(folder: Path) -> Path:
    """A copy of the kustomize bases with a signing key, as docs/install.md has it made; returns the copy of `manifests`."""
    copy = folder / "manifests"
    shutil.copytree(ROOT / "manifests", copy)
    place = copy / "default"
    key = ["-keyout", str(place / "tls.key"), "-out", str(place / "tls.crt"), "-subj", "/CN=trimtab-signing", "-days", "3650"]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", *key]
    subprocess.run(command, check=True, capture_output=True)
    return copy


def controller_pod() -> str:
    """The name of the controller's pod, once there is one that is not on its way out."""

    def look() -> str:
        found = json.loads(kubectl("get", "pods", "-n", SYSTEM, "-l", "app.kubernetes.io/component=controller", "-o", "json"))["items"]
        return next((one["metadata"]["name"] for one in found if not one["metadata"].get("deletionTimestamp")), "")

    return eventually("the controller's pod", look, 60)


def kill_controller() -> None:
    """SIGKILL, as a node that dies: no goodbye to the API server, no Lease given away."""
    kubectl("delete", "pod", controller_pod(), "-n", SYSTEM, "--grace-period=0", "--force", check=False)
