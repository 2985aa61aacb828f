"""The comparison as one HTML page that loads nothing from anywhere, and as Markdown for a document."""

from collections.abc import Sequence
from pathlib import Path

from trimtab import __version__
from trimtab.backtest.plot import legend, plot
from trimtab.backtest.policies import NEVER, OWN, WEEKLY
from trimtab.backtest.told import Comparison, Result
from trimtab.platforms.local import report_page
from trimtab.platforms.local.report_markup import clock, count, section, table, text

COLUMNS = ("policy", "{metric}", "share of weekly's gain", "retrains", "promoted", "stopped", "rolled back", "findings")
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def headline(found: Comparison) -> str:
    """Whether it is worth it, in two sentences."""
    own, never, weekly = (found.named(name) for name in (OWN, NEVER, WEEKLY))
    sentence = f"This policy: {found.metric} {own.value:.4g} with {count(own.runs, 'retrain')}; without any it is {never.value:.4g}"
    sentence += f", every week {weekly.value:.4g} with {weekly.runs}."
    if found.even is not None:
        sentence += f" A clock with as many ({found.even.name}) comes to {found.even.value:.4g}."
    return sentence


def rows(found: Comparison) -> list[tuple[object, ...]]:
    """The table's cells, a row a policy."""
    return [
        (
            one.name,
            f"{one.value:.4g}",
            "" if one.gain is None else f"{one.gain:.0%}",
            one.runs,
            one.promoted,
            one.stopped,
            one.rolled_back,
            one.kinds,
        )
        for one in found.results
    ]


def page(found: Comparison) -> str:
    """The whole page."""
    columns = [column.format(metric=found.metric) for column in COLUMNS]
    own = found.named(OWN)
    name = text(found.model)
    how = f"{found.labelled:,} labelled rows of {found.data}; each is answered by the champion of its time. {legend()}"
    parts = [
        section("policies", "Policies side by side", how, f"<figure>{plot(found)}</figure>{table(columns, rows(found), 'Policies')}"),
        section("retrains", "What this policy did", "Each training run after the first version.", _retrains(own)),
        section("findings", "What it found", "Findings in the order in which they were made.", _findings(own)),
        section("how", "How this was played", "", "".join(f"<p>{text(note)}</p>" for note in found.notes)),
    ]
    style = Path(report_page.__file__).with_name("report.css").read_text()
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{name}: backtest</title>
<style>{style}</style>
</head>
<body>
<main>
<header>
<p class="over">Backtest of the model <strong>{name}</strong>, {clock(found.start, short=True)} to {clock(found.end, short=True)} UTC</p>
<h1>{text(headline(found))}</h1>
</header>
{"".join(parts)}
<footer>Made by Trimtab {text(__version__)}. All times are UTC and the data's own. This page loads nothing from anywhere.</footer>
</main>
</body>
</html>
"""


def _retrains(own: Result) -> str:
    told = [
        (clock(one.cut, short=True), one.trigger, one.phase, clock(one.since, short=True), one.sentence or "under way at the end")
        for one in own.retrains
    ]
    return table(("cut", "asked by", "ended", "served from", "why"), told, "Retrains")


def _findings(own: Result) -> str:
    told = [(clock(one.cut, short=True), one.kind, one.window, one.sentence) for one in own.findings or ()]
    return table(("time", "kind", "window", "finding"), told, "Findings")


def markdown(columns: Sequence[str], cells: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [" | ".join(columns), " | ".join("---" for _ in columns), *(" | ".join(str(cell) for cell in row) for row in cells)]
    return "\n".join(f"| {line} |" for line in lines)
