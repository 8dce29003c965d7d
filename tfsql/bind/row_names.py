"""``rowName()`` and ``rowHash()``: what a row is called, and a stable hash of that.

A stored table's rows are named by their position (DuckDB's ``rowid``), a file's by their position in it, groups by
their key as a JSON array, joined rows by both names, the one row of a query without FROM is ``result``. A column
``_rowName``, which NAMED makes, is the name. A row of a subquery keeps its name.

A name travels in a column: ``carry`` adds one to a query, ``resolve`` says what the calls in it mean.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from hashlib import md5
from typing import TYPE_CHECKING

from sqlglot import exp

from tfsql.bind.scope import HIDDEN_ROW_NAME, Scope
from tfsql.sugar import ROW_NAME
from tfsql.types import quote

if TYPE_CHECKING:
    from tfsql.bind.statement import StatementBinder

_SOURCE = "tfsql_source"
_FUNCTIONS = ("rowname", "rowhash")


def carry(query: exp.Expr, column: str) -> exp.Expr:
    """The query with the names of its rows in a last column; rows that are distinct or united are named by position."""
    if isinstance(query, exp.Subquery) and query.args.keys() <= {"this"}:
        return carry(query.this, column)
    name = exp.alias_(exp.Anonymous(this="rowName"), column, quoted=True)
    if not isinstance(query, exp.Select) or query.args.get("distinct"):
        inner = exp.Subquery(this=query, alias=exp.TableAlias(this=exp.to_identifier(_SOURCE)))
        return exp.Select(expressions=[exp.Star(), name], from_=exp.From(this=inner))
    named = [item for item in query.expressions if item.alias_or_name == ROW_NAME]
    if named:
        name = exp.alias_(named[0].unalias().copy(), column, quoted=True)
    others = [item for item in query.expressions if item not in named]
    query.set("expressions", [*others, name])
    return query


def are_wanted(tree: exp.Expr) -> bool:
    """Whether a statement asks for the name of a row."""
    return any(call.name.lower() in _FUNCTIONS for call in tree.find_all(exp.Anonymous))


def resolve(binder: StatementBinder, select: exp.Select, scope: Scope) -> None:
    """Replaces the calls of ``rowName()`` and ``rowHash()`` in a select whose FROM is bound."""
    wanted = set(_FUNCTIONS) - set(binder.environment.functions)
    calls = [call for call in _own_calls(select) if call.name.lower() in wanted]
    if not calls:
        if binder.wants_row_names:
            _hide(select, HIDDEN_ROW_NAME)
        return
    binder.is_changed = True
    keys = _group_keys(select)
    is_of_row = [keys is None or _is_of_row(call, select, keys) for call in calls]
    if any(is_of_row):
        _replace(itertools.compress(calls, is_of_row), _row_name(binder, select))
        _refresh(binder, select, scope)
    if not all(is_of_row):
        of_groups = itertools.compress(calls, [not is_one for is_one in is_of_row])
        _replace(of_groups, _group_name(_group_keys(select) or []))


def _replace(calls: Iterable[exp.Expr], name: exp.Expr) -> None:
    for call in calls:
        call.replace(_hash_of(name) if call.name.lower() == "rowhash" else exp.Paren(this=name.copy()))


def _is_of_row(call: exp.Expr, select: exp.Select, keys: list[exp.Expr]) -> bool:
    """Whether a call in a select of groups means a row that goes into one: in WHERE, a key, an aggregate."""
    part: exp.Expr | None = call
    while part is not None and part is not select:
        if isinstance(part, exp.Where | exp.Group | exp.AggFunc) or any(part == key for key in keys):
            return True
        part = part.parent
    return False


def _hash_of(name: exp.Expr) -> exp.Expr:
    """The stable 64-bit hash of a name: the first 16 hexadecimal digits of its MD5 sum."""
    digits = exp.Anonymous(this="left", expressions=[exp.Anonymous(this="md5", expressions=[name.copy()]), _number(16)])
    hexadecimal = exp.DPipe(this=exp.Literal.string("0x"), expression=digits)
    return exp.cast(exp.Paren(this=hexadecimal), "UBIGINT", dialect="duckdb")


def row_hash(name: str) -> int:
    """What ``rowHash()`` is for a row of this name."""
    return int(md5(name.encode(), usedforsecurity=False).hexdigest()[:16], 16)


def _number(value: int) -> exp.Expr:
    return exp.Literal.number(value)


def _own_calls(select: exp.Select) -> list[exp.Anonymous]:
    """The function calls of a select's own clauses, those of FROM and of subqueries left out."""
    found: list[exp.Anonymous] = []
    stack = [part for key, part in select.args.items() if key not in ("from_", "joins", "laterals", "with_")]
    while stack:
        part = stack.pop()
        if isinstance(part, list):
            stack += part
        elif isinstance(part, exp.Expr) and not isinstance(part, exp.Query):
            if isinstance(part, exp.Anonymous) and not part.expressions:
                found.append(part)
            stack += part.args.values()
    return found


