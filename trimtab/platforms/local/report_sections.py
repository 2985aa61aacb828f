"""The report's sections, from the timeline of Releases to the words it uses; each is HTML, or nothing where there is nothing to tell."""

from collections.abc import Sequence

from trimtab.monitoring.tables import moment
from trimtab.platforms.local.report import Paired, Story, idle
from trimtab.platforms.local.report_canvas import followed
from trimtab.platforms.local.report_markup import clock, count, drawn, section, spelled, table, text
from trimtab.platforms.local.report_plots import course, errors, split
from trimtab.platforms.local.report_verdicts import forest, judged_canaries
from trimtab.release import BAD_ENDS, TERMINAL, DecisionRecord, Phase, Release

WORDS = {
    "Release": "one attempt to put a new version in production, from the wish to its end.",
    "Champion": "the version that serves. A candidate becomes champion only by a promotion.",
    "Canary": "a candidate that gets a small share of the real requests first, so that harm stays small.",
    "Window": "a fixed number of requests in a row that one champion answered; the monitor judges window by window.",
    "Finding": "something that the monitor is sure of, not once but persistently; its kind decides whether it asks for a Release.",
    "Bound": "the error at validation, widened by the margin that the Model allows; past it the version has become too bad.",
    "Data time": "the time that the rows carry. When rows are replayed it runs much faster than the clock on the wall.",
}


def timeline(story: Story) -> str:
    """Every Release with who asked, how it ended, and its decisions."""
    items = "".join(_release(release, story.decisions[release.name]) for release in story.begun)
    body = f'<ol class="timeline">{items}</ol>' if items else '<p class="empty">Nobody has asked for a Release yet.</p>'
    never = [release for release in story.releases if idle(release)]
    if never:
        rows = (
            (
                clock(release.metadata.creation_timestamp),
                release.name,
                release.spec.request.trigger,
                spelled(release.status.phase),
                release.status.why,
            )
            for release in never
        )
        columns = ("Clock", "Release", "Asked for by", "Phase", "Why")
        words = f"{count(len(never), 'more Release')} ended before they began"
        body += f"<details><summary>{words}</summary>{table(columns, rows, words)}</details>"
    how = "Every attempt to put a version in production, oldest first: who asked, what came of it, and why."
    return section("releases", "Releases", how, body)


def _release(release: Release, records: Sequence[DecisionRecord]) -> str:
    status, request = release.status, release.spec.request
    kind = "good" if status.phase is Phase.PROMOTED else "bad" if status.phase in BAD_ENDS else "" if release.terminal else "going"
    version = f"version {status.candidate.version}" if status.candidate else "no version"
    created = release.metadata.creation_timestamp
    took = f" ({(status.finished - created).total_seconds():.0f} s)" if created and status.finished else ""
    meta = f"{clock(created)} to {clock(status.finished) or 'now'}{took}; knew the data until {clock(request.cut, short=True)}"
    asked = f"{request.trigger} ({request.by})" if request.by else request.trigger
    rows = ((r.sequence, clock(r.at), clock(r.data_time, short=True), r.phase, f"{r.weight}%", r.reason, r.sentence) for r in records)
    decisions = table(("#", "Clock", "Data time", "Phase", "Share", "Reason", "Why"), rows, f"Decisions of {release.name}")
    return f"""<li class="{kind}">
<div class="head"><h3>{text(version)}</h3><span class="badge">{text(spelled(status.phase))}</span><code>{text(release.name)}</code></div>
<p class="meta">{text(meta)}</p>
<p>Asked for by <strong>{text(asked)}</strong>: {text(request.sentence or "no reason given")}.</p>
<p>{"In the end" if status.phase in TERMINAL else "So far"}: {text(status.why or "nothing was decided")}.</p>
<details><summary>{count(len(records), "decision")}</summary>{decisions}</details>
</li>"""


def over_time(story: Story) -> str:
    """The figures over data time, one below the other."""
    label = story.model.spec.data.label
    found = course(story)
    parts = []
    if found is not None and story.course is not None:
        title = f"{label} and its prediction".capitalize()
        how = f"Means of each {story.course.step}, in data time. The background says which version was the champion."
        parts.append(section("course", title, how, drawn(found, "course", f"{label} and prediction over data time")))
    if (found := errors(story)) is not None:
        parts.append(
            section("errors", "Error and findings", _how_errors(story), drawn(found, "errors", "error of each window, and findings"))
        )
    if (found := split(story)) is not None:
        how = "The share of the traffic that each version got. A canary starts small and grows only while nothing speaks against it."
        parts.append(section("split", "Who answered", how, drawn(found, "split", "share of the traffic by version over data time")))
    return "".join(parts)


def _how_errors(story: Story) -> str:
    metric = next((record.judgement.metric for record in story.windows if record.judgement), "error")
    return (
        f"The {metric} of each window once its labels had arrived, with its 95% interval. Dashed: the version's own value at validation; "
        "solid: the bound it must not pass. Below: the findings, filled where one led to a Release."
    )


