"""The simulated rollouts' page, from their numbers alone: docs/evidence/rollouts.md and its plot."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tests.simulation import rollouts_rivals as rivals
from tests.simulation.rollouts_worlds import LOOK_SECONDS, LOOKS, PER_LOOK, STEPS
from trimtab.drawing.scale import Scale
from trimtab.drawing.svg import BAD, BLUE, RULE, SOFT, Drawing, box, dots, line, words
from trimtab.rollout.judge import DESIGN

if TYPE_CHECKING:
    from tests.simulation.rollouts import Row

OURS, TOLERATED = "Trimtab", "Trimtab, harm tolerated up to the margin"

HEAD = f"""# Rollouts: verdicts under continuous looks

`make simulate-rollouts` writes this page and `build/simulation/rollouts.json` (fixed seeds, {{runs:,}} rollouts a cell). A look every
{LOOK_SECONDS} seconds. *n\\** is what a test of one fixed sample needs (5%, power 90%); the traffic is what makes 4 n\\* take {LOOKS} looks
(half an hour), at most {PER_LOOK // LOOK_SECONDS:,} requests a second. A cell is *within reach* where 4 n\\* fits it. A candidate that is
as good is looked at by two guards, each of which may roll it back and both of which have to pass it; a worse one by one guard, for
others could only help. *At the margin* is worse by exactly the margin; *twice* by twice as much.

The counters go through the E-processes of `trimtab/rollout/eprocess.py` as the judge uses them, at its default harm tolerance of 0. As
harm is found against 0, hardly any candidate at the margin lives to be promoted; *harm tolerated up to the margin* takes that away, so
that nothing stands against it but the bound itself.

## What the others are configured as

Each sees the same counters at the same looks.

- *z-test at each look*: all counts so far, pooled; rolled back where a one-sided test at 5% says worse, promoted where another at 5% says
  within the margin; it waits for {rivals.Z_LEAST_BAD} bad answers.
- *Fixed thresholds (Flagger)*: a check of the canary a minute against a fixed threshold (`interval: 1m`, `threshold:
  {rivals.FLAGGER_THRESHOLD}`, `maxWeight` in {rivals.CHECKS} steps, as in its documentation); a check fails where any metric is past
  its threshold or has no value; failed checks are counted over the whole rollout; promoted after {rivals.CHECKS} others. The
  threshold is the margin's bound on the champion's true rate.
- *failureLimit (Argo Rollouts)*: a measurement of the canary a minute against the same threshold, `count: {rivals.CHECKS}`, `failureLimit:
  {rivals.ARGO_FAILURE_LIMIT}` for each metric; a rollout is aborted as soon as one has failed more often.
- *Mann-Whitney (Kayenta)*: rates by the minute of both versions, {rivals.KAYENTA_ANALYSES} analyses of all minutes so far; a metric is
  High where the {rivals.KAYENTA_CONFIDENCE:.0%} interval of the shift is above {rivals.KAYENTA_TOLERANCE} of the estimated
  shift (NetflixACAJudge's defaults, direction increase); of two metrics one High is a score of 50, below the marginal score of
  75. It is meant for a baseline as small as the canary; here the champion is it.
"""

BURSTS = """
## Bad answers that come in bursts: what is not promised

A caller whose requests all fail, or a worker that dies with what it had in hand, makes bad answers that are not independent, and one
version gets them all. Then there are fewer observations than answers, and no method here knows it: rate 0.01, margin +0.01, 25%.
"""

NOTES = """
## What was tried in its place, and lost

Three other ways to keep bounds under continuous looks, at the same levels (`tests/simulation/rollouts_alternatives.py` names the papers),
in the cells of one step of 5% or 50% within reach; the safe test with plugged-in rates in those of several steps too.

- *Mixture SPRT*: quick, and it breaks the bounds on promotions: its variance is plugged in, and is too small while bad answers are few.
- *Betting on weighted answers*: keeps the bounds, and promotes too few where half of the answers are bad: the weights' own noise is
  added to that of the answers.
- *Safe 2x2 test with plugged-in rates*: keeps the bounds and is as quick where rates stay as they are. Where both versions change it takes
  longer, or comes to no verdict: what it learned of the candidate is of another time. The judge's mixture of
  effects, with a share dealt out anew at each look, learns nothing of the candidate and finds what begins late sooner.

## What this does not say

- Requests are independent given the rates of their look. Where bad answers come in bursts, the bounds do not hold: see above.
- A margin that is small beside the champion's rate takes a large n\\*: `trimtab rollout plan` says which plans are out of reach.
- The threshold that Flagger and Argo Rollouts are given here is made of the champion's true rate, which nobody has. Where both versions
  get worse it is wrong, and that is not told apart from a bad candidate.
"""


class Bound(NamedTuple):
    """One promise: of candidates of this effect, the share that ends so, at most or at least so many."""

    title: str
    effect: float
    field: str
    bound: float
    most: bool

    def of(self, row: "Row") -> float:
        return float(getattr(row, self.field))

    def kept(self, row: "Row") -> bool:
        return self.of(row) <= self.bound if self.most else self.of(row) >= self.bound


BOUNDS = (
    Bound("as good: rolled back", 0.0, "false_rollback", 0.02, True),
    Bound("at the margin: promoted", 1.0, "promoted_bad", 0.05, True),
    Bound("twice the margin: promoted", 2.0, "promoted_bad", 0.01, True),
    Bound("as good: promoted within 4 n*", 0.0, "promoted_good", 0.80, False),
    Bound("twice the margin: rolled back within 4 n*", 2.0, "rolled_back_bad", 0.80, False),
)


def _rows(rows: Sequence["Row"], bound: Bound, method: str) -> list["Row"]:
    """The cells that the promise is about; power is promised only within reach."""
    return [row for row in rows if (row.method, row.effect) == (method, bound.effect) and (bound.most or row.reachable)]


def _worst(rows: Sequence["Row"], bound: Bound) -> "Row":
    return (max if bound.most else min)(rows, key=bound.of)


def _where(row: "Row") -> str:
    steps = "/".join(str(step) for step in row.steps)
    change = f", both rates x{row.change[1]:g} from {row.change[0]:.0%} on" if row.change else ""
    kind = "" if row.kind in ("one step", "common cause") else f", {row.kind}"
    return f"rate {row.base_rate:g}, margin {row.margin}, {steps}%{change}{kind}"


def _promises(rows: Sequence["Row"]) -> list[str]:
    lines = ["| promised | found in the worst cell | which | cells |", "|---|---|---|---|"]
    for bound in BOUNDS:
        for method in (OURS, TOLERATED):
            mine = _rows(rows, bound, method)
            if mine:
                worst = _worst(mine, bound)
                tolerated = "" if method == OURS else ", harm tolerated up to it"
                told = f"{bound.title}{tolerated}, at {'most' if bound.most else 'least'} {bound.bound:.0%}"
                lines.append(f"| {_star(told)} | {bound.of(worst):.2%} | {_where(worst)} | {len(mine)} |")
    return lines


def _methods(rows: Sequence["Row"], kind: Callable[["Row"], bool]) -> list[str]:
    """The worst cell of each method, and in how many of its cells it keeps the bound."""
    titles = [_star(name) for name in ("method", *(bound.title for bound in BOUNDS), "as good: slowest median, n*")]
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    chosen = [row for row in rows if kind(row)]
    for method in dict.fromkeys(row.method for row in chosen):
        cells = []
        for bound in BOUNDS:
            mine = _rows(chosen, bound, method)
            kept = sum(bound.kept(row) for row in mine)
            cells.append(f"{bound.of(_worst(mine, bound)):.1%} ({kept} of {len(mine)})" if mine else "")
        medians = [_median(row) for row in _rows(chosen, BOUNDS[3], method)]
        cells.append("" if not medians else "none" if None in medians else max(filter(None, medians), key=float))
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return lines


def _ours(rows: Sequence["Row"]) -> list[str]:
    """Every cell of one step."""
    names = ("rate", "margin", "split", "n*", "within reach", "as good: rolled back", "promoted", "median n*")
    names += ("at the margin: promoted", "harm tolerated", "twice: promoted", "rolled back", "median n*")
    lines = [f"| {' | '.join(map(_star, names))} |", "|---" * len(names) + "|"]
    found = {(row.base_rate, row.margin, row.split, row.effect, row.method): row for row in rows if row.kind == "one step"}
    for base, text, split in dict.fromkeys(key[:3] for key in found):
        good, at, tolerated, twice = (
            found[base, text, split, effect, method] for effect, method in ((0.0, OURS), (1.0, OURS), (1.0, TOLERATED), (2.0, OURS))
        )
        shares = (good.false_rollback, good.promoted_good, _median(good), at.promoted_bad, tolerated.promoted_bad)
        cells = [_share(value) for value in (*shares, twice.promoted_bad, twice.rolled_back_bad, _median(twice))]
        first = f"{base:g} | {text} | {split:.0%} | {good.n_star:,.0f} | {'yes' if good.reachable else 'no'}"
        lines.append(f"| {first} | {' | '.join(cells)} |")
    return lines


def _paths(rows: Sequence["Row"]) -> list[str]:
    """Cells of several steps: Trimtab, and the z-test on the same counters."""
    lines = ["| cell | candidate | rolled back | promoted | no verdict | median n\\* |", "|---" * 6 + "|"]
    for row in rows:
        if row.kind != "one step" and row.method == OURS:
            back, on = (row.false_rollback, row.promoted_good) if row.effect == 0.0 else (row.rolled_back_bad, row.promoted_bad)
            effect = {0.0: "as good", 1.0: "at the margin", 2.0: "twice the margin"}[row.effect]
            shares = " | ".join(_share(value) for value in (back, on, row.inconclusive, _median(row)))
            lines.append(f"| {_where(row)} | {effect} | {shares} |")
    return lines


def _bursts(rows: Sequence["Row"]) -> list[str]:
    """What becomes of the bounds where bad answers are not independent."""
    lines = [
        "| bad answers at once | method | as good: rolled back | at the margin: promoted | twice the margin: promoted |",
        "|---" * 5 + "|",
    ]
    for burst, method in dict.fromkeys((row.burst, row.method) for row in rows):
        mine = [row for row in rows if (row.burst, row.method) == (burst, method)]
        cells = [_share(bound.of(found[0])) if (found := _rows(mine, bound, method)) else "" for bound in BOUNDS[:3]]
        lines.append(f"| {burst} | {method} | {' | '.join(cells)} |")
    return lines


def _median(row: "Row") -> float | str | None:
    return f"{row.median_samples / row.n_star:.2f}" if row.median_samples is not None else None


def _share(value: float | str | None) -> str:
    return value if isinstance(value, str) else "" if value is None else f"{value:.4f}"


def _star(text: str) -> str:
    return text.replace("*", "\\*")


_LEFT, _WIDE, _GAP, _HIGH, _TOP = 250.0, 190.0, 48.0, 26.0, 46.0


def _plot(rows: Sequence["Row"]) -> Drawing:
    """A panel for each promise, a line for each method, a dot for each cell; the promise is the broken line."""
    methods = list(dict.fromkeys(row.method for row in rows))
    bottom = _TOP + _HIGH * len(methods)
    width = _LEFT + len(BOUNDS) * (_WIDE + _GAP)
    parts = [box(0, 0, width, bottom + 28, "#fff")]
    parts += [words(_LEFT - 12, _TOP + _HIGH * (place + 0.65), method, "end") for place, method in enumerate(methods)]
    for number, bound in enumerate(BOUNDS):
        left = _LEFT + number * (_WIDE + _GAP)
        x = Scale(1e-4, 1.0, left, left + _WIDE, log=True) if bound.most else Scale(0.0, 1.0, left, left + _WIDE)
        parts.append(words(left, 16, bound.title, size=10.5, bold=True))
        parts.append(words(left, 31, f"at {'most' if bound.most else 'least'} {bound.bound:.0%}", size=10.5, colour=SOFT))
        parts += [
            line(x(tick), _TOP, x(tick), bottom) for tick in ((1e-4, 1e-3, 0.01, 0.1, 1.0) if bound.most else (0, 0.25, 0.5, 0.75, 1))
        ]
        labels = ((1e-4, "0.01%"), (0.01, "1%"), (1.0, "100%")) if bound.most else ((0.0, "0"), (0.5, "50%"), (1.0, "100%"))
        parts += [words(x(tick), bottom + 15, told, "middle", 10, SOFT) for tick, told in labels]
        parts.append(line(x(bound.bound), _TOP, x(bound.bound), bottom, "#1f2933", 1.4, "4 3"))
        for place, method in enumerate(methods):
            found = _rows(rows, bound, method)
            middle = _TOP + _HIGH * (place + 0.5)
            parts.append(line(left, middle, left + _WIDE, middle, RULE))
            spread = np.linspace(-0.32, 0.32, len(found)) * _HIGH
            for kept, colour in ((True, BLUE), (False, BAD)):
                points = [(x(bound.of(row)), middle + off) for row, off in zip(found, spread, strict=True) if bound.kept(row) == kept]
                parts.append(dots(points, colour, 3.2))
    return Drawing(width, bottom + 28, "".join(parts))


def write(folder: Path, rows: Sequence["Row"]) -> None:
    """Write `rollouts.md` and `rollouts.svg` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    bursts = [row for row in rows if row.burst > 1]
    rows = [row for row in rows if row.burst == 1]
    (folder / "rollouts.svg").write_text(_plot(rows).svg + "\n")
    parts = [
        HEAD.format(runs=max(row.runs for row in rows)),
        f"\n## What is promised and what was found\n\nThe judge is designed at {DESIGN:g} of each bound.\n",
        *_promises(rows),
        "\n![shares of rollouts by method and cell](rollouts.svg)\n",
        "A dot is a cell; orange where the promise is broken. Power is promised within reach only.\n",
        "\n## Every method, one step: its worst cell (cells that keep the promise)\n",
        *_methods(rows, lambda row: row.kind == "one step"),
        f"\n## Every method while the weight moves ({'/'.join(map(str, STEPS))}%): both versions change, or the candidate turns bad late\n",
        *_methods(rows, lambda row: row.kind != "one step"),
        "\n## Trimtab, every cell of one step\n",
        *_ours(rows),
        "\n## Trimtab, every cell of several steps\n",
        *_paths(rows),
        BURSTS,
        *_bursts(bursts),
        NOTES,
    ]
    (folder / "rollouts.md").write_text("\n".join(parts) + "\n")
