"""Where Models, Releases and audit records live for a command: the state folder of this directory, or a namespace of a cluster."""

import getpass
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from trimtab.audit.record import AuditRecord
from trimtab.control.ports import Objects
from trimtab.errors import InvalidInput, Unavailable
from trimtab.release import Release
from trimtab.spec import Model


class Archive(Protocol):
    """The audit store, as it is read."""

    def of(self, release: Release) -> list[AuditRecord]:
        """All records about a Release, first to last."""

    def records(self) -> Iterator[AuditRecord]:
        """All records, in the order of each chain."""


class Place(Struct, frozen=True):
    """`who` names the person who acts; `watermark` is a Model's data time, None where it is not known."""

    objects: Objects
    archive: Archive
    who: Callable[[str], str]
    watermark: Callable[[Model], datetime | None]


def place(folder: Path, namespace: str | None) -> Place:
    """The cluster of the current kubeconfig where a namespace is given, else the state folder."""
    return _local(folder) if namespace is None else _cluster(namespace)


def _local(folder: Path) -> Place:
    from trimtab.platforms.local import lock
    from trimtab.platforms.local.ledger import SqliteLedger
    from trimtab.platforms.local.objects import SqliteObjects
    from trimtab.platforms.local.state import State
    from trimtab.platforms.monitor_client import MonitorClient

    state = State(folder)
    objects = SqliteObjects(state.existing().database)

    def watermark(model: Model) -> datetime | None:
        if lock.holder(state.lock_file) is None:
            return None
        try:
            return MonitorClient(state.endpoints.get("events", "").removesuffix("/events"), lambda: state.secret).watermark(model)
        except Unavailable:
            return None

    return Place(objects, SqliteLedger(state.database), lambda by: by or getpass.getuser(), watermark)


def _cluster(namespace: str) -> Place:
    try:
        from trimtab.platforms.kubernetes.api import Api, Namespaces, connect
        from trimtab.platforms.kubernetes.ledger import KubernetesLedger
        from trimtab.platforms.kubernetes.objects import KubernetesObjects

        api = Api(connect())
    except ImportError as error:
        msg = "the Kubernetes client is not installed here: pip install 'trimtab[controller]'"
        raise InvalidInput(msg) from error
    me: list[str] = []

    def who(by: str) -> str:
        if by:
            return by
        if not me:
            review = api.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", {"kind": "SelfSubjectReview"})
            me.append(review["status"]["userInfo"]["username"])
        return me[0]

    def watermark(model: Model) -> datetime | None:
        return model.status.monitoring.watermark if model.status.monitoring else None

    objects = KubernetesObjects(api, Namespaces(api, [namespace]))
    return Place(objects, KubernetesLedger(api, namespace=namespace), who, watermark)
