"""Views that hold tensor operators: kept in the database as shells that DuckDB can list and describe.

DuckDB cannot store a view that calls a kernel of this process. It stores a view with the same columns that carries
the definition as a string and refuses to be read; tfsql puts the definition in its place. Dropping, renaming and
transactions are DuckDB's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from tfsql.backends.base import Columns
from tfsql.types import quote

_MARK = "tfsql_view"
_DEFINITION = re.compile(rf"{_MARK}\"? AS \(SELECT '((?:[^']|'')*)' AS definition\)", re.DOTALL)


def shell(definition: str, columns: Columns) -> str:
    """The query of a shell view: the definition's columns, and an error for whoever reads it without tfsql."""
    typed = ", ".join(f"NULL::{kind} AS {quote(name)}" for name, kind in columns)
    text = definition.replace("'", "''")
    refusal = "error('This view holds tensor operators; read it through tfsql: ' || definition)"
    return f"WITH {_MARK} AS (SELECT '{text}' AS definition) SELECT {typed} FROM {_MARK} WHERE {refusal} IS NULL"


def definitions(views: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The definitions of the shells among views given as name and SQL, by lower-case name."""
    found = ((name, _DEFINITION.search(sql or "")) for name, sql in views)
    return {name.lower(): match.group(1).replace("''", "'") for name, match in found if match}
