"""Rows on their way out: JSON, CSV or an Arrow stream, batch by batch."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa

from tfsql.arrow_types import sql_type_of
from tfsql.errors import ResourceError
from tfsql.mldb.formats import json_value
from tfsql.types import display, tensor_type

JSON, CSV, ARROW = "application/json", "text/csv", "application/vnd.apache.arrow.stream"
_ROWS = 1024  # of one piece of JSON or CSV

Batches = Iterator[pa.RecordBatch]
Writer = Callable[[pa.Schema, Batches, float], Iterator[bytes]]


def media_type(accept: str) -> str | None:
    """The type to answer with: the first that the client takes, JSON where it takes anything; None if it takes none."""
    wanted = [part.partition(";")[0].strip().lower() for part in accept.split(",") if part.strip()] or ["*/*"]
    for name in wanted:
        for known in WRITERS:
            if name in (known, "*/*", f"{known.partition('/')[0]}/*"):
                return known
    return None


def counted(batches: Batches, max_rows: int, count: Callable[[int], None]) -> Batches:
    """The batches, each told to ``count``.

    Raises:
      ResourceError: there are more than ``max_rows`` rows.
    """
    total = 0
    for batch in batches:
        total += batch.num_rows
        if total > max_rows:
            raise ResourceError(f"The result has more than {max_rows} rows", hint="LIMIT takes fewer")
        count(batch.num_rows)
        yield batch


def columns_of(schema: pa.Schema) -> list[dict[str, Any]]:
    """Name, type and shape of each column."""
    described = []
    for field in schema:
        kind = sql_type_of(field.type)
        tensor = tensor_type(kind)
        shape = list(tensor.shape) if tensor is not None and tensor.shape is not None else None
        described.append({"name": field.name, "type": display(kind), "shape": shape})
    return described


# -- JSON --------------------------------------------------------------------------------------------------------------


def _json(schema: pa.Schema, batches: Batches, started: float) -> Iterator[bytes]:
    count = 0
    yield f'{{"columns": {json.dumps(columns_of(schema))}, "rows": ['.encode()
    for batch in _pieces(batches):
        text = _json_rows(batch)
        yield (f", {text}" if count else text).encode()
        count += batch.num_rows
    yield f'], "rowCount": {count}, "elapsedS": {time.perf_counter() - started:.6f}}}'.encode()


def _json_rows(batch: pa.RecordBatch) -> str:
    """The rows as JSON without the brackets around them."""
    columns = [column.to_pylist() for column in batch.columns]
    if all(_is_plain(field.type) for field in batch.schema):
        try:
            return json.dumps(list(zip(*columns, strict=True)), allow_nan=False)[1:-1]
        except ValueError:  # NaN or an infinity, which JSON lacks
            pass
    values = [[json_value(value) for value in column] for column in columns]
    return json.dumps(list(zip(*values, strict=True)), allow_nan=False)[1:-1]


def _is_plain(kind: pa.DataType) -> bool:
    """Whether JSON has values of a type as they are."""
    if pa.types.is_map(kind):
        return False
    if kind.num_fields:
        return all(_is_plain(kind.field(i).type) for i in range(kind.num_fields))
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_string, pa.types.is_null)
    return any(test(kind) for test in tests)


# -- CSV ---------------------------------------------------------------------------------------------------------------


def _csv(schema: pa.Schema, batches: Batches, started: float) -> Iterator[bytes]:
    """A header and a line a row; nested values are JSON, NULL is empty."""
    yield _csv_lines([schema.names])
    for batch in _pieces(batches):
        columns = [[_csv_cell(value) for value in column.to_pylist()] for column in batch.columns]
        yield _csv_lines(list(zip(*columns, strict=True)))


def _csv_lines(rows: list[Any]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()


def _csv_cell(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float):
        return value
    made = json_value(value)
    if isinstance(made, dict) and len(made) == 1 and not isinstance(value, dict):
        return next(iter(made.values()))
    return json.dumps(made)


# -- Arrow -------------------------------------------------------------------------------------------------------------


class _Pieces(io.RawIOBase):
    """A sink whose pieces are taken one after the other."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._parts.append(part)
        return len(part)

    def taken(self) -> bytes:
        made, self._parts = b"".join(self._parts), []
        return made


def _arrow(schema: pa.Schema, batches: Batches, started: float) -> Iterator[bytes]:
    sink = _Pieces()
    with pa.ipc.new_stream(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
            yield sink.taken()
    yield sink.taken()


def _pieces(batches: Batches) -> Batches:
    for batch in batches:
        for start in range(0, batch.num_rows, _ROWS):
            yield batch.slice(start, _ROWS)


# Each is given the time, as time.perf_counter has it, at which the query began.
WRITERS: dict[str, Writer] = {JSON: _json, CSV: _csv, ARROW: _arrow}
