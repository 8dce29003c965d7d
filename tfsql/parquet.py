"""Shapes in Parquet files: Parquet has lists only, so the lengths of ARRAY columns travel in the file's metadata.

The key is ``ARROW:schema``, which pyarrow writes and reads as well: a file that pyarrow wrote keeps its shapes here,
and one that tfsql wrote keeps them there.
"""

from __future__ import annotations

import base64
import binascii
import math

import pyarrow as pa

from tfsql.arrow_types import arrow_type, sql_type_of
from tfsql.backends.base import Columns
from tfsql.types import Array, SqlType, Struct, quote

SCHEMA_KEY = "ARROW:schema"


def encode_schema(columns: Columns) -> str | None:
    """The metadata value for these columns; None if no column is an ARRAY or one has a type without an Arrow type."""
    if not any(_has_array(kind) for _, kind in columns):
        return None
    fields = [(name, arrow_type(kind)) for name, kind in columns]
    if any(kind is None for _, kind in fields):
        return None
    return base64.b64encode(pa.schema(fields).serialize().to_pybytes()).decode()


def array_columns(metadata: bytes) -> dict[str, str]:
    """The columns that the metadata says are ARRAYs: name, and SQL that makes one of the lists in the file."""
    try:
        schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(metadata)))
    except (pa.ArrowInvalid, OSError, ValueError, binascii.Error):
        return {}
    return {field.name: _from_lists(field) for field in schema if _has_array(sql_type_of(field.type))}


def _from_lists(field: pa.Field) -> str:
    """The SQL of an ARRAY from what the file holds: nested lists, or one flat list for a fixed-shape tensor."""
    kind = sql_type_of(field.type)
    if not isinstance(field.type, pa.FixedShapeTensorType):
        return f"{quote(field.name)}::{kind}"
    return f"({_nested(quote(field.name), field.type.shape, 0)})::{kind}"


def _nested(flat: str, shape: list[int], depth: int) -> str:
    """A flat list as nested lists of these lengths."""
    if len(shape) == 1:
        return flat
    size = math.prod(shape[1:])
    part = f"{flat}[i{depth} * {size} + 1 : (i{depth} + 1) * {size}]"
    whole = f"list_transform(range({shape[0]}), lambda i{depth}: {_nested(part, shape[1:], depth + 1)})"
    return whole if depth else f"CASE WHEN {flat} IS NOT NULL THEN {whole} END"


def as_lists(columns: Columns) -> str | None:
    """The select list that turns ARRAY columns into LISTs, None if there are none.

    DuckDB 2.0 writes the NULL rows of an ARRAY with elements, which other readers refuse; not so those of a LIST.
    """
    casts = [f"{quote(name)}::{_list_of(kind)} AS {quote(name)}" for name, kind in columns if isinstance(kind, Array)]
    return f"* REPLACE ({', '.join(casts)})" if casts else None


def _list_of(kind: SqlType) -> SqlType:
    return Array(_list_of(kind.item), None) if isinstance(kind, Array) else kind


def _has_array(kind: SqlType) -> bool:
    if isinstance(kind, Struct):
        return any(_has_array(field) for _, field in kind.fields)
    return isinstance(kind, Array) and (kind.size is not None or _has_array(kind.item))
