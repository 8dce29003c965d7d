"""Scatters: the number of the row is one more index."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from tfsql.kernel.composed.batch import Batch, composes


def with_row(batch: Batch, indices: tf.Tensor) -> tf.Tensor:
    """Indices of all rows, ``[rows, ..., depth]``, with the number of their row before each."""
    shape = tf.shape(indices)
    numbers = tf.reshape(tf.range(batch.rows), [-1, *[1] * (indices.shape.rank - 1)])
    numbers = tf.broadcast_to(tf.cast(numbers, indices.dtype), tf.concat([shape[:-1], [1]], 0))
    return tf.concat([numbers, indices], -1)


@composes("TensorScatterAdd", "TensorScatterSub", "TensorScatterMax", "TensorScatterMin")
def tensor_scatter(batch: Batch) -> Sequence[tf.Tensor]:
    tensor, indices, updates = map(batch.stack, ("tensor", "indices", "updates"))
    return batch.again(tensor=tensor, indices=with_row(batch, indices), updates=updates)


@composes("ScatterNd")
def scatter_nd(batch: Batch) -> Sequence[tf.Tensor]:
    indices, shape = batch.stack("indices"), batch.shared("shape")
    shape = tf.concat([tf.cast(batch.rows, shape.dtype)[None], shape], 0)
    return batch.again(indices=with_row(batch, indices), updates=batch.stack("updates"), shape=shape)


@composes("ScatterNdNonAliasingAdd")
def scatter_nd_non_aliasing_add(batch: Batch) -> Sequence[tf.Tensor]:
    indices = with_row(batch, batch.stack("indices"))
    return batch.again(input=batch.stack("input"), indices=indices, updates=batch.stack("updates"))
