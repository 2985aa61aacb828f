"""What people say to a Release: one object a word, so that it takes no right to write the Release itself.

The sentence below a field is its description: in `kubectl explain`, in the CRDs and in the reference (`described.py`).
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from trimtab.evidence import Frozen
from trimtab.spec import Metadata

Word = Literal["approve", "reject", "abort", "rollback", "pause", "resume", "promote"]


class ActionSpec(Frozen, frozen=True):
    """A person's word on a Release: what, who and why."""

    release: Annotated[str, Meta(min_length=1, max_length=253)]
    """The Release's name."""
    action: Word
    """approve or reject what awaits approval; abort what has not been promoted, rollback what has; pause a rollout, resume it, or
    promote it: to its next step, to `step` or to 100%, without waiting until the judge says that it is not worse."""
    user: Annotated[str, Meta(min_length=1, max_length=1024)]
    """Who says so: the name that the API server knows the person by (`kubectl auth whoami`)."""
    reason: Annotated[str, Meta(max_length=4096)] = ""
    """Why."""
    step: Annotated[int, Meta(ge=1, le=99)] | None = None
    """Of promote: the step to go to, counted from 1. Without it, and without `full`, the next one."""
    full: bool = False
    """Of promote: go to 100%."""

    @property
    def sentence(self) -> str:
        """The word as it is told."""
        where = " to 100%" if self.full else f" to step {self.step}" if self.step else ""
        return f"{self.user} asked to {self.action}{where}" + (f": {self.reason}" if self.reason else "")


class ReleaseAction(Struct, frozen=True, rename="camel", omit_defaults=True):
    """How a person acts: by creating one of these, which takes no right to write the Release itself."""

    metadata: Metadata
    spec: ActionSpec
    api_version: Literal["trimtab.dev/v1alpha1"] = "trimtab.dev/v1alpha1"
    kind: Literal["ReleaseAction"] = "ReleaseAction"
