"""Lowering: calls of a batch replaced by cheaper equal ones.

Each lowering is a record: what it matches, where it pays, what it makes. Whoever adds one adds its measured condition
here and its cases to tests/test_lowering.py, which compares it with TensorFlow at random shapes and values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from tfsql.registry import operator_spec
from tfsql.tree import Call, Node

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Site:
    """A call and what is known of it before running.

    Attributes:
      shapes: of each input, of one row; None where it is not known.
      varying: of each input whether it differs from row to row.
    """

    call: Call
    shapes: tuple[Shape | None, ...]
    varying: tuple[bool, ...]

    def attribute(self, name: str) -> Any:
        """The value of an attribute, its default if the call gives none."""
        given = dict(self.call.attributes)
        spec = operator_spec(self.call.op)
        assert spec is not None
        attribute = spec.attribute(name)
        return given.get(name, attribute.default if attribute is not None else None)


@dataclass(frozen=True)
class Lowering:
    """A cheaper equal of a call.

    Attributes:
      name: how EXPLAIN calls it.
      operators: those whose calls it may replace.
      pays: whether it applies to a call, and is faster.
      make: the output of all rows from the inputs, those that vary stacked ``[rows, *shape]``.
      tolerance: by how much an element may differ, in units of the greatest element.
    """

    name: str
    operators: frozenset[str]
    pays: Callable[[Site], bool]
    make: Callable[[Site, Sequence[tf.Tensor]], tf.Tensor]
    tolerance: float


def lowering_of(call: Call, shape_of: Callable[[Node], Shape | None], is_varying: Callable[[Node], bool]) -> Any:
    """The lowering of a call and its site; None where none applies."""
    for lowering in LOWERINGS:
        if call.op in lowering.operators:
            nodes = list(call.nodes())
            site = Site(call, tuple(map(shape_of, nodes)), tuple(map(is_varying, nodes)))
            if lowering.pays(site):
                return lowering, site
    return None


# -- convolutions of one channel ---------------------------------------------------------------------------------------
#
# TensorFlow 2.21 convolves pictures of one channel slowly: its inner product has as many terms as channels. With the
# width as channels, and the filter as banded matrices [width, width out] for each of its rows, it is a product of
# matrices: 0.12 of the time at 28x28, 0.27 on a loaded machine, 0.45 at 64, 0.72 at 96, 1.03 at 128 pixels of width;
# with 2, 4 and 8 filters at 28 pixels 0.39, 0.62 and 0.73. A filter of one column gains nothing.

_MAX_WIDTH = 96
_MAX_OUTPUT_WIDTH = 128


@dataclass(frozen=True)
class _Axis:
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


def _axes(site: Site) -> tuple[_Axis, _Axis]:
    """Height and width of a convolution of ``[batch, height, width, channels]``."""
    image, kernel = site.shapes
    assert image is not None
    assert kernel is not None
    strides, dilations = site.attribute("strides"), site.attribute("dilations")
    made = [_axis(site, axis, image[axis], kernel[axis - 1], strides[axis], dilations[axis]) for axis in (1, 2)]
    return made[0], made[1]


def _axis(site: Site, axis: int, length: Any, kernel: Any, stride: int, dilation: int) -> _Axis:
    padding = site.attribute("padding")
    before = after = 0
    if padding == "EXPLICIT":
        before, after = site.attribute("explicit_paddings")[2 * axis : 2 * axis + 2]
    elif padding == "SAME":
        total = max((-(-length // stride) - 1) * stride + (kernel - 1) * dilation + 1 - length, 0)
        before, after = total // 2, total - total // 2
    return _Axis(length, kernel, stride, dilation, before, after)


def _pays_as_bands(site: Site) -> bool:
    image, kernel = site.shapes
    if site.varying != (True, False) or image is None or kernel is None or None in (*image, *kernel):
        return False
    if site.attribute("data_format") != "NHWC" or image[3] != 1 or kernel[1] == 1:
        return False
    if site.call.inputs[0].type.dtype not in ("float32", "float64"):  # type: ignore[union-attr]
        return False
    _, width = _axes(site)
    filters = kernel[3] or 1
    return width.length <= _MAX_WIDTH and 0 < width.output * filters <= _MAX_OUTPUT_WIDTH


def _bands(width: _Axis) -> np.ndarray:
    """``[kernel width, width, width out]``: 1 where a column of the kernel meets a pixel for an output."""
    column, pixel, output = np.ogrid[: width.kernel, : width.length, : width.output]
    return output * width.stride + column * width.dilation - width.before == pixel  # type: ignore[no-any-return]


def _make_as_bands(site: Site, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
    image, kernel = inputs
    height, width = _axes(site)
    filters = kernel.shape[3]
    bands = tf.constant(_bands(width), kernel.dtype)
    matrices = tf.einsum("ijk,jwo->iwok", kernel[:, :, 0], bands)
    made = tf.nn.conv2d(
        tf.reshape(image, [-1, height.length, 1, width.length]),
        tf.reshape(matrices, [height.kernel, 1, width.length, width.output * filters]),
        strides=[1, height.stride, 1, 1],
        padding=[[0, 0], [height.before, height.after], [0, 0], [0, 0]],
        dilations=[1, height.dilation, 1, 1],
    )
    batch = site.shapes[0][0] if site.shapes[0] is not None else None
    return tf.reshape(made, [-1, batch, height.output, width.output, filters])


# -- axes of length 1 --------------------------------------------------------------------------------------------------
#
# TensorFlow 2.21's own converter of Squeeze drops the axis of the rows, too, where there is but one row.


def _is_squeezable(site: Site) -> bool:
    return site.varying == (True,) and site.shapes[0] is not None and None not in site.shapes[0]


def _make_squeezed(site: Site, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
    shape = site.shapes[0]
    assert shape is not None
    dropped = {axis % len(shape) for axis in site.attribute("axis") or ()}
    kept = [length for axis, length in enumerate(shape) if (axis not in dropped if dropped else length != 1)]
    return tf.reshape(inputs[0], [tf.shape(inputs[0])[0], *kept])


LOWERINGS = (
    Lowering(
        "a product of banded matrices, the width as channels",
        frozenset({"Conv2D", "DepthwiseConv2dNative"}),
        _pays_as_bands,
        _make_as_bands,
        tolerance=1e-6,
    ),
    Lowering("a reshape", frozenset({"Squeeze"}), _is_squeezable, _make_squeezed, tolerance=0),
)
