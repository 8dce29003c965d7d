"""What resources are configured with, kept in the database beside the tables."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from tfsql.errors import TfsqlError
from tfsql.types import quote

if TYPE_CHECKING:
    import pyarrow as pa

    from tfsql.session import Connection

_SCHEMA = "tfsql_mldb"
RESOURCES, CELLS = f"{_SCHEMA}.resources", f"{_SCHEMA}.cells"
_LENT = "tfsql_lent"
_TABLES = {
    RESOURCES: "kind VARCHAR, id VARCHAR, config VARCHAR, PRIMARY KEY (kind, id)",
    CELLS: "dataset VARCHAR, number BIGINT, row_name VARCHAR, column_name VARCHAR, value VARCHAR",
}


class Store:
    """The configurations of a database, by kind (``functions``, ``procedures``, ``datasets``) and id."""

    def __init__(self, connection: Connection):
        self.connection = connection

    def ids(self, kind: str) -> list[str]:
        return [row[0] for row in self._rows(f"SELECT id FROM {RESOURCES} WHERE kind = ? ORDER BY id", [kind])]

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        rows = self._rows(f"SELECT config FROM {RESOURCES} WHERE kind = ? AND id = ?", [kind, name])
        return json.loads(rows[0][0]) if rows else None

    def put(self, kind: str, name: str, config: dict[str, Any]) -> None:
        self.make_tables()
        self.run(f"INSERT OR REPLACE INTO {RESOURCES} VALUES (?, ?, ?)", [kind, name, json.dumps(config)])

    def delete(self, kind: str, name: str) -> None:
        self.run(f"DELETE FROM {RESOURCES} WHERE kind = ? AND id = ?", [kind, name])

    def run(self, sql: str, parameters: list[Any] | None = None) -> list[tuple[Any, ...]]:
        """The rows of a statement in the engine's own SQL."""
        return self.connection.backend.execute(sql, parameters or []).fetchall()

    @contextmanager
    def lending(self, table: pa.Table) -> Iterator[str]:
        """The name by which the engine can read an Arrow table while this is open."""
        backend = self.connection.backend
        backend.register_table(_LENT, table)
        try:
            yield _LENT
        finally:
            backend.unregister_table(_LENT)

    def make_tables(self) -> None:
        """Makes the tables of this store, where they are not there."""
        if not self.has_tables():
            self.run(f"CREATE SCHEMA IF NOT EXISTS {_SCHEMA}")
            for name, columns in _TABLES.items():
                self.run(f"CREATE TABLE IF NOT EXISTS {name} ({columns})")

    def has_tables(self) -> bool:
        return self.connection.backend.has_table([_SCHEMA, CELLS.partition(".")[2]])

    def has_dataset(self, name: str) -> bool:
        """Whether there is a table or a view of this name."""
        return self.connection.backend.has_table([name])

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of what is done inside, or nothing; a transaction that is open already is the one."""
        try:
            self.connection.execute("BEGIN")
        except TfsqlError:
            yield
            return
        try:
            yield
            self.connection.execute("COMMIT")
        except BaseException:
            with suppress(TfsqlError):
                self.connection.execute("ROLLBACK")
            raise
        finally:
            self.connection.catalog.forget()

    def drop_dataset(self, name: str) -> None:
        kind = self.run("SELECT table_type FROM information_schema.tables WHERE table_name = ?", [name])
        self.run(f"DROP {'VIEW' if kind and kind[0][0] == 'VIEW' else 'TABLE'} IF EXISTS {quote(name)}")
        if self.has_tables():
            self.run(f"DELETE FROM {CELLS} WHERE dataset = ?", [name])

    def _rows(self, sql: str, parameters: list[Any]) -> list[tuple[Any, ...]]:
        return self.run(sql, parameters) if self.has_tables() else []
