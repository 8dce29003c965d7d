"""Results: the rows of a query as Python objects, Arrow, pandas, NumPy or tensors."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from tfsql import flatten
from tfsql.arrow_types import python_values, sql_type_of, with_elements
from tfsql.backends.base import Columns, EngineResult
from tfsql.errors import ResourceError
from tfsql.types import COMPLEX_PART, SqlType, TensorType, display, tensor_type

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Rows = list[tuple[Any, ...]]
Batches = tuple[pa.Schema, Iterator[pa.RecordBatch]]


class Relation:
    """A query that runs when its rows are asked for, as often as they are asked for anew.

    Args:
      columns: names and SQL types; None where only the rows tell.
      run: runs the query, for the engine's rows; None where they are made of its batches.
      run_arrow: runs the query, for an Arrow table with nested lists.
      explain: makes the text of ``explain()``.
      run_batches: runs the query, for its record batches one after the other; None where the rows are there.
      run_rows: runs the query, for the rows of its batches; None where they are the engine's.

    Example:
      >>> import tfsql
      >>> tfsql.connect().sql("SELECT tf_Square([1.0, 2.0, 3.0]) AS y").fetchall()
      [((1.0, 4.0, 9.0),)]
    """

    def __init__(
        self,
        columns: Columns | None,
        run: Callable[[], EngineResult] | None,
        run_arrow: Callable[[], pa.Table],
        explain: Callable[[bool], str],
        run_batches: Callable[[], Iterator[pa.RecordBatch]] | None = None,
        run_rows: Callable[[], Iterator[Rows]] | None = None,
    ):
        self._columns = columns
        self._run = run
        self._run_arrow = run_arrow
        self._explain = explain
        self._run_batches = run_batches
        self._run_rows = run_rows
        self._cursor: EngineResult | None = None
        self._table: pa.Table | None = None

    # -- what it is --------------------------------------------------------------------------------------------------

    @property
    def columns(self) -> list[str]:
        """The column names."""
        return [name for name, _ in self._shape()]

    @property
    def types(self) -> list[str]:
        """The column types as users read them: ``float32[28, 28]`` for a tensor, DuckDB's name for the rest."""
        return [display(kind) for _, kind in self._shape()]

    @property
    def shapes(self) -> list[tuple[int | None, ...] | None]:
        """The shape of each column's tensors, None along axes of unknown length; None for columns of no tensors."""
        tensors = [tensor_type(kind) for _, kind in self._shape()]
        return [None if tensor is None else tensor.shape for tensor in tensors]

    def _shape(self) -> Columns:
        if self._columns is None:
            self._columns = [(field.name, sql_type_of(field.type)) for field in self.nested_table().schema]
        return self._columns

    def explain(self, analyze: bool = False) -> str:
        """The engine's plan and, below it, each tensor kernel; with ``analyze`` it runs and is timed."""
        return self._explain(analyze)

    # -- rows --------------------------------------------------------------------------------------------------------

    def execute(self) -> Relation:
        """This relation, run: errors come now, and ``fetchone`` has its rows ready."""
        self._cursor = TableResult(self.nested_table()) if self._run is None else self._run()
        return self

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row, or None behind the last."""
        return self._live().fetchone()

    def fetchmany(self, size: int = 1) -> Rows:
        """The next ``size`` rows, fewer at the end."""
        return self._live().fetchmany(size)

    def fetchall(self) -> Rows:
        """All rows, or those that ``fetchone`` and ``fetchmany`` have left."""
        rows = self._live().fetchall()
        self._cursor = None
        return rows

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        result = self._fresh()
        while rows := result.fetchmany(1024):
            yield from rows

    def _live(self) -> EngineResult:
        if self._cursor is None:
            self._cursor = self._fresh()
        return self._cursor

    def _fresh(self) -> EngineResult:
        if self._run is not None:
            return self._run()
        if self._run_rows is None or self._is_whole():
            return TableResult(self.nested_table())
        return ChunkedResult(self._run_rows())

    def _is_whole(self) -> bool:
        """Whether the rows come as one table: they are there, or only all of them tell their types."""
        return self._table is not None or self._run_batches is None or self._columns is None

    # -- columns -----------------------------------------------------------------------------------------------------

    def arrow(self) -> pa.Table:
        """An Arrow table; tensors of fixed shape and number type are ``arrow.fixed_shape_tensor`` columns."""
        return self._with_tensors(self.nested_table())

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows of ``arrow()`` in record batches, each computed when it is asked for; none for no rows."""
        for batch in self._nested_batches():
            yield from self._with_tensors(pa.Table.from_batches([batch])).to_batches()

    def _with_tensors(self, table: pa.Table) -> pa.Table:
        kinds = (kind for _, kind in self._shape())
        columns = [_with_shape(column, kind) for column, kind in zip(table.columns, kinds, strict=True)]
        fields = [field.with_type(column.type) for field, column in zip(table.schema, columns, strict=True)]
        return pa.Table.from_arrays(columns, schema=pa.schema(fields, table.schema.metadata))

    def nested_batches(self) -> Batches:
        """The schema of the rows, and the rows in batches as they are computed, with nested lists for tensors."""
        batches = self._nested_batches()
        first = next(batches, None)
        if first is None:
            return self.nested_table().schema, iter(())
        return first.schema, itertools.chain([first], batches)

    def bounded(self, max_rows: int) -> Relation:
        """This relation, run, where it has no more than ``max_rows`` rows.

        Raises:
          ResourceError: it has more; no more than that many were kept.
        """
        schema, batches = self.nested_batches()
        kept: list[pa.RecordBatch] = []
        for batch in batches:
            kept.append(batch)
            if sum(part.num_rows for part in kept) > max_rows:
                raise ResourceError(f"The result has more than {max_rows} rows", hint="LIMIT takes fewer")
        return relation_of(pa.Table.from_batches(kept, schema), self._explain)

    def df(self) -> pd.DataFrame:
        """A pandas data frame; tensor cells are NumPy arrays of their shape."""
        import pandas as pd

        columns = {}
        for name, kind, column in self._named_columns():
            tensor = tensor_type(kind)
            columns[name] = _cells(column, tensor) if tensor is not None and tensor.shape else column.to_pandas()
        return pd.DataFrame(columns)

    def numpy(self) -> dict[str, np.ndarray]:
        """Column name → array ``[rows, *shape]``; an object array of arrays where shapes differ; NULL rows masked."""
        return {name: _array(column, tensor_type(kind)) for name, kind, column in self._named_columns()}

    def tensors(self) -> dict[str, Any]:
        """Column name → ``tf.Tensor`` ``[rows, *shape]``, or ``tf.RaggedTensor`` where shapes differ.

        Raises:
          TypeMismatchError: a column has NULL rows, or is no tensor.
        """
        from tfsql.kernel.tensors import tensor_column

        return {name: tensor_column(name, column, kind) for name, kind, column in self._named_columns()}

    def flatten(self) -> Relation:
        """This relation with every row and tensor spread into columns of scalars named by path: ``res.0.1``."""
        table = flatten.flatten_table(self.nested_table())
        return relation_of(table, self._explain)

    def show(self, max_rows: int = 20, *, pictures: bool | str = False) -> None:
        """Prints the first rows; with ``pictures``, tensors that are pictures are drawn in their cells.

        Args:
          pictures: whether to draw, or how: "kitty" or "sixel", which are protocols of terminals, or "blocks".

        Raises:
          TypeMismatchError: there is no such way to draw.
        """
        from tfsql.render import print_relation

        way = pictures if isinstance(pictures, str) else "auto" if pictures else "none"
        print_relation(self, max_rows, pictures=way)

    def plot(self, max_rows: int = 12) -> Figure:
        """The first rows as a figure of matplotlib's: pictures as pictures, vectors as lines, the rest as titles.

        Raises:
          UnsupportedError: matplotlib is not installed.
          TypeMismatchError: no column holds pictures or vectors of numbers.
        """
        from tfsql.render.plots import plot

        return plot(self, max_rows)

    def bundle(self, max_rows: int = 20) -> dict[str, str]:
        """The first rows as notebooks take them, by media type: text, and HTML with pictures."""
        from tfsql.render.html import html_table
        from tfsql.render.tables import Result, table_of

        rows = copy.copy(self).execute().fetchmany(max_rows + 1)
        result = Result(self.columns, self.types, iter(rows))
        return {"text/plain": table_of(result, max_rows), "text/html": html_table(result, rows, max_rows)}

    def __repr__(self) -> str:
        from tfsql.render import table_text

        return table_text(self)

    def _repr_html_(self) -> str:
        return self.bundle()["text/html"]

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return self.bundle()  # one run for both forms

    # -- tables ------------------------------------------------------------------------------------------------------

    def _named_columns(self) -> Iterator[tuple[str, SqlType, pa.ChunkedArray]]:
        """Name, type and values of each column, decimals and huge integers as DOUBLE, as DuckDB gives them to NumPy.

        A name that is there already gets ``_1``, ``_2``, ...
        """
        names = flatten.distinct_names(self.columns)
        kinds = (kind for _, kind in self._shape())
        for name, kind, column in zip(names, kinds, self.nested_table().columns, strict=True):
            plain = with_elements(column.type, _without_decimals)
            if plain == column.type:
                yield name, kind, column
            else:
                yield name, sql_type_of(plain), column.cast(plain)

    def nested_table(self) -> pa.Table:
        """The rows as an Arrow table with nested lists in the place of tensors, computed once."""
        if self._table is None:
            self._table = self._run_arrow()
        return self._table

    def _nested_batches(self) -> Iterator[pa.RecordBatch]:
        if self._is_whole() or self._run_batches is None:
            return iter(self.nested_table().to_batches())
        return self._run_batches()


