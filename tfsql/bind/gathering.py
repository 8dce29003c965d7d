"""Lists of arrays that are gathered from the memory of a table.

``list(x)`` of an ARRAY column makes DuckDB copy each array number by number, twice: with arrays of 28x28 that takes
longer than the whole by hand. It lists the numbers of the rows at once, and the arrays are then taken by number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

import pyarrow as pa
from sqlglot import exp

from tfsql.backends.base import Backend
from tfsql.bind.records import Gather, Scan
from tfsql.bind.scope import Scope
from tfsql.sugar import SPREAD
from tfsql.types import ROW_NUMBER, Array, numbered, quote

_NAME = r'(?:\w+|"[^"]+")'
_LIST = re.compile(rf"(?:ARRAY_AGG|LIST)\(((?:{_NAME}\.)?{_NAME})\)", re.IGNORECASE)


def is_gathered(select: exp.Select, sqls: Iterable[str], scope: Scope, backend: Backend) -> bool:
    """Whether arguments are lists of ARRAY columns, and nothing else, of the one Arrow table that a select is of."""
    columns = [_listed(sql) for sql in sqls]
    if not columns or not all(column and isinstance(scope.type_of(column), Array) for column in columns):
        return False
    source = _variable(select)
    named = tuple((column, _unquoted(column)) for column in columns if column)
    return source is not None and backend.scan(_name(source), named) is not None


def gather_of(
    select: exp.Select, streamed: Sequence[exp.Expr], backend: Backend, sql_of: Callable[[exp.Expr], str]
) -> Gather | None:
    """A select of ``streamed`` with numbers of rows in the place of arrays in lists; None where it has no such lists.

    Args:
      sql_of: the text that the engine takes for a node.
    """
    source = _variable(select)
    listed = {item.alias: _listed(item.unalias().sql("duckdb")) for item in streamed if item.alias.startswith(SPREAD)}
    columns = tuple((name, _unquoted(column)) for name, column in listed.items() if column)
    if source is None or not columns:
        return None
    table = backend.scan(_name(source), columns)
    if table is None or not all(pa.types.is_fixed_size_list(column.type) for column in table.columns):
        return None
    number = exp.Var(this=f"list({quote(ROW_NUMBER)})")
    copy = select.copy()
    copy.set(
        "expressions",
        [
            exp.alias_(number.copy(), item.alias, quoted=True) if listed.get(item.alias) else item.copy()
            for item in streamed
        ],
    )
    copy.set("from_", None)
    if _takes_whole_rows(sql_of(copy), source.alias):
        return None
    rows = exp.Table(this=exp.Var(this=quote(numbered(_name(source)))), alias=source.args["alias"].copy())
    copy.set("from_", exp.From(this=rows))
    return Gather(Scan(_name(source), columns), sql_of(copy))


def _listed(sql: str) -> str | None:
    """The column that an argument is a list of."""
    match = _LIST.fullmatch(sql)
    return match[1] if match else None


def _variable(select: exp.Select) -> exp.Table | None:
    """The table of a Python variable that a select is of, if it is of nothing else."""
    clause = select.args.get("from_")
    source = clause.this if clause is not None else None
    if not isinstance(source, exp.Table) or select.args.get("joins") or select.args.get("laterals"):
        return None
    is_plain = {name for name, part in source.args.items() if part} == {"this", "alias"}
    is_variable = isinstance(source.this, exp.Var) and re.fullmatch(r'"\w+"', source.this.name)
    return source if is_plain and is_variable and not source.args["alias"].args.get("columns") else None


def _name(source: exp.Table) -> str:
    return str(source.this.name).strip('"')


def _unquoted(column: str) -> str:
    """The name of a column without that of its table."""
    return str(re.findall(_NAME, column)[-1]).strip('"')


def _takes_whole_rows(sql: str, table: str) -> bool:
    """Whether a select may see a column more in what it takes: whole rows, or all columns."""
    return re.search(rf'\b{re.escape(table)}\b(?!"?\.)|\bCOLUMNS\b|(?<!COUNT\()\*', sql, re.IGNORECASE) is not None
