"""What people say to a Release or a PipelineRollout: one object a word, so that it takes no right to write what it is said to.

The sentence below a field is its description: in `kubectl explain`, in the CRDs and in the reference (`described.py`).
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from msgspec import Meta, Struct

from trimtab.evidence import Frozen
from trimtab.spec import Metadata

Word = Literal["approve", "reject", "abort", "rollback", "pause", "resume", "promote", "halt", "revert"]
REMEMBERED = timedelta(hours=1)
"""How long after it was said a word is known by its uid; the clocks of those who keep words differ by less."""


class ActionSpec(Frozen, frozen=True):
    """A person's word on a Release or a PipelineRollout: what, who and why."""

    action: Word
    """Of a Release: approve or reject what awaits approval; abort what has not been promoted, rollback what has; pause a rollout, resume
    it, or promote it: to its next step, to `step` or to 100%, without waiting until the judge says that it is not worse. Of a
    PipelineRollout: halt it, resume it, or revert it."""
    user: Annotated[str, Meta(min_length=1, max_length=1024)]
    """Who says so: the name that the API server knows the person by (`kubectl auth whoami`)."""
    release: Annotated[str, Meta(max_length=253)] = ""
    """The name of the Release that it is said to."""
    pipeline_rollout: Annotated[str, Meta(max_length=253)] = ""
    """The name of the PipelineRollout that it is said to, in place of a Release."""
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


def unheard(heard: dict[str, datetime], said: ReleaseAction) -> bool:
    """Whether this word was not heard yet.

    Words are known by their uid, since several may have been said in one second and come late or out of order; those older than
    what is remembered were heard, whether or not their objects still exist.
    """
    return said.metadata.uid not in heard and (not heard or _said_at(said) > _oldest(heard))


def heard_with(heard: dict[str, datetime], said: ReleaseAction) -> dict[str, datetime]:
    """What was heard, once this word was heard too; what is older than what is remembered is forgotten."""
    heard = {**heard, said.metadata.uid: _said_at(said)}
    return {uid: at for uid, at in heard.items() if at > _oldest(heard)}


def _oldest(heard: dict[str, datetime]) -> datetime:
    return max(heard.values()) - REMEMBERED


def _said_at(said: ReleaseAction) -> datetime:
    return said.metadata.creation_timestamp or datetime.fromtimestamp(0, UTC)
