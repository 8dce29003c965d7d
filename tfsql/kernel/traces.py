"""The traced functions of a program, shared by the kernels that differ in the values of their arguments alone."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping

import numpy as np

from tfsql.kernel.graph import Program, Shape, Statics
from tfsql.kernel.lift import NeedsLoopError, batched
from tfsql.kernel.lifted import Lifted
from tfsql.kernel.loop import looped
from tfsql.kernel.lower import COMPILED_OPERATORS
from tfsql.settings import ANY_DEVICE
from tfsql.tree import Leaf

# How many functions for different shapes of rows, and values of parameters, are kept.
MAX_SPECIALISATIONS = 64
# How many shapes of rows are remembered to be right.
MAX_CHECKED_SHAPES = 4096


class Traces:
    """The functions that compute a program, traced when first wanted, once for each shape of rows. Thread-safe.

    Args:
      is_lowered: whether calls may be replaced by cheaper equal ones.
      device: where they are made, as ``tfsql_device`` names it.
    """

    def __init__(self, program: Program, *, is_lowered: bool = True, device: str = ANY_DEVICE):
        self.program = program
        self.is_lowered = is_lowered
        self.device = device
        self._may_be_compiled = any(call.op in COMPILED_OPERATORS for call in program.calls)
        self._functions: OrderedDict[Hashable, Lifted | None] = OrderedDict()
        self._loop: Lifted | None = None
        self._checked: set[tuple[Shape, ...]] = set()
        self._lock = threading.RLock()

    def of_shapes(
        self, shapes: tuple[Shape, ...], fixed: Mapping[Leaf, np.ndarray] | None = None, *, may_compile: bool = True
    ) -> Lifted | None:
        """The function for rows of these shapes; None where the rows must be looped over.

        Args:
          fixed: values of inputs that are the same in all rows.
          may_compile: whether XLA may compile calls of it: it does so for each shape, which does not pay for a single
            row, nor for rows of many shapes.
        """
        fixed = fixed or {}
        may_compile = may_compile and self.is_lowered and self._may_be_compiled
        key = (shapes, tuple(value.tobytes() for value in fixed.values()), may_compile)
        with self._lock:
            if key not in self._functions:
                try:
                    program = self.program.fixing(fixed)
                    self._functions[key] = batched(
                        program, list(shapes), is_lowered=self.is_lowered, may_compile=may_compile
                    )
                except NeedsLoopError:
                    self._functions[key] = None
                if len(self._functions) > MAX_SPECIALISATIONS:
                    self._functions.popitem(last=False)
            self._functions.move_to_end(key)
            return self._functions[key]

    def loop(self) -> Lifted:
        """The function for rows of any shapes."""
        with self._lock:
            if self._loop is None:
                self._loop = looped(self.program, is_lowered=self.is_lowered)
            return self._loop

    def check(self, shapes: Iterable[tuple[Shape, ...]]) -> None:
        """Lets TensorFlow's shape functions see the shapes of each row: kernels do not check all that those refuse.

        Raises:
          ValueError: they refuse some.
        """
        for key in dict.fromkeys(shapes):
            if key not in self._checked:
                Statics(self.program, key)
                if len(self._checked) < MAX_CHECKED_SHAPES:
                    self._checked.add(key)

    def forget_loop(self) -> None:
        """Forgets the loop with the state of its random operators."""
        self._loop = None
