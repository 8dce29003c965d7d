"""``Connection``: MLDB's client interface on a tfsql database, in this process or of a server."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from tfsql.errors import TfsqlError
from tfsql.http import Address, is_url
from tfsql.mldb.resources import Resources
from tfsql.sugar import ROW_NAME

if TYPE_CHECKING:
    import pandas as pd

    from tfsql import session


class Response:
    """An answer, in the form that HTTP clients give it.

    Attributes:
      status_code: 200 or another of HTTP's numbers.
      text: the body, in JSON; empty where there is none.
    """

    def __init__(self, status_code: int, text: str):
        self.status_code = status_code
        self.text = text

    def json(self) -> Any:
        """The body as Python objects; None where there is none."""
        return json.loads(self.text) if self.text else None

    def __repr__(self) -> str:
        return f"<Response [{self.status_code}]>"


class ResponseError(TfsqlError):
    """An answer with a status of 400 or more.

    Attributes:
      response: the answer.
    """

    code = "response"

    def __init__(self, response: Response):
        body = response.json()
        message = body.get("error") if isinstance(body, dict) else None
        super().__init__(message or f"The request failed with status {response.status_code}")
        self.response = response

    @property
    def status_code(self) -> int:
        return self.response.status_code


class Connection:
    """MLDB's interface to a database: functions, procedures, datasets and queries as resources.

    Args:
      database: the path of a database file, a connection that is open, or ``http://host:port`` for a server; a
        database in memory if left out.
      token: what the server asks for.

    Example:
      >>> from tfsql.mldb import Connection
      >>> mldb = Connection()
      >>> mldb.put("/v1/functions/double", {"type": "sql.expression", "params": {"expression": "2 * x AS y"}})
      <Response [201]>
      >>> mldb.query("SELECT double({x: 21}) AS *", format="aos")
      [{'_rowName': 'result', 'y': 42}]
    """

    connection: session.Connection

    def __init__(self, database: str | session.Connection | None = None, token: str | None = None):
        import tfsql

        if isinstance(database, str) and is_url(database):
            self.connection = tfsql.connect(database, token=token)
            self._handle: Callable[[str, str, Any], Response] = partial(_from_server, Address(database, token))
            return
        is_open = not (database is None or isinstance(database, str))
        self.connection = database if is_open else tfsql.connect(database or ":memory:")  # type: ignore[assignment,arg-type]
        self._handle = partial(_from_resources, Resources(self.connection))

    def get(self, path: str, payload: Any = None, **parameters: Any) -> Response:
        """Reads a resource.

        Args:
          parameters: of the query string, which go with the payload.

        Raises:
          ResponseError: the status is 400 or more; so with the other methods.
        """
        return self._request("GET", path, _joined(payload, parameters))

    def put(self, path: str, payload: Any = None) -> Response:
        """Makes or replaces a resource."""
        return self._request("PUT", path, payload)

    def post(self, path: str, payload: Any = None) -> Response:
        """Calls a function, runs a procedure, records rows."""
        return self._request("POST", path, payload)

    def delete(self, path: str) -> Response:
        """Removes a resource."""
        return self._request("DELETE", path, None)

    def put_and_track(self, path: str, payload: Any = None, interval: float = 0.5) -> Response:
        """Like ``put``; meanwhile the progress is printed, every ``interval`` seconds."""
        return self._tracked(lambda: self.put(path, payload), interval)

    def post_and_track(self, path: str, payload: Any = None, interval: float = 0.5) -> Response:
        """Like ``post``; meanwhile the progress is printed, every ``interval`` seconds."""
        return self._tracked(lambda: self.post(path, payload), interval)

    def query(self, sql: str, format: str | None = None, **options: Any) -> Any:
        """The rows of a query: a pandas data frame indexed by ``_rowName``, or Python objects in one of MLDB's formats.

        Args:
          format: ``full``, ``table``, ``aos``, ``soa``, ``sparse`` or ``atom``.
          options: ``headers``, ``rowNames``, ``rowHashes``.
        """
        if format is None:
            return self._frame(sql)
        return self.get("/v1/query", {"q": sql, "format": format, **options}).json()

    def _frame(self, sql: str) -> pd.DataFrame:
        import pandas as pd

        header, *rows = self.get("/v1/query", {"q": sql, "format": "table"}).json() or [[ROW_NAME]]
        return pd.DataFrame(rows, columns=header).set_index(ROW_NAME)

    def _request(self, method: str, path: str, payload: Any) -> Response:
        response = self._handle(method, path, payload)
        if response.status_code >= 400:
            raise ResponseError(response)
        return response

    def _tracked(self, request: Callable[[], Response], interval: float) -> Response:
        """The response to a request that another thread makes while this one prints how far it is."""
        outcome: list[Response | BaseException] = []

        def work() -> None:
            try:
                outcome.append(request())
            except BaseException as error:
                outcome.append(error)

        thread = threading.Thread(target=work, name="tfsql request")
        thread.start()
        while thread.is_alive():
            thread.join(interval)
            percent, _ = self.connection.progress()
            if thread.is_alive() and percent is not None:
                print(f"\r{percent:5.1f} %", end="", file=sys.stderr, flush=True)
        print("\r100.0 %", file=sys.stderr)
        if isinstance(outcome[0], BaseException):
            raise outcome[0]
        return outcome[0]

    def close(self) -> None:
        """Closes the database."""
        self.connection.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _joined(payload: Any, parameters: dict[str, Any]) -> Any:
    return {**(payload or {}), **parameters} if parameters else payload


def _from_resources(resources: Resources, method: str, path: str, payload: Any) -> Response:
    answer = resources.handle(method, path, payload)
    return Response(answer.status, "" if answer.body is None else json.dumps(answer.body))


def _from_server(address: Address, method: str, path: str, payload: Any) -> Response:
    answer = address.request(method, path, payload)
    return Response(answer.status, answer.body.decode("utf-8"))
