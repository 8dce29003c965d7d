"""What may come next in SQL that is being written, the likeliest first."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from tfsql.terminal.names import PREFIX, Named, Names
from tfsql.terminal.sql_context import SqlContext, context_of, tables_in

_DATA_SUFFIXES = (".parquet", ".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".gz", ".duckdb", ".db", ".xlsx", ".npy")


def completions(names: Names, before: str, after: str = "") -> tuple[str, list[Named]]:
    """The part of a word that stands before the cursor, and what may take its place.

    Args:
      before: the text up to the cursor.
      after: the text behind it.

    Example:
      >>> import tfsql
      >>> word, found = completions(Names(tfsql.connect()), "SELECT edge_m")
      >>> word, found[0].name
      ('edge_m', 'edge_magnitude(')
    """
    context = context_of(before)
    if context.is_comment:
        return "", []
    if context.is_quoted:
        return _quoted(names, context)
    found = _fitting(context.word, _candidates(names, context, before + after))
    return context.word, list(dict.fromkeys(found))


def _quoted(names: Names, context: SqlContext) -> tuple[str, list[Named]]:
    """Inside quotes: the values of an attribute, or files."""
    frame = context.frame
    if frame.call is not None and frame.name is not None:
        values = [v for v in names.values_of(frame.call, frame.name) or [] if v.name.startswith("'")]
        return f"'{context.word}", [v for v in values if v.name.lower().startswith(f"'{context.word.lower()}")]
    return context.word, list(paths(context.word, _DATA_SUFFIXES))


def _candidates(names: Names, context: SqlContext, text: str) -> Iterator[Named]:
    frame, word = context.frame, context.word
    if context.qualifier is not None:
        table = tables_in(text).get(context.qualifier, f'"{context.qualifier}"')
        yield from names.columns_of(table)
        return
    if frame.call is not None and frame.name is None and frame.bracket == "{":
        rest = [p for p in names.parameters_of(frame.call) if p.name not in frame.names]
        yield from (Named(f"{p.name}: ", p.summary) for p in rest)
        return
    if frame.call is not None and frame.name is not None:
        values = names.values_of(frame.call, frame.name)
        if values is not None:  # attributes are constants: nothing else fits
            yield from values
            return
    if frame.clause in ("SET", "RESET") and context.previous.upper() in ("SET", "RESET"):
        yield from names.settings
        return
    if context.previous.upper() in ("FROM", "JOIN", "INTO", "UPDATE", "TABLE", "DESCRIBE", "SUMMARIZE"):
        yield from names.tables
        yield from (Named(f"{function.name}(", function.summary) for function in names.table_functions)
        return
    yield from _expressions(names, word, text)
    if frame.call is not None and frame.name is None and frame.bracket == "(" and not frame.clause:
        yield from (Named(f"{p.name} := ", p.summary) for p in names.parameters_of(frame.call))


def _expressions(names: Names, word: str, text: str) -> Iterator[Named]:
    """What stands in an expression, and the keywords around it; without a letter of it only columns are proposed."""
    tables = tables_in(text).values()
    columns = [column for table in tables for column in names.columns_of(table)]
    yield from columns or names.all_columns
    if not word:
        return
    yield from (Named(f"{function.name}(", function.summary) for function in (*names.functions, *names.operators))
    keywords = names.keywords
    yield from (Named(k.name.lower()) for k in keywords) if word.islower() else keywords
    yield from names.tables


def _fitting(word: str, candidates: Iterable[Named]) -> list[Named]:
    """Those that begin with the word, then operators whose own name does: ``conv`` finds ``tf_Conv2D``."""
    lower = word.lower()
    found = list(candidates)
    first = [c for c in found if c.name.lower().startswith((lower, f'"{lower}')) and c.name != word]
    second = [c for c in found if len(lower) > 1 and c.name.removeprefix(PREFIX).lower().startswith(lower)]
    return [*first, *(c for c in second if c not in first)]


def paths(start: str, suffixes: tuple[str, ...] = ()) -> Iterator[Named]:
    """The files and folders whose path begins so.

    Args:
      suffixes: of the files that count; all if empty.
    """
    folder, _, name = start.rpartition("/")
    base = Path(os.path.expanduser(folder or ("/" if start.startswith("/") else ".")))
    try:
        entries = sorted(base.iterdir())
    except OSError:
        return
    lead = f"{folder}/" if "/" in start else ""
    for entry in entries:
        if entry.name.startswith(name) and (name or not entry.name.startswith(".")):
            if entry.is_dir():
                yield Named(f"{lead}{entry.name}/")
            elif not suffixes or entry.name.endswith(suffixes):
                yield Named(f"{lead}{entry.name}")
