"""A connection to a tfsql server: SQL goes out in JSON, rows come back in Arrow."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa

from tfsql import errors
from tfsql.errors import BackendError, ResourceError, Span, TfsqlError, TypeMismatchError, UnsupportedError
from tfsql.http import Address, BrokenOffError, HttpAnswer
from tfsql.result import Relation, relation_of
from tfsql.running import Parameters

_ARROW = "application/vnd.apache.arrow.stream"
_CLASSES: dict[str, type[TfsqlError]] = {
    kind.code: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, TfsqlError) and kind is not errors.RowError
}
_OF_STATUS: dict[int, type[TfsqlError]] = {401: errors.ForbiddenError, 403: errors.ForbiddenError}
_OF_STATUS |= {408: ResourceError, 413: ResourceError, 503: ResourceError}


class RemoteConnection:
    """A database that a server holds, with the statements and relations of an embedded one.

    A statement runs when ``sql`` is called; its relation holds the rows. Variables and functions of this process are
    not to be had on the server.

    Args:
      url: ``http://host:port``; ``http://:token@host:port`` presents a token.
      token: the same.
    """

    def __init__(self, url: str, token: str | None = None):
        self._address = Address(url, token)
        self._running: set[str] = set()

    def sql(self, text: str, parameters: Parameters = None) -> Relation | None:
        """The relation of the last statement of ``text``; None if that returns no rows.

        Raises:
          TfsqlError: as an embedded connection raises; BackendError where the server cannot be reached.
        """
        name = secrets.token_hex(8)
        payload = {"sql": text, "parameters": _json_parameters(parameters), "id": name}
        self._running.add(name)
        try:
            answer = self._address.request("POST", "/api/query", payload, _ARROW)
        except BrokenOffError as error:
            raise self._reason(name, text, error) from error
        finally:
            self._running.discard(name)
        if answer.status == 204:
            return None
        if answer.status != 200:
            raise _failure_of(answer, text)
        try:
            table = pa.ipc.open_stream(answer.body).read_all()
        except pa.ArrowInvalid as error:
            raise BackendError(f"The rows from {self._address.shown} are not whole: {error}") from error
        return relation_of(table, self._explanation(text, parameters))

    def _reason(self, name: str, text: str, error: BrokenOffError) -> TfsqlError:
        """Why the rows of a query ended early, as the server tells."""
        answer = self._address.request("GET", f"/api/queries/{quote(name)}")
        failure = json.loads(answer.body).get("failure") if answer.status == 200 else None
        return error if failure is None else error_of(failure["httpCode"], failure, text)

    def execute(self, text: str, parameters: Parameters = None) -> Relation | None:
        """Like ``sql``."""
        relation = self.sql(text, parameters)
        return relation if relation is None else relation.execute()

    def _explanation(self, text: str, parameters: Parameters) -> Callable[[bool], str]:
        def explain(analyze: bool) -> str:
            relation = self.sql(f"EXPLAIN {'ANALYZE ' if analyze else ''}{text}", parameters)
            return "" if relation is None else "\n".join(str(row[-1]) for row in relation)

        return explain

    def create_function(self, *_: Any, **__: Any) -> None:
        """Not on a server: it runs no Python of its clients."""
        raise UnsupportedError(
            "A server runs no Python functions of its clients", hint="CREATE FUNCTION makes one in SQL"
        )

    load_graph = create_function

    def interrupt(self) -> None:
        """Stops the statements that this connection runs in other threads; they end in an error."""
        for name in list(self._running):
            self._address.request("DELETE", f"/api/queries/{quote(name)}")

    def progress(self) -> tuple[float | None, int]:
        """Percent done of the statement that runs in another thread, where the server can tell; rows sent so far."""
        for name in list(self._running):
            answer = self._address.request("GET", f"/api/queries/{quote(name)}")
            if answer.status == 200:
                told = json.loads(answer.body)
                return told["progress"], told["rows"]
        return None, 0

    def close(self) -> None:
        """Nothing is kept open between requests."""

    def __enter__(self) -> RemoteConnection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _failure_of(answer: HttpAnswer, sql: str) -> TfsqlError:
    try:
        return error_of(answer.status, json.loads(answer.body), sql)
    except ValueError:
        return BackendError(f"The server answered with status {answer.status}")


def error_of(status: int, body: Any, sql: str) -> TfsqlError:
    """The error that an answer tells of, of the class that the server raised."""
    if not isinstance(body, dict) or "error" not in body:
        return BackendError(f"The server answered with status {status}")
    details = body.get("details") or {}
    kind = _CLASSES.get(details.get("code", ""), _OF_STATUS.get(status, BackendError))
    error = kind(details.get("message") or body["error"], hint=details.get("hint"))
    if "start" in details:
        error.span, error.sql = Span(details["start"], details["end"]), sql
    return error


def _json_parameters(parameters: Parameters) -> Any:
    if parameters is None:
        return None
    if isinstance(parameters, Mapping):
        return {name: _json_parameter(value) for name, value in parameters.items()}
    return [_json_parameter(value) for value in parameters]


def _json_parameter(value: Any) -> Any:
    if isinstance(value, np.generic) and not value.ndim:
        return value.item()
    if hasattr(value, "ndim") and hasattr(value, "dtype"):
        array = np.asarray(value)
        if array.dtype.kind not in "fiub":
            raise TypeMismatchError(f"An array of {array.dtype} cannot be sent to a server; numbers can")
        return {"tensor": array.dtype.name, "values": array.tolist()}
    if value is None or isinstance(value, bool | int | float | str | list | dict):
        return value
    raise TypeMismatchError(f"A {type(value).__name__} cannot be sent to a server as a parameter")
