"""Vectorised functions: what a statement calls on whole columns of rows, whatever computes them.

A tensor kernel, a Python function and a JavaScript function are each one object here. The relational engine calls it
on Arrow arrays; EXPLAIN, errors and the cache of kernels know it by this class alone.
"""

from __future__ import annotations

import threading
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from tfsql.errors import RowError
from tfsql.rows import Rows, concatenate, no_rows, rows_from_arrow, scatter
from tfsql.types import SqlType, Struct, TensorType, display

# So many rows of one shape are worth a call of their own; fewer are computed together with others.
MIN_ROWS_PER_SHAPE = 8
# How many shapes of a batch get calls of their own.
MAX_SHAPES = 32
# What the arguments of one call may take: what is computed in between takes a multiple of it.
MAX_CALL_BYTES = 64 * 2**20


@dataclass
class Statistics:
    """What a function has done. Thread-safe.

    Attributes:
      calls: calls of what computes it.
      rows: rows computed (NULL rows that it does not see are not).
      seconds: time inside the function.
      bytes_in: bytes of the Arrow arrays that came in.
    """

    calls: int = 0
    rows: int = 0
    seconds: float = 0.0
    bytes_in: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    def add(self, *, calls: int = 0, rows: int = 0, seconds: float = 0.0, bytes_in: int = 0) -> None:
        with self._lock:
            self.calls += calls
            self.rows += rows
            self.seconds += seconds
            self.bytes_in += bytes_in


class Vectorised(ABC):
    """A function over record batches. Thread-safe.

    Attributes:
      users: the places of live statements that call it.
      last_error: the last exception that left it: the engine passes on no more than its text.

    Args:
      name: how the engine, EXPLAIN and errors call it.
      result: the SQL type of its results.
    """

    # What its calls are called, for EXPLAIN ANALYZE.
    calls_of: ClassVar[str] = "calls"

    def __init__(self, name: str, result: SqlType):
        self.name = name
        self.result = result
        self.statistics = Statistics()
        self.last_error: BaseException | None = None
        self.users: weakref.WeakSet[Any] = weakref.WeakSet()
        self._turn = threading.RLock()

    @property
    def is_typed(self) -> bool:
        """Whether ``result`` is known; the engine can call no other."""
        return True

    @property
    def is_stateful(self) -> bool:
        """Whether two runs on the same rows may differ."""
        return False

    @property
    def is_concurrent(self) -> bool:
        """Whether it computes several batches at once; else they take turns."""
        return False

    @property
    def row_bytes(self) -> int:
        """What the largest value made on the way from one row to its result takes, as far as it is known."""
        return 0

    def restart(self) -> None:
        """Forgets what a query must not see of the one before."""
        self.last_error = None

    def interrupt(self) -> None:  # noqa: B027
        """Ends what it computes in other threads, in an error; most cannot."""

    def close(self) -> None:
        """Gives up what it holds besides memory; it can be called again after that."""
        self.last_error = None

    def reset_statistics(self) -> None:
        self.statistics = Statistics()

    def __call__(self, *columns: pa.Array | pa.ChunkedArray) -> Any:
        """The results for a batch.

        Args:
          columns: one for each argument; for a function without any one whose length counts the rows.

        Raises:
          RowError: a row fails, which is named by its position in the batch.
        """
        with nullcontext() if self.is_concurrent else self._turn:
            started = time.perf_counter()
            try:
                return self._run([_plain(column) for column in columns])
            except BaseException as error:  # Ctrl-C as well, of which the engine makes an error of its own
                self.last_error = error
                raise
            finally:
                seconds = time.perf_counter() - started
                self.statistics.add(seconds=seconds, bytes_in=sum(column.nbytes for column in columns))

    @abstractmethod
    def _run(self, columns: list[pa.Array]) -> Any:
        """The results for the columns of a batch, as an Arrow array of the result type."""

    @abstractmethod
    def signature(self) -> list[str]:
        """The types of its arguments as users read them."""

    @abstractmethod
    def explanation(self) -> list[str]:
        """What happens inside, line by line."""

    def text(self, leaves: Sequence[str], columns: Sequence[str] = (), *, is_analyze: bool = False) -> str:
        """The function as EXPLAIN shows it.

        Args:
          leaves: the SQL of its arguments where it is called.
          columns: the columns that it makes: the engine's plan shows their names in its place.
          is_analyze: whether to tell what it has done, too.
        """
        inputs = ", ".join(f"{sql}: {kind}" for sql, kind in zip(leaves, self.signature(), strict=True))
        made = f", as {', '.join(columns)}" if columns else ""
        lines = [f"{self.name}({inputs}) -> {_result_text(self.result)}{made}"]
        lines += [f"  {line}" for line in self.explanation()]
        if is_analyze:
            done = self.statistics
            lines.append(
                f"  {done.rows} rows, {done.calls} {self.calls_of}, {done.seconds * 1000:.1f} ms, "
                f"{done.bytes_in} bytes in"
            )
        return "\n".join(lines)


def _result_text(kind: SqlType) -> str:
    """A result type as users read it; of a row the first fields."""
    if not isinstance(kind, Struct):
        return display(kind)
    shown = ", ".join(f"{name} {display(field)}" for name, field in kind.fields[:6])
    more = f", ... {len(kind.fields) - 6} more" if len(kind.fields) > 6 else ""
    return f"({shown}{more})"


