"""The judge: is the candidate worse than the champion, surely not worse, or is it too early to say?

A canary is looked at again and again while its split and the world change, so the verdict rests on E-processes over blocks
(`eprocess.py`): valid whenever one looks, and blind to what hits both versions at once. What is promised of a whole rollout:
an equal candidate is rolled back in at most 2% of them, one that is worse by the margin is promoted in at most 5%. The method
is designed at 0.7 of both. Harm may be called by any guard, so the three guards (errors, slow, quality) share its budget; a
promotion needs all of them at all steps, so nothing has to be shared there.

Every guard keeps E-processes on a small grid of differences, the one that decides among them; the interval is the set of
differences that are not refuted, so it is rounded outwards to the grid and always agrees with the verdict.

Requests are taken as independent given the rates of their block. Errors that come in bursts are fewer observations than they
look; blocks of seconds hold such a burst together, but do not undo it.
"""

import math
from collections.abc import Sequence
from datetime import timedelta
from typing import Literal, NamedTuple

import numpy as np
from msgspec.structs import replace

from trimtab.errors import InvalidInput
from trimtab.release import Block, Evidence, GuardState, GuardVerdict, ReleaseStatus, Verdict
from trimtab.rollout import eprocess
from trimtab.rollout.eprocess import EFFECTS, Floats
from trimtab.rollout.sentences import guard_sentence, verdict_sentence
from trimtab.spec import Rollout
from trimtab.units import Margin, margin

DESIGN = 0.7
GUARDS = 3
HARM_ALPHA = DESIGN * 0.02 / GUARDS
STEP_ALPHA = DESIGN * 0.05

WARM_UP = timedelta(seconds=3)
WARM_REQUESTS = 20

