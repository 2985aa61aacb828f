"""The report as one HTML page that needs no network: its style, its script and its numbers are in it.

A content security policy in the page forbids it to load anything.
"""

from datetime import datetime
from pathlib import Path

from trimtab import __version__
from trimtab.platforms.local.report import Story
from trimtab.platforms.local.report_markup import clock, count, listed, spelled, text
from trimtab.platforms.local.report_sections import bakes, better, findings, over_time, timeline, verdicts, windows, words
from trimtab.platforms.local.report_shares import reigns
from trimtab.release import Phase

POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"


def page(story: Story, written: datetime) -> str:
    """The whole page."""
    from plotly.offline import get_plotlyjs

    name = text(story.model.name)
    sections = (timeline(story), over_time(story), bakes(story), verdicts(story), findings(story), windows(story), words())
    style = Path(__file__).with_name("report.css").read_text()
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{name}: what happened</title>
<style>{style}</style>
<script>{get_plotlyjs()}</script>
</head>
<body>
<main>
<header>
<p class="over">Trimtab report on the model <strong>{name}</strong>, written {clock(written)} UTC</p>
<h1>{text(headline(story))}</h1>
<p class="lead">{text(lead(story))}</p>
{_facts(story)}
</header>
{"".join(sections)}
<footer>Made by Trimtab {text(__version__)} from the state folder alone. All times are UTC. This page loads nothing from anywhere.</footer>
</main>
</body>
</html>
"""


def headline(story: Story) -> str:
    """Who is champion, and since when, in one sentence."""
    champion, name = story.model.status.champion, story.model.name
    if champion is None:
        return f"{name} has no champion yet"
    sentence = f"Version {champion.version} of {name} is the champion"
    held = reigns(story.shares, story.watermark or story.shares[-1].start) if story.shares else []
    if len(held) < 2 or held[-1][0] != champion.version:
        return sentence
    return f"{sentence}; it took over from version {held[-2][0]} on {held[-1][1]:%Y-%m-%d}"


def lead(story: Story) -> str:
    """What it took: how the Releases ended, how many requests had no prediction, and what the last promotion was good for."""
    ends = [spelled(release.status.phase) if release.terminal else "under way" for release in story.begun]
    sentences = [
        f"{count(len(ends), 'Release')}" + (": " if ends else "") + listed([f"{ends.count(end)} {end}" for end in dict.fromkeys(ends)])
    ]
    first = min((one.first for one in story.traffic if one.first), default=None)
    if first and story.watermark:
        span = f"between {first:%Y-%m-%d} and {story.watermark:%Y-%m-%d} (data time)"
        sentences.append(f"{count(story.requests, 'request')} came {span}; {_unanswered(story)}")
    else:
        sentences.append("No request has been captured yet")
    if story.paired:
        sentences.append(better(story.paired[-1]))
    return ". ".join(sentences) + "."


def _unanswered(story: Story) -> str:
    failing = [one for one in story.traffic if one.without_prediction]
    if not failing:
        return "every one of them got a prediction"
    whose = f"all from version {failing[0].version}" if len(failing) == 1 else f"from versions {listed([one.version for one in failing])}"
    share = story.without_prediction / story.requests
    return f"{story.without_prediction:,} of them ({share:.2%}) got no prediction, {whose}"


def _facts(story: Story) -> str:
    champion = story.model.status.champion
    judged = [record.judgement for record in story.windows if record.judgement]
    promoted = sum(release.status.phase is Phase.PROMOTED for release in story.releases)
    facts = [
        ("Champion", f"version {champion.version}" if champion else "none", ""),
        ("Releases", str(len(story.begun)), f"{promoted} promoted"),
        ("Requests", f"{story.requests:,}", f"{story.without_prediction:,} without a prediction"),
        ("Findings", str(len(story.findings)), f"{len(story.led)} led to a Release"),
    ]
    if judged:
        last = judged[-1]
        against = f"validation {last.validation:.4g}" if last.validation is not None else ""
        facts.append((f"Last {last.metric}", f"{last.value:.4g}", against))
    boxes = (f"<div><dt>{text(name)}</dt><dd>{text(value)}<small>{text(note)}</small></dd></div>" for name, value, note in facts)
    return f'<dl class="facts">{"".join(boxes)}</dl>'
