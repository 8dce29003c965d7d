"""Puts lists of arrays in the place of lists of the numbers of rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from tfsql.backends.base import Backend
from tfsql.bind.records import Gather


def gathered(
    gather: Gather, backend: Backend, parameters: Mapping[str, Any], rows: int
) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """The batches of a select, of so many rows, and their schema, with the arrays in the place of their numbers."""
    table = backend.scan(gather.scan.table, gather.scan.columns)
    assert table is not None
    arrays = {name: table.column(name).combine_chunks() for name in table.column_names}
    backend.number_rows(gather.scan.table)
    batches = backend.stream(gather.sql, parameters, rows)
    fields = [
        pa.field(field.name, pa.list_(arrays[field.name].type)) if field.name in arrays else field
        for field in batches.schema
    ]
    schema = pa.schema(fields)

    def taken() -> Iterator[pa.RecordBatch]:
        for batch in batches:
            columns = [
                _listed(column, arrays[field.name]) if field.name in arrays else column
                for column, field in zip(batch.columns, fields, strict=True)
            ]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)

    return schema, taken()


def _listed(numbers: pa.ListArray, arrays: pa.Array) -> pa.ListArray:
    """The list of ``arrays`` for each list of numbers."""
    lengths = numbers.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    is_null = np.append(numbers.is_null().to_numpy(zero_copy_only=False), False)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32(), mask=is_null), arrays.take(numbers.flatten()))
