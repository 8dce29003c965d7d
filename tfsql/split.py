"""Replaces each tensor expression in the SQL by one call of a kernel, and keeps the functions that exist."""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from tfsql.backends.base import Backend
from tfsql.errors import UnsupportedError
from tfsql.isolation import NONE
from tfsql.settings import Settings
from tfsql.tree import Node, Output, Value, constants_in_order, value_nodes
from tfsql.types import Scalar, SqlType, sql_type
from tfsql.vectorised import Vectorised

if TYPE_CHECKING:
    from tfsql.infer.constants import Evaluate
    from tfsql.isolation.calls import WorkerCalls
    from tfsql.kernel import Kernel, Program, Traces

MAX_KERNELS = 512


class KernelCache:
    """The kernels of one backend connection, by program and argument values; the least used are dropped.

    Args:
      numbers: what the names are numbered by, where several connections share the functions of one database.
    """

    def __init__(self, backend: Backend, settings: Settings, numbers: Iterator[int] | None = None):
        self._backend = backend
        self._settings = settings
        self._kernels: OrderedDict[str, Kernel] = OrderedDict()
        self._traces: WeakValueDictionary[str, Traces] = WeakValueDictionary()
        self._numbers = itertools.count(1) if numbers is None else numbers
        self._lock = threading.Lock()
        self._in_transaction: list[str] | None = None
        self._bound_once: list[Vectorised] = []
        self._calls: WorkerCalls | None = None

    @property
    def worker_calls(self) -> WorkerCalls | None:
        """How kernels are computed in workers; None where they run in this process."""
        if self._settings["tfsql_isolation"] == NONE:
            return None
        if self._calls is None:
            from tfsql.isolation.calls import WorkerCalls

            self._calls = WorkerCalls(self._settings)
        return self._calls

    def configure_tensorflow(self) -> None:
        """Sizes TensorFlow's threads before its first operator in this process, and looks for the device.

        Raises:
          BindError: it has begun with another number of threads, or sees no such device.
        """
        threads, device = self._settings["tfsql_threads"], self._settings["tfsql_device"]
        if self.worker_calls is None:
            from tfsql.kernel import devices

            if threads is not None:
                devices.use_threads(threads)
            devices.on(device)

    @property
    def evaluate(self) -> Evaluate | None:
        """What computes a call on constants in a worker; None where kernels run in this process."""
        calls = self.worker_calls
        if calls is None:
            return None
        from tfsql.isolation.kernel import evaluated

        return partial(evaluated, calls)

    def rehearse_graph(self, content: bytes, origin: str) -> None:
        """Lets a worker read a graph before this process does, where kernels run in workers.

        Raises:
          CrashError: it is of a kind that a process does not survive.
        """
        calls = self.worker_calls
        if calls is not None:
            from tfsql.isolation.kernel import rehearse_graph

            rehearse_graph(calls, content, origin)

    @property
    def worker_deaths(self) -> int:
        """How many workers died, or were ended for their memory, in a call of this connection."""
        return 0 if self._calls is None else self._calls.deaths

    def prepare(self) -> None:
        """Starts what the first call in a worker would wait for, which needs seconds."""
        calls = self.worker_calls
        if calls is not None:
            calls.prepare()

    def interrupt(self) -> None:
        """Ends the calls that workers compute, in an error."""
        if self._calls is not None:
            self._calls.interrupt()

    def close(self) -> None:
        """Ends the workers that no other connection needs."""
        if self._calls is not None:
            self._calls.close()

    def next_name(self) -> str:
        """A name that no function of the engine has."""
        return f"tfsql_kernel_{next(self._numbers)}"

    def add(self, function: Vectorised, arguments: Sequence[SqlType]) -> None:
        """Registers a function that is bound for one place of a statement, for as long as that is alive."""
        if function.is_typed:
            self._register(function, arguments)
        self._bound_once.append(function)

    def _register(self, function: Vectorised, arguments: Sequence[SqlType]) -> None:
        types = list(arguments) or [Scalar("INTEGER")]
        self._backend.register_kernel(function.name, function, types, function.result, is_volatile=function.is_stateful)

    def drop_unused(self) -> None:
        """Drops the functions of ``add`` that no statement uses any more, with what they hold."""
        unused = [function for function in self._bound_once if not function.users]
        for function in unused:
            self._bound_once.remove(function)
            self._backend.unregister_kernel(function.name)
            function.close()

    def rows_computed(self) -> int:
        """How many rows the functions of this connection have computed so far."""
        functions: list[Vectorised] = [*self._kernels.values(), *self._bound_once]
        return sum(function.statistics.rows for function in functions)

    def begin_transaction(self) -> None:
        """From here on, what is registered is lost if the transaction is."""
        self._in_transaction = []

    def end_transaction(self, *, is_kept: bool) -> None:
        """Forgets the kernels of a transaction that was rolled back: the engine has forgotten them too."""
        with self._lock:
            lost = [] if is_kept else self._in_transaction or []
            for key in lost:
                self._kernels.pop(key, None)
            self._in_transaction = None

    def kernel(self, value: Value) -> Kernel:
        """The kernel that computes ``value``, registered with the backend.

        Raises:
          UnsupportedError: the rank of a result is not known before running.
        """
        from tfsql.kernel import Program

        _check_ranks(value)
        program = Program.of(value, self._settings["tfsql_max_cell_bytes"])
        arguments = [constant.value for constant in constants_in_order(value) if constant.is_argument]
        is_lowered, device = self._settings["tfsql_lowering"], self._settings["tfsql_device"]
        calls = None if program.calls_python else self.worker_calls
        where = "here" if calls is None else "in a worker"
        structure = f"{program.key}\nlowering {is_lowered}, {program.max_cell_bytes} bytes, on {device}, {where}"
        key = f"{structure}\n{[hash(array.tobytes()) for array in arguments]}"
        with self._lock:
            if key in self._kernels and not program.is_stateful:
                self._kernels.move_to_end(key)
                return self._kernels[key]
            traces = self._traces_of(program, structure, is_lowered=is_lowered, device=device)
            kernel = self._new_kernel(traces, arguments, calls)
            self._register(kernel, [sql_type(leaf.type) for leaf in program.leaves])
            stored = key if not program.is_stateful else kernel.name
            self._kernels[stored] = kernel
            if self._in_transaction is not None:
                self._in_transaction.append(stored)
            self._drop_unused()
            return kernel

    def _new_kernel(self, traces: Traces, arguments: Sequence[Any], calls: WorkerCalls | None) -> Kernel:
        if calls is None:
            from tfsql.kernel import Kernel

            return Kernel(traces, self.next_name(), arguments)
        from tfsql.isolation.kernel import IsolatedKernel

        return IsolatedKernel(traces, self.next_name(), arguments, calls)

    def _traces_of(self, program: Program, structure: str, *, is_lowered: bool, device: str) -> Traces:
        """The traced functions of a program, shared by all of one structure as long as one of them lives."""
        from tfsql.kernel import Traces

        traces = None if program.is_stateful else self._traces.get(structure)
        if traces is None:
            traces = Traces(program, is_lowered=is_lowered, device=device)
            if not program.is_stateful:
                self._traces[structure] = traces
        return traces

    def _drop_unused(self) -> None:
        """Drops the oldest kernels that no statement uses any more, down to the bound."""
        for key, kernel in list(self._kernels.items())[:-1]:
            if len(self._kernels) <= MAX_KERNELS:
                return
            if not kernel.users:
                del self._kernels[key]
                self._backend.unregister_kernel(kernel.name)


def _check_ranks(value: Value) -> None:
    for node in value_nodes(value):
        if node.type.shape is None:
            raise UnsupportedError(
                f"{_name(node)} has a rank that is not known before running, so it has no SQL type",
                hint="Pick another output, (...).name, or give it a shape: reshape(x, [...]); "
                "for tf_DecodeImage, expand_animations := false",
            )
        if node.type.dtype in ("variant", "resource"):
            raise UnsupportedError(f"{_name(node)} is a {node.type.dtype}, which no column can hold")


def _name(node: Node) -> str:
    if not isinstance(node, Output):
        return "This result"
    return f"The output {node.call.outputs[node.index][0]} of tf_{node.call.op}"
