"""Files that are written whole or not at all."""

from __future__ import annotations

import glob
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

if sys.platform != "win32":
    import fcntl


@contextmanager
def replaced(target: Path) -> Iterator[Path]:
    """A file beside the target to write to; it takes the target's place at the end, and is gone after an error.

    Raises:
      OSError: the target is a directory, or may not be written.
    """
    if target.exists() and not target.is_file() and not target.is_dir():
        yield target  # a device or a pipe must not be replaced
        return
    target = target.resolve()
    if target.is_dir():
        raise IsADirectoryError(None, "Is a directory")
    if target.exists() and not os.access(target, os.W_OK):
        raise PermissionError(None, "Permission denied")
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    _remove_abandoned(target)
    part.touch(exist_ok=False)
    with _held(part):
        try:
            if target.exists():
                shutil.copymode(target, part)
            yield part
            part.replace(target)
        finally:
            with suppress(FileNotFoundError):
                part.unlink()


def _remove_abandoned(target: Path) -> None:
    """Takes away what processes that were killed have left beside the target: nobody holds a lock on it."""
    if sys.platform == "win32":
        return
    for part in target.parent.glob(f".{glob.escape(target.name)}.*.part"):
        with suppress(OSError), part.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.unlink()


@contextmanager
def _held(part: Path) -> Iterator[None]:
    """Holds a lock, which ends with the process."""
    if sys.platform == "win32":
        yield
        return
    with part.open("rb") as file:
        with suppress(OSError):  # the file system has no locks
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
