"""What files and URLs this process may read and write on behalf of SQL: one check for all that is not the engine's.

The engine has a lock of its own, which the server sets to the same folders. A process that serves nobody else has no
restriction.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from tfsql.errors import ForbiddenError


@dataclass(frozen=True)
class Restriction:
    """What may be reached.

    Attributes:
      folders: files below these, resolved; nothing else.
      urls: what begins like one of these, up to a ``/``.
      kept: files that are nobody's to read or write: the database itself.
      is_read_only: whether no file may be written.
    """

    folders: tuple[Path, ...] = ()
    urls: tuple[str, ...] = ()
    kept: tuple[Path, ...] = ()
    is_read_only: bool = False


_restriction: Restriction | None = None


def restrict(restriction: Restriction | None) -> None:
    """Restricts this process from now on; None lifts it."""
    global _restriction
    _restriction = restriction


def checked(path: str | os.PathLike[str], *, writes: bool = False) -> Path:
    """The path of a file that may be reached, with ``..`` and symbolic links followed where there is a restriction.

    Raises:
      ForbiddenError: it may not.
    """
    if _restriction is None:
        return Path(path)
    if "\0" in str(path):
        raise ForbiddenError(f"{str(path)!r} is no name of a file")
    resolved = Path(os.path.realpath(path))
    if resolved in _restriction.kept:
        raise ForbiddenError(f"{path} is a file of the database, which is reached through SQL only")
    if not any(resolved.is_relative_to(folder) for folder in _restriction.folders):
        where = ", ".join(map(str, _restriction.folders)) or "none was named"
        raise ForbiddenError(f"{path} is outside of the folders that this server may reach", hint=f"Folders: {where}")
    if writes and _restriction.is_read_only:
        raise ForbiddenError(f"{path} cannot be written: this server only reads")
    return resolved


def check_url(url: str) -> None:
    """Refuses a URL that may not be reached.

    Raises:
      ForbiddenError: it may not.
    """
    if _restriction is None:
        return
    is_plain = ".." not in unquote(url)
    if not is_plain or not any(
        url == allowed or url.startswith(f"{allowed.rstrip('/')}/") for allowed in _restriction.urls
    ):
        raise ForbiddenError(f"{url} is not among the URLs that this server may reach")
