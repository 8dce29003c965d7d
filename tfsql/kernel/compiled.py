"""A kernel: a program compiled for batches of rows, from Arrow arrays to an Arrow array.

The same object is a vectorised function of the relational engine and a plain function on a record batch.
"""

from __future__ import annotations

import re
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf

from tfsql.infer import clean_message
from tfsql.kernel.arrow import (
    RowError,
    Rows,
    array_from_rows,
    concatenate,
    elements_array,
    rows_from_arrow,
    scatter,
)
from tfsql.kernel.graph import Program, Shape, index_paths
from tfsql.kernel.lift import LOOPED, Lifted, NeedsLoopError, batched, looped
from tfsql.tree import Leaf, Node, Record, Sequence, Spread, Value
from tfsql.types import TensorType, declared

# So many rows of one shape are worth a function of their own; fewer run in one loop with others.
MIN_ROWS_PER_SHAPE = 8
# How many functions for different shapes a kernel keeps.
MAX_SPECIALISATIONS = 32


@dataclass
class Statistics:
    """What a kernel has done.

    Attributes:
      calls: TensorFlow function calls.
      rows: rows computed (NULL rows are not).
      seconds: time inside the kernel.
      bytes_in: bytes of the Arrow arrays that came in.
    """

    calls: int = 0
    rows: int = 0
    seconds: float = 0.0
    bytes_in: int = 0


