"""Rows folded into an axis along which an operator does the same to each part: the batch, or the channels."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from tfsql.kernel.composed.batch import Batch, RefusedError, composes, fold, repeated, unfold

# -- into the batch ----------------------------------------------------------------------------------------------------


@composes("FusedPadConv2D", "FusedResizeAndPadConv2D")
def fused_pad_conv(batch: Batch) -> Sequence[tf.Tensor]:
    """The steps one by one.

    Raises:
      RefusedError: a row has several images, of which the fused kernel makes something else; or they are padded too.
    """
    images, paddings = fold(batch.stack("input", 4)), batch.known("paddings")
    if batch.row_shape("input")[0] != 1 or paddings.shape != (4, 2) or paddings[::3].any():
        raise RefusedError("not the padding of one image")
    if batch.operator == "FusedResizeAndPadConv2D":
        is_aligned = batch.attributes["resize_align_corners"]
        size = batch.shared("size")
        images = tf.raw_ops.ResizeBilinear(images=images, size=size, align_corners=is_aligned)
    padded = tf.raw_ops.MirrorPad(input=images, paddings=paddings, mode=batch.attributes["mode"])
    return [unfold(convolved(batch, padded), batch.rows)]


def convolved(batch: Batch, images: tf.Tensor) -> tf.Tensor:
    """An image of each row, by the filter of the row: the product of its windows and the filter.

    Raises:
      RefusedError: filters vary, and do not take all channels.
    """
    strides, padding = batch.attributes["strides"], batch.attributes["padding"]
    if not batch.varies("filter"):
        return tf.raw_ops.Conv2D(input=images, filter=batch.shared("filter"), strides=strides, padding=padding)
    filters = batch.stack("filter", 4)
    height, width, channels, count = filters.shape[1:]
    if channels != batch.row_shape("input")[3]:
        raise RefusedError("filters do not take all channels")
    windows = tf.image.extract_patches(images, [1, height, width, 1], strides, [1, 1, 1, 1], padding)
    filters = tf.reshape(filters, [batch.rows, 1, height * width * channels, count])
    return tf.matmul(windows, filters)


@composes("QuantizedConv2DAndRelu", "QuantizedConv2DPerChannel", "QuantizedDepthwiseConv2D")
def quantized_conv(batch: Batch) -> Sequence[tf.Tensor]:
    """The range of the output hangs on those of the inputs alone."""
    made, *limits = batch.again(input=fold(batch.stack("input", 4)))
    return [unfold(made, batch.rows), *(repeated(limit, batch.rows) for limit in limits)]


@composes("QuantizedInstanceNorm")
def quantized_instance_norm(batch: Batch) -> Sequence[tf.Tensor]:
    """Each image by itself; if the range is not given, it is that of the whole batch."""
    if not batch.attributes["output_range_given"]:
        raise RefusedError("the range of the output is that of all images")
    made, *limits = batch.again(x=fold(batch.stack("x", 4)))
    return [unfold(made, batch.rows), *(repeated(limit, batch.rows) for limit in limits)]


def of_all(batch: Batch, name: str) -> tf.Tensor:
    """A shape whose first length counts images, for those of all rows."""
    sizes = batch.shared(name)
    return tf.concat([sizes[:1] * tf.cast(batch.rows, sizes.dtype), sizes[1:]], 0)


@composes("Conv3DBackpropInputV2")
def conv_3d_backprop_input(batch: Batch) -> Sequence[tf.Tensor]:
    gradients = fold(batch.stack("out_backprop", 5))
    (made,) = batch.again(input_sizes=of_all(batch, "input_sizes"), out_backprop=gradients)
    return [unfold(made, batch.rows)]


@composes("FractionalAvgPoolGrad")
def fractional_avg_pool_grad(batch: Batch) -> Sequence[tf.Tensor]:
    gradients = fold(batch.stack("out_backprop", 4))
    (made,) = batch.again(orig_input_tensor_shape=of_all(batch, "orig_input_tensor_shape"), out_backprop=gradients)
    return [unfold(made, batch.rows)]


@composes("CropAndResizeGradImage")
def crop_and_resize_grad_image(batch: Batch) -> Sequence[tf.Tensor]:
    images, index = batch.shared("image_size")[0], batch.stack("box_ind", 1)
    index = batch.requiring((index >= 0) & (index < images), "box_ind must be below the number of images", index)
    index += tf.range(batch.rows)[:, None] * images
    grads, boxes = fold(batch.stack("grads", 4)), fold(batch.stack("boxes", 2))
    (made,) = batch.again(grads=grads, boxes=boxes, box_ind=fold(index), image_size=of_all(batch, "image_size"))
    return [unfold(made, batch.rows)]


@composes("MaxPoolGradGradV2")
def max_pool_grad_grad(batch: Batch) -> Sequence[tf.Tensor]:
    items = {name: fold(batch.stack(name, 4)) for name in ("orig_input", "orig_output", "grad")}
    (made,) = batch.again(**items)
    return [unfold(made, batch.rows)]


@composes("LSTMBlockCell", "GRUBlockCellGrad")
def recurrent_cell(batch: Batch) -> Sequence[tf.Tensor]:
    items = {name: fold(batch.stack(name)) for name in EXAMPLES[batch.operator]}
    return [unfold(made, batch.rows) for made in batch.again(**items)]


# The inputs of cells that have an example in each row of a matrix; the others are weights.
EXAMPLES = {
    "LSTMBlockCell": ("x", "cs_prev", "h_prev"),
    "GRUBlockCellGrad": ("x", "h_prev", "r", "u", "c", "d_h"),
}


@composes("BlockLSTM", "BlockLSTMV2")
def block_lstm(batch: Batch) -> Sequence[tf.Tensor]:
    """The first axis of x and of the results is time."""
    start = {name: fold(batch.stack(name, 2)) for name in ("cs_prev", "h_prev")}
    made = batch.again(x=fold(batch.stack("x", 3), 1), **start)
    return [unfold(item, batch.rows, 1) for item in made]


@composes("NearestNeighbors")
def nearest_neighbors(batch: Batch) -> Sequence[tf.Tensor]:
    made = batch.again(points=fold(batch.stack("points", 2)))
    return [unfold(item, batch.rows) for item in made]


# -- into the channels -------------------------------------------------------------------------------------------------


@composes("AudioSpectrogram")
def audio_spectrogram(batch: Batch) -> Sequence[tf.Tensor]:
    (made,) = batch.again(input=fold(batch.stack("input", 2), 1))
    return [unfold(made, batch.rows)]


@composes("Dilation2DBackpropFilter")
def dilation_2d_backprop_filter(batch: Batch) -> Sequence[tf.Tensor]:
    ranks = {"input": 4, "filter": 3, "out_backprop": 4}
    items = {name: fold(batch.stack(name, rank), rank - 1) for name, rank in ranks.items()}
    (made,) = batch.again(**items)
    return [unfold(made, batch.rows, 2)]


def channel_axis(batch: Batch, rank: int) -> int:
    return 1 if str(batch.attributes["data_format"]).startswith("NC") else rank - 1


@composes("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")
def fused_batch_norm(batch: Batch) -> Sequence[tf.Tensor]:
    """A channel is normalised by itself; what V3 keeps for its gradient is empty on a CPU."""
    rows = batch.stack("x")
    axis = channel_axis(batch, rows.shape.rank - 1)
    channels = {name: fold(batch.stack(name, 1)) for name in ("scale", "offset", "mean", "variance")}
    made, *statistics = batch.again(x=fold(rows, axis), **channels)
    parted = [unfold(item, batch.rows) for item in statistics[:4]]
    return [unfold(made, batch.rows, axis), *parted, *(repeated(item, batch.rows) for item in statistics[4:])]


@composes("FusedBatchNormGrad", "FusedBatchNormGradV2")
def fused_batch_norm_grad(batch: Batch) -> Sequence[tf.Tensor]:
    rows = batch.stack("x")
    axis = channel_axis(batch, rows.shape.rank - 1)
    channels = {name: fold(batch.stack(name, 1)) for name in ("scale", "reserve_space_1", "reserve_space_2")}
    made = batch.again(y_backprop=fold(batch.stack("y_backprop"), axis), x=fold(rows, axis), **channels)
    unused = [repeated(item, batch.rows) for item in made[3:]]
    return [unfold(made[0], batch.rows, axis), *(unfold(item, batch.rows) for item in made[1:3]), *unused]


def as_channels(rows: tf.Tensor) -> tf.Tensor:
    """Each row as a channel, ``[elements, rows]``."""
    return tf.transpose(tf.reshape(rows, [tf.shape(rows)[0], rows.shape[1:].num_elements()]))


@composes("FakeQuantWithMinMaxVarsGradient")
def fake_quant_gradient(batch: Batch) -> Sequence[tf.Tensor]:
    gradients, inputs = batch.stack("gradients"), batch.stack("inputs")
    made, *limits = tf.raw_ops.FakeQuantWithMinMaxVarsPerChannelGradient(
        gradients=as_channels(gradients),
        inputs=as_channels(inputs),
        min=batch.stack("min", 0),
        max=batch.stack("max", 0),
        num_bits=batch.attributes["num_bits"],
        narrow_range=batch.attributes["narrow_range"],
    )
    return [tf.reshape(tf.transpose(made), tf.shape(inputs)), *limits]


@composes("FakeQuantWithMinMaxVarsPerChannelGradient")
def fake_quant_per_channel_gradient(batch: Batch) -> Sequence[tf.Tensor]:
    axis = len(batch.row_shape("inputs")) - 1
    items = {name: fold(batch.stack(name), axis) for name in ("gradients", "inputs")}
    limits = {name: fold(batch.stack(name, 1)) for name in ("min", "max")}
    made, *sums = batch.again(**items, **limits)
    return [unfold(made, batch.rows, axis), *(unfold(item, batch.rows) for item in sums)]


# -- into the slices that are quantised one by one ---------------------------------------------------------------------


def as_slices(rows: tf.Tensor, axis: int) -> tf.Tensor:
    """Each row as a slice, ``[slices, elements]``, or each part of it along an axis, if that is not -1.

    Raises:
      RefusedError: there is no such axis.
    """
    if axis >= rows.shape.rank - 1:
        raise RefusedError("there is no such axis")
    moved = rows if axis < 0 else tf.transpose(rows, slices_first(rows, axis))
    slices = tf.reduce_prod(tf.shape(moved)[: 1 if axis < 0 else 2])
    return tf.reshape(moved, [slices, moved.shape[1 if axis < 0 else 2 :].num_elements()])


def from_slices(slices: tf.Tensor, rows: tf.Tensor, axis: int) -> tf.Tensor:
    """What ``as_slices`` made of something of the shape of ``rows``."""
    if axis < 0:
        return tf.reshape(slices, tf.shape(rows))
    order = slices_first(rows, axis)
    return tf.transpose(tf.reshape(slices, tf.gather(tf.shape(rows), order)), tf.argsort(order))


def slices_first(rows: tf.Tensor, axis: int) -> list[int]:
    return [0, axis + 1, *(other for other in range(1, rows.shape.rank) if other != axis + 1)]


@composes("QuantizeAndDequantizeV2", "QuantizeAndDequantizeV3", "QuantizeAndDequantizeV4")
def quantize_and_dequantize(batch: Batch) -> Sequence[tf.Tensor]:
    """Of these kernels only that of V3 takes a range for each slice; the others find one for each.

    Raises:
      RefusedError: ranges that vary are given with a rounding that V3 has not.
    """
    rows, axis, is_given = batch.stack("input"), max(batch.attributes["axis"], -1), batch.attributes["range_given"]
    is_third = batch.takes("num_bits")
    if is_given and axis < 0 and not batch.varies("input_min") and not batch.varies("input_max"):
        return batch.again(input=rows)
    if is_given and not is_third and (axis >= 0 or batch.attributes["round_mode"] != "HALF_TO_EVEN"):
        raise RefusedError("the kernel takes no range for each slice")
    ends = {name: tf.reshape(item, [-1]) for name, item in range_ends(batch).items()}
    slices = as_slices(rows, axis)
    if is_third or not is_given:
        (made,) = batch.again(attributes={"axis": 0}, input=slices, **ends)
    else:
        kept = {name: batch.attributes[name] for name in ("signed_input", "narrow_range", "num_bits")}
        made = tf.raw_ops.QuantizeAndDequantizeV3(input=slices, axis=0, range_given=True, **ends, **kept)
    return [from_slices(made, rows, axis)]


@composes("QuantizeAndDequantizeV4Grad")
def quantize_and_dequantize_grad(batch: Batch) -> Sequence[tf.Tensor]:
    axis, ends = max(batch.attributes["axis"], -1), range_ends(batch)
    slices = {name: as_slices(batch.stack(name), axis) for name in ("gradients", "input")}
    flat = {name: tf.reshape(item, [-1]) for name, item in ends.items()}
    made, *sums = batch.again(attributes={"axis": 0}, **slices, **flat)
    made = from_slices(made, batch.stack("input"), axis)
    return [made, *(tf.reshape(item, tf.shape(ends["input_min"])) for item in sums)]


def range_ends(batch: Batch) -> dict[str, tf.Tensor]:
    """The least and the greatest number of each row: one of each, or one for each part along ``axis``."""
    return {name: batch.stack(name, 0 if batch.attributes["axis"] < 0 else 1) for name in ("input_min", "input_max")}