def verdicts(story: Story) -> str:
    """What the judge said of every canary."""
    found = forest(story)
    if found is None:
        return ""
    how = (
        "How much worse the candidate is than the champion on real requests, with an interval that holds however often one looks. "
        "All of it left of the margin: not worse. All of it right of 0: harm, and the candidate goes back at once."
    )
    rows = (
        (
            release.status.candidate.version if release.status.candidate else "?",
            guard.guard,
            f"{guard.candidate_n:,} / {guard.champion_n:,}",
            guard.sentence,
        )
        for release, guard in judged_canaries(story)
    )
    words = table(("Version", "Guard", "Requests: candidate / champion", "What the judge says"), rows, "Verdicts of the judge")
    return section("verdicts", "Canaries before the judge", how, drawn(found, "verdicts", "differences with intervals and margins") + words)


def bakes(story: Story) -> str:
    """How each new champion did against the one before it, on the same rows after its promotion."""
    if not story.paired:
        return ""
    how = "After a promotion both champions, the new and the stale one, predicted the same rows; the labels came later."
    told = {release.name: release.status.bake_verdict for release in story.releases}
    body = "".join(_pair(pair, verdict.sentence if (verdict := told[pair.release]) else "") for pair in story.paired)
    return section("bakes", "New against stale", how, body)


def _pair(pair: Paired, sentence: str) -> str:
    most = max(pair.before_error, pair.after_error) or 1.0
    rows = "".join(
        f"<span>version {text(version)}{note}</span>"
        f'<div class="track"><div class="{style}" style="width:{100 * error / most:.1f}%"></div><span>{error:.4g}</span></div>'
        for version, error, style, note in (
            (pair.before, pair.before_error, "bar", " (stale)"),
            (pair.after, pair.after_error, "bar new", " (new)"),
        )
    )
    judge = f'<p class="meta">The judge: {text(sentence)}</p>' if sentence else ""
    return f'<h3>{text(better(pair))}</h3><div class="bars">{rows}</div>{judge}'


def better(pair: Paired) -> str:
    """By how much the new champion beats the old one, or does not."""
    change = 1 - pair.after_error / pair.before_error if pair.before_error else 0.0
    word = f"{abs(change):.0%} {'lower' if change >= 0 else 'higher'}"
    rows = f"the {count(pair.rows, 'row')} after its promotion"
    return f"The {pair.metric} of version {pair.after} is {word} than that of version {pair.before} on {rows}"


def findings(story: Story) -> str:
    """Every finding in its own words."""
    how = "A finding is the monitor's word that something changed for good. Its kind decides what follows."
    if not story.findings:
        return section("findings", "Findings", how, '<p class="empty">The monitor found nothing.</p>')
    columns = ("Data time", "Kind", "Version", "Window", "What followed", "In words")
    led, others = ([n for n in range(len(story.findings)) if (n in story.led) == wanted] for wanted in (True, False))
    body = table(columns, [_finding(story, number) for number in led], "Findings that led to a Release") if led else ""
    if others:
        words = f"{count(len(others), 'finding')} that led to no Release"
        body += f"<details><summary>{words}</summary>{table(columns, [_finding(story, number) for number in others], words)}</details>"
    return section("findings", "Findings", how, body)


def _finding(story: Story, number: int) -> tuple[object, ...]:
    found = story.findings[number]
    dates = f"{found.window_start:%Y-%m-%d} to {found.window_end:%Y-%m-%d}"
    return dates, found.kind, found.version, found.window, followed(story, number), found.sentence


def windows(story: Story) -> str:
    """The numbers behind the plot of errors."""
    if not story.windows:
        return ""
    rows = []
    for record in story.windows:
        judged = record.judgement
        moved = ", ".join(name for name, check in record.drift.columns.items() if check.moved) if record.drift else ""
        numbers = (f"{judged.value:.4g}", f"{judged.low:.4g} to {judged.high:.4g}") if judged else ("", "")
        levels = [f"{level:.4g}" if level is not None else "" for level in ((judged.validation, judged.bound) if judged else (None, None))]
        dates = f"{moment(record.start):%Y-%m-%d} to {moment(record.end):%Y-%m-%d}"
        rows.append((record.version, record.window, dates, record.rows, *numbers, *levels, moved))
    columns = ("Version", "Window", "Data time", "Rows", "Error", "95% interval", "Validation", "Bound", "Inputs that moved")
    body = f"<details><summary>{count(len(rows), 'window')}</summary>{table(columns, rows, 'Windows')}</details>"
    return section("windows", "Windows in numbers", "What was measured in each closed window.", body)


def words() -> str:
    """The few words that the page uses in a sense of its own."""
    body = "".join(f"<dt>{text(word)}</dt><dd>{text(meaning)}</dd>" for word, meaning in WORDS.items())
    return section("words", "Words", "What this page means by them.", f'<dl class="words">{body}</dl>')
