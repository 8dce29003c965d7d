"""FROM items that DuckDB does not know: sample, row_dataset, atom_dataset, read_idx, the catalogue, the settings."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from tfsql import access, flatten
from tfsql.bind.literals import NotConstantError, python_value
from tfsql.bind.row_names import carry
from tfsql.bind.scope import HIDDEN_ROW_NAME, Scope
from tfsql.errors import BindError, TypeMismatchError, did_you_mean
from tfsql.types import quote

if TYPE_CHECKING:
    from tfsql.bind.statement import StatementBinder

_SAMPLE_OPTIONS = {"rows": int, "fraction": float, "withReplacement": bool, "seed": int}


def table_function(binder: StatementBinder, node: exp.Expr, name: str, scope: Scope) -> str | None:
    """The SQL query that stands for a call of one of tfsql's table functions, or None if it is none of them."""
    function = _TABLE_FUNCTIONS.get(name)
    return None if function is None else function(binder, node, scope)


def _given(node: exp.Expr) -> list[exp.Expr]:
    if isinstance(node, exp.Anonymous):
        return list(node.expressions)
    return [part for part in (node.this, *node.expressions) if isinstance(part, exp.Expr)]


def _constant(binder: StatementBinder, node: exp.Expr) -> Any:
    def evaluate(part: exp.Expr) -> Any:
        if isinstance(part, exp.Placeholder):
            constant = binder.parameter_value(str(part.this))
            return constant
        if next(part.find_all(exp.Column, exp.Select), None) is not None:
            raise NotConstantError
        return binder.evaluate(binder.sql(part))

    try:
        return python_value(node, evaluate)
    except NotConstantError:
        raise BindError(f"{binder.sql(node)} must be constant here") from None


# -- sample ------------------------------------------------------------------------------------------------------------


def _sample(binder: StatementBinder, node: exp.Expr, scope: Scope) -> str:
    """``sample(table_or_(subquery), {rows, fraction, withReplacement, seed})``: rows at random, in table order."""
    given = _given(node)
    if not given or len(given) > 2:
        raise BindError("sample takes a table or a (subquery), and a row of options", hint="sample(digits, {rows: 25})")
    options = _sample_options(binder, given[1] if len(given) == 2 else None)
    source = _relation(binder, given[0], scope)
    seed = options.get("seed")
    draw = f"md5('{int(seed)}:' || tfsql_n)" if seed is not None else "random()"
    numbered = f"SELECT row_number() OVER () - 1 AS tfsql_n, tfsql_t.* FROM {source} AS tfsql_t"
    count = _sample_count(options)
    if options.get("withReplacement"):
        # The i-th draw is a position in the table: a hash of seed and i, or a random number.
        number = (
            f"('0x' || md5('{int(seed)}:' || i)[1:15])::UBIGINT" if seed is not None else "(random() * 1e15)::UBIGINT"
        )
        return (
            f"(WITH tfsql_all AS MATERIALIZED ({numbered}), tfsql_size AS (SELECT count(*) AS n FROM tfsql_all), "
            f"tfsql_draws AS MATERIALIZED (SELECT i, ({number} % greatest(n, 1))::BIGINT AS tfsql_n "
            f"FROM tfsql_size, range({count.replace('tfsql_count', 'n')}) AS r(i) WHERE n > 0) "
            "SELECT tfsql_all.* EXCLUDE (tfsql_n) FROM tfsql_draws JOIN tfsql_all USING (tfsql_n) ORDER BY i)"
        )
    limit = (
        count if "tfsql_count" not in count else f"(SELECT {count} FROM (SELECT count(*) AS tfsql_count FROM {source}))"
    )
    return (
        f"(SELECT * EXCLUDE (tfsql_n, tfsql_draw) FROM (SELECT *, {draw} AS tfsql_draw FROM ({numbered}) "
        f"ORDER BY tfsql_draw LIMIT {limit}) ORDER BY tfsql_n)"
    )


def _sample_options(binder: StatementBinder, node: exp.Expr | None) -> dict[str, Any]:
    options = {} if node is None else _constant(binder, node)
    if not isinstance(options, dict):
        raise TypeMismatchError("The options of sample are a row", hint="sample(digits, {rows: 25, seed: 7})")
    for name, value in options.items():
        if name not in _SAMPLE_OPTIONS:
            known = ", ".join(_SAMPLE_OPTIONS)
            raise BindError(
                f'sample has no option "{name}". Options are: {known}', hint=did_you_mean(name, _SAMPLE_OPTIONS)
            )
        kind = _SAMPLE_OPTIONS[name]
        is_right = isinstance(value, int | float) if kind is float else isinstance(value, kind)
        if not is_right or (isinstance(value, bool) and kind is not bool):
            raise TypeMismatchError(f"sample: {name} takes a {kind.__name__}, not {value!r}")
    if "rows" in options and "fraction" in options:
        raise BindError("sample takes rows or fraction, not both")
    if options.get("rows", 1) < 0:
        raise TypeMismatchError(f"sample: rows is at least 0, not {options['rows']}")
    if not 0 <= options.get("fraction", 0) <= 1:
        raise TypeMismatchError(f"sample: fraction is between 0 and 1, not {options['fraction']}")
    return options


