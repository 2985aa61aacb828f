"""What a training run is asked for, and whether its pipeline may run at all.

A published pipeline is verified twice: at the look that decides (its fault ends the Release), and again in the moment before the submit, so
that nothing is ever submitted that was not believed then.
"""

from trimtab.control.ports import Packages, RunRequest
from trimtab.errors import InvalidInput
from trimtab.package import BUILT_IN
from trimtab.release import Decision, Observed, Outcome, Phase, Release, RunState
from trimtab.spec import Model, PipelineVersion


def published(release: Release) -> PipelineVersion | None:
    """The published pipeline that the Release's runs execute; None for the one that comes with Trimtab."""
    found = release.status.pipeline
    return None if found == BUILT_IN else found


def pipeline_fault(packages: Packages, release: Release, model: Model, run: RunState, outcome: Outcome | None) -> str:
    """Why the Release's pipeline must not run, where it is about to; else empty. Raises Unavailable where that cannot be known."""
    phase, request, version = release.status.phase, release.spec.request, published(release)
    trains = phase is Phase.COMPARING or (phase is Phase.TRAINING and not request.run and not request.version)
    if version is None or not trains or run != "absent" or outcome is not None:
        return ""
    if not version.digest:
        return f"the pipeline {version} is named without its digest, so nobody can say what it holds"
    try:
        packages.fetch(version, model.spec.pipeline_policy.keys)
    except InvalidInput as error:
        return str(error)
    return ""


def run_request(packages: Packages, observed: Observed, decision: Decision, model: Model) -> RunRequest:
    """What the decision's run gets; raises InvalidInput where its pipeline must not run."""
    release, status, version = observed.release, decision.status, published(observed.release)
    compare = status.candidate if status.phase is Phase.COMPARING else None
    request = release.spec.request
    image = packages.fetch(version, model.spec.pipeline_policy.keys)[1].image if version else ""
    return RunRequest(
        release=release.name,
        release_uid=release.metadata.uid,
        attempt=status.attempt,
        model=model,
        cut=observed.data_now if compare else request.cut,
        champion=status.compared_with,
        compare_only=compare,
        trigger=request.trigger,
        pipeline=version,
        image=image,
        trial=request.pipeline is not None and compare is None and status.compared_with is not None,
    )
