"""Views that hold tensor operators: kept in the database as shells that DuckDB can list and describe.

DuckDB cannot store a view that calls a kernel of this process. It stores a view with the same columns that carries
the definition as a string and refuses to be read; tfsql puts the definition in its place. Dropping, renaming and
transactions are DuckDB's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from tfsql.backends.base import Backend, Columns
from tfsql.bind import View
from tfsql.bind.functions import FunctionDefinition
from tfsql.bind.functions import definitions as function_definitions
from tfsql.types import quote, quote_text

_MARK = "tfsql_view"
_DEFINITION = re.compile(rf"{_MARK}\"? AS \(SELECT '((?:[^']|'')*)' AS definition\)", re.DOTALL)


def shell(definition: str, columns: Columns) -> str:
    """The query of a shell view: the definition's columns, and an error for whoever reads it without tfsql."""
    typed = ", ".join(f"NULL::{kind} AS {quote(name)}" for name, kind in columns)
    refusal = "error('This view holds tensor operators; read it through tfsql: ' || definition)"
    carried = f"WITH {_MARK} AS (SELECT {quote_text(definition)} AS definition)"
    return f"{carried} SELECT {typed} FROM {_MARK} WHERE {refusal} IS NULL"


def views_among(views: Iterable[tuple[str, str, str, str]]) -> list[View]:
    """The shells among views given as database, schema, name and SQL."""
    found = ((database, schema, name, _DEFINITION.search(sql or "")) for database, schema, name, sql in views)
    return [View(d, s, name, match.group(1).replace("''", "'")) for d, s, name, match in found if match]


class Catalog:
    """The views and functions of a database, read when first asked for and forgotten when the schema may change."""

    _VIEWS = "SELECT database_name, schema_name, view_name, sql FROM duckdb_views() WHERE NOT internal"
    _PLACE = "SELECT current_database(), current_schema()"
    _FUNCTIONS = (
        "SELECT function_name, parameters, macro_definition FROM duckdb_functions() "
        "WHERE function_type = 'macro' AND NOT internal"
    )

    def __init__(self, backend: Backend):
        self._backend = backend
        self._views: list[View] | None = None
        self._place = ("", "")
        self._functions: dict[str, FunctionDefinition] | None = None
        self.generation = 0

    @property
    def views(self) -> list[View]:
        """The views that hold tensor operators."""
        if self._views is None:
            self._views = views_among(self._backend.execute(self._VIEWS, {}).fetchall())
            self._place = self._backend.execute(self._PLACE, {}).fetchall()[0] if self._views else ("", "")
        return self._views

    def view(self, parts: Sequence[str]) -> View | None:
        """The view that a name means here: in the current schema or among the temporary ones if it is not qualified."""
        wanted = [part.lower() for part in parts]
        for view in self.views:
            database, schema, name = view.database.lower(), view.schema.lower(), view.name.lower()
            is_here = (view.database, view.schema) == self._place or database == "temp"
            means = {
                1: is_here and wanted == [name],
                2: (database == self._place[0].lower() and wanted == [schema, name])
                or (schema == "main" and wanted == [database, name]),
                3: wanted == [database, schema, name],
            }
            if means.get(len(wanted)):
                return view
        return None

    @property
    def functions(self) -> dict[str, FunctionDefinition]:
        """The SQL functions of the database with one body, by lower-case name."""
        if self._functions is None:
            self._functions = function_definitions(self._backend.execute(self._FUNCTIONS, {}).fetchall())
        return self._functions

    def forget(self) -> None:
        """Reads views and functions anew when next asked for."""
        self.generation += 1
        self._views = self._functions = None
