"""The command line: SQL from an argument, a file, standard input or the prompt; data to standard output.

Everything else goes to standard error. The exit code is that of the error's class, 130 after Ctrl-C, 141 where the
reader of standard output has gone, and 2 for arguments that make no sense.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tfsql import __version__, connect
from tfsql.errors import Span, TfsqlError
from tfsql.render import FORMATS, MAX_ROWS, Result, Row
from tfsql.source import Statement, statements

if TYPE_CHECKING:
    from tfsql.result import Relation
    from tfsql.session import Connection

T = TypeVar("T")

EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141
BATCH_ROWS = 1024
# DuckDB draws its progress bar on standard output, into the data, even where that is no terminal.
_SETTINGS = "SET enable_progress_bar = false"

_DESCRIPTION = """\
SQL with TensorFlow's operators as functions, over DuckDB tables and files.
Without -c and -f, SQL is read from standard input, or typed if that is a terminal.
"""
_EXAMPLES = """\
examples:
  tfsql -c "SELECT tf_Cos(0.5) AS y"
  tfsql digits.duckdb -f report.sql --format csv > report.csv
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit code."""
    _never_fail_to_encode()
    options = _parser().parse_args(argv)
    try:
        code = _run(options)
        sys.stdout.flush()
        return code
    except TfsqlError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        _leave_stdout()
        return EXIT_BROKEN_PIPE
    except OSError as error:
        _leave_stdout()
        print(f"Cannot write the result: {error.strerror or error}", file=sys.stderr)
        return TfsqlError.exit_code


def _run(options: argparse.Namespace) -> int:
    texts = list(_texts(options))
    _check_database(options.database)
    with connect(options.database, read_only=options.readonly, trust=options.trust) as connection:
        connection.execute(_SETTINGS)
        if not texts:
            from tfsql.repl import Repl

            return Repl(connection, mode=options.format).run()
        for name, text in texts:
            with named_errors(name):
                run_text(connection, text, options.format)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tfsql",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    database_help = "a database file, made if missing; in memory if left out"
    parser.add_argument("database", nargs="?", default=":memory:", metavar="DATABASE", help=database_help)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("-c", dest="commands", action="append", metavar="SQL", help="run this SQL; may be repeated")
    source.add_argument("-f", dest="files", action="append", metavar="FILE", help="run this file; may be repeated")
    parser.add_argument("--format", choices=FORMATS, default="table", help="how rows are written; table if left out")
    parser.add_argument("--readonly", action="store_true", help="do not write to the database")
    parser.add_argument("--trust", action="store_true", help="allow operators that read or write files, or print")
    parser.add_argument("--version", action="version", version=f"tfsql {__version__}")
    return parser


# -- where SQL comes from ----------------------------------------------------------------------------------------------


def _texts(options: argparse.Namespace) -> Iterator[tuple[str | None, str]]:
    """Each text to run, with the name of its file; none if SQL is to be typed."""
    if options.commands or options.files:
        yield from ((None, _decoded(os.fsencode(text), "-c")) for text in options.commands or [])
        yield from ((path, read_file(path)) for path in options.files or [])
    elif sys.stdin is None or not sys.stdin.isatty():
        yield None, _decoded(sys.stdin.buffer.read(), "standard input") if sys.stdin is not None else ""


def read_file(path: str) -> str:
    """The text of a file of SQL.

    Raises:
      TfsqlError: the file is missing, a directory, not readable, or no text.
    """
    try:
        return _decoded(Path(os.path.expanduser(path)).read_bytes(), path)
    except OSError as error:
        raise TfsqlError(f"Cannot read {path}: {error.strerror or error}") from error


def _decoded(text: bytes, name: str) -> str:
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TfsqlError(f"Cannot read {name}: it is not text in UTF-8") from error


def _check_database(path: str) -> None:
    """Refuses what was meant as SQL or as a file of SQL, before a database of that name is made.

    Raises:
      TfsqlError: the path looks like either.
    """
    if path.lower().endswith(".sql"):
        raise TfsqlError(f"{path} is SQL, not a database", hint=f"To run it: tfsql -f {path}")
    if re.match(r"\s*(select|from|with|create|insert|show|describe|explain)\s", path, re.IGNORECASE):
        raise TfsqlError("DATABASE is a file, not SQL", hint='To run SQL: tfsql -c "SELECT ..."')


# -- running SQL -------------------------------------------------------------------------------------------------------


def run_text(connection: Connection, text: str, mode: str) -> None:
    """Runs the statements of a text one after the other and writes the rows of each to standard output.

    Raises:
      TfsqlError: the first error, placed in ``text``; the statements before it have run.
      KeyboardInterrupt: after Ctrl-C, when the engine has stopped.
    """
    with _located(text, None):
        parts = list(statements(text))
    with Interruptible(connection) as call:
        for statement in parts:
            with _located(text, statement, is_alone=len(parts) == 1):
                relation = call(partial(connection.sql, statement.text))
                if relation is not None:
                    FORMATS[mode](_result(relation, call), sys.stdout)
                    sys.stdout.flush()


def _result(relation: Relation, call: Callable[[Callable[[], Any]], Any]) -> Result:
    """The rows to come, the first batch fetched: what fails at once leaves nothing written."""
    columns, types = call(lambda: (relation.columns, relation.types))
    first = call(partial(relation.fetchmany, MAX_ROWS + 1))
    return Result(columns, types, _rows(relation, first, call))


def _rows(relation: Relation, rows: list[Row], call: Callable[[Callable[[], Any]], Any]) -> Iterator[Row]:
    while rows:
        yield from rows
        rows = call(partial(relation.fetchmany, BATCH_ROWS))


@contextmanager
def _located(text: str, statement: Statement | None, *, is_alone: bool = True) -> Iterator[None]:
    """Errors of a statement with their place in the whole text."""
    try:
        yield
    except TfsqlError as error:
        if statement is not None:
            _move(error, statement, is_alone=is_alone)
        error.sql = text
        raise


def _move(error: TfsqlError, statement: Statement, *, is_alone: bool) -> None:
    start = statement.source.original_offset(statement.tokens[0].start)
    if error.span is not None:
        error.span = Span(start + error.span.start, start + error.span.end)
    elif not is_alone:
        # Which of several statements failed is worth a line number, even where the word at fault is not known.
        error.span = Span(start, start + len(statement.text.partition("\n")[0]))


@contextmanager
def named_errors(name: str | None) -> Iterator[None]:
    """Errors with the name of the file that they are in."""
    try:
        yield
    except TfsqlError as error:
        if name is not None:
            error.message = f"{name}: {error.message}"
        raise


class Interruptible:
    """Runs calls on a connection so that Ctrl-C stops them: in a thread of their own, while the main thread waits.

    DuckDB 2.0 looks for signals only between the tasks that the main thread happens to work on, so that Ctrl-C may
    wait for the end of a query; and an import of TensorFlow that is interrupted cannot be repeated.
    """

    def __init__(self, connection: Connection):
        self._connection = connection
        self._worker = ThreadPoolExecutor(1, "tfsql")

    def __enter__(self) -> Interruptible:
        return self

    def __exit__(self, *_: object) -> None:
        self._worker.shutdown()

    def __call__(self, call: Callable[[], T]) -> T:
        """What the call returns.

        Raises:
          KeyboardInterrupt: Ctrl-C was pressed; the call has ended.
        """
        future = self._worker.submit(call)
        try:
            return future.result()
        except KeyboardInterrupt:
            self._stop(future)
            raise

    def _stop(self, future: Future[Any]) -> None:
        """Interrupts the engine until the call has ended: it may not have reached the engine yet."""
        try:
            while not future.done():
                _interrupt(self._connection)
                wait([future], timeout=0.1)
        except KeyboardInterrupt:
            # An operator that runs cannot be stopped; whoever asks twice does not want to wait for it.
            os._exit(EXIT_INTERRUPTED)


def _interrupt(connection: Connection) -> None:
    """Stops what the engine runs."""
    connection.interrupt()


# -- streams -----------------------------------------------------------------------------------------------------------


def _never_fail_to_encode() -> None:
    """Characters that the terminal's encoding does not have are written as escapes."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _leave_stdout() -> None:
    """Lets the interpreter end without another attempt to write what nobody reads."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