def _name(binder: StatementBinder, select: exp.Select) -> exp.Expr:
    """The name of the rows that a select makes."""
    keys = _group_keys(select)
    return _row_name(binder, select) if keys is None else _group_name(keys)


def _group_name(keys: list[exp.Expr]) -> exp.Expr:
    array = exp.Anonymous(this="json_array", expressions=[key.copy() for key in keys])
    return exp.cast(array, "VARCHAR") if keys else exp.Literal.string("[]")


def _row_name(binder: StatementBinder, select: exp.Select) -> exp.Expr:
    """The name of the rows of a select's sources, which get a hidden column where they have no name of their own."""
    sources = _sources(select)
    if not sources:
        return exp.Literal.string("result")
    names = [_source_name(binder, holder, item) for holder, item in sources]
    _hide(select, HIDDEN_ROW_NAME)
    if binder.carrying is select:
        _hide(select, ROW_NAME, [name for name in names if name.endswith(f".{ROW_NAME}")])
    joined = names[0] if len(names) == 1 else " || '-' || ".join(f"'[' || {name} || ']'" for name in names)
    return exp.Var(this=joined)


def _group_keys(select: exp.Select) -> list[exp.Expr] | None:
    """What a select groups by, nothing for aggregates over all rows; None if its rows are no groups."""
    group = select.args.get("group")
    items = [item.unalias() for item in select.expressions]
    if group is None:
        return [] if any(map(_aggregates, items)) or select.args.get("having") is not None else None
    if group.args.get("all"):
        return [item for item in items if not _aggregates(item) and not _is_name(item)]
    if not group.expressions:
        return []
    return [items[int(key.this) - 1] if _is_position(key, items) else key for key in group.expressions]


def _is_position(key: exp.Expr, items: list[exp.Expr]) -> bool:
    return isinstance(key, exp.Literal) and key.is_int and 0 < int(key.this) <= len(items)


def _is_name(item: exp.Expr) -> bool:
    return isinstance(item, exp.Anonymous) and item.name.lower() in _FUNCTIONS


def _aggregates(item: exp.Expr) -> bool:
    """Whether an item is computed of many rows into one."""
    stack = [item]
    while stack:
        part = stack.pop()
        if isinstance(part, exp.AggFunc) and not isinstance(part.parent, exp.Window):
            return True
        children = [part.args.values()] if not isinstance(part, exp.Query) else []
        for child in (value for values in children for value in values):
            stack += [c for c in (child if isinstance(child, list) else [child]) if isinstance(c, exp.Expr)]
    return False


def _sources(select: exp.Select) -> list[tuple[exp.Expr, exp.Expr]]:
    from_clause = select.args.get("from_")
    if from_clause is None:
        return []
    nested = from_clause.this.args.get("joins") or []
    holders = [from_clause, *(select.args.get("joins") or []), *nested]
    return [(holder, holder.this) for holder in holders]


