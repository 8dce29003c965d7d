"""``jseval(code, 'a, b', a, b)``: JavaScript in SQL, run by V8 on whole columns of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa

from tfsql.bind.literals import NotConstantError
from tfsql.errors import BindError, RowError
from tfsql.types import Scalar, SqlType, display
from tfsql.vectorised import Untyped, Vectorised

if TYPE_CHECKING:
    from sqlglot import exp

    from tfsql.bind.calls import CallSite
    from tfsql.javascript import Script, Values
    from tfsql.settings import Settings

_EXAMPLE = "jseval('return a + b', 'a, b', x, y)"


@dataclass(frozen=True)
class Jseval:
    """What ``jseval`` calls.

    Attributes:
      settings: where the limits on time and memory are.
    """

    settings: Settings

    is_typed_by_cast: ClassVar[bool] = True
    name: ClassVar[str] = "jseval"
    parameters: ClassVar[list[str]] = ["code", "parameters", "..."]
    doc: ClassVar[str] = "Runs JavaScript: the body of a function, the names of its parameters, and their values."

    def bind(self, site: CallSite) -> Vectorised:
        """The function for one call: compiled now, its result type as declared, late, or learnt from the rows.

        Raises:
          BindError: the code or the parameters are no constant strings, or parameters and arguments differ in number.
          ExecutionError: V8 cannot compile the code.
        """
        if len(site.arguments) < 2:
            raise BindError(f"jseval expected at least 2 arguments, got {len(site.arguments)}", hint=_EXAMPLE)
        code = _constant_string(site, site.arguments[0], "code")
        names = _constant_string(site, site.arguments[1], "parameter list")
        parameters = tuple(name.strip() for name in names.split(",") if name.strip())
        site.passed = passed = site.arguments[2:]
        if len(parameters) != len(passed):
            raise BindError(
                f"jseval has {len(parameters)} parameters ({', '.join(parameters)}) but {len(passed)} values for them",
                hint=_EXAMPLE,
            )
        types = [site.type_of(argument) for argument in passed]
        script = self._script(code, parameters)
        if site.declared is not None:
            return TypedJavaScript(site.name, script, types, site.declared)
        if site.is_late:
            return UntypedJavaScript(site.name, script, types)
        return TypedJavaScript(site.name, script, types, _learnt_type(script, site, passed))

    def _script(self, code: str, parameters: tuple[str, ...]) -> Script:
        from tfsql.javascript import Limits, Script

        timeout_s = self.settings["tfsql_javascript_timeout_s"]
        return Script(code, parameters, Limits(timeout_s, self.settings["tfsql_javascript_memory_limit"]))


def _constant_string(site: CallSite, argument: exp.Expr, what: str) -> str:
    try:
        value = site.constant(argument)
    except NotConstantError:
        value = None
    if not isinstance(value, str):
        raise BindError(f"The {what} of jseval must be a constant string", hint=_EXAMPLE)
    return value


def _learnt_type(script: Script, site: CallSite, passed: Sequence[exp.Expr]) -> SqlType:
    """The type that holds the results for all rows that the call sees; rows that fail tell nothing."""
    from tfsql.javascript import Values

    parts: list[Values] = []
    for batch in site.rows(passed or []):
        parts += _values_of_good_rows(script, batch.columns if passed else [pa.nulls(batch.num_rows)])
    return Values.concatenate(parts).kind() if parts else Scalar("VARCHAR")


def _values_of_good_rows(script: Script, columns: list[pa.Array]) -> list[Values]:
    try:
        return [script.run(columns)]
    except RowError as error:
        before = [column.slice(0, error.row) for column in columns]
        after = [column.slice(error.row + 1) for column in columns]
        return [script.run(before), *(_values_of_good_rows(script, after) if len(after[0]) else [])]


class _JavaScript(Vectorised):
    """A script for arguments of certain types; it sees NULLs."""

    calls_of: ClassVar[str] = "calls of V8"

    def __init__(self, name: str, script: Script, types: Sequence[SqlType], result: SqlType):
        super().__init__(name, result)
        self._script = script
        self._types = types

    def signature(self) -> list[str]:
        return [display(kind) for kind in self._types]

    def restart(self) -> None:
        super().restart()
        self._script.restart()

    def close(self) -> None:
        super().close()
        self._script.close()

    def _values(self, columns: list[pa.Array]) -> Values:
        self.statistics.add(calls=1, rows=len(columns[0]))
        return self._script.run(columns)


class TypedJavaScript(_JavaScript):
    """A script whose results have one type, known before running."""

    def explanation(self) -> list[str]:
        return ["JavaScript: row after row inside V8, many rows in one call"]

    def _run(self, columns: list[pa.Array]) -> pa.Array:
        return self._values(columns).array(self.result)


class UntypedJavaScript(_JavaScript, Untyped):
    """A script whose result type is the union of its results."""

    def __init__(self, name: str, script: Script, types: Sequence[SqlType]):
        super().__init__(name, script, types, Scalar("ANY"))

    def explanation(self) -> list[str]:
        return ["JavaScript: row after row inside V8, many rows in one call; its type is told by the results"]

    def _run(self, columns: list[pa.Array]) -> Values:
        return self._values(columns)

    def joined(self, parts: Sequence[Values]) -> pa.Array:
        from tfsql.javascript import Values

        values = Values.concatenate(list(parts))
        return values.array(values.kind())
