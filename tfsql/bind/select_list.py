"""Binds the select list of one select: names, ``AS *``, and what of the outermost one is computed on its stream.

An item of the outermost select that is one tensor expression, or one call of a function of this process, has two
forms. In the first the engine calls the function. In the second the engine returns the function's arguments and the
function is called on the batches of its result: no engine then copies what is computed, and a type that only the rows
tell need not be known before them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sqlglot import exp

from tfsql import sugar
from tfsql.bind.forms import is_row
from tfsql.bind.gathering import gather_of, is_gathered
from tfsql.bind.records import KernelUse, OutputColumn, Scan, Stream
from tfsql.bind.scope import Scope
from tfsql.bind.sharing import with_shared_calls
from tfsql.errors import TypeMismatchError
from tfsql.source import PLACEHOLDER_PREFIX, Statement
from tfsql.sugar import SPREAD
from tfsql.tree import Leaf, Record, Spread, Value, leaves_in_order
from tfsql.types import Array, SqlType, Struct, display, tensor_type

if TYPE_CHECKING:
    from tfsql.bind.statement import StatementBinder

_SUBQUERY = re.compile(r"\(\s*(?:SELECT|WITH|FROM|VALUES)\b", re.IGNORECASE)
_COLUMN = re.compile(r'(?:[\w]+|"[^"]+")(?:\.(?:[\w]+|"[^"]+"))*')
_REPEATABLE = re.compile(rf"{_COLUMN.pattern}|CAST\({_COLUMN.pattern} AS [\w\[\], ]+\)")


@dataclass(frozen=True)
class WrittenItem:
    """A select item before binding: its SQL, and the user's own text, which names it if binding changes it."""

    sql: str
    text: str


@dataclass
class BoundItems:
    """The items of one select list.

    Attributes:
      used: the names of all columns that the select mentions, in lower case.
      whole: as the engine computes them.
      streamed: as the engine returns their arguments; for items that are not computed on the stream as in ``whole``.
      spread: the columns of a subquery that are to be unnested.
      inputs: the columns of the stream that hold arguments, by their SQL.
    """

    used: frozenset[str]
    whole: list[exp.Expr] = field(default_factory=list)
    streamed: list[exp.Expr] = field(default_factory=list)
    spread: list[str] = field(default_factory=list)
    inputs: dict[str, str] = field(default_factory=dict)

    def add(self, *items: exp.Expr) -> None:
        self.whole += items
        self.streamed += items


class SelectListBinder:
    """Binds the select lists of one statement.

    Attributes:
      outputs: the columns of the outermost select that are made of its stream, by the column that holds their place.
    """

    def __init__(self, binder: StatementBinder, statement: Statement):
        self._binder = binder
        self._statement = statement
        self.outputs: dict[str, OutputColumn] = {}
        self._outermost: tuple[exp.Select, list[exp.Expr]] | None = None

    def written(self, item: exp.Expr) -> WrittenItem:
        """What the user wrote for a select item, on one line, lifted literals as ``[...]``."""
        sql = self._binder.sql(item)
        metas = [part.meta for part in item.walk() if "start" in part.meta]
        text = sugar.item_text(self._statement, min(m["start"] for m in metas)) if metas else sql
        return WrittenItem(sql, re.sub(rf"\${PLACEHOLDER_PREFIX}\d+", "[...]", " ".join(text.split())))

    def bind(self, node: exp.Select, scope: Scope, written: list[WrittenItem]) -> list[str]:
        """Binds the list in place; the columns of it that are to be unnested."""
        is_outermost = node is self._binder.outermost
        items = BoundItems(frozenset(column.name.lower() for column in node.find_all(exp.Column)))
        for item, as_written in zip(node.expressions, written, strict=True):
            count = len(items.whole)
            with self._binder.located(item):
                _ItemBinder(self, node, item, scope, items, is_outermost=is_outermost).bind(as_written)
            for made in items.whole[count:]:
                if isinstance(made, exp.Alias) and made.alias:
                    scope.aliases[made.alias.lower()] = self._binder.sql(made.this)
        node.set("expressions", items.whole)
        if is_outermost and self.outputs:
            self._outermost = (node, items.streamed)
        return items.spread

    def stream(self) -> Stream | None:
        """The query whose batches the outputs are made of; None if there are no outputs."""
        if self._outermost is None:
            return None
        node, streamed = self._outermost
        whole = node.expressions
        node.set("expressions", streamed)
        sql = self._binder.source.restore(self._binder.sql(node))
        node.set("expressions", whole)
        row = _constant_row(node, streamed)
        if row is None:
            self.outputs = with_shared_calls(self.outputs, self._shared_use)
        parameters = self._binder.prober.used_parameters(sql)
        backend = self._binder.environment.backend
        gather = gather_of(node, streamed, backend, lambda part: self._binder.source.restore(self._binder.sql(part)))
        return Stream(sql, parameters, self.outputs, row, _scan(node, streamed), gather)

    def _shared_use(self, value: Value, parts: Sequence[KernelUse]) -> KernelUse:
        titles = ", ".join(dict.fromkeys(part.column for part in parts if part.column))
        use = self._binder.kernel_use_at(value, parts[0].span, parts[0].scope)
        use = replace(use, parts=tuple(parts), column=titles)
        self._binder.uses.append(use)
        return use


