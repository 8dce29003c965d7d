"""``tfsql serve``: a database over HTTP, for several people at once.

One process holds the database. Queries run in threads of it, each on a connection of its own; one statement at a time
writes. docs/server.md says what is defended and what is not.
"""

from __future__ import annotations

from collections.abc import Sequence

from tfsql.errors import UnsupportedError


def serve(arguments: Sequence[str]) -> int:
    """Runs ``tfsql serve`` with these arguments; the exit code.

    Raises:
      UnsupportedError: the packages of the extra ``server`` are not installed.
    """
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ModuleNotFoundError as error:
        raise UnsupportedError("tfsql serve needs more packages", hint="pip install 'tfsql[server]'") from error
    from tfsql.server import command

    return command.serve(arguments)
