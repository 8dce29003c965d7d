"""The memory of arrays lent to TensorFlow as tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf

# TensorFlow aborts the process on tensors at any other address.
_ALIGNMENT = 64
# Less than this is copied sooner than it is lent.
_MIN_BYTES = 1 << 16
_LENDABLE_KINDS = "iufc"


def lent(elements: np.ndarray, shape: tuple[int, ...], dtype: str) -> tf.Tensor:
    """A tensor over the memory of ``elements``, which it keeps alive; a copy where they cannot be lent.

    Args:
      elements: in row-major order, never written to again.
    """
    is_lendable = (
        elements.nbytes >= _MIN_BYTES
        and elements.dtype.kind in _LENDABLE_KINDS
        and elements.dtype == dtype
        and elements.flags.c_contiguous
    )
    if not is_lendable:
        return tf.constant(elements.reshape(shape), dtype)
    if elements.ctypes.data % _ALIGNMENT:
        elements = _aligned(elements)
    return tf.experimental.dlpack.from_dlpack(np.asarray(_Loan(elements, shape)).__dlpack__())


def lent_between(elements: np.ndarray, before: int, length: int) -> tuple[tf.Tensor, int]:
    """A vector of so many numbers that ``elements`` are a part of, and where in it they begin, from ``before``.

    What is around them is of no account: it is what lies around them in their memory, or nothing in particular.
    """
    size = elements.dtype.itemsize
    address, behind = elements.ctypes.data, elements.ctypes.data - before * size
    window = behind - behind % _ALIGNMENT
    low, high = _extent(elements)
    if elements.nbytes >= _MIN_BYTES and low <= window and window + length * size <= high:
        loan = _Loan(elements, (length,), window)
        return tf.experimental.dlpack.from_dlpack(np.asarray(loan).__dlpack__()), (address - window) // size
    copy = np.frombuffer(pa.allocate_buffer(length * size), elements.dtype)
    copy[before : before + len(elements)] = elements
    return tf.experimental.dlpack.from_dlpack(np.asarray(_Loan(copy, (length,))).__dlpack__()), before


def _extent(elements: np.ndarray) -> tuple[int, int]:
    """The addresses between which lies the Arrow buffer, or the array, that ``elements`` are a part of."""
    base: Any = elements
    while getattr(base, "base", None) is not None:
        base = base.base
    if isinstance(base, pa.Array):
        buffer = base.buffers()[-1]
        return buffer.address, buffer.address + buffer.size
    return elements.ctypes.data, elements.ctypes.data + elements.nbytes


def _aligned(elements: np.ndarray) -> np.ndarray:
    """A copy at an aligned address, in memory that Arrow keeps warm."""
    copy = np.frombuffer(pa.allocate_buffer(elements.nbytes), elements.dtype)
    copy[:] = elements.reshape(-1)
    return copy


class _Loan:
    """Elements in a shape, for NumPy to see as an array that may be written to: it exports no other.

    Nothing writes: operators whose kernels do so are given a copy (``writes_into`` in operators/policy.toml).
    """

    def __init__(self, elements: np.ndarray, shape: tuple[int, ...], address: int | None = None):
        self._elements = elements
        address = elements.ctypes.data if address is None else address
        self.__array_interface__ = {
            "version": 3,
            "typestr": elements.dtype.str,
            "shape": shape,
            "data": (address, False),
        }