def _sample_count(options: dict[str, Any]) -> str:
    if "fraction" in options:
        return f"ceil(tfsql_count * {options['fraction']})::BIGINT"
    return str(options.get("rows", 1))


def _relation(binder: StatementBinder, node: exp.Expr, scope: Scope) -> str:
    """A table argument, which is a name, a file or a query in parentheses, as a FROM item."""
    if isinstance(node, exp.Column):
        parts = [part.copy() for part in node.parts]
        table = exp.Table(this=parts[-1], db=parts[-2] if len(parts) > 1 else None)
        return _as_relation(binder, table, scope)
    if isinstance(node, exp.Literal) and node.is_string:
        return _as_relation(binder, exp.Table(this=exp.to_identifier(node.this, quoted=True)), scope)
    if isinstance(node, exp.Paren):
        return _relation(binder, node.this, scope)
    if isinstance(node, exp.Subquery | exp.Select):
        return _bound_relation(binder, node.this if isinstance(node, exp.Subquery) else node, scope)
    if isinstance(node, exp.Func | exp.Table):
        table = node if isinstance(node, exp.Table) else exp.Table(this=node)
        return _as_relation(binder, table, scope)
    raise BindError(f"A table or a (subquery) is wanted, not {binder.sql(node)}")


def _as_relation(binder: StatementBinder, table: exp.Table, scope: Scope) -> str:
    return _bound_relation(binder, exp.Select(expressions=[exp.Star()], from_=exp.From(this=table)), scope)


def _bound_relation(binder: StatementBinder, query: exp.Expr, scope: Scope) -> str:
    """A query as a FROM item, the names of its rows with it where the statement asks for names."""
    subquery = exp.Subquery(this=carry(query, HIDDEN_ROW_NAME) if binder.wants_row_names else query)
    binder.query(subquery.this, scope)
    return binder.sql(subquery)


# -- rows as tables ----------------------------------------------------------------------------------------------------


def _row_dataset(binder: StatementBinder, node: exp.Expr, scope: Scope) -> str:
    return _unpivoted(binder, node, scope, flatten.top_level)


def _atom_dataset(binder: StatementBinder, node: exp.Expr, scope: Scope) -> str:
    return _unpivoted(binder, node, scope, flatten.leaves)


def _unpivoted(binder: StatementBinder, node: exp.Expr, scope: Scope, parts_of: Callable[..., tuple[str, str]]) -> str:
    given = _given(node)
    if len(given) != 1:
        raise BindError("row_dataset and atom_dataset take one row", hint="row_dataset({x: 1, y: 2})")
    row = binder.sql(binder.expression(given[0], scope))
    paths, values = parts_of("tfsql_row", scope.type_of(row))
    return f'(SELECT unnest({paths}) AS "column", unnest({values}) AS "value" FROM (SELECT {row} AS tfsql_row))'


# -- files -------------------------------------------------------------------------------------------------------------


def _read_idx(binder: StatementBinder, node: exp.Expr, scope: Scope) -> str:
    given = _given(node)
    path = _constant(binder, given[0]) if len(given) == 1 else None
    if not isinstance(path, str):
        raise BindError("read_idx takes one path", hint="read_idx('t10k-images-idx3-ubyte.gz')")
    from tfsql.idx import read_idx

    return quote(binder.register_table(read_idx(access.checked(os.path.expanduser(path)))))


def _tf_operators(binder: StatementBinder, node: exp.Expr, scope: Scope) -> str:
    if _given(node):
        raise BindError(
            "tf_operators takes no arguments", hint="SELECT * FROM tf_operators() WHERE name ILIKE '%conv%'"
        )
    from tfsql.registry.catalogue import operators_table

    return quote(binder.register_table(operators_table()))


def _settings(binder: StatementBinder, node: exp.Expr, scope: Scope) -> str:
    if _given(node):
        raise BindError("tfsql_settings takes no arguments")
    return quote(binder.register_table(binder.environment.settings.table()))


_TABLE_FUNCTIONS: dict[str, Callable[[StatementBinder, exp.Expr, Scope], str]] = {
    "sample": _sample,
    "row_dataset": _row_dataset,
    "atom_dataset": _atom_dataset,
    "read_idx": _read_idx,
    "tf_operators": _tf_operators,
    "tfsql_settings": _settings,
}
TABLE_FUNCTION_NAMES = frozenset(_TABLE_FUNCTIONS)
