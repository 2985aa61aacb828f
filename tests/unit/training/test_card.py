"""The card tells everything that is known, in the same words each time, and does not leave out what speaks against the version."""

import re
from html.parser import HTMLParser

import pytest
from msgspec.structs import replace

from tests.unit.training.cards import DATA, FITTED, GATES, SCHEMA, card
from trimtab.drawing.page import markdown, to_html
from trimtab.explanation import Attribution, Explanation
from trimtab.training.card import card_page, head
from trimtab.training.card_facts import Card
from trimtab.training.evaluation.bootstrap import Difference
from trimtab.training.evaluation.fairness import Fairness, Group
from trimtab.training.evaluation.found import Slice
from trimtab.training.evaluation.lime import Agreement
from trimtab.training.evaluation.measured import Measured
from trimtab.training.evaluation.reliability import Bin
from trimtab.training.evaluation.spurious import Suspicion
from trimtab.training.gate import GateResult
from trimtab.training.limits import limits


def part(name: str, rows: int, rmse: float, interval: tuple[float, float] | None = None) -> Slice:
    return Slice(name, Measured(rows, {"rmse": rmse, "mae": 3.0}, {"rmse": interval} if interval else {}))


FULL = card(
    evaluation={
        "slices": (part("colour = red", 300, 2.1, (1.9, 2.3)),),
        "worst": (part("size >= 9", 60, 4.0, (3.0, 5.0)),),
        "fairness": (
            Fairness(
                "colour",
                (Group("red", 300, 0.1), Group("blue", 700, -0.1)),
                {"residual_difference": 0.2},
                {"residual_difference": (0.1, 0.3)},
            ),
        ),
        "calibration": (Bin(0.1, 0.12, (0.1, 0.2), 50), Bin(0.9, 0.8, (0.7, 0.9), 50)),
        "difference": {"rmse": Difference(-0.2, (-0.3, -0.1), -0.28, -0.12)},
        "compared_on": "twin",
        "compared_rows": 800,
        "agreement": Agreement(30, 0.91, 0.67),
        "suspicions": (Suspicion("size", "clock", 0.7, "'size' goes with time"),),
    },
    annotations={"owner": "ada", "kubectl.kubernetes.io/last-applied-configuration": "{secret}"},
    explanation=Explanation("tree_shap", 80, (Attribution("size", 0.7, (0.6, 0.8)), Attribution("colour", 0.3))),
    warnings=("column 'size' is null in 12 rows",),
)


def text(values: Card) -> str:
    return markdown(card_page(values))


def test_equal_values_give_equal_pages() -> None:
    assert text(FULL) == text(replace(FULL))
    assert to_html(card_page(FULL)) == to_html(card_page(replace(FULL)))


def test_every_part_is_there_in_this_order() -> None:
    headings = re.findall(r"^#+ (.*)$", text(FULL), re.MULTILINE)
    assert headings == [
        *("Model card: toy", "What it is for", "Data", "Metrics", "Gates", "Slices", "Fairness", "Calibration", "What it rests on"),
        *("Limits", "Lineage", "How to make it again"),
    ]


def test_what_was_not_measured_has_no_heading() -> None:
    headings = set(re.findall(r"^#+ (.*)$", text(card()), re.MULTILINE))
    assert not headings & {"Slices", "Fairness", "Calibration", "What it rests on"}


@pytest.mark.parametrize(
    "said",
    [
        pytest.param("| read from | s3://crm/rows/\\*.parquet |", id="where the rows are"),
        pytest.param("2024-01-01 00:00:00 to 2024-03-01 00:00:00", id="which window"),
        pytest.param(f"| SHA-256 | {'d' * 64} |", id="which rows"),
        pytest.param("| rmse | 2 | 1.9 to 2.1 | 2.2 | -0.3 to -0.1 | 9 |", id="a metric beside champion and constant"),
        pytest.param("version 6 (its twin, which was not fitted on them), on 800 of them", id="what the champion was compared as"),
        pytest.param("| size &gt;= 9 | 60 | rmse | 4 | 3 to 5 | 2 | found |", id="a slice"),
        pytest.param("| colour | residual\\_difference | 0.2 | 0.1 to 0.3 | red: 0.1, blue: -0.1 |", id="fairness"),
        pytest.param("| rmse not worse than the champion's, margin x1.02 | 2 | 2.244 | 1.9 to 2.1 | yes |", id="a gate"),
        pytest.param("| size | 70.0% | 60.0% to 80.0% |", id="what it rests on"),
        pytest.param("'size' goes with time", id="what not to trust"),
        pytest.param("by 0.91 (rank correlation) and names 67%", id="how far LIME agrees"),
        pytest.param("owner: ada", id="the Model's annotations"),
        pytest.param("Made for Release toy-1a2b3c, asked for by performance.", id="who asked"),
        pytest.param("eta=0.05, rounds=120", id="the parameters"),
        pytest.param("trimtab reproduce toy VERSION", id="how it is made again"),
    ],
)
def test_the_card_says(said: str) -> None:
    assert said in text(FULL)


