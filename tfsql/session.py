"""Connection: SQL text in, relations out."""

from __future__ import annotations

import atexit
import itertools
import weakref
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tfsql import parquet
from tfsql.backends.duckdb import DuckDBBackend
from tfsql.bind import Environment
from tfsql.catalog import Catalog
from tfsql.errors import TfsqlError
from tfsql.result import Relation
from tfsql.running import Parameters, StatementRun, deep_recursion, named_parameters
from tfsql.source import Statement, statements
from tfsql.split import KernelCache
from tfsql.variables import caller_variables, table_from, table_names

if TYPE_CHECKING:
    from tfsql.backends.base import Backend

_OPEN: weakref.WeakSet[Connection] = weakref.WeakSet()


class Connection:
    """A tfsql database: DuckDB's, with TensorFlow's operators as functions.

    Args:
      path: a database file, made if it is not there; ``:memory:`` for one that lives as long as the connection.
      read_only: opens an existing file without writing to it.
      config: DuckDB's settings.
      trust: allows operators that read or write files, or print.

    Example:
      >>> import tfsql
      >>> con = tfsql.connect()
      >>> con.sql("SELECT tf_Add(1.5, 2.0) AS y").fetchone()
      (3.5,)
    """

    def __init__(
        self,
        path: str = ":memory:",
        *,
        read_only: bool = False,
        config: Mapping[str, Any] | None = None,
        trust: bool = False,
    ):
        self.backend: Backend = DuckDBBackend(str(path), read_only=read_only, config=config)
        self.kernels = KernelCache(self.backend)
        self._trust = trust
        self.catalog = Catalog(self.backend)
        self._table_numbers = itertools.count(1)
        self.unused_tables: deque[str] = deque()
        _OPEN.add(self)

    # -- running SQL -------------------------------------------------------------------------------------------------

    def sql(self, text: str, parameters: Parameters = None) -> Relation | None:
        """The relation of the last statement of ``text``, not yet run; None if that returns no rows.

        Statements that change something, and all but the last, run at once.

        Args:
          parameters: values for ``?`` and ``$1`` as a sequence, for ``$name`` as a mapping. NumPy arrays and tensors
            are tensors.

        Raises:
          TfsqlError: of the class of the stage that refused the text; shape and type errors come here, before a row
            is read.
        """
        variables = caller_variables()
        relation = None
        for statement in self._statements(text):
            if relation is not None:
                relation.execute()
            relation = self._statement(statement, text, parameters, variables)
        return relation

    def execute(self, text: str, parameters: Parameters = None) -> Relation | None:
        """Like ``sql``, but the last statement runs at once too."""
        relation = self.sql(text, parameters)
        return relation if relation is None else relation.execute()

    def interrupt(self) -> None:
        """Stops the statement that this connection runs in another thread; its rows end in an error."""
        self.backend.interrupt()

    def close(self) -> None:
        """Closes the database; relations of this connection cannot run any more."""
        _OPEN.discard(self)
        self.backend.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- one statement -------------------------------------------------------------------------------------------------

    def _statements(self, text: str) -> Iterator[Statement]:
        try:
            yield from statements(text)
        except TfsqlError as error:
            raise error.locate(text) from error

    def _statement(
        self, statement: Statement, text: str, parameters: Parameters, variables: Mapping[str, Any]
    ) -> Relation | None:
        self._drop_unused_tables()
        run = StatementRun(self, statement, text, parameters, variables)
        try:
            with deep_recursion():
                return run.relation()
        except TfsqlError as error:
            if error.span is None:
                error.span = run.statement.named_span(error)
            raise error.locate(text) from error.__cause__

    def environment(
        self, parameters: Parameters, variables: Mapping[str, Any], tables: list[str], *, has_call: bool = True
    ) -> Environment:
        """What this connection lends to a binder; tables that it registers are added to ``tables``."""
        usable = table_names(variables)

        def register(table: Any) -> str:
            name = f"tfsql_table_{next(self._table_numbers)}"
            self.backend.register_table(name, table)
            tables.append(name)
            return name

        def variable(name: str) -> str | None:
            if name not in usable or self.backend.has_table([name]):
                return None
            return register(table_from(name, variables[name]))

        return Environment(
            self.backend,
            self.kernels,
            named_parameters(parameters),
            variable,
            self.catalog.view,
            self.catalog.functions if has_call else {},
            register,
            self._file_types,
            self._trust,
        )

    def _file_types(self, path: str) -> Mapping[str, str]:
        """The ARRAY columns of a Parquet file; none where the file cannot be read, which the scan itself reports."""
        escaped = path.replace("'", "''")
        key = parquet.SCHEMA_KEY
        sql = f"SELECT value FROM parquet_kv_metadata('{escaped}') WHERE key::VARCHAR = '{key}' LIMIT 1"
        with suppress(TfsqlError):
            row = self.backend.execute(sql, {}).fetchone()
            return parquet.array_columns(row[0]) if row else {}
        return {}

    def _drop_unused_tables(self) -> None:
        while self.unused_tables:
            with suppress(TfsqlError):
                self.backend.unregister_table(self.unused_tables.popleft())


@atexit.register
def _close_all() -> None:
    """Closes what is open: DuckDB prints of leaks where a connection with functions outlives the interpreter."""
    for connection in list(_OPEN):
        with suppress(TfsqlError):
            connection.close()
