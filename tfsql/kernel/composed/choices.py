"""Operators that choose elements of a tensor, so that rows have different lengths."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from tfsql.kernel.composed.batch import Batch, Ragged, RefusedError, composes, cut_by_row, fold


@composes("Where")
def where(batch: Batch) -> Sequence[Ragged]:
    (found,) = batch.again(condition=batch.stack("condition"))
    return [cut_by_row(found[:, 1:], found[:, 0], batch.rows)]


def pairs(batch: Batch, items: tf.Tensor, row_of: tf.Tensor) -> tf.Tensor:
    """A number for each of all items, int64 ``[all]``: equal where items, slices along the first axis, are equal.

    Args:
      row_of: the row of each; items of different rows have different numbers.
    """
    _, code = tf.raw_ops.UniqueV2(x=items, axis=[0])
    return tf.cast(row_of, tf.int64) * tf.size(code, tf.int64) + tf.cast(code, tf.int64)


@composes("Unique", "UniqueV2", "UniqueWithCounts", "UniqueWithCountsV2")
def unique(batch: Batch) -> Sequence[tf.Tensor | Ragged]:
    """One call for the pairs of row and value: the values of a row come together, in their order.

    Raises:
      RefusedError: x has several axes, and it is not slices along the first that are chosen.
    """
    rows = batch.stack("x")
    axis = batch.known("axis").tolist() if batch.operator.endswith("V2") else []
    if axis != [0] and rows.shape.rank != 2:
        raise RefusedError("axis is not the first")
    items, numbers = fold(rows), batch.row_numbers(rows.shape[1], tf.int32)
    distinct, position, count = tf.raw_ops.UniqueWithCounts(x=pairs(batch, items, numbers))
    first = tf.math.unsorted_segment_min(tf.range(tf.size(numbers)), position, tf.size(distinct))
    row_of = tf.gather(numbers, first)
    before = tf.math.cumsum(tf.math.bincount(row_of, minlength=batch.rows, dtype=tf.int32), exclusive=True)
    index = tf.reshape(position - tf.gather(before, numbers), tf.shape(rows)[:2])
    dtype = tf.as_dtype(batch.attributes["out_idx"])
    made = [cut_by_row(tf.gather(items, first), row_of, batch.rows), tf.cast(index, dtype)]
    return [*made, cut_by_row(tf.cast(count, dtype), row_of, batch.rows)] if "Counts" in batch.operator else made


def paired(batch: Batch, left: tf.Tensor, right: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """``pairs`` of two tensors, ``[rows, length]`` each, in one numbering."""
    sides = [batch.row_numbers(tf.shape(side)[1]) for side in (left, right)]
    numbers = pairs(batch, tf.concat([fold(left), fold(right)], 0), tf.concat(sides, 0))
    first, second = tf.split(numbers, [tf.size(side) for side in sides])
    return first, second


@composes("ListDiff")
def list_diff(batch: Batch) -> Sequence[Ragged]:
    x, y = batch.stack("x"), batch.stack("y")
    left, right = paired(batch, x, y)
    _, place = tf.raw_ops.ListDiff(x=left, y=right, out_idx=tf.int64)
    length = tf.maximum(tf.shape(x, tf.int64)[1], 1)
    row_of, index = place // length, tf.cast(place % length, tf.as_dtype(batch.attributes["out_idx"]))
    return [cut_by_row(tf.gather(fold(x), place), row_of, batch.rows), cut_by_row(index, row_of, batch.rows)]


@composes("ComputeAccidentalHits")
def compute_accidental_hits(batch: Batch) -> Sequence[Ragged]:
    classes, candidates = batch.stack("true_classes"), batch.stack("sampled_candidates")
    examples, count = classes.shape[1:]
    left, right = paired(batch, tf.reshape(classes, [batch.rows, examples * count]), candidates)
    hits = batch.again(true_classes=tf.reshape(left, [-1, count]), sampled_candidates=right)
    row_of = hits[0] // max(examples, 1)
    local = [hits[0] % max(examples, 1), hits[1] - tf.cast(row_of, tf.int64) * candidates.shape[1], hits[2]]
    return [cut_by_row(item, row_of, batch.rows) for item in local]
