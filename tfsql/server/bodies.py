"""What a request brings: its body within bounds, as JSON or as parameters of SQL."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from starlette.requests import ClientDisconnect, Request

from tfsql.errors import TypeMismatchError
from tfsql.server.jobs import HttpError

MAX_DEPTH = 100
_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKETS = re.compile(r"[\[{\]}]")
TENSOR = "tensor"


async def body_of(request: Request, max_body: int) -> bytes:
    """The body of a request.

    Raises:
      HttpError: 413, it is longer than ``max_body`` bytes.
    """
    told = request.headers.get("content-length", "")
    if told.isdecimal() and int(told) > max_body:
        raise _too_long(max_body)
    parts: list[bytes] = []
    length = 0
    try:
        async for part in request.stream():
            parts.append(part)
            length += len(part)
            if length > max_body:
                raise _too_long(max_body)
    except ClientDisconnect:
        raise HttpError(400, "The client left before the end of its request") from None
    return b"".join(parts)


def _too_long(max_body: int) -> HttpError:
    return HttpError(413, f"A request is at most {max_body} bytes", {"Connection": "close"})


def text_of(body: bytes) -> str:
    """The body as text.

    Raises:
      HttpError: 400, it is not UTF-8.
    """
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise HttpError(400, f"The body is no UTF-8 text: {error.reason} at byte {error.start}") from None


def json_of(body: bytes) -> Any:
    """The body as a JSON value; None if it is empty.

    Raises:
      HttpError: 400, it is no JSON, or nested more than ``MAX_DEPTH`` deep.
    """
    if not body.strip():
        return None
    text = text_of(body)
    _check_depth(text)
    try:
        return json.loads(text, parse_constant=_no_constant)
    except ValueError as error:
        raise HttpError(400, f"The body is no JSON: {error}") from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _check_depth(text: str) -> None:
    depth = 0
    for match in _BRACKETS.finditer(_STRINGS.sub("", text)):
        depth += 1 if match.group() in "[{" else -1
        if depth > MAX_DEPTH:
            raise HttpError(400, f"The JSON is nested more than {MAX_DEPTH} deep")


def parameters_of(given: Any) -> Any:
    """Parameters of SQL as JSON has them: an array for ``?`` and ``$1``, an object for ``$name``.

    An item ``{"tensor": "float32", "values": [[...]]}`` is a tensor.

    Raises:
      TypeMismatchError: they are neither, or a tensor is not rectangular or of an unknown dtype.
    """
    if given is None:
        return None
    if isinstance(given, list):
        return [_parameter(item) for item in given]
    if isinstance(given, Mapping):
        return {name: _parameter(item) for name, item in given.items()}
    raise TypeMismatchError("parameters is an array or an object")


def _parameter(item: Any) -> Any:
    if not (isinstance(item, dict) and set(item) == {TENSOR, "values"}):
        return item
    try:
        dtype = np.dtype(str(item[TENSOR]))
        if dtype.kind not in "fiub":
            raise TypeError(f"dtype {dtype}")
        return np.array(item["values"], dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeMismatchError(f"A parameter is no tensor of {item[TENSOR]}: {error}") from error
