"""What the terminal says of itself when it is asked: whether it draws pixels, and how large its cells are."""

from __future__ import annotations

import os
import re
import select
import struct
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

from tfsql.render.streams import has_codes

# How long an answer is waited for; a terminal at hand gives it within a few milliseconds.
LIMIT_S = 0.2
# One pixel to be looked at and not shown. Source: https://sw.kovidgoyal.net/kitty/graphics-protocol/
_KITTY = b"\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\"
# Source: https://invisible-island.net/xterm/ctlseqs/ctlseqs.html
_REGISTERS, _CELL = b"\x1b[?1;1;0S", b"\x1b[16t"
# Every terminal answers this one, so that it stands last.
_ATTRIBUTES = b"\x1b[c"
_ATTRIBUTES_ANSWER = re.compile(rb"\x1b\[\?([\d;]+)c")
_SIXEL_ATTRIBUTE = b"4"


@dataclass(frozen=True)
class Abilities:
    """What a terminal can do with pixels.

    Attributes:
      protocols: of "kitty" and "sixel" those that it speaks, the better one first.
      cell: width and height of a character in pixels.
      registers: how many colours a picture in Sixel may have.
    """

    protocols: tuple[str, ...] = ()
    cell: tuple[int, int] = (10, 20)
    registers: int = 256


# Of what is no terminal, or does not answer.
UNKNOWN = Abilities()


@cache
def abilities() -> Abilities:
    """What the terminal answers, which is asked once; nothing where standard input or output is none."""
    with suppress(ImportError, OSError, ValueError, AttributeError):
        if sys.stdin.isatty() and has_codes(sys.stdout):
            return understood(_answer(_question()), _window_cell())
    return UNKNOWN


def _question() -> bytes:
    # tmux and screen answer for themselves, and take what is meant for Kitty for the title of a window.
    is_shared = {"TMUX", "STY"} & set(os.environ) or os.environ["TERM"].startswith(("tmux", "screen"))
    return (b"" if is_shared else _KITTY + _REGISTERS) + _CELL + _ATTRIBUTES


def _answer(question: bytes) -> bytes:
    """What comes back on the terminal; what has been typed meanwhile is lost."""
    import termios  # not on Windows
    import tty

    keyboard = sys.stdin.fileno()
    if os.tcgetpgrp(keyboard) != os.getpgrp():  # in the background, whoever touches the terminal is stopped
        return b""
    before = termios.tcgetattr(keyboard)
    tty.setcbreak(keyboard, termios.TCSANOW)
    try:
        sys.stdout.flush()
        os.write(sys.stdout.fileno(), question)
        return _read(keyboard, time.monotonic() + LIMIT_S)
    finally:
        termios.tcsetattr(keyboard, termios.TCSANOW, before)


def _read(keyboard: int, end: float) -> bytes:
    answer = b""
    while not _ATTRIBUTES_ANSWER.search(answer) and (left := end - time.monotonic()) > 0:
        if select.select([keyboard], [], [], left)[0]:
            answer += os.read(keyboard, 1024)
    return answer


def _window_cell() -> tuple[int, int]:
    """The size of a character that follows from that of the window, which a terminal may tell the system."""
    import fcntl
    import termios

    lines, columns, width, height = struct.unpack("4H", fcntl.ioctl(sys.stdout, termios.TIOCGWINSZ, bytes(8)))
    is_told = min(width // (columns or 1), height // (lines or 1)) > 0
    return (width // columns, height // lines) if is_told else Abilities.cell


def understood(answer: bytes, cell: tuple[int, int] = Abilities.cell) -> Abilities:
    """The abilities that an answer tells.

    Args:
      cell: the size of a character where the answer leaves it out.

    Example:
      >>> understood(b"\\x1b[6;13;6t\\x1b[?63;1;4c")
      Abilities(protocols=('sixel',), cell=(6, 13), registers=256)
    """
    attributes = _ATTRIBUTES_ANSWER.search(answer)
    told = re.search(rb"\x1b\[6;([1-9]\d*);([1-9]\d*)t", answer)
    registers = re.search(rb"\x1b\[\?1;0;([1-9]\d*)S", answer)
    protocols = ["kitty"] if b"\x1b_Gi=31;OK" in answer else []
    if attributes and _SIXEL_ATTRIBUTE in attributes[1].split(b";")[1:]:
        protocols.append("sixel")
    return Abilities(
        tuple(protocols),
        (int(told[2]), int(told[1])) if told else cell,
        min(int(registers[1]), Abilities.registers) if registers else Abilities.registers,
    )
