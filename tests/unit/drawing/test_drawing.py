"""What pages are drawn with: ticks, text from data, HTML that can run nothing, and a picture."""

import struct
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.drawing.page import Figure, Page, Section, markdown, to_html
from trimtab.drawing.picture import picture, png
from trimtab.drawing.scale import Scale, powers, ticks, times
from trimtab.drawing.svg import Drawing, mark, safe, words

EVIL = "<script>alert('x')</script>\"&\x00\x1b\ud800|`*"


@pytest.mark.parametrize(
    ("low", "high", "most", "expected"),
    [
        pytest.param(0.0, 1.0, 5, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0], id="round parts of one"),
        pytest.param(-3.0, 7.0, 4, [-2.5, 0.0, 2.5, 5.0], id="around nothing"),
        pytest.param(1e-9, 9e-9, 4, [2e-9, 4e-9, 6e-9, 8e-9], id="small ones"),
        pytest.param(5.0, 5.0, 4, [5.0], id="one value"),
        pytest.param(float("nan"), 5.0, 4, [], id="no number"),
    ],
)
def test_ticks_are_round_numbers(low: float, high: float, most: int, expected: list[float]) -> None:
    assert ticks(low, high, most) == pytest.approx(expected)


@given(st.floats(-1e12, 1e12), st.floats(1e-6, 1e12), st.integers(1, 40))
def test_ticks_rise_within_their_ends_and_are_not_many(low: float, span: float, most: int) -> None:
    found = ticks(low, low + span, most)
    assert found == sorted(found)
    assert len(found) <= most + 2
    assert all(low - span / 100 <= tick <= low + span * 1.01 for tick in found)


@given(st.floats(0, 4e9, allow_subnormal=False), st.floats(1, 1e10))
def test_times_lie_within_their_ends_and_are_not_many(low: float, span: float) -> None:
    found = times(low, low + span, 8)
    assert len(found) <= 12
    assert all(low <= when <= low + span for when, _ in found)


def test_powers_of_ten() -> None:
    assert powers(1e-12, 1.0, 5) == pytest.approx([1e-12, 1e-9, 1e-6, 1e-3, 1.0])


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_scale_keeps_all_within_its_ends(value: float) -> None:
    assert 10.0 <= Scale(0.0, 1.0, 10.0, 20.0)(value) <= 20.0
    assert 10.0 <= Scale(1e-3, 1.0, 20.0, 10.0, log=True)(value) <= 20.0


@given(st.text())
def test_any_text_is_text_in_the_drawing(text: str) -> None:
    shown = text if text.isprintable() else "?"
    root = ElementTree.fromstring(Drawing(10, 10, words(0, 0, text) + mark(1, 1, "circle", "#000", told=text)).svg)  # noqa: S314 - our own
    assert "".join(root.itertext()).count("\x00") == 0
    assert [child.tag.rpartition("}")[2] for child in root] == ["text", "circle"]
    assert shown == "?" or shown in "".join(root.itertext())


def test_a_page_shows_what_is_from_data_as_text() -> None:
    figure = Figure(Drawing(100, 20, words(0, 10, EVIL)), EVIL)
    page = Page(EVIL, EVIL, False, (Section(EVIL, (EVIL,), (EVIL,), ((EVIL,),), (figure,)),))
    html = to_html(page)
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert "default-src 'none'" in html
    html.encode()
    assert "<script" not in markdown(page)
    assert safe(EVIL) == "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;&quot;&amp;???|`*"


def test_a_picture_holds_title_and_figures_at_twice_their_size() -> None:
    figure = Figure(Drawing(1000, 100, words(0, 50, EVIL)), "a caption")
    page = Page("A title", "A verdict.", True, (Section("Seen", (), figures=(figure, figure)), Section("A table", (), ("a",), (("1",),))))
    drawn = picture(page)
    assert "Seen" in drawn.svg
    assert "A table" not in drawn.svg
    made = png(page)
    assert made[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", made[16:24]) == (2 * int(drawn.width), pytest.approx(2 * drawn.height, abs=2))
