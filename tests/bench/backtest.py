"""`make backtest-bike`: the bike example's policy over its two years, what it took, and the page that tells it.

Writes build/bench/backtest.json, docs/evidence/backtest.md and its plot. Beside the policies of `trimtab backtest` it measures the weekly
clock whose candidates must pass their gates, so that nobody thinks that the clocks lose by having none (`--gated`; it takes minutes more).
"""

import argparse
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np

from trimtab.backtest.compare import compare
from trimtab.backtest.history import History, read_history
from trimtab.backtest.life import Life, Lived
from trimtab.backtest.page import COLUMNS, headline, markdown, rows
from trimtab.backtest.plot import legend, plot
from trimtab.backtest.policies import OWN, WEEKLY, clocks, freely, offline
from trimtab.backtest.told import Comparison
from trimtab.backtest.workshop import Workshop
from trimtab.cli.backtest import detector
from trimtab.documents import read_model
from trimtab.spec import Model

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "examples" / "bike-demand" / "model.yaml"
START = datetime(2011, 7, 1, tzinfo=UTC)
OUT = ROOT / "build" / "bench" / "backtest.json"
PAGE = ROOT / "docs" / "evidence" / "backtest.md"
SHARE, FEWER = 0.85, 3


def gated(model: Model, history: History, keep: Path) -> tuple[Lived, float]:
    """The weekly clock whose candidates must pass their gates, and its RMSE."""
    freed = freely(offline(model, 1), "schedule")
    end = datetime.fromtimestamp(history.times[-1], UTC)
    with tempfile.TemporaryDirectory() as own:
        lived = Life(history, freed, Workshop(freed, keep), detector(), Path(own), START, clocks(START, end)[WEEKLY]).live()
    truth = np.array(history.labels[lived.first :], dtype=float)
    return lived, float(np.sqrt(np.nanmean((truth - lived.said) ** 2)))


def text(found: Comparison, seconds: float, beside: str) -> str:
    """The page."""
    own, weekly = found.named(OWN), found.named(WEEKLY)
    even = found.even
    columns = [column.format(metric=found.metric) for column in COLUMNS]
    lines = [
        "# The bike example's policy over its two years",
        "",
        "`make backtest-bike` writes this page and `build/bench/backtest.json`: `trimtab backtest examples/bike-demand/model.yaml --from "
        f"{START:%Y-%m-%d}` over {found.rows:,} hours from {found.start:%Y-%m-%d} to {found.end:%Y-%m-%d}.",
        f"It took {seconds:.0f} s on two processors that others used too. [How it is played](../backtest.md).",
        "",
        headline(found),
        "",
        markdown(columns, rows(found)),
        "",
        beside,
        "",
        f"![{found.metric} over time, and when each policy retrained](backtest.svg)",
        "",
        legend(),
        "",
        "| what must be shown | found | |",
        "|---|---|---|",
    ]
    if even is not None:
        lines.append(
            _row(
                f"lower error than a clock with as many retrains ({even.name})",
                f"{own.value:.2f} against {even.value:.2f}",
                own.value < even.value,
            )
        )
    lines.append(_row(f"at least {SHARE:.0%} of the weekly clock's gain", f"{own.gain or 0:.1%}", (own.gain or 0) >= SHARE))
    lines.append(_row(f"with at most a third of its {weekly.runs} retrains", str(own.runs), own.runs * FEWER <= weekly.runs))
    lines.append(_row("in at most 5 minutes", f"{seconds:.0f} s", seconds <= 300))
    lines += [
        "",
        "What this policy did:",
        "",
        markdown(
            ("cut", "asked by", "ended", "why"),
            [(f"{one.cut:%Y-%m-%d %H:%M}", one.trigger, one.phase, one.sentence) for one in own.retrains],
        ),
    ]
    lines += ["", *(f"- {note}" for note in found.notes)]
    return "\n".join(lines) + "\n"


def _row(what: str, found: str, good: bool) -> str:
    return f"| {what} | {found} | {'yes' if good else '**no**'} |"


def main() -> None:
    """Exit code 1 where what must be shown is not so."""
    parser = argparse.ArgumentParser(description="Backtest the bike example.")
    parser.add_argument("--gated", action="store_true", help="measure the weekly clock with gates, too")
    given = parser.parse_args()
    model = read_model(DOCUMENT)
    with tempfile.TemporaryDirectory() as keep:
        begun = time.monotonic()
        found = compare(model, START, detector, keep=Path(keep), tell=lambda name: print(f"  {name}", flush=True))
        seconds = time.monotonic() - begun
        beside = ""
        if given.gated:
            lived, value = gated(model, read_history(model.spec.data), Path(keep))
            promoted = sum(one.since is not None for one in lived.retrains)
            beside = f"The weekly clock with gates, for comparison: {found.metric} {value:.4g}, "
            beside += f"{promoted} of {len(lived.retrains)} versions took over."
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_bytes(msgspec.json.format(msgspec.json.encode({"seconds": round(seconds, 1), **msgspec.to_builtins(found)}), indent=1))
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(text(found, seconds, beside))
    PAGE.with_suffix(".svg").write_text(plot(found) + "\n")
    print(headline(found))
    print(f"wrote {PAGE.relative_to(ROOT)} after {seconds:.0f} s")


if __name__ == "__main__":
    main()
