"""The memory of arrays lent to TensorFlow as tensors."""

from __future__ import annotations

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


def _aligned(elements: np.ndarray) -> np.ndarray:
    """A copy at an aligned address, in memory that Arrow keeps warm."""
    copy = np.frombuffer(pa.allocate_buffer(elements.nbytes), elements.dtype)
    copy[:] = elements.reshape(-1)
    return copy


class _Loan:
    """Elements in a shape, for NumPy to see as an array that may be written to: it exports no other.

    Nothing writes: operators whose kernels do so are given a copy (``writes_into`` in operators/policy.toml).
    """

    def __init__(self, elements: np.ndarray, shape: tuple[int, ...]):
        self._elements = elements
        address, _ = elements.__array_interface__["data"]
        self.__array_interface__ = {
            "version": 3,
            "typestr": elements.dtype.str,
            "shape": shape,
            "data": (address, False),
        }
