"""The kernel workers, as the process sees that asks them: started when needed, replaced when they have died."""

from __future__ import annotations

import atexit
import itertools
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tfsql.errors import ResourceError
from tfsql.isolation.memory import Memory, Parcel, new_memory_file
from tfsql.isolation.nursery import FORK, WAIT

MAX_WORKERS = max(os.cpu_count() or 1, 2)
# What stays of the memory for requests, and of that for answers that nobody reads any more: new pages cost as much as a
# copy.
KEPT_BYTES = 256 * 2**20
# How often a worker's memory is looked at, and a call that waits for a worker looks whether it was interrupted.
LOOK_S = 0.02
_PACKET_BYTES = 2**18


class WorkerDiedError(Exception):
    """A worker ended in the middle of a call.

    Attributes:
      ending: how, in words; empty where that is not known.
    """

    def __init__(self, ending: str):
        super().__init__("the worker died")
        self.ending = ending


class WorkerGrewError(Exception):
    """A worker took more memory than it may, and was ended.

    Attributes:
      used_bytes: what it had taken.
    """

    def __init__(self, used_bytes: int):
        super().__init__("the worker took too much memory")
        self.used_bytes = used_bytes


class Nursery:
    """The process that forks workers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_ready = False
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "tfsql.isolation.nursery", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                start_new_session=True,  # Ctrl-C is for this process, which ends what its workers do
            )

    def is_alive(self) -> bool:
        return self.process.poll() is None

    def is_ready(self, timeout_s: float) -> bool:
        """Whether it can fork, at most so many seconds from now.

        Raises:
          ResourceError: it has ended instead.
        """
        with self._lock:
            if not self._is_ready and has_more(self.socket, timeout_s):
                self._is_ready = bool(self._received())
            return self._is_ready

    def fork(self, files: Sequence[int]) -> int:
        """The process of a new worker that gets these files."""
        return self._asked((FORK, 0), files)

    def ending(self, process: int) -> str:
        """How a worker ended that was killed or has died, in words; empty where the nursery is gone."""
        try:
            code = os.waitstatus_to_exitcode(self._asked((WAIT, process)))
        except (ResourceError, OSError):
            return ""
        return f"exit code {code}" if code >= 0 else f"signal {-code}, {signal.Signals(-code).name}"

    def stop(self) -> None:
        self.socket.close()
        self.process.kill()
        self.process.wait()

    def _asked(self, message: tuple[str, int], files: Sequence[int] = ()) -> int:
        with self._lock:
            try:
                socket.send_fds(self.socket, [pickle.dumps(message)], list(files))
                return self._received()
            except BaseException:  # Ctrl-C as well: an answer that is not read would be taken for the next one
                self.process.kill()
                raise

    def _received(self) -> int:
        packet = self.socket.recv(_PACKET_BYTES)
        if not packet:
            raise ResourceError(
                f"The process that starts kernel workers has ended (exit code {self.process.wait()})",
                hint="What it wrote to standard error says why",
            )
        return int(pickle.loads(packet))


class Worker:
    """One worker process. One thread at a time asks it.

    Attributes:
      is_busy: whether a call has it.
      pins: whose state it holds, which no other worker has.
    """

    def __init__(self, nursery: Nursery):
        self.is_busy = True
        self.pins: weakref.WeakSet[Any] = weakref.WeakSet()
        self._nursery = nursery
        self._lock = threading.Lock()
        self._ending: str | None = None
        self._held: dict[int, weakref.ref[Any]] = {}
        self._unread_bytes = 0
        self._given_back: deque[tuple[int, int]] = deque()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        files = [new_memory_file(), new_memory_file()]
        self._inputs, self._results = map(Memory, files)
        with theirs:
            try:
                self.process = nursery.fork([theirs.fileno(), *files])
            finally:
                for file in files:
                    os.close(file)

    def holds(self, thing: object) -> bool:
        """Whether it has made a thing already, which then is quickly at hand."""
        return number_of(thing) in self._held

    def is_alive(self) -> bool:
        """Whether it waits for a request; one that nobody asks has nothing to say."""
        return not has_more(self._socket, 0)

    def ask(
        self, request: Any, things: Sequence[tuple[Any, Any]], limit_bytes: int | None, threads: int | None = None
    ) -> Any:
        """The answer to a request; after any error the worker is of no more use.

        Args:
          things: what it speaks of, each with the recipe for it.
          limit_bytes: what memory of its own the worker may take.
          threads: how many threads TensorFlow is to compute with there.

        Raises:
          WorkerDiedError: it did.
          WorkerGrewError: it took more memory.
        """
        from tfsql.isolation.requests import Asked

        gone = [number for number, thing in self._held.items() if thing() is None]
        new = [(number_of(thing), pickle.dumps(recipe)) for thing, recipe in things if not self.holds(thing)]
        given_back = [self._given_back.popleft() for _ in range(len(self._given_back))]
        asked = Asked(request, _working_folder(), threads, new, gone, given_back)
        parcel = self._inputs.put(asked, lambda size: 0)
        try:
            self._socket.send(pickle.dumps(parcel))
            packet = self._received(limit_bytes)
        except (BrokenPipeError, ConnectionResetError):
            packet = b""
        if not packet:
            raise WorkerDiedError(self.ending())
        self._inputs.clear(KEPT_BYTES, parcel.size - KEPT_BYTES)
        for number in gone:
            del self._held[number]
        self._held |= {number_of(thing): weakref.ref(thing) for thing, _ in things}
        return self._read(pickle.loads(packet))

    def _received(self, limit_bytes: int | None) -> bytes:
        while not has_more(self._socket, None if limit_bytes is None else LOOK_S):
            used_bytes = memory_of(self.process)
            if limit_bytes is not None and used_bytes > limit_bytes:
                raise WorkerGrewError(used_bytes)
        return self._socket.recv(_PACKET_BYTES)

    def _read(self, parcel: Parcel) -> Any:
        """An answer; its range is given back when nothing reads it any more."""
        self._unread_bytes = max(0, self._unread_bytes - parcel.size)
        reading = _Reading()
        weakref.finalize(reading, self._give_back, parcel.start, parcel.size).atexit = False
        return self._results.take(parcel, reading)

    def _give_back(self, start: int, size: int) -> None:
        """Runs wherever the last array of an answer goes, so it waits for nothing."""
        if self._unread_bytes + size > KEPT_BYTES:
            self._results.clear(start, size)
        else:
            self._unread_bytes += size
        self._given_back.append((start, size))

    def kill(self) -> None:
        """Ends the process in the middle of what it does; whoever asks it learns that it died."""
        with self._lock:
            if self._ending is not None:
                return
            if self._nursery.is_alive():  # which keeps the number of the process from another
                os.kill(self.process, signal.SIGKILL)
            else:
                self._socket.shutdown(socket.SHUT_RDWR)

    def ending(self) -> str:
        """How the process ended that was killed or has died, in words; empty where nobody knows."""
        with self._lock:
            if self._ending is None:
                self._ending = self._nursery.ending(self.process)
            return self._ending

    def end(self) -> None:
        """Ends the process, waits for that, and gives this side of it up."""
        self.kill()
        self.ending()
        self.close()

    def close(self) -> None:
        """Gives this side of it up."""
        self._socket.close()


class _Reading:
    """Lives as long as someone reads an answer."""

    __slots__ = ("__weakref__",)


def _working_folder() -> str | None:
    """The folder that relative paths start from; None if it has been removed."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return None


