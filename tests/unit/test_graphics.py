"""Pictures in pixels: what the terminal is asked, and what is drawn where."""

from __future__ import annotations

import base64
import io
import os
import pty
import re
import select
import subprocess
import sys
import time
from dataclasses import dataclass, field

import numpy as np
import pytest
from PIL import Image

import tfsql
from tfsql.errors import TypeMismatchError
from tfsql.render import Pen, pen_of, table_text
from tfsql.render.asking import LIMIT_S, UNKNOWN, Abilities, understood
from tfsql.render.graphics import kitty_code, sixel_code

GENERATOR = np.random.default_rng(7)
GREY = GENERATOR.integers(0, 256, (13, 9, 1)).astype(np.uint8)
FEW_COLORS = GENERATOR.choice(np.array([0, 51, 255], np.uint8), (20, 31, 3))
MANY_COLORS = np.stack([*np.mgrid[0:256:5, 0:256:5], np.full((52, 52), 90)], axis=2).astype(np.uint8)


# -- what the terminal is asked ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (b"", UNKNOWN),
        (b"\x1b[?1;2c", UNKNOWN),
        (b"\x1b[?4c", UNKNOWN),  # the first number is the kind of terminal
        (b"\x1b[?62;4;22c", Abilities(("sixel",))),
        (b"\x1b[?62;14;22c", UNKNOWN),
        (b"\x1b_Gi=31;OK\x1b\\\x1b[6;36;17t\x1b[?62;c", Abilities(("kitty",), (17, 36))),
        (b"\x1b_Gi=31;ENOTSUPPORTED:\x1b\\\x1b[?62;4c", Abilities(("sixel",))),
        (b"typed\x1b_Gi=31;OK\x1b\\\x1b[?1;0;1024S\x1b[6;0;0t\x1b[?62;4c", Abilities(("kitty", "sixel"))),
        (b"\x1b[?1;0;16S\x1b[?63;1;4c", Abilities(("sixel",), registers=16)),
        (b"\x1b[?1;3;0S\x1b[?63;4c", Abilities(("sixel",))),
    ],
)
def test_what_an_answer_tells(answer: bytes, found: Abilities) -> None:
    assert understood(answer) == found


# A session leader that opens a terminal has it for its own.
ASKS = """
import os, sys, termios
terminal = os.open(sys.argv[1], os.O_RDWR)
for number in (0, 1, 2):
    os.dup2(terminal, number)
before = termios.tcgetattr(0)
from tfsql.render.asking import abilities
print(abilities(), abilities() is abilities(), termios.tcgetattr(0) == before)
"""
SIXEL_ANSWER = b"\x1b[?62;4c"


def asked(answer: bytes, **environment: str) -> tuple[bytes, str, float]:
    """The question that a terminal is asked, what it is taken for when it answers so, and the seconds since then."""
    master, slave = pty.openpty()
    settings = {name: value for name, value in os.environ.items() if name not in ("TMUX", "STY")}
    command = [sys.executable, "-c", ASKS, os.ttyname(slave)]
    question = shown = b""
    with subprocess.Popen(command, env={**settings, "TERM": "xterm", **environment}, start_new_session=True):
        while b"\x1b[c" not in question and b"Abilities" not in question:
            question += os.read(master, 1024)
        since = time.monotonic()
        os.write(master, answer)
        while select.select([master], [], [], 0.05 if shown.endswith(b"\n") else 30)[0]:
            shown += os.read(master, 1024)
        taken_s = time.monotonic() - since
    os.close(slave)
    os.close(master)
    return question, shown.decode(), taken_s


