"""Tables, formats and pictures: what a person and a program read of a result."""

from __future__ import annotations

import csv
import io
import json
import re
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from PIL import Image

import tfsql
from tfsql.errors import ShapeError, TypeMismatchError
from tfsql.render import (
    ASCII,
    FORMATS,
    SHADES,
    TRUE_COLOR,
    Pen,
    Result,
    cell_text,
    picture,
    picture_row,
    print_relation,
    save_png,
    sql_text,
    table_text,
    terminal_colors,
)
from tfsql.render.drawings import CELL_WIDTH
from tfsql.result import Relation
from tfsql.types import Scalar

VALUES = """
SELECT 42 AS i, 0.1::FLOAT AS f, 'nan'::DOUBLE AS n, [1.5, NULL] AS l, {x: 1, y: 'q, r'} AS s, map{'a': 1} AS m,
  INTERVAL 3 DAY AS d, '\\xAAb'::BLOB AS b, '' AS e, 'say "hi"' AS q, NULL::INTEGER AS u, 1e20 AS g,
  1.50::DECIMAL(4, 2) AS c, ['a', 'b c', '', 'it''s'] AS w, true AS t, DATE '2024-01-01' AS day, TIME '10:00' AS o,
  INTERVAL '3 hours' AS h
"""


@pytest.fixture
def con() -> Iterator[tfsql.Connection]:
    with tfsql.connect() as connection:
        yield connection


def written(con: tfsql.Connection, sql: str, mode: str, encoding: str = "utf-8") -> str:
    relation = con.sql(sql)
    stream = io.TextIOWrapper(io.BytesIO(), encoding, write_through=True)
    FORMATS[mode](Result(relation.columns, relation.types, iter(relation)), stream)
    return stream.buffer.getvalue().decode(encoding)


# -- tables ------------------------------------------------------------------------------------------------------------


def test_numbers_stand_right_and_null_is_named(con: tfsql.Connection) -> None:
    sql = "SELECT * FROM (VALUES (1, 'a', 1.5::DOUBLE), (-20, NULL, NULL)) AS t(number, word, d)"
    assert table_text(con.sql(sql)).split("\n") == [
        "┌─────────┬─────────┬────────┐",
        "│  number │ word    │      d │",
        "│ INTEGER │ VARCHAR │ DOUBLE │",
        "├─────────┼─────────┼────────┤",
        "│       1 │ a       │    1.5 │",
        "│     -20 │ NULL    │   NULL │",
        "└─────────┴─────────┴────────┘",
        "2 rows",
    ]


def test_ascii_borders(con: tfsql.Connection) -> None:
    text = table_text(con.sql("SELECT 'abc' AS x, repeat('long ', 50) AS y"), max_width=40, borders=ASCII)
    assert text.isascii()
    assert text.split("\n")[0] == "+---------+----------------------------+"
    assert "long lon... |" in text


@pytest.mark.parametrize("count", [0, 1, 20, 21, 3000])
def test_the_footer_counts_rows(con: tfsql.Connection, count: int) -> None:
    footer = table_text(con.sql(f"SELECT * FROM range({count})")).split("\n")[-1]
    known = {0: "0 rows", 1: "1 row", 20: "20 rows"}
    assert footer == known.get(count, "more than 20 rows (20 shown)")


def test_the_footer_tells_a_count_that_is_known(con: tfsql.Connection) -> None:
    assert table_text(con.sql("SELECT * FROM range(25)"), row_count=25).endswith("\n25 rows (20 shown)")


def test_many_columns_are_left_out_in_the_middle(con: tfsql.Connection) -> None:
    columns = ", ".join(f"{i} AS c{i}" for i in range(784))
    header, footer = (table_text(con.sql(f"SELECT {columns}"), max_width=80).split("\n")[i] for i in (1, -1))
    assert " ".join(header.split()) == "│ c0 │ c1 │ c2 │ c3 │ … │ c781 │ c782 │ c783 │"
    assert footer == "1 row, 784 columns (7 shown)"


@pytest.mark.parametrize("width", [10, 25, 40, 80, 200])
def test_no_line_is_wider_than_the_terminal(con: tfsql.Connection, width: int) -> None:
    text = table_text(con.sql(f"{VALUES}, repeat('wide ', 99) AS long, '日本語' AS japanese"), max_width=width)
    assert all(len(line) <= width for line in text.split("\n")[:-1])


