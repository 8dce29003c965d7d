"""Connection: SQL text in, relations out."""

from __future__ import annotations

import atexit
import itertools
import weakref
from collections import ChainMap, deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfsql import parquet, settings
from tfsql.backends.duckdb import DuckDBBackend
from tfsql.bind import Environment
from tfsql.catalog import Catalog
from tfsql.custom_operators import OPERATORS
from tfsql.errors import BindError, ParseError, TfsqlError, TypeMismatchError, did_you_mean
from tfsql.jseval import Jseval
from tfsql.library import LIBRARY
from tfsql.plans import PlanCache, Question, planned_relation
from tfsql.python_functions import INPUTS, PythonFunction, check_name, declared_type
from tfsql.result import Relation
from tfsql.running import Parameters, Request, StatementRun, deep_recursion, named_parameters
from tfsql.source import Source, Statement, lift_literals, statements
from tfsql.split import KernelCache
from tfsql.types import quote_text
from tfsql.variables import caller_variables, hint_on_missing, table_from, table_names

if TYPE_CHECKING:
    from tfsql.backends.base import Backend
    from tfsql.bind.calls import HostFunction
    from tfsql.bind.functions import FunctionDefinition
    from tfsql.custom_operators import CustomOperator
    from tfsql.infer.frozen import GraphOperator
    from tfsql.types import SqlType

_OPEN: weakref.WeakSet[Connection] = weakref.WeakSet()


