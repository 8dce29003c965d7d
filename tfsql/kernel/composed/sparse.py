"""Sparse tensors: the number of the row is one more index in front, or is folded into the first one.

Kernels do not all check that an index is inside the shape, so every one here waits until that is known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfsql.kernel.composed.batch import Batch, Ragged, RefusedError, composes, cut_by_row, fold, repeated, unfold
from tfsql.kernel.composed.scatters import with_row

# Greater shapes could not be multiplied by the number of rows.
_MAX_ELEMENTS = 2**40
# More parts take seconds to trace.
_MAX_PARTS = 16


def known_shape(batch: Batch, name: str) -> np.ndarray:
    """The shape of a row's sparse tensor, int64 ``[rank]``.

    Raises:
      RefusedError: it varies, is not known, or is none that can be had once for each row.
    """
    shape = batch.known(name)
    if shape.ndim != 1 or (shape < 0).any() or math.prod(map(int, shape)) > _MAX_ELEMENTS:
        raise RefusedError(f"{name} is no shape that rows may have together")
    return shape


def checked(tensor: tf.Tensor, *holds: tf.Tensor) -> tf.Tensor:
    """A tensor that waits for conditions; where one fails, the rows are computed one by one."""
    with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(each), ["rows differ"]) for each in holds]):
        return tf.identity(tensor)


def within(indices: tf.Tensor, limits: Any) -> tf.Tensor:
    """Indices that are known to be at least 0 and less than the limits."""
    return checked(indices, indices >= 0, indices < tf.cast(limits, indices.dtype))


def indices_within(batch: Batch, indices: tf.Tensor, shape: np.ndarray) -> tf.Tensor:
    """Indices of the values of all rows, ``[rows, length, rank]``, inside the shape.

    Raises:
      RefusedError: they have another rank.
    """
    if indices.shape.rank != 3 or indices.shape[2] != len(shape):
        raise RefusedError("indices are no matrix as wide as the shape is long")
    return within(indices, shape)


def dense(batch: Batch, made: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Dense outputs of all rows, of which TensorFlow does not know the rank since it does not know the number of rows.

    Raises:
      RefusedError: it does not know the rank of a row either.
    """
    for tensor, shape in zip(made, batch.shapes, strict=True):
        if shape is None:
            raise RefusedError("the rank of an output is not known")
        tensor.set_shape([None, *shape])
    return list(made)


def refuse_vectors(rank: int) -> None:
    """Refuses rows that a kernel refuses though it would take the stack of them."""
    if rank < 2:
        raise RefusedError("the kernel takes no vectors")


Parts = tuple[tf.Tensor, tf.Tensor, tf.Tensor]


def row_in_front(batch: Batch, indices: tf.Tensor, values: tf.Tensor, shape: np.ndarray) -> Parts:
    """A sparse tensor of all rows, whose first index is the row: indices, values, shape."""
    made = fold(with_row(batch, indices_within(batch, indices, shape)))
    return made, fold(values), tf.concat([tf.cast(batch.rows, tf.int64)[None], shape], 0)


def row_folded(batch: Batch, indices: tf.Tensor, values: tf.Tensor, shape: np.ndarray) -> Parts:
    """A sparse tensor of all rows one below the other, as if each were a slice of its first axis."""
    numbers = tf.cast(tf.range(batch.rows), tf.int64)[:, None, None]
    first, rest = tf.split(indices_within(batch, indices, shape), [1, len(shape) - 1], axis=2)
    made = tf.concat([first + numbers * shape[0], rest], 2)
    length = tf.cast(batch.rows, tf.int64) * shape[0]
    return fold(made), fold(values), tf.concat([length[None], shape[1:]], 0)


Laying = Callable[[Batch, tf.Tensor, tf.Tensor, np.ndarray], Parts]


def all_rows(batch: Batch, indices: str, values: str, shape: str, lay: Laying = row_in_front) -> dict[str, tf.Tensor]:
    """The sparse tensor of all rows, by the names of its inputs."""
    made = lay(batch, batch.stack(indices, 2), batch.stack(values, 1), known_shape(batch, shape))
    return dict(zip((indices, values, shape), made, strict=True))


def rows_of(batch: Batch, indices: tf.Tensor, values: tf.Tensor) -> list[Ragged]:
    """The indices and values of each row, from a sparse tensor whose first index is the row."""
    return [cut_by_row(item, indices[:, 0], batch.rows) for item in (indices[:, 1:], values)]


