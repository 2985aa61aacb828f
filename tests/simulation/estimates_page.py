"""The page that `make simulate-estimates` writes, from its numbers alone."""

from typing import Any

import numpy as np

Numbers = dict[str, Any]
GAP, COVERAGE = 0.03, 0.90
"""What is promised: the greatest mean gap to the realised AUC, and the least share of intervals that hold it."""

_HEAD = """# Estimates without labels: the evidence

Written by `make simulate-estimates`; [Performance](../performance.md) says what an estimate is. Every version
is fitted by the project's own code.

## ROC AUC before any label (CBPE)

Cohorts of at least 500 positives of the generated examples, after the version's cut, while only inputs move. The worlds' seeds are
{seeds}: nothing was chosen on these.
"""


def page(found: Numbers) -> tuple[str, bool]:
    """The page, and whether what is promised is kept."""
    examples = list(dict.fromkeys(row["example"] for row in found["rows"]))
    lines, kept = [_HEAD.format(seeds=_spans(sorted({row["seed"] for row in found["rows"]})))], True
    lines += _header("example", "worlds", "cohorts", "mean gap", "mean estimate less realised", "interval holds", "mean width", "believed")
    for example in examples:
        line, good = _moving([row for row in found["rows"] if row["example"] == example and not row["concept"]])
        lines.append(f"| {example} | {line}")
        kept &= good
    lines += ["", f"Promised: a mean gap of at most {GAP}, intervals that hold in at least {COVERAGE:.0%} of the cohorts.", ""]
    lines += [
        "After the concept changed an estimate knows nothing of it; what counts is that it is not believed once labels are there. One",
        "that is `insufficient` of itself (few positives expected, inputs that the hold-out hardly has) claims nothing to begin with:",
        "",
    ]
    lines += _header(
        "example",
        "worlds",
        "mean estimate",
        "mean realised",
        "with the first labels unverified",
        "insufficient",
        "unverified of all cohorts",
    )
    for example in examples:
        line, good = _concept([row for row in found["rows"] if row["example"] == example and row["concept"]])
        lines.append(f"| {example} | {line}")
        kept &= good
    lines += ["", *_labelled(found["power"]), *_regression(found["loss"], found["later"]), *_quality(found["quiet"])]
    kept &= not any(one["found"] for one in found["quiet"])
    return "\n".join(lines) + "\n", bool(kept)


def _spans(numbers: list[int]) -> str:
    begins = [number for number in numbers if number - 1 not in numbers]
    ends = [number for number in numbers if number + 1 not in numbers]
    return " and ".join(f"{first} to {last}" for first, last in zip(begins, ends, strict=True))


def _header(*names: str) -> list[str]:
    return [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]


def _moving(rows: list[Numbers]) -> tuple[str, bool]:
    gaps = np.array([row["value"] - row["realised"] for row in rows])
    held = np.array([row["low"] <= row["realised"] <= row["high"] for row in rows])
    width = np.mean([row["high"] - row["low"] for row in rows])
    believed = np.mean([row["state"] == "estimated" for row in rows])
    worlds = len({row["seed"] for row in rows})
    gap = f"{np.abs(gaps).mean():.4f} | {gaps.mean():+.4f}"
    line = f"{worlds} | {len(rows)} | {gap} | {held.mean():.1%} ({held.sum()} of {len(held)}) | {width:.3f} | {believed:.0%} |"
    return line, bool(np.abs(gaps).mean() <= GAP and held.mean() >= COVERAGE)


def _concept(rows: list[Numbers]) -> tuple[str, bool]:
    first: dict[int, Numbers] = {}
    for row in rows:
        first.setdefault(row["seed"], row)
    at_once, silent = (sum(row["state"] == state for row in first.values()) for state in ("unverified", "insufficient"))
    share = np.mean([row["state"] == "unverified" for row in rows])
    means = [np.mean([row[name] for row in rows]) for name in ("value", "realised")]
    line = f"{len(first)} | {means[0]:.3f} | {means[1]:.3f} | {at_once} of {len(first)} | {silent} | {share:.0%} |"
    return line, at_once + silent == len(first)


def _labelled(powers: list[Numbers]) -> list[str]:
    found = [
        "## With labels, where positives are few",
        "",
        "How often labels find that ROC AUC fell, in windows of so many rows: before the concept changed (false) and after. The 95%",
        "interval's width is that of the window alone. What it is held against is the hold-out's answers: all that a version keeps (at",
        "most 50,000), or 400 of them, as many as its reference sample has.",
        "",
        *_header("example", "rows of a window", "hold-out kept", "windows", "mean width", "found before", "found after"),
    ]
    for one in powers:
        kept = f"{one['kept']} rows" if one["kept"] else "whole"
        shares = f"{one['roseBefore']:.0%} | {one['roseAfter']:.0%} |"
        found.append(f"| {one['example']} | {one['rows']} | {kept} | {one['windows']} | {one['width']:.3f} | {shares}")
    return [*found, ""]


def _regression(loss: Numbers, later: Numbers) -> list[str]:
    return [
        "## RMSE before any label (bike-demand)",
        "",
        "The estimate learns from half of the hold-out's days; of the other days those hours are asked that have the largest or least",
        f"values of one input ({loss['tests']} tests: 8 versions, the days of each halved {loss['splits']} times). The mean",
        f"|estimate / realised - 1| is {loss['gap']:.1%}, that of the hold-out's RMSE as it is {loss['plainGap']:.1%}; the 95%",
        f"interval holds in {loss['coverage']:.0%}.",
        "",
        "In the order of time demand grows, so the same inputs lead to other outcomes: the interval holds",
        f"{later['inside']:.0%} of {later['windows']} windows of two weeks after the cuts, and {later['unverified']:.0%} are `unverified`",
        "once their labels are there.",
        "",
    ]


def _quality(quiet: list[Numbers]) -> list[str]:
    lines = ["## Data quality where nothing is broken", "", *_header("example", "windows", "findings")]
    for one in quiet:
        said = f": {'; '.join(one['found'][:3])}" if one["found"] else ""
        lines.append(f"| {one['example']} | {one['windows']} | {len(one['found'])}{said} |")
    return lines
