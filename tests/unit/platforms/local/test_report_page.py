"""The page tells the story to a newcomer, loads nothing, and lets no data become markup."""

import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from trimtab.platforms.local.report import Story
from trimtab.platforms.local.report_canvas import told
from trimtab.platforms.local.report_markup import count, listed, spelled
from trimtab.platforms.local.report_page import headline, lead, page
from trimtab.platforms.local.report_verdicts import in_margins
from trimtab.release import GuardVerdict

from .report_monitored import NASTY
from .report_state import read, write_story


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    return read(write_story(tmp_path_factory.mktemp("state")))


class Markup(HTMLParser):
    """The elements of a page, and its text outside of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag if tag in ("script", "style") else ""

    def handle_endtag(self, tag: str) -> None:
        self._inside = "" if tag == self._inside else self._inside

    def handle_data(self, data: str) -> None:
        self.text += "" if self._inside else data


def test_the_page_tells_the_story_in_its_first_sentences(story: Story) -> None:
    assert headline(story) == "Version 2 of bikes is the champion; it took over from version 1 on 2011-08-15"
    said = lead(story)
    assert "3 Releases: 2 promoted and 1 rolled back" in said
    assert f"2,400 requests came between 2011-07-01 and 2011-10-08 (data time); {story.without_prediction} of them" in said
    assert "all from version 3" in said
    assert "The rmse of version 2 is" in said
    assert "lower than that of version 1 on the 503 rows after its promotion" in said


def test_the_page_loads_nothing_and_forbids_itself_to(story: Story) -> None:
    markup = Markup(page(story, datetime.now(UTC)))
    loading = [
        (tag, name) for tag, attributes in markup.elements for name in attributes if name in ("src", "href", "srcset", "action", "data")
    ]
    assert loading == []
    policies = [attributes["content"] for tag, attributes in markup.elements if attributes.get("http-equiv") == "Content-Security-Policy"]
    assert len(policies) == 1
    assert "default-src 'none'" in str(policies[0])
    assert not any(tag in ("link", "iframe", "object", "img") for tag, _ in markup.elements)


def test_no_text_from_data_becomes_markup_neither_in_html_nor_in_plots(story: Story) -> None:
    made = page(story, datetime.now(UTC))
    markup = Markup(made)
    assert NASTY in markup.text, "it is shown as it is"
    assert "<script>alert" not in made
    plots = "".join(re.findall(r"Plotly\.newPlot\((.*?)\)\s*\};?\s*</script>", made, flags=re.DOTALL))
    assert "\\u003cbr\\u003e" in plots, "plots carry our own line breaks"
    assert "\\u003cscript" not in plots
    assert "\\u003cb\\u003ebold" not in plots
    assert "&lt;script&gt;" in plots


def test_every_section_has_its_figure_or_table(story: Story) -> None:
    markup = Markup(page(story, datetime.now(UTC)))
    plots = {str(attributes["id"]) for tag, attributes in markup.elements if str(attributes.get("id", "")).startswith("plot-")}
    assert plots == {"plot-course", "plot-errors", "plot-split", "plot-verdicts"}
    titles = {str(attributes["aria-labelledby"]) for tag, attributes in markup.elements if tag == "section"}
    assert titles == {"releases", "course", "errors", "split", "bakes", "verdicts", "findings", "windows", "words"}
    labels = [attributes.get("aria-label") for tag, attributes in markup.elements if tag == "figure"]
    assert all(labels)


def test_text_for_a_plot_is_escaped_after_it_was_broken_into_lines() -> None:
    assert told("a <b> " + "x " * 40, 20).startswith("a &lt;b&gt; x x x x x x x<br>x ")


WORDS: dict[str, tuple[str, str]] = {
    "a phase is spelled as words": (spelled("RolledBack"), "rolled back"),
    "one has no s": (count(1, "Release"), "1 Release"),
    "thousands are set apart": (count(13_000, "request"), "13,000 requests"),
    "two are joined by and": (listed(["a", "b"]), "a and b"),
    "three have a comma first": (listed(["a", "b", "c"]), "a, b and c"),
    "one stands alone": (listed(["a"]), "a"),
}


@pytest.mark.parametrize(("found", "expected"), WORDS.values(), ids=WORDS)
def test_words(found: str, expected: str) -> None:
    assert found == expected


MARGINS: dict[str, tuple[float | None, bool, float, float]] = {
    "half of an absolute margin": (0.05, False, 0.025, 0.5),
    "an absolute margin is 1": (0.05, False, 0.05, 1.0),
    "a margin below zero keeps the side of the difference": (-0.02, False, 0.02, 1.0),
    "a margin of nothing counts as one point": (0.0, False, 0.03, 3.0),
    "no margin counts as one point": (None, False, -0.01, -1.0),
    "an equal ratio is 0": (1.05, True, 1.0, 0.0),
    "a relative margin is 1": (1.05, True, 1.05, 1.0),
    "a better ratio is below 0": (1.05, True, 1 / 1.05, -1.0),
    "a relative margin of nothing counts as one percent": (1.0, True, 1.0, 0.0),
}


@pytest.mark.parametrize(("margin", "relative", "value", "expected"), MARGINS.values(), ids=MARGINS)
def test_differences_and_ratios_are_measured_in_margins(margin: float | None, relative: bool, value: float, expected: float) -> None:
    guard = GuardVerdict("errors", "hold", "", margin=margin, relative=relative)
    assert in_margins(guard, value) == pytest.approx(expected)