def has_more(connection: socket.socket, timeout_s: float | None) -> bool:
    """Whether there is something to read, or an end, at most so many seconds from now."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(None if timeout_s is None else timeout_s * 1000))


_NUMBERS: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
_unused_numbers = itertools.count(1)


def number_of(thing: object) -> int:
    """The number by which workers know a thing."""
    return _NUMBERS.setdefault(thing, next(_unused_numbers))


def memory_of(process: int) -> int:
    """The bytes of memory that a process has for itself; 0 if it is gone."""
    try:
        _, resident, shared, *_ = Path(f"/proc/{process}/statm").read_text().split()
    except (OSError, ValueError):
        return 0
    return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")


class Pool:
    """The workers of this process: at most one for each processor, each with one call at a time."""

    def __init__(self) -> None:
        self._users: weakref.WeakSet[Any] = weakref.WeakSet()
        self._nursery: Nursery | None = None
        self._workers: list[Worker] = []
        self._starting = 0
        self._changed = threading.Condition()

    def join(self, user: object) -> None:
        """Counts someone in who may ask for workers."""
        with self._changed:
            self._users.add(user)

    def leave(self, user: object) -> None:
        """Counts someone out; with the last one the workers end."""
        with self._changed:
            self._users.discard(user)
            ended = [] if self._users else [worker for worker in self._workers if not worker.is_busy]
            self._workers = [worker for worker in self._workers if worker not in ended]
        for worker in ended:
            worker.end()

    def prepare(self) -> None:
        """Starts the process that forks workers, where there is none; it needs seconds."""
        with self._changed:
            if self._nursery is None or not self._nursery.is_alive():
                if self._nursery is not None:
                    self._nursery.stop()
                self._nursery = Nursery()

    def take(self, things: Sequence[Any], check: Callable[[], None]) -> Worker:
        """A worker that nobody else asks until it is given back.

        Args:
          things: what it will be asked about; a worker that has them is the first choice.
          check: raises where the call is to end instead.
        """
        while True:
            check()
            with self._changed:
                worker = self._choice(things)
                if worker is not None:
                    worker.is_busy = True
                elif len(self._workers) + self._starting >= MAX_WORKERS:
                    self._changed.wait(LOOK_S)
                    continue
                else:
                    self._starting += 1
            if worker is None:
                return self._started(check)
            if worker.is_alive():
                return worker
            self.bury(worker)

    def take_pinned(self, worker: Worker, check: Callable[[], None]) -> Worker:
        """The worker that holds the state of a call.

        Raises:
          WorkerDiedError: it has died.
        """
        while True:
            check()
            with self._changed:
                if worker not in self._workers:
                    raise WorkerDiedError("")
                if not worker.is_busy:
                    worker.is_busy = True
                    return worker
                self._changed.wait(LOOK_S)

    def _choice(self, things: Sequence[Any]) -> Worker | None:
        """A worker without a call: one that has what is wanted, or at least nobody's state; None to start another."""
        idle = [worker for worker in self._workers if not worker.is_busy]
        idle.sort(key=lambda worker: (-sum(map(worker.holds, things)), len(worker.pins)))
        can_start = len(self._workers) + self._starting < MAX_WORKERS
        return None if not idle or (can_start and idle[0].pins) else idle[0]

    def _started(self, check: Callable[[], None]) -> Worker:
        worker = None
        try:
            self.prepare()
            nursery = self._nursery
            assert nursery is not None
            while not nursery.is_ready(LOOK_S):
                check()
            worker = Worker(nursery)
            return worker
        finally:
            with self._changed:
                self._starting -= 1
                if worker is not None:
                    self._workers.append(worker)
                self._changed.notify_all()

    def give(self, worker: Worker) -> None:
        """Takes a worker back."""
        with self._changed:
            worker.is_busy = False
            self._changed.notify_all()

    def bury(self, worker: Worker) -> None:
        """Gives a worker up, and ends it if it lives."""
        with self._changed:
            if worker in self._workers:
                self._workers.remove(worker)
            self._changed.notify_all()
        worker.end()

    def stop(self) -> None:
        """Ends all that was started."""
        with self._changed:
            workers, self._workers = self._workers, []
            nursery, self._nursery = self._nursery, None
        for worker in workers:
            worker.end()
        if nursery is not None:
            nursery.stop()

    def forget(self) -> None:
        """What a fork of this process does: it has no claim on the workers of its parent."""
        for worker in self._workers:
            worker.close()
        if self._nursery is not None:
            self._nursery.socket.close()
        self.__init__()  # type: ignore[misc]


POOL = Pool()
atexit.register(POOL.stop)
os.register_at_fork(after_in_child=POOL.forget)
