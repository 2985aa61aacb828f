"""One window as a page: what moved and how far, the distributions, the metric, the quality of its data, what was found. Pure."""

from collections.abc import Iterable
from typing import Any

from trimtab.drawing.page import Page, Section, sentence
from trimtab.monitoring.deciding import ColumnCheck, Drift
from trimtab.monitoring.metric import as_error
from trimtab.monitoring.performance import Judgement
from trimtab.monitoring.reports.estimates import estimated
from trimtab.monitoring.reports.ranking_figures import ranking_figure
from trimtab.monitoring.reports.reading import WindowStory
from trimtab.monitoring.reports.window_figures import by_effect, distribution_figure, effects_figure, metric_figure, named, slices_figure
from trimtab.monitoring.standing import Standing, moved
from trimtab.monitoring.tables import moment
from trimtab.units import duration

SHOWN = 9
TABLE = 200
_FURTHER = {"psi": "PSI", "jensen_shannon": "Jensen-Shannon", "rows": "independent rows"}
"""What is shown beside the effect and the p-value that decided: a column's check has it by these names, people call it so."""


def window_page(story: WindowStory) -> Page:
    """The whole page."""
    record = story.record
    title = f"{story.model.metadata.namespace}/{story.model.name}: window {record.window} of version {record.version}"
    stands = verdict(story)
    told = (_drift(story), _distributions(story), _performance(story), _slices(story), _explanation(story))
    sections = (_facts(story), *told, _quality(story), _findings(story))
    return Page(title, sentence(stands.sentence), stands.state == "none", tuple(part for part in sections if part is not None))


def verdict(story: WindowStory) -> Standing:
    """What was said of this window, the worst first."""
    record = story.record
    if story.findings:
        worst = story.findings[0]
        return Standing(worst.kind, worst.sentence)
    if record.breaks:
        return Standing("quality", f"its data has breaks: {record.breaks[0].sentence}")
    judgement = record.judgement
    if judgement is not None and judgement.past:
        return Standing("watch", f"its {judgement.metric} of {judgement.value:.4g} is past its bound")
    return moved(record) if record.drift is not None else Standing("unknown", "it was not tested yet")


def _facts(story: WindowStory) -> Section:
    record, spec = story.record, story.model.spec
    drift = record.drift or Drift()
    rows = [
        ("data time (UTC)", f"{moment(record.start):%Y-%m-%d %H:%M:%S} to {moment(record.end):%Y-%m-%d %H:%M:%S}"),
        ("rows", f"{record.rows:,}, of which {story.labelled:,} have a label"),
        ("columns tested", f"{len(drift.columns):,} against the reference of version {record.version}"),
        (
            "a column moved if",
            f"its effect is {spec.monitoring.drift.effect:g} or more and its p-value below {drift.level:.2g} (this window's level)",
        ),
        ("it is a finding if", f"it moved in {spec.monitoring.drift.persistence} windows, the newest among them"),
    ]
    if not drift.columns:
        rows[2:] = [("columns tested", drift.failed or "none yet")]
    if record.judgement is None:
        rows.append(("performance", _unjudged(story)))
    return Section("In short", (), ("what", "which"), tuple(rows))


def _unjudged(story: WindowStory) -> str:
    if story.record.judged:
        return "not judged: too few rows have both a label and a prediction, or all have one class"
    delay = story.model.spec.data.label_delay
    waiting = f"labels have {delay} to arrive" if duration(delay) else "enough labels have to arrive"
    return f"not judged yet: {waiting}"


def _drift(story: WindowStory) -> Section | None:
    drift = story.record.drift
    if drift is None or not drift.columns:
        return None
    order = by_effect(drift.columns)
    more = _further(drift.columns.values())
    rows = tuple(
        (
            named(name),
            f"{check.effect:.4g}",
            f"{check.deciding:.3g}",
            *(_number(getattr(check, key)) for key in more),
            "NO" if check.moved else "yes",
        )
        for name, check in order[:TABLE]
    )
    left = len(order) - TABLE
    sentences = (f"The {TABLE} largest; {left} more columns are in the JSON.",) if left > 0 else ()
    header = ("column", "effect", "p", *(_FURTHER[key] for key in more), "as the reference")
    return Section("What moved", sentences, header, rows, (effects_figure(drift.columns, story.model.spec.monitoring.drift.effect),))


def _further(checks: Iterable[ColumnCheck]) -> list[str]:
    """The names of the further measures that any check has."""
    every = list(checks)
    return [name for name in _FURTHER if any(getattr(check, name) is not None for check in every)]


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else ""