_HARM_GRID = (-2.0, -1.0, -0.5, 0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 4.0, 8.0, 16.0)
_STEP_GRID = (-2.0, -1.0, -0.75, -0.5, -0.25, 0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
_HARM_AT = _HARM_GRID.index(0.0)
_STEP_AT = _STEP_GRID.index(0.0)
_LEAST_SCALE = {False: 0.001, True: 0.01}
_LARGEST_RATIO = 1000.0

GuardName = Literal["errors", "slow"]
_NAMES: tuple[GuardName, ...] = ("errors", "slow")


class _Lines(NamedTuple):
    """The grid of null hypotheses of one side: lines (a, b) of shape (grid, 1), and the difference or ratio each stands for."""

    a: Floats
    b: Floats
    values: Floats


def check_margins(rollout: Rollout) -> None:
    """Refuse margins that no evidence could ever show; raises InvalidInput with the field, the value and what is allowed."""
    for name in _NAMES:
        text = getattr(rollout.guard, name).margin
        asked = margin(text)
        if asked.relative and not 0.0 < asked.value <= _LARGEST_RATIO:
            msg = f"spec.rollout.guard.{name}.margin: {text!r} cannot be shown; a relative margin is above x0 and at most x1000"
            raise InvalidInput(msg)
        if not asked.relative and not -1.0 < asked.value < 1.0:
            msg = f"spec.rollout.guard.{name}.margin: {text!r} is no difference of two shares; it lies between -1 and +1"
            raise InvalidInput(msg)


def is_warm(status: ReleaseStatus, block: Block) -> bool:
    """Whether slow answers of this block say how fast the candidate is, and not how fresh its process.

    It began when the candidate had been ready for `WARM_UP` and had been asked `WARM_REQUESTS` times in this rollout: a process that is
    dark gets ready, but warm only by requests. That a candidate starts anew at all is what rule 13 counts. A block without a
    request to it has nothing of its process.
    """
    if block.candidate.requests == 0:
        return True
    if status.ready_since is None or status.unready_since is not None or status.evidence.errors.candidate_n < WARM_REQUESTS:
        return False
    return block.start >= status.ready_since + WARM_UP


def look(evidence: Evidence, blocks: Sequence[Block], rollout: Rollout) -> Evidence:
    """The evidence after these blocks. The order of the blocks of one look does not matter; the cursor is left alone.

    Errors always count; slow answers only in warm blocks.
    """
    seen = [block for block in blocks if block.champion.requests or block.candidate.requests]
    if not seen:
        return evidence
    after = {}
    for name in _NAMES:
        counts = [
            (
                block.champion.requests,
                getattr(block.champion, name),
                block.candidate.requests,
                getattr(block.candidate, name),
            )
            for block in seen
            if block.warm or name == "errors"
        ]
        asked = margin(getattr(rollout.guard, name).margin)
        before = getattr(evidence, name)
        after[name] = _advance(before, counts, asked, rollout.harm_tolerance) if counts else before
    more = sum(block.champion.requests + block.candidate.requests for block in seen)
    return replace(evidence, errors=after["errors"], slow=after["slow"], at_step=evidence.at_step + more)


def new_step(evidence: Evidence) -> Evidence:
    """The evidence at the start of a step: "not worse" has to be shown anew, what speaks for harm is kept."""
    return replace(evidence, errors=replace(evidence.errors, step=()), slow=replace(evidence.slow, step=()), at_step=0)


def judge(evidence: Evidence, rollout: Rollout) -> Verdict:
    """What the evidence says: harm by any guard is harm; not worse needs all; without a request to the candidate: no data."""
    guards = tuple(_judge_guard(name, getattr(evidence, name), rollout) for name in _NAMES)
    said = [guard.says for guard in guards]
    says: Literal["harm", "notWorse", "hold", "noData"] = "hold"
    if "harm" in said:
        says = "harm"
    elif "noData" in said:
        says = "noData"
    elif all(word == "notWorse" for word in said):
        says = "notWorse"
    return Verdict(says, verdict_sentence(says, guards), guards)


def _lines(asked: Margin, centre: float, grid: tuple[float, ...], tolerance: float | None = None) -> _Lines:
    """The grid of lines around `centre` (a difference, or the log of a ratio), in units of the margin.

    `tolerance` is where the harm of a relative margin is decided: candidate - champion, which is no line of equal ratio.
    """
    span = abs(math.log(asked.value)) if asked.relative else abs(asked.value)
    values = centre + np.array(grid) * max(span, _LEAST_SCALE[asked.relative])
    if not asked.relative:
        return _Lines(np.ones((len(grid), 1)), values[:, None], values)
    ratios = np.clip(np.exp(values), 1.0 / _LARGEST_RATIO, _LARGEST_RATIO)
    a, b = ratios[:, None].copy(), np.zeros((len(grid), 1))
    if tolerance is not None:
        a[_HARM_AT], b[_HARM_AT] = 1.0, tolerance
    return _Lines(a, b, ratios)


def _sides(asked: Margin, tolerance: float) -> tuple[_Lines, _Lines]:
    """The lines of the harm processes and of the step processes."""
    if asked.relative:
        return _lines(asked, 0.0, _HARM_GRID, tolerance), _lines(asked, math.log(asked.value), _STEP_GRID)
    return _lines(asked, tolerance, _HARM_GRID), _lines(asked, asked.value, _STEP_GRID)


def _advance(state: GuardState, counts: list[tuple[int, int, int, int]], asked: Margin, tolerance: float) -> GuardState:
    harm_lines, step_lines = _sides(asked, tolerance)
    a = np.concatenate([harm_lines.a, step_lines.a])
    b = np.concatenate([harm_lines.b, step_lines.b])
    sign = np.repeat([1.0, -1.0], [len(_HARM_GRID), len(_STEP_GRID)])[:, None]
    half = len(_HARM_GRID) * len(EFFECTS)
    log_e = np.array([*(state.harm or (0.0,) * half), *(state.step or (0.0,) * half)]).reshape(-1, len(EFFECTS))
    n_s, x_s, n_c, x_c = (sum(column) for column in zip(*counts, strict=True))
    n, x = state.learned
    for block in counts:
        log_e = log_e + eprocess.bet(block, (n, x), n_s, a, b, sign)
    part = eprocess.dealt(n_s + n_c, state.champion_n + state.candidate_n + n_s + n_c)
    kept = tuple((np.floor(eprocess.share(log_e, part) * 1e5) / 1e5).ravel().tolist())
    learned_n, learned_x = eprocess.remember(n, x, n_s, x_s)
    sums = zip(*(_stratum(*block) for block in counts), strict=True)
    return GuardState(
        champion_n=state.champion_n + n_s,
        champion_x=state.champion_x + x_s,
        candidate_n=state.candidate_n + n_c,
        candidate_x=state.candidate_x + x_c,
        stratified=tuple(before + sum(more) for before, more in zip(state.stratified, sums, strict=True)),
        learned=(float(learned_n), float(learned_x)),
        harm=kept[:half],
        step=kept[half:],
    )


def _stratum(n_s: int, x_s: int, n_c: int, x_c: int) -> tuple[float, float, float]:
    """One block's part of the Mantel-Haenszel sums: its weight, the candidate's and the champion's weighted rate."""
    n = n_s + n_c
    return n_s * n_c / n, x_c * n_s / n, x_s * n_c / n


def _judge_guard(name: GuardName, state: GuardState, rollout: Rollout) -> GuardVerdict:
    asked = margin(getattr(rollout.guard, name).margin)
    harm_lines, step_lines = _sides(asked, rollout.harm_tolerance)
    harmful = _refuted(state.harm, len(_HARM_GRID), HARM_ALPHA)
    not_worse = _refuted(state.step, len(_STEP_GRID), STEP_ALPHA)
    lower = _bound(harmful, harm_lines.values, _HARM_AT)
    upper = _bound(not_worse[::-1], step_lines.values[::-1], len(_STEP_GRID) - 1 - _STEP_AT)
    weight, candidate, champion = state.stratified
    difference: float | None = None
    if asked.relative:
        difference = candidate / champion if champion > 0.0 else None
    elif weight > 0.0:
        difference = (candidate - champion) / weight
    says: Literal["harm", "notWorse", "hold", "noData"] = "hold"
    if state.candidate_n == 0:
        says = "noData"
    elif harmful[_HARM_AT]:
        says = "harm"
    elif not_worse[_STEP_AT]:
        says = "notWorse"
    verdict = GuardVerdict(
        guard=name,
        says=says,
        sentence="",
        difference=difference,
        lower=lower,
        upper=upper,
        margin=asked.value,
        relative=asked.relative,
        champion_n=state.champion_n,
        candidate_n=state.candidate_n,
    )
    return replace(verdict, sentence=guard_sentence(verdict, state))


def _refuted(logs: tuple[float, ...], size: int, alpha: float) -> list[bool]:
    """Which null hypotheses of a side's grid are refuted at `alpha`; none before the first look."""
    if not logs:
        return [False] * size
    log_e = np.array(logs).reshape(size, len(EFFECTS))
    return [bool(refuted) for refuted in eprocess.log_mean(log_e) >= -math.log(alpha)]


def _bound(refuted: list[bool], values: Floats, at: int) -> float | None:
    """The furthest refuted value of a grid that runs from weak claims to strong ones, in agreement with the one at `at`."""
    found: int | None = None
    if refuted[at]:
        found = at
        while found + 1 < len(refuted) and refuted[found + 1]:
            found += 1
    else:
        found = next((index for index in reversed(range(at)) if refuted[index]), None)
    return None if found is None else float(values[found])
