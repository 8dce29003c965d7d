"""Result columns as TensorFlow tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf

from tfsql.errors import RowError, TypeMismatchError
from tfsql.flatten import one_chunk
from tfsql.rows import elements_of, list_lengths, rows_from_arrow
from tfsql.types import SqlType, TensorType, castable, display, tensor_type


def tensor_column(name: str, column: pa.ChunkedArray, kind: SqlType) -> Any:
    """A column as ``[rows, *shape]``, or as a ``tf.RaggedTensor`` where rows differ in shape.

    Raises:
      TypeMismatchError: the column has NULL rows or is no tensor.
    """
    tensor = tensor_type(castable(kind))
    if tensor is None or tensor_type(kind) is None:
        raise TypeMismatchError(
            f"Column {name} is {display(kind)}, which is no tensor", hint="Leave it out, or cast it"
        )
    flat = one_chunk(column)
    if flat.null_count:
        raise TypeMismatchError(
            f"Column {name} has NULL rows, which a tensor cannot hold", hint="Add WHERE x IS NOT NULL"
        )
    if tensor.is_fixed:
        try:
            rows = rows_from_arrow(flat, tensor)
        except RowError as error:
            raise TypeMismatchError(f"Column {name} {error.message} (row {error.row})") from error
        return tf.constant(rows.elements.reshape(rows.count, *(rows.shape or ())), tensor.dtype)
    return _ragged(flat, tensor, name)


def tensor_of(array: np.ndarray) -> tf.Tensor:
    """An array as a tensor of its dtype."""
    return tf.constant(array)


def _ragged(column: pa.Array, tensor: TensorType, name: str) -> tf.RaggedTensor:
    """Every axis behind the rows is ragged, so that the rank does not hang on what the rows hold."""
    lengths = []
    level = column
    for _ in range(tensor.rank):
        lengths.append(list_lengths(level))
        level = level.flatten()
        if level.null_count:
            raise TypeMismatchError(f"Column {name} has a NULL inside its arrays, which a tensor cannot hold")
    elements = tf.constant(elements_of(level, tensor), tensor.dtype)
    return tf.RaggedTensor.from_nested_row_lengths(elements, lengths)
