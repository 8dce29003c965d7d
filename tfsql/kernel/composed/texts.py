"""Texts: those of all rows end to end, and what is made of them cut into rows again."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from tfsql.kernel.composed.batch import Batch, Ragged, RefusedError, composes, cut, cut_by_row, fold, unfold


@composes("StringSplit", "StringSplitV2")
def string_split(batch: Batch) -> Sequence[tf.Tensor | Ragged]:
    texts = batch.stack("input", 1)
    length = texts.shape[1]
    indices, values, _ = batch.again(input=fold(texts))
    number, column = tf.unstack(indices, 2, 1)
    row_of = number // max(length, 1)
    places = tf.stack([number % max(length, 1), column], 1)
    longest = tf.maximum(tf.math.unsorted_segment_max(column + 1, row_of, batch.rows), 0)
    shapes = tf.stack([tf.fill([batch.rows], tf.constant(length, tf.int64)), longest], 1)
    return [cut_by_row(places, row_of, batch.rows), cut_by_row(values, row_of, batch.rows), shapes]


# -- ragged inputs and outputs -----------------------------------------------------------------------------------------


def end_to_end(batch: Batch, splits: tf.Tensor, length: int) -> tf.Tensor:
    """Where the parts of all rows begin and end, int64, from ``[rows, parts + 1]``, of ``length`` items a row."""
    first = batch.row_numbers(1) * length
    ends = tf.cast(batch.rows[None], tf.int64) * length
    return tf.concat([fold(tf.cast(splits[:, :-1], tf.int64) + first[:, None]), ends], 0)


def by_row(batch: Batch, splits: tf.Tensor, parts: int) -> tf.Tensor:
    """What ``end_to_end`` makes, the other way."""
    place = tf.range(batch.rows)[:, None] * parts + tf.range(parts + 1)
    found = tf.gather(splits, place)
    return found - found[:, :1]


@composes("UnicodeDecode", "UnicodeDecodeWithOffsets")
def unicode_decode(batch: Batch) -> Sequence[tf.Tensor | Ragged]:
    texts = batch.stack("input")
    splits, *items = batch.again(input=tf.reshape(texts, [-1]))
    splits = by_row(batch, splits, texts.shape[1:].num_elements())
    return [splits, *(cut(item, splits[:, -1]) for item in items)]


@composes("UnicodeEncode")
def unicode_encode(batch: Batch) -> Sequence[tf.Tensor]:
    values, splits = batch.stack("input_values", 1), batch.stack("input_splits", 1)
    length = values.shape[1]
    if not splits.shape[1]:
        raise RefusedError("there is no split")
    holds = tf.equal(splits[:, 0], 0) & tf.equal(splits[:, -1], length)
    holds &= tf.reduce_all(splits[:, 1:] >= splits[:, :-1], 1)
    splits = batch.requiring(holds, "input_splits must rise from 0 to the number of values", splits)
    (made,) = batch.again(input_values=fold(values), input_splits=end_to_end(batch, splits, length))
    return [unfold(made, batch.rows)]


@composes("StringNGrams")
def string_n_grams(batch: Batch) -> Sequence[tf.Tensor | Ragged]:
    """The splits are checked already: they rise from 0 to the number of texts."""
    texts, splits = batch.stack("data", 1), batch.stack("data_splits", 1)
    if not splits.shape[1]:
        raise RefusedError("there is no split")
    grams, ends = batch.again(data=fold(texts), data_splits=end_to_end(batch, splits, texts.shape[1]))
    ends = by_row(batch, ends, splits.shape[1] - 1)
    return [cut(grams, ends[:, -1]), tf.cast(ends, splits.dtype)]


# -- one text of each row ----------------------------------------------------------------------------------------------


def sharded(batch: Batch, shard: tf.Tensor | str) -> Sequence[tf.Tensor]:
    """Names of files; what is behind a zero byte is not printed."""
    basename = tf.strings.regex_replace(batch.stack("basename", 0), r"(?s)\x00.*", "")
    return [tf.strings.join([basename, "-", shard, "-of-", five_digits(batch.stack("num_shards", 0))])]


def five_digits(numbers: tf.Tensor) -> tf.Tensor:
    return tf.strings.as_string(numbers, width=5, fill="0")


@composes("ShardedFilename")
def sharded_filename(batch: Batch) -> Sequence[tf.Tensor]:
    return sharded(batch, five_digits(batch.stack("shard", 0)))


@composes("ShardedFilespec")
def sharded_filespec(batch: Batch) -> Sequence[tf.Tensor]:
    return sharded(batch, "?????")


@composes("DecodeRaw")
def decode_raw(batch: Batch) -> Sequence[Ragged]:
    """All bytes at once. The texts of a row must have one length, which is one of whole numbers of that dtype."""
    texts = batch.stack("bytes")
    count, size = texts.shape[1:].num_elements(), tf.as_dtype(batch.attributes["out_type"]).size
    if not count:
        raise RefusedError("there are no texts")
    lengths = tf.strings.length(tf.reshape(texts, [batch.rows, count]))
    holds = tf.equal(lengths, lengths[:, :1]) & tf.equal(lengths % size, 0)
    lengths = batch.requiring(holds, "the texts must have one length, of whole numbers", lengths)
    (made,) = batch.again(bytes=tf.strings.reduce_join(tf.reshape(texts, [-1])))
    shape = tf.broadcast_to(tf.shape(texts, tf.int64)[1:], [batch.rows, texts.shape.rank - 1])
    return [Ragged(made, tf.concat([shape, tf.cast(lengths[:, :1] // size, tf.int64)], 1))]
