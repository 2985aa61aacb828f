"""What people say to a Release: one object a word, so that it takes no right to write the Release itself.

The sentence below a field is its description: in `kubectl explain`, in the CRDs and in the reference (`described.py`).
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from trimtab.evidence import Frozen
from trimtab.spec import Metadata


class ActionSpec(Frozen, frozen=True):
    """A person's word on a Release: what, who and why."""

    release: Annotated[str, Meta(min_length=1, max_length=253)]
    """The Release's name."""
    action: Literal["approve", "reject", "abort", "rollback", "pause", "resume", "promote"]
    """approve or reject what awaits approval; cancel what has not been promoted; rollback what has."""
    user: Annotated[str, Meta(min_length=1, max_length=1024)]
    """Who says so: the name that the API server knows the person by (`kubectl auth whoami`)."""
    reason: Annotated[str, Meta(max_length=4096)] = ""
    """Why."""

    @property
    def sentence(self) -> str:
        """The word as it is told."""
        return f"{self.user} asked to {self.action}" + (f": {self.reason}" if self.reason else "")


class ReleaseAction(Struct, frozen=True, rename="camel", omit_defaults=True):
    """How a person acts: by creating one of these, which takes no right to write the Release itself."""

    metadata: Metadata
    spec: ActionSpec
    api_version: Literal["trimtab.dev/v1alpha1"] = "trimtab.dev/v1alpha1"
    kind: Literal["ReleaseAction"] = "ReleaseAction"
