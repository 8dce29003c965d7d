"""What goes into binding a statement and what comes out of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tfsql.backends.base import Backend
from tfsql.bind.functions import FunctionDefinition
from tfsql.bind.scope import Scope
from tfsql.errors import Span
from tfsql.split import KernelCache
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
    """

    kernel: Vectorised
    span: Span
    leaves: tuple[str, ...]
    scope: Scope
    column: str = ""

    def __post_init__(self) -> None:
        self.kernel.users.add(self)

    def probe(self) -> str | None:
        """A query of the kernel's inputs here, in table order, to find a row that fails; None inside groups and such.

        Its last column tells whether WHERE lets the row pass.
        """
        return self.scope.probe(self.leaves) if self.leaves else None


@dataclass(frozen=True)
class WrittenItem:
    """A select item before binding: its SQL, and the user's own text, which names it if binding changes it."""

    sql: str
    text: str


@dataclass(frozen=True)
class LateColumn:
    """A column of the outermost query that gets its final form when the result is there, so that it is computed once.

    Attributes:
      name: the column's name in the engine's result.
      title: its name, where it stays one column.
      columns: names and types of the columns that it becomes; None where only the result tells.
      decode: makes its values of what the engine returns; None where they are the same.
      is_spread: whether it becomes one column for each field or element.
    """

    name: str
    title: str = ""
    columns: tuple[tuple[str, SqlType], ...] | None = None
    decode: Callable[[pa.ChunkedArray], pa.Array] | None = None
    is_spread: bool = True


@dataclass(frozen=True)
class Bound:
    """A statement that the engine can run.

    Attributes:
      sql: what the engine runs; the user's own text if nothing of it is tfsql's.
      parameters: the values that the engine needs.
      uses: the kernel calls in it.
      late: output columns that get their form when the result is there.
    """

    sql: str
    parameters: Mapping[str, Any]
    uses: tuple[KernelUse, ...] = ()
    late: tuple[LateColumn, ...] = ()


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
