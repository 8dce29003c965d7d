"""tfsql: every TensorFlow operator as a SQL function over real tables.

>>> import tfsql
>>> tfsql.sql("SELECT tf_Cos(0.0) AS y").fetchall()
[(1.0,)]
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfsql.custom_operators import operator
from tfsql.errors import (
    BackendError,
    BindError,
    CrashError,
    ExecutionError,
    ParseError,
    ResourceError,
    ShapeError,
    TfsqlError,
    TypeMismatchError,
    UnsupportedError,
)
from tfsql.http import is_url
from tfsql.result import Relation
from tfsql.running import Parameters
from tfsql.session import Connection

__version__ = "0.1.0"

_default: Connection | None = None


def connect(
    path: str = ":memory:",
    *,
    read_only: bool = False,
    config: Mapping[str, Any] | None = None,
    trust: bool = False,
    token: str | None = None,
) -> Connection:
    """A connection to a database file, or to a database in memory; see ``Connection``.

    ``http://host:port`` for a path connects to a server (``tfsql serve``) that holds the database; what comes back has
    the methods that make sense there. ``token`` is what that server asks for.
    """
    if is_url(path):
        from tfsql.remote import RemoteConnection

        return RemoteConnection(path, token)  # type: ignore[return-value]
    return Connection(path, read_only=read_only, config=config, trust=trust)


def default_connection() -> Connection:
    """The connection that the functions of this module use: one database in memory for the process."""
    global _default
    if _default is None:
        _default = connect()
    return _default


def sql(text: str, parameters: Parameters = None) -> Relation | None:
    """``Connection.sql`` on the default connection."""
    return default_connection().sql(text, parameters)


def execute(text: str, parameters: Parameters = None) -> Relation | None:
    """``Connection.execute`` on the default connection."""
    return default_connection().execute(text, parameters)


def load_ipython_extension(shell: Any) -> None:
    """``%load_ext tfsql``: the magic ``%%tfsql`` and completion in its cells."""
    from tfsql.notebook import load

    load(shell)


__all__ = [
    "BackendError",
    "BindError",
    "Connection",
    "CrashError",
    "ExecutionError",
    "ParseError",
    "Relation",
    "ResourceError",
    "ShapeError",
    "TfsqlError",
    "TypeMismatchError",
    "UnsupportedError",
    "__version__",
    "connect",
    "default_connection",
    "execute",
    "load_ipython_extension",
    "operator",
    "sql",
]