def unfolded(indices: tf.Tensor, length: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Indices of which ``row_folded`` has folded the first, as each row has them; and the number of the row of each."""
    row_of = indices[:, 0] // max(length, 1)
    return tf.concat([indices[:, :1] - row_of[:, None] * length, indices[:, 1:]], 1), row_of


def sparse_rows(batch: Batch, indices: tf.Tensor, values: tf.Tensor, shape: tf.Tensor) -> list[Any]:
    """The sparse tensor of each row, from one whose first index is the row."""
    return [*rows_of(batch, indices, values), repeated(shape[1:], batch.rows)]


# -- to dense tensors --------------------------------------------------------------------------------------------------


def filled(batch: Batch, positions: tf.Tensor, values: tf.Tensor, defaults: tf.Tensor) -> tf.Tensor:
    """The values at ``positions``, ``[rows, ...]``; where that is less than 0, the row's default."""
    numbers = tf.reshape(tf.range(batch.rows, dtype=positions.dtype), [-1, *[1] * (positions.shape.rank - 1)])
    return tf.gather(
        tf.concat([defaults, values], 0),
        tf.where(positions < 0, numbers, positions + tf.cast(batch.rows, positions.dtype)),
    )


@composes("SparseToDense")
def sparse_to_dense(batch: Batch) -> Sequence[tf.Tensor]:
    """The positions of the values are made dense rather than they, since each row may have its own default."""
    indices, shape = batch.stack("sparse_indices"), known_shape(batch, "output_shape")
    if len(batch.row_shape("sparse_indices")) < 2:
        indices = tf.reshape(indices, [batch.rows, math.prod(batch.row_shape("sparse_indices")), 1])
    indices = indices_within(batch, indices, shape)
    values, defaults = batch.stack("sparse_values"), batch.stack("default_value")
    if values.shape.rank == 1:
        values = tf.repeat(values[:, None], indices.shape[1], 1)
    if values.shape[1:] != indices.shape[1:2] or defaults.shape.rank != 1:
        raise RefusedError("values are not as many as indices, or the default is no scalar")
    (positions,) = batch.again(
        sparse_indices=fold(with_row(batch, indices)),
        output_shape=tf.concat([[tf.cast(batch.rows, indices.dtype)], shape], 0),
        sparse_values=tf.range(tf.size(values, tf.int64)),
        default_value=tf.constant(-1, tf.int64),
    )
    return [filled(batch, positions, fold(values), defaults)]


@composes("SparseTensorDenseAdd")
def sparse_tensor_dense_add(batch: Batch) -> Sequence[tf.Tensor]:
    if len(batch.row_shape("b")) > 4:
        raise RefusedError("the kernel takes five axes at most")
    indices, values, shape = row_in_front(
        batch, batch.stack("a_indices", 2), batch.stack("a_values", 1), known_shape(batch, "a_shape")
    )
    return batch.again(a_indices=indices, a_values=values, a_shape=tf.cast(shape, indices.dtype), b=batch.stack("b"))


@composes("SparseTensorDenseMatMul")
def sparse_tensor_dense_mat_mul(batch: Batch) -> Sequence[tf.Tensor]:
    """The matrices of the rows are the blocks of one."""
    shape = known_shape(batch, "a_shape")
    indices = tf.cast(indices_within(batch, batch.stack("a_indices"), shape), tf.int64)
    indices += tf.cast(tf.range(batch.rows), tf.int64)[:, None, None] * shape
    right = batch.stack("b", 2)
    right = tf.linalg.adjoint(right) if batch.attributes["adjoint_b"] else right
    (product,) = batch.again(
        attributes={"adjoint_b": False},
        a_indices=fold(indices),
        a_values=fold(batch.stack("a_values", 1)),
        a_shape=tf.cast(batch.rows, tf.int64) * shape,
        b=fold(right),
    )
    return [unfold(product, batch.rows)]


# -- over axes ---------------------------------------------------------------------------------------------------------


@composes("SparseSoftmax")
def sparse_softmax(batch: Batch) -> Sequence[tf.Tensor]:
    refuse_vectors(batch.row_shape("sp_shape")[0])
    made = batch.again(**all_rows(batch, "sp_indices", "sp_values", "sp_shape"))
    return [unfold(made[0], batch.rows)]


def behind_row(axes: Any, rank: int) -> np.ndarray:
    """The numbers of axes of a row as they are behind the number of the row.

    Raises:
      RefusedError: a row has no such axis.
    """
    axes = np.asarray(axes)
    if ((axes < -rank) | (axes >= rank)).any():
        raise RefusedError("there is no such axis")
    return np.asarray(np.where(axes < 0, axes, axes + 1))


def reduction(batch: Batch) -> list[tf.Tensor]:
    """The outputs of a reduction of all rows, whose axes are counted one higher."""
    axes = behind_row(batch.known("reduction_axes"), batch.row_shape("input_shape")[0])
    inputs = all_rows(batch, "input_indices", "input_values", "input_shape")
    return batch.again(**inputs, reduction_axes=tf.constant(axes, tf.int32))


@composes("SparseReduceSum", "SparseReduceMax")
def sparse_reduce(batch: Batch) -> Sequence[tf.Tensor]:
    return dense(batch, reduction(batch))


@composes("SparseReduceSumSparse", "SparseReduceMaxSparse")
def sparse_reduce_sparse(batch: Batch) -> Sequence[Any]:
    return sparse_rows(batch, *reduction(batch))


# -- to sparse tensors -------------------------------------------------------------------------------------------------


def distinct(indices: tf.Tensor) -> tf.Tensor:
    """Sorted indices that are known to be distinct: kernels sort equal ones differently among more of them."""
    return checked(indices, tf.reduce_any(indices[1:] != indices[:-1], 1))


@composes("SparseReorder")
def sparse_reorder(batch: Batch) -> Sequence[tf.Tensor]:
    indices, values = batch.again(**all_rows(batch, "input_indices", "input_values", "input_shape"))
    return [unfold(distinct(indices)[:, 1:], batch.rows), unfold(values, batch.rows)]


@composes("SparseReshape")
def sparse_reshape(batch: Batch) -> Sequence[tf.Tensor]:
    """Each index is computed by itself, so that the row has no part in it."""
    indices, shape = batch.again(input_indices=fold(batch.stack("input_indices", 2)))
    return [unfold(indices, batch.rows), repeated(shape, batch.rows)]


@composes("SparseSlice")
def sparse_slice(batch: Batch) -> Sequence[Any]:
    start, size = batch.shared("start"), batch.shared("size")
    made = batch.again(
        **all_rows(batch, "indices", "values", "shape"),
        start=tf.concat([[tf.constant(0, tf.int64)], start], 0),
        size=tf.concat([[tf.cast(batch.rows, tf.int64)], size], 0),
    )
    return sparse_rows(batch, *made)


@composes("SparseConcat")
def sparse_concat(batch: Batch) -> Sequence[Any]:
    own = known_shapes(batch, "shapes")
    axis = behind_row(batch.attributes["concat_dim"], len(own[0]))
    lists = zip(batch.stack("indices", 2), batch.stack("values", 1), own, strict=True)
    indices, values, shapes = map(list, zip(*(row_in_front(batch, *item) for item in lists), strict=True))
    made = batch.again(attributes={"concat_dim": int(axis)}, indices=indices, values=values, shapes=shapes)
    return sparse_rows(batch, distinct(made[0]), *made[1:])


def known_shapes(batch: Batch, name: str) -> list[np.ndarray]:
    """The shapes of a list of sparse tensors of a row.

    Raises:
      RefusedError: one varies, is not known, or is none that can be had once for each row.
    """
    shapes = [tf.get_static_value(shape) for shape in batch.shared(name)]
    if any(shape is None or (shape < 0).any() or math.prod(map(int, shape)) > _MAX_ELEMENTS for shape in shapes):
        raise RefusedError(f"{name} are no shapes that rows may have together")
    return shapes


@composes("SparseSplit")
def sparse_split(batch: Batch) -> Sequence[list[Any]]:
    if batch.attributes["num_split"] > _MAX_PARTS:
        raise RefusedError(f"it makes more than {_MAX_PARTS} parts")
    axis = tf.constant(behind_row(batch.known("split_dim"), batch.row_shape("shape")[0]), tf.int64)
    made = batch.again(**all_rows(batch, "indices", "values", "shape"), split_dim=axis)
    parts = [sparse_rows(batch, *part) for part in zip(*made, strict=True)]
    return [list(outputs) for outputs in zip(*parts, strict=True)]


# -- of two sparse tensors ---------------------------------------------------------------------------------------------


def both(batch: Batch) -> dict[str, tf.Tensor]:
    first = all_rows(batch, "a_indices", "a_values", "a_shape")
    return first | all_rows(batch, "b_indices", "b_values", "b_shape")


@composes("SparseAdd")
def sparse_add(batch: Batch) -> Sequence[Any]:
    return sparse_rows(batch, *batch.again(**both(batch)))


@composes("SparseSparseMaximum", "SparseSparseMinimum")
def sparse_sparse(batch: Batch) -> Sequence[Ragged]:
    return rows_of(batch, *batch.again(**both(batch)))


@composes("SparseAddGrad")
def sparse_add_grad(batch: Batch) -> Sequence[tf.Tensor]:
    indices = {name: fold(with_row(batch, batch.stack(name, 2))) for name in ("a_indices", "b_indices", "sum_indices")}
    made = batch.again(backprop_val_grad=fold(batch.stack("backprop_val_grad", 1)), **indices)
    return [unfold(item, batch.rows) for item in made]


@composes("SparseSliceGrad")
def sparse_slice_grad(batch: Batch) -> Sequence[tf.Tensor]:
    made = batch.again(
        backprop_val_grad=fold(batch.stack("backprop_val_grad", 1)),
        input_indices=fold(with_row(batch, batch.stack("input_indices", 2))),
        input_start=tf.concat([[tf.constant(0, tf.int64)], batch.shared("input_start")], 0),
        output_indices=fold(with_row(batch, batch.stack("output_indices", 2))),
    )
    return [unfold(made[0], batch.rows)]


@composes("EditDistance")
def edit_distance(batch: Batch) -> Sequence[tf.Tensor]:
    refuse_vectors(batch.row_shape("truth_shape")[0])
    first = all_rows(batch, "hypothesis_indices", "hypothesis_values", "hypothesis_shape")
    return dense(batch, batch.again(**first, **all_rows(batch, "truth_indices", "truth_values", "truth_shape")))


def sparse_of(batch: Batch, indices: tf.Tensor, values: tf.Tensor, length: int) -> list[Any]:
    """Indices, values and shape of each row's sparse matrix, from one of ``length`` lines for each.

    A matrix is as wide as its last value tells.
    """
    own, row_of = unfolded(indices, length)
    widths = greatest(own[:, 1], row_of, batch.rows) + 1
    shapes = tf.stack([tf.fill([batch.rows], tf.constant(length, tf.int64)), widths], 1)
    return [cut_by_row(own, row_of, batch.rows), cut_by_row(values, row_of, batch.rows), shapes]


# -- sets: the last axis -----------------------------------------------------------------------------------------------


def set_rows(batch: Batch, indices: tf.Tensor, values: tf.Tensor, shape: tf.Tensor) -> list[Any]:
    """The sets of each row; the last axis is as long as the longest set of the row."""
    lengths = greatest(indices[:, -1], indices[:, 0], batch.rows) + 1
    return [*rows_of(batch, indices, values), tf.concat([repeated(shape[1:-1], batch.rows), lengths[:, None]], 1)]


def greatest(items: tf.Tensor, row_of: tf.Tensor, rows: tf.Tensor, least: int = -1) -> tf.Tensor:
    """The greatest item of each row, int64 ``[rows]``; ``least`` where it has none or only lesser ones."""
    return tf.maximum(tf.math.unsorted_segment_max(items, row_of, rows), least)


@composes("SetSize")
def set_size(batch: Batch) -> Sequence[tf.Tensor]:
    refuse_vectors(batch.row_shape("set_shape")[0])
    return dense(batch, batch.again(**all_rows(batch, "set_indices", "set_values", "set_shape")))


@composes("DenseToDenseSetOperation")
def dense_to_dense_set_operation(batch: Batch) -> Sequence[Any]:
    refuse_vectors(len(batch.row_shape("set1")))
    return set_rows(batch, *batch.again(set1=batch.stack("set1"), set2=batch.stack("set2")))


@composes("DenseToSparseSetOperation")
def dense_to_sparse_set_operation(batch: Batch) -> Sequence[Any]:
    refuse_vectors(len(batch.row_shape("set1")))
    second = all_rows(batch, "set2_indices", "set2_values", "set2_shape")
    return set_rows(batch, *batch.again(set1=batch.stack("set1"), **second))


@composes("SparseToSparseSetOperation")
def sparse_to_sparse_set_operation(batch: Batch) -> Sequence[Any]:
    refuse_vectors(batch.row_shape("set1_shape")[0])
    first = all_rows(batch, "set1_indices", "set1_values", "set1_shape")
    return set_rows(batch, *batch.again(**first, **all_rows(batch, "set2_indices", "set2_values", "set2_shape")))


@composes("SerializeManySparse")
def serialize_many_sparse(batch: Batch) -> Sequence[tf.Tensor]:
    refuse_vectors(batch.row_shape("sparse_shape")[0])
    (made,) = batch.again(**all_rows(batch, "sparse_indices", "sparse_values", "sparse_shape", row_folded))
    return [unfold(made, batch.rows)]
