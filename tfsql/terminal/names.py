"""The names that SQL can use on a connection, with a line on each: tables, columns, functions, operators, settings."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING

from tfsql.bind.helpers import HELPERS
from tfsql.errors import TfsqlError
from tfsql.library import LIBRARY
from tfsql.settings import SETTINGS
from tfsql.types import quote

if TYPE_CHECKING:
    from tfsql.registry import Attribute, OperatorSpec
    from tfsql.session import Connection

PREFIX = "tf_"
_COLUMNS = """
SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE NOT internal ORDER BY table_name, column_index
"""
_FUNCTIONS = """
SELECT function_name, coalesce(max(description), ''), bool_or(function_type IN ('table', 'table_macro'))
FROM duckdb_functions()
WHERE function_name SIMILAR TO '[a-z]\\w*' AND function_name NOT SIMILAR TO '(tfsql|icu_collate).*'
GROUP BY ALL ORDER BY 1
"""
_SETTINGS = "SELECT name, description FROM duckdb_settings() ORDER BY name"
_KEYWORDS = "SELECT upper(keyword_name) FROM duckdb_keywords() WHERE keyword_category = 'reserved'"
# Words that begin statements or clauses without being reserved.
_MORE_KEYWORDS = (
    *(
        "BY",
        "CREATE VIEW",
        "DELETE",
        "DROP",
        "EXCLUDING",
        "EXPLAIN",
        "EXPLAIN ANALYZE",
        "FUNCTION",
        "INSERT INTO",
        "JOIN",
    ),
    *("NAMED", "OVER", "PARTITION BY", "REPLACE", "SET", "SHOW FUNCTIONS", "SHOW TABLES", "UPDATE", "VALUES", "VIEW"),
    *("BETWEEN", "COPY", "EXISTS", "IF", "IS", "JOIN", "LEFT", "LIKE", "RESET", "DESCRIBE FUNCTION"),
)


@dataclass(frozen=True)
class Named:
    """A name and what there is to say of it in one line."""

    name: str
    summary: str = ""


class Names:
    """The names of a connection as they were when first asked for."""

    def __init__(self, connection: Connection):
        self._connection = connection
        self._columns: dict[str, list[Named]] = {}

    def forget(self) -> None:
        """Asks anew for what a statement may have changed."""
        self._columns.clear()
        for name in ("tables", "all_columns", "functions"):
            self.__dict__.pop(name, None)

    def load(self) -> None:
        """Reads now what takes longest, without a query: one may be running."""
        _ = self.operators, list(LIBRARY.values())

    def _rows(self, sql: str) -> list[tuple[str, ...]]:
        with suppress(TfsqlError):
            return self._connection.backend.execute(sql, {}).fetchall()
        return []

    @cached_property
    def tables(self) -> list[Named]:
        """Tables and views, with their columns' names."""
        found: dict[str, list[str]] = {}
        for table, column, _ in self._rows(_COLUMNS):
            found.setdefault(table, []).append(column)
        return [Named(_identifier(table), ", ".join(columns)) for table, columns in found.items()]

    @cached_property
    def all_columns(self) -> list[Named]:
        """The columns of all tables, with their types."""
        return [Named(_identifier(column), f"{kind} in {table}") for table, column, kind in self._rows(_COLUMNS)]

    def columns_of(self, table: str) -> list[Named]:
        """The columns of a table, view or file, with their types; none where it cannot be read.

        Args:
          table: as SQL has it behind FROM.
        """
        if table not in self._columns:
            made: list[Named] = []
            with suppress(TfsqlError):
                relation = self._connection.sql(f"SELECT * FROM {table}")
                if relation is not None:
                    shown = zip(relation.columns, relation.types, strict=True)
                    made = [Named(_identifier(name), kind) for name, kind in shown]
            self._columns[table] = made
        return self._columns[table]

    @cached_property
    def table_functions(self) -> list[Named]:
        """Functions that stand behind FROM."""
        ours = [Named("read_idx", "Pictures or labels in the IDX format"), Named("tf_operators", "The operators")]
        return ours + [Named(name, text) for name, text, is_table in self._rows(_FUNCTIONS) if is_table]

    @cached_property
    def functions(self) -> list[Named]:
        """Functions besides TensorFlow's operators: of tfsql, of the user, of the library, of DuckDB."""
        connection = self._connection
        mine = [Named(f.name, _sentence(f.doc or f.body)) for f in connection.functions.values()]
        mine += [Named(f.name, _sentence(f.doc)) for f in connection.host_functions.values()]
        mine += [Named(o.sql_name, _sentence(o.doc)) for o in connection.operators.values()]
        mine += [Named(name, "of tfsql") for name in HELPERS]
        theirs = [Named(name, _sentence(text)) for name, text, is_table in self._rows(_FUNCTIONS) if not is_table]
        known = {named.name for named in mine}
        return sorted(mine, key=lambda named: named.name) + [named for named in theirs if named.name not in known]

    @cached_property
    def settings(self) -> list[Named]:
        """Settings of tfsql and of DuckDB."""
        ours = [Named(setting.name, setting.description) for setting in SETTINGS.values()]
        return ours + [Named(name, _sentence(text)) for name, text in self._rows(_SETTINGS)]

    @cached_property
    def keywords(self) -> list[Named]:
        """Keywords in capitals."""
        return [Named(word) for word in sorted({*_MORE_KEYWORDS, *(word for (word,) in self._rows(_KEYWORDS))})]

    @property
    def operators(self) -> list[Named]:
        """TensorFlow's operators that a query can call; none as long as TensorFlow is not loaded."""
        return _operators() if has_tensorflow() else []

    def parameters_of(self, function: str) -> list[Named]:
        """The parameters of what a call names: inputs and attributes of an operator, each with what it takes."""
        key = function.lower()
        connection = self._connection
        if key in connection.functions:
            return [Named(name, f"= {default}" if default else "") for name, default in _parameters(connection, key)]
        if key in connection.operators:
            made = connection.operators[key]
            return [Named(p.name, f"= {p.default}" if p.is_optional else "") for p in (*made.inputs, *made.attributes)]
        spec = operator(function)
        return [] if spec is None else list(_operator_parameters(spec))

    def values_of(self, function: str, parameter: str) -> list[Named] | None:
        """The values that an attribute of an operator may have, as SQL has them; None for what is no attribute."""
        spec = operator(function)
        attribute = None if spec is None else next((a for a in spec.attributes if a.name == parameter), None)
        return None if spec is None or attribute is None else list(_attribute_values(spec, attribute))