def test_annotations_of_the_cluster_are_not_for_people() -> None:
    assert "secret" not in text(FULL)


Limit = tuple[Card, str]
LIMITS: dict[str, Limit] = {
    "a version that was fitted once more": (card(), "version that serves was fitted once more on 5,000 rows up to 2024-03-01"),
    "a version from a notebook": (card(fitted=None), "was not fitted by Trimtab's pipeline"),
    "few rows": (card(evaluation={"holdout_rows": 80}), "judged on 80 rows only"),
    "rows without a time": (card(replace(DATA, time=None)), "the holdout is a random fifth"),
    "late labels": (card(replace(DATA, label_delay="24h")), "Labels arrive 24h late"),
    "no champion": (card(evaluation={"champion": None, "compared_with": ""}), "no champion to compare it with"),
    "a champion by its twin": (card(evaluation={"compared_on": "twin"}), "compared by its twin"),
    "a champion that cannot be asked": (card(evaluation={"unasked": "it takes other features"}), "not compared: it takes other features"),
    "a wide interval": (card(evaluation={"interval": {"rmse": (1.0, 3.0)}}), "rmse (50%)"),
    "a slice that is worse": (FULL, "worse where size >= 9: rmse 4 on 60 rows, 2 on all"),
    "a small slice": (FULL, "Fewer than 100 rows speak for these slices: size >= 9"),
    "categories": (card(), "never saw counts as missing, in colour"),
    "a warning of the validation": (FULL, "column 'size' is null in 12 rows"),
}  # fmt: skip


@pytest.mark.parametrize(("values", "sentence"), LIMITS.values(), ids=LIMITS.keys())
def test_a_limit_is_told(values: Card, sentence: str) -> None:
    assert any(sentence in limit for limit in limits(values)), limits(values)


def test_a_limit_that_is_none_is_not_told() -> None:
    plain = card(fitted=replace(FITTED, refit=False), schema=replace(SCHEMA, features=SCHEMA.features[:1]))
    (always,) = limits(plain)
    assert always.startswith("All numbers are of rows up to 2024-03-01 00:00:00.")


def test_a_declared_slice_is_not_called_worse_for_being_below_the_mean() -> None:
    declared = card(evaluation={"slices": (part("colour = red", 300, 4.0, (3.0, 5.0)),)})
    assert not any("worse where" in limit for limit in limits(declared))


def test_the_head_tells_a_failed_gate() -> None:
    values = card(gates=(*GATES, GateResult("rmse <= 1", False, 2.0, 1.0)))
    assert "It failed 1 of 2 gates." in head(values)
    assert "It passed 1 gate." in head(card())
    assert "rmse is 2 (95%: 1.9 to 2.1) on the 1,000 newest rows, before it was fitted on them too" in head(values)


class Page(HTMLParser):
    """What a page would load or run, and whether all that it opens is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.foreign: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "circle", "rect", "line", "polyline"):
            self.open.append(tag)
        self.foreign += [tag] if tag in ("script", "link", "img", "iframe") else []
        self.foreign += [name for name, _ in attrs if name in ("src", "href") or name.startswith("on")]

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)


def test_the_page_stands_alone() -> None:
    read = Page()
    read.feed(to_html(card_page(FULL)))
    assert (read.open, read.foreign) == ([], [])


NASTY = "<script>alert(1)</script> | a*b_c [x](http://y) `code`"


def test_names_from_data_and_people_stay_text() -> None:
    values = card(evaluation={"slices": (part(NASTY, 60, 4.0),)}, annotations={"owner": NASTY})
    read = Page()
    read.feed(to_html(card_page(values)))
    assert read.foreign == []
    said = text(values)
    assert "<script>" not in said
    row = next(line for line in said.splitlines() if line.startswith("| &lt;script"))
    assert len(re.findall(r"(?<!\\)\|", row)) == 8, "the bar of the name opens no further cell"
