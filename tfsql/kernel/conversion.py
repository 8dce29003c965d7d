"""TensorFlow's converter, given the stacked rows as they are.

``tf.vectorized_map`` looks up each row by its number. Where the number of rows is not known before running, the
converter makes a copy of all rows of that: a third of the time of spectrograms. Private class: TensorFlow 2.21 has no
public way to say what a tensor of the body becomes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf
from tensorflow.python.ops.parallel_for import pfor


def vectorised(
    body: Callable[[Sequence[tf.Tensor]], list[tf.Tensor]],
    stacked: Sequence[tf.Tensor],
    rows: tf.Tensor,
    *,
    is_strict: bool,
) -> list[tf.Tensor]:
    """What ``body`` makes of each row, stacked ``[rows, ...]``. Only in a graph.

    Args:
      body: takes one row of each tensor.
      stacked: tensors ``[rows, ...]``.
      rows: how many rows there are.
      is_strict: whether to fail where the converter has nothing for an operator, rather than to loop.

    Raises:
      ValueError: the converter refuses an operator.
    """
    graph = tf.compat.v1.get_default_graph()
    outside = set(graph.get_operations())
    number = tf.compat.v1.placeholder_with_default(0, [])
    row = [tf.gather(tensor, number) for tensor in stacked]
    made = body(row)
    inside = set(graph.get_operations()) - outside
    converter = pfor.PFor(number, rows, inside, fallback_to_while_loop=not is_strict)
    for one, every in zip(row, stacked, strict=True):
        converter._add_conversion(one, pfor.wrap(every, True))
    return [converter.convert(tensor) for tensor in made]
