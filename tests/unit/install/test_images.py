"""What the images are made of, and when they are made anew."""

import shlex
import sys
import tomllib

import pytest
from botocore.exceptions import EndpointConnectionError
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

COUNTER = """
import pathlib, sys
log = pathlib.Path(sys.argv[1])
log.write_text((log.read_text() if log.exists() else "") + sys.argv[2] + "\\n")
"""


def test_every_image_has_its_stage_and_its_extra(builder):
    text = builder.DOCKERFILE.read_text()
    assert set(builder.IMAGES) <= set(builder.stages(text))
    for image in builder.IMAGES:
        cut = builder.cut(text, image)
        extra = {"predictor": "serving"}.get(image, image)
        assert f"/layers/{extra}.txt /opt/layers/\n" in cut
        assert builder.stages(cut).keys() >= {"base", image}
        assert not set(builder.stages(cut)) & (set(builder.IMAGES) - {image}), "one image is not built on another"


def test_every_image_runs_as_nobody_in_particular_and_names_its_commit(builder):
    text = builder.DOCKERFILE.read_text()
    for image in builder.IMAGES:
        last = builder.stages(text)[image]
        assert "USER 65532:65532\n" in last
        assert "ENV TRIMTAB_COMMIT=$TRIMTAB_COMMIT\n" in last
        assert "pip install" not in last


def test_stages_are_cut_with_all_that_they_are_built_on(builder):
    text = (
        "# one\nFROM a AS tools\nRUN x\n\nFROM a AS base\nRUN y\n\n"
        "FROM base AS left\nCOPY --from=tools /t /t\n\nFROM base AS right\nRUN z\n"
    )
    assert list(builder.stages(builder.cut(text, "left"))) == ["tools", "base", "left"]
    assert list(builder.stages(builder.cut(text, "right"))) == ["base", "right"]


def test_the_charts_mlflow_finds_in_its_image_what_its_database_and_artifacts_need(builder, monkeypatch):
    declared = tomllib.loads((builder.ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["training"]
    assert {"psycopg[binary]>=3.2", "boto3>=1.40"} <= set(declared), "PostgreSQL, and s3://; gs:// comes with kfp"
    with pytest.raises(OperationalError, match=r"127\.0\.0\.1"):
        create_engine("postgresql+psycopg://user@127.0.0.1:9/mlflow").connect()
    given = {
        "MLFLOW_S3_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_MAX_ATTEMPTS": "1",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(EndpointConnectionError, match=r"127\.0\.0\.1:9/bucket"):
        get_artifact_repository("s3://bucket/mlflow").list_artifacts()


@pytest.mark.parametrize(
    ("image", "touched", "again"),
    [
        pytest.param("detectors", "trimtab/monitoring/worker.py", True, id="the worker is of ours in the detectors' image"),
        pytest.param("detectors", "trimtab/monitoring/alibi_tests.py", True, id="and what it computes"),
        pytest.param("detectors", "trimtab/locked.py", True, id="and what takes the network from it"),
        pytest.param("detectors", "trimtab/spec.py", False, id="nothing else of Trimtab is in it"),
        pytest.param("explainer", "serving/explainer/worker.py", True, id="Alibi's worker is in the explainer's image"),
        pytest.param("explainer", "trimtab/locked.py", True, id="with the same"),
        pytest.param("explainer", "trimtab/control/loop.py", False, id="it knows the nouns alone"),
        pytest.param("predictor", "trimtab/errors.py", True, id="the nouns are in the predictor's image"),
        pytest.param("predictor", "trimtab/platforms/kubernetes/api.py", False, id="the controller is not"),
        pytest.param("controller", "trimtab/platforms/kubernetes/api.py", True, id="but in its own"),
        pytest.param("monitor", "components/train.py", False, id="components run in the training image only"),
        pytest.param("training", "components/train.py", True, id="and there they do"),
        pytest.param("fetch", "uv.lock", True, id="the lock is in all of them"),
    ],
)
def test_an_image_is_built_again_when_its_content_changed(builder, monkeypatch, tmp_path, image, touched, again):
    for path in ("uv.lock", "pyproject.toml", "images/layers.sh", "images/install.sh", touched):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path)
    monkeypatch.setattr(builder, "ROOT", tmp_path)
    script, log = tmp_path / "count.py", tmp_path / "log"
    script.write_text(COUNTER)
    command = shlex.join([sys.executable, str(script), str(log)]) + " {tag}"
    tag = f"trimtab/{image}:1"
    assert "built" in builder.build(image, tag, command, "")
    assert "unchanged" in builder.build(image, tag, command, "")
    assert "built" in builder.build(image, tag, command, "false"), "the builder does not have it any more"
    (tmp_path / touched).write_text("changed")
    assert ("built" in builder.build(image, tag, command, "")) is again
    assert log.read_text().splitlines() == [tag] * (3 if again else 2)


def test_a_failed_build_leaves_no_stamp(builder, monkeypatch, tmp_path):
    monkeypatch.setattr(builder, "ROOT", tmp_path)
    with pytest.raises(SystemExit, match=r"false trimtab/fetch:1 failed with exit code 1"):
        builder.build("fetch", "trimtab/fetch:1", "false {tag}", "")
    assert "built" in builder.build("fetch", "trimtab/fetch:1", "true {tag}", "")
