"""The OpenAPI document of the server, made of one table of routes."""

from __future__ import annotations

from typing import Any

from tfsql.mldb.formats import FORMATS
from tfsql.mldb.parameters import json_schema
from tfsql.mldb.resources import APPLICATION, QUERY, RESOURCE, RESOURCE_TYPES, RUN
from tfsql.server import rows

_ERRORS = {
    "400": "The request or its SQL is wrong",
    "403": "Not allowed on this server",
    "408": "The time limit was reached",
    "409": "The query was cancelled, or what is to be made is there already",
    "413": "The request or the result is too large",
    "500": "The kernel worker of the query died, or the server failed",
    "503": "Too many queries wait; Retry-After says when to come again",
}
_ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
_RUN = {"name": "run", "in": "path", "required": True, "schema": {"type": "string"}}
_ANY: dict[str, Any] = {}
_RESOURCE = json_schema(RESOURCE)
_MLDB_QUERY = json_schema(QUERY)
_MLDB_QUERY["properties"]["format"] = {"enum": list(FORMATS)}
_QUERY: dict[str, Any] = {
    "type": "object",
    "required": ["q"],
    "properties": {
        "q": {"type": "string"},
        "format": {"enum": ["full", "table", "aos", "soa", "sparse", "atom"]},
        "headers": {"type": "boolean"},
        "rowNames": {"type": "boolean"},
        "rowHashes": {"type": "boolean"},
    },
}
_QUERY = {
    "type": "object",
    "required": ["sql"],
    "additionalProperties": False,
    "properties": {
        "sql": {"type": "string"},
        "parameters": {"oneOf": [{"type": "array"}, {"type": "object"}, {"type": "null"}]},
        "id": {"type": ["string", "null"], "pattern": r"^[\w.-]{1,64}$"},
    },
}
_ROW = {
    "type": "object",
    "required": ["rowName", "columns"],
    "properties": {"rowName": {"type": "string"}, "columns": {"type": "array", "items": {"type": "array"}}},
}
_ROWS = {
    "type": "object",
    "required": ["columns", "rows", "rowCount", "elapsedS"],
    "properties": {
        "columns": {"type": "array", "items": {"type": "object"}},
        "rows": {"type": "array", "items": {"type": "array"}},
        "rowCount": {"type": "integer"},
        "elapsedS": {"type": "number"},
    },
}
_ERROR = {
    "type": "object",
    "required": ["error", "httpCode", "details"],
    "properties": {"error": {"type": "string"}, "httpCode": {"type": "integer"}, "details": {"type": "object"}},
}


def document(version: str, *, has_token: bool) -> dict[str, Any]:
    """The document of a server."""
    made: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "tfsql", "version": version, "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
        "paths": {**_own_paths(), **_mldb_paths()},
        "components": {"schemas": {"Error": _ERROR}},
    }
    if has_token:
        made["components"]["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "basic": {"type": "http", "scheme": "basic"},
        }
        made["security"] = [{"bearer": []}, {"basic": []}]
        made["paths"]["/healthz"]["get"]["security"] = []
    return made


def _own_paths() -> dict[str, Any]:
    query = _operation("Runs SQL", {"200": ("The rows of the last statement", _ROWS)}, body=_QUERY)
    query["requestBody"]["content"] |= {"text/plain": {"schema": {"type": "string"}}}
    query["responses"]["200"]["content"] |= {
        rows.CSV: {"schema": {"type": "string"}},
        rows.ARROW: {"schema": {"type": "string", "format": "binary"}},
    }
    query["responses"]["204"] = {"description": "The last statement returns no rows"}
    for status, text in (("406", "No such form of rows"), ("415", "No such form of a query")):
        query["responses"][status] = _failure(text)
    search = {"name": "search", "in": "query", "schema": {"type": "string"}}
    array = {"type": "array", "items": {"type": "object"}}
    told = {"200": ("One that runs, or whose rows ended early, with its failure", {"type": "object"})}
    one_query = {
        "parameters": [_ID],
        "get": _operation("A query", told, missing=True),
        "delete": _operation("Cancels a query", {"204": ("It ends soon", None)}, missing=True),
    }
    return {
        "/api/query": {"post": query},
        "/api/queries": {"get": _operation("The queries that run", {"200": ("All of them", array)})},
        "/api/queries/{id}": one_query,
        "/api/operators": {
            "parameters": [search],
            "get": _operation(
                "The catalogue of operators", {"200": ("Those whose name or summary has the word", array)}
            ),
        },
        "/healthz": {"get": _operation("Whether the server lives", {"200": ("It does", {"type": "object"})})},
        "/metrics": {"get": _text_operation()},
        "/openapi.json": {"get": _operation("This document", {"200": ("The document", {"type": "object"})})},
    }


def _text_operation() -> dict[str, Any]:
    content = {"text/plain": {"schema": {"type": "string"}}}
    return {"summary": "Counts for Prometheus", "responses": {"200": {"description": "Counts", "content": content}}}


