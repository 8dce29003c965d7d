"""Answers: errors in one form, and rows that are sent as they are computed."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import wraps
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tfsql.errors import ForbiddenError, TfsqlError
from tfsql.server.guard import error_body
from tfsql.server.jobs import HttpError, Job

LOG = logging.getLogger("tfsql.server")
Endpoint = Callable[[Request], Awaitable[Response]]


class JsonAnswer(Response):
    """A JSON value."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False).encode()


def answering(endpoint: Endpoint) -> Endpoint:
    """The endpoint, with whatever it raises answered in one form, and never with a traceback."""

    @wraps(endpoint)
    async def wrapped(request: Request) -> Response:
        try:
            return await endpoint(request)
        except Exception as error:
            return failure(request, error)

    return wrapped


def failure(request: Request, error: Exception) -> Response:
    """The answer to what failed."""
    if isinstance(error, HttpError | TfsqlError):
        body = failure_body(error)
        headers = error.headers if isinstance(error, HttpError) else None
        return JsonAnswer(body, body["httpCode"], headers)
    if isinstance(error, HTTPException):
        message = (
            f"{request.method} is not for {request.url.path}" if error.status_code == 405 else "There is no such page"
        )
        return JsonAnswer(error_body(error.status_code, message), error.status_code, dict(error.headers or {}))
    LOG.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return JsonAnswer(error_body(500, "The server failed on this request; its log says more"), 500)


def failure_body(error: HttpError | TfsqlError) -> dict[str, Any]:
    """What an error is told as."""
    if isinstance(error, HttpError):
        return error_body(error.status, str(error))
    if isinstance(error, ForbiddenError):
        LOG.warning("refused: %s", error.message)
    return error_body(error.http_status, str(error), details_of(error))


def details_of(error: TfsqlError) -> dict[str, Any]:
    """What a client needs to show an error in its text: code, message and hint, and the place of the fault."""
    details: dict[str, Any] = {"code": error.code, "message": error.message, "hint": error.hint}
    if error.span is not None and error.sql is not None:
        details |= {"line": error.line, "column": error.column, "start": error.span.start, "end": error.span.end}
    return details


class RowStream(Response):
    """Pieces of a body, each computed when the one before has been taken by the client.

    Where computing fails, or the client takes too long, the connection is cut: the status has been sent already.

    Args:
      broke: is told why the rows ended early.
    """

    def __init__(
        self,
        first: list[bytes],
        rest: Iterator[bytes],
        job: Job,
        stack: AsyncExitStack,
        media_type: str,
        broke: Callable[[Job, dict[str, Any]], None],
    ):
        self._broke = broke
        self._first = first
        self._rest = rest
        self._job = job
        self._stack = stack
        super().__init__(media_type=media_type)
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._stack:
            try:
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                await self._send_all(send)
            except (HttpError, TfsqlError) as error:
                self._broke(self._job, failure_body(error))
                LOG.warning("the rows of query %s end early: %s", self._job.id, error)

    async def _send_all(self, send: Send) -> None:
        for piece in self._first:
            await self._send(send, piece)
        while piece := await self._job.call(lambda: next(self._rest, b"")):
            await self._send(send, piece)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send(self, send: Send, piece: bytes) -> None:
        self._job.check()
        message = {"type": "http.response.body", "body": piece, "more_body": True}
        try:
            await asyncio.wait_for(send(message), self._job.remaining_s() or 0.001)
        except TimeoutError:
            self._job.check()


@asynccontextmanager
async def client_watched(request: Request) -> AsyncIterator[asyncio.Future[None]]:
    """Watches the client of a request whose body was read: what is given is done when it has left."""

    async def leave() -> None:
        with suppress(RuntimeError):
            while (await request.receive())["type"] != "http.disconnect":
                pass

    leaving = asyncio.ensure_future(leave())
    try:
        yield leaving
    finally:
        leaving.cancel()
