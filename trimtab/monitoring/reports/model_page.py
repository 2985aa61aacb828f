"""A model's life as a page: how it stands, its metric, drift, findings and traffic over data time, and the numbers behind them. Pure."""

from trimtab.drawing.page import Figure, Page, Section, sentence
from trimtab.monitoring.records import WindowRecord
from trimtab.monitoring.reports.course import Course
from trimtab.monitoring.reports.ranking_figures import ndcg_figure
from trimtab.monitoring.reports.reading import ModelStory
from trimtab.monitoring.reports.time_figures import (
    columns_figure,
    effects_figure,
    findings_figure,
    metric_figure,
    p_figure,
    traffic_figure,
)
from trimtab.monitoring.reports.window_figures import named
from trimtab.monitoring.tables import moment

NUMBERS, TOLD = 60, 50


def model_page(story: ModelStory) -> Page:
    """The whole page."""
    spec = story.model.spec.monitoring
    sections: list[Section | None] = [_facts(story)]
    if story.windows:
        course = Course(story.windows)
        least = spec.drift.effect
        sections += [
            _section("Performance", (_HOW_METRIC,), metric_figure(course)),
            _section("Findings", (), findings_figure(course, story.findings), header=_FOUND, rows=_findings(story)),
            _section("Drift", (_HOW_DRIFT,), effects_figure(course, least), p_figure(course)),
            _section("Columns", ("The columns that moved most often, or furthest.",), columns_figure(course, least)),
            _explanation(course),
            _section("Traffic", (), traffic_figure(course)),
            _numbers(story.windows),
        ]
    good = story.stands.state == "none"
    made = tuple(part for part in sections if part is not None)
    return Page(f"{story.id}: how it does", sentence(story.stands.sentence), good, made)


_FOUND = ("data time", "kind", "version", "window", "in words")
_COLUMNS = ("version", "window", "data time", "rows", "metric", "95% interval", "bound", "not past it", "columns that moved")
_HOW_METRIC = (
    "Each window once its labels had arrived, with its 95% interval; against the version's own validation (dashed) and the bound that "
    "the Model allows. It is called past the bound only where that is sure at the window's level. Where the version changes, so does what "
    "it is compared with."
)
_HOW_RANKED = (
    "How far the order of the features by what moved the answers is still that of training (NDCG; 1 is the same order), with its 95% "
    "interval. It moved where the whole interval is below the bound; it becomes a finding only if it moves again and again."
)
_HOW_DRIFT = (
    "The columns that moved most. A column moved in a window only if its effect is above the line in the first figure and its p-value "
    "below the line in the second; it becomes a finding only if it moves again and again."
)


def _section(
    title: str, sentences: tuple[str, ...], *figures: Figure | None, header: tuple[str, ...] = (), rows: tuple[tuple[str, ...], ...] = ()
) -> Section | None:
    drawn = tuple(figure for figure in figures if figure is not None)
    return Section(title, sentences, header, rows, drawn) if drawn else None


def _explanation(course: Course) -> Section | None:
    """The order of what answers rest on; why nobody knows it, where it is known of no window and was asked for."""
    drawn = ndcg_figure(course)
    if drawn is not None:
        return Section("What the answers rest on", (_HOW_RANKED,), figures=(drawn,))
    newest = next((record.explanation for record in reversed(course.records) if record.explanation is not None), None)
    return None if newest is None else Section("What the answers rest on", (f"Not known: {newest.failed}.",))


def _facts(story: ModelStory) -> Section:
    spec = story.model.spec.monitoring
    window = f"{spec.window.rows:,} rows" + (f", or every {spec.window.every}" if spec.window.every else "")
    rows = [
        ("champion", f"version {story.version}" if story.version else "none yet"),
        ("watermark (data time, UTC)", f"{story.watermark:%Y-%m-%d %H:%M:%S}" if story.watermark else "no row has come yet"),
        ("windows", f"{story.all_windows:,}, each of {window}"),
        ("findings", f"{len(story.findings):,}, of which {sum(story.unclosed)} of the data's quality are open"),
    ]
    redacted = story.model.spec.serving.capture.redact
    if redacted:
        rows.append(("not watched", f"{', '.join(map(repr, redacted))}: redacted from capture"))
    if story.all_windows > len(story.windows):
        rows.append(("shown here", f"the newest {len(story.windows)} windows"))
    return Section("In short", (), ("what", "which"), tuple(rows))


def _findings(story: ModelStory) -> tuple[tuple[str, ...], ...]:
    newest = list(zip(story.findings, story.unclosed, strict=True))[: -TOLD - 1 : -1]
    return tuple(
        (f"{one.window_end:%Y-%m-%d %H:%M}", f"{one.kind}{' (open)' if is_open else ''}", one.version, str(one.window), one.sentence)
        for one, is_open in newest
    )


def _numbers(windows: list[WindowRecord]) -> Section:
    said = f"The newest {NUMBERS} of {len(windows)} windows, newest first." if len(windows) > NUMBERS else "Newest first."
    return Section("Windows in numbers", (said,), _COLUMNS, tuple(map(_row, windows[: -NUMBERS - 1 : -1])))


def _row(record: WindowRecord) -> tuple[str, ...]:
    judged = record.judgement
    moved = [named(name) for name, check in (record.drift.columns if record.drift else {}).items() if check.moved]
    words = ", ".join(moved[:5]) + (f" and {len(moved) - 5} more" if len(moved) > 5 else "")
    when = f"{moment(record.start):%Y-%m-%d %H:%M} to {moment(record.end):%Y-%m-%d %H:%M}"
    numbers = ("", "", "", "")
    if judged is not None:
        bound = f"{judged.bound:.4g}" if judged.bound is not None else ""
        within = "NO" if judged.past else "yes"
        numbers = (f"{judged.metric} {judged.value:.4g}", f"{judged.low:.4g} to {judged.high:.4g}", bound, within)
    broken = f"{len(record.breaks)} breaks; " if record.breaks else ""
    return record.version, str(record.window), when, f"{record.rows:,}", *numbers, broken + words
