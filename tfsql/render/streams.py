"""What an output stream can show: characters and colours."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import TextIO

TRUE_COLOR = 1 << 24
HALF_BLOCK = "▀"
# The width of a table where there is no terminal to ask.
DEFAULT_WIDTH = 120


@dataclass(frozen=True)
class Borders:
    """The characters of a table; a rule is its left, inner and right crossing."""

    horizontal: str
    vertical: str
    top: str
    middle: str
    bottom: str
    ellipsis: str


BOX = Borders("─", "│", "┌┬┐", "├┼┤", "└┴┘", "…")
ASCII = Borders("-", "|", "+++", "+++", "+++", "...")


def borders_of(stream: TextIO) -> Borders:
    """Box-drawing characters where the encoding of a stream has them."""
    return BOX if can_write(stream, "┌─┬┐│…") else ASCII


def can_write(stream: TextIO, text: str) -> bool:
    """Whether the encoding of a stream has every character of a text."""
    try:
        text.encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeError, LookupError):
        return False
    return True


def has_codes(stream: TextIO) -> bool:
    """Whether a stream is a terminal that understands escape codes."""
    return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def has_colors(stream: TextIO) -> bool:
    """Whether a stream is a terminal that shows colours, and the user wants them (https://no-color.org)."""
    return has_codes(stream) and not os.environ.get("NO_COLOR")


def terminal_colors(stream: TextIO) -> int:
    """How many colours a stream shows: 2²⁴ or 256, 0 where there is no terminal or the user wants none."""
    terminal = os.environ.get("TERM", "dumb")
    if not has_colors(stream):
        return 0
    if os.environ.get("COLORTERM") in ("truecolor", "24bit") or terminal.endswith("-direct"):
        return TRUE_COLOR
    return 256 if "256color" in terminal else 0


def terminal_width() -> int:
    """The columns of the terminal, or a width that suits a file."""
    return shutil.get_terminal_size((DEFAULT_WIDTH, 24)).columns


def terminal_lines() -> int:
    """The lines of the terminal."""
    return shutil.get_terminal_size().lines


def picture_colors(stream: TextIO) -> int:
    """How many colours pictures on a stream may have; 0 for shades of ASCII."""
    return terminal_colors(stream) if can_write(stream, HALF_BLOCK) else 0
