"""`trimtab local report`: one page that tells what happened, and the same in numbers with `--json`."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trimtab.cli.output import print_json, writing
from trimtab.cli.releases import find_model
from trimtab.platforms.local.objects import SqliteObjects
from trimtab.platforms.local.report import Story, read_story
from trimtab.platforms.local.report_page import headline, lead, page
from trimtab.platforms.local.state import State


def write_report(folder: Path, model_name: str | None, out: Path, *, as_json: bool) -> None:
    """Read the state folder and write the page; raises InvalidInput where either cannot be done."""
    state = State(folder).existing()
    objects = SqliteObjects(state.database)
    story = read_story(state, objects, find_model(objects, model_name))
    made = page(story, datetime.now(UTC))
    with writing(out):
        out.write_text(made)
    if as_json:
        print_json({"report": str(out), **numbers(story)})
        return
    print(headline(story))
    print(lead(story))
    print(f"wrote {out}")


def numbers(story: Story) -> dict[str, Any]:
    """What the page tells, for programs; `judged` are windows whose labels were there in time, `keys` the different rows asked about."""
    champion = story.model.status.champion
    return {
        "model": story.model.name,
        "champion": champion.version if champion else None,
        "releases": len(story.releases),
        "watermark": story.watermark,
        "requests": story.requests,
        "keys": story.keys,
        "withoutPrediction": story.without_prediction,
        "versions": story.traffic,
        "windows": len(story.windows),
        "judged": sum(record.judgement is not None for record in story.windows),
        "findings": [
            {"release": story.asked[number].name if number in story.asked else None, **_brief(finding)}
            for number, finding in enumerate(story.findings)
        ],
        "paired": story.paired,
    }


def _brief(finding: Any) -> dict[str, Any]:
    return {name: getattr(finding, name) for name in ("kind", "version", "window", "cut", "sentence")}
