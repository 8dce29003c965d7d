"""Python variables as tables: data frames, Arrow data, NumPy arrays, tensors and relations, found by name."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import FrameType
from typing import Any

import numpy as np
import pyarrow as pa

from tfsql import flatten
from tfsql.errors import TypeMismatchError

# The column of a table that is made of one array: DuckDB's own name for it.
ARRAY_COLUMN = "column0"

_TABLE_MODULES = ("pandas", "pyarrow", "numpy", "tensorflow", "polars", "duckdb", "_duckdb", "tfsql")


def caller_variables() -> dict[str, Any]:
    """The variables that the code outside of this package sees where it called it."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] == "tfsql":
        frame = frame.f_back
    return {} if frame is None else {**frame.f_globals, **frame.f_locals}


def is_table(value: Any) -> bool:
    """Whether a variable can be read as a table; decided without importing the libraries it may come from."""
    module = type(value).__module__.partition(".")[0]
    if isinstance(value, dict):
        return bool(value) and all(isinstance(key, str) and is_table(item) for key, item in value.items())
    if module not in _TABLE_MODULES:
        return False
    return any(
        hasattr(value, name) for name in ("__arrow_c_stream__", "to_arrow_table", "__array__", "arrow")
    ) and not isinstance(value, type | np.generic)


def table_from(name: str, value: Any) -> pa.Table:
    """The Arrow table of a variable; arrays give one row for each element of their first axis.

    Raises:
      TypeMismatchError: the value has no rows (a scalar array), or arrays of a dict differ in length.
    """
    if isinstance(value, dict):
        columns = {key: _column(f"{name}[{key!r}]", item) for key, item in value.items()}
        if len({len(column) for column in columns.values()}) > 1:
            raise TypeMismatchError(f"The arrays of {name} differ in length")
        return pa.table(columns)
    if hasattr(value, "to_arrow_table"):
        return nested(value.to_arrow_table())
    if type(value).__module__.startswith("pandas") and hasattr(value, "columns"):
        return _from_pandas(value)
    if isinstance(value, pa.Table):
        return nested(value)
    if hasattr(value, "__arrow_c_stream__"):
        return nested(pa.table(value))
    if hasattr(value, "arrow"):
        return nested(value.arrow())
    return pa.table({ARRAY_COLUMN: _column(name, value)})


def nested(table: pa.Table) -> pa.Table:
    """The table with fixed-shape tensor columns as nested lists, which DuckDB reads as ARRAYs of that shape."""
    for index, column in enumerate(table.columns):
        if isinstance(column.type, pa.BaseExtensionType) and isinstance(column.type, pa.FixedShapeTensorType):
            chunks = [flatten.nested_storage(chunk) for chunk in column.chunks]
            made = pa.chunked_array(chunks) if chunks else pa.chunked_array([], flatten.nested_type(column.type))
            table = table.set_column(index, table.column_names[index], made)
    return table


def array_column(array: np.ndarray) -> pa.Array:
    """``[rows, *shape]`` as an Arrow array of nested fixed-size lists, without a copy where the layout allows."""
    flat = np.ascontiguousarray(array).reshape(-1)
    if array.dtype.kind == "c":
        parts = [pa.array(np.ascontiguousarray(part)) for part in (flat.real, flat.imag)]
        level: pa.Array = pa.StructArray.from_arrays(parts, names=["real", "imag"])
    elif array.dtype == np.float16 or array.dtype.kind == "V" or str(array.dtype).startswith(("bfloat16", "float8")):
        level = pa.array(flat.astype(np.float32))
    elif array.dtype.kind in "OSU":
        level = pa.array(flat.tolist())
    else:
        level = pa.array(flat)
    for axis in reversed(array.shape[1:]):
        level = pa.FixedSizeListArray.from_arrays(level, axis)
    return level


def _column(name: str, value: Any) -> pa.Array:
    if hasattr(value, "to_list") and hasattr(value, "row_splits"):  # a RaggedTensor
        return pa.array(value.to_list())
    array = value.to_numpy() if hasattr(value, "to_numpy") else np.asarray(value)
    if array.ndim == 0:
        raise TypeMismatchError(f"{name} is a single value, so it has no rows")
    if 0 in array.shape[1:]:
        raise TypeMismatchError(f"{name} has shape {list(array.shape)}: SQL has no array of length 0")
    return array_column(array)


def _from_pandas(frame: Any) -> pa.Table:
    """A data frame; a column of arrays of one shape becomes an ARRAY column."""
    arrays: dict[str, Any] = {}
    for name, series in frame.items():
        values = series.to_numpy() if series.dtype == object else None
        if values is not None and len(values) and all(isinstance(v, np.ndarray) for v in values):
            arrays[str(name)] = _array_cells(values)
        else:
            arrays[str(name)] = pa.Array.from_pandas(series)
    return pa.table(arrays)


def _array_cells(values: np.ndarray) -> pa.Array:
    if len({value.shape for value in values}) == 1 and 0 not in values[0].shape and values[0].ndim:
        return array_column(np.stack(list(values)))
    return pa.array([value.tolist() for value in values], _list_type(values[0]))


def _list_type(array: np.ndarray) -> pa.DataType:
    kind = pa.from_numpy_dtype(array.dtype)
    for _ in range(array.ndim):
        kind = pa.list_(kind)
    return kind


def table_names(variables: Mapping[str, Any]) -> frozenset[str]:
    """The names of the variables that can be read as tables."""
    return frozenset(name for name, value in variables.items() if is_table(value))
