"""Results in order, exceptions in their place, no more ahead than was said."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from tfsql.ahead import map_ahead


@pytest.mark.parametrize("count", [0, 1, 2, 3, 50])
def test_in_order(count: int) -> None:
    def slow_at_first(number: int) -> int:
        time.sleep(0.01 if number % 3 == 0 else 0)
        return number * number

    assert list(map_ahead(slow_at_first, range(count), 3)) == [number * number for number in range(count)]


def test_an_exception_comes_in_the_place_of_its_result() -> None:
    def reciprocal(number: int) -> float:
        return 1 / (5 - number)

    made = map_ahead(reciprocal, range(20), 4)
    assert [next(made) for _ in range(5)] == [1 / (5 - number) for number in range(5)]
    with pytest.raises(ZeroDivisionError):
        next(made)


def test_an_exception_of_the_source_comes_out() -> None:
    def source() -> Iterator[int]:
        yield from range(3)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(map_ahead(str, source(), 2))


def test_no_more_is_taken_than_there_is_room_for() -> None:
    taken = []

    def source() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    made = map_ahead(str, source(), 2)
    for result in range(10):
        assert next(made) == str(result)
        assert len(taken) <= result + 4
    made.close()
    assert len(taken) < 20
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("tfsql-batch")]


def test_several_are_computed_at_once() -> None:
    together = threading.Barrier(3, timeout=30)
    places = list(map_ahead(lambda number: together.wait(), range(9), 3))
    assert sorted(places) == sorted([0, 1, 2] * 3)
