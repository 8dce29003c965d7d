"""Vectors of numbers: ranges, histograms, places, and shapes."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from tfsql.kernel.composed.batch import Batch, Ragged, RefusedError, composes, cut, cut_by_row, fold, unfold


@composes("InvertPermutation")
def invert_permutation(batch: Batch) -> Sequence[tf.Tensor]:
    """One permutation of all rows' numbers: a number is the one that it was with those of the rows before."""
    rows = batch.stack("x", 1)
    length = rows.shape[1]
    rows = batch.requiring((rows >= 0) & (rows < length), "x must have each number below its length", rows)
    first = batch.row_numbers(1, rows.dtype)[:, None] * length
    (made,) = batch.again(x=fold(rows + first))
    return [unfold(made, batch.rows) - first]


@composes("UnravelIndex")
def unravel_index(batch: Batch) -> Sequence[tf.Tensor]:
    indices = batch.stack("indices")
    (made,) = batch.again(indices=tf.reshape(indices, [-1]))
    return [tf.transpose(made) if indices.shape.rank == 1 else unfold(made, batch.rows, 1)]


@composes("DataFormatVecPermute")
def data_format_vec_permute(batch: Batch) -> Sequence[tf.Tensor]:
    """Where each axis goes is what the operator makes of their numbers."""
    rows = batch.stack("x")
    if rows.shape.rank == 1:
        raise RefusedError("x has no axes")
    (order,) = batch.again(x=tf.range(rows.shape[1]))
    return [tf.gather(rows, order, axis=1)]


@composes("LinSpace")
def lin_space(batch: Batch) -> Sequence[tf.Tensor]:
    count = int(batch.known("num"))
    if count < 1:
        raise RefusedError("num must be at least 1")
    start, stop = batch.stack("start", 0)[:, None], batch.stack("stop", 0)[:, None]
    if count == 1:
        return [start]
    steps = tf.cast(tf.range(1, count - 1), start.dtype) * ((stop - start) / tf.cast(count - 1, start.dtype))
    return [tf.concat([start, start + steps, stop], 1)]


@composes("Range")
def number_range(batch: Batch) -> Sequence[Ragged]:
    """Whole numbers, whose differences are as unsigned numbers what they are beyond the range of int64 too.

    Raises:
      RefusedError: of fractions, which the operator adds up one by one.
    """
    start, limit, delta = (batch.stack(name, 0) for name in ("start", "limit", "delta"))
    if not start.dtype.is_integer:
        raise RefusedError("fractions are added up one by one")
    is_rising = delta > 0
    holds = tf.not_equal(delta, 0) & tf.where(is_rising, start <= limit, limit <= start)
    first, last, step = (tf.cast(item, tf.int64) for item in (start, limit, delta))
    span = tf.cast(tf.where(is_rising, last - first, first - last), tf.uint64)
    step = tf.cast(tf.abs(step), tf.uint64)
    step = batch.requiring(holds, "delta must lead from start to limit", tf.maximum(step, 1))
    lengths = tf.cast(span // step, tf.int64) + tf.cast(span % step > 0, tf.int64)
    row_of = batch.row_numbers(lengths)
    number = tf.range(tf.reduce_sum(lengths)) - tf.repeat(tf.math.cumsum(lengths, exclusive=True), lengths)
    return [cut(tf.gather(start, row_of) + tf.cast(number, start.dtype) * tf.gather(delta, row_of), lengths)]


@composes("HistogramFixedWidth")
def histogram_fixed_width(batch: Batch) -> Sequence[tf.Tensor]:
    bins = batch.shared("nbins")
    values = tf.reshape(batch.stack("values"), [batch.rows, -1])
    low, high = tf.split(batch.stack("value_range", 1), 2, 1)
    width = tf.cast(high - low, tf.float64) / tf.cast(bins, tf.float64)
    place = tf.cast(tf.maximum(values, low) - low, tf.float64) / width
    place = tf.minimum(place, tf.cast(bins - 1, tf.float64))
    holds = tf.reduce_all(low < high) & (bins > 0) & tf.reduce_all(place >= 0)
    place = batch.requiring(holds, "values must be numbers, and value_range must rise", tf.cast(place, tf.int32))
    place += tf.range(batch.rows)[:, None] * bins
    ones = tf.ones_like(place, tf.as_dtype(batch.attributes["dtype"]))
    return [unfold(tf.math.unsorted_segment_sum(ones, place, batch.rows * bins), batch.rows)]


@composes("ConcatOffset")
def concat_offset(batch: Batch) -> Sequence[list[tf.Tensor]]:
    shapes = batch.stack("shape", 1)
    axis, stacked = int(batch.known("concat_dim")), tf.stack(shapes, 1)
    rank = stacked.shape[2]
    if not -rank <= axis < rank:
        raise RefusedError("there is no such axis")
    is_axis = tf.one_hot(axis % rank, rank, True, False)
    holds = tf.equal(stacked, stacked[:, :1]) | is_axis
    stacked = batch.requiring(holds, "shapes must be equal but for one axis", stacked)
    made = tf.where(is_axis, tf.math.cumsum(stacked, 1, exclusive=True), 0)
    return [tf.unstack(made, len(shapes), 1)]


def padded_shapes(batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
    """Two shapes of all rows with as many axes, those in front of length 1; they must fit."""
    s0, s1 = batch.stack("s0", 1), batch.stack("s1", 1)
    rank = max(s0.shape[1], s1.shape[1])
    left, right = (tf.pad(item, [[0, 0], [rank - item.shape[1], 0]], constant_values=1) for item in (s0, s1))
    holds = tf.equal(left, right) | tf.equal(left, 1) | tf.equal(right, 1)
    return batch.requiring(holds, "the shapes must fit", left), right


@composes("BroadcastArgs")
def broadcast_args(batch: Batch) -> Sequence[tf.Tensor]:
    left, right = padded_shapes(batch)
    return [tf.where(tf.equal(left, 1), right, left)]


@composes("BroadcastGradientArgs")
def broadcast_gradient_args(batch: Batch) -> Sequence[Ragged]:
    """The axes of length 1 of either shape, among them those that it has not; of two equal shapes none."""
    left, right = padded_shapes(batch)
    of_ranks = batch.stack("s0").shape[1] != batch.stack("s1").shape[1]
    differ = tf.reduce_any(tf.not_equal(left, right), 1, keepdims=True) | of_ranks
    found = [tf.where(tf.equal(item, 1) & differ) for item in (left, right)]
    return [cut_by_row(tf.cast(axes[:, 1], left.dtype), axes[:, 0], batch.rows) for axes in found]


@composes("RequantizationRangePerChannel")
def requantization_range_per_channel(batch: Batch) -> Sequence[tf.Tensor]:
    """The greatest number of all channels, each in the range of its own, on both sides of 0 if some are negative."""
    rows = batch.stack("input", 4)
    numbers = tf.bitcast(rows, tf.int32)
    least, most = tf.reduce_min(numbers, [1, 2, 3]), tf.reduce_max(numbers, [1, 2, 3])
    limit = tf.maximum(tf.abs(batch.stack("input_min", 1)), tf.abs(batch.stack("input_max", 1))) / 2.0**31
    greatest = tf.cast(tf.maximum(tf.abs(least), tf.abs(most)), tf.float32)
    end = tf.minimum(tf.reduce_max(limit * greatest, 1), batch.attributes["clip_value_max"])
    return [tf.where(tf.reduce_min(least, 1) >= 0, 0.0, -end), end]