class TableResult:
    """The rows of an Arrow table, handed out as an engine does."""

    def __init__(self, table: pa.Table):
        self._table = table
        self._next = 0

    def fetchone(self) -> tuple[Any, ...] | None:
        rows = self.fetchmany(1)
        return rows[0] if rows else None

    def fetchmany(self, size: int) -> Rows:
        part = self._table.slice(self._next, size)
        self._next += part.num_rows
        return list(zip(*(python_values(column) for column in part.columns), strict=True))

    def fetchall(self) -> Rows:
        return self.fetchmany(self._table.num_rows)

    def rows_of_change(self) -> pa.Table:
        return self._table


class ChunkedResult:
    """Rows that come chunk by chunk, handed out as an engine does; a chunk is fetched when its first row is."""

    def __init__(self, chunks: Iterator[Rows]):
        self._chunks = chunks
        self._left: Rows = []

    def fetchone(self) -> tuple[Any, ...] | None:
        rows = self.fetchmany(1)
        return rows[0] if rows else None

    def fetchmany(self, size: int) -> Rows:
        while len(self._left) < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            self._left += chunk
        rows, self._left = self._left[:size], self._left[size:]
        return rows

    def fetchall(self) -> Rows:
        rows = self._left
        self._left = []
        for chunk in self._chunks:
            rows += chunk
        return rows

    def rows_of_change(self) -> pa.Table | None:
        return None


