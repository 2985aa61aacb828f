"""Rules 9-17a: from a registered candidate to the last step of its canary."""

from datetime import timedelta
from typing import Any

from msgspec.structs import replace

from trimtab.fetching import DIGEST_MISMATCH, SIGNATURE_MISMATCH
from trimtab.release import Act, Decision, Evidence, Observed, Phase, Promotion
from trimtab.rollout.judge import new_step
from trimtab.rollout.plan import in_shadow
from trimtab.rollout.rules.common import champion_of, elapsed, hold, move, rollout_of, same, served_of, status_of, steps_of, withdraw
from trimtab.rollout.rules.shadow import passed
from trimtab.units import duration

MAX_COMPARISONS = 2
MAX_RESTARTS = 3
UNSTABLE_SECONDS = 60.0
READY_WITHIN = timedelta(minutes=10)
TAMPERED = (f"{SIGNATURE_MISMATCH}: ", f"{DIGEST_MISMATCH}: ")
"""How the sentences begin of a version whose files are not those that were signed."""


def champion_lock(observed: Observed) -> Decision | None:
    """9. Another version became champion meanwhile: nothing that was found against the old one counts."""
    status = status_of(observed)
    champion = champion_of(observed)
    if status.promotion or not status.candidate or same(champion, status.compared_with):
        return None
    if same(champion, status.candidate):
        return withdraw(observed, Phase.SUPERSEDED, "AlreadyChampion", f"version {status.candidate.version} became champion another way")
    if status.comparisons >= MAX_COMPARISONS:
        sentence = f"the champion changed {status.comparisons + 1} times while this candidate waited"
        return withdraw(observed, Phase.SUPERSEDED, "ChampionChanged", sentence)
    sentence = f"version {champion.version if champion else 'none'} is champion now: back to 0% and compared with it"
    if status.approved:
        sentence += "; who approved it knew another comparison, so it has to be approved again"
    return _back_to_dark(
        observed,
        "ChampionChanged",
        sentence,
        phase=Phase.COMPARING,
        compared_with=champion,
        comparisons=status.comparisons + 1,
        approved=False,
        attempt=status.attempt + 1,
    )


def _back_to_dark(observed: Observed, reason: str, sentence: str, *, look_again: float = 0.0, **changes: Any) -> Decision:
    """Leave the rollout for another phase: the canary's traffic, evidence and running clocks end, and it will begin anew.

    A pause stays; where a person sent the rollout is no longer known to be right.
    """
    fresh = replace(observed, evidence=Evidence())
    changes |= {"step": -1, "weight": 0, "mirrored": False, "verdict": None, "unready_since": None, "weight_off_since": None}
    changes |= {"promote_to": None, "paused_seconds": 0.0, "shadow": None, "plan": None}
    return move(fresh, Act.SERVE, reason, sentence, look_again=look_again, **changes)


def approval(observed: Observed) -> Decision | None:
    """10. A person has to say yes first, where the Model asks for it (rule 4 hears it)."""
    status = status_of(observed)
    if status.approved or status.promotion or observed.model is None:
        return None
    if observed.model.spec.approval != "manual":
        if status.phase is not Phase.AWAITING_APPROVAL:
            return None
        return move(observed, Act.NOTHING, "ApprovalNotNeeded", "the Model no longer asks for approval", phase=Phase.ROLLOUT)
    policy, asked = observed.model.spec.approval_policy, observed.release.spec.request.by
    since = status.phase_since if status.phase is Phase.AWAITING_APPROVAL else observed.now
    until = (since or observed.now) + duration(policy.expiry)
    who = f"a person other than {asked}" if policy.separation_of_duties and asked else "a person"
    sentence = f"{who} has to approve it until {until:%Y-%m-%d %H:%M}"
    return _back_to_dark(observed, "ApprovalMissing", sentence, phase=Phase.AWAITING_APPROVAL, look_again=1.0)


def unusable(observed: Observed) -> Decision | None:
    """11. The candidate's files are not what was registered, or cannot be loaded."""
    served = served_of(observed, status_of(observed).candidate)
    fault = observed.serving_fault or (served.fault if served and not served.ready else "")
    if not fault or status_of(observed).promotion:
        return None
    tampered = fault.startswith(TAMPERED)
    return withdraw(observed, Phase.FAILED, "SignatureMismatch" if tampered else "CandidateUnusable", fault)


def not_serving(observed: Observed) -> Decision | None:
    """12. Deploy dark, at 0%; a candidate that never gets ready is rolled back."""
    status = status_of(observed)
    if status.promotion:
        return None
    if not status.deployed:
        sentence = f"version {status.candidate.version if status.candidate else '?'} is deployed at 0%"
        return move(observed, Act.SERVE, "Deployed", sentence, deployed=True, deployed_at=observed.now, look_again=0.2)
    served = served_of(observed, status.candidate)
    if served and served.ready and not status.ready:
        return move(observed, Act.NOTHING, "Ready", f"version {served.version} is ready", ready=True, ready_since=observed.now)
    if status.ready:
        return None
    if elapsed(status.deployed_at, observed.now) > READY_WITHIN:
        return withdraw(observed, Phase.ROLLED_BACK, "NotReady", f"the candidate was not ready within {READY_WITHIN}")
    return move(observed, Act.SERVE, "WaitingForReady", "the candidate is starting", look_again=0.3)


