"""A kernel that is computed in a worker: rows go there and come back, all else is done here."""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf
from contextlib import suppress
from typing import Any

import numpy as np

from tfsql.isolation.calls import WorkerCalls
from tfsql.isolation.pool import Worker, number_of
from tfsql.isolation.requests import (
    BatchingRules,
    CallFailedError,
    ComputeRows,
    EvaluateCall,
    KernelRecipe,
    ReadGraph,
    Recipe,
    Request,
    TracesRecipe,
)
from tfsql.kernel import Kernel, Traces
from tfsql.rows import Rows
from tfsql.tree import Call


class IsolatedKernel(Kernel):
    """A kernel in a worker. Its traced functions are there; ``traces`` stays empty here.

    Args:
      calls: how its connection asks workers.
    """

    def __init__(self, traces: Traces, name: str, argument_values: SequenceOf[Any], calls: WorkerCalls):
        super().__init__(traces, name, argument_values)
        self._calls = calls
        self._is_first = True
        self._worker: Worker | None = None

    def _like(self, name: str, argument_values: SequenceOf[Any]) -> Kernel:
        return IsolatedKernel(self.traces, name, argument_values, self._calls)

    def restart(self) -> None:
        super().restart()
        self._is_first = True
        if self._worker is not None:
            self._worker.pins.discard(self)
            self._worker = None

    def interrupt(self) -> None:
        self._calls.interrupt()

    def failure(self, error: Exception) -> str:
        return str(error) if isinstance(error, CallFailedError) else super().failure(error)

    def call(self, rows: list[Rows], count: int, *, is_uniform: bool) -> list[Rows]:
        request = ComputeRows(number_of(self), rows, count, is_uniform, self._is_first and self.is_stateful)
        self._is_first = False
        made, calls = self._ask(request)
        self.statistics.add(calls=calls)
        return list(made)

    def rules(self) -> dict[Any, str]:
        return dict(zip(self.program.calls, self._ask(BatchingRules(number_of(self))), strict=True))

    def _ask(self, request: Request) -> Any:
        """What comes of a request; one of a kernel with state goes to the worker that has it."""
        pin = self if self.is_stateful else None
        answer, worker = self._calls.ask(request, self.operators, self._things(), self._worker, pin)
        self._worker = None if pin is None else worker
        return answer

    def _things(self) -> list[tuple[Any, Recipe]]:
        values = [np.asarray(value) for value in self.argument_values]
        return [
            (self.traces, TracesRecipe(self.program, self.traces.is_lowered, self.traces.device)),
            (self, KernelRecipe(number_of(self.traces), self.name, values)),
        ]


def evaluated(calls: WorkerCalls, call: Call) -> list[np.ndarray] | None:
    """The outputs of a call on constants, computed in a worker; None where it fails, which its own kernel will tell.

    Raises:
      CrashError: the worker died of it.
    """
    try:
        arrays, _ = calls.ask(EvaluateCall(call), lambda: f"tf_{call.op}")
    except CallFailedError:
        return None
    return [np.array(array) for array in arrays]


def rehearse_graph(calls: WorkerCalls, content: bytes, origin: str) -> None:
    """Lets a worker read a graph before this process does: TensorFlow runs the kernels of its constants to tell shapes.

    Raises:
      CrashError: the worker died of it.
    """
    with suppress(CallFailedError):  # what is wrong with it is told when it is read here
        # The functions of a graph stay in the process that reads it, and may have the names of another graph's.
        calls.ask(ReadGraph(content, origin), lambda: f"the constants of {origin}", is_last=True)
