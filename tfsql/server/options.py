"""What ``tfsql serve`` is told."""

from __future__ import annotations

import argparse
import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tfsql.errors import BindError, TfsqlError
from tfsql.isolation import IS_POSSIBLE, NONE, PROCESS
from tfsql.settings import size_in_bytes

_DESCRIPTION = "Serves a database over HTTP: MLDB's routes, a query interface, and a page to play on."


@dataclass(frozen=True)
class Options:
    """The options of a server.

    Attributes:
      token: what a client must present; None if none is asked for.
      folders: the folders whose files SQL may reach, resolved.
      urls: what URLs may begin with.
      isolation: whether kernels run in processes of their own.
      worker_memory: bytes that such a process may take for itself; None for any.
      workers: how many queries that only read run at once.
      backlog: how many more may wait.
      max_body: bytes of a request.
      max_rows: rows of a result.
    """

    database: str = ":memory:"
    host: str = "127.0.0.1"
    port: int = 8642
    token: str | None = None
    is_read_only: bool = False
    is_trusting: bool = False
    folders: tuple[Path, ...] = ()
    urls: tuple[str, ...] = ()
    isolation: str = PROCESS if IS_POSSIBLE else NONE
    worker_memory: int | None = 4 * 10**9
    workers: int = 4
    backlog: int = 64
    timeout_s: float = 60.0
    memory_limit: str = "4GB"
    max_body: int = 64 * 10**6
    max_rows: int = 1_000_000

    @property
    def is_loopback(self) -> bool:
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_options(arguments: Sequence[str]) -> Options:
    """The options of a command line.

    Raises:
      BindError: they make no sense together, or name what is not there.
    """
    given = _parser().parse_args(arguments)
    token = _token(given.token_file) if given.token_file else None
    if token is None and not is_loopback(given.host):
        raise BindError(f"{given.host} is reached from other machines: --token-file is needed")
    if given.read_only and given.database == ":memory:":
        raise BindError("--read-only needs a database file")
    return Options(
        database=given.database,
        host=given.host,
        port=given.port,
        token=token,
        is_read_only=given.read_only,
        is_trusting=given.trust,
        folders=tuple(_folder(path) for path in given.data_dir),
        urls=tuple(given.allow_url),
        isolation=given.isolation,
        worker_memory=given.worker_memory,
        workers=given.workers,
        backlog=given.backlog,
        timeout_s=given.timeout_s,
        memory_limit=given.memory_limit,
        max_body=given.max_body,
        max_rows=given.max_rows,
    )


def option_names() -> list[str]:
    """The options, as they are written."""
    return [name for action in _parser()._actions for name in action.option_strings if name not in ("-h", "--help")]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tfsql serve", description=_DESCRIPTION, allow_abbrev=False)
    add = parser.add_argument
    add(
        "database",
        nargs="?",
        default=":memory:",
        metavar="DATABASE",
        help="a file, made if missing; memory if left out",
    )
    add("--host", default=Options.host, help="the address to listen on; only this machine reaches the default")
    add("--port", type=_counted(0), default=Options.port, help="8642 if left out; 0 for any that is free")
    add(
        "--token-file",
        metavar="F",
        help="a file with the token that clients present; any address but loopback needs it",
    )
    add("--read-only", action="store_true", help="refuse whatever writes")
    add("--trust", action="store_true", help="allow operators that read or write any file, or print")
    add("--data-dir", action="append", default=[], metavar="D", help="a folder that SQL may reach; may be repeated")
    add(
        "--allow-url", action="append", default=[], metavar="URL", help="what URLs to fetch begin with; may be repeated"
    )
    add(
        "--isolation",
        choices=(NONE, PROCESS) if IS_POSSIBLE else (NONE,),
        default=Options.isolation,
        help="whether kernels run in processes of their own; they do if left out",
    )
    add(
        "--worker-memory",
        type=_size_or_none,
        default=Options.worker_memory,
        metavar="SIZE",
        help="what memory such a process may take for itself, or none for any; 4GB if left out",
    )
    add("--workers", type=_counted(1), default=Options.workers, help="how many queries run at once")
    add("--backlog", type=_counted(0), default=Options.backlog, help="how many more wait; others get 503")
    add("--timeout-s", type=_seconds, default=Options.timeout_s, help="how long a query may take; then 408")
    add("--memory-limit", default=Options.memory_limit, help="what memory the engine may take")
    add("--max-body", type=_size, default=Options.max_body, help="the largest request; 64MB if left out")
    add("--max-rows", type=_counted(1), default=Options.max_rows, help="the longest result; 1000000 if left out")
    return parser


def _counted(least: int) -> Callable[[str], int]:
    def count(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"at least {least} is wanted, not {text}")
        return value

    return count


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value <= 86_400:
        raise argparse.ArgumentTypeError(f"above 0 and a day at most, not {text}")
    return value


def _size(text: str) -> int:
    try:
        return size_in_bytes(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"a size such as 64MB is wanted, not {text}") from None


def _size_or_none(text: str) -> int | None:
    return None if text == NONE else _size(text)


def _token(path: str) -> str:
    try:
        token = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise TfsqlError(f"Cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    if len(token) < 8 or not token.isascii() or not token.isprintable():
        raise BindError(f"The token in {path} is 8 printable ASCII characters or more")
    return token


def _folder(path: str) -> Path:
    folder = Path(path).expanduser().resolve()
    if not folder.is_dir():
        raise BindError(f"--data-dir: there is no folder {path}")
    return folder
