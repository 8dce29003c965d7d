"""Tensors as pictures in the terminal: half blocks in colour, or shades of ASCII."""

from __future__ import annotations

import math
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from tfsql.errors import ShapeError
from tfsql.render.streams import HALF_BLOCK, TRUE_COLOR, picture_colors, terminal_width

SHADES = " .:-=+*#%@"
# A matrix with a shorter edge is better read as numbers.
LEAST_EDGE = 8
_RESET = "\x1b[0m"


def picture(array: Any, width: int | None = None, *, colors: int | None = None) -> str:
    """A tensor drawn in half blocks, or in ASCII shades where there are no colours; least is black, greatest white.

    **Shapes**: ``[height, width]``, ``[height, width, 1]``, ``[height, width, 3]`` (red, green, blue), each with
    axes of length 1 before it. Two rows of the tensor make one line.

    Args:
      width: columns of the drawing; None for one for each column of the tensor.
      colors: of the terminal; None to ask what standard output shows.

    Raises:
      ShapeError: the tensor has another shape.

    Example:
      >>> print(picture([[0, 1, 2, 3], [0, 1, 2, 3]], colors=0))
       -*@
    """
    if colors is None:
        colors = picture_colors(sys.stdout)
    return "\n".join(character_lines(pixels_of(array), width, colors))


def picture_row(
    arrays: Sequence[Any],
    titles: Sequence[str],
    width: int | None = None,
    *,
    max_width: int | None = None,
    colors: int | None = None,
) -> str:
    """Pictures side by side with their titles above, in as many rows as the terminal's width asks for.

    Args:
      width: of each picture; see ``picture``.
      max_width: of all of them; None for the width of the terminal.
    """
    max_width = max_width or terminal_width()
    blocks = []
    for array, title in zip(arrays, titles, strict=True):
        columns = width or pixels_of(array).shape[1]
        blocks.append(_Block(columns, textwrap.wrap(title, columns), picture(array, width, colors=colors).split("\n")))
    count = _per_row(blocks, max_width)
    rows = [blocks[start : start + count] for start in range(0, len(blocks), count or 1)]
    return "\n\n".join("\n".join(_side_by_side(row)) for row in rows)


def _per_row(blocks: Sequence[_Block], max_width: int) -> int:
    """How many pictures stand side by side, so that rows are as even as they can be."""
    widest = max((block.width for block in blocks), default=1)
    fitting = max(1, (max_width + 2) // (widest + 2))
    row_count = math.ceil(len(blocks) / fitting)
    return math.ceil(len(blocks) / max(1, row_count))


@dataclass(frozen=True)
class _Block:
    width: int
    title: list[str]
    lines: list[str]


def _side_by_side(blocks: list[_Block]) -> Iterator[str]:
    titles, height = max(len(block.title) for block in blocks), max(len(block.lines) for block in blocks)
    for i in range(titles):
        texts = (([""] * (titles - len(block.title)) + block.title)[i].ljust(block.width) for block in blocks)
        yield "  ".join(texts).rstrip()
    for i in range(height):
        yield "  ".join(block.lines[i] if i < len(block.lines) else " " * block.width for block in blocks)


def pixels_of_cell(value: Any, kind: str) -> np.ndarray | None:
    """The picture that a cell holds, as ``pixels_of`` makes it; None for what is no picture.

    A picture is a numeric tensor of a shape that ``picture`` takes, both edges at least eight long.

    Args:
      kind: the type of the cell's column as users read it.

    Example:
      >>> pixels_of_cell([[0.0] * 8] * 9, "float32[9, 8]").shape
      (9, 8, 1)
    """
    dtype, _, axes = kind.partition("[")
    if value is None or "," not in axes or not dtype.startswith(("float", "int", "uint", "bool")):
        return None
    try:
        pixels = pixels_of(value)
    except (ShapeError, ValueError, TypeError):  # another shape, or rows of several lengths
        return None
    return pixels if min(pixels.shape[:2]) >= LEAST_EDGE else None


def character_lines(pixels: np.ndarray, width: int | None, colors: int) -> list[str]:
    """A picture from 0 to 1 in so many columns, None for one for each of its own; no colours are shades of ASCII."""
    if width is not None and width != pixels.shape[1]:
        pixels = resized(pixels, max(1, round(pixels.shape[0] * width / pixels.shape[1])), width)
    return list(_block_lines(pixels, colors) if colors else _shade_lines(pixels))


def pixels_of(array: Any) -> np.ndarray:
    """The picture ``[height, width, 1 or 3]``, from 0 to 1.

    Raises:
      ShapeError: the array is no picture.
    """
    given = np.asarray(array, np.float64)
    pixels = given
    while pixels.ndim > 3 and pixels.shape[0] == 1:
        pixels = pixels[0]
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or not pixels.size:
        shape = list(given.shape)
        raise ShapeError(f"A picture has the shape [h, w], [h, w, 1], [h, w, 3] or [1, h, w, 1], not {shape}")
    finite = pixels[np.isfinite(pixels)]
    least, greatest = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
    limited = np.nan_to_num(pixels, nan=least, posinf=greatest, neginf=least)
    return np.asarray((limited - least) / ((greatest - least) or 1.0))


def resized(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """The picture with each new pixel the mean of what it covers; enlarged, it is not smoothed."""
    rows, columns = _weights(pixels.shape[0], height), _weights(pixels.shape[1], width)
    return np.asarray(np.einsum("ih,hwc,jw->ijc", rows, pixels, columns, optimize=True))


def _weights(old: int, new: int) -> np.ndarray:
    """The share ``[new, old]`` of each old sample in each new one: how far they overlap."""
    starts, samples = np.arange(new)[:, None] * old / new, np.arange(old)
    overlap = np.minimum(starts + old / new, samples + 1) - np.maximum(starts, samples)
    return np.asarray(np.maximum(overlap, 0) * new / old)


def _shade_lines(pixels: np.ndarray) -> Iterator[str]:
    grey = pixels.mean(axis=2)
    for top in range(0, len(grey), 2):
        levels = np.rint(grey[top : top + 2].mean(axis=0) * (len(SHADES) - 1)).astype(int)
        yield "".join(SHADES[level] for level in levels)


def _block_lines(pixels: np.ndarray, colors: int) -> Iterator[str]:
    codes = [[_color_code(color, colors) for color in row] for row in np.rint(pixels * 255).astype(int).tolist()]
    for top in range(0, len(codes), 2):
        bottom = codes[top + 1] if top + 1 < len(codes) else [None] * len(codes[top])
        runs = groupby(zip(codes[top], bottom, strict=True))
        yield "".join(_painted(upper, lower, len(list(run))) for (upper, lower), run in runs) + _RESET


def _painted(upper: str, lower: str | None, count: int) -> str:
    background = "49" if lower is None else f"48;{lower}"
    return f"\x1b[38;{upper};{background}m{HALF_BLOCK * count}"


def _color_code(color: list[int], colors: int) -> str:
    """The part of an escape code that names a colour: itself, or the nearest of the 256 of xterm's palette."""
    red, green, blue = color if len(color) == 3 else color * 3
    if colors >= TRUE_COLOR:
        return f"2;{red};{green};{blue}"
    if red == green == blue:
        return f"5;{232 + round(red / 255 * 23)}"
    return f"5;{16 + sum(round(part / 51) * place for part, place in zip((red, green, blue), (36, 6, 1), strict=True))}"
