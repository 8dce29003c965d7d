"""Ragged tensors: those of all rows are laid end to end, and their row splits with them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfsql.kernel.composed.batch import (
    Batch,
    Ragged,
    RefusedError,
    composes,
    counts,
    cut,
    cut_by_row,
    fold,
    repeated,
    unfold,
)
from tfsql.kernel.composed.scatters import with_row
from tfsql.kernel.composed.sparse import (
    all_rows,
    checked,
    filled,
    known_shapes,
    row_folded,
    rows_of,
    sparse_of,
    unfolded,
    within,
)


def joined_splits(batch: Batch, splits: tf.Tensor, length: int) -> tf.Tensor:
    """The row splits of all rows end to end, ``[rows * lines + 1]``, from those of each, ``[rows, lines + 1]``.

    Args:
      length: how many items the splits of a row are about: all of them have a line.
    """
    splits = checked(splits, splits[:, 0] == 0, splits[:, -1] == length, splits[:, 1:] >= splits[:, :-1])
    numbers = tf.cast(tf.range(batch.rows), splits.dtype)[:, None]
    return tf.concat([tf.zeros([1], splits.dtype), tf.reshape(splits[:, 1:] + numbers * length, [-1])], 0)


def parted_splits(splits: tf.Tensor, borders: tf.Tensor) -> tuple[Ragged, tf.Tensor]:
    """The row splits of each row, and where its items begin and end.

    Args:
      borders: ``[rows + 1]``, where the lines of each row begin, and the end.
    """
    places = tf.ragged.range(borders[:-1], borders[1:] + 1)
    begins = tf.gather(splits, borders)
    return cut(
        tf.gather(splits, places.values) - tf.repeat(begins[:-1], places.row_lengths()), places.row_lengths()
    ), begins


def lines_of(batch: Batch, length: int | tf.Tensor) -> tf.Tensor:
    """Where the lines of each row begin, and the end, int64 ``[rows + 1]``: each has as many of them."""
    return tf.cast(tf.range(batch.rows + 1), tf.int64) * tf.cast(length, tf.int64)


def lengths_between(borders: tf.Tensor) -> tf.Tensor:
    return borders[1:] - borders[:-1]


@composes("RaggedRange")
def ragged_range(batch: Batch) -> Sequence[Ragged]:
    inputs = {name: batch.stack(name) for name in ("starts", "limits", "deltas")}
    lengths = {batch.row_shape(name)[0] for name in inputs if batch.row_shape(name)}
    if len(lengths) > 1:
        raise RefusedError("vectors have different lengths")
    length = lengths.pop() if lengths else 1
    whole = {
        name: item if item.shape.rank == 2 else tf.repeat(item[:, None], length, 1) for name, item in inputs.items()
    }
    splits, values = batch.again(**{name: fold(item) for name, item in whole.items()})
    made, borders = parted_splits(splits, lines_of(batch, length))
    return [made, cut(values, lengths_between(borders))]


@composes("RaggedGather")
def ragged_gather(batch: Batch) -> Sequence[Any]:
    nest, values, lengths = nest_of(batch, "params_nested_splits", "params_dense_values")
    indices = within(batch.stack("indices"), lengths[0])
    numbers = tf.reshape(tf.cast(tf.range(batch.rows), indices.dtype), [-1, *[1] * (indices.shape.rank - 1)])
    *made, values = tf.nest.flatten(
        batch.again(
            attributes={"OUTPUT_RAGGED_RANK": len(nest)},
            params_nested_splits=nest,
            params_dense_values=values,
            indices=tf.reshape(indices + numbers * lengths[0], [-1]),
        )
    )
    axes = batch.row_shape("indices")
    outer = [uniform_splits(batch, axes[: end + 1], made[0].dtype) for end in range(1, len(axes))]
    parts, borders = parted_nest(made, lines_of(batch, math.prod(axes)))
    return [[*outer, *parts[0 if axes else 1 :]], cut(values, lengths_between(borders))]


def uniform_splits(batch: Batch, axes: tuple[int, ...], dtype: tf.DType) -> tf.Tensor:
    """The row splits of the last of some axes of a tensor, once for each row."""
    return repeated(tf.cast(tf.range(math.prod(axes[:-1]) + 1) * axes[-1], dtype), batch.rows)


def parted_nest(nest: Sequence[tf.Tensor], borders: tf.Tensor) -> tuple[list[Ragged], tf.Tensor]:
    """The nested row splits of each row, and where its values begin and end."""
    parts = []
    for splits in nest:
        part, borders = parted_splits(splits, borders)
        parts.append(part)
    return parts, borders


def nest_of(batch: Batch, lists: str, values: str) -> tuple[list[tf.Tensor], tf.Tensor, list[int]]:
    """The ragged tensors of all rows end to end: row splits, values, and how many lines a row has at each level."""
    splits, flat = batch.stack(lists, 1), batch.stack(values)
    folded = fold(flat)
    lengths = [*(item.shape[1] - 1 for item in splits), flat.shape[1]]
    return [joined_splits(batch, *item) for item in zip(splits, lengths[1:], strict=True)], folded, lengths


def widest(splits: tf.Tensor) -> tf.Tensor:
    """The length of the longest line of each row, int64 ``[rows]``."""
    return tf.maximum(tf.reduce_max(tf.cast(splits[:, 1:] - splits[:, :-1], tf.int64), 1), 0)


@composes("RaggedTensorToSparse")
def ragged_tensor_to_sparse(batch: Batch) -> Sequence[Any]:
    """One ragged tensor whose lines are the rows; the shape of each is what its own row splits tell."""
    nest, values, lengths = nest_of(batch, "rt_nested_splits", "rt_dense_values")
    outer = tf.cast(lines_of(batch, lengths[0]), nest[0].dtype)
    indices, flat, _ = batch.again(rt_nested_splits=[outer, *nest], rt_dense_values=values)
    inner = batch.row_shape("rt_dense_values")[1:]
    axes = [lengths[0], *map(widest, batch.stack("rt_nested_splits", 1)), *inner]
    shapes = tf.stack([tf.broadcast_to(tf.cast(axis, tf.int64), [batch.rows]) for axis in axes], 1)
    return [*rows_of(batch, indices, flat), shapes]


@composes("RaggedTensorToTensor")
def ragged_tensor_to_tensor(batch: Batch) -> Sequence[tf.Tensor | Ragged]:
    """The positions of the values are made dense rather than they, since each row may have its own default.

    An axis of any length is as long as the longest line of all rows at first, then each row is cut to its own.
    """
    nest, values, lengths = nest_of(batch, "row_partition_tensors", "values")
    inner, shape = batch.row_shape("values")[1:], batch.known("shape")
    wanted = shape.tolist() if shape.ndim else [-1] * (len(lengths) + len(inner))
    is_inner = all(axis in (-1, length) for axis, length in zip(wanted[len(lengths) :], inner, strict=True))
    if set(batch.attributes["row_partition_types"]) != {"ROW_SPLITS"} or not is_inner or 0 in lengths:
        raise RefusedError("partitions are no row splits, or there is no value")
    wanted = [lengths[0] if wanted[0] < 0 else wanted[0], *wanted[1 : len(lengths)]]
    (positions,) = batch.again(
        attributes={"row_partition_types": ["ROW_SPLITS"] * len(lengths)},
        shape=tf.concat([tf.cast(batch.rows, tf.int64)[None], tf.constant(wanted, tf.int64)], 0),
        values=tf.range(tf.shape(values, tf.int64)[0]),
        default_value=tf.constant(-1, tf.int64),
        row_partition_tensors=[tf.cast(lines_of(batch, lengths[0]), nest[0].dtype), *nest],
    )
    positions.set_shape([None] * (len(lengths) + 1))
    made = filled(batch, positions, values, defaults_of(batch, inner))
    splits = batch.stack("row_partition_tensors")
    widths = [widest(item) if axis < 0 else None for axis, item in zip(wanted[1:], splits, strict=True)]
    return [made if all(width is None for width in widths) else narrowed(made, widths)]


def defaults_of(batch: Batch, inner: tuple[int, ...]) -> tf.Tensor:
    """The default of each row, as large as a value."""
    defaults = batch.stack("default_value")
    axes = batch.row_shape("default_value")
    defaults = tf.reshape(defaults, [batch.rows, *[1] * (len(inner) - len(axes)), *axes])
    return tf.broadcast_to(defaults, [batch.rows, *inner])


def narrowed(stacked: tf.Tensor, widths: Sequence[tf.Tensor | None]) -> Ragged:
    """Stacked rows, ``[rows, lines, *axes]``, of which each has its own width of some axes."""
    shape = tf.shape(stacked, tf.int64)
    shapes = tf.repeat(shape[None, 1:], shape[0], 0)
    kept = tf.ones(shape[: len(widths) + 2], tf.bool)
    for axis, width in enumerate(widths, 2):
        if width is not None:
            inside = tf.range(shape[axis]) < width[:, None]
            kept &= tf.reshape(inside, [-1, *[1] * (axis - 1), shape[axis], *[1] * (len(widths) + 1 - axis)])
            shapes = tf.concat([shapes[:, : axis - 1], width[:, None], shapes[:, axis:]], 1)
    return Ragged(tf.reshape(tf.boolean_mask(stacked, kept), [-1]), shapes)


# -- empty lines -------------------------------------------------------------------------------------------------------


def without_empty_lines(
    batch: Batch, lines: tf.Tensor, made: Sequence[tf.Tensor], values: tf.Tensor, length: Any
) -> Any:
    """The values, the empty lines and the places of the values, from outputs for positions in place of values.

    Args:
      lines: the row of each value that came out.
      made: positions, less than 0 where a line was empty; which lines were; places of the values.
      length: how many lines a row has.
    """
    positions, is_empty, places = made
    filled_values = tf.gather(
        tf.concat([batch.stack("default_value", 0), values], 0),
        tf.where(positions < 0, lines, positions + tf.cast(batch.rows, tf.int64)),
    )
    before = tf.cumsum(counts(lines, batch.rows), exclusive=True)
    return [
        cut_by_row(filled_values, lines, batch.rows),
        tf.reshape(is_empty, tf.stack([tf.cast(batch.rows, tf.int64), length])),
        unfold(places, batch.rows) - before[:, None],
    ]


@composes("SparseFillEmptyRows")
def sparse_fill_empty_rows(batch: Batch) -> Sequence[Any]:
    inputs = all_rows(batch, "indices", "values", "dense_shape", row_folded)
    values = inputs["values"]
    inputs |= {"values": tf.range(tf.size(values, tf.int64)), "default_value": tf.constant(-1, tf.int64)}
    indices, *made = batch.again(**inputs)
    length = int(batch.known("dense_shape")[0])
    own, row_of = unfolded(indices, length)
    return [cut_by_row(own, row_of, batch.rows), *without_empty_lines(batch, row_of, made, values, length)]


@composes("RaggedFillEmptyRows")
def ragged_fill_empty_rows(batch: Batch) -> Sequence[Any]:
    length, values = batch.shared("nrows"), fold(batch.stack("values", 1))
    numbers = within(batch.stack("value_rowids", 1), length)
    lines, *made = batch.again(
        value_rowids=tf.reshape(numbers + tf.cast(tf.range(batch.rows), tf.int64)[:, None] * length, [-1]),
        values=tf.range(tf.size(values, tf.int64)),
        nrows=length * tf.cast(batch.rows, tf.int64),
        default_value=tf.constant(-1, tf.int64),
    )
    row_of = lines // tf.maximum(length, 1)
    own = cut_by_row(lines - row_of * length, row_of, batch.rows)
    return [own, *without_empty_lines(batch, row_of, made, values, length)]


@composes("SparseFillEmptyRowsGrad", "RaggedFillEmptyRowsGrad")
def fill_empty_rows_grad(batch: Batch) -> Sequence[tf.Tensor]:
    """The gradient of the default is the sum of those that no value has; in their order, as the kernel adds them."""
    places, gradients = batch.stack("reverse_index_map", 1), batch.stack("grad_values", 1)
    if not gradients.dtype.is_floating and not gradients.dtype.is_integer and not gradients.dtype.is_complex:
        raise RefusedError("gradients are no numbers")
    shape = tf.shape(gradients, tf.int64)
    places = within(places, shape[1])
    uses = tf.scatter_nd(with_row(batch, places[:, :, None]), tf.ones_like(places), shape)
    numbers = tf.where(uses > 0, tf.constant(-1, tf.int64), tf.cast(tf.range(batch.rows), tf.int64)[:, None])
    left = tf.math.unsorted_segment_sum(tf.reshape(gradients, [-1]), tf.reshape(numbers, [-1]), batch.rows)
    return [tf.gather(gradients, places, batch_dims=1), left]


# -- crosses -----------------------------------------------------------------------------------------------------------


def folded_lists(batch: Batch, indices: str, values: str, shapes: str, dense_inputs: str) -> dict[str, Any]:
    """Lists of matrices by the names of their inputs, those of each row below those of the row before."""
    lists = zip(batch.stack(indices, 2), batch.stack(values, 1), known_shapes(batch, shapes), strict=True)
    made = [row_folded(batch, *item) for item in lists]
    found: dict[str, Any] = {name: [item[part] for item in made] for part, name in enumerate((indices, values, shapes))}
    return found | {dense_inputs: [fold(item) for item in batch.stack(dense_inputs, 2)]}


@composes("SparseCross", "SparseCrossV2", "SparseCrossHashed")
def sparse_cross(batch: Batch) -> Sequence[Any]:
    sizes = [int(shape[0]) for shape in known_shapes(batch, "shapes")]
    length = [*sizes, *(item.shape[1] for item in batch.stack("dense_inputs", 2))][0]
    indices, values, _ = batch.again(**folded_lists(batch, "indices", "values", "shapes", "dense_inputs"))
    return sparse_of(batch, indices, values, length)


@composes("RaggedCross")
def ragged_cross(batch: Batch) -> Sequence[Any]:
    values, lists = batch.stack("ragged_values", 1), batch.stack("ragged_row_splits", 1)
    sizes = [int(shape[0]) for shape in known_shapes(batch, "sparse_shape")]
    lengths = [
        *(item.shape[1] - 1 for item in lists),
        *sizes,
        *(item.shape[1] for item in batch.stack("dense_inputs", 2)),
    ]
    flat, splits = batch.again(
        ragged_values=[fold(item) for item in values],
        ragged_row_splits=[
            joined_splits(batch, *item) for item in zip(lists, (v.shape[1] for v in values), strict=True)
        ],
        **folded_lists(batch, "sparse_indices", "sparse_values", "sparse_shape", "dense_inputs"),
    )
    own, borders = parted_splits(splits, lines_of(batch, lengths[0]))
    return [cut(flat, lengths_between(borders)), own]
