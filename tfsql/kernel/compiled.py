"""A kernel: a program compiled for batches of rows, from Arrow arrays to an Arrow array.

The same object is a vectorised function of the relational engine and a plain function on a record batch.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from collections.abc import Sequence as SequenceOf
from functools import cached_property, lru_cache
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import tensorflow as tf

from tfsql.errors import RowError
from tfsql.infer import clean_message, constant_of, convert_constant
from tfsql.kernel import devices
from tfsql.kernel.explain import kernel_lines
from tfsql.kernel.graph import Shape, index_paths
from tfsql.kernel.lending import lent, lent_between
from tfsql.kernel.lifted import DISTINCT, LOOPED, MAPPED, Lifted
from tfsql.kernel.loop import loop_rules
from tfsql.kernel.traces import Traces
from tfsql.rows import Rows, array_from_rows, concatenate, elements_array
from tfsql.tree import Node, Record, Sequence, Spread, Value
from tfsql.types import TensorType, declared
from tfsql.vectorised import RowWise

# So many rows must have one value of a parameter on average, and so many values there may be, for calls by value.
MIN_ROWS_PER_VALUE = 4
MAX_VALUES = 32


class Kernel(RowWise):
    """Computes a program over record batches; traced on first use, once for each shape of rows.

    Args:
      traces: the traced functions of the program.
      name: how EXPLAIN and errors call it.
      argument_values: the values of ``program.arguments``.
    """

    calls_of: ClassVar[str] = "TensorFlow calls"
    failures: ClassVar[tuple[type[Exception], ...]] = (tf.errors.OpError, ValueError)

    def __init__(self, traces: Traces, name: str, argument_values: SequenceOf[Any] = ()):
        program = traces.program
        inputs, outputs = [leaf.type for leaf in program.leaves], [node.type for node in program.results]
        super().__init__(name, program.result_type(), inputs, outputs)
        self.program = program
        self.traces = traces
        self._is_fixed = all(leaf.type.is_fixed for leaf in program.leaves)
        self.argument_values = tuple(argument_values)

    @cached_property
    def _arguments(self) -> list[tf.Tensor]:
        return [
            tf.convert_to_tensor(value, constant.type.dtype)
            for value, constant in zip(self.argument_values, self.program.arguments, strict=True)
        ]

    def with_arguments(self, name: str, values: SequenceOf[np.ndarray | None]) -> Kernel:
        """This kernel with other values, of the shapes that they had, of those arguments that are not None.

        Raises:
          TypeMismatchError: a value does not fit the type that the kernel takes.
        """
        arguments = [
            kept if value is None else convert_constant(constant_of(value), constant.type.dtype).value
            for constant, kept, value in zip(self.program.arguments, self.argument_values, values, strict=True)
        ]
        return self._like(name, arguments)

    def _like(self, name: str, argument_values: SequenceOf[Any]) -> Kernel:
        """This kernel with other arguments."""
        return Kernel(self.traces, name, argument_values)

    @property
    def is_stateful(self) -> bool:
        return self.program.is_stateful

    @property
    def is_concurrent(self) -> bool:
        return not self.is_stateful

    @property
    def row_bytes(self) -> int:
        return max((_bytes_of(node.type) for call in self.program.varying for node in call.results()), default=0)

    def restart(self) -> None:
        """Forgets the state of random operators, so that the next query repeats what a seed promises."""
        super().restart()
        if self.is_stateful:
            self.traces.forget_loop()

    def failure(self, error: Exception) -> str:
        message = clean_message(error)
        is_complete = re.match(r"tf_\w+ failed: ", message)
        return message if is_complete else f"{self._operator_of(error)} failed: {message}"

    def _operator_of(self, error: Exception) -> str:
        """The operator that an error of TensorFlow names, else all of this kernel's."""
        text = str(error)
        named = [call.op for call in self.program.calls if re.search(rf"[/ ]{call.op}(_\d+)?\}}\}}", text)]
        return f"tf_{named[0]}" if named else self.operators()

    def operators(self) -> str:
        """The operators that it calls, as users write them."""
        return ", ".join(dict.fromkeys(f"tf_{call.op}" for call in self.program.calls))

    # -- calls of TensorFlow -----------------------------------------------------------------------------------------

    def call(self, rows: list[Rows], count: int, *, is_uniform: bool) -> list[Rows]:
        if not is_uniform:
            return self._call_loop(rows, count)
        uniform = [column.with_common_shape() for column in rows]
        lifted = self.traces.of_shapes(_common_shapes(uniform), may_compile=count > 1 and self._is_fixed)
        if lifted is None or lifted.is_loop:
            made = self._call_by_parameters(uniform, count)
            if made is not None:
                return made
        return self._call_loop(rows, count) if lifted is None else self._call_batch(lifted, uniform, count)

    def _call_batch(self, lifted: Lifted, rows: list[Rows], count: int) -> list[Rows]:
        self.statistics.add(calls=1)
        tensors = [_number(count)]
        for index, (column, leaf) in enumerate(zip(rows, self.program.leaves, strict=True)):
            room = lifted.rooms.get(index)
            if room is None:
                tensors.append(lent(column.elements, (count, *(column.shape or ())), leaf.type.dtype))
            else:
                strip, start = lent_between(column.elements, room.before, room.length(count))
                tensors += [strip, _number(start)]
        try:
            with devices.on(self.traces.device):
                made = lifted.function(*tensors, *self._arguments)
        except self.failures:
            if not lifted.is_composed or self.is_stateful:
                raise
            return self._call_loop(rows, count)  # a composition may refuse what its operator takes
        return [
            _rows_laid_out(item[0].numpy(), item[1].numpy(), node.type)
            if isinstance(item, list | tuple)
            else _rows_of_batch(item, count, node.type, is_varying)
            for item, node, is_varying in zip(made, self.program.results, lifted.varying, strict=True)
        ]

    def _call_by_parameters(self, rows: list[Rows], count: int) -> list[Rows] | None:
        """One call for the rows of each distinct value of the parameters; None where that does not pay."""
        positions = [i for i, leaf in enumerate(self.program.leaves) if leaf in self.program.parameters]
        if not positions or self.program.is_stateful or count < MIN_ROWS_PER_VALUE:
            return None
        values = np.concatenate([rows[i].elements.reshape(count, -1).astype(np.int64) for i in positions], axis=1)
        _, first, group_of = np.unique(values, axis=0, return_index=True, return_inverse=True)
        if len(first) > min(count // MIN_ROWS_PER_VALUE, MAX_VALUES):
            return None
        parts, order, shapes = [], [], _common_shapes(rows)
        for group, example in enumerate(first):
            index = np.flatnonzero(group_of.reshape(-1) == group)
            fixed = {self.program.leaves[i]: _tensor_of_row(rows[i], int(example)) for i in positions}
            lifted = self.traces.of_shapes(shapes, fixed)
            if lifted is None:
                return None
            parts.append(self._call_batch(lifted, [column.select(index) for column in rows], len(index)))
            order.append(index)
        back = np.argsort(np.concatenate(order), kind="stable")
        return [concatenate(list(column)).select(back) for column in zip(*parts, strict=True)]

    def _failing_row(self, rows: list[Rows], count: int, is_uniform: bool, error: Exception) -> tuple[int, Exception]:
        """The first row that fails, and what TensorFlow says of it where it is computed by itself."""
        failing, cause = super()._failing_row(rows, count, is_uniform, error)
        if not self.is_stateful:
            try:
                self._call_loop([column.select(np.array([failing])) for column in rows], 1)
            except self.failures as alone:
                return failing, alone
        return failing, cause

    def _call_loop(self, rows: list[Rows], count: int) -> list[Rows]:
        self.traces.check(_shapes_of(rows))
        self.statistics.add(calls=1)
        tensors = [tf.constant(count, tf.int32)]
        for column, leaf in zip(rows, self.program.leaves, strict=True):
            tensors.append(lent(column.elements, column.elements.shape, leaf.type.dtype))
            tensors.append(tf.constant(column.row_shapes(), tf.int64, shape=(count, leaf.type.rank)))
        with devices.on(self.traces.device):
            made = self.traces.loop().function(*tensors, *self._arguments)
        return [
            _rows_laid_out(elements.numpy(), shapes.numpy(), node.type)
            for (elements, shapes), node in zip(made, self.program.results, strict=True)
        ]

    def _assemble(self, results: list[Rows]) -> pa.Array:
        try:
            return _assembled(self.program.value, iter(results))
        except RowError as error:
            error.message = f"{self.operators()}: {error.message}"
            raise

    # -- for EXPLAIN -------------------------------------------------------------------------------------------------

    def rules(self) -> dict[Any, str]:
        """How the rows of each call are batched; traces the kernel if its shapes are known before running."""
        if self._is_fixed:
            lifted = self.traces.of_shapes(tuple(leaf.type.shape or () for leaf in self.program.leaves))
            if lifted is not None:
                return self._with_parameters(lifted.rules)
        varying = "by shape" if not self._is_fixed and not self.program.is_stateful else LOOPED
        rules = loop_rules(self.program, varying, is_lowered=self.traces.is_lowered)
        return rules if self.program.is_stateful else self._with_parameters(rules)

    def _with_parameters(self, rules: dict[Any, str]) -> dict[Any, str]:
        """The rules, where a call that would go row by row takes a parameter from a column: one call for each value."""
        calls = {call for call in self.program.parameters.values() if rules[call] in (MAPPED, LOOPED)}
        return {call: DISTINCT if call in calls else rule for call, rule in rules.items()}

    def explanation(self) -> list[str]:
        return kernel_lines(self.program, self.rules())


@lru_cache(256)
def _number(value: int) -> tf.Tensor:
    return tf.constant(value, tf.int32)


def _bytes_of(kind: TensorType) -> int:
    """What a tensor takes; 0 where its shape is not known."""
    return math.prod(axis or 0 for axis in kind.shape or ()) * (tf.as_dtype(kind.dtype).size or 0)


def _common_shapes(rows: list[Rows]) -> tuple[Shape, ...]:
    """The shape of each input's rows, which have one."""
    return tuple(column.shape or () for column in rows)


def _shapes_of(rows: list[Rows]) -> Iterator[tuple[Shape, ...]]:
    """The shapes of each row's inputs; those of one row where there are none."""
    shapes = [[tuple(row) for row in column.row_shapes().tolist()] for column in rows]
    return zip(*shapes, strict=True) if shapes else iter([()])


def _rows_of_batch(tensor: tf.Tensor, count: int, kind: TensorType, is_varying: bool) -> Rows:
    array = _array_of(tensor)
    _check_made(array.shape[1:] if is_varying else array.shape, kind)
    return Rows.stacked(array if is_varying else np.broadcast_to(array, (count, *array.shape)))


def _tensor_of_row(rows: Rows, row: int) -> np.ndarray:
    return np.asarray(rows.elements.reshape(rows.count, *(rows.shape or ()))[row])


def _check_made(shape: tuple[int, ...], kind: TensorType) -> None:
    """Refuses a result of another shape than TensorFlow's shape function said."""
    if kind.is_fixed and shape != kind.shape:
        raise ValueError(f"the kernel made a tensor of shape {list(shape)}, which must be {list(kind.shape or ())}")


def _array_of(tensor: tf.Tensor) -> np.ndarray:
    """The elements of a tensor, in its own memory where NumPy has its dtype: ``numpy()`` would copy them."""
    # NumPy's own dtype for bytes drops zeros at their end.
    return np.asarray(tensor.numpy(), object) if tensor.dtype == tf.string else np.asarray(memoryview(tensor))


def _rows_laid_out(elements: np.ndarray, shapes: np.ndarray, tensor: TensorType) -> Rows:
    if tensor.is_fixed:
        for shape in np.unique(shapes, axis=0).tolist():
            _check_made(tuple(shape), tensor)
        return Rows(elements, None, tuple(axis or 0 for axis in tensor.shape or ()), len(shapes))
    return Rows(elements, shapes.astype(np.int64), None, len(shapes))


# -- results as Arrow --------------------------------------------------------------------------------------------------


def _assembled(value: Value, results: Iterator[Rows]) -> pa.Array:
    """The Arrow array of a value, taking the rows of each of its tensors from ``results`` in order."""
    if isinstance(value, Record):
        children = [_assembled(field, results) for _, field in value.fields]
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
