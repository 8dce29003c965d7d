"""Operators that choose elements of a tensor, so that rows have different lengths."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from tfsql.kernel.composed.batch import Batch, Ragged, composes, cut_by_row


@composes("Where")
def where(batch: Batch) -> Sequence[Ragged]:
    (found,) = batch.again(condition=batch.stack("condition"))
    return [cut_by_row(found[:, 1:], found[:, 0], batch.rows)]


@composes("Unique", "UniqueWithCounts")
def unique(batch: Batch) -> Sequence[tf.Tensor | Ragged]:
    """One call for the pairs of row and value: the values of a row come together, in their order.

    Raises:
      RefusedError: rows have no element, whose dtype the pairs need.
    """
    rows = batch.stack("x")
    length = tf.shape(rows)[1]
    numbers, values = batch.row_numbers(length, tf.int32), tf.reshape(rows, [-1])
    _, code = tf.raw_ops.Unique(x=values)
    pairs = tf.cast(numbers, tf.int64) * tf.size(values, tf.int64) + tf.cast(code, tf.int64)
    distinct, position, count = tf.raw_ops.UniqueWithCounts(x=pairs)
    first = tf.math.unsorted_segment_min(tf.range(tf.size(values)), position, tf.size(distinct))
    row_of = tf.gather(numbers, first)
    before = tf.math.cumsum(tf.math.bincount(row_of, minlength=batch.rows, dtype=tf.int32), exclusive=True)
    index = tf.reshape(position - tf.repeat(before, length), tf.shape(rows))
    dtype = tf.as_dtype(batch.attributes["out_idx"])
    made = [cut_by_row(tf.gather(values, first), row_of, batch.rows), tf.cast(index, dtype)]
    return made if batch.operator == "Unique" else [*made, cut_by_row(tf.cast(count, dtype), row_of, batch.rows)]
