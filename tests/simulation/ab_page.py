"""The simulated A/B rollouts' page, from their numbers alone: docs/evidence/ab.md and its plot."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trimtab.drawing.scale import Scale
from trimtab.drawing.svg import BAD, BLUE, RULE, SOFT, Drawing, box, dots, line, words
from trimtab.rollout.ab import ALPHA, BURN_IN

if TYPE_CHECKING:
    from tests.simulation.ab import Row

OURS = "Trimtab"
PROMISE = 0.05
HEAD = f"""# A/B: verdicts under continuous looks

`make simulate-ab` writes this page and `build/simulation/ab.json` (fixed seeds, {{runs}} rollouts a cell). Callers come, are
assigned to champion or candidate at random, and everything is looked at again and again; an A/B may end at every look. *n\\** is
how many callers of both versions a test of one fixed sample needs (5% one-sided, power 90%, a label a caller) to see the declared
effect; a run ends after 4 n\\* where nothing else is said. Trimtab's words are those of `trimtab/rollout/ab.py` itself.

The worlds: *binary*, one label of 0 or 1 a caller; *tide*, the same with a rate that rises and falls by half for both versions;
*revenue*, nothing from nine of ten callers and a lognormal amount (sigma 1.5) from the others, clipped at the 99.5% quantile of
all; *returning*, 2,000 callers who come 20 times on average, some much more often, each with a rate of its own (correlation of the
labels of one caller 0.3); *once*, callers who come as often and bring a 1 at most once, with their first label.

## What the others are

- *z-test once*: two-sided at 5%, at the end of the run and never before: what a fixed sample is meant for.
- *z-test at each look*: the same test whenever one looks, from {{least}} callers on; the first significant look ends it. As in *z-test
  once*, each version's variance is its own callers', and far too small while hardly any of them has brought anything. *Labels as units*
  takes every label for a caller of its own.
- *mSPRT*: the mixture sequential test of Johari, Koomen, Pekelis and Walsh ("Always valid inference", 2022), two-sided at 5%, its
  mixture as wide as the declared effect, with the variance estimated from each version alone, from {{least}} callers on.

None of them knows a minimum effect: a winner is whoever is significantly better.

## A candidate that is as good

A winner is false here. Each side of the interval is designed at {ALPHA:.1%}. *Ever better* counts every run in which Trimtab's interval
ever lay above no difference, or a test was ever significant, whether or not the verdict had been said before.
"""

NOTES = f"""
## What this does not say

- The interval is asymptotic. What keeps it honest where few callers decide is that nothing is said before both versions have what
  {BURN_IN:g} equal callers would tell, and that no version's variance is taken to be smaller than what all callers' spread makes of it.
