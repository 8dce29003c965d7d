"""``tfsql serve``."""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
from collections.abc import Sequence
from typing import TextIO

import uvicorn

from tfsql.errors import TfsqlError
from tfsql.running import RECURSION_LIMIT
from tfsql.server.app import application
from tfsql.server.options import Options, read_options

_STACK_BYTES = 64 * 2**20
_GRACE_S = 5


def serve(arguments: Sequence[str]) -> int:
    """Serves until it is interrupted; the exit code.

    Raises:
      TfsqlError: the options make no sense, the database cannot be opened, or the address cannot be had.
    """
    options = read_options(arguments)
    # The limit is one of the process: queries that raise and restore it side by side would take it from each other.
    sys.setrecursionlimit(RECURSION_LIMIT)
    threading.stack_size(_STACK_BYTES)
    log = _log_file()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=log)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    config = uvicorn.Config(
        application(options),
        host=options.host,
        port=options.port,
        log_config=None,
        access_log=False,
        server_header=False,
        http="h11",
        ws="none",
        timeout_graceful_shutdown=_GRACE_S,
    )
    bound = _bound(config, options)
    host, port = bound.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    _Server(config, f"tfsql serves {options.database} at http://{shown}:{port}/", log).run(sockets=[bound])
    return 0


class _Server(uvicorn.Server):
    """A server that says where it is once it answers."""

    def __init__(self, config: uvicorn.Config, notice: str, log: TextIO):
        super().__init__(config)
        self._notice = notice
        self._log = log

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            print(self._notice, file=self._log, flush=True)


def _log_file() -> TextIO:
    """Standard error under a number of its own: while TensorFlow is loaded, what others write there is lost."""
    return os.fdopen(os.dup(sys.stderr.fileno()), "w", encoding="utf-8", errors="backslashreplace", buffering=1)


def _bound(config: uvicorn.Config, options: Options) -> socket.socket:
    try:
        return config.bind_socket()
    except SystemExit:
        raise TfsqlError(f"Cannot listen on {options.host}, port {options.port}") from None
