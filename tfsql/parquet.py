"""Shapes in Parquet files: Parquet has lists only, so the lengths of ARRAY columns travel in the file's metadata.

The key is ``ARROW:schema``, which pyarrow writes and reads as well: a file that pyarrow wrote keeps its shapes here,
and one that tfsql wrote keeps them there.
"""

from __future__ import annotations

import base64
import binascii

import pyarrow as pa

from tfsql.arrow_types import arrow_type, sql_type_of
from tfsql.backends.base import Columns
from tfsql.types import Array, SqlType, Struct

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
    """Name and SQL type of the columns that the metadata value says are ARRAYs."""
    try:
        schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(metadata)))
    except (pa.ArrowInvalid, OSError, ValueError, binascii.Error):
        return {}
    types = {field.name: sql_type_of(field.type) for field in schema}
    return {name: str(kind) for name, kind in types.items() if _has_array(kind)}


def _has_array(kind: SqlType) -> bool:
    if isinstance(kind, Struct):
        return any(_has_array(field) for _, field in kind.fields)
    return isinstance(kind, Array) and (kind.size is not None or _has_array(kind.item))
