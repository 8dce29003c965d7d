"""What a lowering is, and the call that it may replace."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from tfsql.registry import operator_spec
from tfsql.tree import Call, Constant, Node

if TYPE_CHECKING:
    from tfsql.kernel.lower.strip import Room

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Site:
    """A call and what is known of it before running.

    Attributes:
      shape_of: the shape of a node, of one row; None where it is not known.
      is_varying: whether a node differs from row to row.
      is_used_once: whether nothing but one call takes a node.
    """

    call: Call
    shape_of: Callable[[Node], Shape | None]
    is_varying: Callable[[Node], bool]
    is_used_once: Callable[[Node], bool]

    @property
    def shapes(self) -> tuple[Shape | None, ...]:
        """The shape of each input."""
        return tuple(map(self.shape_of, self.call.nodes()))

    @property
    def varying(self) -> tuple[bool, ...]:
        """Of each input whether it differs from row to row."""
        return tuple(map(self.is_varying, self.call.nodes()))

    def attribute(self, name: str) -> Any:
        """The value of an attribute, its default if the call gives none."""
        given = dict(self.call.attributes)
        spec = operator_spec(self.call.op)
        assert spec is not None
        attribute = spec.attribute(name)
        return given.get(name, attribute.default if attribute is not None else None)

    def constant(self, index: int) -> np.ndarray | None:
        """The value of an input that SQL wrote as a number; None of any other."""
        node = list(self.call.nodes())[index]
        return node.value if isinstance(node, Constant) and not node.is_argument else None


@dataclass(frozen=True)
class Lowering:
    """A cheaper equal of a call.

    Attributes:
      name: how EXPLAIN calls it.
      operators: those whose calls it may replace.
      pays: whether it applies to a call, and is faster.
      make: the output of all rows from what it takes, stacked ``[rows, *shape]`` where it varies; the first may be a
        strip where there is a layout for one.
      tolerance: by how much an element may differ, in units of the greatest element.
      is_compiled: whether XLA compiles it, at the first batch of so many rows of a shape.
      room: the layout of the strip that it takes.
      takes: the nodes that it takes: the inputs of the call if not said. What made others is not computed for it.
      is_for_one_row: whether ``make`` takes a single row, not stacked, as well, and its axes may be open but the last.
    """

    name: str
    operators: frozenset[str]
    pays: Callable[[Site], bool]
    make: Callable[[Site, Sequence[Any]], tf.Tensor]
    tolerance: float
    is_compiled: bool = False
    room: Callable[[Site], Room] | None = None
    takes: Callable[[Site], Sequence[Node]] = lambda site: tuple(site.call.nodes())
    is_for_one_row: bool = False
