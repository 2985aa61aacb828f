"""The port `Runner` on Kubernetes: the Model says which of the two makes its runs, a Job or Kubeflow Pipelines.

`training.runner` may be edited while a run is under way (the recipe is new then, and the run is withdrawn): so a run is looked for,
and ended, in the other runner too.
"""

import logging
from collections.abc import Mapping
from typing import Protocol

from trimtab.control.ports import Runner, RunRequest
from trimtab.errors import InvalidInput, Unavailable
from trimtab.platforms.kubernetes.job_runner import Find
from trimtab.release import RunState

log = logging.getLogger(__name__)


class TellingRunner(Runner, Protocol):
    """A runner that can say where a run's log is."""

    def where(self, release_uid: str, attempt: int) -> str:
        """How a person reads the run's log."""


class KubernetesRunner:
    """The port `Runner`, by the name in the Model's `training.runner`."""

    def __init__(self, runners: Mapping[str, TellingRunner], find: Find) -> None:
        """`runners` are those that this installation has: `job`, and `kfp` where Kubeflow Pipelines is configured."""
        self._runners = runners
        self._find = find

    def submit(self, request: RunRequest) -> None:
        """Start the run unless it was started before; raises InvalidInput where the Model's runner is not configured."""
        name = request.model.spec.training.runner
        if name not in self._runners:
            known = ", ".join(sorted(self._runners))
            msg = f"the Model {request.model.name!r} asks for training.runner {name!r}, which is not configured; configured are {known}"
            raise InvalidInput(msg)
        self._runners[name].submit(request)

    def state(self, release_uid: str, attempt: int) -> tuple[RunState, str]:
        """Whether the run is absent, active or ended; with an active one what keeps it waiting, with an ended one why it failed."""
        named, others = self._order(release_uid)
        said: tuple[RunState, str] = named.state(release_uid, attempt) if named else ("absent", "")
        for other in others:
            if said[0] != "absent":
                break
            try:
                said = other.state(release_uid, attempt)
            except Unavailable as error:
                if named is None:
                    raise
                log.debug("the Model's own runner knows no run, another does not answer: %s", error)
        return said

    def cancel(self, release_uid: str, attempt: int) -> None:
        """End the run; nothing happens where there is none."""
        named, others = self._order(release_uid)
        if named is not None:
            named.cancel(release_uid, attempt)
        for other in others:
            try:
                other.cancel(release_uid, attempt)
            except Unavailable as error:
                if named is None:
                    raise
                log.debug("another runner than the Model's own does not answer: %s", error)

    def where(self, release_uid: str, attempt: int) -> str:
        """How a person reads the run's log; empty where nobody knows."""
        named, others = self._order(release_uid)
        return next((said for one in (named, *others) if one and (said := one.where(release_uid, attempt))), "")

    def _order(self, release_uid: str) -> tuple[TellingRunner | None, list[TellingRunner]]:
        found = self._find(release_uid)
        name = found[2] if found else ""
        return self._runners.get(name), [runner for other, runner in self._runners.items() if other != name]
