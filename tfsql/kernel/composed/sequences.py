"""Operators on a batch of sequences or of messages: a batch of one's own in each row becomes part of one batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfsql.kernel.composed.batch import Batch, Ragged, RefusedError, composes, cut, cut_by_row, fold, unfold
from tfsql.kernel.composed.raggeds import lengths_between, lines_of, parted_nest
from tfsql.kernel.composed.sparse import greatest, sparse_of, unfolded, within

# -- connectionist temporal classification -----------------------------------------------------------------------------


def sequences(batch: Batch) -> dict[str, tf.Tensor]:
    """The inputs of all rows as one batch, ``[time, rows * sequences, classes]``, and the lengths.

    Raises:
      RefusedError: a row is no batch of sequences.
    """
    inputs = batch.stack("inputs")
    if inputs.shape.rank != 4:
        raise RefusedError("inputs have another rank than 3")
    time, classes = inputs.shape[1], inputs.shape[3]
    together = tf.reshape(tf.transpose(inputs, [1, 0, 2, 3]), [time, batch.rows * inputs.shape[2], classes])
    return {"inputs": together, "sequence_length": fold(batch.stack("sequence_length", 1))}


@composes("CTCLoss")
def ctc_loss(batch: Batch) -> Sequence[tf.Tensor]:
    time, length, classes = batch.row_shape("inputs")
    first, rest = tf.split(batch.stack("labels_indices", 2), [1, 1], axis=2)
    numbers = tf.cast(tf.range(batch.rows), tf.int64)[:, None, None]
    indices = tf.concat([within(first, length) + numbers * length, rest], 2)
    values = fold(batch.stack("labels_values", 1))
    loss, gradient = batch.again(**sequences(batch), labels_indices=fold(indices), labels_values=values)
    gradient = tf.reshape(gradient, [time, batch.rows, length, classes])
    return [unfold(loss, batch.rows), tf.transpose(gradient, [1, 0, 2, 3])]


@composes("CTCGreedyDecoder")
def ctc_greedy_decoder(batch: Batch) -> Sequence[Any]:
    indices, values, _, logarithm = batch.again(**sequences(batch))
    return [*sparse_of(batch, indices, values, batch.row_shape("inputs")[1]), unfold(logarithm, batch.rows)]


@composes("CTCBeamSearchDecoder")
def ctc_beam_search_decoder(batch: Batch) -> Sequence[Any]:
    indices, values, _, logarithm = batch.again(**sequences(batch))
    length = batch.row_shape("inputs")[1]
    paths = [sparse_of(batch, *path, length) for path in zip(indices, values, strict=True)]
    return [*(list(part) for part in zip(*paths, strict=True)), unfold(logarithm, batch.rows)]


# -- messages ----------------------------------------------------------------------------------------------------------


def sparse_features(batch: Batch, indices: list[tf.Tensor], values: list[tf.Tensor]) -> list[list[Any]]:
    """The indices, values and shapes of sparse features, a list of each."""
    length = batch.row_shape("serialized")[0]
    made = [sparse_of(batch, *item, length) for item in zip(indices, values, strict=True)]
    return [[item[part] for item in made] for part in range(3)]


def messages(batch: Batch, names: str, *shapes: str) -> dict[str, tf.Tensor]:
    """The messages of all rows and their names.

    Raises:
      RefusedError: a row has one message, not a vector of them, or its dense features have the length of the longest.
    """
    lines = batch.row_shape("serialized")
    dense_shapes = [tf.TensorShape(shape) for name in shapes for shape in batch.attributes[name] or ()]
    if len(lines) != 1 or batch.row_shape(names) not in (lines, (0,)):
        raise RefusedError("messages are no vector, or names are not as many")
    if not all(shape.is_fully_defined() for shape in dense_shapes):
        raise RefusedError("a dense feature has no shape")
    return {name: fold(batch.stack(name)) for name in ("serialized", names)}


@composes("ParseExample")
def parse_example(batch: Batch) -> Sequence[Any]:
    indices, values, _, dense = batch.again(**messages(batch, "names", "dense_shapes"))
    return [*sparse_features(batch, indices, values), [unfold(item, batch.rows) for item in dense]]


@composes("ParseSequenceExample")
def parse_sequence_example(batch: Batch) -> Sequence[Any]:
    """How many features a list has, its values do not tell: they are parsed once more, as ragged tensors."""
    if batch.attributes["Nfeature_list_dense"]:
        raise RefusedError("lists of dense features have the length of the longest")
    inputs = messages(batch, "debug_name", "context_dense_shapes")
    made = batch.again(**inputs)
    counts = features_of_lists(batch, inputs["serialized"])
    lists = [list_of(batch, *item) for item in zip(made[4], made[5], counts, strict=True)]
    return [
        *sparse_features(batch, made[0], made[1]),
        [unfold(item, batch.rows) for item in made[3]],
        *([item[part] for item in lists] for part in range(3)),
        *([], []),
    ]


def features_of_lists(batch: Batch, serialized: tf.Tensor) -> list[tf.Tensor]:
    """How many features the longest of each row's lists has, int64 ``[rows]``; by the keys of sparse lists."""
    types = [tf.as_dtype(dtype) for dtype in batch.attributes["feature_list_sparse_types"]]
    if not types:
        return []
    none = tf.zeros([0], tf.string)
    names = ("context_sparse", "context_dense", "context_ragged", "feature_list_sparse", "feature_list_dense")
    made = tf.raw_ops.ParseSequenceExampleV2(
        serialized=serialized,
        debug_name=none,
        **{f"{name}_keys": none for name in names},
        feature_list_ragged_keys=tf.constant(batch.attributes["feature_list_sparse_keys"]),
        feature_list_dense_missing_assumed_empty=tf.zeros([0], tf.bool),
        context_dense_defaults=[],
        feature_list_ragged_value_types=types,
        feature_list_ragged_split_types=[tf.int64] * len(types),
    )
    found = [unfold(splits[1:] - splits[:-1], batch.rows) for splits in made.feature_list_ragged_outer_splits]
    return [tf.maximum(tf.reduce_max(lengths, 1), 0) for lengths in found]


