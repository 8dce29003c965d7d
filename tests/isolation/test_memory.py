"""The memory that two processes share: its ranges, and messages in it."""

from __future__ import annotations

import mmap
import os
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfsql.isolation.memory import ALIGNMENT, Memory, Ranges, new_memory_file

PAGE = mmap.PAGESIZE


@pytest.fixture
def both() -> tuple[Memory, Memory]:
    """One memory as two processes have it."""
    file = new_memory_file()
    made = Memory(file), Memory(file)
    os.close(file)
    return made


@pytest.mark.parametrize(
    "message",
    [
        None,
        {"a": [1, "é", b"\0"]},
        np.arange(12, dtype=np.float32).reshape(3, 4),
        np.zeros((0, 3)),
        np.array(3.5),
        np.array([b"a\0", b"", "é".encode()], object),
        np.array([True, False]),
        np.array([1 + 2j], np.complex64),
        np.arange(20).reshape(4, 5)[:, ::2],
        [np.arange(5, dtype=np.int8), np.arange(7, dtype=np.int64)],
    ],
    ids=repr,
)
def test_a_message_comes_out_as_it_went_in(both: tuple[Memory, Memory], message: Any) -> None:
    one, other = both
    parcel = one.put(message, lambda size: 3 * PAGE)
    made = other.take(parcel, None)
    pairs = zip(made, message, strict=True) if isinstance(message, list) else [(made, message)]
    for got, wanted in pairs:
        assert type(got) is type(wanted)
        assert getattr(got, "dtype", None) == getattr(wanted, "dtype", None)
        assert np.array_equal(got, wanted)


def test_arrays_lie_where_tensorflow_takes_them(both: tuple[Memory, Memory]) -> None:
    one, other = both
    made = other.take(one.put([np.arange(n, dtype=np.int8) for n in range(1, 200, 13)], lambda size: 0), None)
    assert all(array.ctypes.data % ALIGNMENT == 0 for array in made)


def test_what_is_cleared_is_zero_in_both(both: tuple[Memory, Memory]) -> None:
    one, other = both
    parcel = one.put(np.ones(10 * PAGE, np.uint8), lambda size: 0)
    seen = other.take(parcel, None)
    one.clear(PAGE, 5 * PAGE)
    assert np.count_nonzero(seen) == 10 * PAGE - 5 * PAGE
    one.clear(PAGE, -5)  # nothing to clear


def test_arrays_keep_their_owner(both: tuple[Memory, Memory]) -> None:
    class Owner:
        is_alive = True

        def __del__(self) -> None:
            Owner.is_alive = False

    one, other = both
    seen = other.take(one.put([np.arange(100)], lambda size: 0), Owner())[0][10:20]
    assert Owner.is_alive
    del seen
    assert not Owner.is_alive


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5 * PAGE), st.integers(0, 100)), max_size=60))
def test_ranges_never_overlap_and_all_come_back(steps: list[tuple[bool, int, int]]) -> None:
    ranges, taken = Ranges(64 * PAGE), {}
    for is_taking, size, choice in steps:
        if is_taking or not taken:
            try:
                start = ranges.take(size)
            except MemoryError:
                continue
            if size:
                assert start not in taken
                taken[start] = size
            assert start % PAGE == 0
        else:
            start = sorted(taken)[choice % len(taken)]
            ranges.give(start, taken.pop(start))
        spans = sorted((start, start + size) for start, size in taken.items())
        assert all(end <= start for (_, end), (start, _) in pairwise(spans))
    for start, size in taken.items():
        ranges.give(start, size)
    assert ranges.take(64 * PAGE) == 0


def test_no_room_is_an_error() -> None:
    ranges = Ranges(2 * PAGE)
    ranges.take(PAGE + 1)
    with pytest.raises(MemoryError, match="no 4,096 bytes are free"):
        ranges.take(1)
