"""FROM items: tables, files, views with operators, Python variables, table functions, joins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from tfsql.bind.forms import function_name
from tfsql.bind.scope import Scope
from tfsql.bind.tables import table_function
from tfsql.types import quote

if TYPE_CHECKING:
    from tfsql.bind.statement import StatementBinder


class SourceBinder:
    """Binds the FROM items of one statement."""

    def __init__(self, binder: StatementBinder):
        self._binder = binder

    def add(self, holder: exp.Expr, key: str, scope: Scope, lead: str) -> None:
        item = holder.args[key]
        nested = item.args.get("joins") or [] if isinstance(item, exp.Table | exp.Subquery) else []
        item.set("joins", None)
        holder.set(key, self.item(item, scope))
        scope.sources.append(f"{lead}{self._binder.sql(holder.args[key])}")
        for join in nested:
            self.join(join, scope)
        if nested:
            holder.args[key].set("joins", nested)

    def join(self, join: exp.Expr, scope: Scope) -> None:
        if not isinstance(join, exp.Join):
            join.replace(self.item(join, scope))
            scope.sources.append(f", {self._binder.sql(join)}")
            return
        if not isinstance(join.this, exp.Subquery | exp.Table | exp.Lateral | exp.Unnest | exp.Values):
            self._binder.children(join, scope)
        else:
            join.set("this", self.item(join.this, scope))
        condition = join.args.get("on")
        if condition is None:
            scope.sources.append(self.join_text(join))
            return
        plain = exp.Join(this=join.this.copy(), on=exp.true())  # SEMI and ANTI joins show their right side to ON alone
        scope.sources.append(self.join_text(plain))
        join.set("on", self._binder.expression(condition, scope))
        scope.sources[-1] = self.join_text(join)

    def join_text(self, join: exp.Join) -> str:
        text = self._binder.sql(join).strip()
        return text if text.startswith(",") or "JOIN" in text.split("(")[0].upper() else f", {text}"

    def item(self, node: exp.Expr, scope: Scope) -> exp.Expr:
        """A FROM item with its tensor calls, tfsql's own table functions, views and variables resolved."""
        if isinstance(node, exp.Subquery):
            self._binder.query(node, None)
            return node
        if isinstance(node, exp.Lateral):
            if isinstance(node.this, exp.Subquery | exp.Select):
                self._binder.query(node.this, scope)
            else:
                self._binder.children(node, scope)
            return node
        if not isinstance(node, exp.Table):
            self._binder.children(node, scope)
            return node
        with self._binder.located(node):
            if isinstance(node.this, exp.Func):
                return self._table_function(node, scope)
            return self._named_table(node)

    def _table_function(self, node: exp.Table, scope: Scope) -> exp.Expr:
        name = function_name(node.this)
        made = table_function(self._binder, node.this, name, scope)
        if made is not None:
            self._binder.is_changed = True
            return self._replaced(node, made, default_alias=name)
        if name in ("read_parquet", "parquet_scan") and [*node.this.expressions, node.this.this]:
            return self._with_file_types(node, self._first_path(node.this), name)
        self._binder.children(node.this, scope)
        return node

    def _first_path(self, call: exp.Expr) -> str:
        """The first path that a call names, as text or as a parameter; empty where it names none."""
        for part in call.walk():
            value = part.this if isinstance(part, exp.Literal) and part.is_string else None
            if isinstance(part, exp.Placeholder):
                value = self._binder.parameter_value(str(part.this))
            while isinstance(value, list | tuple) and value:
                value = value[0]
            if isinstance(value, str):
                return value
        return ""

    def _named_table(self, node: exp.Table) -> exp.Expr:
        name = node.name
        is_plain = not node.args.get("db")
        if is_plain and name.lower() in (cte.split("(")[0].strip().strip('"').lower() for cte, _ in self._binder.ctes):
            return node
        parts = [part.name for part in (node.args.get("catalog"), node.args.get("db"), node.this) if part is not None]
        view = self._binder.environment.view(parts)
        if view is not None:
            return self._replaced(node, f"({self._binder.inlined_view(view)})", default_alias=name)
        if not is_plain:
            return node
        variable = self._binder.environment.variables(name)
        if variable is not None:
            self._binder.is_changed = True
            return self._replaced(node, quote(variable), default_alias=name)
        return self._with_file_types(node, name, _stem(name)) if is_parquet(name) else node

    def _replaced(self, node: exp.Table, sql: str, default_alias: str) -> exp.Table:
        """A table node whose text is ``sql``; alias, sampling and the rest stay."""
        self._binder.is_changed = True
        made = node.copy()
        made.set("this", exp.Var(this=sql))
        made.set("db", None)
        made.set("catalog", None)
        if made.args.get("alias") is None:
            made.set("alias", exp.TableAlias(this=exp.to_identifier(default_alias, quoted=True)))
        return made

    def _with_file_types(self, node: exp.Table, path: str, default_alias: str) -> exp.Expr:
        """A Parquet scan whose list columns are ARRAYs again, as its metadata says: Parquet itself has only lists."""
        types = self._binder.environment.file_types(path) if path else {}
        if not types:
            return node
        casts = ", ".join(f"{made} AS {quote(name)}" for name, made in types.items())
        scan = self._binder.sql(node.this)
        return self._replaced(node, f"(SELECT * REPLACE ({casts}) FROM {scan})", default_alias)


def is_parquet(name: str) -> bool:
    """Whether a table name is the path of a Parquet file."""
    return name.lower().split("?")[0].endswith((".parquet", ".parq", ".pq"))


def _stem(path: str) -> str:
    return path.rsplit("/", 1)[-1].split(".")[0]