def list_of(batch: Batch, indices: tf.Tensor, values: tf.Tensor, features: tf.Tensor) -> list[Any]:
    """Indices, values and shape of each row's lists of sparse features."""
    length = batch.row_shape("serialized")[0]
    own, row_of = unfolded(indices, length)
    widths = greatest(own[:, 2], row_of, batch.rows) + 1
    shapes = tf.stack([tf.fill([batch.rows], tf.constant(length, tf.int64)), features, widths], 1)
    return [cut_by_row(own, row_of, batch.rows), cut_by_row(values, row_of, batch.rows), shapes]


@composes("ParseSequenceExampleV2")
def parse_sequence_example_v2(batch: Batch) -> Sequence[Any]:
    """Lists of sparse and dense features have shapes that their values do not tell."""
    if batch.attributes["Nfeature_list_sparse"] or batch.attributes["Nfeature_list_dense"]:
        raise RefusedError("lists of sparse or dense features have the length of the longest")
    made = batch.again(**messages(batch, "debug_name", "context_dense_shapes"))
    lines = lines_of(batch, batch.row_shape("serialized")[0])
    context = [parted_ragged(lines, values, splits) for values, splits in zip(made[4], made[5], strict=True)]
    lists = [parted_ragged(lines, *item) for item in zip(made[11], made[12], made[13], strict=True)]
    return [
        *sparse_features(batch, made[0], made[1]),
        [unfold(item, batch.rows) for item in made[3]],
        *([item[part] for item in context] for part in range(2)),
        *([] for _ in range(5)),
        *([item[part] for item in lists] for part in range(3)),
    ]


def parted_ragged(lines: tf.Tensor, values: tf.Tensor, *splits: tf.Tensor) -> list[Ragged]:
    """The values and nested row splits of each row."""
    parts, borders = parted_nest(splits, lines)
    return [cut(values, lengths_between(borders)), *parts]
