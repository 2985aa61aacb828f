"""The GitOps example: kustomize builds it, its Models are Models, and each tool finds what it is told to look for."""

import json
import re
import shutil
import subprocess

import pytest
import yaml

from tests.unit.install.conftest import ROOT
from trimtab.documents import parse_model
from trimtab.release import BAD_ENDS, TERMINAL, Phase

EXAMPLE = ROOT / "examples" / "gitops"
HEALTH = EXAMPLE / "argocd" / "health"
OVERLAYS = sorted(path.parent for path in EXAMPLE.glob("models/*/overlays/*/kustomization.yaml"))
BUILDS = sorted(path.parent for path in EXAMPLE.rglob("kustomization.yaml"))


def of_kind(bodies, kind):
    return [body for body in bodies if body["kind"] == kind]


def documents(name):
    return list(yaml.safe_load_all((EXAMPLE / name).read_text()))


@pytest.fixture
def built():
    """What `kubectl kustomize` makes of a folder."""
    kubectl = shutil.which("kubectl")
    if not kubectl:
        pytest.skip("kubectl is not on the PATH: nothing can be built with kustomize")

    def build(folder):
        done = subprocess.run([kubectl, "kustomize", str(folder)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return list(yaml.safe_load_all(done.stdout))

    return build


@pytest.mark.parametrize("folder", BUILDS, ids=lambda folder: str(folder.relative_to(EXAMPLE)))
def test_every_folder_builds(built, folder):
    assert built(folder)


CHANNELS = {"staging": "latest", "prod": "stable"}


@pytest.mark.parametrize("folder", OVERLAYS, ids=lambda folder: folder.name)
def test_an_overlay_makes_models_of_one_namespace_on_the_channel_of_its_environment(built, folder):
    bodies = built(folder)
    (namespace,) = of_kind(bodies, "Namespace")
    models = [parse_model(json.dumps(body)) for body in of_kind(bodies, "Model")]
    assert {model.name for model in models} == {"churn", "visits"}
    for model in models:
        assert model.metadata.namespace == namespace["metadata"]["name"] == f"crm-{folder.name}"
        assert model.spec.training.pipeline.channel == CHANNELS[folder.name]
        assert model.spec.pipeline_policy.keys, "nothing that nobody signed can be published on a channel"


def test_nothing_in_git_is_what_trimtab_writes(built):
    for folder in OVERLAYS:
        for body in of_kind(built(folder), "Model"):
            assert not {"status"} & body.keys()
            assert not {"finalizers", "ownerReferences"} & body["metadata"].keys()


def test_the_config_map_is_the_scripts(built):
    (found,) = built(HEALTH)
    assert (found["metadata"]["name"], found["metadata"]["namespace"]) == ("argocd-cm", "argocd")
    prefix = "resource.customizations.health.trimtab.dev_"
    assert found["data"] == {f"{prefix}{path.stem}": path.read_text() for path in HEALTH.glob("*.lua")}


def test_no_difference_has_to_be_ignored():
    for path in EXAMPLE.rglob("*.yaml"):
        assert "ignoreDifferences" not in path.read_text(), path


def test_argo_cds_application_set_finds_every_overlay():
    (models,) = of_kind(documents("argocd/models.yaml"), "ApplicationSet")
    (generator,) = models["spec"]["generators"]
    (pattern,) = generator["git"]["directories"]
    found = [path for path in EXAMPLE.glob(pattern["path"]) if path.is_dir()]
    assert sorted(found) == OVERLAYS
    assert [path.relative_to(EXAMPLE).parts[1] for path in found] == ["crm", "crm"], "the name is made of the second part and the last"


def test_flux_looks_at_folders_that_are_there_and_waits_for_what_it_makes(built):
    wanted = {body["metadata"]["name"]: body["spec"] for body in documents("flux/cluster.yaml")}
    for spec in wanted.values():
        assert (EXAMPLE / spec["path"] / "kustomization.yaml").is_file()
        assert {one["name"] for one in spec.get("dependsOn", [])} <= wanted.keys()
    made = {(body["kind"], body["metadata"]["name"], body["metadata"].get("namespace")) for body in built(EXAMPLE / "flux" / "trimtab")}
    checks = wanted["trimtab"]["healthChecks"]
    assert {(one["kind"], one["name"], one["namespace"]) for one in checks} <= made


def test_fluxs_release_reads_the_values_under_their_generated_name(built):
    bodies = built(EXAMPLE / "flux" / "trimtab")
    (release,), (values,) = of_kind(bodies, "HelmRelease"), of_kind(bodies, "ConfigMap")
    assert release["spec"]["valuesFrom"] == [{"kind": "ConfigMap", "name": values["metadata"]["name"]}]
    assert values["data"]["values.yaml"] == (EXAMPLE / "trimtab" / "values.yaml").read_text()
    assert (ROOT / release["spec"]["chart"]["spec"]["chart"] / "Chart.yaml").is_file()


def test_fluxs_expressions_speak_of_every_phase():
    (expressions,) = next(body for body in documents("flux/cluster.yaml") if "healthCheckExprs" in body["spec"])["spec"]["healthCheckExprs"]
    said = {name: set(re.findall(r"'(\w+)'", expressions[name])) for name in ("inProgress", "failed")}
    assert said == {"inProgress": {str(one) for one in Phase if one not in TERMINAL}, "failed": {str(one) for one in BAD_ENDS}}


@pytest.mark.usefixtures("helm")
def test_the_chart_renders_the_same_each_time_with_the_examples_values(generate):
    given = yaml.safe_load((EXAMPLE / "trimtab" / "values.yaml").read_text())
    rendered = [generate.render(given) for _ in range(2)]
    assert rendered[0] == rendered[1], "a GitOps tool that renders it anew would see a change each time"
    assert "signing" not in rendered[0], "the key is in no manifest"
