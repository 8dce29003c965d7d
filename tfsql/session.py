"""Connection: the only place that chains the steps, from SQL text to a relation."""

from __future__ import annotations

import atexit
import itertools
import weakref
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlglot.tokenizer_core import Token, TokenType

from tfsql import catalog, parquet
from tfsql.backends.duckdb import DuckDBBackend
from tfsql.bind import Bound, Environment, KernelUse, StatementBinder, bind_text, parse
from tfsql.bind.features import Features, features_of
from tfsql.bind.statement import engine_value
from tfsql.errors import BindError, ExecutionError, ParseError, Span, TfsqlError, UnsupportedError
from tfsql.explain import kernel_text
from tfsql.result import Relation, relation_of
from tfsql.source import PLACEHOLDER_PREFIX, Statement, statements
from tfsql.split import KernelCache
from tfsql.sugar import desugar
from tfsql.variables import caller_variables, table_from, table_names

if TYPE_CHECKING:
    from tfsql.backends.base import Backend, EngineResult

Parameters = Sequence[Any] | Mapping[str, Any] | None

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
        self._backend: Backend = DuckDBBackend(str(path), read_only=read_only, config=config)
        self._kernels = KernelCache(self._backend)
        self._trust = trust
        self._views: dict[str, str] | None = None
        self._table_numbers = itertools.count(1)
        self._unused_tables: deque[str] = deque()
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

    def close(self) -> None:
        """Closes the database; relations of this connection cannot run any more."""
        _OPEN.discard(self)
        self._backend.close()

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
        run = _StatementRun(self, statement, text, parameters, variables)
        try:
            return run.relation()
        except TfsqlError as error:
            if error.span is None:
                error.span = run.statement.named_span(error)
            raise error.locate(text) from error.__cause__

    def _environment(self, parameters: Parameters, variables: Mapping[str, Any], tables: list[str]) -> Environment:
        usable = table_names(variables)

        def register(table: Any) -> str:
            name = f"tfsql_table_{next(self._table_numbers)}"
            self._backend.register_table(name, table)
            tables.append(name)
            return name

        def variable(name: str) -> str | None:
            if name not in usable or self._backend.has_table([name]):
                return None
            return register(table_from(name, variables[name]))

        return Environment(
            self._backend,
            self._kernels,
            _named(parameters),
            variable,
            self.views,
            register,
            self._file_types,
            self._trust,
        )

    @property
    def views(self) -> dict[str, str]:
        """The definitions of the views that hold tensor operators, by lower-case name."""
        if self._views is None:
            rows = self._backend.execute("SELECT view_name, sql FROM duckdb_views() WHERE NOT internal", {}).fetchall()
            self._views = catalog.definitions(rows)
        return self._views

    def _file_types(self, path: str) -> Mapping[str, str]:
        """The ARRAY columns of a Parquet file; none where the file cannot be read, which the scan itself reports."""
        escaped = path.replace("'", "''")
        key = parquet.SCHEMA_KEY
        sql = f"SELECT value FROM parquet_kv_metadata('{escaped}') WHERE key::VARCHAR = '{key}' LIMIT 1"
        with suppress(TfsqlError):
            row = self._backend.execute(sql, {}).fetchone()
            return parquet.array_columns(row[0]) if row else {}
        return {}

    def _drop_unused_tables(self) -> None:
        while self._unused_tables:
            with suppress(TfsqlError):
                self._backend.unregister_table(self._unused_tables.popleft())


