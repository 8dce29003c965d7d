"""One statement on its way through the steps: bound, run, explained, its errors told with row and place."""

from __future__ import annotations

import itertools
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlglot.tokenizer_core import Token, TokenType

from tfsql import catalog
from tfsql.bind import Bound, KernelUse, StatementBinder, bind_text, parse
from tfsql.bind.features import Features, features_of
from tfsql.bind.functions import check_body, read_create, shell
from tfsql.bind.parameters import engine_value
from tfsql.copying import ParquetFile
from tfsql.describe import function_table, functions_table
from tfsql.errors import (
    NOT_OF_A_ROW,
    BindError,
    ExecutionError,
    ParseError,
    ResourceError,
    RowError,
    Span,
    TfsqlError,
    UnsupportedError,
)
from tfsql.gathering import gathered
from tfsql.plans import Plan, Question, is_plannable
from tfsql.result import Relation, relation_of
from tfsql.source import PLACEHOLDER_PREFIX, Source, Statement, check_nesting
from tfsql.streaming import batch_rows, constant_batch, streamed_batches, streamed_rows, streamed_table
from tfsql.sugar import desugar
from tfsql.types import Scalar
from tfsql.variables import table_names

if TYPE_CHECKING:
    from tfsql.backends.base import Columns, EngineResult
    from tfsql.bind.records import Stream
    from tfsql.session import Connection

Parameters = Sequence[Any] | Mapping[str, Any] | None

RECURSION_LIMIT = 25_000
_COMMITS = frozenset({"COMMIT", "END"})
_ROLLBACKS = frozenset({"ROLLBACK", "ABORT"})
# First words of statements behind which views and functions may be others.
_SCHEMA_WORDS = frozenset({"CREATE", "DROP", "ALTER", "ATTACH", "DETACH", "USE", "ROLLBACK", "ABORT", "IMPORT", "LOAD"})


