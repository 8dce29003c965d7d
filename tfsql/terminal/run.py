"""Runs SQL so that Ctrl-C stops it, its progress is seen and its errors tell their place in the whole text."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tfsql.errors import Span, TfsqlError
from tfsql.source import Statement, statements
from tfsql.terminal.progress import EVERY_S, Progress

if TYPE_CHECKING:
    from tfsql.session import Connection
    from tfsql.terminal.output import Output

T = TypeVar("T")

EXIT_INTERRUPTED = 130


def run_text(connection: Connection, text: str, output: Output) -> None:
    """Runs the statements of a text one after the other and writes the rows of each.

    Raises:
      TfsqlError: the first error, placed in ``text``; the statements before it have run.
      KeyboardInterrupt: after Ctrl-C, when the engine has stopped.
    """
    with _located(text, None):
        parts = list(statements(text))
    with Interruptible(connection) as call:
        for statement in parts:
            call.progress = Progress(connection)
            try:
                with _located(text, statement, is_alone=len(parts) == 1):
                    relation = call(partial(connection.sql, statement.text))
                    if relation is not None:
                        output.write(relation, call, call.progress)
            finally:
                call.progress.clear()


def read_file(path: str) -> str:
    """The text of a file of SQL.

    Raises:
      TfsqlError: the file is missing, a directory, not readable, or no text.
    """
    try:
        return decoded(Path(os.path.expanduser(path)).read_bytes(), path)
    except OSError as error:
        raise TfsqlError(f"Cannot read {path}: {error.strerror or error}") from error


def decoded(text: bytes, name: str) -> str:
    """The text of bytes in UTF-8.

    Raises:
      TfsqlError: they are no such text.
    """
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TfsqlError(f"Cannot read {name}: it is not text in UTF-8") from error


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

    Attributes:
      progress: what draws the progress of the calls.
    """

    def __init__(self, connection: Connection):
        self._connection = connection
        self._worker = ThreadPoolExecutor(1, "tfsql")
        self.progress: Progress = Progress(connection)

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
            while not future.done():
                wait([future], timeout=EVERY_S)
                self.progress.update()
            return future.result()
        except KeyboardInterrupt:
            self._stop(future)
            raise

    def _stop(self, future: Future[Any]) -> None:
        """Interrupts the engine until the call has ended: it may not have reached the engine yet."""
        try:
            while not future.done():
                self._connection.interrupt()
                wait([future], timeout=EVERY_S)
        except KeyboardInterrupt:
            # An operator that runs cannot be stopped; whoever asks twice does not want to wait for it.
            os._exit(EXIT_INTERRUPTED)
