"""Segments and places in a result: those of each row come behind those of the rows before."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from tfsql.kernel.composed.batch import Batch, Ragged, composes, cut, cut_by_row, fold, unfold


def offsets(lengths: tf.Tensor) -> tf.Tensor:
    """Where each row begins among rows of these lengths, int64 ``[rows]``."""
    return tf.math.cumsum(tf.cast(lengths, tf.int64), exclusive=True)


@composes("SegmentMax", "SegmentMean", "SegmentMin", "SegmentProd", "SegmentSum")
def segments(batch: Batch) -> Sequence[Ragged]:
    ids = tf.cast(batch.stack("segment_ids"), tf.int64)
    ids = batch.requiring(ids >= 0, "segment_ids must not be negative", ids)
    lengths = ids[:, -1] + 1 if ids.shape[1] else tf.zeros([batch.rows], tf.int64)
    made = batch.again(data=fold(batch.stack("data")), segment_ids=fold(ids + offsets(lengths)[:, None]))
    return [cut(made[0], lengths)]


@composes("UnsortedSegmentJoin")
def unsorted_segment_join(batch: Batch) -> Sequence[tf.Tensor]:
    count = batch.shared("num_segments")
    ids = batch.stack("segment_ids")
    ids = batch.requiring((ids >= 0) & (ids < tf.cast(count, ids.dtype)), "segment_ids must be below num_segments", ids)
    first = tf.reshape(batch.row_numbers(1), [-1, *[1] * (ids.shape.rank - 1)]) * tf.cast(count, tf.int64)
    ids, count = tf.cast(ids, tf.int64) + first, tf.cast(count, tf.int64) * tf.cast(batch.rows, tf.int64)
    (made,) = batch.again(inputs=batch.stack("inputs"), segment_ids=ids, num_segments=count)
    return [unfold(made, batch.rows)]


def along(stacked: tf.Tensor, axes: int) -> tf.Tensor:
    """The items of all rows in order, ``[all, *rest]``; in a row they are numbered by so many axes."""
    return tf.reshape(stacked, [tf.reduce_prod(tf.shape(stacked)[: axes + 1]), *stacked.shape[axes + 1 :]])


@composes("DynamicPartition")
def dynamic_partition(batch: Batch) -> Sequence[list[Ragged]]:
    partitions = batch.stack("partitions")
    axes = partitions.shape.rank - 1
    length = tf.reduce_prod(tf.shape(partitions)[1:])
    places = tf.reshape(partitions, [-1])
    parts = batch.again(data=along(batch.stack("data"), axes), partitions=places)
    row_of = batch.again(data=batch.row_numbers(length), partitions=places)
    pairs = zip(tf.nest.flatten(parts), tf.nest.flatten(row_of), strict=True)
    return [[cut_by_row(part, numbers, batch.rows) for part, numbers in pairs]]


@composes("DynamicStitch", "ParallelDynamicStitch")
def dynamic_stitch(batch: Batch) -> Sequence[Ragged]:
    indices = [tf.cast(item, tf.int64) for item in batch.stack("indices")]
    flat = [tf.reshape(item, [batch.rows, item.shape[1:].num_elements()]) for item in indices]
    places = tf.concat(flat, 1)
    lengths = tf.maximum(tf.reduce_max(places, 1), -1) + 1
    fits = tf.reduce_all(places >= 0) & (tf.reduce_sum(lengths) < tf.int32.max)
    first = batch.requiring(fits, "indices must not be negative, nor too large for all rows", offsets(lengths))
    numbers = [tf.cast(tf.reshape(item + first[:, None], [-1]), tf.int32) for item in flat]
    data = [along(item, place.shape.rank - 1) for item, place in zip(batch.stack("data"), indices, strict=True)]
    (made,) = batch.again(indices=numbers, data=data)
    return [cut(made, lengths)]
