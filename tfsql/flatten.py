"""Flattening: rows and tensors as columns or cells named by their paths (``res.0.1``), in index order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tfsql.errors import TypeMismatchError
from tfsql.types import Array, SqlType, Struct, display, quote, quote_text


def spread_columns(kind: SqlType) -> list[tuple[str, SqlType]] | None:
    """The columns that a row (by field name) or a tensor (by index path) is spread into; None if a length is open."""
    if isinstance(kind, Struct):
        return list(kind.fields)
    item: SqlType = kind
    paths = [""]
    while isinstance(item, Array):
        if item.size is None:
            return None
        paths = [f"{path}.{i}" for path in paths for i in range(item.size)]
        item = item.item
    return [(path[1:], item) for path in paths]


def distinct_names(names: Iterable[str]) -> list[str]:
    """The names of columns, each once: one that has come before gets ``_1``, ``_2``, ..."""
    seen: dict[str, int] = {}
    made = []
    for name in names:
        count = seen[name] = seen.get(name, -1) + 1
        made.append(f"{name}_{count}" if count else name)
    return made


def innermost(value: Any) -> Iterator[Any]:
    """The values inside nested lists and tuples, in order; of anything else itself."""
    if isinstance(value, list | tuple):
        for item in value:
            yield from innermost(item)
    else:
        yield value


# -- in SQL: a row as two lists, its paths and its values --------------------------------------------------------------


def top_level(row: str, kind: SqlType) -> tuple[str, str]:
    """SQL of the names and of the values of a row's fields (or of an array's elements).

    Raises:
      TypeMismatchError: the expression is a scalar, or the values have no common type.
    """
    if isinstance(kind, Array):
        return f"list_transform(range(len({row})), lambda i: i::VARCHAR)", f"{row}::{Array(kind.item, None)}"
    names = ", ".join(quote_text(name) for name, _ in _fields(kind))
    fields = [(f"{row}.{quote(name)}", field) for name, field in _fields(kind)]
    return f"[{names}]", f"[{', '.join(_as_common([sql for sql, _ in fields], [field for _, field in fields]))}]"


def leaves(row: str, kind: SqlType) -> tuple[str, str]:
    """SQL of the paths and of the values of a row's innermost values."""
    if not isinstance(kind, Array | Struct):
        _fields(kind)
    common = _common_scalar(list(_scalar_types(kind)))
    return _paths(row, kind, "''", 0), _values(row, kind, common, 0)


def _fields(kind: SqlType) -> tuple[tuple[str, SqlType], ...]:
    if not isinstance(kind, Struct):
        raise TypeMismatchError(f"A row is wanted here, not {display(kind)}", hint="Write a row: {x: 1, y: 2}")
    return kind.fields


def _paths(sql: str, kind: SqlType, prefix: str, depth: int) -> str:
    if isinstance(kind, Struct):
        parts = [
            _paths(
                f"{sql}.{quote(name)}",
                field,
                f"{prefix} || {quote_text(name)}" if prefix == "''" else f"{prefix} || '.' || {quote_text(name)}",
                depth,
            )
            for name, field in kind.fields
        ]
        return _joined(parts)
    if isinstance(kind, Array):
        index = f"i{depth}"
        inner = f"{prefix} || {index}" if prefix == "''" else f"{prefix} || '.' || {index}"
        element = _paths(f"{sql}[{index} + 1]", kind.item, inner, depth + 1)
        return f"flatten(list_transform(range(len({sql})), lambda {index}: {element}))"
    return f"[{prefix}]"


def _values(sql: str, kind: SqlType, common: str, depth: int) -> str:
    if isinstance(kind, Struct):
        return _joined([_values(f"{sql}.{quote(name)}", field, common, depth) for name, field in kind.fields])
    if isinstance(kind, Array):
        item = f"x{depth}"
        element = _values(item, kind.item, common, depth + 1)
        return f"flatten(list_transform({sql}::{Array(kind.item, None)}, lambda {item}: {element}))"
    return f"[({sql})::{common}]"


def _joined(lists: list[str]) -> str:
    joined = lists[0]
    for other in lists[1:]:
        joined = f"list_concat({joined}, {other})"
    return joined


def _scalar_types(kind: SqlType) -> Any:
    if isinstance(kind, Struct):
        for _, field in kind.fields:
            yield from _scalar_types(field)
    elif isinstance(kind, Array):
        yield from _scalar_types(kind.item)
    else:
        yield kind


def _common_scalar(kinds: list[SqlType]) -> str:
    """The SQL type that values of all these types are shown as: their own if they share it, DOUBLE, else VARCHAR."""
    names = {str(kind) for kind in kinds}
    if len(names) == 1:
        return names.pop()
    integers = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"}
    if names <= integers:
        return "BIGINT"
    is_numeric = all(
        name in integers | {"FLOAT", "DOUBLE", "UBIGINT", "HUGEINT"} or name.startswith("DECIMAL") for name in names
    )
    return "DOUBLE" if is_numeric else "VARCHAR"


