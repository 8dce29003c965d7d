"""Requests to a tfsql server, with nothing but the standard library."""

from __future__ import annotations

import base64
import http.client
import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from tfsql.errors import BackendError, BindError

_TIMEOUT_S = 24 * 3600.0  # the server has a limit of its own


def is_url(text: object) -> bool:
    """Whether this is the address of a server rather than the path of a file."""
    return isinstance(text, str) and text.lower().startswith(("http://", "https://"))


class BrokenOffError(BackendError):
    """An answer that ends early."""

    code = "broken off"


@dataclass(frozen=True)
class HttpAnswer:
    """The answer to a request."""

    status: int
    body: bytes
    media_type: str


class Address:
    """Where a server is.

    Args:
      url: ``http://host:port``, with ``:token@`` before the host where there is no ``token``.
      token: what the server asks for.

    Raises:
      BindError: the URL is none of a server.
    """

    def __init__(self, url: str, token: str | None = None):
        try:
            parts = urlsplit(url)
            self._port, self._host = parts.port, parts.hostname or ""
        except ValueError as error:
            raise BindError(f"{url} is no address of a server: {error}") from error
        if not self._host or parts.path.rstrip("/") or parts.query:
            raise BindError(f"{url} is no address of a server", hint="http://host:port")
        self._is_secure = parts.scheme.lower() == "https"
        self._token = token or unquote(parts.password or "") or None
        self.shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"

    def request(self, method: str, path: str, payload: Any = None, accept: str = "application/json") -> HttpAnswer:
        """The answer to a request whose body is a JSON value.

        Raises:
          BrokenOffError: the answer ends early.
          BackendError: the server cannot be reached.
        """
        headers = {"Accept": accept}
        if self._token is not None:
            headers["Authorization"] = "Basic " + base64.b64encode(f"tfsql:{self._token}".encode()).decode()
        body = None
        if payload is not None:
            body, headers["Content-Type"] = json.dumps(payload).encode(), "application/json"
        kind = http.client.HTTPSConnection if self._is_secure else http.client.HTTPConnection
        connection = kind(self._host, self._port, timeout=_TIMEOUT_S)
        try:
            with suppress(BrokenPipeError, ConnectionResetError):  # a body that is too long is answered before its end
                connection.request(method, path, body, headers)
            response = connection.getresponse()
            return HttpAnswer(response.status, response.read(), response.headers.get_content_type())
        except http.client.IncompleteRead as error:
            raise BrokenOffError(
                f"The answer from {self.shown} ends early, after {len(error.partial)} bytes"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise BackendError(f"No answer from {self.shown}: {error or type(error).__name__}") from error
        finally:
            connection.close()
