"""Reads and runs the test scripts under tests/sql: statements, and the rows or errors that they give.

A script is a list of entries, separated by blank lines; ``#`` starts a comment line.

    statement                   runs, and returns whatever it likes
    query                       the rows follow ``----``, one a line, values separated by `` | ``
    types                       the column names and types follow ``----``, as ``name type``, one a line
    error <Class> [line:column] the message follows ``----``, exactly; the hint too, where ``Hint:`` follows
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import tfsql


@dataclass(frozen=True)
class Entry:
    kind: str
    arguments: tuple[str, ...]
    sql: str
    expected: str
    line: int


def read_script(path: Path) -> list[Entry]:
    """The entries of a script."""
    entries: list[Entry] = []
    block: list[str] = []
    start = 1
    for number, line in enumerate([*path.read_text().splitlines(), ""], 1):
        if line.startswith("#"):
            continue
        if line.strip():
            start = start if block else number
            block.append(line)
        elif block:
            entries.append(_entry(block, start))
            block = []
    return entries


def _entry(block: list[str], line: int) -> Entry:
    kind, *arguments = block[0].split()
    separator = block.index("----") if "----" in block else len(block)
    return Entry(kind, tuple(arguments), "\n".join(block[1:separator]), "\n".join(block[separator + 1 :]), line)


def run_entry(connection: tfsql.Connection, entry: Entry) -> None:
    """Runs one entry and compares what it gives."""
    if entry.kind == "error":
        _check_error(connection, entry)
        return
    if entry.kind == "statement":
        _run(connection, entry.sql)
        return
    relation = connection.execute(entry.sql)
    if entry.kind == "query":
        assert relation is not None
        assert "\n".join(_row(row) for row in relation.fetchall()) == entry.expected
    else:
        assert entry.kind == "types", f"no such kind of entry: {entry.kind}"
        assert relation is not None
        got = "\n".join(f"{name} {kind}" for name, kind in zip(relation.columns, relation.types, strict=True))
        assert got == entry.expected


def _check_error(connection: tfsql.Connection, entry: Entry) -> None:
    with pytest.raises(getattr(tfsql, entry.arguments[0])) as caught:
        _run(connection, entry.sql)
    error = caught.value
    if len(entry.arguments) > 1:
        assert f"{error.line}:{error.column}" == entry.arguments[1], str(error)
    has_hint = "\nHint: " in entry.expected
    text = error.message + (f"\nHint: {error.hint}" if has_hint else "")
    assert text == entry.expected, str(error)


def _run(connection: tfsql.Connection, sql: str) -> None:
    relation = connection.execute(sql)
    if relation is not None:
        relation.fetchall()


def _row(row: tuple[Any, ...]) -> str:
    return " | ".join(_value(value) for value in row)


def _value(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return str(value) if not math.isfinite(value) else f"{value:.6g}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_value(item)}' for key, item in value.items())}}}"
    return str(value)
