"""Pictures as a PNG file, side by side with their titles."""

from __future__ import annotations

import struct
import textwrap
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfsql.errors import ShapeError
from tfsql.render.pictures import pixels_of

# Letters of 3 x 5 pixels: five rows from the top, each the octal digit of its three pixels.
_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,:;-+*/=()[]<>_'\"?!%#"
_GLYPHS = """
25755 65656 34443 65556 74647 74644 34553 55755 72227 11152 55655 44447 57755 65555 25552 65644 25563 65655 34216 72222
55557 55552 55775 55255 55222 71247 75557 26227 71747 71717 55711 74717 74757 71111 75757 75717 00000 00002 00024 02020
02024 00700 02720 52725 11244 07070 12221 42224 64446 31113 12421 42124 00007 22000 55000 61202 22202 51245 57575
"""
_LETTERS = dict(zip(_CHARACTERS, _GLYPHS.split(), strict=True))
_LETTER_SCALE = 3
_LETTER_WIDTH, _LINE_HEIGHT = 4 * _LETTER_SCALE, 7 * _LETTER_SCALE


def save_png(path: str | Path, arrays: Sequence[Any], titles: Sequence[str] | None = None, scale: int = 8) -> None:
    """Writes pictures side by side as one PNG file, enlarged without smoothing, with their titles above.

    Args:
      arrays: pictures of the shapes that ``picture`` takes; each from its own least to its own greatest value.
      scale: screen pixels along the edge of each pixel of a picture.

    Raises:
      ShapeError: an array is no picture, or there is none.
    """
    if not arrays:
        raise ShapeError("There is no picture to write")
    blocks = [np.rint(pixels_of(array) * 255).astype(np.uint8).repeat(scale, 0).repeat(scale, 1) for array in arrays]
    texts = titles if titles is not None else [""] * len(blocks)
    widths = [max(block.shape[1], _least_width(text)) for block, text in zip(blocks, texts, strict=True)]
    lines = [textwrap.wrap(text, width // _LETTER_WIDTH) for text, width in zip(texts, widths, strict=True)]
    margin = 2 * scale
    top = margin + max(map(len, lines)) * _LINE_HEIGHT
    height = top + max(block.shape[0] for block in blocks) + margin
    channels = max(block.shape[2] for block in blocks)
    sheet = np.full((height, margin + sum(width + margin for width in widths), channels), 255, np.uint8)
    left = margin
    for block, title, width in zip(blocks, lines, widths, strict=True):
        _draw_lines(sheet, title, left, top - len(title) * _LINE_HEIGHT)
        sheet[top : top + block.shape[0], left : left + block.shape[1]] = block
        left += width + margin
    with open(path, "wb") as file:
        file.write(png_bytes(sheet))


def _least_width(title: str) -> int:
    """The width of the longest word of a title."""
    return max(map(len, title.split()), default=1) * _LETTER_WIDTH


def _draw_lines(sheet: np.ndarray, lines: list[str], left: int, top: int) -> None:
    for index, line in enumerate(lines):
        ink = np.concatenate([_letter(character) for character in line.upper()], axis=1)
        ink = ink.repeat(_LETTER_SCALE, 0).repeat(_LETTER_SCALE, 1)
        start = top + index * _LINE_HEIGHT
        sheet[start : start + ink.shape[0], left : left + ink.shape[1]][ink] = 0


def _letter(character: str) -> np.ndarray:
    """A letter as bools ``[5, 4]``, its last column the space behind it."""
    rows = _LETTERS.get(character, _LETTERS["?"])
    return np.array([[int(row) >> bit & 1 for bit in (2, 1, 0)] + [0] for row in rows], bool)


def png_bytes(pixels: np.ndarray) -> bytes:
    """A PNG file of ``uint8[height, width, 1 or 3]``. Source: https://www.w3.org/TR/png-3/"""
    height, width, channels = pixels.shape

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    # Each row begins with a byte for its filter: 0, none.
    rows = np.pad(pixels.reshape(height, -1), ((0, 0), (1, 0))).tobytes()
    header = struct.pack(">IIBBBBB", width, height, 8, 0 if channels == 1 else 2, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + content
