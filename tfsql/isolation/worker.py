"""A worker: computes one request after the other, and ends when the process that asks does."""

from __future__ import annotations

import os
import pickle
import select
import signal
import socket
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np

from tfsql.isolation.memory import Memory, Parcel, Ranges
from tfsql.isolation.requests import Answer, Asked, Held
from tfsql.startup import start_runtime

PACKET_BYTES = 2**18


def serve(asker: socket.socket, inputs: int, results: int) -> None:
    """Answers what is asked through ``asker`` until its other end is closed.

    Args:
      inputs: the file of the memory in which requests lie, one at a time.
      results: that in which answers lie, each until it is given back.
    """
    _begin()
    threading.Thread(target=_end_with, args=(asker,), name="tfsql-watch", daemon=True).start()
    incoming, outgoing = Memory(inputs), Memory(results)
    os.close(inputs)
    os.close(results)
    ranges, held = Ranges(outgoing.size), Held()
    while packet := asker.recv(PACKET_BYTES):
        asked: Asked = incoming.take(pickle.loads(packet), None)
        for start, size in asked.given_back:
            ranges.give(start, size)
        asker.send(pickle.dumps(_answered(asked, held, outgoing, ranges)))
        del asked


def _answered(asked: Asked, held: Held, outgoing: Memory, ranges: Ranges) -> Parcel:
    try:
        answer = Answer(held.answer(asked))
    except Exception as error:
        answer = Answer(error=_portable(error))
    try:
        return outgoing.put(answer, ranges.take)
    except Exception as error:  # it cannot be pickled, or there is no room for it
        return outgoing.put(Answer(error=_portable(error)), ranges.take)


def _portable(error: Exception) -> Exception:
    """The error, or one of its text where it cannot go to another process."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _begin() -> None:
    """What a fork of the nursery has to have of its own."""
    np.random.seed()  # else all workers would draw the same numbers
    with suppress(OSError):  # where memory is short, the system is to end a worker, not the process of the database
        Path("/proc/self/oom_score_adj").write_text("500")
    start_runtime()


def _end_with(asker: socket.socket) -> None:
    """Ends this process, whatever it computes, when the other end of the socket is closed."""
    poll = select.poll()
    poll.register(asker, select.POLLRDHUP)
    poll.poll()
    os.kill(os.getpid(), signal.SIGKILL)