def test_wide_characters_keep_the_borders_straight(con: tfsql.Connection) -> None:
    lines = table_text(con.sql("SELECT * FROM (VALUES ('日本語'), ('abc')) AS t(x)")).split("\n")
    assert lines[4:6] == ["│ 日本語  │", "│ abc     │"]


def test_only_the_rows_that_are_shown_are_fetched() -> None:
    fetched: list[int] = []

    class Rows:
        def fetchmany(self, size: int) -> list[tuple[int]]:
            fetched.append(size)
            return [(1,)] * size

    relation = Relation([("x", Scalar("INTEGER"))], Rows, None, None)
    assert table_text(relation, 5).endswith("more than 5 rows (5 shown)")
    assert fetched == [6]


def test_showing_leaves_the_callers_place_alone(con: tfsql.Connection) -> None:
    relation = con.sql("SELECT * FROM range(5000)")
    first = relation.fetchmany(3)
    assert "more than 20 rows" in repr(relation)
    assert first + relation.fetchmany(2) == [(0,), (1,), (2,), (3,), (4,)]


def test_print_relation_falls_back_to_ascii(con: tfsql.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), "ascii", write_through=True)
    monkeypatch.setattr(sys, "stdout", stream)
    print_relation(con.sql("SELECT 1 AS x"))
    assert stream.buffer.getvalue().decode().startswith("+---------+\n|       x |")


def test_types_are_told_the_tensor_way(con: tfsql.Connection) -> None:
    assert "float32[2, 3]" in table_text(con.sql("SELECT [[1, 2, 3], [4, 5, 6]]::FLOAT[3][2] AS x"))


def test_importing_render_is_light() -> None:
    code = "import sys, tfsql.render; print(*{'tensorflow', 'pandas', 'prompt_toolkit'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == ""


# -- cells -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        ((1.0, 0.10000000149011612), "float32[2]", "[1.0, 0.1]"),
        (tuple(range(9)), "int32[9]", "int32[9] min 0 max 8 mean 4"),
        ([[0.5] * 5, [1.5] * 5], "float64[?, ?]", "float64[2, 5] min 0.5 max 1.5 mean 1"),
        ([[1, 2, 3], [4, 5, 6, 7, 8, 9]], "int32[?, ?]", "int32[2, ?] min 1 max 9 mean 5"),
        ([True] * 3 + [False] * 9, "bool[?]", "bool[12] 3 of 12 true"),
        ([float("nan")] * 9, "float32[?]", "float32[9] all NaN"),
        ([float("nan"), *map(float, range(9))], "float32[?]", "float32[10] min 0 max 8 mean 4 NaN 1"),
        ([float("-inf"), *map(float, range(9))], "float32[?]", "float32[10] min -inf max 8 mean -inf"),
        ([None, *range(9)], "int32[?]", "int32[10] min 0 max 8 mean 4"),
        ([None] * 9, "int32[?]", "int32[9] [NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, ...]"),
        (list("abcdefghi"), "string[?]", "string[9] [a, b, c, d, e, f, g, h, ...]"),
        ([{"a": 1}] * 9, 'STRUCT("a" INTEGER)[]', "[" + ", ".join(["{'a': 1}"] * 9) + "]"),
        ([], "int32[?]", "[]"),
        (12345.678, "DOUBLE", "12345.678"),
        ("a\nb\x1b[31m", "VARCHAR", "a\\nb\\x1b[31m"),
    ],
)
def test_cells(value: Any, kind: str, text: str) -> None:
    assert cell_text(value, kind) == text


def test_text_is_that_of_the_engine(con: tfsql.Connection) -> None:
    with duckdb.connect() as engine:
        relation = con.sql(VALUES)
        row = relation.fetchone()
        casts = ", ".join(f'"{name}"::VARCHAR' for name in relation.columns)
        expected = engine.execute(f"SELECT {casts} FROM ({VALUES})").fetchone()
    texts = [None if v is None else sql_text(v, kind) for v, kind in zip(row, relation.types, strict=True)]
    assert texts == [str(value) if value is not None else None for value in expected]


# -- formats -----------------------------------------------------------------------------------------------------------


def test_csv_is_that_of_the_engine(con: tfsql.Connection, tmp_path: Path) -> None:
    path = tmp_path / "expected.csv"
    con.execute(f"COPY ({VALUES}) TO '{path}' (FORMAT csv)")
    assert written(con, VALUES, "csv") == path.read_text()


