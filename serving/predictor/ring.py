"""A pipe in shared memory: bytes from one process to another at the cost of a copy, without the system's pages in between.

A real pipe beside it carries the position up to which was written, now and then: it wakes the reader, and its end is the end of this one.
The reader tells in the memory itself how far it is. Each position has one writer, and is eight aligned bytes: a processor of the
x86-64 family, the only one that the images are for, shows such writes whole and in their order.
"""

import mmap
import os
import struct

RING_BYTES = 1 << 20
_POSITION = struct.Struct("<Q")
_DATA = 64
_END = _DATA + RING_BYTES
_BELLS = 512


def _mapped(descriptor: int) -> tuple[mmap.mmap, "memoryview[int]"]:
    """The memory, and the place in it where the reader's position is."""
    memory = mmap.mmap(descriptor, _END)
    return memory, memoryview(memory)[: _POSITION.size].cast("Q")


class Writer:
    """The end that writes: `descriptor` names its memory, `reading` the other end of its pipe."""

    def __init__(self) -> None:
        self.reading, self._pipe = os.pipe()
        os.set_blocking(self._pipe, False)
        self.descriptor = os.memfd_create("trimtab-ring")
        os.truncate(self.descriptor, _END)
        self._memory, self._read = _mapped(self.descriptor)
        self._written = self._told = 0
        self._limit = RING_BYTES

    @property
    def silent(self) -> bool:
        """Whether something was written that the reader was not told of."""
        return self._told != self._written

    def put(self, *pieces: bytes) -> bool:
        """Write all the pieces, or, where there is no room for all, none."""
        end = self._written + sum(map(len, pieces))
        if end > self._limit:
            self._limit = self._read[0] + RING_BYTES
            if end > self._limit:
                return False
        memory, at = self._memory, self._written % RING_BYTES + _DATA
        for piece in pieces:
            stop = at + len(piece)
            if stop <= _END:
                memory[at:stop] = piece
                at = stop
            else:
                memory[at:_END] = piece[: _END - at]
                at = _DATA + stop - _END
                memory[_DATA:at] = piece[len(piece) + _DATA - at :]
        self._written = end
        return True

    def write(self, data: memoryview) -> int:
        """Write as much as there is room for; returns the number of bytes."""
        self._limit = self._read[0] + RING_BYTES
        size = min(len(data), self._limit - self._written)
        self.put(bytes(data[:size]))
        return size

    def tell(self) -> None:
        """Tell the reader how far is written, unless the pipe is full, closed, or read by nobody."""
        if self._pipe < 0:
            return
        try:
            os.write(self._pipe, _POSITION.pack(self._written))
            self._told = self._written
        except (BlockingIOError, BrokenPipeError):
            return

    def leave(self) -> None:
        """Give back what only the reader needs, once it has it."""
        os.close(self.reading)

    def end(self) -> None:
        """Close the pipe: what was told is the last."""
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1

    def close(self) -> None:
        """Give everything back."""
        self.end()
        self._read.release()
        self._memory.close()
        os.close(self.descriptor)


class Reader:
    """The end that reads another process's memory, woken by `pipe`."""

    def __init__(self, descriptor: int, pipe: int) -> None:
        self._memory, self._read = _mapped(descriptor)
        self._pipe = pipe
        self._written = self._at = 0

    def read(self, limit: int) -> bytes:
        """Wait until there is something; at most `limit` bytes of it, none at the end."""
        while self._written == self._at:
            if not (told := os.read(self._pipe, _BELLS * _POSITION.size)):
                return b""
            (self._written,) = _POSITION.unpack_from(told, len(told) - _POSITION.size)
        start = self._at % RING_BYTES + _DATA
        stop = min(start + min(limit, self._written - self._at), _END)
        found = self._memory[start:stop]
        self._at += stop - start
        self._read[0] = self._at
        return found
