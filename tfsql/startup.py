"""Imports TensorFlow without its start-up chatter on the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Sends what native code writes to file descriptor 2 nowhere: TensorFlow 2.21 has no setting for all of it."""
    try:
        kept = os.dup(2)
        nowhere = os.open(os.devnull, os.O_WRONLY)
    except OSError:
        yield
        return
    sys.stderr.flush()
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def start_tensorflow() -> None:
    """Imports TensorFlow and starts its runtime; a log level that the user has set is left alone."""
    if "tensorflow" in sys.modules or "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        return
    import_tensorflow()
    start_runtime()


def import_tensorflow() -> None:
    """Imports TensorFlow, which starts no thread of its own before its runtime is started."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # what fails is an exception; oneDNN calls less an error
    with _quiet_stderr():
        import tensorflow  # noqa: F401


def start_runtime() -> None:
    """Starts the runtime of TensorFlow, which is imported."""
    with _quiet_stderr():
        import tensorflow as tf

        tf.constant(0)
