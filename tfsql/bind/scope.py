"""The place where an expression stands: what it may refer to, and the types that the engine gives it there."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tfsql.backends.base import Backend, Columns
from tfsql.errors import TfsqlError
from tfsql.sugar import ROW_NAME
from tfsql.types import SqlType

# The column that carries row names through a subquery; never shown.
HIDDEN_ROW_NAME = "_tfsql_row_name"

# Parameters, and the quoted text in which a dollar sign is none.
_PARAMETER = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|\$(\w+)")


class Prober:
    """Asks the engine for the types of queries, passing the parameters that each text refers to.

    Args:
      restore: puts lifted literals back into the text.
    """

    def __init__(self, backend: Backend, parameters: Mapping[str, Any], restore: Any):
        self._backend = backend
        self._parameters = parameters
        self._restore = restore
        self._known: dict[str, Columns] = {}

    def describe(self, sql: str) -> Columns:
        """The columns of a query, bound by the engine but not run."""
        if sql not in self._known:
            self._known[sql] = self._backend.describe(self._restore(sql), self.used_parameters(sql))
        return self._known[sql]

    def used_parameters(self, sql: str) -> dict[str, Any]:
        names = self.parameters_in(sql)
        return {name: value for name, value in self._parameters.items() if name in names}

    @staticmethod
    def parameters_in(sql: str) -> set[str]:
        """The names of the parameters that a text refers to."""
        return set(_PARAMETER.findall(sql)) - {""}


class Scope:
    """The tables that an expression can see.

    Attributes:
      sources: the SQL of each FROM item and join, free of tensor calls, in order.
      group: the GROUP BY clause, once bound.
      windows: the WINDOW clause, once bound: a name in it that is missing aborts the user's transaction.
      where: the condition of the WHERE clause, once bound.
      aliases: select-list aliases (lower case) and their SQL, which later expressions may use.
      parent: the scope around a correlated subquery.
    """

    def __init__(self, prober: Prober, with_clause: str = "", parent: Scope | None = None):
        self._prober = prober
        self._with = with_clause
        self.sources: list[str] = []
        self.group = ""
        self.where = ""
        self.windows = ""
        self.aliases: dict[str, str] = {}
        self.parent = parent
        self._types: dict[str, SqlType] = {}

    @property
    def from_clause(self) -> str:
        return f"FROM {' '.join(self.sources)}" if self.sources else ""

    def type_of(self, sql: str) -> SqlType:
        """The type of an expression here.

        Raises:
          BindError: the engine does not know a name in it, or a function for these types.
        """
        if sql not in self._types:
            self._types[sql] = self._described([sql])[0][1]
        return self._types[sql]

    def prefetch(self, sqls: Sequence[str]) -> None:
        """Learns the types of several expressions in one question, where the engine takes them together."""
        unknown = [sql for sql in dict.fromkeys(sqls) if sql not in self._types]
        if len(unknown) < 2:
            return
        try:
            described = self._prober.describe(self._query(unknown))
        except TfsqlError:
            return
        self._types |= {sql: described[i][1] for i, sql in enumerate(unknown)}

    def columns(self, star: str = "*") -> Columns:
        """The columns that a star expression stands for, hidden ones left out."""
        described = self._prober.describe(f"{self._with}SELECT {star} {self.from_clause}")
        return [(name, kind) for name, kind in described if name not in (ROW_NAME, HIDDEN_ROW_NAME)]

    def queries(self, sqls: Sequence[str]) -> list[str]:
        """Queries of the values of ``sqls`` in every row here, the likeliest first; the engine takes one of them."""
        return self._attempts(sqls)

    def probe(self, sqls: Sequence[str]) -> str | None:
        """A query of ``sqls`` and of whether WHERE passes, in table order; None where that has no meaning."""
        if not self.sources or self.group or self.parent is not None:
            return None
        return f"{self._with}SELECT {', '.join(sqls)}, {self.where or 'true'} {self.from_clause}"

    def _described(self, sqls: Sequence[str]) -> Columns:
        first_error: TfsqlError | None = None
        for query in self._attempts(sqls):
            try:
                return self._prober.describe(query)
            except TfsqlError as error:
                first_error = first_error or error
        assert first_error is not None
        raise first_error

    def _attempts(self, sqls: Sequence[str]) -> list[str]:
        """Queries that give the expressions their meaning, from the plainest on."""
        attempts = [self._query(sqls)]
        if self.group:
            attempts.append(self._query(sqls, self.group))
        if self.aliases:
            attempts.append(self._query([_substituted(sql, self.aliases) for sql in sqls]))
        if self.parent is not None:
            attempts += [self._inside(query, self.parent) for query in list(attempts)]
        return attempts

    def _query(self, sqls: Sequence[str], group: str = "") -> str:
        items = ", ".join(f"{sql} AS c{i}" for i, sql in enumerate(sqls))
        return f"{self._with}SELECT {items} {self.from_clause} {group} {self.windows}".rstrip()

    def _inside(self, query: str, parent: Scope) -> str:
        """``query`` as a lateral subquery of everything that the scopes around it see."""
        source = f"{parent.from_clause}, LATERAL ({query}) AS inside" if parent.sources else f"FROM ({query}) AS inside"
        outer = f"{parent._with}SELECT inside.* {source}"
        return outer if parent.parent is None else self._inside(outer, parent.parent)


def _substituted(sql: str, aliases: Mapping[str, str]) -> str:
    """``sql`` with select-list aliases replaced by what they name, nested ones included."""
    names = "|".join(re.escape(name) for name in sorted(aliases, key=len, reverse=True))
    pattern = re.compile(rf'(?<![\w."])"?({names})"?(?![\w(."])', re.IGNORECASE)
    for _ in range(len(aliases)):
        replaced = pattern.sub(lambda match: f"({aliases[match.group(1).lower()]})", sql)
        if replaced == sql:
            break
        sql = replaced
    return sql