def unstable(observed: Observed) -> Decision | None:
    """13. Was ready, and is not any more for too long, too often, or not with the weight that it should have.

    Below those bounds it only takes note and waits, which must not keep harm (15) from being acted on. A first version takes no traffic
    from anyone: KServe gives it all as soon as it is ready.
    """
    status = status_of(observed)
    if status.promotion:
        return None
    served = served_of(observed, status.candidate)
    if served and served.restarts >= MAX_RESTARTS:
        return withdraw(observed, Phase.ROLLED_BACK, "Unstable", f"the candidate was restarted {served.restarts} times")
    ready = bool(served and served.ready)
    unready = status.unready_seconds + elapsed(status.unready_since, observed.now).total_seconds()
    if unready >= UNSTABLE_SECONDS:
        return withdraw(observed, Phase.ROLLED_BACK, "Unstable", f"the candidate was not ready for {unready:.0f} s in all")
    if observed.verdict.says == "harm":
        return None
    if not ready and status.unready_since is None:
        return move(observed, Act.SERVE, "Unready", "the candidate stopped being ready", unready_since=observed.now)
    if ready and status.unready_since:
        again: dict[str, Any] = {"ready_since": observed.now, "unready_since": None, "unready_seconds": unready}
        return move(observed, Act.NOTHING, "ReadyAgain", "the candidate is ready again", **again)
    weight, mirrored = (served.weight, served.mirrored) if served else (0, False)
    if (weight, mirrored) != (status.weight, in_shadow(status)) and status.compared_with:
        off = elapsed(status.weight_off_since, observed.now).total_seconds()
        asked = routed(status.weight, in_shadow(status))
        if off >= UNSTABLE_SECONDS:
            sentence = f"the route gives the candidate {routed(weight, mirrored)} instead of {asked} for {off:.0f} s"
            return withdraw(observed, Phase.ROLLED_BACK, "Unstable", sentence)
        since = status.weight_off_since or observed.now
        sentence = f"waiting for the route to give the candidate {asked}"
        return move(observed, Act.SERVE, "WaitingForRoute", sentence, weight_off_since=since, look_again=0.2)
    if status.weight_off_since:
        sentence = f"the route gives the candidate {routed(weight, mirrored)}"
        return move(observed, Act.NOTHING, "RouteConfirmed", sentence, weight_off_since=None)
    return None


def routed(weight: int, mirrored: bool) -> str:
    """What a route gives to a version."""
    return f"{weight}% and copies of all requests" if mirrored else f"{weight}%"


def smoke(observed: Observed) -> Decision | None:
    """14. Recorded rows must get the recorded predictions through the served protocol."""
    status = status_of(observed)
    if status.smoked or status.promotion:
        return None
    if observed.smoke is None:
        return hold(observed, "WaitingForSmoke", "the smoke test has not run yet")
    passed, sentence = observed.smoke
    if not passed:
        return withdraw(observed, Phase.ROLLED_BACK, "SmokeFailed", sentence)
    return move(observed, Act.NOTHING, "SmokePassed", sentence, smoked=True)


def harm(observed: Observed) -> Decision | None:
    """15. The judge says harm: back at once, at any step."""
    status, sentence = status_of(observed), observed.verdict.sentence
    if status.promotion or observed.verdict.says != "harm":
        return None
    if in_shadow(status):
        sentence += "; it answered copies only: no caller was harmed"
    return withdraw(observed, Phase.ROLLED_BACK, "Harm", sentence, verdict=observed.verdict)


def quality_finding(observed: Observed) -> Decision | None:
    """16. While the data itself is in doubt, nothing moves."""
    if status_of(observed).promotion or not observed.quality_findings:
        return None
    return hold(observed, "QualityFindingOpen", "the rollout waits for an open quality finding: " + observed.quality_findings[0])


def next_step(observed: Observed) -> Decision | None:
    """17a. Not worse at this step, or sent on by a person: the next one, and after the last the promotion. First versions have no judge."""
    status, sent = status_of(observed), status_of(observed).promote_to
    if status.promotion:
        return None
    steps = steps_of(status)
    wanted = "wins" if rollout_of(observed).strategy == "ab" else "notWorse"
    if steps and status.step >= 0 and observed.verdict.says != wanted and not sent:
        return None
    served = served_of(observed, status.candidate)
    if not served or not served.ready:
        return hold(observed, "Unready", "no further step while the candidate is not ready")
    step = sent.step if sent else status.step + 1
    changes: dict[str, Any] = {"verdict": observed.verdict, "promote_to": None, "mirrored": False}
    changes |= {"by": sent.user if sent else "", "look_again": 0.2}
    if step >= len(steps):
        changes |= {"promotion": Promotion(started_at=observed.now), "weight": 100, "paused": None}
        return move(observed, Act.SERVE, "PromotionStarted", _all_of_it(observed), **changes)
    sentence = f"step {step + 1} of {len(steps)}: {steps[step]}% of the traffic"
    if sent:
        sentence += f"; {sent.sentence}"
    if status.step >= 0:
        sentence += f"; {observed.verdict.sentence}"
    elif shown := passed(observed):
        sentence += f"; {shown}"
    elif observed.plan:
        sentence += f"; {observed.plan.sentence}"
    fresh = replace(observed, evidence=new_step(observed.evidence))
    return move(fresh, Act.SERVE, "NextStep", sentence, step=step, weight=steps[step], **changes)


def _all_of_it(observed: Observed) -> str:
    """Why the candidate gets all of the traffic."""
    status = status_of(observed)
    if status.promote_to:
        return f"100%; {status.promote_to.sentence}; {observed.verdict.sentence}"
    if status.compared_with is None:
        return "there is no champion yet: 100% at once"
    if shown := passed(observed):
        return f"shadow and no steps: 100% at once; {shown}"
    if rollout_of(observed).strategy == "ab":
        return f"the candidate wins: 100%; {observed.verdict.sentence}"
    return "not worse at every step: 100%" if steps_of(status) else f"strategy {rollout_of(observed).strategy}: 100% at once"
