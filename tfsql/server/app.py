"""The routes of a server."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tfsql import __version__
from tfsql.errors import ForbiddenError, TfsqlError
from tfsql.mldb.resources import Answer
from tfsql.server import rows
from tfsql.server.answers import JsonAnswer, RowStream, answering, client_watched, failure
from tfsql.server.bodies import body_of, json_of, parameters_of, text_of
from tfsql.server.database import Database, ServedConnection
from tfsql.server.guard import Guard
from tfsql.server.jobs import HttpError, Job, Jobs
from tfsql.server.metrics import Metrics
from tfsql.server.openapi import document
from tfsql.server.options import Options
from tfsql.server.statements import is_writing

STATIC = Path(__file__).parent / "static"
# What is computed before the status is sent: most errors come with a status of their own then.
_FIRST_BYTES = 4 * 2**20
_ID = re.compile(r"[\w.-]{1,64}")
_FIELDS = ("sql", "parameters", "id")


class Server:
    """What the routes share: the options, the database, its jobs and the counts."""

    def __init__(self, options: Options):
        self.options = options
        self.database = Database(options)
        self.executor = ThreadPoolExecutor(options.workers + 3, "tfsql-query")
        self.jobs = Jobs(self.database, self.executor, backlog=options.backlog, timeout_s=options.timeout_s)
        self.metrics = Metrics()

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        warming = asyncio.get_running_loop().run_in_executor(self.executor, self._warm)
        try:
            yield
        finally:
            for job in self.jobs.running:
                job.stop("the server ends")
                await job.settle()
            with suppress(Exception):
                await warming
            self.executor.shutdown(wait=False)
            self.database.close()

    def _warm(self) -> None:
        """Loads TensorFlow, and starts what kernels run in, before the first query wants it."""
        self.database.writer.kernels.prepare()
        from tfsql.registry import wrapped_names

        wrapped_names()

    async def body(self, request: Request) -> bytes:
        """The body of a request, within size and time."""
        try:
            return await asyncio.wait_for(body_of(request, self.options.max_body), self.options.timeout_s)
        except TimeoutError:
            raise HttpError(408, "The request did not arrive in time", {"Connection": "close"}) from None

    def check_write(self) -> None:
        if self.options.is_read_only:
            raise ForbiddenError("This server only reads")

    # -- MLDB's routes -----------------------------------------------------------------------------------------------

    async def resource(self, request: Request) -> Response:
        """``/v1/...``"""
        method, path = request.method, request.scope["raw_path"].decode("latin-1")
        payload = _payload(request, await self.body(request))
        writes = _writes(method, path, payload)
        if writes:
            self.check_write()
        async with client_watched(request) as leaving, self.jobs.job(f"{method} {path}", leaving, writes=writes) as job:
            answer, body = await job.call(partial(self._handled, job.connection, method, path, payload))
        headers = {"Allow": ", ".join(answer.allowed)} if answer.allowed else None
        return Response(body, answer.status, headers, rows.JSON if body else None)

    def _handled(self, connection: ServedConnection, method: str, path: str, payload: Any) -> tuple[Answer, bytes]:
        answer: Answer = self.database.handle(connection, method, path, payload)
        return answer, b"" if answer.body is None else json.dumps(answer.body).encode()

    # -- queries -----------------------------------------------------------------------------------------------------

    async def query(self, request: Request) -> Response:
        """``POST /api/query``"""
        media_type = rows.media_type(request.headers.get("accept", ""))
        if media_type is None:
            raise HttpError(406, f"The rows can be had as {', '.join(rows.WRITERS)}")
        given = _query(request, await self.body(request))
        parameters = parameters_of(given.get("parameters"))
        writes = is_writing(given["sql"])
        if writes:
            self.check_write()
        async with AsyncExitStack() as stack:
            leaving = await stack.enter_async_context(client_watched(request))
            entered = self.jobs.job(given["sql"], leaving, writes=writes, name=given.get("id"))
            job = await stack.enter_async_context(entered)
            first, rest = await job.call(partial(self._begun, job, given["sql"], parameters, media_type))
            self.metrics.rows += job.rows
            if rest is not None:
                return RowStream(first, rest, job, stack.pop_all(), media_type, self.jobs.broke)
        if not first:
            return Response(None, 204)
        return Response(b"".join(first), media_type=media_type)

    def _begun(
        self, job: Job, sql: str, parameters: Any, media_type: str
    ) -> tuple[list[bytes], Iterator[bytes] | None]:
        """The first pieces of the rows, and what makes the others; no pieces where there are no rows to have."""
        connection = job.connection
        started = time.perf_counter()
        self.database.renew(connection)
        try:
            relation = connection.sql(sql, parameters)
        except TfsqlError:
            with suppress(TfsqlError):
                self.database.end_request(connection)
            raise
        self.database.end_request(connection)
        if relation is None:
            return [], None
        schema, batches = relation.nested_batches()
        pieces = rows.WRITERS[media_type](schema, rows.counted(batches, self.options.max_rows, job.count), started)
        first, size = [], 0
        for piece in pieces:
            first.append(piece)
            size += len(piece)
            if size > _FIRST_BYTES:
                return first, pieces
        return first, None

    async def queries(self, request: Request) -> Response:
        """``GET /api/queries``"""
        return JsonAnswer([job.describe() for job in self.jobs.running])

    async def one_query(self, request: Request) -> Response:
        """``GET`` and ``DELETE /api/queries/<id>``"""
        return await (self.cancel if request.method == "DELETE" else self.told_query)(request)

    async def told_query(self, request: Request) -> Response:
        """What a query is at, or why it broke off."""
        name = request.path_params["id"]
        job = self.jobs.find(name)
        found = job.describe() if job is not None else self.jobs.broken(name)
        if found is None:
            raise HttpError(404, f'No query "{name}" runs, or broke off')
        return JsonAnswer(found)

    async def cancel(self, request: Request) -> Response:
        """Stops a query."""
        name = request.path_params["id"]
        if not self.jobs.cancel(name):
            raise HttpError(404, f'No query "{name}" runs')
        return Response(None, 204)

    # -- the rest ----------------------------------------------------------------------------------------------------

    async def operators(self, request: Request) -> Response:
        """``GET /api/operators``"""
        word = request.query_params.get("search", "").lower()
        body = await asyncio.get_running_loop().run_in_executor(self.executor, _operators, word)
        return Response(body, media_type=rows.JSON)

    async def health(self, request: Request) -> Response:
        """``GET /healthz``"""
        return JsonAnswer({"status": "ok", "version": __version__})

    async def metric_text(self, request: Request) -> Response:
        """``GET /metrics``"""
        text = self.metrics.text(
            running=len(self.jobs.running), waiting=self.jobs.waiting, deaths=self.database.worker_deaths
        )
        return Response(text, media_type="text/plain; version=0.0.4")

    async def openapi(self, request: Request) -> Response:
        """``GET /openapi.json``"""
        return JsonAnswer(document(__version__, has_token=self.options.token is not None))

    async def page(self, request: Request) -> Response:
        """``GET /``"""
        return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})

    def routes(self) -> list[Route | Mount]:
        methods = ["GET", "POST", "PUT", "DELETE"]
        return [
            Route("/", answering(self.page), methods=["GET"]),
            Route("/v1/{path:path}", answering(self.resource), methods=methods),
            Route("/api/query", answering(self.query), methods=["POST"]),
            Route("/api/queries", answering(self.queries), methods=["GET"]),
            Route("/api/queries/{id}", answering(self.one_query), methods=["GET", "DELETE"]),
            Route("/api/operators", answering(self.operators), methods=["GET"]),
            Route("/healthz", answering(self.health), methods=["GET"]),
            Route("/metrics", answering(self.metric_text), methods=["GET"]),
            Route("/openapi.json", answering(self.openapi), methods=["GET"]),
            Mount("/static", StaticFiles(directory=STATIC)),
        ]


def application(options: Options) -> ASGIApp:
    """The ASGI application of a server; it opens the database."""
    server = Server(options)

    async def failed(request: Request, error: Exception) -> Response:
        return failure(request, error)

    app = Starlette(
        routes=server.routes(), lifespan=server.lifespan, exception_handlers={HTTPException: failed, Exception: failed}
    )
    return Guard(_Counting(app, server.metrics), options)


class _Counting:
    """Counts requests and how long they take."""

    def __init__(self, app: ASGIApp, metrics: Metrics):
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, counted)
        finally:
            route = getattr(scope.get("endpoint"), "__name__", "none")
            self._metrics.request(scope["method"], route, status, time.perf_counter() - started)


def _operators(word: str) -> bytes:
    from tfsql.registry.catalogue import operators_table

    found = operators_table().to_pylist()
    chosen = [row for row in found if word in f"{row['name']} {row['summary']}".lower()]
    return json.dumps(chosen).encode()


def _payload(request: Request, body: bytes) -> Any:
    """The JSON value of the body and the parameters of the query string, which come from one client or another."""
    payload = json_of(body)
    given: dict[str, Any] = dict(request.query_params)
    if "input" in given:
        given["input"] = json_of(given["input"].encode())
    if not given:
        return payload
    if payload is not None and not isinstance(payload, dict):
        raise HttpError(400, "With a query string, the body is an object or left out")
    return {**given, **(payload or {})}


def _writes(method: str, path: str, payload: Any) -> bool:
    """Whether a request to a resource may change something."""
    if path.rstrip("/") == "/v1/query":
        query = payload.get("q") if isinstance(payload, dict) else None
        return isinstance(query, str) and is_writing(query)
    is_call = path.rstrip("/").rpartition("/")[2] in ("application", "batch")
    return not (method == "GET" or (method == "POST" and is_call))


def _query(request: Request, body: bytes) -> dict[str, Any]:
    """The query of a body: SQL as text, or JSON with SQL, parameters and id."""
    kind = request.headers.get("content-type", rows.JSON).partition(";")[0].strip().lower()
    if kind in ("text/plain", "application/sql"):
        return {"sql": text_of(body)}
    if kind != rows.JSON:
        raise HttpError(415, f"A query is {rows.JSON}, application/sql or text/plain, not {kind}")
    given = json_of(body)
    if not isinstance(given, dict) or not isinstance(given.get("sql"), str):
        raise HttpError(400, 'A query is an object with "sql", a string')
    unknown = [name for name in given if name not in _FIELDS]
    if unknown:
        raise HttpError(400, f'A query has no "{unknown[0]}"; it has {", ".join(_FIELDS)}')
    if given.get("id") is not None and not (isinstance(given["id"], str) and _ID.fullmatch(given["id"])):
        raise HttpError(400, "The id of a query is 1 to 64 letters, digits, dots, hyphens and underscores")
    return given
