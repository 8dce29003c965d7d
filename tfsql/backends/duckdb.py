"""DuckDB as the relational engine: the only module that imports it."""

from __future__ import annotations

import contextlib
import re
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from duckdb.func import FunctionNullHandling, PythonUDFType

from tfsql.backends.base import Columns
from tfsql.errors import (
    BackendError,
    BindError,
    ExecutionError,
    ForbiddenError,
    ParseError,
    ResourceError,
    TfsqlError,
    TypeMismatchError,
    UnsupportedError,
)
from tfsql.types import ROW_NUMBER, Array, Scalar, SqlType, Struct, numbered, quote

# DuckDB's exception classes and what they are here; the first that matches counts.
_ERRORS: tuple[tuple[type[Exception], type[TfsqlError]], ...] = (
    (duckdb.ParserException, ParseError),
    (duckdb.SyntaxException, ParseError),
    (duckdb.CatalogException, BindError),
    (duckdb.BinderException, BindError),
    (duckdb.OutOfMemoryException, ResourceError),
    (duckdb.PermissionException, ForbiddenError),
    (duckdb.NotImplementedException, UnsupportedError),
    (duckdb.ConversionException, ExecutionError),
    (duckdb.OutOfRangeException, ExecutionError),
    (duckdb.TypeMismatchException, TypeMismatchError),
    (duckdb.ConstraintException, ExecutionError),
    (duckdb.InvalidInputException, ExecutionError),
    (duckdb.Error, BackendError),
)
_Lock = contextlib.AbstractContextManager[Any]
STREAM_ROWS = 2048
_PREFIX = re.compile(r"^(?:[A-Z][A-Za-z-]*(?: [A-Za-z/-]+){0,3} )?(?:Error|Exception): ")
_WORD = re.compile(r"\w+")
# DuckDB proposes its system tables where no other name is near, and tells dozens of signatures of an operator.
_IDLE_HINT = re.compile(r'Did you mean "(?:pg|duckdb)_|Candidate functions: .{400}', re.DOTALL)
_EXCERPT = re.compile(r"\n+LINE (\d+): (.*)\n( *)\^", re.DOTALL)