- A number is clipped, so it is the clipped mean that is compared: an effect that lies in the few largest amounts alone is not seen.
- A caller who is asked by two devices is two callers.
- Callers who influence each other (a market, a queue) are no independent units, and no test of this kind is for them.
"""


def _where(row: "Row") -> str:
    fewer = ", fewer wanted" if row.goal == "smaller" else ""
    return f"{row.kind}, mean {row.rate:g}, {row.share}%, effect {row.effect}{fewer}"


def _methods(rows: Sequence["Row"]) -> list[str]:
    """The worst cell of each method."""
    lines = [
        "| method | false winners, worst cell | which | cells above 5% | false losers, worst cell | ever better, worst cell |",
        "|---" * 6 + "|",
    ]
    for method in dict.fromkeys(row.method for row in rows):
        mine = [row for row in rows if row.method == method]
        worst = max(mine, key=lambda row: row.winners)
        above = sum(row.winners > PROMISE for row in mine)
        losers, crossed = max(row.losers for row in mine), max(row.crossed for row in mine)
        lines.append(f"| {method} | {worst.winners:.1%} | {_where(worst)} | {above} of {len(mine)} | {losers:.1%} | {crossed:.1%} |")
    return lines


def _same(rows: Sequence["Row"]) -> list[str]:
    """Every cell of candidates that are as good, and the winners of the other methods."""
    others = [name for name in dict.fromkeys(row.method for row in rows) if name != OURS]
    names = ["cell", "looks", "winners", "losers", "no worthwhile difference", "undecided", "ever better", "median, n\\*"]
    lines = [f"| {' | '.join([*names, *(f'{name}: winners' for name in others)])} |", "|---" * (len(names) + len(others)) + "|"]
    found = {(_where(row), row.looks, row.method): row for row in rows}
    for where, looks in dict.fromkeys(key[:2] for key in found):
        row = found[where, looks, OURS]
        shares = [row.winners, row.losers, row.equal, row.undecided, row.crossed]
        theirs = [f"{found[key].winners:.4f}" if (key := (where, looks, name)) in found else "" for name in others]
        lines.append(f"| {where} | {looks:,} | {' | '.join([*(f'{value:.4f}' for value in shares), _median(row), *theirs])} |")
    return lines


def _better(rows: Sequence["Row"]) -> list[str]:
    lines = [
        "| cell | improvement, in effects | winners | losers | no worthwhile difference | undecided | median, n\\* | z-test once: winners |"
    ]
    lines.append("|---" * 8 + "|")
    once = {(_where(row), row.true): row.winners for row in rows if row.method == "z-test once"}
    for row in rows:
        if row.method == OURS:
            shares = " | ".join(f"{value:.3f}" for value in (row.winners, row.losers, row.equal, row.undecided))
            lines.append(f"| {_where(row)} | {row.true:g} | {shares} | {_median(row)} | {once[_where(row), row.true]:.3f} |")
    return lines


def _median(row: "Row") -> str:
    return "none" if row.median_callers is None else f"{row.median_callers / row.n_star:.2f}"


_LEFT, _WIDE, _HIGH, _TOP = 260.0, 420.0, 30.0, 40.0


def _plot(rows: Sequence["Row"]) -> Drawing:
    """A line for each method, a dot for each cell of a candidate that is as good: the share of false winners."""
    methods = list(dict.fromkeys(row.method for row in rows))
    bottom, width = _TOP + _HIGH * len(methods), _LEFT + _WIDE + 30
    x = Scale(1e-4, 1.0, _LEFT, _LEFT + _WIDE, log=True)
    parts = [box(0, 0, width, bottom + 28, "#fff"), words(_LEFT, 16, "A candidate that is as good wins", size=10.5, bold=True)]
    parts.append(words(_LEFT, 31, "share of the runs of a cell; promised is at most 5%", size=10.5, colour=SOFT))
    for tick, told in ((1e-4, "0.01%"), (1e-3, "0.1%"), (0.01, "1%"), (0.1, "10%"), (1.0, "100%")):
        parts += [line(x(tick), _TOP, x(tick), bottom), words(x(tick), bottom + 15, told, "middle", 10, SOFT)]
    parts.append(line(x(PROMISE), _TOP, x(PROMISE), bottom, "#1f2933", 1.4, "4 3"))
    for place, method in enumerate(methods):
        found = [row for row in rows if row.method == method]
        middle = _TOP + _HIGH * (place + 0.5)
        parts += [words(_LEFT - 12, middle + 4, method, "end"), line(_LEFT, middle, _LEFT + _WIDE, middle, RULE)]
        spread = np.linspace(-0.32, 0.32, len(found)) * _HIGH
        for kept, colour in ((True, BLUE), (False, BAD)):
            points = [
                (x(max(row.winners, 1e-4)), middle + off)
                for row, off in zip(found, spread, strict=True)
                if (row.winners <= PROMISE) == kept
            ]
            parts.append(dots(points, colour, 3.2))
    return Drawing(width, bottom + 28, "".join(parts))


def write(folder: Path, rows: Sequence["Row"], least: int) -> None:
    """Write `ab.md` and `ab.svg` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    same, better = [row for row in rows if row.true == 0.0], [row for row in rows if row.true > 0.0]
    (folder / "ab.svg").write_text(_plot(same).svg + "\n")
    runs = sorted({row.runs for row in rows}, reverse=True)
    parts = [
        HEAD.format(runs=" or ".join(f"{count:,}" for count in runs), least=least),
        *_methods(same),
        "\n![share of false winners by method and cell](ab.svg)\n",
        "A dot is a cell; orange where more than 5% of the runs have a false winner.\n",
        "\n### Every cell\n",
        *_same(same),
        "\n## A candidate that is better by the effect, or by twice as much\n",
        "At exactly the effect half of all estimates lie below it: such a candidate wins when it is surely better and looks worth it.\n",
        *_better(better),
        NOTES,
    ]
    (folder / "ab.md").write_text("\n".join(parts) + "\n")
