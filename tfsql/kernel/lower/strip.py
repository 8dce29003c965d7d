"""Strips: the pictures of all rows end to end in one vector, with room before the first and behind the last.

A lowering that looks beyond the edges of pictures, and masks what it sees there, may take one in place of stacked rows.
A kernel lends the memory of a batch as a strip where other rows lie around it, and saves a copy with margins.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import tensorflow as tf

from tfsql.kernel.lower.site import Lowering, Site
from tfsql.tree import Call, Leaf, Node, Output

# Calls that give the elements of their first input in their order.
_KEEPS_ORDER = frozenset({"Reshape", "ExpandDims", "Squeeze", "Identity"})
# Numbers of pictures to compile for: powers of two up to this, and its multiples.
_STEP = 2048
# So many numbers may lie between an address that can be lent and the room before the first picture.
_SLACK = 16


@dataclass(frozen=True)
class Room:
    """How a strip is laid out. What lies in the room around the pictures is of no account.

    Attributes:
      before: how many numbers there are before the first picture, at least.
      after: how many there are behind the last.
      pixels: of a picture.
      pictures: of a row.
    """

    before: int
    after: int
    pixels: int
    pictures: int

    @property
    def around(self) -> int:
        """How many numbers of a strip are no pictures, wherever the first of them lies."""
        return self.before + _SLACK + self.after

    def length(self, rows: int) -> int:
        """How many numbers the strip of so many rows has: with pictures up to a number to compile for."""
        count = rows * self.pictures
        filled = -(-count // _STEP) * _STEP if count > _STEP else 1 << max(count - 1, 0).bit_length()
        return self.around + filled * self.pixels

    def with_room_for(self, other: Room) -> Room | None:
        """The layout for both; None where their pictures differ."""
        if (self.pixels, self.pictures) != (other.pixels, other.pictures):
            return None
        return replace(self, before=max(self.before, other.before), after=max(self.after, other.after))


@dataclass(frozen=True)
class Strip:
    """A vector of pictures.

    Attributes:
      numbers: ``[room.length(rows)]``.
      start: where the first picture begins, an int32 scalar from ``room.before``.
      rows: how many rows it is of, an int32 scalar.
    """

    numbers: tf.Tensor
    start: tf.Tensor
    rows: tf.Tensor
    room: Room

    @classmethod
    def of(cls, stacked: tf.Tensor, room: Room) -> Strip:
        """A strip with a copy of stacked rows."""
        numbers, rows = tf.reshape(stacked, [-1]), tf.shape(stacked)[0]
        count = rows * room.pictures
        behind = (_filled(count) - count) * room.pixels + room.after + _SLACK
        margins = [tf.zeros([length], stacked.dtype) for length in (room.before, behind)]
        return cls(tf.concat([margins[0], numbers, margins[1]], 0), tf.constant(room.before), rows, room)

    def elements(self) -> tf.Tensor:
        """What the rows are made of, ``[rows * pictures * pixels]``."""
        return tf.slice(self.numbers, [self.start], [self.rows * self.room.pictures * self.room.pixels])


def _filled(count: tf.Tensor) -> tf.Tensor:
    """The least number of pictures, of those to compile for, that is not below ``count``."""
    powers = [1 << exponent for exponent in range(_STEP.bit_length())]
    place = tf.minimum(tf.searchsorted(powers, [count])[0], len(powers) - 1)
    return tf.where(count <= _STEP, tf.gather(powers, place), -(-count // _STEP) * _STEP)


def origin(node: Node) -> Node:
    """The node whose elements ``node`` has, in the same order."""
    while isinstance(node, Output) and node.call.op in _KEEPS_ORDER:
        node = next(node.call.nodes())
    return node


def rooms(
    calls: list[Call], results: list[Node], lowered: Callable[[Call], tuple[Lowering, Site] | None]
) -> dict[Leaf, Room]:
    """The leaves that nothing but strips are made of, and their layout.

    Args:
      calls: those that vary by row.
      lowered: how a call is lowered.
    """
    wanted: dict[Node, Room | None] = {origin(node): None for node in results}
    for call in calls:
        for index, node in enumerate(call.nodes()):
            if index == 0 and call.op in _KEEPS_ORDER:
                continue
            root, room = origin(node), _room(lowered(call)) if index == 0 else None
            known = wanted.get(root, room)
            wanted[root] = None if room is None or known is None else room.with_room_for(known)
    return {leaf: room for leaf, room in wanted.items() if isinstance(leaf, Leaf) and room is not None}


def _room(found: tuple[Lowering, Site] | None) -> Room | None:
    if found is None or found[0].room is None:
        return None
    return found[0].room(found[1])