class Kernel:
    """Computes a program over record batches. Thread-safe; traced on first use, once for each shape of rows.

    Attributes:
      users: the places of live statements that call it.

    Args:
      program: what to compute.
      name: how EXPLAIN and errors call it.
      argument_values: the values of ``program.arguments``.
    """

    def __init__(self, program: Program, name: str, argument_values: SequenceOf[np.ndarray] = ()):
        self.program = program
        self.name = name
        self.statistics = Statistics()
        self.last_error: Exception | None = None
        self.users: weakref.WeakSet[Any] = weakref.WeakSet()
        self._arguments = [
            tf.constant(value, constant.type.dtype)
            for value, constant in zip(argument_values, program.arguments, strict=True)
        ]
        self._functions: OrderedDict[tuple[Shape, ...], Lifted | None] = OrderedDict()
        self._loop: Lifted | None = None
        self._lock = threading.RLock()

    def reset_statistics(self) -> None:
        self.statistics = Statistics()

    def restart(self) -> None:
        """Forgets the state of random operators, so that the next query repeats what a seed promises."""
        if self.program.is_stateful:
            self._loop = None

    def __call__(self, *columns: pa.Array | pa.ChunkedArray) -> pa.Array:
        """The results for a batch; a row with a NULL in any column gives NULL.

        Args:
          columns: one for each leaf of the program; for a program without leaves one whose length counts the rows.

        Raises:
          RowError: an operator fails on a row, which is named by its position in the batch.
        """
        with self._lock:
            started = time.perf_counter()
            try:
                return self._run([_plain(column) for column in columns])
            except Exception as error:
                self.last_error = error
                raise
            finally:
                self.statistics.seconds += time.perf_counter() - started

    def _run(self, columns: list[pa.Array]) -> pa.Array:
        valid = np.ones(len(columns[0]), bool)
        for column in columns:
            if column.null_count:
                valid &= column.is_valid().to_numpy(zero_copy_only=False)
        self.statistics.bytes_in += sum(column.nbytes for column in columns)
        self.statistics.rows += int(valid.sum())
        if not valid.all():
            columns = [column.filter(pa.array(valid)) for column in columns]
        try:
            result = self._compute(columns)
        except RowError as error:
            error.row = int(np.flatnonzero(valid)[error.row])
            raise
        return result if valid.all() else scatter(result, valid)

    def _compute(self, columns: list[pa.Array]) -> pa.Array:
        leaves = self.program.leaves
        count = len(columns[0])
        rows = [_rows_of_leaf(columns[index], leaf, index) for index, leaf in enumerate(leaves)]
        results = self._results(rows, count) if count else [_no_rows(node.type) for node in self.program.results]
        return _assemble(self.program.value, iter(results))

    # -- rows in groups of one shape ---------------------------------------------------------------------------------

    def _results(self, rows: list[Rows], count: int) -> list[Rows]:
        """The rows of each result node, in the order of the input rows."""
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
        large = large[np.argsort(-sizes[large], kind="stable")][:MAX_SPECIALISATIONS]
        groups = [(np.flatnonzero(group_of.reshape(-1) == group), True) for group in large]
        rest = np.flatnonzero(~np.isin(group_of.reshape(-1), large))
        return [*groups, (rest, False)] if rest.size else groups

    def _run_group(self, rows: list[Rows], count: int, positions: np.ndarray, *, is_uniform: bool) -> list[Rows]:
        try:
            return self._call(rows, count, is_uniform=is_uniform)
        except (tf.errors.OpError, ValueError) as error:
            failing, cause = self._failing_row(rows, count, is_uniform, error)
            message = f"{self._operator_of(cause)} failed: {clean_message(cause)}"
            raise RowError(message, int(positions[failing])) from error

    def _failing_row(self, rows: list[Rows], count: int, is_uniform: bool, error: Exception) -> tuple[int, Exception]:
        """The first row that fails by itself, found by halving; and its error."""
        first, last = 0, count
        while last - first > 1 and not self.program.is_stateful:
            middle = (first + last) // 2
            index = np.arange(first, middle)
            try:
                self._call([column.select(index) for column in rows], len(index), is_uniform=is_uniform)
                first = middle
            except (tf.errors.OpError, ValueError) as inner:
                last, error = middle, inner
        return first, error

    def _operator_of(self, error: Exception) -> str:
        """The operator that an error of TensorFlow names, else all of this kernel's."""
        text = str(error)
        named = [call.op for call in self.program.calls if re.search(rf"[/ ]{call.op}(_\d+)?\}}\}}", text)]
        names = named[:1] or list(dict.fromkeys(call.op for call in self.program.calls))
        return ", ".join(f"tf_{name}" for name in names)

    # -- calls of TensorFlow -----------------------------------------------------------------------------------------

    def _call(self, rows: list[Rows], count: int, *, is_uniform: bool) -> list[Rows]:
        lifted = self._specialised([column.with_common_shape() for column in rows]) if is_uniform else None
        self.statistics.calls += 1
        if lifted is None:
            return self._call_loop(rows, count)
        uniform = [column.with_common_shape() for column in rows]
        tensors = [
            tf.constant(column.elements.reshape(count, *(column.shape or ())), leaf.type.dtype)
            for column, leaf in zip(uniform, self.program.leaves, strict=True)
        ]
        made = lifted.function(*tensors, *self._arguments)
        return [
            _rows_of(tensor, count, self.program.is_varying(node))
            for tensor, node in zip(made, self.program.results, strict=True)
        ]

    def _call_loop(self, rows: list[Rows], count: int) -> list[Rows]:
        if self._loop is None:
            self._loop = looped(self.program)
        tensors = [tf.constant(count, tf.int32)]
        for column, leaf in zip(rows, self.program.leaves, strict=True):
            tensors.append(tf.constant(column.elements, leaf.type.dtype))
            tensors.append(tf.constant(column.row_shapes(), tf.int64, shape=(count, leaf.type.rank)))
        made = self._loop.function(*tensors, *self._arguments)
        return [
            _rows_of_loop(elements.numpy(), shapes.numpy(), node.type)
            for (elements, shapes), node in zip(made, self.program.results, strict=True)
        ]

    def _specialised(self, rows: list[Rows]) -> Lifted | None:
        """The function for rows of these shapes; None where the rows must be looped over."""
        key = tuple(column.shape or () for column in rows)
        if key not in self._functions:
            try:
                self._functions[key] = batched(self.program, list(key))
            except NeedsLoopError:
                self._functions[key] = None
            if len(self._functions) > MAX_SPECIALISATIONS:
                self._functions.popitem(last=False)
        self._functions.move_to_end(key)
        return self._functions[key]

    # -- for EXPLAIN -------------------------------------------------------------------------------------------------

    def rules(self) -> dict[Any, str]:
        """How the rows of each call are batched; traces the kernel if its shapes are known before running."""
        shapes = [leaf.type.shape for leaf in self.program.leaves]
        is_known = all(leaf.type.is_fixed for leaf in self.program.leaves)
        if is_known:
            with self._lock:
                lifted = self._specialised([Rows(np.empty(0), None, shape, 0) for shape in shapes])  # type: ignore[arg-type]
            if lifted is not None:
                return lifted.rules
        varying = "by shape" if not is_known and not self.program.is_stateful else LOOPED
        return {call: varying if call in self.program.varying else "constant" for call in self.program.calls}


