"""SQL types and Arrow types, one for the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from tfsql.types import SQL_OF_DTYPE, Array, Scalar, SqlType, Struct

_ARROW_OF_SQL = {sql: pa.type_for_alias(dtype) for dtype, sql in SQL_OF_DTYPE.items()} | {
    "BLOB": pa.binary(),
    "DATE": pa.date32(),
    "TIMESTAMP": pa.timestamp("us"),
}
_SQL_OF_ARROW = {kind: sql for sql, kind in _ARROW_OF_SQL.items()} | {
    pa.large_string(): "VARCHAR",
    pa.string_view(): "VARCHAR",
    pa.large_binary(): "BLOB",
    pa.binary_view(): "BLOB",
}


def arrow_type(kind: SqlType) -> pa.DataType | None:
    """The Arrow type of values of a SQL type: nested lists for arrays; None for a type that has no plain one."""
    if isinstance(kind, Array):
        item = arrow_type(kind.item)
        if item is None:
            return None
        return pa.list_(item) if kind.size is None else pa.list_(item, kind.size)
    if isinstance(kind, Struct):
        fields = [(name, arrow_type(field)) for name, field in kind.fields]
        return None if any(field is None for _, field in fields) else pa.struct(fields)
    return _ARROW_OF_SQL.get(kind.name)


def sql_type_of(kind: pa.DataType) -> SqlType:
    """The SQL type of an Arrow column; Arrow's own name in capitals where SQL has no simple one."""
    if isinstance(kind, pa.FixedShapeTensorType):
        item = sql_type_of(kind.value_type)
        for axis in reversed(kind.shape):
            item = Array(item, axis)
        return item
    if isinstance(kind, pa.BaseExtensionType):
        return sql_type_of(kind.storage_type)
    if pa.types.is_fixed_size_list(kind):
        return Array(sql_type_of(kind.value_type), kind.list_size)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return Array(sql_type_of(kind.value_type), None)
    if pa.types.is_struct(kind):
        return Struct(tuple((field.name, sql_type_of(field.type)) for field in kind))
    return Scalar(_SQL_OF_ARROW.get(kind) or str(kind).upper())


def with_elements(kind: pa.DataType, element: Callable[[pa.DataType], pa.DataType]) -> pa.DataType:
    """The type with what ``element`` makes of the type of its elements, below its lists."""
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(with_elements(kind.value_type, element), kind.list_size)
    if pa.types.is_list(kind):
        return pa.list_(with_elements(kind.value_type, element))
    return element(kind)


def python_values(column: pa.ChunkedArray) -> list[Any]:
    """The values of a column as DuckDB gives them: tuples for ARRAYs, lists for LISTs."""
    values = column.to_pylist()
    return [_as_tuples(value, column.type) for value in values] if _has_array(column.type) else values


def _has_array(kind: pa.DataType) -> bool:
    fields = [kind.field(i).type for i in range(kind.num_fields)]
    return pa.types.is_fixed_size_list(kind) or any(map(_has_array, fields))


def _as_tuples(value: Any, kind: pa.DataType) -> Any:
    if value is None or not _has_array(kind):
        return value
    if pa.types.is_struct(kind):
        return {field.name: _as_tuples(value[field.name], field.type) for field in kind}
    items = [_as_tuples(item, kind.value_type) for item in value]
    return tuple(items) if pa.types.is_fixed_size_list(kind) else items