def test_csv_reads_back(con: tfsql.Connection) -> None:
    text = written(con, "SELECT 'a,b' AS \"x,y\", 'line\nbreak' AS z, NULL AS n, '' AS e", "csv")
    assert list(csv.reader(io.StringIO(text))) == [["x,y", "z", "n", "e"], ["a,b", "line\nbreak", "", ""]]
    assert text.endswith(',,""\n')


def test_json_keeps_nested_values(con: tfsql.Connection) -> None:
    (row,) = json.loads(written(con, VALUES, "json"))
    assert row["l"] == [1.5, None]
    assert row["s"] == {"x": 1, "y": "q, r"}
    assert row["m"] == {"a": 1}
    assert (row["i"], row["f"], row["n"], row["u"], row["t"], row["c"]) == (42, 0.1, None, None, True, 1.5)
    assert (row["day"], row["d"], row["b"]) == ("2024-01-01", "3 days", "\\xAAb")


def test_jsonl_has_a_row_on_each_line(con: tfsql.Connection) -> None:
    text = written(con, "SELECT i, [i, i + 1] AS x FROM range(2) AS r(i)", "jsonl")
    assert text == '{"i": 0, "x": [0, 1]}\n{"i": 1, "x": [1, 2]}\n'


def test_json_of_no_rows_is_an_empty_array(con: tfsql.Connection) -> None:
    assert json.loads(written(con, "SELECT 1 AS x WHERE false", "json")) == []


def test_json_tells_columns_of_one_name_apart(con: tfsql.Connection) -> None:
    assert json.loads(written(con, "SELECT 1 AS a, 2 AS a", "jsonl")) == {"a": 1, "a_1": 2}


def test_json_documents_are_not_text(con: tfsql.Connection) -> None:
    assert json.loads(written(con, "SELECT '{\"a\": [1]}'::JSON AS j", "jsonl")) == {"j": {"a": [1]}}


def test_json_is_ascii_where_the_stream_is(con: tfsql.Connection) -> None:
    text = written(con, "SELECT 'ü' AS x", "jsonl", "ascii")
    assert text.isascii()
    assert json.loads(text) == {"x": "ü"}


def test_markdown_aligns_numbers_and_escapes_bars(con: tfsql.Connection) -> None:
    text = written(con, "SELECT 1 AS n, 'a|b' AS \"x|y\"", "markdown")
    assert text == "| n | x\\|y |\n| ---: | --- |\n| 1 | a\\|b |\n"


def test_lines_have_their_names_in_line(con: tfsql.Connection) -> None:
    text = written(con, "SELECT i AS n, 'a\nb' AS \"日本\", tf_Fill([9], 1.0) AS long FROM range(2) r(i)", "line")
    row = "   n = {}\n日本 = a\\nb\nlong = float32[9] min 1 max 1 mean 1\n"
    assert text == f"{row.format(0)}\n{row.format(1)}"


def test_a_plan_is_shown_as_it_is(con: tfsql.Connection) -> None:
    text = written(con, "EXPLAIN SELECT 42", "table")
    assert "\n" in text
    assert "explain_value" not in text
    assert repr(con.sql("EXPLAIN SELECT 42")) == text.rstrip()


# -- pictures ----------------------------------------------------------------------------------------------------------


def test_ascii_pictures_have_a_line_for_two_rows() -> None:
    ramp = np.tile(np.arange(10), (4, 1))
    assert picture(ramp, colors=0) == f"{SHADES}\n{SHADES}"


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 1), (1, 4, 6, 1), (1, 1, 4, 6, 1)])
def test_axes_of_length_one_do_not_matter(shape: tuple[int, ...]) -> None:
    numbers = np.arange(24.0)
    assert picture(numbers.reshape(shape), colors=0) == picture(numbers.reshape(4, 6), colors=0)


def test_half_blocks_carry_two_rows_in_true_color() -> None:
    assert picture([[0, 255], [255, 0]], colors=TRUE_COLOR) == (
        "\x1b[38;2;0;0;0;48;2;255;255;255m▀\x1b[38;2;255;255;255;48;2;0;0;0m▀\x1b[0m"
    )


