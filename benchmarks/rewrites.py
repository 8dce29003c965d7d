"""Rewrites of tensor expressions that were tried, against the operators as they are written: which pay, which do not.

python benchmarks/rewrites.py [--runs 9] [--write docs/rewrites.md]
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import tensorflow as tf
from timing import medians

Function = Callable[[tf.Tensor], tf.Tensor]
RNG = np.random.default_rng(0)


@dataclass(frozen=True)
class Rewrite:
    """An expression, and another that gives the same.

    Attributes:
      shape: of the tensor that both take, the rows first.
      is_kept: whether tfsql makes use of it.
    """

    name: str
    shape: tuple[int, ...]
    plain: Function
    rewritten: Function
    is_kept: bool = False


def weights(*shape: int) -> np.ndarray:
    return RNG.normal(scale=0.2, size=shape).astype(np.float32)


def compiled(function: Function) -> Function:
    return lambda x: tf.function(function, jit_compile=True)(x)


def chain(x: tf.Tensor) -> tf.Tensor:
    return tf.tanh(tf.sqrt(x / 255.0 + 1.0) * 2.0 - tf.square(x / 255.0)) * 0.5 + 0.5


def plain_chain(x: tf.Tensor) -> tf.Tensor:
    return tf.maximum(x * 0.5 + 1.0, 0.0) * x - 3.0


def several_filters(count: int) -> tuple[Function, Function]:
    filters = [weights(3, 3, 1, 1) for _ in range(count)]
    together = np.concatenate(filters, 3)

    def one_by_one(x: tf.Tensor) -> tf.Tensor:
        return tf.stack([tf.nn.conv2d(x, kernel, 1, "SAME") for kernel in filters])

    def as_one(x: tf.Tensor) -> tf.Tensor:
        return tf.stack(tf.split(tf.nn.conv2d(x, together, 1, "SAME"), count, 3))

    return one_by_one, as_one


def separable(size: int) -> tuple[Function, Function]:
    column, row = weights(size, 1, 1, 1), weights(1, size, 1, 1)

    def whole(x: tf.Tensor) -> tf.Tensor:
        return tf.nn.conv2d(x, column * row, 1, "SAME")

    def in_two(x: tf.Tensor) -> tf.Tensor:
        return tf.nn.conv2d(tf.nn.conv2d(x, column, 1, "SAME"), row, 1, "SAME")

    return whole, in_two


def separable_stencil(size: int) -> tuple[Function, Function]:
    column, row = weights(size), weights(size)

    def shifted(x: tf.Tensor, factors: np.ndarray, axis: int) -> tf.Tensor:
        padded = tf.pad(x, [[size // 2, size // 2] if i == axis else [0, 0] for i in range(3)])
        return tf.add_n([tf.gather(padded, range(i, i + x.shape[axis]), axis=axis) * factors[i] for i in range(size)])

    def whole(x: tf.Tensor) -> tf.Tensor:
        padded = tf.pad(x, [[0, 0], [size // 2, size // 2], [size // 2, size // 2]])
        height, width = x.shape[1:3]
        parts = [
            padded[:, i : i + height, j : j + width] * (column[i] * row[j]) for i in range(size) for j in range(size)
        ]
        return tf.add_n(parts)

    return compiled(whole), compiled(lambda x: shifted(shifted(x, column, 1), row, 2))


def pooled() -> tuple[Function, Function]:
    kernel = weights(3, 3, 1, 8)
    wide = np.zeros((4, 4, 1, 2, 2, 8), np.float32)
    for i, j in np.ndindex(2, 2):
        wide[i : i + 3, j : j + 3, :, i, j] = kernel
    wide = wide.reshape(4, 4, 1, 32)

    def plain(x: tf.Tensor) -> tf.Tensor:
        return tf.nn.max_pool2d(tf.nn.conv2d(x, kernel, 1, "SAME"), 2, 2, "VALID")

    def four_at_once(x: tf.Tensor) -> tf.Tensor:
        made = tf.nn.conv2d(x, wide, 2, [[0, 0], [1, 1], [1, 1], [0, 0]])
        return tf.reduce_max(tf.reshape(made, [-1, 14, 14, 4, 8]), 3)

    return plain, four_at_once


def relu_first() -> tuple[Function, Function]:
    kernel = weights(3, 3, 8, 16)

    def plain(x: tf.Tensor) -> tf.Tensor:
        return tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "SAME"))

    def with_bias(x: tf.Tensor) -> tf.Tensor:
        return tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(x, kernel, 1, "SAME"), np.zeros(16, np.float32)))

    return plain, with_bias


def resized(height: int, width: int, size: int) -> tuple[Function, Function]:
    def matrix(length: int) -> np.ndarray:
        unit = np.eye(length, dtype=np.float32)[:, :, None, None]
        return tf.image.resize(unit, [size, 1]).numpy()[:, :, 0, 0].T if length else unit

    rows, columns = matrix(height), matrix(width)

    def plain(x: tf.Tensor) -> tf.Tensor:
        return tf.image.resize(x[..., None], [size, size])[..., 0]

    def as_matrices(x: tf.Tensor) -> tf.Tensor:
        return tf.einsum("sh,bhw,tw->bst", rows, x, columns)

    return plain, as_matrices


def weighted(terms: int) -> tuple[Function, Function]:
    vector = weights(terms)

    def plain(x: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(x * vector, -1)

    def as_columns(x: tf.Tensor) -> tf.Tensor:
        return tf.add_n([column * factor for column, factor in zip(tf.unstack(x, axis=-1), vector, strict=True)])

    def as_matrices(x: tf.Tensor) -> tf.Tensor:
        return tf.reshape(tf.matmul(tf.reshape(x, [-1, terms]), vector[:, None]), tf.shape(x)[:-1])

    return plain, as_columns if terms <= 4 else as_matrices


def product(terms: int, outputs: int) -> tuple[Function, Function]:
    matrix = weights(terms, outputs)

    def plain(x: tf.Tensor) -> tf.Tensor:
        return tf.matmul(x, matrix)

    return plain, compiled(plain)


REWRITES = (
    Rewrite("sum of colours by weights as a sum of columns", (64, 112, 112, 3), *weighted(3), is_kept=True),
    Rewrite("sum of 16 channels by weights as a product of matrices", (64, 56, 56, 16), *weighted(16), is_kept=True),
    Rewrite("sum of 768 numbers by weights as a product of matrices", (20_000, 768), *weighted(768), is_kept=True),
    Rewrite("2 filters of a picture as one convolution", (5_000, 28, 28, 1), *several_filters(2)),
    Rewrite("8 filters of a picture as one convolution", (5_000, 28, 28, 1), *several_filters(8)),
    Rewrite("5x5 filter of rank one as two convolutions", (5_000, 28, 28, 1), *separable(5)),
    Rewrite("3x3 stencil of rank one as two, compiled", (5_000, 28, 28), *separable_stencil(3)),
    Rewrite("7x7 stencil of rank one as two, compiled", (5_000, 28, 28), *separable_stencil(7)),
    Rewrite("convolution and pooling, four outputs a window", (2_000, 28, 28, 1), *pooled(), is_kept=True),
    Rewrite("convolution, no bias and ReLU, for TensorFlow to fuse", (2_000, 14, 14, 8), *relu_first()),
    Rewrite("resizing from 112x112 to 28x28 as two products", (500, 112, 112), *resized(112, 112, 28)),
    Rewrite("product with a matrix of 784 by 10, compiled", (20_000, 784), *product(784, 10)),
    Rewrite("chain of sums, products and maxima, compiled", (20_000, 784), plain_chain, compiled(plain_chain)),
    Rewrite("chain with roots and hyperbolic tangents, compiled", (20_000, 784), chain, compiled(chain)),
)


def measured(rewrites: tuple[Rewrite, ...], runs: int) -> Iterator[tuple[Rewrite, float, float, float]]:
    """For each its seconds as written and rewritten, and by how much they differ, in units of the greatest number."""
    for rewrite in rewrites:
        x = tf.constant(RNG.random(rewrite.shape, np.float32))
        plain, rewritten = tf.function(rewrite.plain), tf.function(rewrite.rewritten)
        want, got = plain(x).numpy(), rewritten(x).numpy()
        difference = float(np.abs(want - got).max() / np.abs(want).max())
        if difference > 1e-4:
            raise SystemExit(f"{rewrite.name}: the answers differ by {difference:.2g} of the greatest number")
        seconds = medians({"plain": partial(plain, x), "rewritten": partial(rewritten, x)}, runs)
        yield rewrite, seconds["plain"], seconds["rewritten"], difference


def page(lines: list[tuple[Rewrite, float, float, float]]) -> str:
    """The page in Markdown."""
    made = [
        "# Rewrites",
        "",
        "What was tried to make tensor expressions cheaper, beside the stencils and tiles of convolutions. What pays,",
        "and gives the same but for the order of sums, is in use; what XLA compiles rounds roots and tangents in ways",
        "of its own. Filters of pictures of one channel run as a stencil each, which takes less than one convolution",
        f"with all of them. TensorFlow {tf.__version__} on {os.cpu_count()} cores; differences are in units of the",
        "greatest number. `make bench` measures anew.",
        "",
        "| rewrite | as written | rewritten | ratio | difference | in use |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
    ]
    made += [
        f"| {rewrite.name} | {plain * 1000:.1f} ms | {other * 1000:.1f} ms | {other / plain:.2f} | {difference:.0e} "
        f"| {'yes' if rewrite.is_kept else 'no'} |"
        for rewrite, plain, other, difference in lines
    ]
    return "\n".join(made) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--write", type=Path, help="the page to write")
    given = parser.parse_args()
    lines = []
    for line in measured(REWRITES, given.runs):
        lines.append(line)
        print(f"{line[0].name:60} {line[2] / line[1]:.2f}  {line[3]:.0e}", flush=True)
    if given.write:
        given.write.write_text(page(lines))


if __name__ == "__main__":
    main()
