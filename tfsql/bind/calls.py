"""Calls of functions of this process that are no tensor expressions: Python functions, ``jseval``.

Such a function is bound for each call to a vectorised function of the types that its arguments have there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import pyarrow as pa
from sqlglot import exp

from tfsql.bind.forms import function_name, is_row
from tfsql.bind.literals import NotConstantError, field_name, python_value
from tfsql.bind.scope import Scope
from tfsql.errors import BindError, TfsqlError, did_you_mean
from tfsql.types import SqlType, cast_for_tensor
from tfsql.vectorised import RowWise, Vectorised

if TYPE_CHECKING:
    from tfsql.bind.records import KernelUse
    from tfsql.bind.statement import StatementBinder


class HostFunction(Protocol):
    """What a SQL name calls in this process.

    Attributes:
      name: how SQL calls it.
      parameters: the names of its parameters.
      doc: what it does, in words.
      is_typed_by_cast: whether a cast around a call says what the call returns, rather than converts it.
    """

    is_typed_by_cast: ClassVar[bool]

    @property
    def name(self) -> str: ...

    @property
    def parameters(self) -> list[str]: ...

    @property
    def doc(self) -> str: ...

    def bind(self, site: CallSite) -> Vectorised:
        """The vectorised function for one call; it is called with ``site.passed``, all arguments if that is not set."""


@dataclass
class CallSite:
    """One call in the SQL.

    Attributes:
      name: how the vectorised function is to be called.
      arguments: as written, ``name := value`` included.
      declared: the type that a cast around the call gives it, or None.
      is_late: whether the result's type may be told when the rows are there.
      passed: the arguments that the function takes at run time, in order; the binder's to set.
    """

    name: str
    arguments: list[exp.Expr]
    scope: Scope
    binder: StatementBinder
    declared: SqlType | None = None
    is_late: bool = False
    passed: list[exp.Expr] | None = None

    def named(self, parameters: Sequence[str]) -> list[tuple[str, SqlType]]:
        """Name and type of each argument, put into the order of ``parameters`` (or as given, if there are none).

        Raises:
          BindError: an argument is missing, unknown, or given twice.
        """
        if not parameters:
            self.passed = [_value(argument) for argument in self.arguments]
            return [(f"argument {i}", self.type_of(value)) for i, value in enumerate(self.passed, 1)]
        found: dict[str, exp.Expr] = {}
        for position, argument in enumerate(self.arguments):
            is_named = isinstance(argument, exp.PropertyEQ | exp.Kwarg)
            name = field_name(argument) if is_named else parameters[position] if position < len(parameters) else ""
            if name not in parameters or name in found:
                problem = f"{name} is given twice" if name in found else f'no parameter "{name}"'
                problem = problem if name else f"{len(self.arguments)} arguments for {len(parameters)} parameters"
                hint = did_you_mean(name, parameters) if name else None
                raise BindError(f"{problem}. Parameters are: {', '.join(parameters)}", hint=hint)
            found[name] = _value(argument)
        missing = [name for name in parameters if name not in found]
        if missing:
            raise BindError(f'missing argument "{missing[0]}". Parameters are: {", ".join(parameters)}')
        self.passed = [found[name] for name in parameters]
        return [(name, self.type_of(found[name])) for name in parameters]

    def sql_of(self, argument: exp.Expr) -> str:
        """The SQL of an argument, its own calls bound."""
        return self.binder.argument_sql(argument, self.scope)

    def type_of(self, argument: exp.Expr) -> SqlType:
        """The SQL type of an argument."""
        return self.scope.type_of(self.sql_of(argument))

    def constant(self, argument: exp.Expr) -> Any:
        """The value of an argument that does not hang on the row.

        Raises:
          NotConstantError: it does.
        """

        def evaluate(node: exp.Expr) -> Any:
            if isinstance(node, exp.Placeholder):
                return self.binder.parameter_value(str(node.this))
            if next(node.find_all(exp.Column, exp.Query), None) is not None:
                raise NotConstantError
            return self.binder.evaluate(self.binder.sql(node))

        return python_value(argument, evaluate)

    def rows(self, arguments: Sequence[exp.Expr]) -> Iterator[pa.RecordBatch]:
        """The values of arguments in every row of the tables that the call sees: read now, to learn of them."""
        sqls = [self.sql_of(argument) for argument in arguments]
        return self.binder.rows(self.scope, sqls)


def _value(argument: exp.Expr) -> exp.Expr:
    return argument.expression if isinstance(argument, exp.PropertyEQ | exp.Kwarg) else argument


class HostCalls:
    """The calls of one statement, each bound once."""

    def __init__(self, binder: StatementBinder):
        self._binder = binder
        self._sqls: dict[int, str] = {}

    def is_call(self, node: exp.Expr) -> bool:
        """Whether a node is such a call, or a cast of one that says its type."""
        function = self._function(_called(node))
        return function is not None and (not isinstance(node, exp.Cast) or function.is_typed_by_cast)

    def _function(self, call: exp.Expr) -> HostFunction | None:
        """The function that a call calls; a SQL function of the same name comes first."""
        environment, name = self._binder.environment, function_name(call)
        return None if name in environment.functions else environment.host_functions.get(name)

    def has_call(self, node: exp.Expr) -> bool:
        """Whether one stands somewhere in an expression."""
        return any(self._function(part) is not None for part in node.find_all(exp.Anonymous))

    def sql(self, node: exp.Expr, scope: Scope) -> str | None:
        """The SQL of the call that ``node`` is, None if it is none."""
        if not self.is_call(node):
            return None
        if id(node) not in self._sqls:
            use = self.bound(node, scope)
            self._binder.uses.append(use)
            self._sqls[id(node)] = use.call
            self._binder.keep(node)
        return self._sqls[id(node)]

    def bound(self, node: exp.Expr, scope: Scope, *, is_late: bool = False) -> KernelUse:
        """The use of the function that a call calls.

        Args:
          is_late: whether its type may be told when the rows are there.
        """
        call = _called(node)
        name, function = function_name(call), self._function(call)
        assert function is not None
        declared = None
        if isinstance(node, exp.Cast):
            declared = scope.type_of(f"NULL::{self._binder.sql(node.to)}")
        kernels = self._binder.environment.kernels
        site = CallSite(kernels.next_name(), _arguments(call), scope, self._binder, declared, is_late)
        with self._binder.located(call):
            try:
                vectorised = function.bind(site)
            except TfsqlError as error:
                if name not in error.message:
                    error.message = f"{call.this}: {error.message}"
                raise
        passed = site.arguments if site.passed is None else site.passed
        sqls = [site.sql_of(argument) for argument in passed]
        if isinstance(vectorised, RowWise):
            sqls = [cast_for_tensor(sql, scope.type_of(sql)) for sql in sqls]
        kernels.add(vectorised, [scope.type_of(sql) for sql in sqls])
        return self._binder.use(vectorised, call, scope, tuple(sqls))


def _called(node: exp.Expr) -> exp.Expr:
    """The call inside parentheses and a cast."""
    inner = node.this if isinstance(node, exp.Cast) and not isinstance(node, exp.TryCast) else node
    while isinstance(inner, exp.Paren):
        inner = inner.this
    return inner if isinstance(inner, exp.Anonymous) else exp.Anonymous(this="")


def _arguments(call: exp.Expr) -> list[exp.Expr]:
    """The arguments, a single row ``{x: 1}`` taken as named ones."""
    given = list(call.expressions)
    if len(given) == 1 and isinstance(given[0], exp.Struct):
        return list(given[0].expressions)
    if len(given) == 1 and is_row(given[0]):
        return [_named(element) for element in given[0].expressions]
    return given


def _named(element: exp.Expr) -> exp.Expr:
    if isinstance(element, exp.Column):
        return exp.PropertyEQ(this=exp.to_identifier(element.name), expression=element)
    return element
