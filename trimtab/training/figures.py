"""The report's drawings, as a few lines of SVG each."""

import html
from collections.abc import Sequence

from trimtab.drawing.page import Figure
from trimtab.drawing.svg import BLUE, INK, RULE, SOFT, Drawing, shortened
from trimtab.training.evaluation.ranking import Curve
from trimtab.training.evaluation.reliability import Bin

_SIDE, _LEFT, _TOP, _BOTTOM = 260, 40, 12, 36
_BAR, _NAME, _WIDE = 18, 170, 420


def roc_figure(curve: Curve, area: float) -> Figure:
    """The ROC curve."""
    points = [(x, y) for x, y in zip(curve.false_positive_rate, curve.true_positive_rate, strict=True)]
    return Figure(_square(_line(points), "false positive rate", "true positive rate"), f"ROC curve, area {area:.3f}")


def calibration_figure(bins: Sequence[Bin]) -> Figure:
    """The calibration curve with each share's interval."""
    most = max(0.01, *(one.predicted for one in bins), *(one.interval[1] for one in bins))
    most = 1.0 if most > 0.5 else most
    bars = "".join(
        f'<line x1="{_x(one.predicted / most):.1f}" x2="{_x(one.predicted / most):.1f}" y1="{_y(one.interval[0] / most):.1f}" '
        f'y2="{_y(min(one.interval[1] / most, 1.0)):.1f}" stroke="{SOFT}"/>'
        for one in bins
    )
    dots = "".join(
        f'<circle cx="{_x(one.predicted / most):.1f}" cy="{_y(min(one.observed / most, 1.0)):.1f}" r="3" fill="{BLUE}"/>' for one in bins
    )
    return Figure(
        _square(bars + dots, "predicted", "observed", most), "Calibration; bars are 95% intervals, on the line all is as predicted"
    )


def bars_figure(values: Sequence[tuple[str, float, tuple[float, float] | None]], caption: str) -> Figure:
    """Shares from 0 as bars, each with its interval."""
    most = max([0.01, *(value for _, value, _ in values)])
    room = _WIDE - _NAME - 60
    rows = []
    for place, (name, value, interval) in enumerate(values):
        top, wide = place * _BAR, value / most * room
        shown = html.escape(shortened(name, 24))
        rows.append(
            f'<text x="{_NAME - 8}" y="{top + 13}" text-anchor="end">{shown}</text>'
            f'<rect x="{_NAME}" y="{top + 3}" width="{wide:.1f}" height="{_BAR - 6}" fill="{BLUE}"/>'
            f'<text x="{_NAME + wide + 8:.1f}" y="{top + 13}">{value:.1%}</text>'
        )
        if interval:
            low, high = (_NAME + min(edge / most, 1.1) * room for edge in interval)
            rows.append(f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{top + 9}" y2="{top + 9}" stroke="{INK}"/>')
    return Figure(Drawing(_WIDE, len(values) * _BAR + 4, "".join(rows)), caption)


def _square(content: str, across: str, up: str, most: float = 1.0) -> Drawing:
    ticks = "".join(
        f'<text x="{_x(part):.1f}" y="{_TOP + _SIDE + 14}" text-anchor="middle">{part * most:.2g}</text>'
        f'<text x="{_LEFT - 6}" y="{_y(part) + 4:.1f}" text-anchor="end">{part * most:.2g}</text>'
        for part in (0.0, 0.5, 1.0)
    )
    frame = f'<rect x="{_LEFT}" y="{_TOP}" width="{_SIDE}" height="{_SIDE}" fill="none" stroke="{RULE}"/>'
    diagonal = f'<line x1="{_x(0):.1f}" y1="{_y(0):.1f}" x2="{_x(1):.1f}" y2="{_y(1):.1f}" stroke="{RULE}" stroke-dasharray="4 4"/>'
    names = (
        f'<text x="{_x(0.5):.1f}" y="{_TOP + _SIDE + 30}" text-anchor="middle">{across}</text>'
        f'<text transform="translate(10 {_y(0.5):.1f}) rotate(-90)" text-anchor="middle">{up}</text>'
    )
    return Drawing(_LEFT + _SIDE + 12, _TOP + _SIDE + _BOTTOM, frame + diagonal + content + ticks + names)


def _line(points: Sequence[tuple[float, float]]) -> str:
    path = " ".join(f"{_x(x):.1f},{_y(y):.1f}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{BLUE}" stroke-width="2"/>'


def _x(share: float) -> float:
    return _LEFT + share * _SIDE


def _y(share: float) -> float:
    return _TOP + (1 - share) * _SIDE
