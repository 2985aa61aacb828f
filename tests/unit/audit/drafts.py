"""Drafts of audit records for what stores them."""

from datetime import UTC, datetime
from typing import Any

from trimtab.audit.chain import follow
from trimtab.audit.record import AuditRecord, Stand
from trimtab.release import Phase, Release

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def draft(release: Release, reason: str = "Admitted", phase: Phase = Phase.TRAINING, **told: Any) -> AuditRecord:
    """A decision about the Release, as the loop gives it to a ledger."""
    given = {"sentence": "so", "weight": 0, "evidence": "0" * 64, "at": NOW, "data_time": NOW, **told}
    return AuditRecord(
        sequence=0,
        phase=phase,
        reason=reason,
        previous="",
        hash="",
        namespace=release.metadata.namespace,
        model=release.spec.model,
        model_uid=release.spec.model_uid,
        release=release.name,
        release_uid=release.metadata.uid,
        before=Stand(release.status.phase),
        **given,
    )


def record(release: Release, reason: str = "Admitted", phase: Phase = Phase.TRAINING, **told: Any) -> AuditRecord:
    """The same as the first record of a chain."""
    return follow(None, draft(release, reason, phase, **told), None)
