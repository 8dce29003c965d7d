"""Boxes chosen by score, those too near to a better one left out: for all rows one choice after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from tfsql.kernel.composed.batch import Batch, Ragged, RefusedError, composes, cut

Similarity = Callable[[tf.Tensor], tf.Tensor]

# With more boxes TensorFlow's kernel, called for each row, is faster: it stops at the first box that is too similar.
MOST_BOXES = 16


def lesser(left: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
    """The lesser of two numbers as C++ takes it: the left one where one is no number, as ``greater`` does."""
    return tf.where(right < left, right, left)


def greater(left: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
    return tf.where(left < right, right, left)


def overlap_of(boxes: tf.Tensor) -> Similarity:
    """How much each box overlaps those of given numbers: intersection over union, 0 for boxes without area."""
    low, high = lesser(boxes[..., :2], boxes[..., 2:]), greater(boxes[..., :2], boxes[..., 2:])
    area = tf.reduce_prod(high - low, -1)

    def similarity(picked: tf.Tensor) -> tf.Tensor:
        own_low, own_high, own_area = (tf.gather(item, picked[:, None], batch_dims=1) for item in (low, high, area))
        sides = lesser(high, own_high) - greater(low, own_low)
        common = tf.reduce_prod(greater(sides, 0.0), -1)
        return tf.where((area <= 0) | (own_area <= 0), 0.0, common / (area + own_area - common))

    return similarity


def given_overlap(overlaps: tf.Tensor) -> Similarity:
    return lambda picked: tf.gather(overlaps, picked, axis=2, batch_dims=1)


def order_of_choice(
    scores: tf.Tensor, least: tf.Tensor, most: tf.Tensor, similarity: Similarity, limit: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """How many boxes were chosen before each, int32 ``[rows, boxes]``, all if it is not chosen; and its score.

    A similarity that is no number makes a score 0, by which a box is sorted anew only when it is its turn.

    Args:
      least: scores must be above it; ``[rows, 1]``, as ``limit``, above which boxes are too similar.
      most: how many boxes to choose, ``[rows]``.
    """
    count = scores.shape[1]

    def step(chosen: tf.Tensor, order: tf.Tensor, queued: tf.Tensor, scores: tf.Tensor, live: tf.Tensor) -> Any:
        first = tf.argmax(tf.where(live, queued, -float("inf")), 1, tf.int32)
        is_first = live & tf.one_hot(first, count, True, False)
        is_chosen = is_first & tf.equal(scores, queued)
        order = tf.where(is_chosen, chosen[:, None], order)
        queued = tf.where(is_first, scores, queued)
        has_chosen = tf.reduce_any(is_chosen, 1)
        near = tf.where(has_chosen[:, None], similarity(first), limit)
        live &= ~is_chosen & ~(near > limit)
        scores = tf.where(live & ~(near <= limit), scores * 0, scores)
        chosen += tf.cast(has_chosen, tf.int32)
        return chosen, order, queued, scores, live & (scores > least) & (chosen < most)[:, None]

    live = (scores > least) & (most > 0)[:, None]
    start = (tf.zeros_like(most), tf.fill(tf.shape(scores), count), scores, scores, live)
    _, order, _, scores, _ = tf.while_loop(lambda *state: tf.reduce_any(state[-1]), step, start)
    return order, scores


def settings(batch: Batch) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The most boxes of each row, what their scores must be above, and what their similarity may not be above."""
    most = batch.stack("max_output_size", 0)
    least = batch.stack("score_threshold", 0) if batch.takes("score_threshold") else tf.constant(tf.float32.min)
    if batch.takes("overlap_threshold"):
        limit, fits = batch.stack("overlap_threshold", 0), tf.constant(True)
    elif batch.takes("iou_threshold"):
        limit = batch.stack("iou_threshold", 0)
        fits = (limit >= 0) & (limit <= 1)
    else:
        limit, fits = tf.constant(batch.attributes["iou_threshold"]), tf.constant(True)
    most = batch.requiring((most >= 0) & fits, "max_output_size or iou_threshold is out of range", most)
    return most, tf.reshape(least, [-1, 1]), tf.reshape(limit, [-1, 1])


@composes(
    "NonMaxSuppression",
    "NonMaxSuppressionV2",
    "NonMaxSuppressionV3",
    "NonMaxSuppressionV4",
    "NonMaxSuppressionV5",
    "NonMaxSuppressionWithOverlaps",
)
def non_max_suppression(batch: Batch) -> Sequence[tf.Tensor | Ragged]:
    """The numbers of the boxes; V5 gives their scores too, V4 and V5 then how many there are.

    Raises:
      RefusedError: numbers are not float32, scores are lowered rather than boxes left out, or there are many boxes.
    """
    scores = batch.stack("scores", 1)
    if scores.dtype != tf.float32 or (batch.takes("soft_nms_sigma") and batch.known("soft_nms_sigma")):
        raise RefusedError("scores are lowered")
    if scores.shape[1] > MOST_BOXES:
        raise RefusedError("there are many boxes")
    most, least, limit = settings(batch)
    by = given_overlap(batch.stack("overlaps", 2)) if batch.takes("overlaps") else overlap_of(batch.stack("boxes", 2))
    order, scores = order_of_choice(scores, least, most, by, limit)
    index = tf.argsort(order, stable=True)
    valid = tf.math.count_nonzero(order < scores.shape[1], 1, dtype=tf.int32)
    chosen = [index, tf.gather(scores, index, batch_dims=1)][: 1 + batch.operator.endswith("V5")]
    is_padded = batch.attributes.get("pad_to_max_output_size", False)
    length = batch.known("max_output_size") if is_padded else scores.shape[1]
    is_valid = tf.range(scores.shape[1]) < valid[:, None]
    made = [padded(item, is_valid, int(length)) if is_padded else cut(item[is_valid], valid) for item in chosen]
    return [*made, valid] if batch.operator[-2:] in ("V4", "V5") else made


def padded(items: tf.Tensor, is_valid: tf.Tensor, length: int) -> tf.Tensor:
    """Rows of a length, with zeros where items are not valid."""
    kept = tf.where(is_valid, items, tf.zeros([], items.dtype))[:, :length]
    return tf.pad(kept, [[0, 0], [0, length - kept.shape[1]]])
