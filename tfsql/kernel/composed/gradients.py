"""Gradients of weights that all rows share: products that are summed up for each row by itself."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from tfsql.kernel.composed.batch import Batch, RefusedError, composes, fold, unfold


@composes("Conv3DBackpropFilterV2")
def conv_3d_backprop_filter(batch: Batch) -> Sequence[tf.Tensor]:
    """The product of the patches under each place of a filter and the gradients at that place.

    Raises:
      RefusedError: patches of that kind cannot be cut, or the shapes do not fit.
    """
    images, gradients, sizes = batch.stack("input", 5), batch.stack("out_backprop", 5), batch.known("filter_sizes")
    if batch.attributes["data_format"] != "NDHWC" or {*batch.attributes["dilations"]} != {1}:
        raise RefusedError("patches are cut without gaps, channels last")
    if sizes.shape != (5,) or sizes[3] != images.shape[5] or sizes[4] != gradients.shape[5]:
        raise RefusedError("the channels do not fit")
    strides, padding = batch.attributes["strides"], batch.attributes["padding"]
    windows = [1, *sizes[:3].tolist(), 1]
    patches = unfold(tf.extract_volume_patches(fold(images), windows, strides, padding), batch.rows)
    if patches.shape[2:5] != gradients.shape[2:5] or images.shape[1] != gradients.shape[1]:
        raise RefusedError("the places do not fit")
    places = images.shape[1] * gradients.shape[2:5].num_elements()
    left, right = (tf.reshape(item, [batch.rows, places, item.shape[5]]) for item in (patches, gradients))
    return [tf.reshape(tf.matmul(left, right, transpose_a=True), [batch.rows, *sizes])]


# Where the gates stand: input, cell, forget, output, of each a quarter of the weights' columns.
GATES = {"BlockLSTMGrad": {"wci": 0, "wcf": 2, "wco": 3}, "BlockLSTMGradV2": {"wci": 0, "wcf": 1, "wco": 3}}
STATES = ("i", "cs", "f", "o", "ci", "co", "h", "cs_grad", "h_grad")


@composes("BlockLSTMGrad", "BlockLSTMGradV2")
def block_lstm_grad(batch: Batch) -> Sequence[tf.Tensor]:
    """Inputs of zeros, one more for each gate, whose weights are 1, make the call give the gradients of the gates.

    Raises:
      RefusedError: there are no peepholes, for which the kernel leaves what it gives undefined.
    """
    if not batch.attributes["use_peephole"]:
        raise RefusedError("the gradients of the peepholes are not defined")
    x, weights = fold(batch.stack("x", 3), 1), batch.shared("w")
    states = {name: fold(batch.stack(name, 3), 1) for name in STATES}
    before = {name: fold(batch.stack(name, 2)) for name in ("cs_prev", "h_prev")}
    length, gates = x.shape[2], weights.shape[1]
    wide = tf.concat([weights[:length], tf.eye(gates, dtype=weights.dtype), weights[length:]], 0)
    more = tf.zeros([x.shape[0], tf.shape(x)[1], gates], x.dtype)
    made = batch.again(x=tf.concat([x, more], 2), w=wide, **states, **before)
    change = unfold(made[0][:, :, length:], batch.rows, 1)
    known = {name: tf.concat([before[f"{name}_prev"][None], states[name][:-1]], 0) for name in ("h", "cs")}
    taken = unfold(tf.concat([x, known["h"]], 2), batch.rows, 1)
    parts, cells = tf.split(change, 4, 3), {"wci": known["cs"], "wcf": known["cs"], "wco": states["cs"]}
    peepholes = [
        tf.reduce_sum(parts[part] * unfold(cells[name], batch.rows, 1), [1, 2])
        for name, part in GATES[batch.operator].items()
    ]
    sums = [tf.einsum("rtbi,rtbj->rij", taken, change), *peepholes, tf.reduce_sum(change, [1, 2])]
    return [unfold(made[0][:, :, :length], batch.rows, 1), *(unfold(item, batch.rows) for item in made[1:3]), *sums]
