"""Tensors over the memory of arrays."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pyarrow as pa
import pytest

from tfsql.kernel.lending import lent, lent_between

ROWS, WIDTH = 512, 100


def address(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "uint8", "int64", "complex64", "bool"])
@pytest.mark.parametrize("offset", range(0, 80, 8))
def test_equal_at_any_address(dtype: str, offset: int) -> None:
    size = ROWS * WIDTH * np.dtype(dtype).itemsize
    memory = np.frombuffer(pa.allocate_buffer(size + 80), np.uint8)
    memory[:] = np.arange(len(memory)) % 2
    elements = memory[offset : offset + size].view(dtype)
    elements.flags.writeable = False
    tensor = lent(elements, (ROWS, WIDTH), dtype)
    assert tensor.dtype == dtype
    np.testing.assert_array_equal(tensor.numpy(), elements.reshape(ROWS, WIDTH))


def test_aligned_memory_is_not_copied_and_lives_as_long_as_the_tensor() -> None:
    buffer = pa.allocate_buffer(ROWS * WIDTH * 4)
    elements = np.frombuffer(buffer, np.float32)
    elements[:] = 7
    is_alive = weakref.ref(elements)
    tensor = lent(elements, (ROWS, WIDTH), "float32")
    assert address(np.asarray(memoryview(tensor))) == address(elements)
    del elements, buffer
    gc.collect()
    assert is_alive() is not None
    assert float(tensor[3, 3]) == 7
    del tensor
    gc.collect()
    assert is_alive() is None


@pytest.mark.parametrize(
    ("elements", "dtype"),
    [
        (np.arange(10_000, dtype=np.int64), "int32"),
        (np.arange(3, dtype=np.float32), "float32"),
        (np.array([b"a", b"b"] * 9000, object), "string"),
    ],
)
def test_what_cannot_be_lent_is_copied(elements: np.ndarray, dtype: str) -> None:
    tensor = lent(elements, elements.shape, dtype)
    assert tensor.dtype == dtype
    np.testing.assert_array_equal(tensor.numpy(), elements)


@pytest.mark.parametrize("offset", range(0, 80, 8))
@pytest.mark.parametrize(("first", "last"), [(0, ROWS), (0, ROWS - 1), (1, ROWS), (1, ROWS - 1), (3, 5)])
def test_a_part_of_an_array_is_lent_with_what_is_around_it(offset: int, first: int, last: int) -> None:
    memory = np.frombuffer(pa.allocate_buffer(ROWS * WIDTH * 4 + 80), np.uint8)
    numbers = memory[offset : offset + ROWS * WIDTH * 4].view(np.float32)
    numbers[:] = np.arange(len(numbers))
    part = pa.array(numbers).slice(first * WIDTH, (last - first) * WIDTH).to_numpy()
    before, length = 30, len(part) + 30 + 16 + 30
    vector, start = lent_between(part, before, length)
    made = np.asarray(memoryview(vector))
    assert made.shape == (length,)
    assert before <= start < before + 16
    np.testing.assert_array_equal(made[start : start + len(part)], part)
    is_shared = address(made) + 4 * start == address(part)
    assert is_shared == ((first, last) == (1, ROWS - 1))
