"""Computes the calls of an outermost select on the batches that the engine streams."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from tfsql import flatten
from tfsql.ahead import batches_at_once, map_ahead
from tfsql.arrow_types import python_values, sql_type_of
from tfsql.backends.base import Columns
from tfsql.bind.records import OutputColumn, Stream, is_argument
from tfsql.errors import TypeMismatchError
from tfsql.types import DTYPE_OF_SQL, Array, SqlType, Struct, display
from tfsql.vectorised import Untyped

# What the largest value of a call takes in one batch, about: enough to spread what a call costs (48 MB are hardly
# faster), little enough for a few batches at once in memory.
BATCH_BYTES = 24 * 2**20
# What a batch takes that the engine copies: memory for more is fetched anew for each, in four times the time.
COPIED_BYTES = 8 * 2**20
# The engine's own vectors are of this length.
VECTOR_ROWS = 2048
MAX_BATCH_ROWS = 60 * VECTOR_ROWS
# What is assumed of values whose size is not known before running.
_OPEN_AXIS, _SCALAR_BYTES = 64, 8


def batch_rows(columns: Columns, stream: Stream | None = None, *, is_copied: bool = True) -> int:
    """How many rows of these columns make a batch: whole vectors of the engine, or a power of two of large rows.

    Args:
      stream: whose calls are made on the batch: what they make in between counts as well.
      is_copied: whether the engine copies the rows into batches.
    """
    outputs = stream.outputs.values() if stream is not None else ()
    made = max((output.use.kernel.row_bytes for output in outputs if output.use is not None), default=0)
    taken = sum(_bytes_of(kind) for _, kind in columns)
    limit = COPIED_BYTES if is_copied else BATCH_BYTES
    rows = min(limit // max(taken, 1), BATCH_BYTES // max(made, 1))
    if rows < VECTOR_ROWS:
        return 1 << max(rows, 1).bit_length() - 1
    return min(rows // VECTOR_ROWS * VECTOR_ROWS, MAX_BATCH_ROWS)


def _bytes_of(kind: SqlType) -> int:
    if isinstance(kind, Array):
        return (kind.size or _OPEN_AXIS) * _bytes_of(kind.item)
    if isinstance(kind, Struct):
        return sum(_bytes_of(field) for _, field in kind.fields)
    dtype = DTYPE_OF_SQL.get(str(kind), "string")
    return _SCALAR_BYTES if dtype == "string" else pa.type_for_alias(dtype).bit_width // 8


class StreamedColumns:
    """The columns of a result, collected batch by batch; several may have one name."""

    def __init__(self, stream: Stream, schema: pa.Schema):
        self._schema = schema
        self._outputs = [stream.outputs.get(name) for name in schema.names]
        self._parts: dict[int, list[Any]] = {
            index: [] for index, name in enumerate(schema.names) if self._outputs[index] or not is_argument(name)
        }

    def computed(self, batch: pa.RecordBatch) -> list[Any]:
        """The calls made on a batch: for each column its part of the result. Several batches may be at it at once.

        Raises:
          RowError: a row fails.
        """
        by_name = dict(zip(self._schema.names, batch.columns, strict=True))
        results: dict[int, Any] = {}
        outputs = ((index, self._outputs[index]) for index in self._parts)
        return [
            batch.column(index) if output is None else _computed(output, by_name, results) for index, output in outputs
        ]

    def add(self, computed: Sequence[Any]) -> None:
        """Takes what was computed of a batch."""
        for parts, part in zip(self._parts.values(), computed, strict=True):
            parts.append(part)

    def rows(self) -> list[tuple[Any, ...]]:
        """The rows of all batches as Python objects; columns that are spread are never made."""
        cells = [self._cells(index, parts) for index, parts in self._parts.items()]
        return [tuple(itertools.chain.from_iterable(row)) for row in zip(*cells, strict=True)]

    def _cells(self, index: int, parts: list[Any]) -> list[list[Any]] | list[tuple[Any, ...]]:
        """For each row the values of what a column of the stream becomes."""
        output = self._outputs[index]
        if output is None:
            return [(value,) for part in parts for value in python_values(part)]
        if output.is_spread and len(parts) == 1:
            numbers = flatten.stacked_numbers(parts[0])
            if numbers is not None:
                return numbers.reshape(len(numbers), -1).tolist()
        columns = [python_values(column) for _, column in _columns(output, parts)]
        return list(zip(*columns, strict=True))

    def table(self) -> pa.Table:
        """The columns of all batches."""
        names: list[str] = []
        columns: list[pa.Array | pa.ChunkedArray] = []
        for index, parts in self._parts.items():
            output, plain = self._outputs[index], self._schema.field(index)
            made = [(plain.name, pa.chunked_array(parts, plain.type))] if output is None else _columns(output, parts)
            names += [title for title, _ in made]
            columns += [column for _, column in made]
        return pa.Table.from_arrays(columns, names=names)


def _computed(output: OutputColumn, columns: dict[str, pa.Array], results: dict[int, Any]) -> Any:
    """An output of a batch.

    Args:
      results: of the calls that several outputs are fields of, by identity; one that is missing is made.
    """
    inputs = [columns[name] for name in output.inputs]
    if output.use is None:
        return inputs[0]
    if output.field is None:
        return output.use.kernel(*inputs)
    if id(output.use) not in results:
        results[id(output.use)] = output.use.kernel(*inputs).flatten()
    return results[id(output.use)][output.field]


def _columns(output: OutputColumn, parts: Sequence[Any]) -> list[tuple[str, Any]]:
    """The columns that an output becomes."""
    function = None if output.use is None else output.use.kernel
    joined = function.joined(parts) if isinstance(function, Untyped) else pa.chunked_array(parts)
    return _spread(joined) if output.is_spread else [(output.title, joined)]


def _spread(column: pa.Array | pa.ChunkedArray) -> list[tuple[str, pa.Array]]:
    """The fields of a row, or the elements of a tensor by index path.

    Raises:
      TypeMismatchError: it is a scalar.
    """
    array = flatten.one_chunk(column) if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_struct(array.type):
        return list(zip((field.name for field in array.type), array.flatten(), strict=True))
    parts = [(path[1:], values) for path, values in flatten.flatten_column(array)]
    if [path for path, _ in parts] == [""]:
        kind = display(sql_type_of(array.type))
        raise TypeMismatchError(f"AS * spreads a row or a tensor into columns, but this is {kind}")
    return parts


def streamed_table(
    stream: Stream, schema: pa.Schema, batches: Iterable[pa.RecordBatch], threads: int | None = None
) -> pa.Table:
    """The result of a select from the batches of its stream.

    Args:
      threads: how many the calls are computed with; None for one a core.
    """
    columns = StreamedColumns(stream, schema)
    is_empty = True
    for computed in map_ahead(columns.computed, batches, *_side_by_side(stream, threads)):
        is_empty = False
        columns.add(computed)
    if is_empty:  # the calls tell the types of their columns
        empty = [pa.array([], field.type) for field in schema]
        columns.add(columns.computed(pa.RecordBatch.from_arrays(empty, schema=schema)))
    return columns.table()


def streamed_batches(
    stream: Stream, schema: pa.Schema, batches: Iterable[pa.RecordBatch], threads: int | None = None
) -> Iterator[pa.RecordBatch]:
    """The result of a select batch by batch, for a stream whose columns are known before it runs."""

    def computed(batch: pa.RecordBatch) -> list[pa.RecordBatch]:
        return list(_of_batch(stream, schema, batch).table().combine_chunks().to_batches())

    for made in map_ahead(computed, batches, *_side_by_side(stream, threads)):
        yield from made


def streamed_rows(
    stream: Stream, schema: pa.Schema, batches: Iterable[pa.RecordBatch], threads: int | None = None
) -> Iterator[list[tuple[Any, ...]]]:
    """The rows of a select batch by batch, as Python objects."""

    def rows(batch: pa.RecordBatch) -> list[tuple[Any, ...]]:
        return _of_batch(stream, schema, batch).rows()

    yield from map_ahead(rows, batches, *_side_by_side(stream, threads))


def _of_batch(stream: Stream, schema: pa.Schema, batch: pa.RecordBatch) -> StreamedColumns:
    columns = StreamedColumns(stream, schema)
    columns.add(columns.computed(batch))
    return columns


def _side_by_side(stream: Stream, threads: int | None) -> tuple[int, Callable[[], None]]:
    """How many batches may be computed at once, and what ends that."""
    functions = [output.use.kernel for output in stream.outputs.values() if output.use is not None]

    def interrupt() -> None:
        for function in functions:
            function.interrupt()

    return batches_at_once(threads) if all(function.is_concurrent for function in functions) else 1, interrupt


def constant_batch(stream: Stream) -> pa.RecordBatch:
    """The batch of a stream whose one row needs no engine."""
    assert stream.row is not None
    return pa.RecordBatch.from_pydict({name: [value] for name, value in stream.row.items()})
