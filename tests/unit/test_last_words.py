"""What a container leaves for the kubelet to read, and that it ends well where nothing can be left."""

import pytest

from trimtab.last_words import LONGEST_BYTES, leave


@pytest.mark.parametrize(
    ("words", "read"),
    [
        pytest.param("NotFound: there is none", b"NotFound: there is none", id="a sentence"),
        pytest.param("ä" * 3000, "ä".encode() * 2048, id="more than is read is cut between characters"),
        pytest.param("x" + "ä" * 3000, b"x" + "ä".encode() * 2047, id="also where the last one would be halved"),
        pytest.param("a\ud800b", b"a?b", id="what cannot be encoded"),
    ],
)
def test_words_are_left_and_cut_to_what_is_read(tmp_path, words, read):
    place = tmp_path / "termination-log"
    place.write_text("what an earlier start left, which is longer than that" * 200)
    leave(words, place)
    assert place.read_bytes() == read
    assert len(read) <= LONGEST_BYTES


@pytest.mark.parametrize("place", ["absent", "absent/deeper", "."])
def test_where_nothing_can_be_left_nothing_happens(tmp_path, place):
    leave("words", tmp_path / place)
    assert list(tmp_path.iterdir()) == []
