"""Pictures in the codes of terminals that draw pixels: Kitty's graphics protocol, and Sixel."""

from __future__ import annotations

import base64
import re

import numpy as np

from tfsql.render.png import png_bytes

# Kitty takes a picture in parts of so many characters at most.
_CHUNK = 4096
# A character of Sixel is six pixels, one above the other, the topmost the lowest bit.
_BAND = 6
_BITS = 1 << np.arange(_BAND)[:, None]
_FIRST_CHARACTER = ord("?")
_RUN = re.compile(r"(.)\1{3,}")


def kitty_code(pixels: np.ndarray) -> str:
    """A picture ``uint8[height, width, 1 or 3]`` that leaves the cursor where it is.

    Source: https://sw.kovidgoyal.net/kitty/graphics-protocol/
    """
    content = base64.b64encode(png_bytes(pixels)).decode()
    chunks = [content[start : start + _CHUNK] for start in range(0, len(content), _CHUNK)]
    keys = ["m=1"] * (len(chunks) - 1) + ["m=0"]
    keys[0] = f"a=T,f=100,q=2,C=1,{keys[0]}"
    return "".join(f"\x1b_G{key};{chunk}\x1b\\" for key, chunk in zip(keys, chunks, strict=True))


def sixel_code(pixels: np.ndarray, registers: int) -> str:
    """A picture ``uint8[height, width, 1 or 3]`` in at most so many colours; the cursor moves.

    Source: https://vt100.net/docs/vt3xx-gp/chapter14.html
    """
    colors, indices = _palette(pixels, registers)
    height, width = indices.shape
    names = "".join(f"#{i};2;{red};{green};{blue}" for i, (red, green, blue) in enumerate(colors.tolist()))
    filled = np.pad(indices, ((0, -height % _BAND), (0, 0)), constant_values=-1)
    bands = "-".join(_band_code(filled[top : top + _BAND]) for top in range(0, height, _BAND))
    return f'\x1bP0;1q"1;1;{width};{height}{names}{bands}\x1b\\'


def _band_code(indices: np.ndarray) -> str:
    """Six rows of pixels: one line of characters for each colour, drawn over each other."""
    used = np.unique(indices[indices >= 0])
    characters = ((indices == used[:, None, None]) * _BITS).sum(axis=1) + _FIRST_CHARACTER
    lines = (bytes(line).decode().rstrip("?") for line in characters.astype(np.uint8))
    return "$".join(f"#{color}{_RUN.sub(_counted, line)}" for color, line in zip(used, lines, strict=True))


def _counted(run: re.Match[str]) -> str:
    return f"!{len(run[0])}{run[1]}"


def _palette(pixels: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """At most ``count`` colours ``[n, 3]``, in the percents that Sixel has, and the index of each pixel's colour."""
    percents = np.rint(pixels * (100 / 255)).astype(np.uint8)
    channels = np.broadcast_to(percents, (*pixels.shape[:2], 3))
    codes, places = np.unique(channels @ np.array([1 << 16, 1 << 8, 1]), return_inverse=True)
    exact = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=1)
    groups = _groups(exact, count)
    colors = np.stack([np.rint(exact[group].mean(axis=0)) for group in groups]).astype(int)
    index = np.empty(len(exact), int)
    for i, group in enumerate(groups):
        index[group] = i
    return colors, index[places].reshape(pixels.shape[:2])


def _groups(colors: np.ndarray, count: int) -> list[np.ndarray]:
    """The colours in ``count`` groups, if there are so many: what differs most within a group is parted first."""
    groups, spreads = [np.arange(len(colors))], [int(np.ptp(colors, axis=0).max())]
    while len(groups) < count and max(spreads):
        widest = int(np.argmax(spreads))
        group = groups[widest]
        members = colors[group]
        channel = np.ptp(members, axis=0).argmax()
        is_low = members[:, channel] * 2 < int(members[:, channel].min()) + int(members[:, channel].max())
        parts = [group[is_low], group[~is_low]]
        groups[widest : widest + 1] = parts
        spreads[widest : widest + 1] = [int(np.ptp(colors[part], axis=0).max()) for part in parts]
    return groups
