"""Rules 6-8: admission by the governor, the training run, and what it left behind."""

from msgspec.structs import replace

from trimtab.package import BUILT_IN, is_sound
from trimtab.release import Act, Admit, CandidateOutcome, Decision, InvalidDataOutcome, Observed, Phase, Refuse, RejectedOutcome
from trimtab.rollout.rules.common import champion_of, move, same, status_of, withdraw
from trimtab.spec import PipelineVersion, Version

MAX_ATTEMPTS = 3
_REFUSED = "PackageRefused"


def pending(observed: Observed) -> Decision | None:
    """6. Pending: what the governor says. The rollout is frozen at admission, the pipeline chosen."""
    if status_of(observed).phase is not Phase.PENDING or observed.model is None:
        return None
    said = observed.admission
    if isinstance(said, Refuse):
        return withdraw(observed, said.phase, said.reason, said.sentence)
    if not isinstance(said, Admit):
        return move(observed, Act.NOTHING, said.reason, said.sentence, look_again=1.0)
    rollout = observed.model.spec.rollout
    if observed.release.spec.request.version:
        rollout = replace(rollout, strategy="direct")
    return move(
        observed,
        Act.NOTHING,
        said.reason,
        said.sentence,
        phase=Phase.TRAINING,
        rollout=rollout,
        admitted_at=observed.now,
        admitted_data=observed.data_now,
        pipeline=observed.pipeline,
        compared_with=champion_of(observed),
    )


def no_run(observed: Observed) -> Decision | None:
    """7. No run yet: the attempt is written, then submitted; never with a pipeline that must not run."""
    status = status_of(observed)
    request = observed.release.spec.request
    if status.phase not in (Phase.TRAINING, Phase.COMPARING) or observed.run != "absent" or observed.outcome:
        return None
    if status.phase is Phase.TRAINING and (request.run or request.version):
        fault = f": {observed.run_fault}" if observed.run_fault else ""
        return withdraw(observed, Phase.FAILED, "RunUnknown", f"the announced run {request.run!r} has left no outcome{fault}")
    if observed.pipeline_fault:
        return withdraw(observed, Phase.FAILED, _REFUSED, observed.pipeline_fault.removeprefix(f"{_REFUSED}: "))
    attempt = max(status.attempt, 1)
    sentence = f"attempt {attempt}: training on what was known at {request.cut:%Y-%m-%d %H:%M}"
    if status.phase is Phase.COMPARING:
        sentence = f"attempt {attempt}: the candidate is compared with the new champion"
    return move(observed, Act.SUBMIT, "RunSubmitted", sentence, look_again=0.5, attempt=attempt)


def run(observed: Observed) -> Decision | None:
    """8. A run: wait for it; without an outcome retry or fail; a gate's or the data's verdict is final."""
    status = status_of(observed)
    if status.phase not in (Phase.TRAINING, Phase.COMPARING):
        return None
    if observed.run == "active":
        waits = f": {observed.run_fault}" if observed.run_fault else ""
        return move(observed, Act.NOTHING, "RunActive", f"attempt {status.attempt} is running{waits}", look_again=0.5)
    if isinstance(observed.outcome, CandidateOutcome):
        return _candidate(observed, observed.outcome)
    if isinstance(observed.outcome, RejectedOutcome):
        gate = observed.outcome
        sentence = f"the gate {gate.gate!r} stopped the candidate: value {_number(gate.value)}, allowed {_number(gate.bound)}"
        if gate.interval:
            sentence += f", 95% interval of the value [{_number(gate.interval[0])}, {_number(gate.interval[1])}]"
        return withdraw(observed, Phase.REJECTED, "GateFailed", sentence)
    if isinstance(observed.outcome, InvalidDataOutcome):
        return withdraw(observed, Phase.REJECTED, "InvalidData", "the data did not pass validation: " + "; ".join(observed.outcome.checks))
    failed = status.attempts_failed + 1
    fault = observed.run_fault or "it left no outcome"
    if failed >= MAX_ATTEMPTS:
        return withdraw(observed, Phase.FAILED, "RunFailed", f"{failed} attempts failed; the last: {fault}")
    sentence = f"attempt {status.attempt} failed and is repeated: {fault}"
    return move(observed, Act.NOTHING, "RunRetried", sentence, attempt=status.attempt + 1, attempts_failed=failed)


def _candidate(observed: Observed, outcome: CandidateOutcome) -> Decision:
    status = status_of(observed)
    version = Version(outcome.version, outcome.digest)
    if same(version, champion_of(observed)):
        return withdraw(observed, Phase.SUPERSEDED, "AlreadyChampion", f"version {version.version} is the champion already")
    compared = status.compared_with
    if observed.release.spec.request.run and compared and outcome.compared_with != compared.version and not status.comparisons:
        compared = None
    sentence = f"version {version.version} passed its gates"
    if observed.release.spec.request.version:
        sentence = f"version {version.version} served before and is brought back"
    return move(
        observed,
        Act.NOTHING,
        "CandidateReady",
        sentence,
        phase=Phase.ROLLOUT,
        candidate=version,
        compared_with=compared,
        pipeline=_maker(observed, outcome),
    )


def _maker(observed: Observed, outcome: CandidateOutcome) -> PipelineVersion | None:
    """The pipeline that made the candidate: only a run that was started by hand must say itself which it was."""
    said = outcome.pipeline
    believed = said is not None and (said == BUILT_IN or is_sound(said))
    return said if observed.release.spec.request.run and believed else status_of(observed).pipeline


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4g}"
