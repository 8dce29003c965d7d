"""Tables for people: as wide as the terminal, names and types above, a count below."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len, set_cell_size

from tfsql.render.cells import cell_text, is_number_type, printable
from tfsql.render.drawings import Drawing, Pen, drawing, pen_of
from tfsql.render.pictures import pixels_of_cell
from tfsql.render.streams import BOX, Borders, borders_of, terminal_width

if TYPE_CHECKING:
    from tfsql.result import Relation

MAX_ROWS = 20
# Columns that are no numbers are cut down to this width before whole columns are left out.
NARROW_WIDTH = 12
# So are pictures to this width.
LEAST_PICTURE = 12

# The place of the cursor.
_SAVE, _RESTORE = "\x1b7", "\x1b8"

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Result:
    """What a format writes: column names, their types as users read them, and the rows one after the other."""

    columns: list[str]
    types: list[str]
    rows: Iterator[Row]


def is_plan(result: Result) -> bool:
    """Whether a result is that of EXPLAIN."""
    return result.columns == ["explain_key", "explain_value"]


def plan_text(rows: Iterable[Row]) -> str:
    """The plan of an EXPLAIN as it was drawn."""
    return "\n".join(text.rstrip() for _, text in rows)


def table_text(
    relation: Relation,
    max_rows: int = MAX_ROWS,
    max_width: int | None = None,
    *,
    row_count: int | None = None,
    borders: Borders = BOX,
    pen: Pen | None = None,
) -> str:
    """The first rows as a table with names, types and a count; ``max_rows`` + 1 rows are fetched at most.

    Args:
      max_width: characters of a line; None for the width of the terminal.
      row_count: how many rows there are, where that is known.
      pen: draws tensors that are pictures; None for summaries.

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
    return table_of(result, max_rows, max_width, row_count=row_count, borders=borders, pen=pen)


def print_relation(relation: Relation, max_rows: int = MAX_ROWS, *, pictures: str = "none") -> None:
    """Prints the first rows, in characters that standard output can carry."""
    pen = pen_of(sys.stdout, pictures)
    print(table_text(relation, max_rows, borders=borders_of(sys.stdout), pen=pen))


@dataclass(frozen=True)
class _Column:
    """A column as text: its header lines and its cells."""

    header: tuple[str, str]
    cells: list[str | Drawing]
    is_number: bool
    is_gap: bool = False

    @property
    def width(self) -> int:
        """The width that shows everything."""
        return max(map(_width, (*self.header, *self.cells)))

    @property
    def least_width(self) -> int:
        """The width that shows what matters: numbers and pictures are never cut, everything else may be."""
        uncut = [*self.cells, self.header[1]] if self.is_number else [c for c in self.cells if isinstance(c, Drawing)]
        return max([min(self.width, NARROW_WIDTH), *map(_width, uncut)])


def _width(cell: str | Drawing) -> int:
    return cell.width if isinstance(cell, Drawing) else cell_len(cell)


def table_of(
    result: Result,
    max_rows: int = MAX_ROWS,
    max_width: int | None = None,
    *,
    row_count: int | None = None,
    borders: Borders = BOX,
    pen: Pen | None = None,
) -> str:
    """``table_text`` of rows that are being read."""
    if is_plan(result):
        return plan_text(result.rows)
    max_width = max_width or terminal_width()
    rows = list(islice(result.rows, max_rows + 1))
    if row_count is None and len(rows) <= max_rows:
        row_count = len(rows)
    rows = rows[:max_rows]
    columns = _columns(result, rows, max_width, borders, pen)
    lines = _lines(columns, _widths(columns, max_width), len(rows), borders)
    return "\n".join([*lines, _footer(row_count, len(rows), len(result.columns), columns)])


