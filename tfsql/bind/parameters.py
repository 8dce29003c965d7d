"""Values of parameters: as NumPy arrays for kernels, as Python values for the engine."""

from __future__ import annotations

from typing import Any

import numpy as np


def as_array(value: Any) -> np.ndarray | None:
    """A parameter as a NumPy array if it is an array, tensor, series or complex number of any library."""
    if isinstance(value, complex):
        return np.asarray(value, np.complex64)
    if hasattr(value, "numpy"):
        made = value.numpy()
        return np.asarray(made, object) if isinstance(made, bytes) else np.asarray(made)
    if hasattr(value, "to_numpy"):
        return np.asarray(value.to_numpy())
    return np.asarray(value) if isinstance(value, np.ndarray | np.generic) else None


def is_small_float(array: np.ndarray) -> bool:
    """Whether an array has one of the dtypes that NumPy knows from TensorFlow alone."""
    return str(array.dtype).startswith(("bfloat16", "float8", "float4"))


def engine_value(value: Any) -> Any:
    """A parameter as the engine takes it: arrays and tensors as lists, complex numbers as rows."""
    array = None if hasattr(value, "row_splits") else as_array(value)
    if array is None:
        return value
    return _complex_rows(array.tolist()) if array.dtype.kind == "c" else array.tolist()


def _complex_rows(value: Any) -> Any:
    if isinstance(value, list):
        return [_complex_rows(item) for item in value]
    return {"real": value.real, "imag": value.imag}