class Connection:
    """A tfsql database: DuckDB's, with TensorFlow's operators as functions.

    Args:
      path: a database file, made if it is not there; ``:memory:`` for one that lives as long as the connection.
      read_only: opens an existing file without writing to it.
      config: DuckDB's settings, and tfsql's own (``tfsql_...``).
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
        ours = {name: value for name, value in (config or {}).items() if name.lower().startswith(settings.PREFIX)}
        theirs = {name: value for name, value in (config or {}).items() if name not in ours}
        self.settings = settings.Settings(ours)
        theirs |= {name: value for name, value in self.settings.for_engine().items() if value is not None}
        self.backend: Backend = DuckDBBackend(str(path), read_only=read_only, config=theirs)
        self.kernels = KernelCache(self.backend, self.settings)
        self.trust = trust
        self._host_functions: dict[str, HostFunction] = {}
        self._graphs: dict[str, GraphOperator] = {}
        self.catalog = Catalog(self.backend)
        self.plans = PlanCache()
        self._generation = 0
        self._table_numbers = itertools.count(1)
        self.unused_tables: deque[str] = deque()
        _OPEN.add(self)

    def change_setting(self, name: str, value: Any = None) -> None:
        """``SET tfsql_x = value``, or RESET where no value is given.

        Raises:
          BindError: there is none of this name.
          TypeMismatchError: the value is not one of those that it takes.
        """
        before = self.settings.for_engine()
        if value is None:
            self.settings.reset(name)
        else:
            self.settings.set(name, value)
        for engine_name, wanted in self.settings.for_engine().items():
            if wanted != before[engine_name]:
                self.backend.execute(f"RESET {engine_name}" if wanted is None else f"SET {engine_name} = {wanted}", {})

    # -- running SQL -------------------------------------------------------------------------------------------------

    def sql(self, text: str, parameters: Parameters = None, *, row_names: bool = False) -> Relation | None:
        """The relation of the last statement of ``text``, not yet run; None if that returns no rows.

        Statements that change something, and all but the last, run at once.

        Args:
          parameters: values for ``?`` and ``$1`` as a sequence, for ``$name`` as a mapping. NumPy arrays and tensors
            are tensors.
          row_names: puts the names of a query's rows (``rowName()``) into a last column ``_rowName``, and into
            that of a table which is made of a query.

        Raises:
          TfsqlError: of the class of the stage that refused the text; shape and type errors come here, before a row
            is read.
        """
        return self._asked(Request(lift_literals(text), parameters, caller_variables(), row_names))

    def prepare(self, text: str) -> Prepared:
        """One statement to be run many times: ``con.prepare("SELECT tf_Square(?) AS y")(array)``.

        Raises:
          ParseError: the text is not one statement.
        """
        return Prepared(self, text)

    def execute(self, text: str, parameters: Parameters = None) -> Relation | None:
        """Like ``sql``, but the last statement runs at once too."""
        relation = self.sql(text, parameters)
        return relation if relation is None else relation.execute()

    def create_function(
        self, name: str, function: Callable[..., Any], returns: str | None = None, *, inputs: str = "numpy"
    ) -> None:
        """Makes a Python function callable from SQL; one of the same name is replaced.

        It is called on many rows at once: for each argument with an array ``[rows, *shape]``, strings as objects. It
        returns one result a row, ``[rows, *shape]``, or a dict of such arrays, which is a row in SQL. A row with a NULL
        argument is NULL and is not passed; rows of different shapes are passed shape by shape.

        Args:
          returns: its result type, as SQL says it (``FLOAT[28][28]``) or as tfsql shows it (``float32[28, 28]``). If
            it is left out, the function is tried on two rows of ones to tell.
          inputs: ``numpy`` for NumPy arrays, ``tensors`` for TensorFlow's.

        Raises:
          BindError: the name is not one that SQL can call, or is that of an operator.

        Example:
          >>> import tfsql
          >>> con = tfsql.connect()
          >>> con.create_function("brightest", lambda image: image.max(axis=(1, 2)))
          >>> con.sql("SELECT brightest([[1.0, 5.0], [2.0, 3.0]]::FLOAT[2][2]) AS y").fetchall()
          [(5.0,)]
        """
        check_name(name)
        if inputs not in INPUTS:
            raise BindError(f"inputs is {' or '.join(map(repr, INPUTS))}, not {inputs!r}")
        if not callable(function):
            raise TypeMismatchError(f"{name} must be a Python function, not a {type(function).__name__}")
        kind = None if returns is None else declared_type(returns, self._engine_type)
        self.add_host_function(PythonFunction(name, function, kind, inputs))

    def add_host_function(self, function: HostFunction) -> None:
        """Makes a function of this process callable from SQL; one of the same name is replaced.

        Raises:
          BindError: its name is not one that SQL can call, or is that of an operator.
        """
        check_name(function.name)
        self._host_functions[function.name.lower()] = function
        self._generation += 1

    def load_graph(
        self, name: str, path: str, *, inputs: Sequence[str] | None = None, outputs: Sequence[str] | None = None
    ) -> None:
        """Makes a frozen TensorFlow graph callable from SQL, as an operator that fuses with those around it.

        ``SELECT name({"DecodeJpeg/contents": picture}).softmax`` feeds a node and picks one of those fetched.

        Args:
          path: a file with a binary GraphDef.
          inputs: the names of the nodes to feed; the graph's placeholders if left out.
          outputs: the names of the nodes to fetch; those that no other takes if left out.

        Raises:
          BindError: the file is missing or no graph, or a node is not in it.
        """
        from tfsql.infer.frozen import graph_operator, read_graph

        check_name(name)
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            raise BindError(f"Cannot read {path}: {error.strerror or error}") from error
        self.kernels.rehearse_graph(content, path)
        graph = read_graph(content, path)
        self._graphs[name.lower()] = graph_operator(name, graph, inputs, outputs, trust=self.trust)
        self._generation += 1

    def remove_function(self, name: str) -> None:
        """Takes back what ``create_function`` or ``load_graph`` made; ``DROP FUNCTION`` does so too.

        Raises:
          BindError: there is no Python function and no graph of this name.
        """
        kinds: tuple[dict[str, Any], ...] = (self._host_functions, self._graphs)
        if not any(name.lower() in made for made in kinds):
            hint = did_you_mean(name, [known for made in kinds for known in made])
            raise BindError(f"No Python function {name}", hint=hint)
        for made in kinds:
            made.pop(name.lower(), None)
        self._generation += 1

    @property
    def operators(self) -> dict[str, CustomOperator]:
        """The operators that are made of others, by lower-case name: the process's, and this connection's graphs."""
        return {**OPERATORS, **self._graphs}

    @property
    def function_names(self) -> frozenset[str]:
        """The lower-case names that only tfsql can call, besides those of the database."""
        return frozenset(self.host_functions) | frozenset(self.operators)

    @property
    def functions(self) -> Mapping[str, FunctionDefinition]:
        """The functions in SQL, by lower-case name: those of the database come before those of the library."""
        return ChainMap(self.catalog.functions, LIBRARY)  # type: ignore[arg-type]

    @property
    def host_functions(self) -> dict[str, HostFunction]:
        """The functions of this process that SQL can call, by lower-case name."""
        return {"jseval": Jseval(self.settings), **self._host_functions}

    def _engine_type(self, text: str) -> SqlType:
        return self.backend.describe(f"SELECT NULL::{text} AS value", {})[0][1]

    def interrupt(self) -> None:
        """Stops the statement that this connection runs in another thread; its rows end in an error."""
        self.backend.interrupt()
        self.kernels.interrupt()

    def progress(self) -> tuple[float | None, int]:
        """Percent done of the statement that runs in another thread; rows that tensor calls have computed so far."""
        return self.backend.percent_done(), self.kernels.rows_computed()

    def close(self) -> None:
        """Closes the database; relations of this connection cannot run any more."""
        _OPEN.discard(self)
        self.backend.close()
        self.kernels.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- one request -------------------------------------------------------------------------------------------------

    def _asked(self, request: Request) -> Relation | None:
        """The relation of the last statement, by a plan where there is one."""
        state = self._state(row_names=request.row_names)
        question = Question.of(request.source, named_parameters(request.parameters), state)
        plan = None if question is None else self.plans.find(question)
        if plan is not None and question is not None:
            relation = planned_relation(plan, question, self.kernels, lambda: self._anew(request))
            if relation is not None:
                return relation
        return self._last(request, question)

    def _anew(self, request: Request) -> Relation:
        """The relation of a text that there is a plan of, bound without it."""
        relation = self._last(request, None)
        assert relation is not None
        return relation

    def _last(self, request: Request, question: Question | None) -> Relation | None:
        """The relation of the last statement; those before it are run."""
        relation = None
        found = self._statements(request.source)
        for statement in found:
            if relation is not None:
                relation.execute()
            relation = self._statement(statement, request, question if len(found) == 1 else None)
        return relation

    def _state(self, *, row_names: bool) -> Hashable:
        """What the meaning of a text hangs on besides the text: equal if nothing of it has changed."""
        operators = tuple(map(id, OPERATORS.values()))
        return self.catalog.generation, self._generation, self.settings.values, operators, row_names

    def _statements(self, source: Source) -> list[Statement]:
        try:
            return list(statements(source))
        except TfsqlError as error:
            raise error.locate(source.text) from error

    def _statement(self, statement: Statement, request: Request, question: Question | None) -> Relation | None:
        self._drop_unused_tables()
        self.kernels.drop_unused()
        run = StatementRun(self, statement, request, question)
        try:
            with deep_recursion():
                return run.relation()
        except TfsqlError as error:
            if error.span is None:
                error.span = run.statement.named_span(error)
            if error.is_from_engine:
                error.hint = hint_on_missing(error.message, request.variables) or error.hint
            raise error.locate(request.source.text) from error.__cause__

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
            self.functions if has_call else {},
            self.host_functions if has_call else {},
            self.operators if has_call else {},
            register,
            self._file_types,
            self.trust,
            self.settings,
        )

    def _file_types(self, path: str) -> Mapping[str, str]:
        """The ARRAY columns of a Parquet file; none where the file cannot be read, which the scan itself reports."""
        file, key = quote_text(path), quote_text(parquet.SCHEMA_KEY)
        sql = f"SELECT value FROM parquet_kv_metadata({file}) WHERE key::VARCHAR = {key} LIMIT 1"
        with suppress(TfsqlError):
            row = self.backend.execute(sql, {}).fetchone()
            return parquet.array_columns(row[0]) if row else {}
        return {}

    def _drop_unused_tables(self) -> None:
        while self.unused_tables:
            with suppress(TfsqlError):
                self.backend.unregister_table(self.unused_tables.popleft())


class Prepared:
    """One statement of a connection; each call gives values to its parameters.

    Example:
      >>> import numpy as np, tfsql
      >>> double = tfsql.connect().prepare("SELECT tf_Mul($x, 2) AS y")
      >>> double(x=np.array([1.5, 2.0])).fetchall()
      [((3.0, 4.0),)]
    """

    def __init__(self, connection: Connection, text: str):
        self._connection = connection
        self._source = lift_literals(text)
        count = len(connection._statements(self._source))
        if count != 1:
            raise ParseError(f"prepare takes one statement, not {count}")

    def __call__(self, *values: Any, **named: Any) -> Relation | None:
        """The relation of the statement with these values: of ``?`` and ``$1`` by position, of ``$name`` by name.

        Raises:
          BindError: a parameter has no value, or values are given both ways.
        """
        if values and named:
            raise BindError("Parameters are given by position or by name, not both")
        return self._connection._asked(Request(self._source, values or named or None, caller_variables()))


@atexit.register
def _close_all() -> None:
    """Closes what is open: DuckDB prints of leaks where a connection with functions outlives the interpreter."""
    for connection in list(_OPEN):
        with suppress(TfsqlError):
            connection.close()