def _distributions(story: WindowStory) -> Section:
    if not story.distributions:
        return Section("Distributions", (f"There are none: {story.lacking}.",))
    drift = story.record.drift or Drift()
    order = [name for name, _ in by_effect(drift.columns) if name in story.distributions]
    order += [name for name in story.distributions if name not in order]
    figures = tuple(distribution_figure(story.distributions[name], drift.columns.get(name)) for name in order[:SHOWN])
    left = len(story.distributions) - len(figures)
    more = f" {left} more are in the JSON." if left > 0 else ""
    how = f"Grey: the reference of version {story.record.version}; blue: this window. The first and last bar hold all that lies beyond."
    return Section("Distributions", (how + more,), figures=figures)


def _performance(story: WindowStory) -> Section | None:
    judgement, guesses = story.record.judgement, estimated([story.record])
    if judgement is None and not guesses:
        return None
    lines, said = [], []
    if judgement is not None:
        past = judgement.past
        lines.append((judgement.metric, judgement.value, judgement.low, judgement.high, past))
        beyond = judgement.past_margin or not past
        stand = f"{'past' if past else 'not surely past'} its {'bound' if beyond else 'floor'}, at this window's level"
        rose = ", and significantly worse than at validation" if judgement.rose else ""
        without = f" ({judgement.missing:,} rows had none by then)" if judgement.missing else ""
        said.append(f"On {judgement.rows:,} matured labels{without}. It is {stand}{rose}.")
    for guess in guesses:
        lines.append(("estimate", guess.value, guess.low, guess.high, False))
        doubt = f" It is not to be relied on: {guess.doubt}." if guess.doubt else ""
        said.append(f"The estimate without labels holds only while what the inputs mean stays as it was.{doubt}")
    return Section("Performance", tuple(said), figures=(metric_figure(lines, judgement),))


def _slices(story: WindowStory) -> Section | None:
    judgement = story.record.judgement
    if judgement is None or not judgement.slices:
        return None
    order = sorted(judgement.slices.items(), key=lambda item: (not item[1].past, -_grown(item[1])))
    rows = tuple(
        (
            name,
            f"{one.rows:,}",
            f"{one.value:.4g}",
            f"{one.low:.4g} to {one.high:.4g}",
            *map(_number, (one.validation, one.bound)),
            _within(one),
        )
        for name, one in order
    )
    header = ("part", "rows", judgement.metric, "95% interval", "its validation", "its bound", "not past it")
    said = "Each part against the same part of the version's own validation; what got worst comes first."
    return Section("Performance by part", (said,), header, rows, (slices_figure(order),))


def _grown(one: Judgement) -> float:
    """How many times its validation's error a part's error is."""
    if not one.validation:
        return 0.0
    return as_error(one.metric, one.value) / max(as_error(one.metric, one.validation), 1e-12)


def _within(judgement: Judgement) -> str:
    return "NO" if judgement.past else "yes"


def _explanation(story: WindowStory) -> Section | None:
    ranking = story.record.explanation
    if ranking is None:
        return None
    if ranking.ndcg is None:
        return Section("What the answers rest on", (f"Not known: {ranking.failed}.",))
    against = "below" if ranking.moved else "not surely below"
    said = (
        f"The order of the features by what moved the answers of {ranking.rows:,} rows, against that of training: NDCG {ranking.ndcg:.3f} "
        f"(95% interval {ranking.low:.3f} to {ranking.high:.3f}; 1 is the same order), {against} the bound of {ranking.bound:g}. A version "
        "does not change: where the order moves, its inputs moved where it looks. Only labels tell whether it is the worse for that."
    )
    header = ("feature", "rank in training", "rank now", "share in training", "share now")
    rows = tuple((one.feature, str(one.before), str(one.now), f"{one.reference:.1%}", f"{one.live:.1%}") for one in ranking.features)
    return Section("What the answers rest on", (said,), header, rows, (ranking_figure(ranking),))


def _quality(story: WindowStory) -> Section | None:
    breaks = story.record.breaks
    if breaks is None:
        return Section("Quality of the data", ("It was not looked at yet.",))
    if not breaks:
        return Section("Quality of the data", ("Nothing is broken.",))
    rows = tuple((one.column, one.check, f"{one.share:.1%}", one.sentence) for one in breaks)
    return Section(
        "Quality of the data",
        ("Broken data pages and holds rollouts; nothing is retrained on it.",),
        ("column", "check", "share", "in words"),
        rows,
    )


def _findings(story: WindowStory) -> Section | None:
    if not story.findings:
        return None
    rows = tuple((one.kind, one.sentence) for one in story.findings)
    return Section("Findings", (), ("kind", "in words"), rows)
