"""What was inferred before, by the structure of a call: what it is made of, down to columns and constants.

A text that is bound again, or a function of SQL that is called again, asks for the same calls; TensorFlow builds each
once in a graph to tell its types, which takes about a millisecond.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Hashable
from typing import Any

MAX_STRUCTURES = 20_000


class KnownStructures:
    """Numbers for structures, equal for equal ones, and what is known of them. Thread-safe.

    All is forgotten where it grows too large; a number is never given twice.
    """

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}
        self._known: dict[int, Any] = {}
        self._next = itertools.count()
        self._lock = threading.Lock()

    def number(self, structure: Hashable) -> int:
        """The number of a structure, whose parts are given by their own numbers."""
        with self._lock:
            number = self._numbers.get(structure)
            if number is None:
                if len(self._numbers) >= MAX_STRUCTURES:
                    self._numbers.clear()
                    self._known.clear()
                number = self._numbers[structure] = next(self._next)
            return number

    def find(self, number: int) -> Any:
        """What ``add`` told of a structure; None for nothing."""
        return self._known.get(number)

    def add(self, number: int, known: Any) -> None:
        self._known[number] = known


KNOWN = KnownStructures()