class DuckDBBackend:
    """An embedded DuckDB database.

    Args:
      path: the database file; memory if it is ``:memory:``.
      read_only: whether the file may be written.
      config: DuckDB's own settings.
    """

    def __init__(self, path: str = ":memory:", *, read_only: bool = False, config: Mapping[str, Any] | None = None):
        self._lock = threading.RLock()
        with self._guarded():
            self._connection = duckdb.connect(path, read_only=read_only, config=dict(config or {}))
            # Variables of the caller are found by the session; DuckDB would find those of this package.
            self._connection.execute("SET python_enable_replacements = false")
            # Progress is measured, but not drawn: DuckDB does so on standard output, into the data.
            self._connection.execute("SET enable_progress_bar = true")
            self._connection.execute("SET enable_progress_bar_print = false")
        self._tables: dict[str, pa.Table] = {}
        self._is_interrupted = threading.Event()
        self._live: weakref.ref[DuckDBResult | DuckDBStream] | None = None

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """DuckDB's own connection."""
        return self._connection

    def _free(self) -> duckdb.DuckDBPyConnection:
        """The connection, with the rows of the last statement kept for whoever still reads them."""
        live = self._live() if self._live is not None else None
        if live is not None:
            live.keep()
        elif self._live is not None:
            self._connection.abort()  # nobody reads the rest: DuckDB 2.0 runs nothing before it is given up
        self._live = None
        return self._connection

    def describe(self, sql: str, parameters: Mapping[str, Any]) -> Columns:
        with self._guarded():
            self._free()
            if not parameters:
                relation = self._connection.sql(sql)
                return [(n, sql_type(t)) for n, t in zip(relation.columns, relation.types, strict=True)]
            rows = self._connection.execute(f"DESCRIBE {sql}", parameters).fetchall()
            return [(row[0], sql_type(duckdb.sqltype(row[1]))) for row in rows]

    def evaluate(self, sql: str) -> Any:
        with self._guarded():
            return self._free().execute(f"SELECT {sql}").fetchall()[0][0]

    def execute(self, sql: str, parameters: Mapping[str, Any] | Sequence[Any]) -> DuckDBResult:
        with self._guarded():
            result = DuckDBResult(self._free().execute(sql, parameters or None), self._lock)
            self._live = weakref.ref(result)
            return result

    def arrow(self, sql: str, parameters: Mapping[str, Any] | Sequence[Any]) -> pa.Table:
        with self._guarded():
            self._free()
            return self._connection.sql(sql, params=parameters or None).to_arrow_table()

    def stream(self, sql: str, parameters: Mapping[str, Any], rows: int | None = None) -> DuckDBStream:
        with self._guarded():
            self._free()
            relation = self._connection.sql(sql, params=parameters or None)
            stream = DuckDBStream(relation.to_arrow_reader(rows or STREAM_ROWS), self._lock)
            self._live = weakref.ref(stream)
            return stream

    def returns_rows(self, sql: str) -> bool | None:
        with self._guarded():
            statement = self._connection.extract_statements(sql)[0]
            if statement.type == duckdb.StatementType.SELECT:
                return True
            results = statement.expected_result_type
            return None if duckdb.ExpectedResultType.QUERY_RESULT in results and len(results) == 1 else False

    def register_kernel(
        self,
        name: str,
        function: Callable[..., pa.Array],
        arguments: Sequence[SqlType],
        result: SqlType,
        *,
        is_volatile: bool,
    ) -> None:
        with self._guarded():
            self._free().create_function(
                name,
                _with_parameters(function, len(arguments)),
                [duckdb.sqltype(str(argument)) for argument in arguments],
                duckdb.sqltype(str(result)),
                type=PythonUDFType.ARROW,
                null_handling=FunctionNullHandling.SPECIAL,
                side_effects=is_volatile,
            )

    def unregister_kernel(self, name: str) -> None:
        with contextlib.suppress(duckdb.Error):
            self._free().remove_function(name)

    def unregister_table(self, name: str) -> None:
        with self._guarded():
            for known in {name, numbered(name)} & {name, *self._tables}:
                self._tables.pop(known, None)
                self._free().unregister(known)

    def register_table(self, name: str, table: Any) -> None:
        with self._guarded():
            self._free().register(name, table)
        if isinstance(table, pa.Table):
            self._tables[name] = table

    def scan(self, name: str, columns: Sequence[tuple[str, str | None]]) -> pa.Table | None:
        table = self._tables.get(name)
        positions = {column.lower(): index for index, column in enumerate(table.column_names)} if table else {}
        if table is None or len(positions) < table.num_columns:
            return None
        if any(source is not None and source.lower() not in positions for _, source in columns):
            return None
        place = pa.chunked_array([np.zeros(table.num_rows, np.int32)])
        parts = [place if source is None else table.column(positions[source.lower()]) for _, source in columns]
        if not all(is_kept_by_duckdb(part.type) for part in parts):
            return None
        return pa.Table.from_arrays(parts, [made for made, _ in columns])

    def number_rows(self, name: str) -> None:
        if numbered(name) not in self._tables:
            table = self._tables[name]
            self.register_table(numbered(name), table.append_column(ROW_NUMBER, pa.array(np.arange(table.num_rows))))

    def batches(self, table: pa.Table, rows: int) -> Iterator[pa.RecordBatch]:
        self._is_interrupted.clear()
        # Many small chunks would be many small batches.
        has_small = any(column.num_chunks > 1 + len(column) // rows for column in table.columns)
        for batch in (table.combine_chunks() if has_small else table).to_batches(max_chunksize=rows):
            if self._is_interrupted.is_set():
                raise BackendError("Interrupted!")
            yield batch

    def has_table(self, parts: Sequence[str]) -> bool:
        if len(parts) == 1 and _WORD.fullmatch(parts[0]):  # a tenth of the time; other names might be found as files
            return self._is_found(parts[0])
        return self._exists("information_schema.tables", "table_catalog", "table_schema", "table_name", parts)

    def is_base_table(self, parts: Sequence[str]) -> bool:
        return self._exists("duckdb_tables()", "database_name", "schema_name", "table_name", parts)

    def _is_found(self, name: str) -> bool:
        try:
            with self._guarded():
                self._free().table(quote(name))
        except BindError as error:  # a view of a table that is gone is there
            return f"Table with name {name} does not exist" not in error.message
        return True

    def _exists(self, source: str, catalog: str, schema: str, table: str, parts: Sequence[str]) -> bool:
        columns = (table, schema, catalog)[: len(parts)]
        conditions = " AND ".join(f"lower({column}) = lower(?)" for column in columns)
        with self._guarded():
            found = self._free().execute(f"SELECT 1 FROM {source} WHERE {conditions}", list(reversed(parts)))
            return bool(found.fetchall())

    def interrupt(self) -> None:
        self._is_interrupted.set()
        self._connection.interrupt()

    def percent_done(self) -> float | None:
        percent = self._connection.query_progress()
        return percent if 0 <= percent <= 100 else None

    def close(self) -> None:
        self._connection.close()

    def _guarded(self) -> contextlib.AbstractContextManager[None]:
        return _guarded(self._lock)


def is_kept_by_duckdb(kind: pa.DataType) -> bool:
    """Whether DuckDB hands on a column of this Arrow type as it is."""
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        return is_kept_by_duckdb(kind.value_type)
    is_number = pa.types.is_integer(kind) or pa.types.is_float32(kind) or pa.types.is_float64(kind)
    return is_number or pa.types.is_boolean(kind) or kind in (pa.string(), pa.binary(), pa.date32())


class DuckDBStream:
    """The batches of a query that runs; ``keep`` saves the rest of them from the next statement."""

    def __init__(self, reader: pa.RecordBatchReader, lock: _Lock):
        self._reader = reader
        self._lock = lock
        self._kept: Iterator[pa.RecordBatch] | None = None
        self._failure: BaseException | None = None
        self.schema: pa.Schema = reader.schema

    def keep(self) -> None:
        """Fetches what is left, before another statement takes the connection's place for results."""
        if self._kept is None:
            kept: list[pa.RecordBatch] = []
            try:
                kept += iter(self._reader)
            except Exception as error:
                self._failure = error
            self._kept = iter(kept)

    def __iter__(self) -> DuckDBStream:
        return self

    def __next__(self) -> pa.RecordBatch:
        with _guarded(self._lock):
            try:
                return next(self._kept) if self._kept is not None else self._reader.read_next_batch()
            except StopIteration:
                failure, self._failure = self._failure, None
                if failure is not None:
                    raise failure from None
                raise


class DuckDBResult:
    """The rows of a statement that runs. The connection holds one result; ``keep`` saves it from the next statement."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, lock: _Lock):
        self._connection = connection
        self._lock = lock
        self._kept: list[tuple[Any, ...]] | None = None
        self._failure: duckdb.Error | None = None
        names = [column[0] for column in connection.description or []]
        self._is_change = names in ([], ["Count"], ["Success"])

    def keep(self) -> None:
        """Fetches what is left, before another statement takes the connection's place for results."""
        if self._kept is None:
            try:
                self._kept = self._connection.fetchall()
            except duckdb.Error as error:
                self._kept, self._failure = [], error

    def fetchone(self) -> tuple[Any, ...] | None:
        rows = self.fetchmany(1)
        return rows[0] if rows else None

    def fetchmany(self, size: int) -> list[tuple[Any, ...]]:
        with self._guarded():
            if self._kept is None:
                return self._fetched(size)
            self._check()
            rows, self._kept = self._kept[:size], self._kept[size:]
            return rows

    def fetchall(self) -> list[tuple[Any, ...]]:
        with self._guarded():
            self.keep()
            self._check()
            rows, self._kept = self._kept or [], []
            return rows

    def _fetched(self, size: int) -> list[tuple[Any, ...]]:
        try:
            return self._connection.fetchmany(size)
        except duckdb.Error:
            self._kept = []  # the result is gone with its error
            raise

    def _guarded(self) -> contextlib.AbstractContextManager[None]:
        return _guarded(self._lock)

    def _check(self) -> None:
        """Raises the error that fetching met while another statement waited."""
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def rows_of_change(self) -> pa.Table | None:
        """The rows that a statement other than a query returned; None for none, or for a mere count."""
        if self._is_change:
            return None
        with self._guarded(), warnings.catch_warnings():
            # A statement that has run cannot run again, so its few rows may be copied once more.
            warnings.simplefilter("ignore", UserWarning)
            self._kept = []
            return self._connection.to_arrow_table()


def sql_type(engine_type: Any) -> SqlType:
    """DuckDB's type object as a ``SqlType``."""
    kind = engine_type.id
    if kind in ("list", "array"):
        children = dict(engine_type.children)
        return Array(sql_type(children["child"]), children.get("size"))
    if kind == "struct":
        return Struct(tuple((name, sql_type(child)) for name, child in engine_type.children))
    text = str(engine_type)
    if kind in ("decimal", "enum"):
        return Scalar(kind.upper(), text)
    return Scalar(text)


def _with_parameters(function: Callable[..., pa.Array], count: int) -> Callable[..., pa.Array]:
    """``function`` with ``count`` named parameters: DuckDB 2.0 reads the number from the signature."""
    names = ", ".join(f"column_{i}" for i in range(count))
    return eval(f"lambda {names}: function({names})", {"function": function})  # type: ignore[no-any-return]


@contextlib.contextmanager
def _guarded(lock: _Lock) -> Iterator[None]:
    """DuckDB's exceptions as tfsql's, with its own as the cause; one thread at a time, as a DuckDB connection is."""
    try:
        with lock:
            yield
    except TfsqlError:
        raise
    except duckdb.Error as error:
        raise _error(error) from error
    except OSError as error:
        raise _error(_read_error(error)) from error
    except (RuntimeError, TypeError, ValueError) as error:
        raise BackendError(str(error)) from error


def _read_error(error: OSError) -> duckdb.Error:
    """DuckDB's exception for what Arrow's reader raises behind the first batch: it has kept the text alone."""
    name, _, _ = str(error).partition(" Error: ")
    kind = getattr(duckdb, f"{name.title().replace(' ', '')}Exception", duckdb.Error)
    return kind(str(error))


def _error(error: duckdb.Error) -> TfsqlError:
    kind = next(ours for theirs, ours in _ERRORS if isinstance(error, theirs))
    text = str(error)
    excerpt = _EXCERPT.search(text)
    message = text[: excerpt.start()] if excerpt else text
    first, _, rest = _PREFIX.sub("", message).strip().partition("\n")
    hint = " ".join(rest.split()).removeprefix("* ")
    translated = kind(first, hint=hint if hint and not _IDLE_HINT.match(hint) else None)
    translated.is_from_engine = True
    if excerpt:
        translated.engine_word = _pointed_word(excerpt)
    return translated


def _pointed_word(excerpt: re.Match[str]) -> str | None:
    """The word of the SQL under DuckDB's caret."""
    column = len(excerpt.group(3)) - len(f"LINE {excerpt.group(1)}: ")
    word = re.match(r"[\w.]+|\S", excerpt.group(2)[max(column, 0) :])
    return word.group() if word else None