def _plain(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    if isinstance(column, pa.ChunkedArray):
        return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    return column


class Untyped(Vectorised):
    """A function whose result type only its rows tell: what it returns for a batch is a part of the result."""

    @property
    def is_typed(self) -> bool:
        return False

    @abstractmethod
    def joined(self, parts: Sequence[Any]) -> pa.Array:
        """The results of all batches."""


class RowWise(Vectorised):
    """A function that is defined row by row on tensors, and computed on the stacked rows of one shape.

    A row with a NULL in any column gives NULL. Rows of several shapes are computed shape by shape, those of rare shapes
    together; the results come in the order of the rows. Where a batch fails, the first row that fails by itself is
    looked for.

    Args:
      inputs: the tensors of one row.
      outputs: the tensors that make up one row's result.
    """

    # What a failure of a row raises; anything else is a fault of tfsql.
    failures: ClassVar[tuple[type[Exception], ...]] = (ValueError,)

    def __init__(self, name: str, result: SqlType, inputs: Sequence[TensorType], outputs: Sequence[TensorType]):
        super().__init__(name, result)
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)

    def signature(self) -> list[str]:
        return [str(tensor) for tensor in self.inputs]

    @abstractmethod
    def call(self, rows: list[Rows], count: int, *, is_uniform: bool) -> list[Rows]:
        """The rows of each output.

        Args:
          rows: those of each input.
          is_uniform: whether the rows of each input have one shape.
        """

    @abstractmethod
    def _assemble(self, results: list[Rows]) -> pa.Array:
        """The Arrow array of the result, from the rows of each output."""

    @abstractmethod
    def failure(self, error: Exception) -> str:
        """The sentence for a row that failed with ``error``."""

    def _run(self, columns: list[pa.Array]) -> pa.Array:
        valid = np.ones(len(columns[0]), bool)
        for column in columns:
            if column.null_count:
                valid &= column.is_valid().to_numpy(zero_copy_only=False)
        self.statistics.add(rows=int(valid.sum()))
        if not valid.all():
            columns = [column.filter(pa.array(valid)) for column in columns]
        try:
            result = self._in_parts(columns)
        except RowError as error:
            error.row = int(np.flatnonzero(valid)[error.row])
            raise
        return result if valid.all() else scatter(result, valid)

    def _in_parts(self, columns: list[pa.Array]) -> pa.Array:
        """The results, computed part by part where the engine hands over more bytes than a call should take."""
        count = len(columns[0])
        rows = max(count * MAX_CALL_BYTES // max(sum(column.nbytes for column in columns), 1), 1)
        if rows >= count:
            return self._compute(columns)
        parts = []
        for start in range(0, count, rows):
            try:
                parts.append(self._compute([column.slice(start, rows) for column in columns]))
            except RowError as error:
                error.row += start
                raise
        return pa.concat_arrays(parts)

    def _compute(self, columns: list[pa.Array]) -> pa.Array:
        count = len(columns[0])
        rows = [_rows_of(columns[index], tensor, index) for index, tensor in enumerate(self.inputs)]
        return self._assemble(self._results(rows, count) if count else [no_rows(tensor) for tensor in self.outputs])

    def _results(self, rows: list[Rows], count: int) -> list[Rows]:
        """The rows of each output, in the order of the input rows."""
        groups = list(self._groups(rows, count))
        if len(groups) == 1:
            return self._run_group(rows, count, np.arange(count), is_uniform=groups[0][1])
        parts = [
            self._run_group([column.select(index) for column in rows], len(index), index, is_uniform=is_uniform)
            for index, is_uniform in groups
        ]
        back = np.argsort(np.concatenate([index for index, _ in groups]), kind="stable")
        return [concatenate(list(column)).select(back) for column in zip(*parts, strict=True)]

    def _groups(self, rows: list[Rows], count: int) -> list[tuple[np.ndarray, bool]]:
        """Positions of rows to compute together, and whether they have one shape."""
        if all(column.shape is not None for column in rows):
            return [(np.arange(count), True)]
        signatures = np.concatenate([column.row_shapes() for column in rows], axis=1)
        distinct, group_of = np.unique(signatures, axis=0, return_inverse=True)
        sizes = np.bincount(group_of.reshape(-1), minlength=len(distinct))
        large = np.flatnonzero(sizes >= MIN_ROWS_PER_SHAPE)
        large = large[np.argsort(-sizes[large], kind="stable")][:MAX_SHAPES]
        groups = [(np.flatnonzero(group_of.reshape(-1) == group), True) for group in large]
        rest = np.flatnonzero(~np.isin(group_of.reshape(-1), large))
        return [*groups, (rest, False)] if rest.size else groups

    def _run_group(self, rows: list[Rows], count: int, positions: np.ndarray, *, is_uniform: bool) -> list[Rows]:
        try:
            return self.call(rows, count, is_uniform=is_uniform)
        except self.failures as error:
            failing, cause = self._failing_row(rows, count, is_uniform, error)
            raise RowError(self.failure(cause), int(positions[failing])) from error

    def _failing_row(self, rows: list[Rows], count: int, is_uniform: bool, error: Exception) -> tuple[int, Exception]:
        """The first row that fails by itself, found by halving; and its error."""
        first, last = 0, count
        while last - first > 1 and not self.is_stateful:
            middle = (first + last) // 2
            index = np.arange(first, middle)
            try:
                self.call([column.select(index) for column in rows], len(index), is_uniform=is_uniform)
                first = middle
            except self.failures as inner:
                last, error = middle, inner
        return first, error


def _rows_of(column: pa.Array, tensor: TensorType, index: int) -> Rows:
    try:
        return rows_from_arrow(column, tensor)
    except RowError as error:
        error.leaf = index
        raise