class _StatementRun:
    """One statement on its way through the steps."""

    def __init__(
        self,
        connection: Connection,
        statement: Statement,
        text: str,
        parameters: Parameters,
        variables: Mapping[str, Any],
    ):
        self._connection = connection
        self._backend = connection._backend
        self.statement = _numbered(statement)
        self._text = text
        self._parameters = parameters
        self._variables = variables
        self._tables: list[str] = []
        names = frozenset(connection.views) | {name.lower() for name in table_names(variables)}
        self._features: Features = features_of(statement, names)

    def relation(self) -> Relation | None:
        """The relation of the statement; None if it has run and returned no rows."""
        self._check_parameters()
        head = self._features.head
        if head == "EXPLAIN":
            return self._explain_relation()
        if head == "VIEW" and self._features.is_tfsql:
            self._create_view()
            return None
        bound = self._bind()
        try:
            return self._relation_of(bound)
        except BindError:
            if not self._features.has_arithmetic or bound.sql is not self.statement.text:
                raise
            with suppress(ParseError):
                bound = self._bind(always=True)
            if bound.sql == self.statement.text:
                raise
            return self._relation_of(bound)

    def _check_parameters(self) -> None:
        """Refuses a parameter without a value, at its place."""
        known = _named(self._parameters)
        for mark, token in itertools.pairwise(self.statement.tokens):
            is_name = mark.token_type == TokenType.PARAMETER and mark.text == "$"
            if is_name and token.text not in known and not token.text.startswith(PLACEHOLDER_PREFIX):
                given = ", ".join(f"${name}" for name in known) or "none"
                span = self.statement.span(mark.start, token.end + 1)
                raise BindError(f"There is no value for parameter ${token.text}. Given are: {given}", span=span)

    # -- binding -----------------------------------------------------------------------------------------------------

    def _bind(self, *, always: bool = False, statement: Statement | None = None) -> Bound:
        statement = statement or self.statement
        verbatim = Bound(statement.text, self._plain_parameters())
        if not (self._features.is_tfsql or self._features.may_be_tfsql or always):
            return verbatim
        try:
            desugared = desugar(statement)
            tree = parse(desugared)
        except ParseError:
            if self._features.is_tfsql:
                raise
            return verbatim
        environment = self._connection._environment(self._parameters, self._variables, self._tables)
        is_desugared = desugared.tokens != statement.tokens
        binder = StatementBinder(desugared, environment, is_desugared=is_desugared)
        binder.statement(tree)
        if not binder.is_changed:
            return verbatim
        sql = binder.source.restore(binder.sql(tree))
        return Bound(sql, binder.prober.used_parameters(sql), tuple(binder.uses), tuple(binder.spreads))

    def _plain_parameters(self) -> Any:
        if self._parameters is None:
            return {}
        if isinstance(self._parameters, Mapping):
            return {name: engine_value(value) for name, value in self._parameters.items()}
        return [engine_value(value) for value in self._parameters]

    # -- running -----------------------------------------------------------------------------------------------------

    def _relation_of(self, bound: Bound) -> Relation | None:
        returns_rows = self._backend.returns_rows(bound.sql)
        if returns_rows:
            columns = self._backend.describe(bound.sql, bound.parameters)
            relation = Relation(
                columns, lambda: self._run(bound), lambda: self._run_arrow(bound), self._explain_text, bound.spreads
            )
            self._tie_tables(relation)
            return relation
        result = self._run(bound)
        self._connection._views = None
        self._connection._unused_tables.extend(self._tables)
        table = result.rows_of_change()
        return None if table is None else relation_of(table, self._explain_text)

    def _tie_tables(self, relation: Relation) -> None:
        """Lets the tables that were registered for this statement go when its relation does."""
        if self._tables:
            weakref.finalize(relation, self._connection._unused_tables.extend, list(self._tables))

    def _run(self, bound: Bound) -> EngineResult:
        for use in bound.uses:
            use.kernel.restart()
        with self._kernel_errors(bound.uses):
            return _Watched(self._backend.execute(bound.sql, bound.parameters), lambda: self._kernel_errors(bound.uses))

    def _run_arrow(self, bound: Bound) -> pa.Table:
        for use in bound.uses:
            use.kernel.restart()
        with self._kernel_errors(bound.uses):
            return self._backend.arrow(bound.sql, bound.parameters)

    @contextmanager
    def _kernel_errors(self, uses: Sequence[KernelUse]) -> Iterator[None]:
        """Errors of kernels come out as themselves, with the row and the place in the SQL."""
        for use in uses:
            use.kernel.last_error = None
        try:
            yield
        except TfsqlError as error:
            for use in uses:
                if use.kernel.last_error is not None:
                    raise self._kernel_error(use, use.kernel.last_error).locate(self._text) from use.kernel.last_error
            if error.span is None:
                error.span = self.statement.named_span(error)
            raise error.locate(self._text) from error.__cause__

    def _kernel_error(self, use: KernelUse, cause: Exception) -> TfsqlError:
        found = self._failing_row(use)
        row, cause = found if found is not None else (None, cause)
        if not isinstance(cause, TfsqlError):
            return ExecutionError(f"{type(cause).__name__} in {use.kernel.name}: {cause}", span=use.span)
        place = "" if row is None else f" (row {row})"
        return ExecutionError(f"{cause.message}{place}", hint=cause.hint, span=use.span)

    def _failing_row(self, use: KernelUse) -> tuple[int, TfsqlError] | None:
        """The position, from 0 and in table order, of the first row on which a kernel fails, and its error."""
        from tfsql.kernel import RowError

        probe = use.probe()
        if probe is None or use.kernel.program.is_stateful:
            return None
        first = 0
        with suppress(TfsqlError):
            for batch in self._backend.stream(probe, {}):
                passes = batch.column(batch.num_columns - 1).fill_null(False)
                kept = batch.filter(passes)
                try:
                    use.kernel(*kept.columns[:-1])
                except RowError as error:
                    position = int(passes.to_numpy(zero_copy_only=False).nonzero()[0][error.row])
                    return first + position, error
                first += batch.num_rows
        return None

    # -- EXPLAIN -----------------------------------------------------------------------------------------------------

    def _explain_relation(self) -> Relation:
        count = 2 if self._features.is_analyze else 1
        inner = Statement(self.statement.source, self.statement.tokens[count:], self._inner_text(count))
        bound = self._bind(statement=inner)
        rows = self._explain_rows(bound, is_analyze=self._features.is_analyze)
        table = pa.table({"explain_key": [key for key, _ in rows], "explain_value": [text for _, text in rows]})
        return relation_of(table, lambda analyze: "\n".join(text for _, text in rows))

    def _inner_text(self, count: int) -> str:
        source = self.statement.source
        start = source.original_offset(self.statement.tokens[count].start)
        end = source.original_offset(self.statement.tokens[-1].end) + 1
        return source.text[start:end]

    def _explain_text(self, analyze: bool) -> str:
        return "\n".join(text for _, text in self._explain_rows(self._bind(), is_analyze=analyze))

    def _explain_rows(self, bound: Bound, *, is_analyze: bool) -> list[tuple[str, str]]:
        """The engine's plan, and a text for each kernel in it."""
        kernels = {use.kernel.name: use.kernel for use in bound.uses}
        for kernel in kernels.values():
            kernel.reset_statistics()
        prefix = "EXPLAIN ANALYZE" if is_analyze else "EXPLAIN"
        rows = self._run(Bound(f"{prefix} {bound.sql}", bound.parameters, bound.uses)).fetchall()
        columns = {
            name: [use.column for use in bound.uses if use.kernel.name == name and use.column] for name in kernels
        }
        texts = [(name, kernel_text(kernels[name], columns[name], is_analyze=is_analyze)) for name in kernels]
        return [*rows, *texts]

    # -- views -------------------------------------------------------------------------------------------------------

    def _create_view(self) -> None:
        """``CREATE VIEW`` over tensor operators: checked now, kept as a shell that carries its text."""
        split = self._features.view_body
        assert split is not None
        source = self.statement.source
        start = source.original_offset(self.statement.tokens[split].start)
        end = source.original_offset(self.statement.tokens[-1].end) + 1
        definition, lead = source.text[start:end], self.statement.text[: start - self._statement_start()]
        if self._parameters:
            raise UnsupportedError("A view cannot have parameters")
        tables: list[str] = []
        bound = self._located_in_view(definition, start, tables)
        if tables and "read_idx" not in definition.lower() and "tf_operators" not in definition.lower():
            raise UnsupportedError("A view cannot keep a Python variable", hint="Make a table of it first")
        columns = self._backend.describe(bound.sql, {})
        self._backend.execute(f"{lead}{catalog.shell(definition, columns)}", {})
        self._connection._views = None

    def _located_in_view(self, definition: str, start: int, tables: list[str]) -> Bound:
        environment = self._connection._environment(None, self._variables, tables)
        try:
            return bind_text(definition, environment)
        except TfsqlError as error:
            if error.span is not None:
                error.span = Span(error.span.start + start, error.span.end + start)
            error.sql = None
            raise

    def _statement_start(self) -> int:
        return self.statement.source.original_offset(self.statement.tokens[0].start)


