"""What goes into binding a statement and what comes out of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tfsql.backends.base import Backend, Columns
from tfsql.bind.functions import FunctionDefinition
from tfsql.bind.scope import Scope
from tfsql.copying import ParquetFile
from tfsql.errors import Span
from tfsql.flatten import spread_columns
from tfsql.settings import Settings
from tfsql.split import KernelCache
from tfsql.sugar import SPREAD
from tfsql.tree import Value
from tfsql.types import SqlType, quote
from tfsql.vectorised import Vectorised

if TYPE_CHECKING:
    from tfsql.bind.calls import HostFunction
    from tfsql.custom_operators import CustomOperator


@dataclass(frozen=True, eq=False)
class KernelUse:
    """One place of a statement where a function is called, on ``leaves`` that have their meaning in ``scope``.

    Attributes:
      column: the column that the call makes, if it is one as a whole.
      parameters: the parameter that each argument of the kernel is the value of, or None.
      value: the tensor expression that a kernel computes.
      parts: the uses that this one stands for on the stream, whose values are the fields of its own.
    """

    kernel: Vectorised
    span: Span
    leaves: tuple[str, ...]
    scope: Scope
    column: str = ""
    parameters: tuple[str | None, ...] = ()
    value: Value | None = None
    parts: tuple[KernelUse, ...] = ()

    def __post_init__(self) -> None:
        self.kernel.users.add(self)

    @property
    def call(self) -> str:
        """The SQL of the call."""
        return f"{self.kernel.name}({', '.join(self.leaves) or '0'})"

    def probe(self) -> str | None:
        """A query of the kernel's inputs here, in table order, to find a row that fails; None inside groups and such.

        Its last column tells whether WHERE lets the row pass.
        """
        return self.scope.probe(self.leaves) if self.leaves else None


@dataclass(frozen=True)
class OutputColumn:
    """A column of the outermost select that is made of the engine's stream.

    Attributes:
      title: its name, where it stays one column.
      inputs: the columns of the stream that it is made of.
      use: the call that makes it; None where it is the only input itself.
      kind: its type; None where only the rows tell.
      is_spread: whether it becomes one column for each field or element.
      field: which field of the call's result it is; None where it is all of it.
    """

    title: str
    inputs: tuple[str, ...]
    use: KernelUse | None
    kind: SqlType | None
    is_spread: bool
    field: int | None = None

    def columns(self) -> Columns | None:
        """Names and types of the columns that it becomes; None where only the rows tell."""
        if self.kind is None:
            return None
        return spread_columns(self.kind) if self.is_spread else [(self.title, self.kind)]


@dataclass(frozen=True)
class Scan:
    """A select of columns of one registered table.

    Attributes:
      columns: name in the result, and name in the table; None for a column that only holds a place.
    """

    table: str
    columns: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True)
class Gather:
    """A select with numbers of rows in the place of arrays.

    Attributes:
      scan: the arrays, by the column of the select that lists their numbers.
      sql: what the engine runs.
    """

    scan: Scan
    sql: str


@dataclass(frozen=True)
class Stream:
    """The outermost select with the arguments of calls in the place of their results.

    Attributes:
      sql: what the engine runs.
      outputs: what is made of its batches, by the column that holds the place.
      scan: the table whose columns are all that it returns, if it does nothing but that.
      gather: another form of it, if it lists arrays of a registered table.
      row: the values of its one row, by column, where it needs no engine: a select of constants without FROM.
    """

    sql: str
    parameters: Mapping[str, Any]
    outputs: Mapping[str, OutputColumn]
    row: Mapping[str, int | str] | None = None
    scan: Scan | None = None
    gather: Gather | None = None

    @property
    def is_needed(self) -> bool:
        """Whether there is no other form of the select: columns are spread, or have a type that only the rows tell."""
        return any(output.is_spread or output.kind is None for output in self.outputs.values())

    def columns(self, engine: Columns) -> Columns | None:
        """The columns of the result, told from those of the stream; None where only the rows tell."""
        made: Columns = []
        for name, kind in engine:
            output = self.outputs.get(name)
            columns = [(name, kind)] if output is None else output.columns()
            if columns is None:
                return None
            made += [] if output is None and is_argument(name) else columns
        return made


def is_argument(name: str) -> bool:
    """Whether a column of a stream holds an argument and no place."""
    return name.startswith(f"{SPREAD}:")


@dataclass(frozen=True)
class Bound:
    """A statement that the engine can run.

    Attributes:
      sql: what the engine runs; the user's own text if nothing of it is tfsql's.
      parameters: the values that the engine needs.
      uses: the kernel calls in it.
      stream: the other form of the select, whose batches the calls of its list are made on; None if there is none.
      copy_target: the file that the stream's rows are to be copied to.
      fixed_parameters: the parameters and lifted literals of which another value would bind otherwise.
      constants: how many constants of tensor expressions each parameter and lifted literal became.
    """

    sql: str
    parameters: Mapping[str, Any]
    uses: tuple[KernelUse, ...] = ()
    stream: Stream | None = None
    copy_target: ParquetFile | None = None
    fixed_parameters: frozenset[str] = frozenset()
    constants: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class View:
    """A view that holds tensor operators: where it is, and the query that it stands for."""

    database: str
    schema: str
    name: str
    definition: str

    @property
    def qualified_name(self) -> str:
        return ".".join(map(quote, (self.database, self.schema, self.name)))


@dataclass
class Environment:
    """What a session lends to a binder.

    Attributes:
      parameters: by name; positional ones are named "1", "2", ...
      variables: finds a table in the caller's Python variables and registers it; None if there is none.
      view: finds the view with tensor operators that a name of one to three parts means, if it means one.
      functions: SQL functions, by lower-case name.
      host_functions: functions of this process, by lower-case name.
      operators: the operators of the user's own, by lower-case name.
      register_table: makes a table readable and returns its name.
      trust: whether operators that touch files may be called.
      settings: those of tfsql's own.
    """

    backend: Backend
    kernels: KernelCache
    parameters: Mapping[str, Any] = field(default_factory=dict)
    variables: Callable[[str], str | None] = lambda name: None
    view: Callable[[Sequence[str]], View | None] = lambda parts: None
    functions: Mapping[str, FunctionDefinition] = field(default_factory=dict)
    host_functions: Mapping[str, HostFunction] = field(default_factory=dict)
    operators: Mapping[str, CustomOperator] = field(default_factory=dict)
    register_table: Callable[[Any], str] = lambda table: ""
    file_types: Callable[[str], Mapping[str, str]] = lambda path: {}
    trust: bool = False
    settings: Settings = field(default_factory=Settings)
