"""The compiled pipeline as it goes to Kubeflow Pipelines: named by its content, so that an equal one is uploaded once.

A pipeline's first version carries the pipeline's own name whatever it holds; its content's name is then in the pipeline's description.
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


class Package(Struct, frozen=True):
    """A compiled pipeline: its name, its version (of the content), and the content."""

    name: str
    version: str
    content: bytes


class Pinned(Struct, frozen=True):
    """A version as a run refers to it. Without the version's id the newest would be run, whoever uploaded it."""

    pipeline_id: str
    pipeline_version_id: str


def package(compiled: Path, image: str = "") -> Package:
    """The compiled pipeline with every task in `image` (empty: in the image that it was compiled with)."""
    content = compiled.read_bytes()
    parts: list[dict[str, Any]] = list(yaml.safe_load_all(content))
    executors = parts[0]["deploymentSpec"]["executors"].values()
    if image and any(executor["container"]["image"] != image for executor in executors):
        for executor in executors:
            executor["container"]["image"] = image
        content = yaml.safe_dump_all(parts, sort_keys=True).encode()
    return Package(f"{MANAGER}-{parts[0]['pipelineInfo']['name']}", hashlib.sha256(content).hexdigest()[:32], content)


def ensure(client: KfpClient, asked: Package, namespace: str = "") -> Pinned:
    """The version with that content, uploaded where there is none; another who uploads it at the same moment is no error."""
    mark = f"sha256:{asked.version}"
    found = client.pipeline(asked.name, namespace)
    if found is None:
        description = f"Made by Trimtab. The first version is {mark}"
        found = _or(
            lambda: client.upload_pipeline(asked.name, description, asked.content, namespace),
            lambda: client.pipeline(asked.name, namespace),
        )
    pipeline_id = str(found["pipeline_id"])
    names = [asked.name, asked.version] if mark in str(found.get("description", "")) else [asked.version]
    for name in names:
        version = _named(client, pipeline_id, name)
        if version is not None:
            return _pinned(version)
    version = _or(
        lambda: client.upload_version(pipeline_id, asked.version, asked.content), lambda: _named(client, pipeline_id, asked.version)
    )
    return _pinned(version)


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