def test_an_odd_last_row_has_no_background() -> None:
    assert picture([[1], [0], [1]], colors=TRUE_COLOR).split("\n")[1] == "\x1b[38;2;255;255;255;49m▀\x1b[0m"


def test_256_colors_have_greys_and_a_cube() -> None:
    assert "38;5;255;48;5;232m" in picture([[1], [0]], colors=256)
    assert "38;5;196;48;5;21m" in picture([[[1, 0, 0]], [[0, 0, 1]]], colors=256)


@pytest.mark.parametrize("value", [0, 7, float("nan"), float("inf")])
def test_a_picture_of_one_value_is_black(value: float) -> None:
    assert picture(np.full((2, 3), value), colors=0) == "   "


def test_a_picture_of_another_width_keeps_its_proportions() -> None:
    text = picture(np.arange(28 * 28).reshape(28, 28), 14, colors=0)
    assert [len(line) for line in text.split("\n")] == [14] * 7


@pytest.mark.parametrize("shape", [(3,), (2, 3, 4), (2, 4, 4, 1), (0, 5), ()])
def test_what_is_no_picture_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"A picture has the shape .* not \["):
        picture(np.zeros(shape))


def test_picture_rows_are_even_and_titled() -> None:
    pictures = [np.eye(10)] * 4
    text = picture_row(pictures, ["one", "two", "three", "a very long four"], max_width=40, colors=0)
    lines = text.split("\n")
    assert lines[0] == "one         two"
    assert lines[7:9] == ["            a very", "three       long four"]
    assert all(len(line) == 22 for line in lines[1:6])


def test_no_pictures(tmp_path: Path) -> None:
    assert picture_row([], []) == ""
    with pytest.raises(ShapeError, match="no picture"):
        save_png(tmp_path / "none.png", [])


def test_colors_ask_for_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("COLORTERM", raising=False)
    assert terminal_colors(io.StringIO()) == 0
    assert terminal_colors(Terminal()) == 256
    monkeypatch.setenv("COLORTERM", "truecolor")
    assert terminal_colors(Terminal()) == TRUE_COLOR
    monkeypatch.setenv("NO_COLOR", "1")
    assert terminal_colors(Terminal()) == 0


def test_png_holds_each_picture_enlarged(tmp_path: Path) -> None:
    path = tmp_path / "sheet.png"
    pictures = [np.array([[0, 1], [2, 4]]), np.array([[5], [-5]])]
    save_png(path, pictures, scale=4)
    with Image.open(path) as image:
        assert image.mode == "L"
        sheet = np.array(image)
    assert sheet.shape == (8 + 8 + 8, 8 + 12 + 8 + 12 + 8)
    first = np.array([[0, 64], [128, 255]], np.uint8).repeat(4, 0).repeat(4, 1)
    assert (sheet[8:16, 8:16] == first).all()
    assert (sheet[8:16, 28:32] == np.array([[255], [0]]).repeat(4, 0)).all()
    assert (sheet[:8] == 255).all()


def test_png_has_titles_and_colors(tmp_path: Path) -> None:
    path = tmp_path / "sheet.png"
    save_png(path, [np.eye(28), np.full((28, 28, 3), [0, 0, 1])], ["Right Sobel", "Ünknown / 100%"])
    assert path.read_bytes()[12:24] == b"IHDR" + struct.pack(">II", 3 * 16 + 2 * 224, 2 * 16 + 224 + 21)
    with Image.open(path) as image:
        assert image.mode == "RGB"
        assert image.getpixel((300, 100)) == (0, 0, 255)
        ink = np.array(image)[16:31, 16:240, 0] == 0
    assert 0.1 < ink.mean() < 0.5


# -- pictures in tables and figures ------------------------------------------------------------------------------------

TWO_DIGITS = "SELECT label, image FROM 'data/digits.parquet' LIMIT 2"


@pytest.fixture
def at_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parent.parent.parent)


@pytest.mark.usefixtures("at_root")
def test_a_picture_stands_in_its_cell(con: tfsql.Connection) -> None:
    lines = table_text(con.sql(TWO_DIGITS), pen=Pen()).split("\n")
    assert len({len(line) for line in lines[:-1]}) == 1
    drawn = picture(con.sql(TWO_DIGITS).fetchone()[1], colors=0).split("\n")
    assert [line[len("│        │ ") : -len(" │")] for line in lines[4:18]] == drawn
    assert lines[4].startswith("│      0 │")
    assert lines[5].startswith("│        │")
    assert lines[18].startswith("│      1 │")


