"""Rules 17b-18: a promotion that goes forward whatever crashes, and the bake that may bring the old champion back."""

from msgspec.structs import replace

from trimtab.release import Act, Decision, Observed, Phase
from trimtab.rollout.rules.common import (
    asked_for,
    champion_of,
    crowned,
    elapsed,
    gone,
    hold,
    move,
    obeyed,
    rollout_of,
    same,
    served_of,
    status_of,
    withdraw,
)
from trimtab.units import duration


def promote(observed: Observed) -> Decision | None:
    """17b. A promotion goes forward: route at 100%, champion swapped, old version kept at 0%, alias."""
    status = status_of(observed)
    promotion = status.promotion
    if promotion is None or status.phase is not Phase.ROLLOUT or status.candidate is None:
        return None
    if gone(observed):
        return withdraw(observed, Phase.SUPERSEDED, "ModelGone", f"the Model {observed.release.spec.model!r} is gone")
    champion = champion_of(observed)
    served = served_of(observed, status.candidate)
    if not crowned(observed):
        if not same(champion, status.compared_with):
            return withdraw(observed, Phase.SUPERSEDED, "ChampionChanged", "the champion was changed by another hand during the promotion")
        if served is None or served.weight != 100:
            return move(observed, Act.SERVE, "WaitingForRoute", "waiting for the route to give the candidate 100%", look_again=0.2)
        return move(observed, Act.SWAP_CHAMPION, "ChampionSwapped", f"version {status.candidate.version} becomes champion")
    if promotion.since is None:
        since = replace(promotion, since=observed.data_now, since_wall=observed.now)
        sentence = "the previous champion is kept warm at 0%" if status.compared_with else "there is no previous champion to keep warm"
        return move(observed, Act.SERVE, "OldKeptWarm", sentence, promotion=since)
    if not promotion.aliased:
        aliased = replace(promotion, aliased=True)
        return move(observed, Act.SET_ALIAS, "AliasSet", "the registry's alias follows the champion", promotion=aliased)
    sentence = f"version {status.candidate.version} bakes for {rollout_of(observed).bake.duration} of data time"
    if status.compared_with is None:
        sentence = f"version {status.candidate.version} serves, and there is nothing to bake it against"
    return move(observed, Act.NOTHING, "Baking", sentence, phase=Phase.BAKING)


def baking(observed: Observed) -> Decision | None:
    """18. Harm within the bake brings the previous champion back; else the old version is dropped and the Release has won."""
    status = status_of(observed)
    promotion = status.promotion
    if status.phase is not Phase.BAKING or promotion is None or status.candidate is None:
        return None
    if gone(observed):
        return withdraw(observed, Phase.SUPERSEDED, "ModelGone", f"the Model {observed.release.spec.model!r} is gone")
    if not crowned(observed):
        return withdraw(observed, Phase.SUPERSEDED, "ChampionChanged", "the champion was changed by another hand during the bake")
    old = status.compared_with
    if old and not promotion.old_dropped:
        if said := asked_for(observed, "rollback"):
            return obeyed(observed, said, withdraw(observed, Phase.ROLLED_BACK, "RolledBackByPerson", said.spec.sentence))
        verdict = observed.bake_verdict
        if verdict.says == "harm":
            return withdraw(observed, Phase.ROLLED_BACK, "BakeHarm", verdict.sentence, bake_verdict=verdict)
        length = duration(rollout_of(observed).bake.duration)
        over = elapsed(promotion.since, observed.data_now) >= length
        over_wall = elapsed(promotion.since_wall, observed.now) >= 2 * length
        if not over and not over_wall:
            decision = hold(observed, "Baking", f"baking until {(promotion.since or observed.data_now) + length:%Y-%m-%d %H:%M} data time")
            return replace(decision, status=replace(decision.status, bake_verdict=verdict))
    if not promotion.old_dropped:
        sentence = observed.bake_verdict.sentence if old and observed.bake_verdict.says != "noData" else "nothing spoke against it"
        dropped = replace(promotion, old_dropped=True)
        return move(observed, Act.SERVE, "BakeOver", sentence, promotion=dropped, bake_verdict=observed.bake_verdict, look_again=0.2)
    if old and served_of(observed, old):
        return move(observed, Act.SERVE, "WaitingForDrop", "waiting for the previous champion to be gone", look_again=0.2)
    sentence = f"version {status.candidate.version} is the champion"
    return move(observed, Act.NOTHING, "Promoted", sentence, phase=Phase.PROMOTED, finished=observed.now)
