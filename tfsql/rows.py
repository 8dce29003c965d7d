"""Rows of tensors: from Arrow columns to what vectorised functions compute on, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tfsql.errors import RowError
from tfsql.types import COMPLEX_PART, SQL_OF_DTYPE, WIDENED, TensorType

_NUMPY = {dtype: np.dtype(dtype) for dtype in SQL_OF_DTYPE if dtype not in ("string", "bool")}


@dataclass(frozen=True)
class Rows:
    """Tensors of one dtype and rank, one for each row, laid end to end.

    Attributes:
      elements: all elements, row after row, each row in row-major order.
      shapes: ``[rows, rank]``, or None where every row has ``shape``.
      shape: the shape that all rows share, or None.
      count: how many rows.
    """

    elements: np.ndarray
    shapes: np.ndarray | None
    shape: tuple[int, ...] | None
    count: int

    @classmethod
    def stacked(cls, array: np.ndarray) -> Rows:
        """Rows of one shape, from ``[rows, *shape]``."""
        return cls(array.reshape(-1), None, array.shape[1:], len(array))

    def row_shapes(self) -> np.ndarray:
        if self.shapes is not None:
            return self.shapes
        return np.tile(np.array(self.shape, np.int64), (self.count, 1)).reshape(self.count, len(self.shape or ()))

    def select(self, rows: np.ndarray) -> Rows:
        """The rows at the positions ``rows``."""
        if self.shape is not None:
            return Rows.stacked(self.elements.reshape(self.count, *self.shape)[rows])
        assert self.shapes is not None
        sizes = self.shapes.prod(axis=1)
        ends = np.cumsum(sizes)
        pieces = [self.elements[ends[row] - sizes[row] : ends[row]] for row in rows]
        return Rows(np.concatenate(pieces) if pieces else self.elements[:0], self.shapes[rows], None, len(rows))

    def with_common_shape(self) -> Rows:
        """These rows, all of one shape in fact, as rows of that shape."""
        if self.shape is not None or not self.count:
            return self
        assert self.shapes is not None
        return Rows(self.elements, None, tuple(map(int, self.shapes[0])), self.count)


def no_rows(tensor: TensorType) -> Rows:
    """The rows of an empty batch."""
    dtype = WIDENED.get(tensor.dtype, tensor.dtype)
    elements = np.empty(0, object if dtype == "string" else dtype)
    if tensor.is_fixed:
        return Rows(elements, None, tuple(axis or 0 for axis in tensor.shape or ()), 0)
    return Rows(elements, np.zeros((0, tensor.rank), np.int64), None, 0)


def concatenate(parts: list[Rows]) -> Rows:
    """The rows of all parts, in order."""
    elements = np.concatenate([part.elements for part in parts])
    count = sum(part.count for part in parts)
    if all(part.shape is not None and part.shape == parts[0].shape for part in parts):
        return Rows(elements, None, parts[0].shape, count)
    return Rows(elements, np.concatenate([part.row_shapes() for part in parts]), None, count)


# -- in ----------------------------------------------------------------------------------------------------------------


def rows_from_arrow(column: pa.Array, tensor: TensorType) -> Rows:
    """The rows of a column without NULL rows.

    Args:
      column: nested lists of the rank of ``tensor``; FixedSizeList or List at each level.

    Raises:
      RowError: a NULL inside an array, or lists of different lengths inside one row.
    """
    count = len(column)
    if tensor.is_fixed:
        return _fixed_rows(column, tensor)
    dims: list[np.ndarray] = []
    parents = np.arange(count)
    level = column
    for depth in range(tensor.rank):
        lengths = list_lengths(level)
        per_row = _same_in_each_row(lengths, parents, count, depth)
        dims.append(per_row)
        parents = np.repeat(parents, lengths)
        level = level.flatten()
        if level.null_count:
            raise _null_inside(int(parents[np.flatnonzero(~_valid(level))[0]]))
    elements = elements_of(level, tensor)
    return Rows(elements, np.stack(dims, axis=1) if dims else np.zeros((count, 0), np.int64), None, count)


def _fixed_rows(column: pa.Array, tensor: TensorType) -> Rows:
    """The rows of nested fixed-size lists, whose elements lie in order already."""
    shape = tuple(axis or 0 for axis in tensor.shape or ())
    level = column
    for axis in shape:
        level = level.values.slice(level.offset * axis, len(level) * axis)
        if level.null_count:
            first = int(np.flatnonzero(~_valid(level))[0])
            raise _null_inside(first * len(column) // len(level))
    return Rows(elements_of(level, tensor), None, shape, len(column))


def _null_inside(row: int) -> RowError:
    return RowError(
        "has a NULL inside its array", row, hint="list_filter(x, lambda v: v IS NOT NULL) leaves NULLs out of a LIST"
    )


def _valid(array: pa.Array) -> np.ndarray:
    return np.asarray(array.is_valid().to_numpy(zero_copy_only=False))


def list_lengths(level: pa.Array) -> np.ndarray:
    """The length of each list of one level."""
    if pa.types.is_fixed_size_list(level.type):
        return np.full(len(level), level.type.list_size, np.int64)
    return np.asarray(pc.list_value_length(level).to_numpy(zero_copy_only=False), np.int64)


def _same_in_each_row(lengths: np.ndarray, parents: np.ndarray, count: int, depth: int) -> np.ndarray:
    """The length that all lists of a row have at this depth; -1 in, where a row has no list there, is refused."""
    per_row = np.full(count, -1, np.int64)
    per_row[parents] = lengths
    uneven = np.flatnonzero(lengths != per_row[parents])
    if uneven.size:
        raise RowError(f"is not rectangular: its lists differ in length along axis {depth}", int(parents[uneven[0]]))
    missing = np.flatnonzero(per_row < 0)
    if missing.size:
        raise RowError(f"is an empty list, so its length along axis {depth} is unknown", int(missing[0]))
    return per_row


def elements_of(values: pa.Array, tensor: TensorType) -> np.ndarray:
    """Flat Arrow values as NumPy elements of the tensor's dtype."""
    if tensor.dtype in COMPLEX_PART:
        part = COMPLEX_PART[tensor.dtype]
        real, imaginary = (values.field(i).to_numpy(zero_copy_only=False) for i in range(2))
        result = np.empty(len(values), tensor.dtype)
        result.real, result.imag = real.astype(part), imaginary.astype(part)
        return result
    if tensor.dtype == "string":
        return np.asarray(values.cast(pa.large_binary()).to_numpy(zero_copy_only=False))
    return np.asarray(values.to_numpy(zero_copy_only=False))


