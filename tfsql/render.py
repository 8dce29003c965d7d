"""Results as text: tables for people; CSV, JSON and Markdown for programs; tensors as pictures."""

from __future__ import annotations

import copy
import datetime
import json
import math
import os
import re
import shutil
import struct
import sys
import textwrap
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np
from rich.cells import cell_len, set_cell_size

from tfsql.errors import ShapeError

if TYPE_CHECKING:
    from pathlib import Path

    from tfsql.result import Relation

MAX_ROWS = 20
# The width of a table where there is no terminal to ask.
DEFAULT_WIDTH = 120
# Columns that are no numbers are cut down to this width before whole columns are left out.
NARROW_WIDTH = 12
# A tensor cell of more elements is shown as a summary.
MAX_ELEMENTS = 8
# Text of a cell beyond this many characters is never shown.
MAX_CELL = 400

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Result:
    """What a format writes: column names, their types as users read them, and the rows one after the other."""

    columns: list[str]
    types: list[str]
    rows: Iterator[Row]


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


# -- tables ------------------------------------------------------------------------------------------------------------


def table_text(
    relation: Relation,
    max_rows: int = MAX_ROWS,
    max_width: int | None = None,
    *,
    row_count: int | None = None,
    borders: Borders = BOX,
) -> str:
    """The first rows as a table with names, types and a count; ``max_rows`` + 1 rows are fetched at most.

    Args:
      max_width: characters of a line; None for the width of the terminal.
      row_count: how many rows there are, where that is known.

    Example:
      >>> import tfsql
      >>> print(table_text(tfsql.sql("SELECT 42 AS answer, 'six by nine' AS question")))
      ┌─────────┬─────────────┐
      │  answer │ question    │
      │ INTEGER │ VARCHAR     │
      ├─────────┼─────────────┤
      │      42 │ six by nine │
      └─────────┴─────────────┘
      1 row
    """
    columns, types = relation.columns, relation.types
    # A copy has a cursor of its own: what the caller has fetched so far stays as it is.
    head = copy.copy(relation).execute().fetchmany(max_rows + 1)
    result = Result(columns, types, iter(head))
    return _table(result, max_rows, max_width, row_count, borders)


def print_relation(relation: Relation, max_rows: int = MAX_ROWS) -> None:
    """Prints the first rows, in characters that standard output can carry."""
    print(table_text(relation, max_rows, borders=borders_of(sys.stdout)))


def borders_of(stream: TextIO) -> Borders:
    """Box-drawing characters where the encoding of a stream has them."""
    return BOX if _can_write(stream, "┌─┬┐│…") else ASCII


def _can_write(stream: TextIO, text: str) -> bool:
    try:
        text.encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeError, LookupError):
        return False
    return True


@dataclass(frozen=True)
class _Column:
    """A column as text: its header lines and its cells."""

    header: tuple[str, str]
    cells: list[str]
    is_number: bool
    is_gap: bool = False

    @property
    def width(self) -> int:
        """The width that shows everything."""
        return max(map(cell_len, (*self.header, *self.cells)))

    @property
    def least_width(self) -> int:
        """The width that shows what matters: numbers are never cut, everything else may be."""
        texts = [*self.cells, self.header[1]] if self.is_number else []
        return max([min(self.width, NARROW_WIDTH), *map(cell_len, texts)])


def _table(result: Result, max_rows: int, max_width: int | None, row_count: int | None, borders: Borders) -> str:
    max_width = max_width or shutil.get_terminal_size((DEFAULT_WIDTH, 24)).columns
    rows = list(islice(result.rows, max_rows + 1))
    if row_count is None and len(rows) <= max_rows:
        row_count = len(rows)
    rows = rows[:max_rows]
    columns = _columns(result, rows, max_width, borders)
    lines = _lines(columns, _widths(columns, max_width), len(rows), borders)
    return "\n".join([*lines, _footer(row_count, len(rows), len(result.columns), columns)])


