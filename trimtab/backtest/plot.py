"""The comparison as one SVG: each policy's error over data time, and below it when each retrained.

Plain shapes and text, so that it is the same in a page, in a document and on paper. Colours are Okabe and Ito's; lines differ in their
dashes too. All text that comes from data is escaped.
"""

from datetime import datetime
from html import escape

from trimtab.backtest.policies import NEVER, ORACLE, OWN, WEEKLY
from trimtab.backtest.told import Comparison, Result

WIDTH, LEFT, RIGHT, TOP, HEIGHT, STRIP = 960, 150, 16, 34, 300, 22
INK, SOFT, RULE = "#1f2933", "#5c6873", "#dfe4e8"
STYLES = {NEVER: ("#6b7680", "6 3", 1.8), WEEKLY: ("#e69f00", "2 3", 1.8), OWN: ("#0072b2", "", 2.6), ORACLE: ("#00805c", "8 3 2 3", 1.8)}
OTHERS = (("#cc79a7", "4 2", 1.2), ("#d55e00", "1 2", 1.2), ("#56b4e9", "5 2 1 2", 1.2), ("#999933", "3 3", 1.2))


def plot(found: Comparison) -> str:
    """The SVG, as text that begins with its element."""
    bottom = TOP + HEIGHT
    whole = bottom + 40 + STRIP * len(found.results) + 26
    parts = [*_axes(found, bottom), *_lines(found, bottom)]
    for number, result in enumerate(found.results):
        parts += _strip(found, result, bottom + 40 + STRIP * number, _style(found, result.name))
    text = f'font-family="system-ui, sans-serif" font-size="12" fill="{INK}"'
    label = escape(f"{found.metric} over time and retrains of {len(found.results)} policies", quote=True)
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {whole}" role="img" aria-label="{label}" {text}>'
    return f"{opening}{''.join(parts)}</svg>"


def _style(found: Comparison, name: str) -> tuple[str, str, float]:
    others = [result.name for result in found.results if result.name not in STYLES]
    return STYLES.get(name) or OTHERS[others.index(name) % len(OTHERS)]


def _x(found: Comparison, when: datetime) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * ((when - found.start) / (found.end - found.start))


def _span(found: Comparison) -> tuple[float, float]:
    values = [value for result in found.results for value in result.values if value is not None]
    low, high = min(values, default=0.0), max(values, default=1.0)
    return (low, high) if high > low else (low - 1.0, high + 1.0)


def _axes(found: Comparison, bottom: int) -> list[str]:
    low, high = _span(found)
    parts = [f'<rect width="100%" height="100%" fill="#ffffff"/><text x="{LEFT}" y="18" font-weight="600">{escape(found.metric)}</text>']
    for step in range(5):
        value, y = low + (high - low) * step / 4, bottom - HEIGHT * step / 4
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="{RULE}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" fill="{SOFT}">{value:.3g}</text>')
    for step in range(7):
        when = found.start + (found.end - found.start) * step / 6
        anchor = "start" if step == 0 else "end" if step == 6 else "middle"
        parts.append(f'<text x="{_x(found, when):.1f}" y="{bottom + 18}" text-anchor="{anchor}" fill="{SOFT}">{when:%Y-%m-%d}</text>')
    return parts


def _lines(found: Comparison, bottom: int) -> list[str]:
    low, high = _span(found)
    parts = []
    for result in found.results:
        colour, dashes, width = _style(found, result.name)
        points: list[str] = []
        for period, value in zip(found.periods, result.values, strict=True):
            if value is not None:
                middle = period.start + (period.end - period.start) / 2
                points.append(f"{_x(found, middle):.1f},{bottom - HEIGHT * (value - low) / (high - low):.1f}")
        drawn = f'fill="none" stroke="{colour}" stroke-width="{width}" stroke-dasharray="{dashes}"'
        parts.append(f'<polyline points="{" ".join(points)}" {drawn}/>')
    return parts


def _strip(found: Comparison, result: Result, y: int, style: tuple[str, str, float]) -> list[str]:
    """When it retrained: a dot for a version that was promoted, a cross for a run that was stopped, a line for a finding."""
    colour, dashes, width = style
    middle = y + STRIP / 2
    parts = [
        f'<text x="{LEFT - 8}" y="{middle + 4}" text-anchor="end">{escape(result.name)}</text>',
        f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{middle}" y2="{middle}" stroke="{colour}" stroke-width="{width}" '
        f'stroke-dasharray="{dashes}"/>',
    ]
    for finding in result.findings or ():
        x = _x(found, finding.cut)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y + 3}" y2="{y + STRIP - 3}" stroke="{SOFT}">{_title(finding.sentence)}</line>')
    for retrain in result.retrains:
        x, about = _x(found, retrain.since or retrain.cut), _title(f"{retrain.trigger}: {retrain.sentence or retrain.phase}")
        if retrain.since is None:
            parts.append(f'<path d="M{x - 4:.1f} {middle - 4}l8 8m0 -8l-8 8" stroke="{INK}" stroke-width="1.6">{about}</path>')
        else:
            parts.append(f'<circle cx="{x:.1f}" cy="{middle}" r="4" fill="{colour}" stroke="#ffffff">{about}</circle>')
    return parts


def _title(text: str) -> str:
    return f"<title>{escape(text)}</title>"


def legend() -> str:
    """How to read it."""
    return "Dots are versions that took over, crosses runs that were stopped by their gates or their data, upright lines findings."
