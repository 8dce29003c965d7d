"""Operators on the axes of a tensor: that of the rows is one more, in front, to which nothing is done."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from tfsql.kernel.composed.batch import Batch, RefusedError, composes, fold, unfold

# TensorFlow's kernels go through tensors of so many axes.
MIRRORED, PADDED = 5, 8


def in_front(batch: Batch, name: str, most: int, first: object) -> tf.Tensor:
    """An input that has an item for each axis, with one for the axis of the rows.

    Args:
      most: the number of axes that the kernel knows.

    Raises:
      RefusedError: there would be more, or the input varies.
    """
    given = batch.shared(name)
    if given.shape.rank is None or given.shape[0] is None or given.shape[0] >= most:
        raise RefusedError(f"the kernel takes {most} axes at most")
    return tf.concat([tf.constant([first], given.dtype), given], 0)


@composes("MirrorPad", "MirrorPadGrad")
def mirror_pad(batch: Batch) -> Sequence[tf.Tensor]:
    return batch.again(input=batch.stack("input"), paddings=in_front(batch, "paddings", MIRRORED, [0, 0]))


@composes("PadV2")
def pad(batch: Batch) -> Sequence[tf.Tensor]:
    """Padded with each row's own value: where the padding is, a mask tells that is padded too."""
    rows, paddings = batch.stack("input"), in_front(batch, "paddings", PADDED, [0, 0])
    if not batch.varies("constant_values"):
        return batch.again(input=rows, paddings=paddings)
    values = batch.stack("constant_values")
    (made,) = batch.again(input=rows, paddings=paddings, constant_values=values[0])
    is_inside = tf.pad(tf.ones(tf.shape(rows), tf.bool), paddings)
    return [tf.where(is_inside, made, tf.reshape(values, [-1, *[1] * (rows.shape.rank - 1)]))]


@composes("Reverse")
def reverse(batch: Batch) -> Sequence[tf.Tensor]:
    return batch.again(tensor=batch.stack("tensor"), dims=in_front(batch, "dims", PADDED, False))


def reshaped(batch: Batch, rows: tf.Tensor) -> tf.Tensor:
    """Rows in the shape of the first output.

    Raises:
      RefusedError: it is not known.
    """
    shape = batch.shapes[0]
    if shape is None or None in shape:
        raise RefusedError("the shape is not known")
    return tf.reshape(rows, [batch.rows, *shape])


@composes("QuantizedReshape")
def quantized_reshape(batch: Batch) -> Sequence[tf.Tensor]:
    return [reshaped(batch, batch.stack("tensor")), batch.stack("input_min"), batch.stack("input_max")]


@composes("TensorStridedSliceUpdate")
def tensor_strided_slice_update(batch: Batch) -> Sequence[tf.Tensor]:
    """The masks have one bit more, so that all rows are taken."""
    masks = ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask")
    taken = {name: 2 * batch.attributes[name] + (name in masks[:2]) for name in masks}
    rows, value = batch.stack("input"), batch.stack("value")
    if rows.shape.rank >= PADDED:
        raise RefusedError("too many axes")
    begin, end, strides = (in_front(batch, name, 32, 1) for name in ("begin", "end", "strides"))
    return batch.again(attributes=taken, input=rows, begin=begin, end=end, strides=strides, value=value)


@composes("SpaceToBatch")
def space_to_batch(batch: Batch) -> Sequence[tf.Tensor]:
    """The batch of a result is first by place in the block, then by image: rows come between the two."""
    (made,) = batch.again(input=fold(batch.stack("input")))
    blocks = batch.attributes["block_size"] ** 2
    parted = tf.reshape(made, tf.concat([[blocks, batch.rows, -1], tf.shape(made)[1:]], 0))
    return [reshaped(batch, tf.transpose(parted, [1, 0, 2, 3, 4, 5]))]


@composes("BatchToSpace")
def batch_to_space(batch: Batch) -> Sequence[tf.Tensor]:
    """As ``space_to_batch``, the other way."""
    rows = batch.stack("input")
    blocks = batch.attributes["block_size"] ** 2
    parted = tf.reshape(rows, [batch.rows, blocks, rows.shape[1] // blocks, *rows.shape[2:]])
    (made,) = batch.again(input=tf.reshape(tf.transpose(parted, [1, 0, 2, 3, 4, 5]), [-1, *rows.shape[2:]]))
    return [unfold(made, batch.rows)]


@composes("InplaceAdd", "InplaceSub", "InplaceUpdate")
def inplace(batch: Batch) -> Sequence[tf.Tensor]:
    """A scatter, which leaves the input as it is; as these operators do it counts indices modulo the length."""
    tensor, indices, updates = batch.stack("x"), batch.stack("i", 1), batch.stack("v")
    if not batch.row_shape("x")[:1] > (0,):
        raise RefusedError("there is no place to write to")
    numbers = tf.reshape(batch.row_numbers(indices.shape[1], tf.int32), [batch.rows, indices.shape[1]])
    places = tf.stack([numbers, tf.math.floormod(indices, tensor.shape[1])], -1)
    scatter = {
        "InplaceAdd": tf.tensor_scatter_nd_add,
        "InplaceSub": tf.tensor_scatter_nd_sub,
        "InplaceUpdate": tf.tensor_scatter_nd_update,
    }[batch.operator]
    return [scatter(tensor, places, updates)]


@composes("L2Loss")
def l2_loss(batch: Batch) -> Sequence[tf.Tensor]:
    rows = batch.stack("t")
    return [tf.reduce_sum(tf.square(rows) * tf.cast(0.5, rows.dtype), list(range(1, rows.shape.rank)))]


@composes("ToBool")
def to_bool(batch: Batch) -> Sequence[tf.Tensor]:
    """A number that is not 0, a text that is not empty, a tensor with axes that has elements."""
    rows = batch.stack("input")
    if rows.shape.rank > 1:
        return [tf.fill([batch.rows], 0 not in rows.shape[1:])]
    if rows.dtype.is_quantized:
        raise RefusedError("there is no comparison of quantised numbers")
    return [rows if rows.dtype == tf.bool else tf.not_equal(rows, tf.zeros([], rows.dtype))]