def _columns(result: Result, rows: list[Row], max_width: int, borders: Borders, pen: Pen | None) -> list[_Column]:
    """The columns that fit, taken from both ends inwards; where some are left out, a narrow one says so."""
    gap = _Column((borders.ellipsis, ""), list([borders.ellipsis] * len(rows)), is_number=False, is_gap=True)
    count, taken = len(result.columns), dict[int, _Column]()
    picture_width = 0 if pen is None else _picture_width(result.types, rows, max_width)
    space = max_width - 1
    for index in _from_both_ends(count):
        values = [row[index] for row in rows]
        column = _column(result.columns[index], result.types[index], values, picture_width, pen)
        space -= column.least_width + 3
        is_last = len(taken) == count - 1
        if taken and space < (0 if is_last else gap.width + 3):
            break
        taken[index] = column
    columns = [taken[index] for index in sorted(taken)]
    middle = (len(columns) + 1) // 2
    return columns if len(columns) == count else [*columns[:middle], gap, *columns[middle:]]


def _picture_width(types: list[str], rows: list[Row], max_width: int) -> int:
    """The width for each picture that lets the columns of a table fit, if it is not too small to see anything."""
    firsts = [next((row[i] for row in rows if row[i] is not None), None) for i in range(len(types))]
    count = sum(pixels_of_cell(value, kind) is not None for value, kind in zip(firsts, types, strict=True))
    room = max_width - 1 - (len(types) - count) * (NARROW_WIDTH + 3)
    return min(max(room // max(count, 1) - 3, LEAST_PICTURE), max_width - 4)


def _from_both_ends(count: int) -> Iterator[int]:
    """0, last, 1, last but one, ..."""
    return (i // 2 if i % 2 == 0 else count - 1 - i // 2 for i in range(count))


def _column(name: str, kind: str, values: list[Any], max_width: int, pen: Pen | None) -> _Column:
    def cell(value: Any) -> str | Drawing:
        pixels = None if pen is None else pixels_of_cell(value, kind)
        return cell_text(value, kind) if pen is None or pixels is None else drawing(pixels, max_width, pen)

    return _Column((printable(name), kind), [cell(value) for value in values], is_number_type(kind))


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

    def line(texts: Iterable[str | Drawing], number: int = 0) -> str:
        cells = (_part(t, number, w, c, borders.ellipsis) for t, w, c in zip(texts, widths, columns, strict=True))
        edge = borders.vertical
        return f"{edge} " + f" {edge} ".join(cells) + f" {edge}"

    yield rule(borders.top)
    yield line(column.header[0] for column in columns)
    yield line(column.header[1] for column in columns)
    yield rule(borders.middle)
    drawn = ""
    for index in range(row_count):
        cells = [column.cells[index] for column in columns]
        height = max(len(cell.lines) if isinstance(cell, Drawing) else 1 for cell in cells)
        for number in range(height):
            yield drawn + line(cells, number)
            drawn = ""
        drawn = _drawn_above(cells, widths, height)
    yield drawn + rule(borders.bottom)


def _drawn_above(cells: list[str | Drawing], widths: list[int], height: int) -> str:
    """The codes of a row's pictures, written from the line below it: whatever scrolls has done so by then."""
    left, codes = 2, []
    for cell, width in zip(cells, widths, strict=True):
        if isinstance(cell, Drawing) and cell.code:
            codes.append(f"{_SAVE}\x1b[{height}A\x1b[{left}C{cell.code}{_RESTORE}")
        left += width + 3
    return "".join(codes)


def _part(cell: str | Drawing, number: int, width: int, column: _Column, ellipsis: str) -> str:
    """A line of a cell, counted from 0, in exactly ``width`` columns of the terminal."""
    if isinstance(cell, str):
        return _fitted(cell if number == 0 else "", width, column, ellipsis)
    line = cell.lines[number] if number < len(cell.lines) else " " * cell.width
    return line + " " * (width - cell.width)


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
    rows = f"more than {count_text(shown_rows, 'row')}" if row_count is None else count_text(row_count, "row")
    parts = [rows if row_count == shown_rows else f"{rows} ({shown_rows:,} shown)"]
    shown_columns = sum(not column.is_gap for column in columns)
    if shown_columns < column_count:
        parts.append(f"{count_text(column_count, 'column')} ({shown_columns:,} shown)")
    return ", ".join(parts)


def count_text(count: int, noun: str) -> str:
    """``1 row``, ``2 rows``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
