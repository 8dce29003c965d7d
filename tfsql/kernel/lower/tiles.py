"""Convolutions of few channels with several neighbouring outputs for each window.

TensorFlow 2.21 multiplies a matrix of windows by a matrix of filters; with few channels and filters it spends its time
on laying out windows. One window, wider by t - 1 columns, serves t outputs in a row: the filter stands in it t times,
shifted, as t times as many filters, and the stride is t. With 3x3, processor time is 0.56 of the operator's from 1 to 8
channels, 0.55 from 1 to 16, 0.53 to 0.58 from 2, 3 and 4 to 8; with 5x5 from 1 to 8 channels 0.56. From 3 to 16 or
1 to 32 channels, and for more than 32 filters in all, nothing is gained; with pictures 64 and 224 wide 0.6 to 0.9 up to
8 channels, nothing with 16.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfsql.kernel.lower.site import Lowering, Site
from tfsql.kernel.lower.windows import axes_of, convolution, is_of_pictures, where_finite

_MAX_CHANNELS = 4
_MIN_FILTERS = 4
_MAX_PRODUCT = 32
# Filters in all, and those of one output where pictures are wide.
_MAX_FILTERS = 32
_MAX_FILTERS_WIDE, _WIDE = 8, 33
_COUNTS = (4, 2)


def _count(site: Site) -> int | None:
    """How many outputs a window serves; None where that does not pay."""
    if not is_of_pictures(site):
        return None
    image, kernel = site.shapes
    assert image is not None
    assert kernel is not None
    channels, filters = kernel[2] or 0, kernel[3] or 0
    height, width = axes_of(site)
    is_plain = all(axis.stride == axis.dilation == 1 and axis.output > 0 for axis in (height, width))
    is_small = channels <= _MAX_CHANNELS and filters >= _MIN_FILTERS and channels * filters <= _MAX_PRODUCT
    most = _MAX_FILTERS_WIDE if width.length >= _WIDE else _MAX_FILTERS
    if not is_plain or not is_small or filters > most or channels != image[3] or width.kernel == 1:
        return None
    # At two tiles at least: TensorFlow 2.21 takes the wrong columns where a stride is all of the width.
    fitting = (n for n in _COUNTS if n * filters <= _MAX_FILTERS and width.output % n == 0 and width.output > n)
    return next(fitting, None)


def _make(site: Site, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
    image, kernel = inputs
    height, width = axes_of(site)
    count, (batch, *shape) = _count(site), site.shapes[0] or ()
    assert count is not None
    pictures = tf.reshape(image, [-1, *shape])
    row, column, output = np.ogrid[: width.kernel, : width.kernel + count - 1, :count]
    places = tf.constant(column - output == row, kernel.dtype)

    def tiled() -> tf.Tensor:
        filters = tf.einsum("ijco,jpt->ipcto", kernel, places)
        made = tf.nn.conv2d(
            pictures,
            tf.reshape(filters, [height.kernel, width.kernel + count - 1, shape[2], count * kernel.shape[3]]),
            strides=[1, 1, count, 1],
            padding=[[0, 0], [height.before, height.after], [width.before, width.after], [0, 0]],
        )
        return tf.reshape(made, [-1, height.output, width.output, kernel.shape[3]])

    made = where_finite([pictures, kernel], tiled, lambda: convolution(pictures, kernel, height, width))
    return tf.reshape(made, [-1, batch, height.output, width.output, kernel.shape[3]])


TILES = Lowering(
    "a convolution of several outputs for each window",
    frozenset({"Conv2D"}),
    lambda site: _count(site) is not None,
    _make,
    tolerance=1e-6,
)
