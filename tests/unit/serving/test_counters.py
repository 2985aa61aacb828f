"""The counters hold over crashes: of a shipper at any moment, in the middle of telling its state too."""

import os

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from serving.predictor.counters import Board, Ledger, State


def test_the_state_that_was_told_last_is_read_and_one_that_was_half_written_is_not():
    board = Board()
    reader = Board(os.dup(board.descriptor))
    assert reader.read() is None
    for number in range(3):
        board.write(State(received=number))
        assert reader.read() == State(received=number)
    size = os.fstat(board.descriptor).st_size
    before = os.pread(board.descriptor, size, 0)
    board.write(State(received=3))
    after = os.pread(board.descriptor, size, 0)
    changed = [place for place in range(size) if before[place] != after[place]]
    for place in changed:
        os.pwrite(board.descriptor, after, 0)
        os.pwrite(board.descriptor, before[place : place + 1], place)
        assert reader.read() == State(received=2)
    reader.close()
    board.close()


# What happens to a predictor's events, and how many of them: taken, given to the shipper, received, and so on.
steps = st.lists(st.tuples(st.sampled_from(["take", "give", "receive", "deliver", "spool", "empty", "refuse", "kill"]), st.integers(1, 9)))


@given(st.integers(0, 9), steps)
def test_captured_is_delivered_and_dropped_and_queued_at_any_moment_and_no_counter_falls(found, moments):
    ledger, state = Ledger(), State(found=found, spooled=found)
    taken = given_ = 0
    waiting, held, spooled = 0, 0, found
    crashed, delivered, refused = 0, 0, 0
    before = (0, 0, 0)
    for what, count in moments:
        if what == "take":
            taken, waiting = taken + count, waiting + count
        elif what == "give":
            moved = min(count, waiting)
            waiting, given_ = waiting - moved, given_ + moved
        elif what == "receive":
            moved = min(count, given_ - state.received)
            state, held = replace(state, received=state.received + moved), held + moved
        elif what == "deliver":
            moved = min(count, held)
            state, held, delivered = replace(state, delivered=state.delivered + moved), held - moved, delivered + moved
        elif what == "spool":
            moved = min(count, held)
            state, held, spooled = replace(state, spooled=state.spooled + moved), held - moved, spooled + moved
        elif what == "empty":
            moved = min(count, spooled)
            state = replace(state, spooled=state.spooled - moved, delivered=state.delivered + moved)
            spooled, delivered = spooled - moved, delivered + moved
        elif what == "refuse":
            moved = min(count, held)
            state, held, refused = replace(state, refused=state.refused + moved), held - moved, refused + moved
        else:
            crashed += held + given_ - state.received
            ledger.settle(state, given_)
            given_ = held = 0
            assert ledger.counts(taken, 0, {}, None).queued == waiting + spooled, "before the next shipper has told anything"
            state = State(found=spooled, spooled=spooled)
        counts = ledger.counts(taken, 0, {}, state)
        assert counts.captured == counts.delivered + counts.lost + counts.queued == taken + found
        assert (counts.delivered, counts.dropped["crashed"], counts.dropped["refused"]) == (delivered, crashed, refused)
        assert counts.queued == waiting + given_ - state.received + held + spooled
        assert state.held == held
        assert all(now >= then for now, then in zip((counts.captured, counts.delivered, counts.lost), before, strict=True))
        before = (counts.captured, counts.delivered, counts.lost)


def test_what_the_spool_holds_beyond_what_was_told_is_captured_anew_and_what_it_lacks_is_lost():
    ledger = Ledger()
    ledger.settle(State(received=10, spooled=6), 10)
    assert ledger.counts(10, 0, {}, State(found=8, spooled=8)).captured == 12
    assert ledger.counts(10, 0, {}, State(found=8, spooled=8)).queued == 8
    assert ledger.counts(10, 0, {}, State(found=5, spooled=5)).dropped["crashed"] == 5
    ledger.settle(State(found=8, spooled=8), 0)
    assert ledger.counts(10, 0, {}, None).captured == 12