@contextmanager
def deep_recursion() -> Iterator[None]:
    """Room for the recursive steps on deeply nested SQL: the grammar takes some forty calls a level."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, RECURSION_LIMIT))
    try:
        yield
    except RecursionError as error:
        raise ResourceError("The SQL is nested too deeply") from error
    finally:
        sys.setrecursionlimit(limit)


@dataclass(frozen=True)
class Request:
    """A text, as it was given to a connection.

    Attributes:
      variables: the caller's, which may be tables.
      row_names: whether results have the names of their rows in a last column.
    """

    source: Source
    parameters: Parameters = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    row_names: bool = False


class StatementRun:
    """One statement of a request on its way through the steps.

    Args:
      question: under which a plan of the statement may be kept; None where none may.
    """

    def __init__(
        self, connection: Connection, statement: Statement, request: Request, question: Question | None = None
    ):
        self._connection = connection
        self._question = question
        self._row_names = request.row_names
        self._backend = connection.backend
        self.statement = _numbered(statement)
        self._text = request.source.text
        self._parameters = request.parameters
        self._variables = request.variables
        self._tables: list[str] = []
        self._described: Columns | None = None
        usable = frozenset(name.lower() for name in table_names(request.variables))
        self._features: Features = features_of(
            statement,
            frozenset(view.name.lower() for view in connection.catalog.views),
            usable,
            connection.function_names,
        )

    def relation(self) -> Relation | None:
        """The relation of the statement; None if it has run and returned no rows."""
        head = self._features.head
        if self.statement.tokens[0].text.upper() != "PREPARE":
            self._check_parameters()
        elif self._features.is_tfsql:
            raise UnsupportedError("PREPARE cannot hold tensor operators", hint="Pass parameters: con.sql(text, [1.0])")
        if head == "EXPLAIN":
            return self._explain_relation()
        if head == "VIEW" and self._is_tfsql():
            self._create_view()
            return None
        if head == "FUNCTION" and self._is_tfsql() and self._create_function():
            return None
        if head in ("SHOW FUNCTIONS", "DESCRIBE FUNCTION"):
            return self._describe_functions()
        if head in ("SET", "RESET"):
            self._change_setting()
            return None
        if head == "DROP FUNCTION" and self._drop_python_function():
            return None
        bound = self._bind()
        try:
            return self._relation_of(bound)
        except BindError:
            if not self._may_be_tensors() or bound.sql is not self.statement.text:
                raise
            with suppress(ParseError):
                bound = self._bind(always=True)
            if bound.sql == self.statement.text:
                raise
            return self._relation_of(bound)

    def _check_parameters(self) -> None:
        """Refuses a parameter without a value, at its place."""
        known = named_parameters(self._parameters)
        for mark, token in itertools.pairwise(self.statement.tokens):
            is_name = mark.token_type == TokenType.PARAMETER and mark.text == "$"
            if is_name and token.text not in known and not token.text.startswith(PLACEHOLDER_PREFIX):
                given = ", ".join(f"${name}" for name in known) or "none"
                span = self.statement.span(mark.start, token.end + 1)
                raise BindError(f"There is no value for parameter ${token.text}. Given are: {given}", span=span)

    def _may_be_tensors(self) -> bool:
        """Whether the engine may have refused a statement because arithmetic in it is on tensors."""
        words = {token.text.lower() for token in self.statement.tokens}
        return self._features.has_arithmetic or bool(words & set(self._connection.functions))

    def _forget_schema(self) -> None:
        if self.statement.tokens[0].text.upper() in _SCHEMA_WORDS:
            self._connection.catalog.forget()

    # -- binding -----------------------------------------------------------------------------------------------------

    def _bind(self, *, always: bool = False, statement: Statement | None = None) -> Bound:
        statement = statement or self.statement
        verbatim = Bound(statement.text, self._plain_parameters())
        always = (
            always or self._row_names or any(_is_array(value) for value in named_parameters(self._parameters).values())
        )
        is_shell_call = self._features.has_call and self._calls_shell(statement)
        if not (self._features.is_tfsql or self._features.may_be_tfsql or is_shell_call or always):
            return verbatim
        try:
            check_nesting(statement)
            functions = self._connection.function_names | frozenset(self._connection.functions)
            desugared = desugar(statement, functions)
            tree = parse(desugared)
        except (ParseError, ResourceError):
            if self._features.is_tfsql or is_shell_call:
                raise
            return verbatim
        has_call = self._features.has_call or bool(self._connection.catalog.views)  # a view may hold calls
        environment = self._connection.environment(self._parameters, self._variables, self._tables, has_call=has_call)
        is_desugared = desugared.tokens != statement.tokens
        binder = StatementBinder(desugared, environment, is_desugared=is_desugared)
        if self._row_names:
            tree = binder.named(tree)
        else:
            binder.statement(tree)
        if not binder.is_changed:
            return verbatim
        short = binder.sql(tree)
        sql = binder.source.restore(short)
        stream = binder.lists.stream()
        if stream is not None and stream.is_needed:
            sql = stream.sql
        fixed = frozenset(binder.fixed_parameters) | binder.prober.parameters_in(short)
        uses, used = tuple(binder.uses), binder.prober.used_parameters(sql)
        constants = dict(binder.tensors.parameter_constants)
        return Bound(sql, used, uses, stream, binder.copy_target, fixed, constants)

    def _is_tfsql(self) -> bool:
        """Whether the engine alone cannot run the statement: it holds something of tfsql, or calls what does."""
        return self._features.is_tfsql or (self._features.has_call and self._calls_shell(self.statement))

    def _calls_shell(self, statement: Statement) -> bool:
        functions = self._connection.functions
        words = {token.text.lower() for token in statement.tokens} & set(functions)
        return any(functions[word].is_shell for word in words)

    def _plain_parameters(self) -> Any:
        if self._parameters is None:
            return {}
        if isinstance(self._parameters, Mapping):
            return {name: engine_value(value) for name, value in self._parameters.items()}
        return [engine_value(value) for value in self._parameters]

    # -- running -----------------------------------------------------------------------------------------------------

    def _relation_of(self, bound: Bound) -> Relation | None:
        if bound.copy_target is not None and bound.stream is not None:
            self._copy(bound, bound.stream, bound.copy_target)
            return None
        if bound.stream is not None and bound.stream.row is not None:
            return self._constant_relation(bound, bound.stream)
        returns_rows = self._backend.returns_rows(bound.sql)
        if returns_rows:
            columns = self._columns(bound)
            run: Callable[[], EngineResult] | None = partial(self._run, bound)
            run_rows = None
            if bound.stream is not None and bound.stream.is_needed:
                run, run_rows = None, partial(self._run_rows, bound, bound.stream)
            run_arrow, run_batches = partial(self._run_arrow, bound), partial(self._run_batches, bound)
            relation = Relation(columns, run, run_arrow, self._explain_text, run_batches, run_rows)
            self._tie_tables(relation)
            return relation
        result = self._run_change(bound)
        self._forget_schema()
        self._connection.unused_tables.extend(self._tables)
        table = result.rows_of_change()
        return None if table is None else relation_of(table, self._explain_text)

    def _columns(self, bound: Bound) -> Columns | None:
        """Names and types of the columns of a query; None where only the rows tell."""
        if bound.stream is None:
            return self._backend.describe(bound.sql, bound.parameters)
        return bound.stream.columns(self._stream_columns(bound.stream))

    def _stream_columns(self, stream: Stream) -> Columns:
        """What the engine says of a stream, asked once: it takes as long as binding the query."""
        if self._described is None:
            self._described = self._backend.describe(stream.sql, stream.parameters)
        return self._described

    def _run_change(self, bound: Bound) -> EngineResult:
        """Runs a statement that is no query; the kernels follow the transactions."""
        kernels, word = self._connection.kernels, self.statement.tokens[0].text.upper()
        try:
            result = self._run(bound)
        except TfsqlError:
            if word in _COMMITS:
                kernels.end_transaction(is_kept=False)
            raise
        if word in ("BEGIN", "START"):
            kernels.begin_transaction()
        elif word in _COMMITS or word in _ROLLBACKS:
            kernels.end_transaction(is_kept=word in _COMMITS)
        return result

    def _tie_tables(self, relation: Relation) -> None:
        """Lets the tables that were registered for this statement go when its relation does."""
        if self._tables:
            weakref.finalize(relation, self._connection.unused_tables.extend, list(self._tables))

    def _run(self, bound: Bound) -> EngineResult:
        with self._kernels_at_work(bound.uses):
            return _Watched(self._backend.execute(bound.sql, bound.parameters), lambda: self._kernel_errors(bound.uses))

    def _run_arrow(self, bound: Bound) -> pa.Table:
        with self._kernels_at_work(bound.uses):
            if bound.stream is None:
                return self._backend.arrow(bound.sql, bound.parameters)
            return self._streamed(bound.stream)

    def _run_batches(self, bound: Bound) -> Iterator[pa.RecordBatch]:
        with self._kernels_at_work(bound.uses):
            if bound.stream is None:
                rows = batch_rows(self._backend.describe(bound.sql, bound.parameters))
                yield from self._backend.stream(bound.sql, bound.parameters, rows)
            else:
                yield from streamed_batches(bound.stream, *self._batches(bound.stream), self._threads)

    def _run_rows(self, bound: Bound, stream: Stream) -> Iterator[list[tuple[Any, ...]]]:
        with self._kernels_at_work(bound.uses):
            yield from streamed_rows(stream, *self._batches(stream), self._threads)

    def _copy(self, bound: Bound, stream: Stream, target: ParquetFile) -> None:
        """Writes the batches to a file, each while the next one is computed."""
        with self._kernels_at_work(bound.uses):
            schema, batches = self._batches(stream)
            empty = pa.RecordBatch.from_arrays([pa.array([], part.type) for part in schema], schema=schema)
            computed = streamed_table(stream, schema, [empty]).schema
            target.write(streamed_batches(stream, schema, batches, self._threads), computed)

    def _streamed(self, stream: Stream) -> pa.Table:
        return streamed_table(stream, *self._batches(stream), self._threads)

    @property
    def _threads(self) -> int | None:
        count: int | None = self._connection.settings["tfsql_threads"]
        return count

    def _batches(self, stream: Stream) -> tuple[pa.Schema, Iterable[pa.RecordBatch]]:
        """The batches of a stream and their schema."""
        if stream.row is not None:
            batch = constant_batch(stream)
            return batch.schema, [batch]
        table = None if stream.scan is None else self._backend.scan(stream.scan.table, stream.scan.columns)
        is_copied = table is None and stream.gather is None
        rows = batch_rows(self._stream_columns(stream), stream, is_copied=is_copied)
        if table is not None:
            return table.schema, self._backend.batches(table, rows)
        if stream.gather is not None:
            return gathered(stream.gather, self._backend, stream.parameters, rows)
        batches = self._backend.stream(stream.sql, stream.parameters, rows)
        return batches.schema, batches

    def _constant_relation(self, bound: Bound, stream: Stream) -> Relation:
        """The relation of a select without FROM, which no engine runs; another with other values need not be bound."""
        kinds = {int: Scalar("INTEGER"), str: Scalar("VARCHAR")}
        columns = stream.columns([(name, kinds[type(value)]) for name, value in (stream.row or {}).items()])
        if columns is not None and self._question is not None and is_plannable(bound, self._question):
            self._connection.plans.add(self._question, Plan(bound, columns))
        run_arrow, run_batches = partial(self._run_arrow, bound), partial(self._run_batches, bound)
        run_rows = partial(self._run_rows, bound, stream)
        return Relation(columns, None, run_arrow, self._explain_text, run_batches, run_rows)

    @contextmanager
    def _kernels_at_work(self, uses: Sequence[KernelUse]) -> Iterator[None]:
        """One run: the kernels forget the one before; their errors are told as ``_kernel_errors`` does."""
        for use in uses:
            use.kernel.restart()
        with self._kernel_errors(uses):
            yield

    @contextmanager
    def _kernel_errors(self, uses: Sequence[KernelUse]) -> Iterator[None]:
        """Errors of kernels come out as themselves, with the row and the place in the SQL."""
        for use in uses:
            use.kernel.last_error = None
        try:
            yield
        except TfsqlError as error:
            for use in uses:
                cause = use.kernel.last_error
                if isinstance(cause, KeyboardInterrupt):
                    raise cause from None
                if cause is not None:
                    raise self._kernel_error(use, cause).locate(self._text) from cause
            if error.span is None:
                error.span = self.statement.named_span(error)
            raise error.locate(self._text) from error.__cause__

    def _kernel_error(self, use: KernelUse, cause: BaseException) -> TfsqlError:
        if isinstance(cause, NOT_OF_A_ROW):  # what ended a call once is not tried again
            return type(cause)(cause.message, hint=cause.hint, span=use.span)
        failing = ((part, self._failing_row(part)) for part in use.parts or (use,))
        use, found = next(((part, found) for part, found in failing if found is not None), (use, None))
        row, cause = found if found is not None else (None, cause)
        if not isinstance(cause, TfsqlError):
            return ExecutionError(f"{type(cause).__name__} in {use.kernel.name}: {cause}", span=use.span)
        place = "" if row is None else f" (row {row})"
        leaf = getattr(cause, "leaf", None)
        subject = "" if leaf is None else f"{_short(use.leaves[leaf])} "
        return ExecutionError(f"{subject}{cause.message}{place}", hint=cause.hint, span=use.span)

    def _failing_row(self, use: KernelUse) -> tuple[int, TfsqlError] | None:
        """The position, from 0 and in table order, of the first row on which a kernel fails, and its error."""
        probe = use.probe()
        if probe is None or use.kernel.is_stateful:
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
        inner = Statement(
            self.statement.source,
            self.statement.tokens[count:],
            self.statement.slice(count, len(self.statement.tokens)),
        )
        bound = self._bind(statement=inner)
        rows = self._explain_rows(bound, is_analyze=self._features.is_analyze)
        table = pa.table({"explain_key": [key for key, _ in rows], "explain_value": [text for _, text in rows]})
        return relation_of(table, lambda analyze: "\n".join(text for _, text in rows))

    def _explain_text(self, analyze: bool) -> str:
        return "\n".join(text for _, text in self._explain_rows(self._bind(), is_analyze=analyze))

    def _explain_rows(self, bound: Bound, *, is_analyze: bool) -> list[tuple[str, str]]:
        """The engine's plan, and a text for each kernel in it."""
        uses: dict[str, list[KernelUse]] = {}
        replaced = {id(part) for use in bound.uses for part in use.parts}
        for use in bound.uses:
            if id(use) in replaced:
                continue
            uses.setdefault(use.kernel.name, []).append(use)
            use.kernel.reset_statistics()
        if is_analyze and bound.stream is not None:
            self._run_arrow(bound)  # the engine's own run makes none of the calls on the stream
        prefix = "EXPLAIN ANALYZE" if is_analyze else "EXPLAIN"
        engine = bound.stream or bound
        rows = self._run(Bound(f"{prefix} {engine.sql}", engine.parameters, bound.uses)).fetchall()
        return [*rows, *((name, _kernel_text(places, is_analyze=is_analyze)) for name, places in uses.items())]

    # -- settings ----------------------------------------------------------------------------------------------------

    def _change_setting(self) -> None:
        """``SET [SESSION] tfsql_x = value`` and ``RESET tfsql_x``."""
        tokens = list(self.statement.tokens[1:])
        if tokens[0].text.upper() in ("SESSION", "LOCAL", "GLOBAL"):
            tokens = tokens[1:]
        name, rest = tokens[0], tokens[1:]
        try:
            if self._features.head == "RESET":
                self._connection.change_setting(name.text)
            elif len(rest) < 2 or rest[0].text.upper() not in ("=", "TO"):
                raise ParseError(f"SET takes a value: SET {name.text} = ...")
            else:
                self._connection.change_setting(name.text, "".join(token.text for token in rest[1:]))
        except TfsqlError as error:
            error.span = error.span or self.statement.span(name.start, tokens[-1].end + 1)
            raise

    # -- functions ---------------------------------------------------------------------------------------------------

    def _create_function(self) -> bool:
        """``CREATE FUNCTION`` over tensor operators; False for a form that is not ours."""
        created = read_create(self.statement)
        if created is None:
            return False
        definition = created.definition
        check_body(definition, self._connection.functions)
        self._backend.execute(shell(created), {})
        self._connection.catalog.forget()
        return True

    def _drop_python_function(self) -> bool:
        """``DROP FUNCTION`` of a Python function; False for one of the database."""
        name = self.statement.tokens[-1].text
        if name.lower() not in self._connection.function_names or name.lower() in self._connection.catalog.functions:
            return False
        self._connection.remove_function(name)
        return True

    def _describe_functions(self) -> Relation:
        functions = self._connection.functions
        hosts, operators = self._connection.host_functions, self._connection.operators
        if self._features.head == "SHOW FUNCTIONS":
            table = functions_table(functions, hosts, operators)
        else:
            name = self.statement.tokens[2]
            try:
                table = function_table(name.text, functions, hosts, operators)
            except BindError as error:
                error.span = self.statement.span(name.start, name.end + 1)
                raise
        return relation_of(table, lambda analyze: "")

    # -- views -------------------------------------------------------------------------------------------------------

    def _create_view(self) -> None:
        """``CREATE VIEW`` over tensor operators: checked now, kept as a shell that carries its text."""
        split = self._features.view_body
        assert split is not None
        count = len(self.statement.tokens)
        start = self.statement.source.original_offset(self.statement.tokens[split].start)
        definition, lead = self.statement.slice(split, count), self.statement.slice(0, split)
        if self._parameters:
            raise UnsupportedError("A view cannot have parameters")
        tables: list[str] = []
        bound = self._located_in_view(definition, start, tables)
        if tables and "read_idx" not in definition.lower() and "tf_operators" not in definition.lower():
            raise UnsupportedError("A view cannot keep a Python variable", hint="Make a table of it first")
        columns = self._backend.describe(bound.sql, {})
        self._backend.execute(f"{lead} {catalog.shell(definition, columns)}", {})
        self._connection.catalog.forget()

    def _located_in_view(self, definition: str, start: int, tables: list[str]) -> Bound:
        environment = self._connection.environment(None, self._variables, tables)
        try:
            return bind_text(definition, environment)
        except TfsqlError as error:
            if error.span is not None:
                error.span = Span(error.span.start + start, error.span.end + start)
            error.sql = None
            raise


def _is_array(value: Any) -> bool:
    """Whether a parameter is an array with axes, whose type the engine would not see."""
    return bool(getattr(value, "ndim", 0)) and hasattr(value, "dtype")


def _kernel_text(places: Sequence[KernelUse], *, is_analyze: bool) -> str:
    columns = [use.column for use in places if use.column]
    return places[0].kernel.text(places[0].leaves, columns, is_analyze=is_analyze)


def _short(sql: str) -> str:
    return sql if len(sql) <= 60 else f"{sql[:57]}..."


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


def named_parameters(parameters: Parameters) -> dict[str, Any]:
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
            tokens += _parameter(token, next(numbers))
        elif token.text == "?::":  # one token in sqlglot: the operator of another dialect
            tokens += [*_parameter(token, next(numbers)), _like(token, TokenType.DCOLON, "::")]
        else:
            tokens.append(token)
    return statement.with_tokens(tokens)


def _parameter(token: Token, number: int) -> list[Token]:
    return [_like(token, TokenType.PARAMETER, "$"), _like(token, TokenType.NUMBER, str(number))]


def _like(token: Token, kind: TokenType, text: str) -> Token:
    return Token(kind, text, token.line, token.col, token.start, token.end, [])