class _Watched:
    """An engine's rows, with the errors of kernels told as tfsql's."""

    def __init__(self, result: EngineResult, errors: Any):
        self._result = result
        self._errors = errors

    def fetchone(self) -> tuple[Any, ...] | None:
        with self._errors():
            return self._result.fetchone()

    def fetchmany(self, size: int) -> list[tuple[Any, ...]]:
        with self._errors():
            return self._result.fetchmany(size)

    def fetchall(self) -> list[tuple[Any, ...]]:
        with self._errors():
            return self._result.fetchall()

    def rows_of_change(self) -> pa.Table | None:
        with self._errors():
            return self._result.rows_of_change()


def _named(parameters: Parameters) -> dict[str, Any]:
    """Parameters by name; those of a sequence are named by position from 1."""
    if parameters is None:
        return {}
    if isinstance(parameters, Mapping):
        return dict(parameters)
    return {str(position): value for position, value in enumerate(parameters, 1)}


def _numbered(statement: Statement) -> Statement:
    """The statement with each ``?`` numbered: ``$1``, ``$2``, ..."""
    tokens: list[Token] = []
    numbers = itertools.count(1)
    for token in statement.tokens:
        if token.token_type == TokenType.PLACEHOLDER and token.text == "?":
            tokens += [_like(token, TokenType.PARAMETER, "$"), _like(token, TokenType.NUMBER, str(next(numbers)))]
        else:
            tokens.append(token)
    return statement.with_tokens(tokens)


def _like(token: Token, kind: TokenType, text: str) -> Token:
    return Token(kind, text, token.line, token.col, token.start, token.end, [])


@atexit.register
def _close_all() -> None:
    """Closes what is open: DuckDB prints of leaks where a connection with functions outlives the interpreter."""
    for connection in list(_OPEN):
        with suppress(TfsqlError):
            connection.close()
