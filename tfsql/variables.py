"""Python variables as tables: data frames, Arrow data, NumPy arrays, tensors and relations, found by name."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from functools import partial
from types import FrameType
from typing import Any

import numpy as np
import pyarrow as pa

from tfsql import flatten
from tfsql.arrow_types import with_elements
from tfsql.errors import TypeMismatchError

# The column of a table that is made of one array: DuckDB's own name for it.
ARRAY_COLUMN = "column0"

_TABLE_MODULES = ("pandas", "pyarrow", "numpy", "tensorflow", "polars", "duckdb", "_duckdb", "tfsql")

# DuckDB's sentence.
_MISSING = re.compile(r"Table with name (\w+) does not exist")

_TABLE_SIGNS = ("__arrow_c_stream__", "to_arrow_table", "__array__", "arrow", "row_splits")


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
    return any(hasattr(value, name) for name in _TABLE_SIGNS) and not isinstance(value, type | np.generic)


def table_from(name: str, value: Any) -> pa.Table:
    """The Arrow table of a variable; arrays give one row for each element of their first axis.

    Raises:
      TypeMismatchError: the value has no rows (a scalar array), holds what no column can, or is a dict of arrays that
        differ in length.
    """
    if isinstance(value, dict):
        columns = {key: _column(f"{name}[{key!r}]", item) for key, item in value.items()}
        if len({len(column) for column in columns.values()}) > 1:
            raise TypeMismatchError(f"The arrays of {name} differ in length")
        return pa.table(columns)
    if hasattr(value, "to_arrow_table"):
        return nested(value.to_arrow_table())
    if type(value).__module__.startswith("pandas"):
        return _from_pandas(value if hasattr(value, "columns") else value.to_frame(value.name or ARRAY_COLUMN))
    if isinstance(value, pa.Table):
        return nested(value)
    if hasattr(value, "__arrow_c_stream__"):
        return nested(pa.table(value))
    if hasattr(value, "arrow"):
        return nested(value.arrow())
    return pa.table({ARRAY_COLUMN: _column(name, value)})


def nested(table: pa.Table) -> pa.Table:
    """The table as DuckDB reads it: tensors of fixed shape as nested lists, which are ARRAYs, halves as floats."""
    for index, column in enumerate(table.columns):
        without_halves = with_elements(column.type, _without_halves)
        if without_halves != column.type:
            table = table.set_column(index, table.column_names[index], column.cast(without_halves))
        if isinstance(column.type, pa.BaseExtensionType) and isinstance(column.type, pa.FixedShapeTensorType):
            chunks = [flatten.nested_storage(chunk) for chunk in column.chunks]
            made = pa.chunked_array(chunks) if chunks else pa.chunked_array([], flatten.nested_type(column.type))
            table = table.set_column(index, table.column_names[index], made)
    return table


def _without_halves(element: pa.DataType) -> pa.DataType:
    """float32 for float16, which DuckDB has not."""
    return pa.float32() if pa.types.is_float16(element) else element


def array_column(array: np.ndarray, missing: np.ndarray | None = None) -> pa.Array:
    """``[rows, *shape]`` as an Arrow array of nested fixed-size lists, without a copy where the layout allows.

    Args:
      missing: for each row whether it is NULL.
    """
    flat = np.ascontiguousarray(array).reshape(-1)
    flat = flat.astype(flat.dtype.newbyteorder("="), copy=False)
    if array.ndim == 1:
        return _elements(flat, missing)
    level = _elements(flat, None)
    for axis in reversed(array.shape[2:]):
        level = pa.FixedSizeListArray.from_arrays(level, axis)
    mask = None if missing is None else pa.array(missing)
    return pa.FixedSizeListArray.from_arrays(level, array.shape[1], mask=mask)


def _elements(flat: np.ndarray, missing: np.ndarray | None) -> pa.Array:
    if flat.dtype.kind == "c":
        parts = [pa.array(np.ascontiguousarray(part)) for part in (flat.real, flat.imag)]
        mask = None if missing is None else pa.array(missing)
        return pa.StructArray.from_arrays(parts, names=["real", "imag"], mask=mask)
    if flat.dtype == np.float16 or flat.dtype.kind == "V" or str(flat.dtype).startswith(("bfloat16", "float8")):
        flat = flat.astype(np.float32)
    return pa.array(flat.tolist() if flat.dtype.kind in "OSU" else flat, mask=missing)


def _column(name: str, value: Any) -> pa.Array:
    if hasattr(value, "row_splits"):
        kind = pa.from_numpy_dtype(value.dtype.as_numpy_dtype)
        return pa.array(value.to_list(), _nested_list(kind, value.shape.rank - 1))
    if isinstance(value, np.ma.MaskedArray):
        return _masked(name, value)
    array = value.to_numpy() if hasattr(value, "to_numpy") else np.asarray(value)
    if array.ndim == 0:
        raise TypeMismatchError(f"{name} is a single value, so it has no rows")
    if 0 in array.shape[1:]:
        raise TypeMismatchError(f"{name} has shape {list(array.shape)}: SQL has no array of length 0")
    return _checked(name, lambda: array_column(array))


def _masked(name: str, value: np.ma.MaskedArray) -> pa.Array:
    """A masked array: rows that are masked as a whole are NULL."""
    mask = np.ma.getmaskarray(value).reshape(len(value), -1)
    missing = np.asarray(mask.all(axis=1))
    if (mask.any(axis=1) != missing).any():
        raise TypeMismatchError(f"{name} has masked elements inside a row, which would be NULLs inside an array")
    return array_column(np.ma.getdata(value), missing if missing.any() else None)


def _checked(name: str, make: Callable[[], pa.Array]) -> pa.Array:
    """What ``make`` gives, with pyarrow's refusals told as tfsql's."""
    try:
        return make()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise TypeMismatchError(f"{name} cannot be a column: {error}") from error


def _from_pandas(frame: Any) -> pa.Table:
    """A data frame; a column of arrays of one shape becomes an ARRAY column."""
    arrays: dict[str, Any] = {}
    for name, series in frame.items():
        values = series.to_numpy() if series.dtype == object else None
        if values is not None and _are_arrays(values):
            arrays[str(name)] = _array_cells(values)
        else:
            arrays[str(name)] = _checked(f'Column "{name}"', partial(pa.Array.from_pandas, series))
    return nested(pa.table(arrays))


def _are_arrays(values: np.ndarray) -> bool:
    kinds = {type(value) for value in values}
    return np.ndarray in kinds and kinds <= {np.ndarray, type(None)}


def _array_cells(values: np.ndarray) -> pa.Array:
    """Cells that are arrays, or None: an ARRAY column where they have one shape, else a LIST column."""
    first = next(value for value in values if value is not None)
    if len({value.shape for value in values if value is not None}) == 1 and first.ndim and 0 not in first.shape:
        missing = np.array([value is None for value in values])
        filled = [np.zeros_like(first) if value is None else value for value in values]
        return array_column(np.stack(filled), missing if missing.any() else None)
    kind = _nested_list(pa.from_numpy_dtype(first.dtype), first.ndim)
    return pa.array([None if value is None else value.tolist() for value in values], kind)


def _nested_list(kind: pa.DataType, rank: int) -> pa.DataType:
    for _ in range(rank):
        kind = pa.list_(kind)
    return kind


def table_names(variables: Mapping[str, Any]) -> frozenset[str]:
    """The names of the variables that can be read as tables."""
    return frozenset(name for name, value in variables.items() if is_table(value))


def hint_on_missing(message: str, variables: Mapping[str, Any]) -> str | None:
    """What to do where the engine misses a table with the name of a list, tuple or dict; None elsewhere."""
    missing = _MISSING.match(message)
    name = missing.group(1) if missing else ""
    value = variables.get(name)
    if not isinstance(value, list | tuple | dict):
        return None
    kind = type(value).__name__
    return f"The variable {name} is a {kind}, which is no table: np.array({name}) or pd.DataFrame({name}) is"
