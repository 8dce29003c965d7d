"""``tfsql serve``."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Sequence

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
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
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
    socket = _bound(config, options)
    host, port = socket.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    print(f"tfsql serves {options.database} at http://{shown}:{port}/", file=sys.stderr, flush=True)
    uvicorn.Server(config).run(sockets=[socket])
    return 0


def _bound(config: uvicorn.Config, options: Options):  # type: ignore[no-untyped-def]
    try:
        return config.bind_socket()
    except SystemExit:
        raise TfsqlError(f"Cannot listen on {options.host}, port {options.port}") from None
