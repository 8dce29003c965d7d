"""Sums of products with a vector, along the last axis: grey values of colours, scores of embeddings.

TensorFlow 2.21 multiplies and sums along a short axis slowly. A product of matrices takes 0.26 of the processor time of
both at sixteen of 112x112x8, 0.3 at 112x112x16, 0.5 at 112x112x64 and at 1000x784; up to four terms, sums of columns
take less, 0.4 at 112x112x3; neither takes more on a few numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from tfsql.kernel.lower.site import Lowering, Site
from tfsql.tree import Node, Output

# The sum of more may be off by more than the tolerance.
_MAX_TERMS = 4096
_MAX_COLUMNS = 4


def _factors(site: Site) -> Sequence[Node]:
    """The tensor that varies, and the vector that its last axis is multiplied by; none where that is not what it is."""
    product = next(site.call.nodes())
    shape, axis = site.shape_of(product), site.constant(1)
    if not isinstance(product, Output) or product.call.op != "Mul" or product.type.dtype not in ("float32", "float64"):
        return ()
    if not shape or axis is None or axis.size != 1 or int(axis.reshape(-1)[0]) not in (-1, len(shape) - 1):
        return ()
    pair = tuple(product.call.nodes())
    for tensor, vector in (pair, pair[::-1]):
        if not site.is_varying(tensor) or site.is_varying(vector):
            continue
        terms, factors = site.shape_of(tensor), site.shape_of(vector)
        if terms and factors and len(terms) == len(shape) and terms[-1] == factors[-1] and len(factors) == 1:
            return (tensor, vector) if 1 < (factors[0] or 0) <= _MAX_TERMS else ()
    return ()


def _make(site: Site, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
    tensor, vector = inputs
    terms = vector.shape[0]
    flat = tf.reshape(tensor, [-1, terms])
    if terms <= _MAX_COLUMNS:
        columns = zip(tf.unstack(flat, axis=1), tf.unstack(vector), strict=True)
        sums = tf.add_n([column * factor for column, factor in columns])
    else:
        sums = tf.matmul(flat, vector[:, tf.newaxis])
    last = [1] if site.attribute("keep_dims") else []
    made = tf.reshape(sums, tf.concat([tf.shape(tensor)[:-1], last], 0))
    made.set_shape([*tensor.shape[:-1], *last])
    return made


WEIGHTED_SUM = Lowering(
    "a weighted sum of columns",
    frozenset({"Sum"}),
    lambda site: bool(_factors(site)),
    _make,
    tolerance=1e-5,
    takes=_factors,
    is_for_one_row=True,
)
