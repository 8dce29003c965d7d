"""Results as a table, CSV, JSON, JSON lines and Markdown, written to a stream row after row."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from typing import Any, TextIO

from rich.cells import cell_len

from tfsql.flatten import distinct_names
from tfsql.render.cells import cell_text, is_number_type, is_single, printable, rounded, sql_text
from tfsql.render.drawings import pen_of
from tfsql.render.streams import borders_of, can_write
from tfsql.render.tables import MAX_ROWS, Result, table_of


def write_table(
    result: Result, stream: TextIO, *, pictures: str = "none", max_rows: int = MAX_ROWS, max_width: int | None = None
) -> None:
    """Writes the first rows as a table, and the plan of an EXPLAIN as it is."""
    pen = pen_of(stream, pictures)
    stream.write(table_of(result, max_rows, max_width, borders=borders_of(stream), pen=pen) + "\n")


def write_csv(result: Result, stream: TextIO) -> None:
    """Writes all rows as DuckDB's CSV writer does: NULL is empty, empty text is ``""``, nested values are text."""
    stream.write(",".join(map(_csv_field, result.columns)) + "\n")
    fields = [_csv_writer(kind) for kind in result.types]
    for row in result.rows:
        stream.write(",".join([field(value) for field, value in zip(fields, row, strict=True)]) + "\n")


# Whose text needs no look: the rest is slower by half.
_PLAIN_NUMBERS = frozenset({"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "DOUBLE"})
_QUOTED = re.compile(r'[",\r\n]|^\s|\s$')


def _csv_writer(kind: str) -> Callable[[Any], str]:
    """What writes the values of a column."""
    if kind in _PLAIN_NUMBERS:
        return lambda value: "" if value is None else str(value)
    if kind == "VARCHAR":
        return lambda value: "" if value is None else _csv_field(value)
    return lambda value: "" if value is None else _csv_field(sql_text(value, kind))


def _csv_field(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if not text or _QUOTED.search(text) else text


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
    names = distinct_names(result.columns)
    is_ascii = not can_write(stream, "…")
    for row in result.rows:
        values = (json_value(value, kind) for value, kind in zip(row, result.types, strict=True))
        yield json.dumps(dict(zip(names, values, strict=True)), ensure_ascii=is_ascii)


def json_value(value: Any, kind: str = "") -> Any:
    """A value as JSON has it: numbers, text, arrays and objects; dates and the like as text."""
    if kind == "JSON" and isinstance(value, str):
        return json.loads(value)
    return _plain(rounded(value) if is_single(kind) else value)


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
    names = [printable(name).replace("|", "\\|") for name in result.columns]
    rules = ["---:" if is_number_type(kind) else "---" for kind in result.types]
    stream.write(f"| {' | '.join(names)} |\n| {' | '.join(rules)} |\n")
    for row in result.rows:
        cells = (cell_text(value, kind).replace("|", "\\|") for value, kind in zip(row, result.types, strict=True))
        stream.write(f"| {' | '.join(cells)} |\n")


def write_line(result: Result, stream: TextIO) -> None:
    """Writes each column of each row on a line of its own, cells as in the table for people."""
    names = [printable(name) for name in result.columns]
    width = max(map(cell_len, names))
    heads = [" " * (width - cell_len(name)) + name for name in names]
    separator = ""
    for row in result.rows:
        cells = (cell_text(value, kind) for value, kind in zip(row, result.types, strict=True))
        lines = (f"{head} = {cell}\n" for head, cell in zip(heads, cells, strict=True))
        stream.write(f"{separator}{''.join(lines)}")
        separator = "\n"


FORMATS: dict[str, Callable[[Result, TextIO], None]] = {
    "table": write_table,
    "csv": write_csv,
    "json": write_json,
    "jsonl": write_jsonl,
    "markdown": write_markdown,
    "line": write_line,
}


def writer(
    mode: str, *, pictures: str = "none", max_rows: int = MAX_ROWS, max_width: int | None = None
) -> Callable[[Result, TextIO], None]:
    """What writes a result as ``mode``.

    Args:
      pictures: how a table draws tensors that are pictures, one of ``PICTURES``.
      max_rows: how many rows a table shows.
      max_width: how wide a table may be; None for the width of the terminal.
    """
    if mode != "table":
        return FORMATS[mode]
    return partial(write_table, pictures=pictures, max_rows=max_rows, max_width=max_width)