def _plain(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    if isinstance(column, pa.ChunkedArray):
        return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    return column


def _rows_of_leaf(column: pa.Array, leaf: Leaf, index: int) -> Rows:
    try:
        return rows_from_arrow(column, leaf.type)
    except RowError as error:
        error.leaf = index
        raise


def _no_rows(tensor: TensorType) -> Rows:
    dtype = object if tensor.dtype == "string" else tf.as_dtype(tensor.dtype).as_numpy_dtype
    with_dtype = np.empty(0, dtype)
    if tensor.is_fixed:
        return Rows(with_dtype, None, tuple(axis or 0 for axis in tensor.shape or ()), 0)
    return Rows(with_dtype, np.zeros((0, tensor.rank), np.int64), None, 0)


def _rows_of(tensor: tf.Tensor, count: int, is_varying: bool) -> Rows:
    array = np.asarray(tensor)
    return Rows.stacked(array if is_varying else np.broadcast_to(array, (count, *array.shape)))


def _rows_of_loop(elements: np.ndarray, shapes: np.ndarray, tensor: TensorType) -> Rows:
    if tensor.is_fixed:
        return Rows(elements, None, tuple(axis or 0 for axis in tensor.shape or ()), len(shapes))
    return Rows(elements, shapes.astype(np.int64), None, len(shapes))


# -- results as Arrow --------------------------------------------------------------------------------------------------


def _assemble(value: Value, results: Any) -> pa.Array:
    """The Arrow array of a value, taking the rows of each of its tensors from ``results`` in order."""
    if isinstance(value, Record):
        children = [_assemble(field, results) for _, field in value.fields]
        return pa.StructArray.from_arrays(children, names=[name for name, _ in value.fields])
    if isinstance(value, Sequence):
        return _assemble_sequence(value, [next(results) for _ in value.items])
    if isinstance(value, Spread):
        return _assemble_spread(value.node, next(results))
    return array_from_rows(next(results), declared(value.type))


def _assemble_sequence(value: Sequence, parts: list[Rows]) -> pa.Array:
    """A list output: the item of each tensor becomes one element along a leading axis of known length."""
    count = parts[0].count
    joined = concatenate(parts)
    order = np.arange(count * len(parts)).reshape(len(parts), count).T.reshape(-1)
    return pa.FixedSizeListArray.from_arrays(array_from_rows(joined.select(order), declared(value.type)), len(parts))


def _assemble_spread(node: Node, rows: Rows) -> pa.Array:
    table = rows.elements.reshape(rows.count, len(index_paths(node.type.shape)))
    scalar = TensorType(node.type.dtype, (), node.type.is_bytes)
    children = [elements_array(np.ascontiguousarray(table[:, i]), scalar) for i in range(table.shape[1])]
    return pa.StructArray.from_arrays(children, names=index_paths(node.type.shape))
