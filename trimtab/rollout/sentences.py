"""How the judge's numbers read: a verdict is acted on by a machine, but answered for by people."""

from trimtab.release import GuardState, GuardVerdict

_WORDS = {"errors": "errors", "slow": "slow requests"}


def guard_sentence(verdict: GuardVerdict, state: GuardState) -> str:
    """One guard's evidence, such as "errors: candidate 3.1% of 412, champion 0.2% of 1,650: worse by 2.9 points [1.4, 4.6], allowed 1"."""
    word = _WORDS[verdict.guard]
    if verdict.says == "noData":
        return f"{word}: no request has reached the candidate yet"
    arms = f"candidate {_share(state.candidate_x, state.candidate_n)}, champion {_share(state.champion_x, state.champion_n)}"
    return f"{word}: {arms}: {compared(verdict)}"


def compared(verdict: GuardVerdict, scale: float = 100.0, unit: str = " points") -> str:
    """The difference or ratio, its interval and what is allowed; a difference is multiplied by `scale` and followed by `unit`."""
    if verdict.relative:
        ratio = "not comparable yet" if verdict.difference is None else f"{verdict.difference:.3g} times the champion's"
        return f"{ratio} {_interval(verdict, 1.0)}, allowed x{_number(verdict.margin)}"
    if verdict.difference is None:
        return f"not comparable yet {_interval(verdict, scale)}, allowed {_number(verdict.margin, scale)}{unit}"
    word = "worse" if verdict.difference >= 0 else "better"
    amount = f"{word} by {_number(abs(verdict.difference), scale)}{unit}"
    return f"{amount} {_interval(verdict, scale)}, allowed {_number(verdict.margin, scale)}"


def verdict_sentence(says: str, guards: tuple[GuardVerdict, ...]) -> str:
    """The sentence of the guards together: of those that made the verdict."""
    if says == "noData":
        return "no request has reached the candidate yet"
    heads = {"harm": "the candidate is worse", "notWorse": "the candidate is not worse", "hold": "too early to say"}
    spoke = [guard.sentence for guard in guards if guard.says == says]
    return f"{heads[says]}: " + "; ".join(spoke)


def _share(x: int, n: int) -> str:
    return f"{100.0 * x / n:.3g}% of {n:,}" if n else "without requests"


def _number(value: float | None, scale: float = 1.0) -> str:
    return "?" if value is None else f"{value * scale:.3g}"


def _interval(verdict: GuardVerdict, scale: float) -> str:
    if verdict.lower is None and verdict.upper is None:
        return "(too early for an interval)"
    if verdict.lower is not None and verdict.upper is not None and verdict.lower > verdict.upper:
        return (
            f"(no interval: it changed, for it was above {_number(verdict.lower, scale)} and it was below {_number(verdict.upper, scale)})"
        )
    return f"[{_number(verdict.lower, scale)}, {_number(verdict.upper, scale)}]"
