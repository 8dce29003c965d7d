"""Bodies of one row made calls on all rows by TensorFlow's converter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tfsql.kernel.conversion import vectorised

X = np.random.default_rng(0).normal(size=(7, 6)).astype(np.float32)
Y = np.arange(7, dtype=np.float32)


def traced(body: Callable[[Sequence[tf.Tensor]], list[tf.Tensor]], is_strict: bool) -> Any:
    signature = [tf.TensorSpec([None, 6], tf.float32), tf.TensorSpec([None], tf.float32)]
    function = tf.function(
        lambda *stacked: vectorised(body, stacked, tf.shape(stacked[0])[0], is_strict=is_strict), autograph=False
    )
    return function.get_concrete_function(*signature)


@pytest.mark.parametrize(
    ("body", "is_strict"),
    [
        (lambda row: [tf.cumsum(row[0] * row[1]), row[1] + 1], True),
        (lambda row: [tf.reverse(row[0], [0]), row[0], row[1]], True),
        (lambda row: [tf.cond(row[1] > 3, lambda: row[0] * 2, lambda: -row[0])], True),
        (lambda row: [tf.constant([1.0, 2.0])], True),
        (lambda row: [tf.raw_ops.Bincount(arr=tf.cast(row[0] > 0, tf.int32), size=2, weights=row[0])], False),
    ],
)
@pytest.mark.parametrize("rows", [1, 2, 7])
def test_equal_to_the_body_on_each_row(body: Any, is_strict: bool, rows: int) -> None:
    made = traced(body, is_strict)(tf.constant(X[:rows]), tf.constant(Y[:rows]))
    alone = zip(*(body([tf.constant(x), tf.constant(y)]) for x, y in zip(X[:rows], Y[:rows], strict=True)), strict=True)
    for tensor, wanted in zip(made, alone, strict=True):
        np.testing.assert_allclose(tensor, np.stack(wanted), rtol=1e-6)


def test_what_has_no_converter_is_refused_where_no_loop_is_wanted() -> None:
    with pytest.raises(ValueError, match="Bincount"):
        traced(lambda row: [tf.raw_ops.Bincount(arr=tf.cast(row[0], tf.int32), size=2, weights=row[0])], True)


def test_the_rows_are_taken_as_they_are() -> None:
    operations = traced(lambda row: [tf.cumsum(row[0] * row[1])], True).graph.get_operations()
    assert not [op.name for op in operations if "Gather" in op.type and op.outputs[0].shape.rank == 2]
    (product,) = [op for op in operations if op.type == "Mul" and op.outputs[0].shape.rank == 2]
    assert product.inputs[0].op.type == "Placeholder"
