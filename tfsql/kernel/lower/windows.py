"""What the lowerings of convolutions share: the geometry, and the convolution itself where a lowering must not be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from tfsql.kernel.lower.site import Site

OPERATORS = frozenset({"Conv2D", "DepthwiseConv2dNative"})


@dataclass(frozen=True)
class Axis:
    """One axis of a convolution: lengths, step and padding."""

    length: int
    kernel: int
    stride: int
    dilation: int
    before: int
    after: int

    @property
    def output(self) -> int:
        reach = (self.kernel - 1) * self.dilation + 1
        return (self.length + self.before + self.after - reach) // self.stride + 1


def is_of_one_channel(site: Site) -> bool:
    """Whether a call convolves pictures ``[batch, height, width, 1]`` of each row with filters of all rows."""
    return is_of_pictures(site) and (site.shapes[0] or ())[3] == 1


def is_of_pictures(site: Site) -> bool:
    """Whether a call convolves pictures ``[batch, height, width, channels]`` of each row with filters of all rows."""
    image, kernel = site.shapes
    if site.varying != (True, False) or image is None or kernel is None or None in (*image, *kernel):
        return False
    if site.attribute("data_format") != "NHWC":
        return False
    return site.call.inputs[0].type.dtype in ("float32", "float64")  # type: ignore[union-attr]


def axes_of(site: Site) -> tuple[Axis, Axis]:
    """Height and width of a convolution of ``[batch, height, width, channels]``."""
    image, kernel = site.shapes
    assert image is not None
    assert kernel is not None
    strides, dilations = site.attribute("strides"), site.attribute("dilations")
    made = [_axis(site, axis, image[axis], kernel[axis - 1], strides[axis], dilations[axis]) for axis in (1, 2)]
    return made[0], made[1]


def _axis(site: Site, axis: int, length: Any, kernel: Any, stride: int, dilation: int) -> Axis:
    padding = site.attribute("padding")
    before = after = 0
    if padding == "EXPLICIT":
        before, after = site.attribute("explicit_paddings")[2 * axis : 2 * axis + 2]
    elif padding == "SAME":
        total = max((-(-length // stride) - 1) * stride + (kernel - 1) * dilation + 1 - length, 0)
        before, after = total // 2, total - total // 2
    return Axis(length, kernel, stride, dilation, before, after)


def where_finite(
    tensors: Sequence[tf.Tensor], lowered: Callable[[], tf.Tensor], plain: Callable[[], tf.Tensor]
) -> tf.Tensor:
    """``lowered``, or ``plain`` where some pixel or weight is no number: zeros times it would spread it to others."""
    checks = tf.add_n([tf.reduce_sum(tensor * 0) for tensor in tensors])
    return tf.cond(tf.math.is_finite(checks), lowered, plain)


def convolution(pictures: tf.Tensor, kernel: tf.Tensor, height: Axis, width: Axis) -> tf.Tensor:
    """``[pictures, height, width, filters]`` by the operator itself."""
    return tf.nn.conv2d(
        pictures,
        kernel,
        strides=[1, height.stride, width.stride, 1],
        padding=[[0, 0], [height.before, height.after], [width.before, width.after], [0, 0]],
        dilations=[1, height.dilation, width.dilation, 1],
    )
