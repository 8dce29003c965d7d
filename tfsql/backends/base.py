"""The contract between tfsql and a relational engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import pyarrow as pa

from tfsql.types import SqlType

Columns = list[tuple[str, SqlType]]


class EngineResult(Protocol):
    """The rows of a statement that has run; each method returns what is left of them."""

    def fetchone(self) -> tuple[Any, ...] | None: ...

    def fetchmany(self, size: int) -> list[tuple[Any, ...]]: ...

    def fetchall(self) -> list[tuple[Any, ...]]: ...

    def rows_of_change(self) -> pa.Table | None: ...


class EngineStream(Protocol):
    """The batches of a query that runs. Each is fetched when it is asked for, in whichever thread asks."""

    @property
    def schema(self) -> pa.Schema: ...

    def __iter__(self) -> Iterator[pa.RecordBatch]: ...

    def __next__(self) -> pa.RecordBatch: ...


class Backend(Protocol):
    """A relational engine. Every method raises only errors of ``tfsql.errors``."""

    def describe(self, sql: str, parameters: Mapping[str, Any]) -> Columns:
        """The names and types of a query's columns; the query is bound, not run."""

    def evaluate(self, sql: str) -> Any:
        """The value of a constant expression."""

    def execute(self, sql: str, parameters: Mapping[str, Any] | Sequence[Any]) -> EngineResult:
        """Runs one statement."""

    def arrow(self, sql: str, parameters: Mapping[str, Any] | Sequence[Any]) -> pa.Table:
        """The rows of a query as one Arrow table."""

    def stream(self, sql: str, parameters: Mapping[str, Any], rows: int | None = None) -> EngineStream:
        """The rows of a query in order, batch by batch of ``rows`` rows."""

    def returns_rows(self, sql: str) -> bool | None:
        """Whether a statement is a query (True), returns rows as a side effect (None), or returns none (False)."""

    def register_kernel(
        self,
        name: str,
        function: Callable[..., pa.Array],
        arguments: Sequence[SqlType],
        result: SqlType,
        *,
        is_volatile: bool,
    ) -> None:
        """Makes a vectorised function callable from SQL. It sees NULLs; a volatile one runs once for each row."""

    def unregister_kernel(self, name: str) -> None:
        """Removes a function."""

    def register_table(self, name: str, table: Any) -> None:
        """Makes an Arrow table or a data frame readable under ``name``, without a copy where the engine can."""

    def scan(self, name: str, columns: Sequence[tuple[str, str | None]]) -> pa.Table | None:
        """Columns of a registered Arrow table, without a copy; None where the engine would hand on other types.

        Args:
          columns: the name in the result, and the name in the table or None for zeros.
        """

    def number_rows(self, name: str) -> None:
        """Makes a registered Arrow table readable as ``numbered(name)``, too, with a column ``ROW_NUMBER`` more."""

    def batches(self, table: pa.Table, rows: int) -> Iterator[pa.RecordBatch]:
        """The rows of a table in batches of so many, until ``interrupt`` ends them in an error."""

    def unregister_table(self, name: str) -> None:
        """Removes what ``register_table`` made."""

    def has_table(self, parts: Sequence[str]) -> bool:
        """Whether the catalog has a table or view of this name (catalog and schema optional)."""

    def is_base_table(self, parts: Sequence[str]) -> bool:
        """Whether the name is a stored table, whose rows have a ``rowid``."""

    def interrupt(self) -> None:
        """Stops the statement that runs, from another thread."""

    def percent_done(self) -> float | None:
        """How much of the statement that runs is done, in percent; None where that is not known."""

    def close(self) -> None:
        """Gives up the connection and everything registered on it."""
