"""The geometry of convolutions of pictures of one channel, as the lowerings of them share it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
    image, kernel = site.shapes
    if site.varying != (True, False) or image is None or kernel is None or None in (*image, *kernel):
        return False
    if site.attribute("data_format") != "NHWC" or image[3] != 1:
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
