"""What validation leaves: records that read back, and a page that shows no more and no less."""

from pathlib import Path

from trimtab.training.checks import PAGE, Check, page, read_checks, sentences, write_checks

WARN = Check("nulls", "a <b>", "10% of the rows", "at most 5%", 12_345, "column 'a <b>' is missing more often", "warn")
STOP = Check("leak", "refund & more", "R2 1", "at most R2 0.9", 20, "column 'refund & more' alone tells the label")


def test_checks_read_back_and_only_what_stops_is_an_outcome(tmp_path: Path) -> None:
    write_checks(tmp_path, [WARN, STOP], 50_000)
    assert read_checks(tmp_path) == (WARN, STOP)
    assert sentences(read_checks(tmp_path)) == ("column 'refund & more' alone tells the label",)
    assert sentences(read_checks(tmp_path), "warn") == (WARN.sentence,)
    assert (tmp_path / PAGE).read_text() == page([WARN, STOP], 50_000)


def test_the_page_stands_alone_and_shows_what_stops_first() -> None:
    made = page([WARN, STOP], 50_000)
    assert "50,000 labelled rows; 1 checks stop the run; 1 warnings." in made
    assert made.index("refund &amp; more") < made.index("a &lt;b&gt;")
    assert "12,345" in made
    assert "<b>" not in made
    assert "http" not in made.replace("http-equiv", "")


def test_a_page_of_nothing_says_so() -> None:
    assert "7 labelled rows; nothing was found." in page([], 7)
    assert "<table" not in page([], 7)
