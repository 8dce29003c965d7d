"""``rowName()`` and ``rowHash()``: what a row is called, and a stable hash of that.

A stored table's rows are named by their position (DuckDB's ``rowid``), a file's by their position in it, groups by
their key as a JSON array, joined rows by both names, the one row of a query without FROM is ``result``. A column
``_rowName``, which NAMED makes, is the name. A row of a subquery keeps its name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from tfsql.bind.scope import HIDDEN_ROW_NAME, Scope
from tfsql.sugar import ROW_NAME
from tfsql.types import quote

if TYPE_CHECKING:
    from tfsql.bind.statement import StatementBinder

_SOURCE = "tfsql_source"
_FUNCTIONS = ("rowname", "rowhash")


def resolve(binder: StatementBinder, select: exp.Select, scope: Scope) -> None:
    """Replaces the calls of ``rowName()`` and ``rowHash()`` in a select whose FROM is bound."""
    wanted = set(_FUNCTIONS) - set(binder.environment.functions)
    calls = [call for call in _own_calls(select) if call.name.lower() in wanted]
    if not calls:
        return
    binder.is_changed = True
    name = _name(binder, select)
    _refresh(binder, select, scope)
    for call in calls:
        is_hash = str(call.this).lower() == "rowhash"
        call.replace(exp.Var(this=hash_of(name) if is_hash else f"({name})"))


def hash_of(name: str) -> str:
    """SQL of the stable 64-bit hash of a name: the first 16 hexadecimal digits of its MD5 sum."""
    return f"('0x' || md5({name})[1:16])::UBIGINT"


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


def _name(binder: StatementBinder, select: exp.Select) -> str:
    """SQL of the name of a select's rows; sources get a hidden column where they have no name of their own."""
    sources = _sources(select)
    if not sources:
        return "'result'"
    group = select.args.get("group")
    if group is not None:
        keys = [binder.sql(key) for key in group.expressions]
        return f"json_array({', '.join(keys)})::VARCHAR" if keys else "'[]'"
    names = [_source_name(binder, holder, item) for holder, item in sources]
    if any(isinstance(item, exp.Star) or _is_table_star(item) for item in select.expressions):
        _hide(select)
    return names[0] if len(names) == 1 else " || '-' || ".join(f"'[' || {name} || ']'" for name in names)


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
        name = _name(binder, inner)
        inner.append("expressions", exp.alias_(exp.Var(this=name), HIDDEN_ROW_NAME))
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
    has_aggregate = any(isinstance(part, exp.AggFunc) for item in select.expressions for part in item.walk())
    return not select.args.get("distinct") and (not has_aggregate or select.args.get("group") is not None)


def _is_table_star(item: exp.Expr) -> bool:
    return isinstance(item, exp.Column) and isinstance(item.this, exp.Star)


def _hide(select: exp.Select) -> None:
    """Leaves the hidden name out of the stars of a select list."""
    for item in select.expressions:
        star = item.this if _is_table_star(item) else item
        if isinstance(star, exp.Star) and _has_hidden(select):
            excluded = star.args.get("except_") or []
            star.set("except_", [*excluded, exp.column(HIDDEN_ROW_NAME)])


def _has_hidden(select: exp.Select) -> bool:
    return any(HIDDEN_ROW_NAME in item.sql("duckdb") for _, item in _sources(select))


def _refresh(binder: StatementBinder, select: exp.Select, scope: Scope) -> None:
    """Rebuilds the scope's sources from the select, whose FROM may have got hidden columns."""
    from_clause = select.args["from_"] if select.args.get("from_") is not None else None
    if from_clause is None:
        return
    joins = [*(from_clause.this.args.get("joins") or []), *(select.args.get("joins") or [])]
    scope.sources = [_bare(binder, from_clause.this), *(binder.sources.join_text(join) for join in joins)]
