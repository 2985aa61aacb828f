"""How an installation makes runs: its document is read, or one sentence says what is wrong in it."""

from pathlib import Path

import pytest

from trimtab.errors import InvalidInput
from trimtab.platforms.kubernetes.runs import Named, Runs, SecretKey, Source, Variable, read_runs

WHOLE = """
training:
  image: registry.example/training:2
  imagePullSecrets: [{name: registry}]
  existingSecret: credentials
  serviceAccountName: trainer
  resources: {requests: {cpu: 2, memory: 8Gi}, limits: {memory: 8Gi}}
  scratchSize: 20Gi
  deadline: 6h
  ttl: 90m
  retries: 0
  env:
    - {name: AWS_REGION, value: eu-west-1}
    - {name: AWS_SECRET_ACCESS_KEY, valueFrom: {secretKeyRef: {name: bucket, key: secret, optional: true}}}
kfp: {url: "http://ml-pipeline.kubeflow:8888", multiUser: true, page: "https://kubeflow.example/_/pipeline/", deadline: 1d}
"""


def read(folder: Path, text: str) -> Runs:
    (folder / "runs.yaml").write_text(text)
    return read_runs(folder / "runs.yaml")


def test_all_that_may_be_said(tmp_path: Path) -> None:
    training, kfp = (runs := read(tmp_path, WHOLE)).training, runs.kfp
    assert (training.image, training.image_pull_secrets) == ("registry.example/training:2", (Named("registry"),))
    assert (training.existing_secret, training.service_account_name) == ("credentials", "trainer")
    assert (training.resources.requests, training.resources.limits) == ({"cpu": 2, "memory": "8Gi"}, {"memory": "8Gi"})
    assert (training.scratch_size, training.deadline, training.ttl, training.retries) == ("20Gi", "6h", "90m", 0)
    secret = Variable("AWS_SECRET_ACCESS_KEY", value_from=Source(SecretKey("bucket", "secret", optional=True)))
    assert training.env == (Variable("AWS_REGION", "eu-west-1"), secret)
    assert (kfp.url, kfp.multi_user, kfp.deadline) == ("http://ml-pipeline.kubeflow:8888", True, "1d")


def test_nothing_need_be_said(tmp_path: Path) -> None:
    assert read(tmp_path, "{}") == Runs()
    assert Runs().kfp.url == "", "no Kubeflow Pipelines"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param(
            "training: {deadlin: 2h}",
            "training.deadlin: unknown field; allowed here are image, imagePullPolicy, imagePullSecrets, env",
            id="a typo",
        ),
        pytest.param("jobs: {}", "jobs: unknown field; allowed here are training, kfp", id="another part"),
        pytest.param(
            "training: {deadline: soon}", "training.deadline: found 'soon', allowed is a duration of at least a second", id="a word"
        ),
        pytest.param("training: {ttl: 0s}", "training.ttl: found '0s', allowed is a duration of at least a second", id="no time at all"),
        pytest.param("training: {ttl: 500ms}", "training.ttl: found '500ms'", id="less than Kubernetes can count"),
        pytest.param("training: {ttl: 1000w}", "training.ttl: found '1000w'", id="more than Kubernetes can count"),
        pytest.param("training: {retries: -1}", "training.retries: found -1, allowed is a number from 0 to 10", id="fewer than none"),
        pytest.param(
            "training: {resources: {limits: {memory: lots}}}",
            "training.resources.limits[...]: found {'memory': 'lots'}, allowed is an amount such as",
            id="no amount",
        ),
        pytest.param(
            "training: {env: [{value: x}]}", "training.env[0].name: is missing and has no default", id="a variable without a name"
        ),
        pytest.param(
            "training: {env: [{name: A, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]}",
            "training.env[0].valueFrom.fieldRef: unknown field; allowed here are secretKeyRef",
            id="what Kubeflow Pipelines could not give",
        ),
        pytest.param(
            "training: {existingSecret: My Secret}", "training.existingSecret: found 'My Secret', allowed is the name", id="no name"
        ),
        pytest.param("kfp: {url: ml-pipeline:8888}", "kfp.url: found 'ml-pipeline:8888', allowed is an address http://", id="no scheme"),
        pytest.param("kfp: {multiUser: 1}", "kfp.multiUser: found 1, allowed is true or false", id="neither true nor false"),
        pytest.param("- training", "how training runs are made is a mapping with training and kfp, found list", id="a list"),
        pytest.param("training: [", "not YAML at line", id="no YAML"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(InvalidInput) as error:
        read(tmp_path, text)
    assert f"runs.yaml: {sentence}" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read: No such file"):
        read_runs(tmp_path / "absent.yaml")
