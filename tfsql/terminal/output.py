"""Where the rows of results go: standard output, or a file that is complete or absent."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from tfsql.errors import TfsqlError, UnsupportedError
from tfsql.render import FORMATS, MAX_ROWS, Result, Row, writer
from tfsql.replacing import replaced
from tfsql.terminal.pager import paged

if TYPE_CHECKING:
    from tfsql.result import Relation
    from tfsql.terminal.progress import Progress

Call = Callable[[Callable[[], Any]], Any]

PARQUET = "parquet"
MODES = (*FORMATS, PARQUET)
# The format that the name of a file asks for.
MODE_OF_SUFFIX = {
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".md": "markdown",
    ".parquet": PARQUET,
}
BATCH_ROWS = 1024
# What is shown of a table in a pager: rows, and characters of a line.
PAGED_ROWS = 1000
PAGED_WIDTH = 2000


class Output:
    """A stream of text, to which the results are written one behind the other.

    Args:
      mode: one of ``render.FORMATS``.
      pictures: how tables draw tensors that are pictures, one of ``render.PICTURES``.
      stream: None for what is standard output at that moment.

    Attributes:
      max_rows: how many rows a table shows.
      is_paged: whether tables that do not fit the terminal are paged: more rows, at their full width.
    """

    def __init__(self, mode: str = "table", *, pictures: str = "none", stream: TextIO | None = None):
        self.mode = mode
        self.pictures = pictures
        self.max_rows = MAX_ROWS
        self.is_paged = False
        self._stream = stream

    def write(self, relation: Relation, call: Call, progress: Progress) -> None:
        """Writes the rows of a relation; the first of them are fetched before anything is written.

        Args:
          call: calls a function so that it can be interrupted.
        """
        is_paged = self.is_paged and self.mode == "table"
        rows, width = (max(self.max_rows, PAGED_ROWS), PAGED_WIDTH) if is_paged else (self.max_rows, None)
        columns, types = call(lambda: (relation.columns, relation.types))
        first = call(partial(relation.fetchmany, rows + 1))
        result = Result(columns, types, _rows(relation, first, call, progress))
        # A pager passes colours on, but no pixels.
        pictures = "blocks" if is_paged and self.pictures != "none" else self.pictures
        write = writer(self.mode, pictures=pictures, max_rows=rows, max_width=width)
        with paged() if is_paged else nullcontext(self._stream or sys.stdout) as stream:
            write(result, stream)
            progress.clear()
            stream.flush()


def _rows(relation: Relation, rows: list[Row], call: Call, progress: Progress) -> Iterator[Row]:
    while rows:
        progress.clear()
        yield from rows
        progress.rows_written += len(rows)
        rows = call(partial(relation.fetchmany, BATCH_ROWS))


class ParquetOutput(Output):
    """A Parquet file, which holds one result; the shapes of tensors are kept in it."""

    def __init__(self, path: Path):
        super().__init__(PARQUET)
        self._path = path
        self._is_written = False

    def write(self, relation: Relation, call: Call, progress: Progress) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if self._is_written:
            raise UnsupportedError("A Parquet file holds one result, but this is the second")
        batches = call(relation.batches)
        first = call(partial(next, batches, None))
        schema = first.schema if first is not None else call(relation.arrow).schema
        try:
            with pq.ParquetWriter(self._path, schema) as file:
                while first is not None:
                    file.write_batch(first)
                    progress.rows_written += first.num_rows
                    first = call(partial(next, batches, None))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise UnsupportedError(f"Parquet cannot hold this result: {error}") from error
        self._is_written = True
        progress.clear()


@contextmanager
def open_output(mode: str | None, path: str | None, *, pictures: str = "none") -> Iterator[Output]:
    """The output for a format and a file; None is a table, or what the file's name says, and standard output.

    Raises:
      TfsqlError: the file cannot be written.
    """
    target = None if path is None else Path(os.path.expanduser(path))
    if mode is None:
        mode = "table" if target is None else MODE_OF_SUFFIX.get(target.suffix.lower(), "table")
    if target is None and mode != PARQUET:
        yield Output(mode, pictures=pictures)
    elif target is None:
        with _parquet_on_stdout() as output:
            yield output
    else:
        with _told(path), replaced(target) as part:
            if mode == PARQUET:
                yield ParquetOutput(part)
            else:
                with part.open("w", encoding="utf-8", newline="") as stream:
                    yield Output(mode, pictures=pictures, stream=stream)


@contextmanager
def _told(path: str | None) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:  # standard output, not the file
        raise
    except OSError as error:
        raise TfsqlError(f"Cannot write {path}: {error.strerror or error}") from error


@contextmanager
def _parquet_on_stdout() -> Iterator[Output]:
    """Parquet is collected in a temporary file first: its index stands at the end."""
    if sys.stdout.isatty():
        raise UnsupportedError("Parquet is not for reading on a terminal", hint="Name a file: -o FILE")
    with tempfile.TemporaryDirectory(prefix="tfsql") as folder:
        part = Path(folder, "result.parquet")
        yield ParquetOutput(part)
        if part.exists():
            with part.open("rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer)
            sys.stdout.buffer.flush()
