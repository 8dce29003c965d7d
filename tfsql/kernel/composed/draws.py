"""Random numbers: those of all rows at once, where the rows are not drawn one after the other from one seed."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from tfsql.kernel.composed.batch import Batch, RefusedError, composes, fold, repeated, unfold


@composes("NonDeterministicInts")
def non_deterministic_ints(batch: Batch) -> Sequence[tf.Tensor]:
    shape = batch.shared("shape")
    return batch.again(shape=tf.concat([tf.cast(batch.rows[None], shape.dtype), shape], 0))


@composes("RandomShuffle")
def random_shuffle(batch: Batch) -> Sequence[tf.Tensor]:
    rows = batch.stack("value")
    if rows.shape.rank == 1:
        return [rows]
    keys = tf.raw_ops.RandomUniform(shape=tf.shape(rows)[:2], dtype=tf.float64)
    return [tf.gather(rows, tf.argsort(keys), axis=1, batch_dims=1)]


@composes("ParameterizedTruncatedNormal")
def parameterized_truncated_normal(batch: Batch) -> Sequence[tf.Tensor]:
    """The first length of the shape is the number of distributions; a parameter is one for all, or one for each."""
    shape = batch.known("shape")
    if shape.ndim != 1 or not shape.size:
        raise RefusedError("shape has no axes")
    names = ("means", "stdevs", "minvals", "maxvals")
    given = [batch.stack(name) for name in names]
    if any(item.shape[1:].num_elements() not in (1, shape[0]) for item in given):
        raise RefusedError("there are as many parameters as distributions, or one")
    spread = [tf.broadcast_to(tf.reshape(item, [batch.rows, -1]), [batch.rows, shape[0]]) for item in given]
    parameters = {name: fold(item) for name, item in zip(names, spread, strict=True)}
    (made,) = batch.again(shape=tf.concat([[batch.rows * int(shape[0])], shape[1:]], 0), **parameters)
    return [unfold(made, batch.rows)]


# -- numbers that a seed, or a place in a sequence, makes --------------------------------------------------------------

# The Philox generator (Salmon and others, 2011), with the key by which TensorFlow makes keys of seeds.
KEY, KEY_STEPS, FACTORS, ROUNDS = (0x3EC8F720, 0x02461E29), (0x9E3779B9, 0xBB67AE85), (0xD2511F53, 0xCD9E8D57), 10
LOW, HALF = tf.uint32.max, 32


def halves(numbers: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The low and the high 32 bits of numbers of 64."""
    half = tf.constant(HALF, tf.uint64)
    return tf.bitwise.bitwise_and(numbers, LOW), tf.bitwise.right_shift(numbers, half)


def joined(low: tf.Tensor, high: tf.Tensor) -> tf.Tensor:
    return low + tf.bitwise.left_shift(high, tf.constant(HALF, tf.uint64))


@composes("StatelessRandomGetKeyCounter", "StatelessRandomGetKeyCounterAlg")
def key_and_counter(batch: Batch) -> Sequence[tf.Tensor]:
    """What a block of Philox makes of the two seeds: a key, and the upper half of a counter."""
    seeds = tf.cast(tf.cast(batch.stack("seed", 1), tf.int64), tf.uint64)
    words = [*halves(seeds[:, 0]), *halves(seeds[:, 1])]
    for number in range(ROUNDS):
        key = [(first + number * step) % 2**HALF for first, step in zip(KEY, KEY_STEPS, strict=True)]
        (low, high), (other_low, other_high) = (halves(words[2 * i] * FACTORS[i]) for i in range(2))
        mixed = [
            tf.bitwise.bitwise_xor(tf.bitwise.bitwise_xor(side, word), tf.constant(part, tf.uint64))
            for side, word, part in zip((other_high, high), words[1::2], key, strict=True)
        ]
        words = [mixed[0], other_low, mixed[1], low]
    counter = joined(*words[2:])
    made = [joined(*words[:2])[:, None], tf.stack([tf.zeros_like(counter), counter], 1)]
    algorithm = [] if batch.operator == "StatelessRandomGetKeyCounter" else batch.again(seed=batch.stack("seed")[0])[2:]
    return [*made, *(repeated(item, batch.rows) for item in algorithm)]


# A place in a Sobol sequence has so many bits. Of more numbers a row the kernel, called for each row, is faster.
PLACE_BITS, MOST_NUMBERS = 31, 64


@composes("SobolSample")
def sobol_sample(batch: Batch) -> Sequence[tf.Tensor]:
    """A point is the exclusive or of those at the places whose Gray codes are the single bits of its own.

    Raises:
      RefusedError: rows have many numbers.
    """
    count = batch.known("num_results")
    if count * batch.known("dim") > MOST_NUMBERS:
        raise RefusedError("there are many numbers")
    skip = tf.cast(batch.stack("skip", 0), tf.int64)
    holds = (skip >= 0) & (skip + int(count) < 2**PLACE_BITS - 1)
    skip = batch.requiring(holds, "skip must be a place in the sequence", skip)
    place = skip[:, None] + tf.range(1, int(count) + 1, dtype=tf.int64)
    code = tf.bitwise.bitwise_xor(place, place // 2)
    made = tf.zeros([], tf.int64)
    for bit in range(PLACE_BITS - 1):
        (point,) = batch.again(attributes={"dtype": tf.float64}, num_results=1, skip=2 ** (bit + 1) - 2)
        taken = tf.equal(code // 2**bit % 2, 1)[:, :, None]
        made = tf.bitwise.bitwise_xor(made, tf.where(taken, tf.cast(point * 2**HALF, tf.int64), 0))
    return [tf.cast(tf.cast(made, tf.float64) / 2**HALF, tf.as_dtype(batch.attributes["dtype"]))]