def _as_common(sqls: list[str], kinds: list[SqlType]) -> list[str]:
    if any(isinstance(kind, Array | Struct) for kind in kinds):
        is_same = len({str(kind) for kind in kinds}) == 1
        return [sql if is_same else f"({sql})::VARCHAR" for sql in sqls]
    return [f"({sql})::{_common_scalar(kinds)}" for sql in sqls]


# -- in Arrow: every column as columns of scalars ----------------------------------------------------------------------


def flatten_table(table: pa.Table) -> pa.Table:
    """The table with every row and tensor spread into columns named by path, scalars unchanged.

    Lists of different lengths give the union of their columns; a row that has no such element has NULL there.
    """
    names: list[str] = []
    columns: list[pa.Array] = []
    for name, column in zip(table.column_names, table.columns, strict=True):
        for path, values in flatten_column(one_chunk(column)):
            names.append(name + path)
            columns.append(values)
    return pa.Table.from_arrays(columns, names=names)


def flatten_column(column: pa.Array) -> list[tuple[str, pa.Array]]:
    """Path (with its leading dot; empty for a scalar) and values of every leaf of a column, in index order."""
    if isinstance(column.type, pa.BaseExtensionType):
        return flatten_column(nested_storage(column))
    if pa.types.is_struct(column.type):
        return [
            (f".{column.type.field(i).name}{path}", values)
            for i in range(column.type.num_fields)
            for path, values in flatten_column(pc.struct_field(column, i))
        ]
    numbers = stacked_numbers(column)
    if numbers is not None:
        paths = ("." + ".".join(map(str, index)) for index in np.ndindex(*numbers.shape[1:]))
        elements = np.ascontiguousarray(numbers.reshape(len(numbers), -1).T)
        return list(zip(paths, map(pa.array, elements), strict=True))
    if pa.types.is_fixed_size_list(column.type) or pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        return [
            (f".{i}{path}", values)
            for i in range(_longest(column))
            for path, values in flatten_column(_element(column, i))
        ]
    return [("", column)]


def stacked_numbers(column: pa.Array) -> np.ndarray | None:
    """Nested fixed-size lists of numbers without NULLs as ``[rows, *shape]``, the common case; None for the others."""
    shape: list[int] = []
    level = column
    while pa.types.is_fixed_size_list(level.type) and not level.null_count:
        size = level.type.list_size
        shape.append(size)
        level = level.values.slice(level.offset * size, len(level) * size)
    is_number = pa.types.is_integer(level.type) or pa.types.is_floating(level.type)
    if not shape or level.null_count or not is_number or 0 in (len(column), *shape):
        return None
    return np.asarray(level.to_numpy()).reshape(len(column), *shape)


def _longest(column: pa.Array) -> int:
    if pa.types.is_fixed_size_list(column.type):
        return int(column.type.list_size)
    lengths = pc.list_value_length(column)
    return int(pc.max(lengths).as_py() or 0)


def _element(column: pa.Array, index: int) -> pa.Array:
    """Element ``index`` of every list; NULL where a list is shorter or NULL."""
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    if pa.types.is_fixed_size_list(column.type):
        starts = (np.arange(len(column)) + column.offset) * column.type.list_size
        lengths = np.where(column.is_valid().to_numpy(zero_copy_only=False), column.type.list_size, 0)
    else:
        starts = column.offsets.to_numpy(zero_copy_only=False)[:-1].astype(np.int64)
    return column.values.take(pa.array(starts + index, pa.int64(), mask=lengths <= index))


def nested_storage(column: pa.Array) -> pa.Array:
    """A fixed-shape tensor column as nested lists, without a copy of its numbers."""
    kind = column.type
    if not isinstance(kind, pa.FixedShapeTensorType):
        return column.storage
    level = column.storage.flatten() if not column.null_count else column.storage.values
    for axis in reversed(kind.shape[1:]):
        level = pa.FixedSizeListArray.from_arrays(level, axis)
    mask = pc.invert(column.is_valid()) if column.null_count else None
    return pa.FixedSizeListArray.from_arrays(level, kind.shape[0] if kind.shape else 1, mask=mask)


def nested_type(kind: pa.FixedShapeTensorType) -> pa.DataType:
    """The nested list type of a fixed-shape tensor type."""
    item = kind.value_type
    for axis in reversed(kind.shape):
        item = pa.list_(item, axis)
    return item


def one_chunk(column: pa.ChunkedArray) -> pa.Array:
    """A chunked column as one array."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
