"""Writes the CRDs from the nouns: `python -m trimtab.platforms.kubernetes.crds [FOLDER]`.

What is declared here is only what no noun knows: short names, the columns of `kubectl get`, and the rules that need an API server to
see them, most of them because they compare an object with what it was before.
"""

import sys
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct

from trimtab.audit.record import AuditEntry
from trimtab.people_rules import ACTION_RULES, PIPELINE_ROLLOUT_RULES
from trimtab.pipeline_rollout import PipelineRollout
from trimtab.platforms.kubernetes.resources import ACTIONS, AUDIT, GROUP, MODELS, PIPELINE_ROLLOUTS, RELEASES, Resource
from trimtab.platforms.kubernetes.schemas import schema_of
from trimtab.release import TERMINAL, Release, ReleaseAction
from trimtab.rules import RULES, Rule
from trimtab.spec import Model
from trimtab.status import Phase

FOLDER = Path(__file__).parents[3] / "manifests" / "crds"
HEAD = "# Generated from the nouns by `make generate`; do not edit.\n"


class Column(Struct, frozen=True):
    """A column of `kubectl get`; one of priority 1 is shown with `-o wide` only."""

    name: str
    path: str
    type: str = "string"
    priority: int = 0


class Kind(Struct, frozen=True):
    """All that makes one CRD."""

    resource: Resource
    shape: type[Struct]
    short: str
    columns: tuple[Column, ...]
    rules: tuple[Rule, ...]


UNSEEN = {"observedGeneration": -1}
"""The status of an object that no controller has looked at yet: without it, kstatus takes a new object for one that is as it should be."""
AGE = Column("Age", ".metadata.creationTimestamp", "date")
_READY = '.status.conditions[?(@.type=="Ready")]'
_GENERATION = "(has({0}.generation) ? {0}.generation : 1)"
_ENDED = ", ".join(f"'{phase}'" for phase in Phase if phase in TERMINAL)

NAME = Rule(
    name="name",
    on="",
    cel="self.metadata.name.matches('^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$')",
    message="metadata.name: allowed is a name of at most 40 small letters, digits and hyphens, the first a letter",
)
WHOLE_URI = Rule(
    name="uri-whole",
    on="spec.data",
    at="uri",
    cel="self.uri.contains('://') || self.uri.startsWith('/')",
    message="allowed on a cluster is a whole address such as s3://bucket/rows/*.parquet; there is no folder that a relative path starts in",
)
WHOLE_WATCH = Rule(
    name="newdata-uri-whole",
    on="spec.retraining.newData",
    at="uri",
    cel="!has(self.uri) || self.uri.contains('://') || self.uri.startsWith('/')",
    message=WHOLE_URI.message,
)
EXPLAINER_NAME = Rule(
    name="explainer-name",
    on="",
    cel="!has(self.spec.serving) || !has(self.spec.serving.explainer) || self.metadata.name.size() <= 38",
    message="spec.serving.explainer: allowed where metadata.name has at most 38 characters, for the explainer's own name is longer",
)
CHAMPION_GROWS = Rule(
    name="champion-grows",
    on="status.champion",
    cel=(
        f"{_GENERATION.format('self')} > {_GENERATION.format('oldSelf')} || (self.version == oldSelf.version && "
        f"self.digest == oldSelf.digest && {_GENERATION.format('self')} == {_GENERATION.format('oldSelf')})"
    ),
    message="another champion has a greater generation; it never falls",
)
RELEASE_FIXED = Rule(
    name="release-fixed", on="spec", cel="self == oldSelf", message="a Release's spec never changes; ask for another Release"
)
ENDED_STAYS = Rule(
    name="ended-stays",
    on="status.phase",
    cel=f"!(oldSelf in [{_ENDED}]) || self == oldSelf",
    message="a Release that has ended stays as it ended",
)
ACTION_FIXED = Rule(
    name="action-fixed", on="spec", cel="self == oldSelf", message="what a person said never changes; create another ReleaseAction"
)
ROLLOUT_FIXED = Rule(
    name="rollout-fixed",
    on="spec",
    cel="self.pipeline == oldSelf.pipeline && self.channel == oldSelf.channel",
    message="what is rolled out where never changes; maxBad and stages may",
)
ENTRY_NAME = Rule(
    name="entry-name",
    on="",
    cel="self.metadata.name.matches('^[0-9]{10}$') && int(self.metadata.name) == self.record.sequence",
    message="metadata.name: allowed is record.sequence with ten digits",
)
ENTRY_FIXED = Rule(name="entry-fixed", on="record", cel="self == oldSelf", message="a decision that was recorded never changes")