def relation_of(table: pa.Table, explain: Callable[[bool], str]) -> Relation:
    """The relation of rows that are already there."""
    columns = [(field.name, sql_type_of(field.type)) for field in table.schema]
    return Relation(columns, lambda: TableResult(table), lambda: table, explain)


def _with_shape(column: pa.ChunkedArray, kind: SqlType) -> pa.ChunkedArray:
    """A column of nested fixed-size lists of numbers as ``arrow.fixed_shape_tensor``, without a copy; others as is."""
    tensor = tensor_type(kind)
    if tensor is None or not tensor.shape or not tensor.is_fixed:
        return column
    if tensor.dtype in ("string", "bool", *COMPLEX_PART):
        return column
    shape = [axis or 0 for axis in tensor.shape]
    item = column.type
    for _ in shape:
        item = item.value_type
    made = pa.fixed_shape_tensor(item, shape)
    return pa.chunked_array([_fixed_shape_chunk(chunk, made) for chunk in column.chunks], made)


def _fixed_shape_chunk(chunk: pa.Array, kind: pa.FixedShapeTensorType) -> pa.Array:
    level, size = chunk, 1
    for axis in kind.shape:
        start, count = level.offset * axis, len(level) * axis
        level, size = level.values.slice(start, count), size * axis
    mask = chunk.is_null() if chunk.null_count else None
    return pa.ExtensionArray.from_storage(kind, pa.FixedSizeListArray.from_arrays(level, size, mask=mask))