class _ItemBinder:
    """Binds one item of a select list."""

    def __init__(
        self,
        lists: SelectListBinder,
        select: exp.Select,
        item: exp.Expr,
        scope: Scope,
        items: BoundItems,
        *,
        is_outermost: bool,
    ):
        self._lists = lists
        self._binder = lists._binder
        self._select = select
        self._item = item
        self._scope = scope
        self._items = items
        self._is_outermost = is_outermost

    def bind(self, written: WrittenItem) -> None:
        item = self._item
        node = item.this if isinstance(item, exp.Alias) else item
        if isinstance(item, exp.Alias) and item.alias == SPREAD:
            self._binder.is_changed = True
            self._bind_spread(node)
            return
        name = item.alias if isinstance(item, exp.Alias) else written.text
        use = self._use(node, name, is_spread=False)
        if use is None:
            self._items.add(self._plain(node, name, written))
            return
        use = replace(use, column=name)
        self._binder.uses.append(use)
        self._output(use, name, _aliased(use.call, name), is_spread=False)

    def _plain(self, node: exp.Expr, name: str, written: WrittenItem) -> exp.Expr:
        """An item that the engine computes."""
        count = len(self._binder.uses)
        bound = self._binder.expression(node, self._scope)
        if isinstance(bound, exp.Var) and len(self._binder.uses) > count:
            self._binder.uses[-1] = replace(self._binder.uses[-1], column=name)
        if isinstance(self._item, exp.Alias):
            self._item.set("this", bound)
            return self._item
        is_star = isinstance(bound, exp.Star | exp.Columns) or isinstance(bound.this, exp.Star)
        is_as_written = is_star or self._binder.sql(bound) == written.sql
        return bound if is_as_written else exp.alias_(bound, name, quoted=True)

    # -- AS * --------------------------------------------------------------------------------------------------------

    def _bind_spread(self, node: exp.Expr) -> None:
        """``expr AS *``: a row by field name, a tensor by index path."""
        while isinstance(node, exp.Paren):
            node = node.this
        if is_row(node):
            self._items.add(*(_aliased(sql, name) for name, sql in self._binder.row_columns(node, self._scope)))
            return
        use = self._use(node, SPREAD, is_spread=True)
        if use is not None:
            _check_spread(use.kernel.result, is_known=use.kernel.is_typed)
            self._binder.uses.append(use)
            self._output(use, "", None, is_spread=True)
            return
        value = self._binder.tensors.value(node, self._scope)
        if value is None or isinstance(value, Leaf):
            self._spread_engine_value(node)
        elif self._is_outermost:
            self._spread_late(self._binder.kernel_call(value, node, self._scope))
        else:
            self._spread_struct(value, node)

    def _spread_engine_value(self, node: exp.Expr) -> None:
        sql = self._binder.argument_sql(node, self._scope)
        kind = self._scope.type_of(sql)
        has_subquery = _SUBQUERY.search(sql) is not None
        if isinstance(kind, Struct) and not has_subquery:
            self._items.add(exp.Var(this=f"unnest({sql})"))
        elif isinstance(kind, Struct) and not self._is_outermost:
            self._unnest_outside(sql)
        elif self._is_outermost:
            self._spread_late(sql)
        else:
            _check_spread(kind)
            self._spread_struct(self._binder.tensors.leaf_of(sql, self._scope), node)

    def _spread_late(self, sql: str) -> None:
        """A column that the engine computes, spread when the result is there."""
        kind = self._scope.type_of(sql)
        _check_spread(kind)
        place = f"{SPREAD}:{len(self._lists.outputs)}"
        self._lists.outputs[place] = OutputColumn("", (place,), None, kind, is_spread=True)
        self._items.add(_aliased(sql, place))

    def _spread_struct(self, value: Value, node: exp.Expr) -> None:
        """A column of a subquery, spread by the engine."""
        tensor = None if isinstance(value, Record) else self._binder.tensors.single(value)
        if tensor is not None and tensor.type.shape == ():
            raise TypeMismatchError(f"AS * spreads a row or a tensor into columns, but this is one {tensor.type}")
        if tensor is not None and not tensor.type.is_fixed:
            raise TypeMismatchError(
                f"AS * in a subquery needs a shape that is known before running, but this is {tensor.type}",
                hint="Cast it: (...)::FLOAT[28][28]",
            )
        spread = value if tensor is None else Spread(tensor)
        self._unnest_outside(self._binder.kernel_call(spread, node, self._scope))

    def _unnest_outside(self, sql: str) -> None:
        """A row that is unnested by a select around this one: no engine unnests a subquery, or computes a call once."""
        name = f"{SPREAD}:{len(self._items.spread)}"
        self._items.spread.append(name)
        self._items.add(_aliased(sql, name))

    # -- the stream --------------------------------------------------------------------------------------------------

    def _use(self, node: exp.Expr, name: str, *, is_spread: bool) -> KernelUse | None:
        """The call that the whole item is, where it may be made on the stream; None where it may not."""
        if not (self._is_outermost and _is_free(self._select, name, self._items.used)):
            return None
        host = self._host_call(node)
        if host is not None:
            return self._binder.hosts.bound(host, self._scope, is_late=True)
        value = self._binder.tensors.value(node, self._scope)
        if value is None or isinstance(value, Leaf):
            return None
        if not is_spread and not self._is_cheap_to_pass(value):
            return None
        with self._binder.located(node):
            return self._binder.kernel_use(value, node, self._scope)

    def _is_cheap_to_pass(self, value: Value) -> bool:
        """Whether the engine had better pass on arguments than results; of all rows sorted, only numbers of rows."""
        select = self._select
        if select.args.get("order") is None or select.args.get("limit") is not None:
            return True
        leaves = [leaf.sql for leaf in leaves_in_order(value)]
        return is_gathered(select, leaves, self._scope, self._binder.environment.backend)

    def _host_call(self, node: exp.Expr) -> exp.Expr | None:
        """The call of a function of this process that the whole item is."""
        inner: exp.Expr | None = node
        while inner is not None and not self._binder.hosts.is_call(inner):
            inner = inner.this if isinstance(inner, exp.Paren) else self._binder.inlined(inner)
        return inner

    def _output(self, use: KernelUse, title: str, whole: exp.Expr | None, *, is_spread: bool) -> None:
        """Puts a call on the stream: its arguments are returned, the first in the place of the result."""
        place = f"{SPREAD}:{len(self._lists.outputs)}"
        kind = use.kernel.result if use.kernel.is_typed else None
        inputs: list[str] = []
        streamed: list[exp.Expr] = []
        for sql in use.leaves:
            column = self._items.inputs.get(sql)
            if column is None:
                column = f"{place}:{len(streamed)}" if streamed else place
                streamed.append(_aliased(sql, column))
                if _REPEATABLE.fullmatch(sql):  # anything else may have another value each time: random()
                    self._items.inputs[sql] = column
            inputs.append(column)
        streamed = streamed or [_aliased("0", place)]
        self._lists.outputs[place] = OutputColumn(title, tuple(inputs) or (place,), use, kind, is_spread=is_spread)
        self._items.whole += [whole] if whole is not None and kind is not None else streamed
        self._items.streamed += streamed


