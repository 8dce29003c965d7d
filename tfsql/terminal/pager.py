"""Pages through what is taller or wider than the terminal, in less or in the program that PAGER names."""

from __future__ import annotations

import io
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from tfsql.errors import UnsupportedError

# Colours as they are, long lines scrolled sideways, no cleared screen.
_LESS = ["less", "-RSX"]


class _Screen(io.StringIO):
    """Text that is collected for the terminal, and may have what the terminal has."""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return sys.stdout.encoding

    def isatty(self) -> bool:
        return True


def pager_command() -> list[str]:
    """The program that pages.

    Raises:
      UnsupportedError: there is none.
    """
    command = shlex.split(os.environ.get("PAGER", "")) or _LESS
    if shutil.which(command[0]) is None:
        raise UnsupportedError(f"There is no program {command[0]} to page with", hint="Set PAGER to one that you have")
    return _LESS if command == ["less"] else command


@contextmanager
def paged() -> Iterator[TextIO]:
    """A stream whose text is paged at the end, or printed if it fits the terminal or there is none."""
    if not sys.stdout.isatty():
        yield sys.stdout
        return
    screen = _Screen()
    yield screen
    text = screen.getvalue()
    if _fits(text):
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        _page(text)


def _fits(text: str) -> bool:
    size = shutil.get_terminal_size()
    lines = text.splitlines()
    # A line with pictures is full of codes, and never wider than a table without a pager.
    return len(lines) < size.lines and all(len(line) <= size.columns for line in lines if "\x1b" not in line)


def _page(text: str) -> None:
    """Runs the pager; Ctrl-C is for the pager alone."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    encoded = text.encode(sys.stdout.encoding, "backslashreplace")
    try:
        # less asks its standard error for the size of the terminal; number 2 leads nowhere while TensorFlow starts.
        subprocess.run(pager_command(), input=encoded, stderr=sys.stderr, check=False)
    finally:
        signal.signal(signal.SIGINT, before)