@pytest.mark.usefixtures("at_root")
def test_colours_take_no_room_in_a_cell(con: tfsql.Connection) -> None:
    def shape(colors: int) -> list[int]:
        text = table_text(con.sql(TWO_DIGITS), pen=Pen(colors))
        return [len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in text.split("\n")]

    assert shape(256) == shape(TRUE_COLOR) == shape(0)


@pytest.mark.parametrize(
    ("value", "drawn"),
    [
        ("NULL::FLOAT[8][8]", "NULL"),
        ("[[1.5, 2.5], [3.5, 4.5]]::FLOAT[2][2]", "[[1.5, 2.5], [3.5, 4.5]]"),
        ("[[1, 2, 3, 4, 5], [6, 7, 8, 9]]::INTEGER[][]", "int32[2, ?] min 1 max 9 mean 5"),
        ("tf_Fill([9], 'x')", "string[9] [x, x, x, x, x, x, x, x, ...]"),
        ("tf_Fill([8, 8, 4], 1.0)", "float32[8, 8, 4] min 1 max 1 mean 1"),
    ],
)
def test_what_is_no_picture_stays_text(con: tfsql.Connection, value: str, drawn: str) -> None:
    lines = table_text(con.sql(f"SELECT {value} AS x"), pen=Pen()).split("\n")
    assert lines[4] == f"│ {drawn} │".replace(f"{drawn} │", drawn.ljust(len(lines[0]) - 4) + " │")


def test_a_wide_picture_is_made_to_fit(con: tfsql.Connection) -> None:
    relation = con.sql("SELECT tf_Fill([20, 200], 0.5) AS x")
    assert {len(line) for line in table_text(relation, max_width=20, pen=Pen()).split("\n")[:-1]} == {20}
    assert len(table_text(relation, max_width=200, pen=Pen()).split("\n")[0]) == CELL_WIDTH + 4


@pytest.mark.usefixtures("at_root")
@pytest.mark.parametrize(("width", "picture_width"), [(120, 28), (80, 28), (60, 19), (40, 12)])
def test_pictures_share_a_narrow_terminal(con: tfsql.Connection, width: int, picture_width: int) -> None:
    relation = con.sql("SELECT label, image, image AS again FROM 'data/digits.parquet' LIMIT 1")
    lines = table_text(relation, max_width=width, pen=Pen()).split("\n")
    assert len(lines[0]) <= width
    assert [len(part) - 2 for part in lines[4].split("│")[2:4]] == [picture_width] * 2
    assert "image" in lines[1]
    assert "again" in lines[1]


@pytest.mark.usefixtures("at_root")
def test_show_draws(con: tfsql.Connection, capsys: pytest.CaptureFixture[str]) -> None:
    con.sql(TWO_DIGITS).show()
    assert "float32[28, 28] min 0 max 255" in capsys.readouterr().out
    con.sql(TWO_DIGITS).show(pictures=True)
    shown = capsys.readouterr().out
    assert "min 0" not in shown
    assert len(shown.split("\n")) == 4 + 2 * 14 + 3
    con.sql(TWO_DIGITS).show(pictures="kitty")
    assert capsys.readouterr().out.count("\x1b_Ga=T,") == 2


@pytest.mark.usefixtures("at_root")
def test_plot(con: tfsql.Connection) -> None:
    relation = con.sql(
        "SELECT label, image, tf_Sum(image, 0) AS ink, if(label = 0, NULL, image) AS other FROM 'data/digits.parquet'"
    )
    figure = relation.plot(max_rows=3)
    assert len(figure.axes) == 9
    assert np.array_equal(figure.axes[3].images[0].get_array() * 255, np.array(con.sql(TWO_DIGITS).fetchall()[1][1]))
    assert len(figure.axes[4].lines[0].get_ydata()) == 28
    assert [text.get_text() for text in figure.axes[2].texts] == ["NULL"]
    assert figure.axes[3].get_title("left") == "label 1"
    figure.savefig(io.BytesIO())


def test_plot_of_nothing_to_draw(con: tfsql.Connection) -> None:
    with pytest.raises(TypeMismatchError, match=r"pictures and vectors of numbers; here are a INTEGER, b VARCHAR"):
        con.sql("SELECT 1 AS a, 'x' AS b").plot()