def _mldb_paths() -> dict[str, Any]:
    query = [
        {"name": name, "in": "query", "required": name == "q", "schema": schema}
        for name, schema in _MLDB_QUERY["properties"].items()
    ]
    read = _operation("The rows of a query", {"200": ("In the format", _ANY)})
    paths: dict[str, Any] = {
        "/v1/query": {
            "get": {**read, "parameters": query},
            "post": _operation("The rows of a query", {"200": ("In the format", _ANY)}, body=_MLDB_QUERY),
        }
    }
    names = {"200": ("Names", {"type": "array", "items": {"type": "string"}})}
    for kind in ("functions", "procedures", "datasets"):
        one = kind[:-1]
        made = {"201": ("It is made", {"type": "object"})}
        paths[f"/v1/types/{kind}"] = {"get": _operation(f"The types of {kind}", names)}
        paths[f"/v1/{kind}"] = {
            "get": _operation(f"The names of the {kind}", names),
            "post": _operation(f"Makes a new {one}", made, body=_resource(kind)),
        }
        paths[f"/v1/{kind}/{{id}}"] = {
            "parameters": [_ID],
            "get": _operation(f"A {one}", {"200": ("It", {"type": "object"})}, missing=True),
            "put": _operation(f"Makes or replaces a {one}", made, body=_resource(kind)),
            "delete": _operation(f"Removes a {one}", {"204": ("It is gone", None)}, missing=True),
        }
    paths |= _calls() | _recording()
    ops = "/v1/plugins/tensorflow/routes/ops"
    paths[ops] = {"get": _operation("The names of TensorFlow's operators", names)}
    paths[f"{ops}/{{id}}"] = {
        "parameters": [_ID],
        "get": _operation("The definition of an operator", {"200": ("It", {"type": "object"})}, missing=True),
    }
    return paths


def _resource(kind: str) -> dict[str, Any]:
    """What a resource of a kind is made of."""
    made = {"enum": list(RESOURCE_TYPES[kind])}
    return {**_RESOURCE, "properties": {**_RESOURCE["properties"], "type": made}}


def _calls() -> dict[str, Any]:
    given = {"name": "input", "in": "query", "content": {rows.JSON: {"schema": _ANY}}}
    made: dict[str, Any] = {}
    for route, what in (("application", "Applies a function"), ("batch", "Applies a function to every element")):
        answer = {"200": ("What comes out", {"type": "object"} if route == "application" else _ANY)}
        made[f"/v1/functions/{{id}}/{route}"] = {
            "parameters": [_ID],
            "get": {**_operation(what, answer, missing=True), "parameters": [given]},
            "post": _operation(what, answer, body=json_schema(APPLICATION), missing=True),
        }
    run = json_schema(RUN)
    made["/v1/procedures/{id}/runs"] = {
        "parameters": [_ID],
        "get": _operation("The runs of a procedure", {"200": ("Names", {"type": "array"})}, missing=True),
        "post": _operation("Runs a procedure", {"201": ("The run", {"type": "object"})}, body=run, missing=True),
    }
    made["/v1/procedures/{id}/runs/{run}"] = {
        "parameters": [_ID, _RUN],
        "get": _operation("A run of a procedure", {"200": ("It", {"type": "object"})}, missing=True),
    }
    return made


def _recording() -> dict[str, Any]:
    made: dict[str, Any] = {}
    routes: tuple[tuple[str, str, Any], ...] = (
        ("rows", "Records a row", _ROW),
        ("multirows", "Records rows", {"type": "array"}),
        ("commit", "Makes the dataset of the recorded rows", None),
    )
    for route, what, body in routes:
        answer = {"200": ("It is done", {"type": "object"} if route == "commit" else None)}
        made[f"/v1/datasets/{{id}}/{route}"] = {
            "parameters": [_ID],
            "post": _operation(what, answer, body=body, missing=True),
        }
    return made


def _operation(
    summary: str, answers: dict[str, tuple[str, Any]], *, body: Any = None, missing: bool = False
) -> dict[str, Any]:
    """One operation; ``missing`` says that what it is about may not be there."""
    responses: dict[str, Any] = {status: _failure(text) for status, text in _ERRORS.items()}
    if missing:
        responses["404"] = _failure("It is not there")
    for status, (text, schema) in answers.items():
        responses[status] = {"description": text}
        if schema is not None:
            responses[status]["content"] = {rows.JSON: {"schema": schema}}
    made: dict[str, Any] = {"summary": summary, "responses": responses}
    if body is not None:
        made["requestBody"] = {"required": True, "content": {rows.JSON: {"schema": body}}}
    return made


def _failure(text: str) -> dict[str, Any]:
    return {"description": text, "content": {rows.JSON: {"schema": {"$ref": "#/components/schemas/Error"}}}}
