"""Gradients of sums over segments: the segments of the rows, and their lines of the output, one behind the other."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from tfsql.kernel.composed.batch import Batch, Ragged, composes, cut_by_row, fold, unfold
from tfsql.kernel.composed.sparse import within


def segment_gradient(batch: Batch, size: str) -> list[tf.Tensor]:
    """The outputs for all rows, of ``size`` lines for each."""
    grad = batch.stack("grad")
    folded = fold(grad)

    def shifted(name: str, limit: int | tf.Tensor) -> tf.Tensor:
        items = tf.cast(within(batch.stack(name, 1), limit), tf.int64)
        return tf.reshape(items + tf.cast(tf.range(batch.rows), tf.int64)[:, None] * tf.cast(limit, tf.int64), [-1])

    length = batch.shared(size)
    inputs = {"indices": shifted("indices", length), "segment_ids": shifted("segment_ids", grad.shape[1])}
    return batch.again(grad=folded, **inputs, **{size: length * batch.rows})


@composes("SparseSegmentSumGrad", "SparseSegmentMeanGrad", "SparseSegmentSqrtNGrad")
def sparse_segment_grad(batch: Batch) -> Sequence[tf.Tensor]:
    (made,) = segment_gradient(batch, "output_dim0")
    return [unfold(made, batch.rows)]


@composes("SparseSegmentSumGradV2", "SparseSegmentMeanGradV2", "SparseSegmentSqrtNGradV2")
def sparse_segment_grad_v2(batch: Batch) -> Sequence[Ragged]:
    made, indices = segment_gradient(batch, "dense_output_dim0")
    length = tf.cast(batch.shared("dense_output_dim0"), tf.int64)
    row_of = indices // tf.maximum(length, 1)
    own = tf.cast(indices - row_of * length, batch.stack("indices").dtype)
    return [cut_by_row(item, row_of, batch.rows) for item in (made, own)]
