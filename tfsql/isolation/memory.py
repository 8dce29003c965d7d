"""Memory that two processes share, and messages in it: their arrays are read where they lie.

A message is pickled; its arrays lie beside what was pickled, 64 bytes apart, and come out as views of the memory.
"""

from __future__ import annotations

import mmap
import os
import pickle
from bisect import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

# TensorFlow takes an array as it lies where its address is a multiple of this.
ALIGNMENT = 64


@dataclass(frozen=True)
class Parcel:
    """Where a message lies: what was pickled, then its arrays.

    Attributes:
      start: where its range of the memory begins, in bytes.
      lengths: the bytes of each part.
    """

    start: int
    lengths: tuple[int, ...]

    @property
    def size(self) -> int:
        return _starts(self.lengths)[-1]


def _starts(lengths: Sequence[int]) -> list[int]:
    """Where each part begins, from the beginning of the first; and the end of the last."""
    starts = [0]
    for length in lengths:
        starts.append(starts[-1] + -(-length // ALIGNMENT) * ALIGNMENT)
    return starts


class Memory:
    """A memory of two processes: a file without a name, as large as what the machine has. Pages are had when written.

    Args:
      descriptor: the file; it stays the caller's to close.
    """

    def __init__(self, descriptor: int):
        self.size = os.fstat(descriptor).st_size
        self._map = mmap.mmap(descriptor, self.size)
        self._bytes = np.frombuffer(self._map, np.uint8)

    def put(self, message: Any, reserve: Callable[[int], int]) -> Parcel:
        """Writes a message.

        Args:
          reserve: gives the beginning of a range of so many bytes.
        """
        buffers: list[pickle.PickleBuffer] = []
        pickled = pickle.dumps(message, protocol=5, buffer_callback=buffers.append)
        parts = [np.frombuffer(part, np.uint8) for part in (memoryview(pickled), *map(_raw, buffers))]
        lengths = tuple(len(part) for part in parts)
        starts = _starts(lengths)
        first = reserve(starts[-1])
        for part, start in zip(parts, starts, strict=False):
            self._bytes[first + start : first + start + len(part)] = part
        return Parcel(first, lengths)

    def take(self, parcel: Parcel, owner: object) -> Any:
        """The message of a parcel; its arrays are views that keep ``owner`` alive."""
        address = self._bytes.ctypes.data + parcel.start
        starts = _starts(parcel.lengths)
        pickled, *buffers = [
            pa.foreign_buffer(address + start, length, owner)
            for start, length in zip(starts, parcel.lengths, strict=False)
        ]
        return pickle.loads(pickled, buffers=buffers)

    def clear(self, start: int, size: int) -> None:
        """Gives the pages of a range back to the machine; both processes read zeros there from now on."""
        first, last = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE, (start + size) // mmap.PAGESIZE * mmap.PAGESIZE
        if last > first:
            self._map.madvise(mmap.MADV_REMOVE, first, last - first)


def _raw(buffer: pickle.PickleBuffer) -> memoryview:
    return buffer.raw()


def new_memory_file() -> int:
    """The descriptor of a file without a name for a ``Memory``."""
    descriptor = os.memfd_create("tfsql")
    os.ftruncate(descriptor, os.sysconf("SC_PHYS_PAGES") * mmap.PAGESIZE)
    return descriptor


class Ranges:
    """The free ranges of a memory: the first that is large enough is taken, so that few pages are ever written."""

    def __init__(self, size: int):
        self._free = [(0, size)]

    def take(self, size: int) -> int:
        """The beginning of a range that is now taken.

        Raises:
          MemoryError: none is large enough.
        """
        size = _whole_pages(size)
        for index, (start, length) in enumerate(self._free):
            if length >= size:
                self._free[index : index + 1] = [(start + size, length - size)] if length > size else []
                return start
        raise MemoryError(f"no {size:,} bytes are free for the results of a call")

    def give(self, start: int, size: int) -> None:
        """Frees a range that was taken."""
        end = start + _whole_pages(size)
        index = bisect(self._free, (start, 0))
        if index < len(self._free) and self._free[index][0] == end:
            end += self._free.pop(index)[1]
        if index and sum(self._free[index - 1]) == start:
            index -= 1
            start = self._free.pop(index)[0]
        self._free.insert(index, (start, end - start))


def _whole_pages(size: int) -> int:
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