def _check_spread(kind: SqlType, *, is_known: bool = True) -> None:
    """Refuses to spread a scalar."""
    is_tensor = isinstance(kind, Array) and tensor_type(kind) is not None
    if is_known and not (is_tensor or isinstance(kind, Struct)):
        scalar = tensor_type(kind)
        shown = display(kind) if scalar is None else f"one {scalar}"
        raise TypeMismatchError(f"AS * spreads a row or a tensor into columns, but this is {shown}")


def _is_free(select: exp.Select, name: str, used: frozenset[str]) -> bool:
    """Whether no other part of a select hangs on the value of its item ``name``: grouping, ordering, other items.

    Args:
      used: the names of all columns that the select mentions, in lower case.
    """
    group = select.args.get("group")
    order = select.args.get("order")
    if select.args.get("distinct") or (group is not None and (group.args.get("all") or not group.expressions)):
        return False
    keys = [*(group.expressions if group is not None else []), *(o.this for o in (order.expressions if order else []))]
    if any(isinstance(key, exp.Literal) or key.name.upper() == "ALL" for key in keys):
        return False
    return name.lower() not in used


def _scan(node: exp.Select, streamed: list[exp.Expr]) -> Scan | None:
    """The scan that a select is, whose items are columns of one Python variable."""
    source = node.args["from_"].this if node.args.get("from_") is not None else None
    if _parts(node) != {"expressions", "from_"} or not isinstance(source, exp.Table):
        return None
    table = re.fullmatch(r'"(\w+)"', source.this.name) if isinstance(source.this, exp.Var) else None
    columns = [_source_column(item, source.alias) for item in streamed]
    if table is None or _parts(source) != {"this", "alias"} or source.args["alias"].args.get("columns"):
        return None
    return None if None in columns else Scan(table.group(1), tuple(column for column in columns if column is not None))


