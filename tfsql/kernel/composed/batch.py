"""What a composition is given, and what it gives: a call for all rows of a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from tfsql.infer import apply_operator, assertion
from tfsql.registry import operator_spec
from tfsql.types import WIDENED

Shape = tuple[int | None, ...]


class RefusedError(ValueError):
    """A composition does not hold for this call: its rows are computed in another way."""


@dataclass(frozen=True)
class Ragged:
    """Rows of different shapes, laid end to end.

    Attributes:
      elements: ``[all]``.
      shapes: int64 ``[rows, rank]``.
    """

    elements: tf.Tensor
    shapes: tf.Tensor


class Batch:
    """A call whose inputs may vary by row.

    Attributes:
      operator: its name.
      rows: how many there are, an int32 scalar.
      attributes: all of them by documented name, defaults among them.
      shapes: of each output, of one row; None where its rank is not known.

    Args:
      inputs: by documented name, those that vary as ``[rows, *shape]``; lists as lists.
      varying: the names of those that vary by row.
      given: the attributes that the call gives.
    """

    def __init__(
        self,
        operator: str,
        rows: tf.Tensor,
        inputs: Mapping[str, Any],
        varying: frozenset[str],
        given: Mapping[str, Any],
        shapes: Sequence[Shape | None],
    ):
        spec = operator_spec(operator)
        assert spec is not None
        self.operator = operator
        self.rows = rows
        self.attributes = {item.name: item.default for item in spec.attributes} | dict(given)
        self.shapes = tuple(shapes)
        self._spec = spec
        self._inputs = inputs
        self._varying = varying
        self._given = given

    def takes(self, name: str) -> bool:
        """Whether the operator has such an input."""
        return name in self._inputs

    def varies(self, name: str) -> bool:
        """Whether an input differs from row to row."""
        return name in self._varying

    def stack(self, name: str, rank: int | None = None) -> Any:
        """An input of all rows, ``[rows, *shape]``; of a list each tensor.

        Args:
          rank: of one row, where only that is valid.

        Raises:
          RefusedError: rows have another rank.
        """
        given, rows = self._inputs[name], self.rows
        made = given if self.varies(name) else tf.nest.map_structure(lambda tensor: repeated(tensor, rows), given)
        if rank is not None and not {tensor.shape.rank for tensor in tf.nest.flatten(made)} <= {rank + 1}:
            raise RefusedError(f"{name} must have rank {rank}")
        return made

    def shared(self, name: str) -> Any:
        """An input that is the same for all rows.

        Raises:
          RefusedError: it varies.
        """
        if self.varies(name):
            raise RefusedError(f"{name} varies by row")
        return self._inputs[name]

    def known(self, name: str) -> np.ndarray:
        """The value of an input that is the same for all rows.

        Raises:
          RefusedError: it varies, or its value is known only while running.
        """
        value = tf.get_static_value(self.shared(name))
        if value is None:
            raise RefusedError(f"{name} is not known before running")
        return np.asarray(value)

    def row_shape(self, name: str) -> tuple[int, ...]:
        """The shape of one row of an input.

        Raises:
          RefusedError: it is not known.
        """
        shape = self._inputs[name].shape[1:] if self.varies(name) else self._inputs[name].shape
        if not shape.is_fully_defined():
            raise RefusedError(f"the shape of {name} is not known")
        return tuple(shape)

    def again(self, *, attributes: Mapping[str, Any] | None = None, **inputs: Any) -> list[Any]:
        """The outputs of a call of the same operator.

        Args:
          attributes: those that differ from this call's.
          inputs: those that differ from this call's; it must have all others the same for all rows.
        """
        names = [argument.name for argument in self._spec.inputs]
        items = [inputs[name] if name in inputs else self.shared(name) for name in names]
        return apply_operator(self._spec, items, {**self._given, **(attributes or {})})

    def requiring(self, holds: tf.Tensor, reason: str, tensor: tf.Tensor) -> tf.Tensor:
        """A tensor that waits for a condition on all rows: what would be an error in its row may not hit another."""
        with tf.control_dependencies([assertion(self._spec, holds, reason)]):
            return tf.identity(tensor)

    def row_numbers(self, length: int | tf.Tensor, dtype: Any = tf.int64) -> tf.Tensor:
        """The number of the row of each of ``length`` items of every row, ``[rows * length]``."""
        return tf.repeat(tf.cast(tf.range(self.rows), dtype), length)


Composition = Callable[[Batch], Sequence[tf.Tensor | Ragged | list[tf.Tensor]]]
COMPOSITIONS: dict[str, Composition] = {}


def composes(*operators: str) -> Callable[[Composition], Composition]:
    """Marks a function as that which computes all rows of calls of these operators.

    It returns for each output ``[rows, *shape]``, or ``Ragged`` where rows may have different shapes; and it raises
    ``RefusedError``, while it is traced, where it does not hold.
    """

    def register(composition: Composition) -> Composition:
        for operator in operators:
            assert operator not in COMPOSITIONS, operator
            COMPOSITIONS[operator] = composition
        return composition

    return register


def repeated(tensor: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """A tensor once for each row, ``[rows, *shape]``."""
    if tensor.dtype.is_quantized:  # TensorFlow 2.21 repeats no quantised numbers
        return tf.bitcast(repeated(tf.bitcast(tensor, WIDENED[tensor.dtype.name]), rows), tensor.dtype)
    made = tf.broadcast_to(tensor, tf.concat([[rows], tf.shape(tensor)], 0))
    made.set_shape([None, *tensor.shape])
    return made


# -- rows in another axis ----------------------------------------------------------------------------------------------


def fold(stacked: tf.Tensor, axis: int = 0) -> tf.Tensor:
    """Stacked rows with an axis of theirs laid end to end: ``[..., rows * length, ...]``.

    Raises:
      RefusedError: rows have no such axis.
    """
    rank = stacked.shape.rank
    if rank < axis + 2:
        raise RefusedError(f"rows have no axis {axis}")
    moved = tf.transpose(stacked, [*range(1, axis + 1), 0, *range(axis + 1, rank)]) if axis else stacked
    before, length, after = moved.shape[:axis], moved.shape[axis + 1], moved.shape[axis + 2 :]
    return tf.reshape(moved, [*before, tf.shape(stacked)[0] * length, *after])


def unfold(folded: tf.Tensor, rows: tf.Tensor, axis: int = 0) -> tf.Tensor:
    """The stacked rows of folded ones."""
    shape = tf.shape(folded)
    parts = [shape[:axis], [rows, shape[axis] // rows], shape[axis + 1 :]]
    parted = tf.reshape(folded, tf.concat(parts, 0))
    if not axis:
        return parted
    return tf.transpose(parted, [axis, *range(axis), *range(axis + 1, folded.shape.rank + 1)])


# -- ragged rows -------------------------------------------------------------------------------------------------------


def cut(items: tf.Tensor, lengths: tf.Tensor) -> Ragged:
    """Rows of so many items each, from the items of all rows in order, ``[all, *rest]``."""
    lengths = tf.cast(lengths, tf.int64)
    rest = tf.broadcast_to(tf.shape(items, tf.int64)[1:], [tf.size(lengths), items.shape.rank - 1])
    return Ragged(tf.reshape(items, [-1]), tf.concat([lengths[:, None], rest], 1))


def counts(row_of: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """How many items each row has, int64 ``[rows]``, from the number of the row of each item."""
    ones = tf.ones_like(row_of, tf.int64)
    return tf.math.unsorted_segment_sum(ones, row_of, rows)


def cut_by_row(items: tf.Tensor, row_of: tf.Tensor, rows: tf.Tensor) -> Ragged:
    """Rows of the items that have their number; items come in the order of their rows."""
    return cut(items, counts(row_of, rows))


def ragged(stacked: tf.Tensor) -> Ragged:
    """Stacked rows as ragged ones."""
    shape = tf.shape(stacked, tf.int64)
    return Ragged(tf.reshape(stacked, [-1]), tf.broadcast_to(shape[1:], [shape[0], stacked.shape.rank - 1]))