def _without_decimals(element: pa.DataType) -> pa.DataType:
    return pa.float64() if pa.types.is_decimal(element) else element


def _array(column: pa.ChunkedArray, tensor: TensorType | None) -> np.ndarray:
    """A column as one array; see ``Relation.numpy``."""
    flat = flatten.one_chunk(column)
    if tensor is None or not tensor.shape:
        valid = flat.is_valid().to_numpy(zero_copy_only=False)
        if tensor is not None and tensor.dtype in COMPLEX_PART:
            return _stacked(flat, tensor)
        if valid.all() or not _is_number(flat.type):
            return np.asarray(flat.to_numpy(zero_copy_only=False))
        return np.ma.masked_array(flat.fill_null(0).to_numpy(zero_copy_only=False), ~valid)
    if tensor.is_fixed and tensor.dtype != "string":
        return _stacked(flat, tensor)
    cells = np.empty(len(flat), object)
    cells[:] = _cells(column, tensor)
    return cells


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def _stacked(column: pa.Array, tensor: TensorType) -> np.ndarray:
    """A column of fixed shape as ``[rows, *shape]``; NULL rows are masked."""
    shape = [axis or 0 for axis in tensor.shape or ()]
    level = column
    for axis in shape:
        level = level.values.slice(level.offset * axis, len(level) * axis)
    array = _numbers(level).reshape(len(column), *shape)
    if not column.null_count:
        return array
    null = column.is_null().to_numpy(zero_copy_only=False)
    return np.ma.masked_array(array, np.broadcast_to(null.reshape(-1, *[1] * len(shape)), array.shape))


def _numbers(level: pa.Array) -> np.ndarray:
    if pa.types.is_struct(level.type):
        real, imaginary = (level.field(i).to_numpy(zero_copy_only=False) for i in range(2))
        return np.asarray(real + 1j * imaginary, np.complex64 if real.dtype == np.float32 else np.complex128)
    if level.null_count and _is_number(level.type):
        level = level.fill_null(False if pa.types.is_boolean(level.type) else 0)
    return np.asarray(level.to_numpy(zero_copy_only=False))


def _cells(column: pa.ChunkedArray, tensor: TensorType) -> list[Any]:
    """Each cell as an array of its shape; None for NULL."""
    flat = flatten.one_chunk(column)
    if tensor.is_fixed and tensor.dtype != "string":
        stacked = _stacked(flat, tensor)
        valid = flat.is_valid().to_numpy(zero_copy_only=False)
        return [np.asarray(cell) if ok else None for cell, ok in zip(np.ma.getdata(stacked), valid, strict=True)]
    dtype = object if tensor.dtype in ("string", *COMPLEX_PART) else np.dtype(tensor.dtype)
    return [None if cell is None else np.array(cell, dtype) for cell in flat.to_pylist()]
