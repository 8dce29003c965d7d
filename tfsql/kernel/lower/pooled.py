"""Pooling of convolutions of few channels: all outputs that a pool takes the greatest of come from one window.

A window, larger by the pool, serves all of them: the filter stands in it once for each, shifted, as so many more
filters, and the strides are those of the pool. What grows with its input, exactly, is applied to the greatest. With 3x3
filters and pools of 2x2, processor time is 0.6 to 0.7 of convolution and pooling from 1 to 8 channels at 28x28, 0.55
from 3 to 8 at 56x56; with 64 filters in all nothing is gained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from tfsql.infer import apply_operator
from tfsql.kernel.lower.site import Lowering, Site
from tfsql.kernel.lower.windows import Axis, axes_of, convolution, is_of_pictures, where_finite
from tfsql.registry import operator_spec
from tfsql.tree import Call, Node, Output

# What may stand between convolution and pool.
_GROWS_WITH_INPUT = frozenset({"Relu", "Relu6", "BiasAdd", "Add", "AddV2"})
_MAX_CHANNELS = 4
_MIN_FILTERS = 4
# Filters times the outputs of a pool.
_MAX_PRODUCT = 32


@dataclass(frozen=True)
class _Chain:
    """What a pool takes the greatest of.

    Attributes:
      convolution: the call, as if it stood alone.
      between: the calls from it to the pool, each with the place of the input that comes from the one before.
    """

    convolution: Site
    between: tuple[tuple[Call, int], ...]

    def others(self) -> list[Node]:
        """The inputs of the calls between that do not come from the one before."""
        return [node for call, place in self.between for i, node in enumerate(call.nodes()) if i != place]

    def applied(self, tensor: tf.Tensor, others: Sequence[tf.Tensor]) -> tf.Tensor:
        """The calls between, on another tensor."""
        given = iter(others)
        for call, place in self.between:
            spec = operator_spec(call.op)
            assert spec is not None
            inputs = [tensor if i == place else next(given) for i, _ in enumerate(call.nodes())]
            (tensor,) = apply_operator(spec, inputs, dict(call.attributes))
        return tensor


def _chain(site: Site) -> _Chain | None:
    between: list[tuple[Call, int]] = []
    node = next(site.call.nodes())
    while isinstance(node, Output) and site.is_used_once(node):
        call = node.call
        if call.op == "Conv2D":
            return _Chain(replace(site, call=call), tuple(between[::-1]))
        place = _place(site, call) if call.op in _GROWS_WITH_INPUT else None
        if place is None:
            return None
        between.append((call, place))
        node = list(call.nodes())[place]
    return None


def _place(site: Site, call: Call) -> int | None:
    """Which input of a call varies, where another is one number, or one for each filter."""
    nodes = list(call.nodes())
    varying = [i for i, node in enumerate(nodes) if site.is_varying(node)]
    shape = site.shape_of(next(call.results()))
    if dict(call.attributes).get("data_format", "NHWC") != "NHWC":
        return None
    if len(varying) != 1 or shape is None or site.shape_of(nodes[varying[0]]) != shape:
        return None
    others = [site.shape_of(node) for i, node in enumerate(nodes) if i != varying[0]]
    return varying[0] if all(other in ((), shape[-1:]) for other in others) else None


def _pool(site: Site) -> tuple[int, int] | None:
    """Height and width of the pools, which lie side by side."""
    ksize, strides = site.attribute("ksize"), site.attribute("strides")
    if site.attribute("data_format") != "NHWC" or site.attribute("padding") not in ("SAME", "VALID"):
        return None
    return (ksize[1], ksize[2]) if ksize == strides and ksize[0] == ksize[3] == 1 else None


def _pays(site: Site) -> bool:
    chain, pool = _chain(site), _pool(site)
    if chain is None or pool is None or not is_of_pictures(chain.convolution):
        return False
    image, kernel = chain.convolution.shapes
    assert image is not None
    assert kernel is not None
    axes = axes_of(chain.convolution)
    if not all(axis.stride == axis.dilation == 1 for axis in axes) or kernel[2] != image[3]:
        return False
    # Of two pools at least: TensorFlow 2.21 takes the wrong columns where a stride is all of the width.
    if not all(axis.output > length and axis.output % length == 0 for axis, length in zip(axes, pool, strict=True)):
        return False
    filters, outputs = kernel[3] or 0, pool[0] * pool[1]
    return filters >= _MIN_FILTERS and 1 < outputs <= _MAX_PRODUCT // filters and (image[3] or 0) <= _MAX_CHANNELS


def _takes(site: Site) -> Sequence[Node]:
    chain = _chain(site)
    assert chain is not None
    return (*chain.convolution.call.nodes(), *chain.others())


def _make(site: Site, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
    image, kernel, *others = inputs
    chain, pool = _chain(site), _pool(site)
    assert chain is not None
    assert pool is not None
    batch, *shape = chain.convolution.shapes[0] or ()
    height, width = axes_of(chain.convolution)
    pictures = tf.reshape(image, [-1, *shape])
    made = where_finite(
        [pictures, kernel, *others],
        lambda: chain.applied(_greatest(pictures, kernel, (height, width), pool), others),
        lambda: tf.nn.max_pool2d(
            chain.applied(convolution(pictures, kernel, height, width), others), pool, pool, "VALID"
        ),
    )
    return tf.reshape(made, [-1, batch, height.output // pool[0], width.output // pool[1], kernel.shape[3]])


def _greatest(pictures: tf.Tensor, kernel: tf.Tensor, axes: tuple[Axis, Axis], pool: tuple[int, int]) -> tf.Tensor:
    """``[pictures, pools in a column, pools in a row, filters]``."""
    height, width = axes
    rows, columns = (_shifts(axis.kernel, length, kernel.dtype) for axis, length in zip(axes, pool, strict=True))
    filters = tf.einsum("ijco,ips,jqt->pqcsto", kernel, rows, columns)
    made = tf.nn.conv2d(
        pictures,
        tf.reshape(
            filters, [*(axis.kernel + length - 1 for axis, length in zip(axes, pool, strict=True)), kernel.shape[2], -1]
        ),
        strides=[1, *pool, 1],
        padding=[[0, 0], [height.before, height.after], [width.before, width.after], [0, 0]],
    )
    outputs = pool[0] * pool[1]
    shape = [-1, height.output // pool[0], width.output // pool[1], outputs, kernel.shape[3]]
    return tf.reduce_max(tf.reshape(made, shape), 3)


def _shifts(length: int, count: int, dtype: tf.DType) -> tf.Tensor:
    """``[length, length + count - 1, count]``: 1 where a filter's place is one of the window's, for each output."""
    place, window, output = np.ogrid[:length, : length + count - 1, :count]
    return tf.constant(window - output == place, dtype)


POOLED = Lowering(
    "a convolution of all that a pool takes for each window",
    frozenset({"MaxPool"}),
    _pays,
    _make,
    tolerance=1e-6,
    takes=_takes,
)
