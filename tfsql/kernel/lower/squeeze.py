"""Squeeze as a reshape.

TensorFlow 2.21's own converter drops the axis of the rows, too, where there is but one row.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from tfsql.kernel.lower.site import Lowering, Site


def _is_squeezable(site: Site) -> bool:
    return site.varying == (True,) and site.shapes[0] is not None and None not in site.shapes[0]


def _make_squeezed(site: Site, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
    shape = site.shapes[0]
    assert shape is not None
    dropped = {axis % len(shape) for axis in site.attribute("axis") or ()}
    kept = [length for axis, length in enumerate(shape) if (axis not in dropped if dropped else length != 1)]
    return tf.reshape(inputs[0], [tf.shape(inputs[0])[0], *kept])


SQUEEZE = Lowering("a reshape", frozenset({"Squeeze"}), _is_squeezable, _make_squeezed, tolerance=0)