def _columns(result: Result, rows: list[Row], max_width: int, borders: Borders) -> list[_Column]:
    """The columns that fit, taken from both ends inwards; where some are left out, a narrow one says so."""
    gap = _Column((borders.ellipsis, ""), [borders.ellipsis] * len(rows), is_number=False, is_gap=True)
    count, taken = len(result.columns), dict[int, _Column]()
    space = max_width - 1
    for index in _from_both_ends(count):
        column = _column(result.columns[index], result.types[index], [row[index] for row in rows])
        space -= column.least_width + 3
        is_last = len(taken) == count - 1
        if taken and space < (0 if is_last else gap.width + 3):
            break
        taken[index] = column
    columns = [taken[index] for index in sorted(taken)]
    middle = (len(columns) + 1) // 2
    return columns if len(columns) == count else [*columns[:middle], gap, *columns[middle:]]


def _from_both_ends(count: int) -> Iterator[int]:
    """0, last, 1, last but one, ..."""
    return (i // 2 if i % 2 == 0 else count - 1 - i // 2 for i in range(count))


def _column(name: str, kind: str, values: list[Any]) -> _Column:
    return _Column((_printable(name), kind), [cell_text(value, kind) for value in values], is_number_type(kind))


def _widths(columns: list[_Column], max_width: int) -> list[int]:
    """The width of each column: what it must have, and a share of the space that is left."""
    room = max_width - 1 - 3 * len(columns)
    widths = [column.least_width for column in columns]
    # The first column is there even if it does not fit.
    widths[0] = max(1, widths[0] - max(0, sum(widths) - room))
    spare = max(0, room - sum(widths))
    wanting = sorted(range(len(columns)), key=lambda i: columns[i].width - widths[i])
    for done, index in enumerate(wanting):
        more = min(columns[index].width - widths[index], spare // (len(columns) - done))
        widths[index] += more
        spare -= more
    return widths


def _lines(columns: list[_Column], widths: list[int], row_count: int, borders: Borders) -> Iterator[str]:
    def rule(crossings: str) -> str:
        return crossings[0] + crossings[1].join(borders.horizontal * (width + 2) for width in widths) + crossings[2]

    def line(texts: Iterable[str]) -> str:
        cells = (_fitted(t, w, c, borders.ellipsis) for t, w, c in zip(texts, widths, columns, strict=True))
        edge = borders.vertical
        return f"{edge} " + f" {edge} ".join(cells) + f" {edge}"

    yield rule(borders.top)
    yield line(column.header[0] for column in columns)
    yield line(column.header[1] for column in columns)
    yield rule(borders.middle)
    for index in range(row_count):
        yield line(column.cells[index] for column in columns)
    yield rule(borders.bottom)


def _fitted(text: str, width: int, column: _Column, ellipsis: str) -> str:
    """The text in exactly ``width`` cells of the terminal; what goes first is a type that the header tells already."""
    if cell_len(text) > width:
        text = text.removeprefix(f"{column.header[1]} ")
    length = cell_len(text)
    if length > width:
        return set_cell_size(set_cell_size(text, max(0, width - len(ellipsis))) + ellipsis, width)
    space = " " * (width - length)
    return space + text if column.is_number else text + space


def _footer(row_count: int | None, shown_rows: int, column_count: int, columns: list[_Column]) -> str:
    rows = f"more than {_count(shown_rows, 'row')}" if row_count is None else _count(row_count, "row")
    parts = [rows if row_count == shown_rows else f"{rows} ({shown_rows:,} shown)"]
    shown_columns = sum(not column.is_gap for column in columns)
    if shown_columns < column_count:
        parts.append(f"{_count(column_count, 'column')} ({shown_columns:,} shown)")
    return ", ".join(parts)


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


# -- cells -------------------------------------------------------------------------------------------------------------

_INTEGERS = frozenset(f"{sign}{size}INT" for sign in ("", "U") for size in ("TINY", "SMALL", "BIG", "HUGE"))
_NUMBERS = _INTEGERS | {"INTEGER", "UINTEGER", "FLOAT", "DOUBLE", "BIGNUM"}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# Text inside lists and rows that DuckDB writes in quotes.
_QUOTED = re.compile(r"^$|^\s|\s$|[][{}(),:='\"\\]|^null$", re.IGNORECASE)


def is_number_type(kind: str) -> bool:
    """Whether a column of this type is aligned to the right."""
    return kind in _NUMBERS or kind.startswith("DECIMAL")


def cell_text(value: Any, kind: str) -> str:
    """A value on one line of a table; a tensor of more than eight elements as its type, least, greatest and mean.

    Example:
      >>> cell_text((1.5, 2.0), "float32[2]"), cell_text(list(range(9)), "int32[?]")
      ('[1.5, 2.0]', 'int32[9] min 0 max 8 mean 4')
    """
    if isinstance(value, list | tuple):
        value = _tensor_text(value, kind) or value
    text = value if isinstance(value, str) else sql_text(value, kind)
    return _printable(text[:MAX_CELL] + "..." if len(text) > MAX_CELL else text)


def sql_text(value: Any, kind: str = "") -> str:
    """A value as DuckDB's CSV writer has it: ``[1, NULL]``, ``{'x': 1}``, a map ``{a=1}``, a blob ``\\xAA``.

    Example:
      >>> sql_text([1, None, "a, b"]), sql_text({"x": True}), sql_text(0.10000000149011612, "FLOAT")
      ("[1, NULL, 'a, b']", "{'x': true}", '0.1')
    """
    if kind.startswith("MAP(") and isinstance(value, dict):
        return "{" + ", ".join(f"{_item_text(k)}={_item_text(v)}" for k, v in value.items()) + "}"
    if _is_single(kind):
        value = _rounded(value)
    return _TEXTS.get(type(value), str)(value)


def _item_text(value: Any) -> str:
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        return f"'{escaped}'" if _QUOTED.search(value) else value
    return sql_text(value)


def _list_text(values: Sequence[Any]) -> str:
    return f"[{', '.join(map(_item_text, values))}]"


def _row_text(row: Mapping[Any, Any]) -> str:
    return "{" + ", ".join(f"'{name}': {_item_text(value)}" for name, value in row.items()) + "}"


def _blob_text(blob: bytes) -> str:
    return "".join(chr(b) if 32 <= b < 127 and b != 92 else f"\\x{b:02X}" for b in blob)


def _interval_text(interval: datetime.timedelta) -> str:
    seconds = datetime.timedelta(seconds=interval.seconds, microseconds=interval.microseconds)
    days = f"{interval.days} day{'' if abs(interval.days) == 1 else 's'}" if interval.days else ""
    time = str(seconds).rjust(8, "0") if seconds or not interval.days else ""
    return " ".join(filter(None, (days, time)))


_TEXTS: dict[type, Callable[[Any], str]] = {
    type(None): lambda _: "NULL",
    bool: lambda value: "true" if value else "false",
    bytes: _blob_text,
    list: _list_text,
    tuple: _list_text,
    dict: _row_text,
    Decimal: lambda value: format(value, "f"),
    datetime.timedelta: _interval_text,
}


def _printable(text: str) -> str:
    """The text with control characters written out, so that data cannot move the cursor or change colours."""
    return _CONTROL.sub(lambda match: match.group().encode("unicode_escape").decode(), text)


def _is_single(kind: str) -> bool:
    """Whether the floats of a column came from 32 bits, whose shortest text is shorter than Python's."""
    return ("FLOAT" in kind or "float32" in kind or "complex64" in kind) and "DOUBLE" not in kind


def _rounded(value: Any) -> Any:
    """The value with every float as the shortest number that is the same in 32 bits."""
    if isinstance(value, float):
        return value if value.is_integer() or not math.isfinite(value) else float(str(np.float32(value)))
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return {name: _rounded(item) for name, item in value.items()} if isinstance(value, dict) else value


def _tensor_text(value: Sequence[Any], kind: str) -> str | None:
    """The summary of a tensor; None where all of it is short enough or no dtype says what it is."""
    dtype, bracket, _ = kind.partition("[")
    if not bracket or not dtype.islower():
        return None
    leaves = list(_leaves(value))
    if len(leaves) <= MAX_ELEMENTS:
        return None
    head = f"{dtype}[{', '.join(map(str, _shape(value, kind)))}]"
    known = [leaf for leaf in leaves if leaf is not None]
    if not known or not isinstance(known[0], int | float):
        return f"{head} {_list_text(leaves[:MAX_ELEMENTS])[:-1]}, ...]"
    if isinstance(known[0], bool):
        return f"{head} {sum(known)} of {len(leaves)} true"
    return f"{head} {_statistics(np.asarray(known))}"


def _statistics(numbers: np.ndarray) -> str:
    unknown = np.isnan(numbers)
    count = int(unknown.sum())
    if count == len(numbers):
        return "all NaN"
    rest = numbers[~unknown].astype(np.float64)
    with np.errstate(all="ignore"):
        mean = rest.mean()
    least, greatest = _number_text(rest.min()), _number_text(rest.max())
    return f"min {least} max {greatest} mean {mean:.3g}" + (f" NaN {count}" if count else "")


def _number_text(number: np.floating) -> str:
    """Three digits, which say enough; whole numbers are not rounded."""
    return f"{number:.0f}" if number.is_integer() and abs(number) < 1e7 else f"{number:.3g}"


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, list | tuple):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def _shape(value: Any, kind: str) -> list[int | str]:
    """The lengths of a nested list's axes, ``?`` along those where they differ."""
    level, shape = [value], list[int | str]()
    for _ in range(kind.count(",") + 1):
        lengths = {len(item) for item in level if item is not None}
        shape.append(lengths.pop() if len(lengths) == 1 else "?")
        level = [part for item in level if item is not None for part in item]
    return shape


# -- formats -----------------------------------------------------------------------------------------------------------


def write_table(result: Result, stream: TextIO) -> None:
    """Writes the first rows as a table, and the plan of an EXPLAIN as it is."""
    if result.columns == ["explain_key", "explain_value"]:
        stream.writelines(f"{text.rstrip()}\n" for _, text in result.rows)
        return
    stream.write(_table(result, MAX_ROWS, None, None, borders_of(stream)) + "\n")


def write_csv(result: Result, stream: TextIO) -> None:
    """Writes all rows as DuckDB's CSV writer does: NULL is empty, empty text is ``""``, nested values are text."""
    stream.write(",".join(map(_csv_field, result.columns)) + "\n")
    for row in result.rows:
        fields = ("" if v is None else _csv_field(sql_text(v, t)) for v, t in zip(row, result.types, strict=True))
        stream.write(",".join(fields) + "\n")


def _csv_field(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if not text or re.search(r'[",\r\n]|^\s|\s$', text) else text


def write_json(result: Result, stream: TextIO) -> None:
    """Writes all rows as one array of objects; see ``write_jsonl`` for the values."""
    separator = "["
    for line in _json_lines(result, stream):
        stream.write(f"{separator}\n{line}")
        separator = ","
    stream.write("[]\n" if separator == "[" else "\n]\n")


def write_jsonl(result: Result, stream: TextIO) -> None:
    """Writes each row as an object on a line; tensors are nested arrays, NaN and infinity are null."""
    stream.writelines(f"{line}\n" for line in _json_lines(result, stream))


def _json_lines(result: Result, stream: TextIO) -> Iterator[str]:
    names = _distinct(result.columns)
    is_ascii = not _can_write(stream, "…")
    for row in result.rows:
        values = (json_value(value, kind) for value, kind in zip(row, result.types, strict=True))
        yield json.dumps(dict(zip(names, values, strict=True)), ensure_ascii=is_ascii)


def _distinct(names: list[str]) -> list[str]:
    """The names with ``_1``, ``_2``, ... behind those that have come before."""
    seen: dict[str, int] = {}
    made = []
    for name in names:
        count = seen.get(name, 0)
        seen[name] = count + 1
        made.append(f"{name}_{count}" if count else name)
    return made


def json_value(value: Any, kind: str = "") -> Any:
    """A value as JSON has it: numbers, text, arrays and objects; dates and the like as text."""
    if kind == "JSON" and isinstance(value, str):
        return json.loads(value)
    return _plain(_rounded(value) if _is_single(kind) else value)


def _plain(value: Any) -> Any:
    if isinstance(value, str | int | None):
        return value
    if isinstance(value, float | Decimal):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {sql_text(name): _plain(item) for name, item in value.items()}
    return sql_text(value)


def write_markdown(result: Result, stream: TextIO) -> None:
    """Writes all rows as a Markdown table, cells as in the table for people."""
    names = [_printable(name).replace("|", "\\|") for name in result.columns]
    rules = ["---:" if is_number_type(kind) else "---" for kind in result.types]
    stream.write(f"| {' | '.join(names)} |\n| {' | '.join(rules)} |\n")
    for row in result.rows:
        cells = (cell_text(value, kind).replace("|", "\\|") for value, kind in zip(row, result.types, strict=True))
        stream.write(f"| {' | '.join(cells)} |\n")


FORMATS: dict[str, Callable[[Result, TextIO], None]] = {
    "table": write_table,
    "csv": write_csv,
    "json": write_json,
    "jsonl": write_jsonl,
    "markdown": write_markdown,
}

# -- pictures in the terminal ------------------------------------------------------------------------------------------

SHADES = " .:-=+*#%@"
TRUE_COLOR = 1 << 24
_HALF_BLOCK = "▀"
_RESET = "\x1b[0m"


def terminal_colors(stream: TextIO) -> int:
    """How many colours a stream shows: 2²⁴ or 256, 0 where there is no terminal or the user wants none."""
    terminal = os.environ.get("TERM", "dumb")
    if not stream.isatty() or terminal == "dumb" or os.environ.get("NO_COLOR"):
        return 0
    if os.environ.get("COLORTERM") in ("truecolor", "24bit") or terminal.endswith("-direct"):
        return TRUE_COLOR
    return 256 if "256color" in terminal else 0


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
    pixels = _pixels(array)
    if width is not None:
        pixels = _resized(pixels, max(1, round(pixels.shape[0] * width / pixels.shape[1])), width)
    if colors is None:
        colors = terminal_colors(sys.stdout) if _can_write(sys.stdout, _HALF_BLOCK) else 0
    lines = _block_lines(pixels, colors) if colors else _shade_lines(pixels)
    return "\n".join(lines)


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
    max_width = max_width or shutil.get_terminal_size((DEFAULT_WIDTH, 24)).columns
    blocks = []
    for array, title in zip(arrays, titles, strict=True):
        columns = width or _pixels(array).shape[1]
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


def _pixels(array: Any) -> np.ndarray:
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


def _resized(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    rows, columns = _weights(pixels.shape[0], height), _weights(pixels.shape[1], width)
    return np.asarray(np.einsum("ih,hwc,jw->ijc", rows, pixels, columns))


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
    return f"\x1b[38;{upper};{background}m{_HALF_BLOCK * count}"


def _color_code(color: list[int], colors: int) -> str:
    """The part of an escape code that names a colour: itself, or the nearest of the 256 of xterm's palette."""
    red, green, blue = color if len(color) == 3 else color * 3
    if colors >= TRUE_COLOR:
        return f"2;{red};{green};{blue}"
    if red == green == blue:
        return f"5;{232 + round(red / 255 * 23)}"
    return f"5;{16 + sum(round(part / 51) * place for part, place in zip((red, green, blue), (36, 6, 1), strict=True))}"


# -- pictures as a file ------------------------------------------------------------------------------------------------

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
    blocks = [np.rint(_pixels(array) * 255).astype(np.uint8).repeat(scale, 0).repeat(scale, 1) for array in arrays]
    texts = titles if titles is not None else [""] * len(blocks)
    widths = [max(block.shape[1], _LETTER_WIDTH) for block in blocks]
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
        file.write(_png(sheet))


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


def _png(pixels: np.ndarray) -> bytes:
    """A PNG file of ``uint8[height, width, 1 or 3]``. Source: https://www.w3.org/TR/png-3/"""
    height, width, channels = pixels.shape

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    # Each row begins with a byte for its filter: 0, none.
    rows = np.pad(pixels.reshape(height, -1), ((0, 0), (1, 0))).tobytes()
    header = struct.pack(">IIBBBBB", width, height, 8, 0 if channels == 1 else 2, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + content
