"""The compiled pipeline as it goes to Kubeflow Pipelines: named by its content, so that an equal one is uploaded once.

A pipeline's first version carries the pipeline's own name whatever it holds; its content's name is then in the pipeline's description. A
version of a published pipeline is called as that (1.4.0), with its content's name in its description; where somebody else has taken the
name, or the installation's settings were changed since, its content's name has to do.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct

from trimtab.errors import Conflict, Unavailable
from trimtab.platforms.kubernetes.kfp_client import KfpClient
from trimtab.platforms.kubernetes.resources import MANAGER
from trimtab.platforms.kubernetes.runs import TrainingSettings
from trimtab.spec import PipelineVersion


class Upload(Struct, frozen=True):
    """A compiled pipeline: its name, its version (of the content), the content, and what the version is called where it was published."""

    name: str
    version: str
    content: bytes
    called: str = ""

    @property
    def mark(self) -> str:
        """What a description says of the content."""
        return f"sha256:{self.version}"


class Pinned(Struct, frozen=True):
    """A version as a run refers to it. Without the version's id the newest would be run, whoever uploaded it."""

    pipeline_id: str
    pipeline_version_id: str


def upload(compiled: Path, settings: TrainingSettings, published: PipelineVersion | None = None) -> Upload:
    """The compiled pipeline (its IR, and what it says for Kubernetes) with the installation's image, pull secrets and environment.

    A `published` one keeps the images that it was published with.
    """
    content = compiled.read_bytes()
    parts: list[dict[str, Any]] = list(yaml.safe_load_all(content))
    if len(parts) == 1:
        parts.append({"platforms": {"kubernetes": {"deploymentSpec": {"executors": {}}}}})
    tasks = parts[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for name, executor in parts[0]["deploymentSpec"]["executors"].items():
        if published is None:
            executor["container"]["image"] = settings.image
        _fill(executor["container"], tasks.setdefault(name, {}), settings)
    if parts != list(yaml.safe_load_all(content)):
        content = yaml.safe_dump_all(parts, sort_keys=True).encode()
    name, called = (published.name, published.version) if published else (parts[0]["pipelineInfo"]["name"], "")
    return Upload(f"{MANAGER}-{name}", hashlib.sha256(content).hexdigest()[:32], content, called)


def _fill(container: dict[str, Any], task: dict[str, Any], settings: TrainingSettings) -> None:
    """Set what is the installation's in one task: its container, and what kfp-kubernetes would have written for it."""
    plain = {one["name"]: one.get("value", "") for one in container.get("env", [])}
    secret = []
    for variable in settings.env:
        plain.pop(variable.name, None)
        if variable.value_from is None:
            plain[variable.name] = variable.value
        else:
            key = variable.value_from.secret_key_ref
            keys = [{"secretKey": key.key, "envVar": variable.name}]
            secret.append({**_named_secret(key.name), "keyToEnv": keys, "optional": key.optional})
    container["env"] = [{"name": name, "value": value} for name, value in plain.items()]
    if secret:
        task["secretAsEnv"] = secret
    if settings.image_pull_policy != "IfNotPresent":
        task["imagePullPolicy"] = settings.image_pull_policy
    if settings.image_pull_secrets:
        task["imagePullSecret"] = [_named_secret(one.name) for one in settings.image_pull_secrets]


def _named_secret(name: str) -> dict[str, Any]:
    """A Secret's name twice: as Kubeflow Pipelines reads it today, and as it did before names could be parameters."""
    return {"secretName": name, "secretNameParameter": {"runtimeValue": {"constant": name}}}


def ensure(client: KfpClient, asked: Upload, namespace: str = "") -> Pinned:
    """The version with that content, uploaded where there is none; another who uploads it at the same moment is no error."""
    found = client.pipeline(asked.name, namespace)
    if found is None:
        description = f"Made by Trimtab. The first version is {asked.mark}"
        found = _or(
            lambda: client.upload_pipeline(asked.name, description, asked.content, namespace),
            lambda: client.pipeline(asked.name, namespace),
        )
    pipeline_id = str(found["pipeline_id"])
    if asked.called:
        version = _called(client, pipeline_id, asked)
        if version is not None:
            return _pinned(version)
    names = [asked.name, asked.version] if asked.mark in str(found.get("description", "")) else [asked.version]
    for name in names:
        version = _named(client, pipeline_id, name)
        if version is not None:
            return _pinned(version)
    version = _or(
        lambda: client.upload_version(pipeline_id, asked.version, asked.content), lambda: _named(client, pipeline_id, asked.version)
    )
    return _pinned(version)


def _called(client: KfpClient, pipeline_id: str, asked: Upload) -> dict[str, Any] | None:
    """The version that is called as the published one, uploaded where there is none; None where another content has that name."""
    version = _named(client, pipeline_id, asked.called) or _or(
        lambda: client.upload_version(pipeline_id, asked.called, asked.content, f"Published as {asked.called}, {asked.mark}"),
        lambda: _named(client, pipeline_id, asked.called),
    )
    return version if asked.mark in str(version.get("description", "")) else None


def _named(client: KfpClient, pipeline_id: str, name: str) -> dict[str, Any] | None:
    return next((item for item in client.versions(pipeline_id, name) if name in (item.get("display_name"), item.get("name"))), None)


def _or(make: Callable[[], dict[str, Any]], look: Callable[[], dict[str, Any] | None]) -> dict[str, Any]:
    try:
        return make()
    except Conflict as error:
        found = look()
        if found is None:
            msg = f"what somebody else uploads at the same moment is not to be seen yet: {error}"
            raise Unavailable(msg) from error
        return found


def _pinned(version: dict[str, Any]) -> Pinned:
    return Pinned(str(version["pipeline_id"]), str(version["pipeline_version_id"]))
