"""The database of a server: one connection that writes, several that read, all of them locked down."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

from tfsql import access
from tfsql.errors import ForbiddenError, TfsqlError, UnsupportedError
from tfsql.isolation import NONE
from tfsql.mldb.resources import Answer, Resources
from tfsql.plans import Question
from tfsql.result import Relation
from tfsql.running import Request
from tfsql.server.options import Options
from tfsql.server.statements import check_statement
from tfsql.session import Connection
from tfsql.source import Statement
from tfsql.split import KernelCache
from tfsql.types import quote_text

DEMO = "demo"
_TRANSACTION_WORDS = frozenset({"BEGIN", "START"})
_names = itertools.count(1)


class ServedConnection(Connection):
    """A connection whose SQL comes from anyone: no variables of this process, no statement that changes the server.

    Args:
      path: the database file, or the name of a database in memory.
      first: another connection to the same database, whose functions this one shares.
    """

    def __init__(self, path: str, options: Options, first: ServedConnection | None = None):
        super().__init__(path, read_only=options.is_read_only, trust=options.is_trusting)
        self.settings.set("tfsql_javascript_timeout_s", min(10.0, options.timeout_s))
        self.settings.set("tfsql_isolation", options.isolation)
        self.settings.set("tfsql_worker_memory_limit", options.worker_memory or NONE)
        self._is_writer = first is None
        self._is_read_only = options.is_read_only
        self._is_in_transaction = False
        self._seen_changes = 0
        self.numbers: Iterator[int] = itertools.count(1) if first is None else first.numbers
        self.kernels = KernelCache(self.backend, self.settings, self.numbers)
        if first is not None:
            self._host_functions, self._graphs = first._host_functions, first._graphs

    def _asked(self, request: Request) -> Relation | None:
        return super()._asked(replace(request, variables={}))

    def _statement(self, statement: Statement, request: Request, question: Question | None) -> Relation | None:
        try:
            check_statement(statement)
        except TfsqlError as error:
            raise error.locate(request.source.text) from None
        self._is_in_transaction |= statement.tokens[0].text.upper() in _TRANSACTION_WORDS
        try:
            return super()._statement(statement, request, question)
        except TfsqlError as error:
            if self._is_read_only and "read-only mode" in error.message:
                refusal = ForbiddenError("This server only reads", span=error.span)
                raise refusal.locate(request.source.text) from error
            raise

    def percent_done(self) -> float | None:
        """How much of the query that runs is done; None where the engine cannot tell."""
        done = self.backend.percent_done()
        return None if done is None else round(done, 1)

    def renew(self, changes: int) -> None:
        """Makes ready for the next request: where others have written since the last one, the schema may be another."""
        if changes != self._seen_changes:
            self.catalog.forget()
            self._seen_changes = changes

    def end_request(self) -> None:
        """Rolls a transaction back that a request has left open.

        Raises:
          UnsupportedError: there was one.
        """
        if not self._is_in_transaction:
            return
        self._is_in_transaction = False
        try:
            self.backend.execute("ROLLBACK", {})
        except TfsqlError:
            return
        self.kernels.end_transaction(is_kept=False)
        raise UnsupportedError("A transaction ends in the request that begins it; this one was rolled back")


class Database:
    """The connections of a server.

    Attributes:
      writer: the one whose statements may write.
      readers: those of queries that only read.
    """

    def __init__(self, options: Options):
        self.changes = 0
        self._scratch = tempfile.TemporaryDirectory(prefix="tfsql-server")
        tempfile.tempdir = self._scratch.name  # what an import copies is read by the engine, which is locked to folders
        path = options.database
        if path == ":memory:":
            path = f":memory:tfsql_server_{next(_names)}"
        self.writer = ServedConnection(path, options)
        self.readers = [ServedConnection(path, options, self.writer) for _ in range(options.workers)]
        _add_demo(self.writer)
        self._lock(options)
        restriction = access.Restriction(options.folders, options.urls, _files_of(path), options.is_read_only)
        access.restrict(None if options.is_trusting else restriction)
        first = Resources(self.writer, options.max_rows)
        self.resources = {id(self.writer): first}
        self.resources |= {id(reader): first.beside(reader) for reader in self.readers}

    def _lock(self, options: Options) -> None:
        """Locks the engine to the folders, for good."""
        folders = [*map(str, options.folders), self._scratch.name]
        settings = [
            f"memory_limit = {quote_text(options.memory_limit)}",
            f"temp_directory = {quote_text(str(Path(self._scratch.name) / 'spill'))}",
            "autoinstall_known_extensions = false",
            "autoload_known_extensions = false",
            "allow_community_extensions = false",
        ]
        if not options.is_trusting:
            settings.append(f"allowed_directories = [{', '.join(quote_text(f'{folder}/') for folder in folders)}]")
            settings.append("enable_external_access = false")
        for setting in [*settings, "lock_configuration = true"]:
            self.writer.backend.execute(f"SET {setting}", {})

    @property
    def worker_deaths(self) -> int:
        """How many kernel workers have died, or were ended for their memory."""
        return sum(connection.kernels.worker_deaths for connection in (self.writer, *self.readers))

    def renew(self, connection: ServedConnection) -> None:
        """Makes a connection ready for a request; the writer's requests count as changes, from their beginning."""
        if connection is self.writer:
            self.changes += 1
        connection.renew(self.changes)

    def end_request(self, connection: ServedConnection) -> None:
        """Ends a request; raises where it left a transaction open."""
        if connection is self.writer:
            self.changes += 1
        connection.end_request()

    def handle(self, connection: ServedConnection, method: str, path: str, payload: Any) -> Answer:
        """The answer of a resource, through one of the connections."""
        self.renew(connection)
        answer = self.resources[id(connection)].handle(method, path, payload)
        self.end_request(connection)
        return answer

    def close(self) -> None:
        for connection in (*self.readers, self.writer):
            connection.close()
        access.restrict(None)
        tempfile.tempdir = None
        self._scratch.cleanup()


def _files_of(path: str) -> tuple[Path, ...]:
    if path.startswith(":memory:"):
        return ()
    resolved = Path(path).resolve()
    return (resolved, resolved.with_name(f"{resolved.name}.wal"))


def _add_demo(connection: ServedConnection) -> None:
    """A database in memory beside the served one, with the digits that the page and its examples use."""
    backend = connection.backend
    backend.execute(f"ATTACH ':memory:' AS {DEMO} (READ_WRITE)", {})
    file = resources.as_file(resources.files("tfsql.data") / "digits.parquet")
    with file as path:
        backend.execute(
            f"CREATE TABLE {DEMO}.digits AS SELECT label::INTEGER AS label, image::FLOAT[28][28] AS image "
            f"FROM {quote_text(str(path))}",
            {},
        )
