"""Queries that run: each in a thread, on a connection of its own, until it ends, is cancelled or is out of time."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from tfsql.server.database import Database, ServedConnection

T = TypeVar("T")
_RETRY_S = 1
_BROKEN = 100
_INTERRUPT_EVERY_S = 0.05
_TIME, _CANCELLED, _GONE = "time", "cancelled", "gone"


class HttpError(Exception):
    """What is answered with a status and a sentence, before or instead of a query's own answer."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None):
        super().__init__(message)
        self.status = status
        self.headers = headers or {}


def busy(message: str) -> HttpError:
    return HttpError(503, message, {"Retry-After": str(_RETRY_S)})


class Slots:
    """Connections of which each serves one query at a time, and a bounded line of those who wait for one."""

    def __init__(self, connections: list[ServedConnection], backlog: int):
        self._free = deque(connections)
        self._backlog = backlog
        self._waiting: deque[asyncio.Future[ServedConnection]] = deque()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    async def take(self, timeout_s: float, leaving: asyncio.Future[None]) -> ServedConnection:
        """A free connection.

        Args:
          leaving: is done when the client has left; nobody waits any more then.

        Raises:
          HttpError: 503, the line is full, or none became free in time; 409, the client left.
        """
        if self._free:
            return self._free.popleft()
        if len(self._waiting) >= self._backlog:
            raise busy(f"{self._backlog} queries wait already")
        place: asyncio.Future[ServedConnection] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            both: set[asyncio.Future[Any]] = {place, leaving}
            await asyncio.wait(both, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._leave(place)
            raise
        if not place.done():
            self._leave(place)
            if leaving.done():
                raise HttpError(409, f"The query was stopped: {_GONE}")
            raise busy(f"No query ended within {timeout_s:g} s")
        return place.result()

    def _leave(self, place: asyncio.Future[ServedConnection]) -> None:
        if place.done():
            self.give(place.result())
        else:
            self._waiting.remove(place)

    def give(self, connection: ServedConnection) -> None:
        """Takes a connection back."""
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(connection)
                return
        self._free.append(connection)


@dataclass(eq=False)
class Job:
    """One query or request to a resource on a connection.

    Attributes:
      text: the SQL, or method and path.
      started: seconds since 1970.
    """

    id: str
    text: str
    started: float
    connection: ServedConnection
    executor: Executor
    timeout_s: float
    ending: str | None = None
    rows: int = 0

    def __post_init__(self) -> None:
        self._stopped = asyncio.Event()
        self._deadline = time.monotonic() + self.timeout_s
        self.thread: asyncio.Future[Any] | None = None

    def stop(self, reason: str) -> None:
        if self.ending is None:
            self.ending = reason
            self._stopped.set()

    def count(self, rows: int) -> None:
        self.rows += rows

    def remaining_s(self) -> float:
        return max(self._deadline - time.monotonic(), 0)

    async def call(self, function: Callable[[], T]) -> T:
        """What a function returns that runs in a thread.

        Raises:
          HttpError: the job was stopped before it returned; 408 if that was for its time.
        """
        self.thread = future = asyncio.get_running_loop().run_in_executor(self.executor, function)
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        stopper = asyncio.ensure_future(self._stopped.wait())
        both: set[asyncio.Future[Any]] = {future, stopper}
        try:
            await asyncio.wait(both, timeout=self.remaining_s(), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopper.cancel()
        if not future.done():
            self.stop(_TIME)
        self.check()
        return await future

    def check(self) -> None:
        """Raises what a stopped job is answered with."""
        if self.ending is None and not self.remaining_s():
            self.stop(_TIME)
        if self.ending == _TIME:
            raise HttpError(408, f"The query took more than {self.timeout_s:g} s and was stopped")
        if self.ending is not None:
            raise HttpError(409, f"The query was stopped: {self.ending}")

    async def settle(self) -> None:
        """Waits for the thread, the engine interrupted again and again: it may not have begun yet."""
        while self.thread is not None and not self.thread.done():
            self.connection.interrupt()
            await asyncio.wait({self.thread}, timeout=_INTERRUPT_EVERY_S)

    def describe(self) -> dict[str, Any]:
        elapsed = round(time.time() - self.started, 3)
        told = {"id": self.id, "sql": self.text, "state": "running", "startedAt": self.started, "elapsedS": elapsed}
        return {**told, "rows": self.rows, "progress": self.connection.percent_done()}


class Jobs:
    """All jobs of a server.

    Attributes:
      reading: the connections for queries that only read.
      writing: the one for all others.
    """

    def __init__(self, database: Database, executor: Executor, *, backlog: int, timeout_s: float):
        self.reading = Slots(database.readers, backlog)
        self.writing = Slots([database.writer], backlog)
        self._executor = executor
        self._timeout_s = timeout_s
        self._running: dict[str, Job] = {}
        self._settling: set[asyncio.Task[None]] = set()
        self._numbers = itertools.count(1)
        self._broken: OrderedDict[str, dict[str, Any]] = OrderedDict()

    @property
    def running(self) -> list[Job]:
        return list(self._running.values())

    @property
    def waiting(self) -> int:
        return self.reading.waiting + self.writing.waiting

    def find(self, name: str) -> Job | None:
        return self._running.get(name)

    @asynccontextmanager
    async def job(
        self, text: str, leaving: asyncio.Future[None], *, writes: bool, name: str | None = None
    ) -> AsyncIterator[Job]:
        """A job on a connection, which is free again when its thread has ended.

        Args:
          leaving: is done when the client has left, which stops the job.
          name: what the client calls it, to cancel it by; made if left out.
        """
        slots = self.writing if writes else self.reading
        name = name or f"{next(self._numbers)}-{secrets.token_hex(8)}"
        if name in self._running:
            raise HttpError(409, f"A query with the id {name} runs already")
        connection = await slots.take(self._timeout_s, leaving)
        job = Job(name, text, time.time(), connection, self._executor, self._timeout_s)
        self._running[name] = job
        leaving.add_done_callback(lambda left: None if left.cancelled() else job.stop(_GONE))
        try:
            yield job
        except asyncio.CancelledError:
            job.stop(_GONE)
            raise
        finally:
            if job.thread is None or job.thread.done():
                self._end(job, slots)
            else:
                task = asyncio.ensure_future(job.settle())
                self._settling.add(task)
                task.add_done_callback(partial(self._settled, job, slots))

    def broke(self, job: Job, failure: dict[str, Any]) -> None:
        """Keeps why the rows of a job ended early, for a client that asks; the last hundred are kept."""
        self._broken[job.id] = {**job.describe(), "state": "failed", "failure": failure}
        while len(self._broken) > _BROKEN:
            self._broken.popitem(last=False)

    def broken(self, name: str) -> dict[str, Any] | None:
        """What ``broke`` kept of a job."""
        return self._broken.get(name)

    def cancel(self, name: str) -> bool:
        """Stops a job; whether there is one of this name."""
        job = self.find(name)
        if job is not None:
            job.stop(_CANCELLED)
        return job is not None

    def _settled(self, job: Job, slots: Slots, task: asyncio.Task[None]) -> None:
        self._settling.discard(task)
        self._end(job, slots)

    def _end(self, job: Job, slots: Slots) -> None:
        self._running.pop(job.id, None)
        slots.give(job.connection)