KINDS = (
    Kind(
        MODELS,
        Model,
        "ttm",
        (
            Column("Ready", _READY + ".status"),
            Column("Champion", ".status.champion.version"),
            Column("Drift", ".status.monitoring.drift"),
            Column("Last release", ".status.lastRelease.name"),
            Column("Phase", ".status.lastRelease.phase"),
            Column("Task", ".spec.task", priority=1),
            Column("Watermark", ".status.monitoring.watermark", priority=1),
            Column("Reason", _READY + ".reason", priority=1),
            Column("Message", _READY + ".message", priority=1),
            AGE,
        ),
        (*RULES, NAME, WHOLE_URI, WHOLE_WATCH, EXPLAINER_NAME, CHAMPION_GROWS),
    ),
    Kind(
        RELEASES,
        Release,
        "ttr",
        (
            Column("Model", ".spec.model"),
            Column("Phase", ".status.phase"),
            Column("Version", ".status.candidate.version"),
            Column("Weight", ".status.weight", "integer"),
            Column("Trigger", ".spec.request.trigger"),
            Column("Reason", ".status.reason"),
            Column("Sentence", ".status.sentence", priority=1),
            AGE,
        ),
        (NAME, RELEASE_FIXED, ENDED_STAYS),
    ),
    Kind(
        ACTIONS,
        ReleaseAction,
        "tta",
        (
            Column("Release", ".spec.release"),
            Column("Rollout", ".spec.pipelineRollout", priority=1),
            Column("Action", ".spec.action"),
            Column("User", ".spec.user"),
            Column("Reason", ".spec.reason", priority=1),
            AGE,
        ),
        (*ACTION_RULES, NAME, ACTION_FIXED),
    ),
    Kind(
        PIPELINE_ROLLOUTS,
        PipelineRollout,
        "ttp",
        (
            Column("Pipeline", ".spec.pipeline.name"),
            Column("Version", ".spec.pipeline.version"),
            Column("Channel", ".spec.channel"),
            Column("Phase", ".status.phase"),
            Column("Stage", ".status.stage", "integer"),
            Column("Done", ".status.counts.done", "integer"),
            Column("Bad", ".status.counts.bad", "integer"),
            Column("Models", ".status.counts.models", "integer"),
            Column("Reason", ".status.reason", priority=1),
            Column("Sentence", ".status.sentence", priority=1),
            AGE,
        ),
        (*PIPELINE_ROLLOUT_RULES, NAME, ROLLOUT_FIXED),
    ),
    Kind(
        AUDIT,
        AuditEntry,
        "ttd",
        (
            Column("Release", ".record.release"),
            Column("Phase", ".record.phase"),
            Column("Weight", ".record.weight", "integer"),
            Column("By", ".record.by"),
            Column("Reason", ".record.reason"),
            Column("Sentence", ".record.sentence", priority=1),
            AGE,
        ),
        (ENTRY_NAME, ENTRY_FIXED),
    ),
)


def crd(kind: Kind) -> dict[str, Any]:
    """The CustomResourceDefinition of a kind, as a plain document."""
    resource = kind.resource
    version: dict[str, Any] = {"name": resource.version, "served": True, "storage": True}
    if "status" in kind.shape.__struct_fields__:
        version["subresources"] = {"status": {}}
    version["additionalPrinterColumns"] = [_column(column) for column in kind.columns]
    schema = schema_of(kind.shape, kind.rules)
    if "observedGeneration" in schema["properties"].get("status", {}).get("properties", {}):
        schema["properties"]["status"]["default"] = UNSEEN
    version["schema"] = {"openAPIV3Schema": schema}
    names = {
        "kind": resource.kind,
        "listKind": f"{resource.kind}List",
        "plural": resource.plural,
        "singular": resource.kind.lower(),
        "shortNames": [kind.short],
        "categories": ["trimtab"],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{resource.plural}.{GROUP}", "labels": {"app.kubernetes.io/name": "trimtab"}},
        "spec": {"group": GROUP, "names": names, "scope": "Namespaced", "versions": [version]},
    }


def documents() -> dict[str, str]:
    """The text of each CRD's file, by the file's name."""
    return {
        f"{kind.resource.plural}.{GROUP}.yaml": HEAD + yaml.safe_dump(crd(kind), sort_keys=False, width=140, allow_unicode=True)
        for kind in KINDS
    }


def main(folder: Path = FOLDER) -> None:
    """Write all files into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in documents().items():
        (folder / name).write_text(text)


def _column(column: Column) -> dict[str, Any]:
    wide = {"priority": column.priority} if column.priority else {}
    return {"name": column.name, "type": column.type, "jsonPath": column.path, **wide}


if __name__ == "__main__":
    main(*(Path(folder) for folder in sys.argv[1:2]))
