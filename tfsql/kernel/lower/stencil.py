"""Convolutions of one channel with one filter as a stencil, compiled by XLA.

All pictures lie end to end in one row of numbers. A weight of the filter meets all pixels at once: a slice of that row,
shifted; where the shift leads out of the picture, into the next row or picture, a mask puts zero. XLA makes one loop of
the slices, masks, products and sums. It compiles for a number of pictures, so that the row is filled up with zeros to
one of few lengths; this filling, and the margins, are made outside, where they are a copy at most (see ``strip``):
XLA's own padding takes as long as the stencil.

70,000 pictures of 28x28 take 0.4 of the processor time of the banded matrices with a filter of 3x3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import tensorflow as tf

from tfsql.kernel.lower.site import Lowering, Site
from tfsql.kernel.lower.strip import Room, Strip
from tfsql.kernel.lower.windows import OPERATORS, Axis, axes_of, is_of_one_channel

_MAX_WEIGHTS = 64
_MAX_PIXELS = 1 << 20


def _pays(site: Site) -> bool:
    if not is_of_one_channel(site):
        return False
    kernel = site.shapes[1] or ()
    height, width = axes_of(site)
    return (
        kernel[3] == 1
        and 1 < height.kernel * width.kernel <= _MAX_WEIGHTS
        and height.length * width.length <= _MAX_PIXELS
        and all(axis.stride == 1 and 0 < axis.output <= axis.length for axis in (height, width))
    )


def _make(site: Site, inputs: Sequence[Any]) -> tf.Tensor:
    image, kernel = inputs
    height, width = axes_of(site)
    strip = image if isinstance(image, Strip) else Strip.of(image, _room(site))
    made = _stencil(height, width, strip.room.around)(strip.numbers, strip.start, tf.reshape(kernel, [-1]))
    made = made[: strip.rows * strip.room.pictures]
    return tf.reshape(made, [-1, strip.room.pictures, height.output, width.output, 1])


def _room(site: Site) -> Room:
    """Room for what the outermost weights look back at beyond the first picture, and ahead at beyond the last."""
    height, width = axes_of(site)
    rows, columns = _shifts(height), _shifts(width)
    first, last = rows[0] * width.length + columns[0], rows[-1] * width.length + columns[-1]
    pictures = (site.shapes[0] or ())[0]
    assert pictures is not None
    return Room(max(-first, 0), max(last, 0), height.length * width.length, pictures)


def _shifts(axis: Axis) -> list[int]:
    """By how much each weight along an axis looks ahead of the output."""
    return [step * axis.dilation - axis.before for step in range(axis.kernel)]


@cache
def _stencil(height: Axis, width: Axis, around: int) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]:
    """The compiled function of a strip, of its start and of the weights: ``[pictures, height, width]``.

    Args:
      around: how many numbers of the strip are no pictures.
    """
    rows, columns = np.arange(height.length)[:, None], np.arange(width.length)

    def stencil(strip: tf.Tensor, first: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        size = tf.shape(strip)[0] - around
        total: tf.Tensor = 0
        for index, (down, right) in enumerate((down, right) for down in _shifts(height) for right in _shifts(width)):
            start = first + down * width.length + right
            seen = tf.reshape(tf.slice(strip, [start], [size]), [-1, height.length, width.length])
            # A mask for each axis: XLA takes long to compile with one of all pixels.
            seen = _inside(_inside(seen, rows + down, height), columns + right, width)
            total += seen * weights[index]
        return total[:, : height.output, : width.output]

    return tf.function(stencil, jit_compile=True, autograph=False)  # type: ignore[no-any-return]


def _inside(pictures: tf.Tensor, places: np.ndarray, axis: Axis) -> tf.Tensor:
    """The pixels, with zero for those that are looked for outside of the axis."""
    is_inside = (places >= 0) & (places < axis.length)
    return pictures if is_inside.all() else tf.where(tf.constant(is_inside), pictures, tf.zeros([], pictures.dtype))


STENCIL = Lowering(
    "a stencil over all pixels, compiled by XLA", OPERATORS, _pays, _make, tolerance=1e-6, is_compiled=True, room=_room
)
