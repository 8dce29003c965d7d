"""A program over a batch of rows: its function, and how the rows of each call are batched."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tfsql.kernel.lower.strip import Room
from tfsql.tree import Call

CONSTANT, COMPOSED, CONVERTED, MAPPED, LOOPED = "constant", "composed", "converted", "mapped", "looped"
DISTINCT, ABSORBED = "distinct", "absorbed"
LOWERED = "lowered to "


@dataclass(frozen=True)
class Lifted:
    """A program over a batch.

    Attributes:
      function: takes the tensors that ``batched`` or ``looped`` describes.
      rules: how the rows of each call are batched.
      varying: of each result whether it depends on the row.
      rooms: the places of the leaves that it takes as strips, and how those are laid out.
    """

    function: Callable[..., Any]
    rules: dict[Call, str]
    varying: tuple[bool, ...] = ()
    rooms: Mapping[int, Room] = field(default_factory=dict)

    @property
    def is_loop(self) -> bool:
        """Whether some call goes row by row."""
        return not {MAPPED, LOOPED}.isdisjoint(self.rules.values())

    @property
    def is_composed(self) -> bool:
        """Whether some call is made by a composition."""
        return COMPOSED in self.rules.values()
