"""Loads TensorFlow while the user types, so that the first tensor query does not wait."""

from __future__ import annotations

import importlib
import io
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

# What a tensor query imports; the first starts TensorFlow, without its chatter.
_MODULES = ("tfsql.registry", "tfsql.infer.calls", "tfsql.kernel.compiled")


class Loader:
    """The thread that loads TensorFlow.

    Args:
      then: runs in the thread once TensorFlow is there.
    """

    def __init__(self, then: Callable[[], object] = lambda: None):
        self._thread = threading.Thread(target=self._run, name="tfsql-loader", daemon=True)
        self._then = then
        self._is_loaded = threading.Event()

    def start(self) -> None:
        """Begins, once; errors are left to the first tensor query."""
        if not self._thread.is_alive() and not self._is_loaded.is_set():
            keep_stderr()
            self._thread.start()

    @property
    def is_running(self) -> bool:
        """Whether the thread is at work."""
        return self._thread.is_alive()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Whether TensorFlow is there, at most so many seconds from now."""
        return self._is_loaded.wait(timeout_s)

    def _run(self) -> None:
        with suppress(Exception):
            for name in _MODULES:
                importlib.import_module(name)
            self._is_loaded.set()
            self._then()


def keep_stderr() -> None:
    """Gives ``sys.stderr`` a file descriptor of its own: while TensorFlow starts, number 2 leads nowhere."""
    with suppress(OSError, ValueError, io.UnsupportedOperation):
        if sys.stderr.fileno() == 2:
            raw = os.fdopen(os.dup(2), "wb", 0)
            sys.stderr = io.TextIOWrapper(
                raw, encoding=sys.stderr.encoding, errors="backslashreplace", line_buffering=True, write_through=True
            )
