"""What one connection has done in kernel workers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from tfsql.errors import BackendError, CrashError, ResourceError
from tfsql.isolation.pool import POOL, Worker, WorkerDiedError, WorkerGrewError
from tfsql.settings import Settings


class _Call:
    """A call on its way: what interrupts it has to know."""

    def __init__(self) -> None:
        self.worker: Worker | None = None
        self.is_interrupted = False

    def check(self) -> None:
        """Raises the error that interrupted queries end in."""
        if self.is_interrupted:
            raise BackendError("Interrupted!")


class WorkerCalls:
    """The calls of one connection in workers. Thread-safe.

    Attributes:
      deaths: how many workers have died, or were ended for their memory, in one of them.
    """

    def __init__(self, settings: Settings):
        self.deaths = 0
        self._settings = settings
        self._calls: set[_Call] = set()
        self._lock = threading.Lock()

    def prepare(self) -> None:
        """Starts what the first call would wait for."""
        POOL.join(self)
        POOL.prepare()

    def ask(
        self,
        request: Any,
        names: Callable[[], str],
        things: Sequence[tuple[Any, Any]] = (),
        pinned: Worker | None = None,
        pin: Any = None,
        *,
        is_last: bool = False,
    ) -> tuple[Any, Worker]:
        """What comes of a request, and the worker that was asked.

        Args:
          names: the operators that it runs, for errors.
          things: what it speaks of, each with the recipe for it.
          pinned: the worker that must be asked.
          pin: whose state the worker then holds.
          is_last: whether the worker is to do nothing after that.

        Raises:
          CrashError: the worker died.
          ResourceError: the worker took more memory than ``tfsql_worker_memory_limit``.
          BackendError: the call was interrupted.
          Exception: what the request raised.
        """
        limit_bytes, threads = self._settings["tfsql_worker_memory_limit"], self._settings["tfsql_threads"]
        with self._call() as call:
            try:
                worker = self._taken(call, [thing for thing, _ in things], pinned)
                if pin is not None:
                    worker.pins.add(pin)
                ask = partial(worker.ask, request, things, limit_bytes, threads)
                answer = self._answer(call, worker, ask, is_last=is_last)
            except WorkerDiedError as error:
                call.check()
                self.deaths += 1
                how = f" ({error.ending})" if error.ending else ""
                raise CrashError(f"The kernel worker died while it computed {names()}{how}") from None
            except WorkerGrewError as error:
                self.deaths += 1
                raise ResourceError(
                    f"The kernel worker took {error.used_bytes / 1e6:,.0f} MB of memory while it computed {names()}; "
                    f"the limit is {limit_bytes / 1e6:,.0f} MB",
                    hint="SET tfsql_worker_memory_limit = '...' gives it more",
                ) from None
        if answer.error is not None:
            raise answer.error
        return answer.value, worker

    def interrupt(self) -> None:
        """Ends the calls that are on their way, in an error."""
        with self._lock:
            for call in self._calls:
                call.is_interrupted = True
                if call.worker is not None:
                    call.worker.kill()

    def close(self) -> None:
        """Ends what no other connection needs."""
        POOL.leave(self)

    @contextmanager
    def _call(self) -> Iterator[_Call]:
        call = _Call()
        with self._lock:
            self._calls.add(call)
        try:
            yield call
        finally:
            with self._lock:
                self._calls.discard(call)

    def _taken(self, call: _Call, things: Sequence[Any], pinned: Worker | None) -> Worker:
        if pinned is None:
            self.prepare()
            return POOL.take(things, call.check)
        return POOL.take_pinned(pinned, call.check)

    def _answer(self, call: _Call, worker: Worker, ask: Callable[[], Any], *, is_last: bool) -> Any:
        """What a worker answers; it is given back, or buried where it did not answer, or where that was the last."""
        try:
            with self._lock:
                call.worker = worker
                call.check()
            answer = ask()
        except BaseException:  # Ctrl-C as well: a worker whose answer is not read cannot be asked again
            self._let_go(call)
            POOL.bury(worker)
            raise
        self._let_go(call)
        (POOL.bury if is_last else POOL.give)(worker)
        return answer

    def _let_go(self, call: _Call) -> None:
        """From here on, who interrupts the call leaves the worker alone."""
        with self._lock:
            call.worker = None
