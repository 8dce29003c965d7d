"""Shapes in Parquet files: Parquet has lists only, so the lengths of ARRAY columns travel in the file's metadata.

The key is ``ARROW:schema``, which pyarrow writes and reads as well: a file that pyarrow wrote keeps its shapes here,
and one that tfsql wrote keeps them there.
"""

from __future__ import annotations

import base64
import binascii

import pyarrow as pa

from tfsql.backends.base import Columns
from tfsql.types import SQL_OF_DTYPE, Array, Scalar, SqlType, Struct

SCHEMA_KEY = "ARROW:schema"

_ARROW_OF_SQL = {
    sql: pa.type_for_alias({"bool": "bool", "string": "string"}.get(dtype, dtype)) for dtype, sql in SQL_OF_DTYPE.items()
} | {"BLOB": pa.binary()}
_SQL_OF_ARROW = {kind: sql for sql, kind in _ARROW_OF_SQL.items()} | {
    pa.large_string(): "VARCHAR",
    pa.large_binary(): "BLOB",
}


def encode_schema(columns: Columns) -> str | None:
    """The metadata value for these columns; None if no column is an ARRAY or one has a type without an Arrow type."""
    if not any(_has_array(kind) for _, kind in columns):
        return None
    fields = [(name, _arrow_type(kind)) for name, kind in columns]
    if any(kind is None for _, kind in fields):
        return None
    return base64.b64encode(pa.schema(fields).serialize().to_pybytes()).decode()


def array_columns(metadata: bytes) -> dict[str, str]:
    """Name and SQL type of the columns that the metadata value says are ARRAYs."""
    try:
        schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(metadata)))
    except (pa.ArrowInvalid, OSError, ValueError, binascii.Error):
        return {}
    types = {field.name: _sql_type(field.type) for field in schema}
    return {name: str(kind) for name, kind in types.items() if kind is not None and _has_array(kind)}


def _has_array(kind: SqlType) -> bool:
    if isinstance(kind, Struct):
        return any(_has_array(field) for _, field in kind.fields)
    return isinstance(kind, Array) and (kind.size is not None or _has_array(kind.item))


def _arrow_type(kind: SqlType) -> pa.DataType | None:
    if isinstance(kind, Array):
        item = _arrow_type(kind.item)
        if item is None:
            return None
        return pa.list_(item) if kind.size is None else pa.list_(item, kind.size)
    if isinstance(kind, Struct):
        fields = [(name, _arrow_type(field)) for name, field in kind.fields]
        return None if any(field is None for _, field in fields) else pa.struct(fields)
    return _ARROW_OF_SQL.get(kind.name)


def _sql_type(kind: pa.DataType) -> SqlType | None:
    if isinstance(kind, pa.FixedShapeTensorType):
        item: SqlType | None = _sql_type(kind.value_type)
        for axis in reversed(kind.shape):
            item = item and Array(item, axis)
        return item
    if isinstance(kind, pa.BaseExtensionType):
        return _sql_type(kind.storage_type)
    if pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind):
        child = _sql_type(kind.value_type)
        size = kind.list_size if pa.types.is_fixed_size_list(kind) else None
        return child and Array(child, size)
    if pa.types.is_struct(kind):
        fields = [(field.name, _sql_type(field.type)) for field in kind]
        return None if any(child is None for _, child in fields) else Struct(tuple(fields))  # type: ignore[arg-type]
    name = _SQL_OF_ARROW.get(kind)
    return Scalar(name) if name else None
