"""Counts of values: the row is folded into the first axis of matrices, of which each line is counted by itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfsql.kernel.composed.batch import Batch, RefusedError, composes, cut_by_row, fold, unfold
from tfsql.kernel.composed.raggeds import joined_splits
from tfsql.kernel.composed.sparse import (
    all_rows,
    checked,
    dense,
    greatest,
    known_shape,
    row_folded,
    row_in_front,
    unfolded,
)


def refuse_other_weights(batch: Batch, values: str) -> None:
    """Refuses weights that are not as many as the values: kernels do not all count them."""
    weights = batch.row_shape("weights")
    if weights != batch.row_shape(values) and 0 not in weights:
        raise RefusedError("weights have another shape than the values")


def counts_of_lines(batch: Batch, values: str) -> tf.Tensor:
    """The counts of the values of each row, ``[rows, size]``."""
    refuse_other_weights(batch, values)
    lines, weights = (
        tf.reshape(batch.stack(name), [batch.rows, math.prod(batch.row_shape(name))]) for name in (values, "weights")
    )
    is_binary = batch.attributes.get("binary_output", False)
    lines = checked(lines, lines >= 0)
    return tf.raw_ops.DenseBincount(input=lines, size=batch.shared("size"), weights=weights, binary_output=is_binary)


@composes("Bincount")
def bincount(batch: Batch) -> Sequence[tf.Tensor]:
    return [counts_of_lines(batch, "arr")]


@composes("SparseBincount")
def sparse_bincount(batch: Batch) -> Sequence[tf.Tensor]:
    """Of a vector the indices count for nothing."""
    if len(batch.row_shape("values")) != 1:
        raise RefusedError("values are no vector")
    if batch.row_shape("dense_shape") == (1,):
        return [counts_of_lines(batch, "values")]
    refuse_other_weights(batch, "values")
    inputs = all_rows(batch, "indices", "values", "dense_shape", row_folded)
    inputs["values"] = checked(inputs["values"], inputs["values"] >= 0)
    (made,) = batch.again(**inputs, weights=fold(batch.stack("weights")))
    return dense(batch, [unfold(made, batch.rows)])


@composes("RaggedBincount")
def ragged_bincount(batch: Batch) -> Sequence[tf.Tensor]:
    refuse_other_weights(batch, "values")
    values = batch.stack("values", 1)
    splits = joined_splits(batch, batch.stack("splits", 1), values.shape[1])
    (made,) = batch.again(splits=splits, values=fold(values), weights=fold(batch.stack("weights")))
    return dense(batch, [unfold(made, batch.rows)])


# -- to sparse tensors -------------------------------------------------------------------------------------------------


def counted(batch: Batch, made: Sequence[tf.Tensor], length: int, *, is_vector: bool = False) -> list[Any]:
    """The counts of each row, from those of ``length`` lines for each.

    Args:
      is_vector: whether a row is one line, which is not counted among the indices.
    """
    indices, row_of = unfolded(made[0], length)
    least, most = batch.attributes["minlength"], batch.attributes["maxlength"]
    widths = tf.maximum(greatest(indices[:, 1], row_of, batch.rows, 0) + 1, least)
    shape = tf.stack([tf.fill([batch.rows], tf.constant(length, tf.int64)), widths], 1)
    if most > 0:
        shape = tf.concat([shape[:, :1], tf.fill([batch.rows, 1], tf.constant(most, tf.int64))], 1)
    first = int(is_vector)
    return [*(cut_by_row(item, row_of, batch.rows) for item in (indices[:, first:], made[1])), shape[:, first:]]


def countable(batch: Batch, name: str) -> tf.Tensor:
    """Values of which none is greater than the kernels can tell: they keep them in 32 bits."""
    values = batch.stack(name)
    return checked(values, tf.cast(values, tf.int64) < 2**31 - 1)


@composes("DenseCountSparseOutput")
def dense_count_sparse_output(batch: Batch) -> Sequence[Any]:
    refuse_other_weights(batch, "values")
    shape = batch.row_shape("values")
    if len(shape) not in (1, 2):
        raise RefusedError("values are no matrix")
    lines = [countable(batch, "values"), batch.stack("weights")]
    if len(shape) == 2:
        lines = [fold(item) for item in lines]
    made = batch.again(values=lines[0], weights=lines[1])
    return counted(batch, made, 1 if len(shape) == 1 else shape[0], is_vector=len(shape) == 1)


@composes("SparseCountSparseOutput")
def sparse_count_sparse_output(batch: Batch) -> Sequence[Any]:
    shape = known_shape(batch, "dense_shape")
    lay = row_in_front if len(shape) == 1 else row_folded
    indices, values, lines = lay(batch, batch.stack("indices"), countable(batch, "values"), shape)
    made = batch.again(indices=indices, values=values, dense_shape=lines, weights=fold(batch.stack("weights")))
    return counted(batch, made, 1 if len(shape) == 1 else int(shape[0]), is_vector=len(shape) == 1)


@composes("RaggedCountSparseOutput")
def ragged_count_sparse_output(batch: Batch) -> Sequence[Any]:
    if len(batch.row_shape("values")) != 1:
        raise RefusedError("values are no vector")
    values = countable(batch, "values")
    splits = joined_splits(batch, batch.stack("splits", 1), values.shape[1])
    made = batch.again(splits=splits, values=fold(values), weights=fold(batch.stack("weights")))
    return counted(batch, made, batch.row_shape("splits")[0] - 1)