# -- out ---------------------------------------------------------------------------------------------------------------


def array_from_rows(rows: Rows, tensor: TensorType) -> pa.Array:
    """The Arrow array of a result: FixedSizeList along axes of known length, List along the others."""
    assert tensor.shape is not None
    level = elements_array(rows.elements, tensor, rows)
    if tensor.is_fixed:
        for axis in reversed(tensor.shape):
            level = pa.FixedSizeListArray.from_arrays(level, axis)
        return level
    shapes = rows.row_shapes()
    for depth in range(tensor.rank - 1, -1, -1):
        axis = tensor.shape[depth]
        if axis is not None:
            level = pa.FixedSizeListArray.from_arrays(level, axis)
            continue
        lists_per_row = shapes[:, :depth].prod(axis=1)
        offsets = np.concatenate([[0], np.cumsum(np.repeat(shapes[:, depth], lists_per_row))])
        level = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), level)
    return level


def elements_array(elements: np.ndarray, tensor: TensorType, rows: Rows | None = None) -> pa.Array:
    """The elements of results as a flat Arrow array of their SQL type.

    Args:
      rows: the rows that the elements make up, to name a row in an error; one element each if it is not given.
    """
    dtype = WIDENED.get(tensor.dtype, tensor.dtype)
    if dtype in COMPLEX_PART:
        parts = [pa.array(np.ascontiguousarray(part)) for part in (elements.real, elements.imag)]
        return pa.StructArray.from_arrays(parts, names=["real", "imag"])
    if dtype == "string":
        return _strings(elements, rows, is_bytes=tensor.is_bytes)
    return pa.array(elements)


def _strings(elements: np.ndarray, rows: Rows | None, *, is_bytes: bool) -> pa.Array:
    binary = pa.array(elements.tolist(), pa.binary())
    if is_bytes:
        return binary
    try:
        return binary.cast(pa.string())
    except pa.ArrowInvalid:
        bad = next(i for i, text in enumerate(elements) if not _is_utf8(text))
        row = bad if rows is None else int(np.searchsorted(rows.row_shapes().prod(axis=1).cumsum(), bad, side="right"))
        hint = "Pass the strings as BLOB (x::BLOB) to get bytes back"
        raise RowError("The result is not UTF-8 text", row, hint=hint) from None


def _is_utf8(text: Any) -> bool:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def scatter(array: pa.Array, valid: np.ndarray) -> pa.Array:
    """``array``, which has one element for each True of ``valid``, with NULLs where it is False."""
    positions = np.cumsum(valid) - 1
    return array.take(pa.array(positions, pa.int64(), mask=~valid))
