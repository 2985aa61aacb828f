"""The ring: what one process writes another reads, byte for byte, however it wraps around and whatever does not fit."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.predictor.ring import RING_BYTES, Reader, Writer

SIZES = st.integers(0, RING_BYTES // 3) | st.sampled_from((0, 1, RING_BYTES - 1, RING_BYTES, RING_BYTES + 1, 3 * RING_BYTES))


class Ends:
    """Both ends of a ring, and the pipe between them."""

    def __init__(self):
        self.writer = Writer()
        self.reader = Reader(self.writer.descriptor, self.writer.reading)

    def close(self):
        self.writer.close()
        self.writer.leave()


@pytest.fixture
def ends():
    found = Ends()
    yield found
    found.close()


def filled(size, seed):
    """Bytes that tell where they stand."""
    return (b"%d," % seed * (size // 2 + 1))[:size]


@given(st.lists(st.tuples(SIZES, st.booleans(), st.integers(1, RING_BYTES)), max_size=12))
def test_what_was_written_is_read_in_its_order_and_a_piece_that_does_not_fit_changes_nothing(steps):
    ends = Ends()
    sent = received = b""
    for number, (size, whole, limit) in enumerate(steps):
        data, room = filled(size, number), RING_BYTES - len(sent) + len(received)
        if whole:
            middle = size // 2
            assert ends.writer.put(data[:middle], data[middle:]) == (size <= room)
            sent += data if size <= room else b""
        else:
            written = ends.writer.write(memoryview(data))
            assert written == min(size, room)
            sent += data[:written]
        ends.writer.tell()
        assert not ends.writer.silent
        if len(received) < len(sent):
            found = ends.reader.read(limit)
            assert 0 < len(found) <= limit
            received += found
    while len(received) < len(sent):
        received += ends.reader.read(RING_BYTES)
    ends.close()
    assert received == sent


def test_the_end_of_the_pipe_is_the_end_once_all_is_read(ends):
    ends.writer.put(b"last words")
    ends.writer.tell()
    ends.writer.end()
    assert (ends.reader.read(4), ends.reader.read(100), ends.reader.read(100)) == (b"last", b" words", b"")


def test_what_was_not_told_is_not_read(ends):
    ends.writer.put(b"told")
    ends.writer.tell()
    ends.writer.put(b"not told")
    assert ends.reader.read(100) == b"told"


def test_a_pipe_that_is_full_leaves_the_writer_with_something_to_tell(ends):
    for _ in range(100_000):
        ends.writer.tell()
    ends.writer.put(b"late")
    ends.writer.tell()
    assert ends.writer.silent
    os.read(ends.writer.reading, 1 << 20)
    ends.writer.tell()
    assert not ends.writer.silent
    assert ends.reader.read(100) == b"late"


def test_a_reader_that_has_ended_leaves_the_writer_with_something_to_tell():
    writer = Writer()
    writer.leave()
    writer.put(b"for nobody")
    writer.tell()
    assert writer.silent
    writer.close()