def test_a_terminal_is_asked_once_and_left_as_it_was() -> None:
    question, shown, _ = asked(b"\x1b[6;13;6t" + SIXEL_ANSWER)
    assert question.startswith(b"\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\")
    assert question.endswith(b"\x1b[c")
    assert shown.split() == f"{Abilities(('sixel',), (6, 13))} True True".split()


def test_a_terminal_that_does_not_answer_is_not_waited_for_long() -> None:
    _, shown, taken_s = asked(b"")
    assert shown.split() == f"{UNKNOWN} True True".split()
    assert taken_s < LIMIT_S + 5  # the rest is what else the machine does


@pytest.mark.parametrize("setting", [{"TMUX": "/tmp/tmux,1,0"}, {"STY": "1.pts"}, {"TERM": "screen-256color"}])
def test_a_multiplexer_is_not_asked_for_kittys_protocol(setting: dict[str, str]) -> None:
    question, shown, _ = asked(SIXEL_ANSWER, **setting)
    assert b"\x1b_" not in question
    assert "sixel" in shown


def test_a_terminal_without_codes_is_not_asked() -> None:
    question, _, _ = asked(b"", TERM="dumb")
    assert b"\x1b" not in question


def test_what_is_no_terminal_gets_what_is_named() -> None:
    stream = io.StringIO()
    assert pen_of(stream, "none") is None
    assert pen_of(stream, "auto") == pen_of(stream, "blocks") == Pen(0)
    pen = pen_of(stream, "sixel")
    assert pen is not None
    assert pen.protocol == "sixel"
    with pytest.raises(TypeMismatchError, match="one of auto, kitty, sixel, blocks, none, not sixels"):
        pen_of(stream, "sixels")


# -- codes -------------------------------------------------------------------------------------------------------------


def kitty_pixels(code: str) -> np.ndarray:
    """The picture in Kitty's codes."""
    parts = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", code)
    assert "".join(f"\x1b_G{keys};{content}\x1b\\" for keys, content in parts) == code
    assert all(len(content) <= 4096 for _, content in parts)
    assert [keys.rpartition(",")[2] for keys, _ in parts] == ["m=1"] * (len(parts) - 1) + ["m=0"]
    with Image.open(io.BytesIO(base64.b64decode("".join(content for _, content in parts)))) as image:
        pixels = np.asarray(image)
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


def sixel_pixels(code: str) -> np.ndarray:
    """The picture ``[height, width, 3]`` in a code of Sixel, in percent."""
    head = re.fullmatch(r'\x1bP0;1q"1;1;(\d+);(\d+)(.*)\x1b\\', code)
    assert head is not None
    width, height = int(head[1]), int(head[2])
    pixels = np.full((-(-height // 6) * 6, width, 3), -1)
    colors: dict[int, list[int]] = {}
    color = x = y = 0
    count = 1
    commands = re.findall(r"#(\d+);2;(\d+);(\d+);(\d+)|#(\d+)|!(\d+)|([$-])|([?-~])", head[3])
    for name, red, green, blue, chosen, run, move, character in commands:
        if name:
            colors[int(name)] = [int(red), int(green), int(blue)]
        elif chosen:
            color = int(chosen)
        elif run:
            count = int(run)
        elif move:
            x, y = 0, y + 6 * (move == "-")
        else:
            for bit in range(6):
                if ord(character) - 63 >> bit & 1:
                    pixels[y + bit, x : x + count] = colors[color]
            x, count = x + count, 1
    assert (pixels[height:] == -1).all()
    return pixels[:height]


@pytest.mark.parametrize("pixels", [GREY, FEW_COLORS, GENERATOR.integers(0, 256, (99, 99, 3)).astype(np.uint8)])
def test_kitty_gets_every_pixel(pixels: np.ndarray) -> None:
    assert np.array_equal(kitty_pixels(kitty_code(pixels)), pixels)


@pytest.mark.parametrize(
    "pixels", [GREY, FEW_COLORS, np.zeros((1, 1, 1), np.uint8), np.full((6, 300, 3), 255, np.uint8)]
)
def test_sixel_has_few_colours_in_percent(pixels: np.ndarray) -> None:
    drawn = sixel_pixels(sixel_code(pixels, 256))
    assert np.array_equal(drawn, np.broadcast_to(np.rint(pixels / 2.55), drawn.shape))


@pytest.mark.parametrize(("registers", "worst"), [(256, 5), (16, 17), (2, 51)])
def test_sixel_has_the_nearest_of_many_colours(registers: int, worst: int) -> None:
    drawn = sixel_pixels(sixel_code(MANY_COLORS, registers))
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) == registers
    assert np.abs(drawn - MANY_COLORS / 2.55).max() <= worst


# -- in tables ---------------------------------------------------------------------------------------------------------


@dataclass
class Screen:
    """A terminal that never scrolls: what is written where, and where which pictures begin."""

    lines: list[str] = field(default_factory=lambda: [""])
    pictures: dict[tuple[int, int], str] = field(default_factory=dict)

    def write(self, text: str) -> None:
        row = column = 0
        saved = (0, 0)
        pattern = (
            r"(\x1b7)|(\x1b8)|\x1b\[(\d+)A|\x1b\[(\d+)C|((?:\x1b_G[^\x1b]*\x1b\\)+|\x1bP[^\x1b]*\x1b\\)|(\n)|([^\x1b])"
        )
        for save, restore, up, right, picture, newline, letter in re.findall(pattern, text):
            if save:
                saved = (row, column)
            elif restore:
                row, column = saved
            elif up or right:
                row, column = row - int(up or 0), column + int(right or 0)
            elif picture:
                self.pictures[row, column] = picture
                row, column = -9, -9  # anywhere
            elif newline:
                self.lines.append("")
                row, column = row + 1, 0
            else:
                assert (row, column) == (len(self.lines) - 1, len(self.lines[-1]))
                self.lines[-1] += letter
                column += 1


TABLE = """
SELECT 7 AS label, [[(x + y) % 8 FOR x IN range(8)] FOR y IN range(8)]::FLOAT[8][8] AS small,
  [[x FOR x IN range(600)] FOR y IN range(100)]::FLOAT[600][100] AS wide, NULL::FLOAT[8][8] AS none
UNION ALL
SELECT 8, [[x FOR x IN range(8)] FOR y IN range(8)]::FLOAT[8][8],
  [[y FOR x IN range(600)] FOR y IN range(100)]::FLOAT[600][100], [[x FOR x IN range(8)] FOR y IN range(8)]::FLOAT[8][8]
"""


@pytest.mark.parametrize("protocol", ["kitty", "sixel"])
@pytest.mark.parametrize("cell", [(10, 20), (6, 13), (17, 36)])
def test_pictures_stand_in_their_cells(protocol: str, cell: tuple[int, int]) -> None:
    with tfsql.connect() as con:
        text = table_text(con.sql(TABLE), max_width=100, pen=Pen(256, protocol, Abilities((protocol,), cell)))
    screen = Screen()
    screen.write(text)
    tops = [screen.lines.index(next(line for line in screen.lines if f"      {label} │" in line)) for label in (7, 8)]
    lefts = [i + 2 for i, letter in enumerate(screen.lines[0]) if letter in "┌┬"][1:]
    expected = [(tops[0], lefts[0]), (tops[0], lefts[1]), *((tops[1], left) for left in lefts)]
    assert list(screen.pictures) == expected
    for (row, column), code in screen.pictures.items():
        height, width, _ = (kitty_pixels if protocol == "kitty" else sixel_pixels)(code).shape
        box = [line[column : column + -(-width // cell[0])] for line in screen.lines[row : row + height // cell[1] + 1]]
        assert not "".join(box).strip()
        assert {len(line) for line in box} == {-(-width // cell[0])}
    assert len({len(line) for line in screen.lines[:-1]}) == 1
    small = (kitty_pixels if protocol == "kitty" else sixel_pixels)(screen.pictures[expected[0]])
    scale = 16 * cell[0] // 8
    assert small.shape[:2] == (8 * scale, 8 * scale)


def test_a_tall_picture_fits_the_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINES", "12")
    with tfsql.connect() as con:
        relation = con.sql("SELECT tf_Fill([1000, 10], 1.0) AS x")
        text = table_text(relation, max_width=80, pen=Pen(256, "sixel"))
    assert int(re.search(r"\x1b\[(\d+)A", text)[1]) <= 11
    assert sixel_pixels(re.search(r"\x1bP.*\x1b\\", text)[0]).shape[:2] == (200, 2)
