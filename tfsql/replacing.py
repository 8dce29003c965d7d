"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


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
    part.touch(exist_ok=False)
    try:
        if target.exists():
            shutil.copymode(target, part)
        yield part
        part.replace(target)
    finally:
        with suppress(FileNotFoundError):
            part.unlink()
