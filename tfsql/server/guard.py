"""Who may ask: the token, the page's own origin, and the headers that keep a browser to it."""

from __future__ import annotations

import base64
import binascii
import hmac
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tfsql.server.options import Options, is_loopback

_OPEN_PATHS = frozenset({"/healthz"})
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": _CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def error_body(status: int, message: str, details: dict[str, object] | None = None) -> dict[str, object]:
    """The body of every answer that is an error."""
    return {"error": message, "httpCode": status, "details": details or {}}


class Guard:
    """Lets requests in that may come in.

    A page of another site must not reach a server of this machine through the browser: not by a request of its own
    (``Origin``, ``Sec-Fetch-Site``), not under a name of its own that it lets point here (``Host``).
    """

    def __init__(self, app: ASGIApp, options: Options):
        self._app = app
        self._token = options.token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refusal = self._refusal(scope["path"], Headers(scope=scope))
        await (refusal or self._app)(scope, receive, send_with_headers)

    def _refusal(self, path: str, headers: Headers) -> JSONResponse | None:
        if self._token is None and not _is_local(headers.get("host", "")):
            return _refused(403, "Without a token this server answers under the names of this machine only")
        if not _is_same_origin(headers) and not _is_page(path):
            return _refused(403, "Requests of other sites' pages are not answered")
        if self._token is None or path in _OPEN_PATHS or _has_token(headers.get("authorization", ""), self._token):
            return None
        challenge = {"WWW-Authenticate": 'Basic realm="tfsql", charset="UTF-8"'}
        return _refused(401, "A token is needed: Authorization: Bearer, or basic with the token as password", challenge)


def _refused(status: int, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse(error_body(status, message), status, headers)


def _is_local(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return False
    return name is not None and is_loopback(name)


def _is_same_origin(headers: Headers) -> bool:
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return False
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc == headers.get("host")


def _is_page(path: str) -> bool:
    """Whether a path is that of a file of the page, which a link of another site may lead to."""
    return path == "/" or path.startswith("/static/")


def _has_token(authorization: str, token: str) -> bool:
    scheme, _, given = authorization.partition(" ")
    if scheme.lower() == "basic":
        try:
            given = base64.b64decode(given, validate=True).decode("utf-8").partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return False
    elif scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(given.strip().encode(), token.encode())