def _parts(node: exp.Expr) -> set[str]:
    """The names of the parts that a node has."""
    return {name for name, part in node.args.items() if part}


def _source_column(item: exp.Expr, alias: str) -> tuple[str, str | None] | None:
    """Name of an item, and the column of the table ``alias`` that it is or None for a place; None for any other."""
    text = item.unalias().sql("duckdb")
    if text == "0" and item.alias:
        return item.alias, None
    match = _COLUMN.fullmatch(text)
    parts = [part.strip('"') for part in re.findall(r'"[^"]+"|\w+', text)] if match else []
    if len(parts) == 2 and parts[0].lower() == alias.lower():
        parts = parts[1:]
    return (item.alias or parts[0], parts[0]) if len(parts) == 1 else None


def _constant_row(node: exp.Select, streamed: list[exp.Expr]) -> dict[str, int | str] | None:
    """The row of a select without FROM whose items are literals or hold the place of a call without arguments."""
    if any(part for key, part in node.args.items() if key != "expressions"):
        return None
    row: dict[str, int | str] = {}
    for item in streamed:
        value = item.unalias()
        while isinstance(value, exp.Paren):
            value = value.this
        if isinstance(value, exp.Literal) and value.is_string:
            row[item.alias] = str(value.this)
        elif isinstance(value, exp.Var) and value.name == "0":
            row[item.alias] = 0
        else:
            return None
    return row if len(row) == len(streamed) else None


def _aliased(sql: str, name: str) -> exp.Expr:
    return exp.alias_(exp.Var(this=sql), name, quoted=True)