def _source_name(binder: StatementBinder, holder: exp.Expr, item: exp.Expr) -> str:
    alias = item.alias_or_name or _SOURCE
    if not item.alias_or_name:
        item.set("alias", exp.TableAlias(this=exp.to_identifier(_SOURCE)))
    columns = [name for name, _ in binder.prober.describe(f"{binder.scope()._with}SELECT * FROM {_bare(binder, item)}")]
    if ROW_NAME in columns or HIDDEN_ROW_NAME in columns:
        return f"{quote(alias)}.{ROW_NAME if ROW_NAME in columns else HIDDEN_ROW_NAME}"
    if isinstance(item, exp.Table) and isinstance(item.this, exp.Identifier):
        parts = [part.name for part in (item.args.get("catalog"), item.args.get("db"), item.this) if part is not None]
        if binder.environment.backend.is_base_table(parts):
            return f"{quote(alias)}.rowid::VARCHAR"
    inner = item.this if isinstance(item, exp.Subquery) else None
    if isinstance(inner, exp.Select) and _keeps_rows(inner):
        inner.append("expressions", exp.alias_(_name(binder, inner), HIDDEN_ROW_NAME))
    else:
        numbered = f"(SELECT (row_number() OVER () - 1)::VARCHAR AS {HIDDEN_ROW_NAME}, * FROM {_bare(binder, item)})"
        joins = item.args.get("joins")
        wrapped = exp.Table(
            this=exp.Var(this=numbered), alias=exp.TableAlias(this=exp.to_identifier(alias, quoted=True))
        )
        wrapped.set("joins", joins)
        holder.set("this", wrapped)
    return f"{quote(alias)}.{HIDDEN_ROW_NAME}"


def _bare(binder: StatementBinder, item: exp.Expr) -> str:
    """A FROM item without the joins that hang on it."""
    alone = item.copy()
    alone.set("joins", None)
    return binder.sql(alone)


def _keeps_rows(select: exp.Select) -> bool:
    """Whether each row of the select is one of its source, or a group of them."""
    return not select.args.get("distinct") and (select.args.get("group") is not None or _group_keys(select) is None)


def _is_table_star(item: exp.Expr) -> bool:
    return isinstance(item, exp.Column) and isinstance(item.this, exp.Star)


def _hide(select: exp.Select, column: str, named: Sequence[str] | None = None) -> None:
    """Leaves a name out of the stars of a select list, where a source has it.

    Args:
      named: the SQL of the names in question; if left out, the sources' text tells.
    """
    tables = [alias for alias, item in _aliases(select) if _has(item, alias, column, named)]
    for item in select.expressions:
        star = item.this if _is_table_star(item) else item
        is_in_it = bool(tables) and (star is item or item.table in tables)
        if isinstance(star, exp.Star) and is_in_it:
            excluded = star.args.get("except_") or []
            if column not in [part.name for part in excluded]:
                star.set("except_", [*excluded, exp.column(column, quoted=True)])


def _aliases(select: exp.Select) -> list[tuple[str, exp.Expr]]:
    return [(item.alias_or_name or _SOURCE, item) for _, item in _sources(select)]


def _has(item: exp.Expr, alias: str, column: str, named: Sequence[str] | None) -> bool:
    if named is None:
        return column in item.sql("duckdb")
    return f"{quote(alias)}.{column}" in named


def _refresh(binder: StatementBinder, select: exp.Select, scope: Scope) -> None:
    """Rebuilds the scope's sources from the select, whose FROM may have got hidden columns."""
    from_clause = select.args["from_"] if select.args.get("from_") is not None else None
    if from_clause is None:
        return
    joins = [*(from_clause.this.args.get("joins") or []), *(select.args.get("joins") or [])]
    scope.sources = [_bare(binder, from_clause.this), *(binder.sources.join_text(join) for join in joins)]
