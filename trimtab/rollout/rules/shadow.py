"""Rule 16a, of strategy shadow: the candidate answers copies of the callers' requests, until nothing speaks against its first step."""

from msgspec.structs import replace

from trimtab.release import Act, Decision, Observed, Phase, Shadowed
from trimtab.rollout.judge import new_step
from trimtab.rollout.plan import in_shadow
from trimtab.rollout.rules.common import hold, move, rollout_of, served_of, status_of, withdraw
from trimtab.rollout.shadow import latencies


def shadowing(observed: Observed) -> Decision | None:
    """16a. In shadow, before the first step: copies alone, until errors and slow answers are not worse and both versions predict alike.

    Harm by its answers to copies is rule 15's. What is surely below the agreement that a person declared goes back. A person who
    promotes it ends the shadow before it has shown enough; a pause puts its beginning and its end off.
    """
    status = status_of(observed)
    if status.promotion or status.compared_with is None or rollout_of(observed).strategy != "shadow" or status.step >= 0:
        return None
    served = served_of(observed, status.candidate)
    if not served or not served.ready:
        return hold(observed, "Unready", "no copies and no further step while the candidate is not ready")
    waits = status.paused is not None and status.promote_to is None
    if waits and not status.mirrored:
        return None
    if not status.mirrored:
        sentence = "the candidate is asked copies of all requests, and nobody gets its answers"
        began = Shadowed(since=observed.data_now)
        fresh = replace(observed, evidence=new_step(observed.evidence))
        return move(fresh, Act.SERVE, "ShadowStarted", sentence, mirrored=True, shadow=began, look_again=0.2)
    found = observed.shadow
    if found is None:
        return hold(observed, "AgreementUnknown", "it is not known yet whether the candidate predicts as the champion does")
    if found.says == "disagrees":
        sentence = f"{found.sentence}; it answered copies only: no caller was harmed"
        return withdraw(observed, Phase.ROLLED_BACK, "Disagrees", sentence, verdict=observed.verdict)
    if status.promote_to or waits:
        return None
    if observed.verdict.says != "notWorse":
        return hold(observed, "NoTraffic" if observed.verdict.says == "noData" else "NotEnoughEvidence", observed.verdict.sentence)
    if found.says != "agrees":
        return hold(observed, "AgreementUnknown", found.sentence)
    return None


def passed(observed: Observed) -> str:
    """What the shadow has shown, as the beginning of the next step's sentence; nothing where there was none."""
    if not in_shadow(status_of(observed)) or observed.shadow is None:
        return ""
    return f"{observed.verdict.sentence}; {observed.shadow.sentence}; {latencies(observed.shadow)}"
