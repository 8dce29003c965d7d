"""Pictures in the cells of tables: in characters, or in pixels where the terminal speaks such a protocol."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TextIO

import numpy as np

from tfsql.errors import TypeMismatchError, did_you_mean
from tfsql.render.asking import UNKNOWN, Abilities, abilities
from tfsql.render.graphics import kitty_code, sixel_code
from tfsql.render.pictures import character_lines, resized
from tfsql.render.streams import has_colors, picture_colors, terminal_lines

# A picture is drawn no wider than this many columns of the terminal.
CELL_WIDTH = 32
# In pixels a small picture is enlarged by a whole factor, up to so many columns.
ENLARGED_WIDTH = 16

# How pictures are drawn: as the terminal can, by a protocol, in characters, not at all.
PICTURES = ("auto", "kitty", "sixel", "blocks", "none")


@dataclass(frozen=True)
class Pen:
    """What draws pictures.

    Attributes:
      colors: of characters; 0 for shades of ASCII.
      protocol: "kitty" or "sixel"; None for characters.
      terminal: the sizes that a protocol needs.
    """

    colors: int = 0
    protocol: str | None = None
    terminal: Abilities = UNKNOWN


def pen_of(stream: TextIO, pictures: str) -> Pen | None:
    """The pen for a stream; None for no pictures.

    Args:
      pictures: one of ``PICTURES``; a protocol that is named is used unasked.

    Raises:
      TypeMismatchError: it is none of them.
    """
    if pictures not in PICTURES:
        choices = ", ".join(PICTURES)
        raise TypeMismatchError(f"pictures is one of {choices}, not {pictures}", hint=did_you_mean(pictures, PICTURES))
    if pictures == "none":
        return None
    colors = picture_colors(stream)
    if pictures == "blocks" or (pictures == "auto" and not has_colors(stream)):
        return Pen(colors)
    terminal = abilities()
    protocol = next(iter(terminal.protocols), None) if pictures == "auto" else pictures
    return Pen(colors, protocol, terminal)


@dataclass(frozen=True)
class Drawing:
    """A picture as lines of text, each of which takes ``width`` columns of the terminal.

    Attributes:
      code: what draws pixels over lines that are empty, from their top left corner; the cursor may move.
    """

    lines: list[str]
    width: int
    code: str = ""


def drawing(pixels: np.ndarray, max_width: int, pen: Pen) -> Drawing:
    """A picture made smaller, where it must be, to fit a cell of a table."""
    if pen.protocol is not None:
        return _in_pixels(pixels, min(CELL_WIDTH, max_width), pen)
    width = max(1, min(pixels.shape[1], CELL_WIDTH, max_width))
    return Drawing(character_lines(pixels, width, pen.colors), width)


def _in_pixels(pixels: np.ndarray, max_width: int, pen: Pen) -> Drawing:
    cell_width, cell_height = pen.terminal.cell
    height, width, _ = pixels.shape
    # The cursor must find the top again, so that all of a row of the table fits the screen, with the line below it.
    fitting = min(max_width * cell_width / width, (terminal_lines() - 2) * cell_height / height)
    enlarged = max(1, ENLARGED_WIDTH * cell_width // max(height, width))
    scale = min(enlarged, fitting)
    height, width = max(1, int(height * scale)), max(1, int(width * scale))
    shown = np.rint(resized(pixels, height, width) * 255).astype(np.uint8)
    columns, lines = math.ceil(width / cell_width), height // cell_height + 1  # something stays free below it
    code = kitty_code(shown) if pen.protocol == "kitty" else sixel_code(shown, pen.terminal.registers)
    return Drawing([" " * columns] * lines, columns, code)
