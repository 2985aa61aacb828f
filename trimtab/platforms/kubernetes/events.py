"""Kubernetes Events on transitions, with constant reasons: what `kubectl describe` and `kubectl events` tell a person.

An Event is named by its decision's hash, so that telling it twice makes one. They inform and nothing depends on them: what cannot be
told is logged and forgotten.
"""

import hashlib
import logging
from datetime import UTC, datetime
from typing import Any

from trimtab.errors import Conflict, TrimtabError
from trimtab.pipeline_rollout import PipelineRollout
from trimtab.platforms.kubernetes.api import Api
from trimtab.platforms.kubernetes.resources import EVENTS, MANAGED_BY, MODELS, PIPELINE_ROLLOUTS, RELEASES, Resource
from trimtab.release import DecisionRecord, Phase, Release
from trimtab.spec import Model

log = logging.getLogger(__name__)

REPORTER = "trimtab.dev/controller"
_NOTE = 1000
_BAD = (Phase.ROLLED_BACK, Phase.FAILED, Phase.REJECTED, Phase.INCONCLUSIVE)


class Recorder:
    """Tells Events about Releases and their Models."""

    def __init__(self, api: Api, instance: str) -> None:
        """`instance` is the controller's own name."""
        self._api, self._instance = api, instance

    def decided(self, release: Release, record: DecisionRecord) -> None:
        """Tell one decision: on the Release, and on its Model where it is an end or a new champion."""
        outcome = release.status.outcome
        kind = "Warning" if release.status.phase in _BAD or (outcome and outcome.phase in _BAD) else "Normal"
        self._tell(_regarding(RELEASES, release), record.hash[:16], kind, record.reason, record.sentence)
        if release.terminal or record.reason == "ChampionSwapped":
            metadata = {"name": release.spec.model, "namespace": release.metadata.namespace, "uid": release.spec.model_uid}
            self._tell(_reference(MODELS, metadata), record.hash[:16], kind, record.reason, f"{release.name}: {record.sentence}")

    def told(self, item: Model | PipelineRollout, reason: str, sentence: str, kind: str = "Warning") -> None:
        """Tell something of a Model or a roll-out, such as why it cannot be reconciled, or that it was halted."""
        name = f"{reason.lower()}.{hashlib.sha256(f'{item.metadata.uid}/{sentence}'.encode()).hexdigest()[:16]}"
        self._tell(_regarding(MODELS if isinstance(item, Model) else PIPELINE_ROLLOUTS, item), name, kind, reason, sentence)

    def _tell(self, regarding: dict[str, str], suffix: str, kind: str, reason: str, note: str) -> None:
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        metadata = {"name": f"{regarding['name']}.{suffix}", "namespace": regarding["namespace"], "labels": MANAGED_BY}
        body: dict[str, Any] = {
            "metadata": metadata,
            "eventTime": now,
            "reportingController": REPORTER,
            "reportingInstance": self._instance[:128],
            "action": reason,
            "reason": reason,
            "regarding": regarding,
            "note": note.encode()[:_NOTE].decode(errors="ignore"),
            "type": kind,
        }
        try:
            self._api.create(EVENTS, body)
        except Conflict:
            log.debug("the Event %s was told before", metadata["name"])
        except TrimtabError as error:
            log.info("an Event could not be told: %s", error)


def _regarding(resource: Resource, item: Release | Model | PipelineRollout) -> dict[str, str]:
    metadata = {"name": item.metadata.name, "namespace": item.metadata.namespace, "uid": item.metadata.uid}
    return _reference(resource, metadata)


def _reference(resource: Resource, metadata: dict[str, str]) -> dict[str, str]:
    return {"apiVersion": resource.api_version, "kind": resource.kind, **metadata}
