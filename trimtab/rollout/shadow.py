"""Shadow: what is known of a candidate that answers copies of the callers' requests, before a caller gets an answer of it.

Errors and slow answers are judged as those of a canary (`judge.py`): the champion's answers against those to the copies, in the same
blocks. Both versions are asked the *same* requests there, so the two arms of a block are not independent, as the E-values of
`eprocess.py` take them to be. These stay valid where a request that one version answers badly is no less likely to be answered badly
by the other: in each bet the factors of a champion's bad answer and of a candidate's go in opposite directions, so that requests
that are bad for both make the expectation of their product smaller than independence would, and that is at most 1.

Whether both predict alike is judged on the rows that the monitor lets both score. A row counts 1 where they disagree, and the mean is
tested against what is declared by betting, as paired losses are (`quality.py`): surely too much disagreement at `HARM_ALPHA`, surely
little enough at `STEP_ALPHA`, at any time of looking. A retrained model should differ somewhat: how much is allowed is a person's word.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from msgspec.structs import replace

from trimtab.evidence import LATENCY_MS
from trimtab.release import Agreement, Block, Latency, PairedLosses, Shadowed
from trimtab.rolling import Shadow
from trimtab.rollout.quality import judge_quality
from trimtab.units import Margin

_WORDS: dict[str, Literal["agrees", "disagrees", "hold"]] = {"harm": "disagrees", "notWorse": "agrees", "hold": "hold"}


def counted(shadow: Shadowed, blocks: Sequence[Block]) -> Shadowed:
    """With the copies of these blocks, and how long both versions took."""
    return replace(
        shadow,
        copies=shadow.copies + sum(block.candidate.requests for block in blocks),
        champion=_timed(shadow.champion, [block.champion.times for block in blocks]),
        candidate=_timed(shadow.candidate, [block.candidate.times for block in blocks]),
    )


def judged(shadow: Shadowed, found: Agreement, asked: Shadow) -> Shadowed:
    """With what the rows say that both versions have scored; held against what is asked once there are `asked.rows` of them."""
    rows = len(found.alike)
    if not rows:
        return replace(shadow, rows=0, says="noData", sentence="no row has been scored by both versions yet")
    apart = 1.0 - np.array(found.alike, dtype=float)
    allowed = 1.0 - asked.agreement
    losses = PairedLosses((0.0,) * rows, tuple(apart.tolist()), 1.0)
    verdict = judge_quality(losses, Margin(allowed, relative=False), tolerance=allowed)
    after = replace(
        shadow,
        rows=rows,
        agreement=1.0 - float(apart.mean()),
        lower=None if verdict.upper is None else max(1.0 - verdict.upper, 0.0),
        upper=None if verdict.lower is None else min(1.0 - verdict.lower, 1.0),
        effect=found.effect,
        says=_WORDS[verdict.says] if rows >= asked.rows else "hold",
    )
    return replace(after, sentence=_sentence(after, asked))


def latencies(shadow: Shadowed) -> str:
    """How fast both versions are, beside each other, as a sentence."""
    return f"{shadow.copies:,} copies answered {_within(shadow.candidate)}, the champion's answers {_within(shadow.champion)}"


def _timed(before: Latency, times: Sequence[tuple[int, ...]]) -> Latency:
    kept = [np.array(one) for one in (before.counts, *times) if one]
    if not kept:
        return before
    counts = np.sum(kept, axis=0)
    return Latency(tuple(counts.tolist()), _quantile(counts, 0.5), _quantile(counts, 0.99))


def _quantile(counts: np.ndarray, share: float) -> float | None:
    """The bound of the bucket within which so large a share of the answers came; None where it is none, or longer than all."""
    total = counts.sum()
    if not total:
        return None
    place = int(np.searchsorted(np.cumsum(counts), share * total))
    return float(LATENCY_MS[place]) if place < len(LATENCY_MS) else None


def _sentence(shadow: Shadowed, asked: Shadow) -> str:
    interval = f"[{_percent(shadow.lower)}, {_percent(shadow.upper)}]" if shadow.lower or shadow.upper else "(too early for an interval)"
    told = f"alike on {_percent(shadow.agreement)} of {shadow.rows:,} rows {interval}, asked {_percent(asked.agreement)}"
    if shadow.rows < asked.rows:
        told += f" of at least {asked.rows:,}"
    return told if shadow.effect is None else f"{told}; the predictions' distribution differs by {shadow.effect:.2g}"


def _percent(share: float | None) -> str:
    return "?" if share is None else f"{100.0 * share:.3g}%"


def _within(latency: Latency) -> str:
    if not sum(latency.counts):
        return "in a time that nobody kept"
    return f"within {_ms(latency.p50)} (half) and {_ms(latency.p99)} (99%)"


def _ms(bound: float | None) -> str:
    return f"more than {LATENCY_MS[-1]:,} ms" if bound is None else f"{bound:g} ms"
