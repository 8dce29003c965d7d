"""The worker process of JavaScript, as this process sees it: started when needed, replaced when it has died."""

from __future__ import annotations

import atexit
import itertools
import json
import logging
import os
import select
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfsql.errors import ResourceError

LOGGER = logging.getLogger("tfsql.javascript")
WORKER = Path(__file__).with_name("worker.py")
# How long after its own limit the worker may take to say that it was reached.
GRACE_S = 2.0
START_S = 30.0


@dataclass(frozen=True)
class Limits:
    """What one call of a function may take: seconds, and bytes of memory."""

    timeout_s: float = 10.0
    memory_bytes: int = 256 * 10**6


class WorkerDiedError(Exception):
    """The worker ended, or was ended, in the middle of a request.

    Attributes:
      is_late: whether it was ended because it did not answer.
    """

    def __init__(self, *, is_late: bool):
        super().__init__("the worker died")
        self.is_late = is_late


class _Pipe:
    """The worker's output, read with a limit on time.

    Raises:
      WorkerDiedError: from each method, if nothing comes in time, or the worker has ended.
    """

    def __init__(self, descriptor: int):
        self._descriptor = descriptor
        self._ahead = b""

    def line(self, timeout_s: float) -> bytes:
        while b"\n" not in self._ahead:
            self._ahead += self._more(timeout_s, 65_536)
        line, _, self._ahead = self._ahead.partition(b"\n")
        return line

    def exactly(self, size: int, timeout_s: float) -> bytearray:
        made = bytearray(size)
        done = min(size, len(self._ahead))
        made[:done], self._ahead = self._ahead[:done], self._ahead[done:]
        while done < size:
            self._wait(timeout_s)
            count = os.readv(self._descriptor, [memoryview(made)[done:]])
            if not count:
                raise WorkerDiedError(is_late=False)
            done += count
        return made

    def _more(self, timeout_s: float, size: int) -> bytes:
        self._wait(timeout_s)
        more = os.read(self._descriptor, size)
        if not more:
            raise WorkerDiedError(is_late=False)
        return more

    def _wait(self, timeout_s: float) -> None:
        if not select.select([self._descriptor], [], [], timeout_s)[0]:
            raise WorkerDiedError(is_late=True)


class Worker:
    """One worker process; requests are made one at a time."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.generation = 0
        self._numbers = itertools.count(1)
        self._process: subprocess.Popen[bytes] | None = None
        self._output: _Pipe | None = None

    def next_number(self) -> int:
        return next(self._numbers)

    def request(self, header: dict[str, Any], parts: Sequence[Any] = ()) -> None:
        """Sends a request; a worker that has died is replaced first, and then has another ``generation``."""
        process = self._running()
        assert process.stdin is not None
        line = json.dumps({**header, "parts": [memoryview(part).nbytes for part in parts]})
        try:
            process.stdin.write(line.encode() + b"\n")
            for part in parts:
                process.stdin.write(memoryview(part).cast("B"))
            process.stdin.flush()
        except (BrokenPipeError, OSError) as error:
            self.stop()
            raise WorkerDiedError(is_late=False) from error

    def answer(self, timeout_s: float) -> tuple[dict[str, Any], list[bytearray]]:
        """The next message of the worker.

        Raises:
          WorkerDiedError: there is none, or none in time; the worker is gone then.
        """
        assert self._output is not None
        try:
            header = json.loads(self._output.line(timeout_s))
            parts = [self._output.exactly(size, timeout_s) for size in header["parts"]]
        except BaseException:  # Ctrl-C as well: a worker whose answer is not read cannot be asked again
            self.stop()
            raise
        for text in json.loads(header.get("log") or "[]"):
            LOGGER.info("%s", text)
        return header, parts

    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """Ends the worker, whatever it is doing."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(OSError):
                        pipe.close()

    def _running(self) -> subprocess.Popen[bytes]:
        if self.is_alive():
            assert self._process is not None
            return self._process
        self.stop()
        self.generation += 1
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # V8 writes there how it died
            bufsize=-1,
            start_new_session=True,  # Ctrl-C is for this process, which ends the worker's call itself
        )
        assert self._process.stdout is not None
        self._output = _Pipe(self._process.stdout.fileno())
        return self._process


WORKER_PROCESS = Worker()


@atexit.register
def _stop() -> None:
    WORKER_PROCESS.stop()


def _forget_after_fork() -> None:
    """A child has no claim on its parent's worker."""
    WORKER_PROCESS.__init__()  # type: ignore[misc]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)


class RemoteFunction:
    """A function in the worker: one V8 context, made when first needed and again when the worker was replaced.

    Args:
      code: the body of the function.
      parameters: the names of its parameters.
    """

    def __init__(self, code: str, parameters: Sequence[str], limits: Limits):
        self._code = code
        self._parameters = list(parameters)
        self.limits = limits
        self._number: int | None = None
        self._generation = 0

    def open(self) -> str:
        """Makes the context if there is none; V8's message if the code does not compile, else an empty string."""
        worker = WORKER_PROCESS
        if self._number is not None and self._generation == worker.generation and worker.is_alive():
            return ""
        number = worker.next_number()
        worker.request(
            {
                "do": "open",
                "context": number,
                "code": self._code,
                "parameters": self._parameters,
                "memory_bytes": self.limits.memory_bytes,
            }
        )
        answer, _ = worker.answer(START_S)
        self._number, self._generation = number, worker.generation
        if answer["error"]:
            self.close()
        return str(answer["error"])

    def close(self) -> None:
        """Gives the context up."""
        number, self._number = self._number, None
        with WORKER_PROCESS.lock:
            is_there = number is not None and self._generation == WORKER_PROCESS.generation
            if is_there and WORKER_PROCESS.is_alive():
                with suppress(WorkerDiedError):
                    WORKER_PROCESS.request({"do": "close", "context": number})
                    WORKER_PROCESS.answer(START_S)

    def run(self, trees: str, texts: str, rows: int, parts: Sequence[np.ndarray]) -> Iterator[Any]:
        """The messages of one batch, ending with the last."""
        header = {"do": "run", "context": self._number, "trees": trees, "texts": texts, "rows": rows}
        WORKER_PROCESS.request({**header, "timeout_s": self.limits.timeout_s}, parts)
        while True:
            answer, binary = WORKER_PROCESS.answer(self.limits.timeout_s + GRACE_S)
            yield answer, binary
            if answer["status"] != "running":
                return


def limit_error(limits: Limits, *, is_time: bool, row: int | None) -> ResourceError:
    """The error for a limit that was reached, in row ``row`` of the batch if that is known."""
    where = "" if row is None else f" (row {row})"
    if is_time:
        return ResourceError(
            f"jseval script ran for more than {limits.timeout_s:g} s{where}",
            hint="SET tfsql_javascript_timeout_s = ... gives it more",
        )
    return ResourceError(
        f"jseval script took more than {limits.memory_bytes / 1e6:,.0f} MB of memory{where}",
        hint="SET tfsql_javascript_memory_limit = '...MB' gives it more",
    )