def _attribute_values(spec: OperatorSpec, attribute: Attribute) -> Iterator[Named]:
    """All values of an attribute that has few; an example of a list."""
    default = attribute.default
    if attribute.allowed:
        yield from (Named(f"'{value}'", "default" if value == default else "") for value in attribute.allowed)
    elif attribute.kind == "bool":
        yield from (Named(word, "default" if word == str(default).lower() else "") for word in ("true", "false"))
    elif isinstance(default, list | tuple) and default:
        yield Named(str(list(default)), "default")
    elif attribute.kind == "list(int)":
        yield from (Named(str([1] * length), "for example") for length in _lengths(spec, attribute))


def _lengths(spec: OperatorSpec, attribute: Attribute) -> list[int]:
    """The length of a list that TensorFlow's documentation names."""
    from tfsql.registry.docs import argument_texts

    text = argument_texts(spec.sql_name.removeprefix(PREFIX)).get(attribute.name, "")
    return [int(digit) for digit in re.findall(r"length (?:>= )?(\d)", text)[:1]]


def _parameters(connection: Connection, key: str) -> list[tuple[str, str | None]]:
    return list(connection.functions[key].parameters)


def has_tensorflow() -> bool:
    """Whether TensorFlow's operators can be asked for without a wait."""
    registry = sys.modules.get("tfsql.registry")
    return registry is not None and hasattr(registry, "written_inputs")


def operator(name: str) -> OperatorSpec | None:
    """The operator that SQL calls by this name; None if there is none, or TensorFlow is not loaded."""
    if not name.startswith(PREFIX) or not has_tensorflow():
        return None
    from tfsql.registry import operator_spec

    return operator_spec(name.removeprefix(PREFIX))


@cache
def _operators() -> list[Named]:
    from tfsql.registry import REFUSED, operator_spec, verdict, wrapped_names

    specs = [operator_spec(name) for name in wrapped_names() if verdict(name).status != REFUSED]
    return [Named(spec.sql_name, _sentence(spec.summary)) for spec in specs if spec is not None]


def _operator_parameters(spec: OperatorSpec) -> Iterator[Named]:
    """Inputs, then attributes: those that must be given first, those that follow the inputs last."""
    from tfsql.registry import NO_DEFAULT
    from tfsql.registry.catalogue import argument_type
    from tfsql.registry.docs import argument_texts
    from tfsql.terminal.ops import attribute_type, without_type

    texts: Mapping[str, str] = argument_texts(spec.sql_name.removeprefix(PREFIX))
    for argument in spec.inputs:
        yield Named(
            argument.name, _line(f"input {argument_type(argument)}", without_type(texts.get(argument.name, "")))
        )
    order = sorted(spec.attributes, key=lambda a: (a.is_inferred, a.default is not NO_DEFAULT))
    for attribute in order:
        yield Named(attribute.name, _line(attribute_type(attribute), without_type(texts.get(attribute.name, ""))))


def _identifier(name: str) -> str:
    """A name as SQL has it: in quotes if it must be."""
    return name if re.fullmatch(r"[^\W\d]\w*", name) else quote(name)


def _line(kind: str, text: str) -> str:
    return f"{kind}. {_sentence(text)}" if text else kind


def _sentence(text: str | None) -> str:
    """The first sentence of a text, on one line, without marks of Markdown."""
    line = " ".join((text or "").replace("`", "").split())
    return line.partition(". ")[0].rstrip(".")
