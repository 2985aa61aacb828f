"""`make backtest-bike`: the bike example's policy over its two years, what it took, and the page that tells it.

Writes build/bench/backtest.json, docs/evidence/backtest.md and its plot. With `--keep FOLDER` what was trained before is taken from there,
and nothing is said of the time.
"""

import argparse
import math
import resource
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from trimtab.backtest.compare import WORKERS, compare
from trimtab.backtest.page import COLUMNS, headline, markdown, rows
from trimtab.backtest.plot import legend, plot
from trimtab.backtest.policies import OWN, WEEKLY
from trimtab.backtest.told import Comparison
from trimtab.cli.backtest import detector
from trimtab.documents import read_model

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "examples" / "bike-demand" / "policy.yaml"
START = datetime(2011, 7, 1, tzinfo=UTC)
OUT = ROOT / "build" / "bench" / "backtest.json"
PAGE = ROOT / "docs" / "evidence" / "backtest.md"
SHARE, FEWER = 0.85, 3
CHOSEN = datetime(2012, 4, 1, tzinfo=UTC)
"""The example's window, persistence, cooldown and bake were chosen on the rows before this."""


def text(found: Comparison, seconds: float | None, clock: float) -> str:
    """The page; `seconds` of processor time are None where not everything was trained."""
    own, columns = found.named(OWN), [column.format(metric=found.metric) for column in COLUMNS]
    shown = [(what, said, "yes" if good else "**no**") for what, said, good in promises(found, seconds)]
    did = [(f"{one.cut:%Y-%m-%d %H:%M}", one.trigger, one.phase, one.sentence or "under way at the end") for one in own.retrains]
    lines = [
        "# The bike example's policy over its two years",
        "",
        "`make backtest-bike` writes this page and `build/bench/backtest.json`. It is what `trimtab backtest "
        f"examples/bike-demand/policy.yaml --from {START:%Y-%m-%d}` finds over {found.rows:,} hours until {found.end:%Y-%m-%d}; "
        "[how that is played](../backtest.md).",
        *([] if seconds is None else [f"It took {seconds:.0f} s of processor time in {WORKERS} processes, {clock:.0f} s by the clock."]),
        "",
        headline(found),
        "",
        markdown(columns, rows(found)),
        "",
        f"![{found.metric} over time, and when each policy retrained](backtest.svg)",
        "",
        legend(),
        "",
        markdown(("what must be shown", "found", ""), shown),
        "",
        f"The document's window, persistence, cooldown and bake were chosen on the rows before {CHOSEN:%Y-%m-%d}: of 240 settings, "
        "played over weekly versions, the highest gain among those with at most a third of the weekly clock's retrains. On the rows "
        f"since then alone, {found.metric} is:",
        "",
        markdown(("policy", found.metric, "retrains"), later(found)),
        "",
        "## What this policy did",
        "",
        markdown(("cut", "asked by", "ended", "why"), did),
        "",
        *(f"- {note}" for note in found.notes),
    ]
    return "\n".join(lines) + "\n"


def later(found: Comparison) -> list[tuple[str, str, int]]:
    """Each policy's error and retrains on the periods that nothing was chosen on."""
    places = [place for place, period in enumerate(found.periods) if period.start >= CHOSEN]
    told = []
    for one in found.results:
        squares = sum((one.values[place] or 0.0) ** 2 * found.periods[place].rows for place in places)
        rows = sum(found.periods[place].rows for place in places)
        since = found.periods[places[0]].start
        told.append((one.name, f"{math.sqrt(squares / rows):.4g}", sum(retrain.cut >= since for retrain in one.retrains)))
    return told


def promises(found: Comparison, seconds: float | None) -> list[tuple[str, str, bool]]:
    """What must be shown, what was found, and whether it is so."""
    own, weekly, even = found.named(OWN), found.named(WEEKLY), found.even
    gain = own.gain or 0.0
    told = [
        (f"at least {SHARE:.0%} of the weekly clock's gain", f"{gain:.1%}", gain >= SHARE),
        (f"with at most a third of its {weekly.runs} retrains", str(own.runs), own.runs * FEWER <= weekly.runs),
    ]
    if seconds is not None:
        told.append((f"in at most 5 minutes of {WORKERS} processors", f"{seconds:.0f} s of processor time", seconds <= 300 * WORKERS))
    if even is not None:
        told.append(
            (f"lower error than a clock with as many retrains ({even.name})", f"{own.value:.2f}, {even.value:.2f}", own.value < even.value)
        )
    return told


def main() -> None:
    """Exit code 1 where what must be shown is not so."""
    parser = argparse.ArgumentParser(description="Backtest the bike example.")
    parser.add_argument("--keep", type=Path, help="a folder for what is trained, which the next run takes from there")
    given = parser.parse_args()
    begun = time.monotonic()
    found = compare(read_model(DOCUMENT), START, detector, tell=lambda name: print(f"  {name}", flush=True), keep=given.keep)
    clock, used = time.monotonic() - begun, [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    seconds = None if given.keep else sum(one.ru_utime + one.ru_stime for one in used)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    measured = {} if seconds is None else {"processorSeconds": round(seconds, 1), "clockSeconds": round(clock, 1)}
    OUT.write_bytes(msgspec.json.format(msgspec.json.encode({**measured, **msgspec.to_builtins(found)}), indent=1))
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(text(found, seconds, clock))
    PAGE.with_suffix(".svg").write_text(plot(found) + "\n")
    print(f"{headline(found)}\nwrote {PAGE.relative_to(ROOT)}")
    sys.exit(not all(good for _, _, good in promises(found, seconds)))


if __name__ == "__main__":
    main()
