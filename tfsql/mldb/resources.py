"""The resource model: a method, a path and a payload in, a status and a JSON value out.

``Connection`` calls it in process and the server mounts it; neither adds to it.
"""

from __future__ import annotations

import datetime
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from tfsql.errors import BindError, TfsqlError, TypeMismatchError, did_you_mean
from tfsql.mldb import datasets, formats, texts
from tfsql.mldb.functions import FUNCTION_TYPES, make_function, remove_function
from tfsql.mldb.parameters import Parameter, parameter, read_parameters, required
from tfsql.mldb.procedures import PROCEDURE_TYPES, RUN_ON_CREATION, check_procedure, run_procedure
from tfsql.mldb.store import Store
from tfsql.result import Relation
from tfsql.sugar import ROW_NAME
from tfsql.types import quote

if TYPE_CHECKING:
    from tfsql.session import Connection

OK, CREATED, NO_CONTENT = 200, 201, 204
BAD_REQUEST, NOT_FOUND, NOT_ALLOWED, CONFLICT = 400, 404, 405, 409

QUERY: tuple[Parameter, ...] = (
    required("q", str),
    parameter("format", str, default="full"),
    parameter("headers", bool, str, default=True),
    parameter("rowNames", bool, str, default=True),
    parameter("rowHashes", bool, str, default=False),
)
RESOURCE: tuple[Parameter, ...] = (
    parameter("id", str),
    required("type", str),
    parameter("params", dict),
    parameter("persistent", bool, default=True),
)
RUN: tuple[Parameter, ...] = (parameter("id", str), parameter("params", dict))
APPLICATION: tuple[Parameter, ...] = (required("input", dict, list, str, int, float, bool),)
RESOURCE_TYPES: dict[str, tuple[str, ...]] = {
    "functions": tuple(FUNCTION_TYPES),
    "procedures": tuple(PROCEDURE_TYPES),
    "datasets": datasets.DATASET_TYPES,
}
_TRUTH = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True)
class Answer:
    """What came of a request.

    Attributes:
      body: a JSON value; None for none.
      allowed: the methods that the path takes, where this one is none of them.
    """

    status: int
    body: Any = None
    allowed: tuple[str, ...] = ()


class RequestError(Exception):
    """A request that no statement has failed in: an unknown route or resource, a name that is taken."""

    def __init__(self, status: int, message: str, allowed: Sequence[str] = ()):
        super().__init__(message)
        self.status = status
        self.allowed = tuple(allowed)


class Resources:
    """The resources of one database.

    Args:
      connection: where they live; the functions of the process are made anew on it.
      max_rows: how many rows the answer to a query may hold.
    """

    def __init__(self, connection: Connection, max_rows: int | None = None):
        self._connection = connection
        self._max_rows = max_rows
        self._store = Store(connection)
        self._runs: dict[str, dict[str, Any]] = {}
        self._numbers = itertools.count(1)
        self.failed: dict[str, str] = {}
        for name in self._store.ids("functions"):
            self._revive(name)

    def beside(self, connection: Connection) -> Resources:
        """The same resources through another connection to their database; runs and failures are shared."""
        made = Resources(connection, self._max_rows)
        made._runs, made._numbers, made.failed = self._runs, self._numbers, self.failed
        return made

    def _revive(self, name: str) -> None:
        """Makes a function of the process again; where that fails, the resource says why."""
        config = self._store.get("functions", name)
        if config is None or not FUNCTION_TYPES[config["type"]].is_of_process:
            return
        try:
            make_function(self._connection, config["type"], name, config.get("params"))
        except TfsqlError as error:
            self.failed[name] = str(error)

    def handle(self, method: str, path: str, payload: Any = None) -> Answer:
        """The answer to a request; what fails is answered with its status and ``{"error": ..., "httpCode": ...}``.

        Args:
          method: GET, PUT, POST or DELETE.
          path: from ``/v1`` on, its parts percent-encoded.
          payload: the JSON value of the body, or the query string as an object.
        """
        try:
            return self._routed(method.upper(), path, payload)
        except RequestError as error:
            return replace(_failed(error.status, str(error)), allowed=error.allowed)
        except TfsqlError as error:
            details: dict[str, Any] = {"code": error.code}
            if error.line is not None:
                details |= {"line": error.line, "column": error.column}
            return _failed(error.http_status, str(error), details)

    def _routed(self, method: str, path: str, payload: Any) -> Answer:
        allowed: list[str] = []
        for pattern, methods in _ROUTES:
            match = pattern.fullmatch(path.partition("?")[0].rstrip("/") or "/")
            if match is None:
                continue
            if method in methods:
                return methods[method](self, payload, **{k: unquote(v) for k, v in match.groupdict().items()})
            allowed += methods
        if allowed:
            raise RequestError(NOT_ALLOWED, f"{method} is not for {path}; {', '.join(allowed)} is", allowed)
        raise RequestError(NOT_FOUND, f"There is no route {path}")

    # -- queries -----------------------------------------------------------------------------------------------------

    def query(self, payload: Any) -> Answer:
        """``/v1/query``: the rows of a statement in one of the formats."""
        given = read_parameters(QUERY, payload, "query")
        options = formats.Options(*(_truth(given[name], name) for name in ("headers", "rowNames", "rowHashes")))
        relation = self._connection.sql(given["q"], row_names=True)
        if relation is None:
            return Answer(OK, [])
        if self._max_rows is not None:
            relation = relation.bounded(self._max_rows)
        rows = formats.rows_of(_named(relation), self._timestamp(given["q"]))
        return Answer(OK, formats.formatted(rows, given["format"], options))

    def _timestamp(self, query: str) -> str:
        """The timestamp of the datasets that a query names, the latest of several."""
        words = {token.text for token in texts.one_statement(query, "q").tokens}
        known = [self._store.get("datasets", name) or {} for name in words & set(self._store.ids("datasets"))]
        return max((str(config["timestamp"]) for config in known if "timestamp" in config), default="-Inf")

    # -- any resource ------------------------------------------------------------------------------------------------

    def types(self, payload: Any, kind: str) -> Answer:
        return Answer(OK, list(_types(kind)))

    def ids(self, payload: Any, kind: str) -> Answer:
        _types(kind)
        return Answer(OK, self._store.ids(kind))

    def create(self, payload: Any, kind: str) -> Answer:
        """POST: a new resource, which must not be there yet."""
        given = _config(payload, kind)
        name = given["id"] or f"auto-{next(self._numbers)}"
        if self._store.get(kind, name) is not None:
            raise RequestError(CONFLICT, f"There is a {kind[:-1]} {name} already; PUT replaces it")
        return self.put(payload, kind, name)

    def put(self, payload: Any, kind: str, name: str) -> Answer:
        """PUT: makes or replaces a resource."""
        given = _config(payload, kind)
        if given["id"] not in (None, name):
            raise RequestError(BAD_REQUEST, f'The id in the body is "{given["id"]}", that in the path "{name}"')
        config = {"type": given["type"], "params": given["params"] or {}}
        status = _MAKERS[kind](self, name, config)
        return Answer(CREATED, self._description(name, config, status))

    def get(self, payload: Any, kind: str, name: str) -> Answer:
        config = self._known(kind, name)
        status = self._dataset_status(name) if kind == "datasets" else None
        return Answer(OK, self._description(name, config, status))

    def delete(self, payload: Any, kind: str, name: str) -> Answer:
        self._known(kind, name)
        if kind == "functions":
            remove_function(self._connection, name)
        with self._store.transaction():
            if kind == "datasets":
                self._store.drop_dataset(name)
            self._store.delete(kind, name)
        return Answer(NO_CONTENT)

    def _known(self, kind: str, name: str) -> dict[str, Any]:
        _types(kind)
        config = self._store.get(kind, name)
        if config is None and kind == "datasets" and self._store.has_dataset(name):
            config = {"type": "tabular"}
        if config is None:
            hint = did_you_mean(name, self._store.ids(kind))
            raise RequestError(NOT_FOUND, f'There is no {kind[:-1]} "{name}"' + (f". {hint}" if hint else ""))
        return config

    def _description(self, name: str, config: dict[str, Any], status: Any = None) -> dict[str, Any]:
        failure = self.failed.get(name)
        made = {"id": name, "type": config["type"], "state": "error" if failure else "ok"}
        made["config"] = {"id": name, **config}
        if failure:
            made["error"] = failure
        return made if status is None else made | {"status": status}

    # -- functions ---------------------------------------------------------------------------------------------------

    def _make_function(self, name: str, config: dict[str, Any]) -> None:
        with self._store.transaction():
            make_function(self._connection, config["type"], name, config["params"])
            self._store.put("functions", name, config)
        self.failed.pop(name, None)

    def apply(self, payload: Any, kind: str, name: str) -> Answer:
        """``.../application``: the function of one input."""
        self._known("functions", name)
        return Answer(OK, {"output": self._applied(name, _input(payload))})

    def apply_batch(self, payload: Any, kind: str, name: str) -> Answer:
        """``.../batch``: the function of every element of an array or object."""
        self._known("functions", name)
        inputs = _input(payload)
        if isinstance(inputs, Mapping):
            return Answer(OK, dict(zip(inputs, self._applied_to_all(name, list(inputs.values())), strict=True)))
        if not isinstance(inputs, list):
            raise TypeMismatchError("The input of a batch is an array or an object")
        return Answer(OK, self._applied_to_all(name, inputs))

    def _applied(self, name: str, argument: Any) -> Any:
        relation = self._connection.sql(f"SELECT {_call(name, argument)} AS output")
        assert relation is not None
        return formats.json_value(relation.fetchall()[0][0])

    def _applied_to_all(self, name: str, arguments: list[Any]) -> list[Any]:
        """All results, by one query where the arguments are alike."""
        names = {tuple(argument) if isinstance(argument, Mapping) else None for argument in arguments}
        fields = next(iter(names)) if len(names) == 1 else None
        if not fields:
            return [self._applied(name, argument) for argument in arguments]
        row = ", ".join(f"{quote(field)}: tfsql_input.{quote(field)}" for field in fields)
        values = ", ".join(map(texts.literal, arguments))
        try:
            relation = self._connection.sql(
                f"SELECT {quote(name)}({{{row}}}) AS output FROM (SELECT unnest([{values}]) AS tfsql_input)"
            )
        except TfsqlError:  # elements of types that have nothing in common
            return [self._applied(name, argument) for argument in arguments]
        assert relation is not None
        return [formats.json_value(value) for (value,) in relation.fetchall()]

    # -- procedures --------------------------------------------------------------------------------------------------

    def _make_procedure(self, name: str, config: dict[str, Any]) -> dict[str, Any] | None:
        params = check_procedure(config["type"], config["params"])
        self._store.put("procedures", name, config)
        if not params[RUN_ON_CREATION]:
            return None
        return {"firstRun": self._run(name, config["type"], params)}

    def start_run(self, payload: Any, name: str) -> Answer:
        """POST ``.../runs``: runs the procedure, with other parameters where ``params`` has some."""
        config = self._known("procedures", name)
        given = read_parameters(RUN, payload, "a run")
        params = check_procedure(config["type"], {**config["params"], **(given["params"] or {})})
        return Answer(CREATED, self._run(name, config["type"], params, given["id"]))

    def runs(self, payload: Any, name: str) -> Answer:
        self._known("procedures", name)
        return Answer(OK, [run["id"] for run in self._runs_of(name)])

    def run(self, payload: Any, name: str, run: str) -> Answer:
        self._known("procedures", name)
        for found in self._runs_of(name):
            if found["id"] == run:
                return Answer(OK, found)
        raise RequestError(NOT_FOUND, f'The procedure "{name}" has no run "{run}"')

    def _runs_of(self, name: str) -> list[dict[str, Any]]:
        return [run for run in self._runs.values() if run["procedure"] == name]

    def _run(self, name: str, kind: str, params: dict[str, Any], run: str | None = None) -> dict[str, Any]:
        started = _now()
        made: dict[str, Any] = {"id": run or f"{started}-{next(self._numbers)}", "procedure": name}
        made |= {"runStarted": started, "state": "executing"}
        self._runs[made["id"]] = made
        try:
            status = run_procedure(self._store, kind, params)
        except TfsqlError as error:
            made |= {"state": "error", "runFinished": _now(), "error": str(error)}
            raise
        made |= {"state": "finished", "runFinished": _now(), "status": status}
        return made

    # -- datasets ----------------------------------------------------------------------------------------------------

    def _make_dataset(self, name: str, config: dict[str, Any]) -> None:
        if config["params"]:
            raise BindError(f"A dataset takes no params: {', '.join(config['params'])}")
        with self._store.transaction():
            self._store.make_tables()
            self._store.drop_dataset(name)
            self._store.put("datasets", name, config)

    def record_row(self, payload: Any, name: str) -> Answer:
        self._known("datasets", name)
        datasets.record(self._store, name, [payload])
        return Answer(OK)

    def record_rows(self, payload: Any, name: str) -> Answer:
        """``.../multirows``: an array of rows, or of pairs of a name and its columns."""
        self._known("datasets", name)
        if not isinstance(payload, list):
            raise TypeMismatchError("multirows takes an array of rows")
        rows = [{"rowName": r[0], "columns": r[1]} if isinstance(r, list) and len(r) == 2 else r for r in payload]
        datasets.record(self._store, name, rows)
        return Answer(OK)

    def commit(self, payload: Any, name: str) -> Answer:
        self._known("datasets", name)
        datasets.commit(self._store, name)
        return Answer(OK, self._dataset_status(name))

    def _dataset_status(self, name: str) -> dict[str, Any]:
        if not self._store.has_dataset(name):
            return {"rowCount": 0}
        ((count,),) = self._store.run(f"SELECT count(*) FROM {quote(name)}")
        return {"rowCount": count}

    # -- operators ---------------------------------------------------------------------------------------------------

    def operators(self, payload: Any) -> Answer:
        from tfsql.registry import wrapped_names

        return Answer(OK, list(wrapped_names()))

    def operator(self, payload: Any, name: str) -> Answer:
        """One operator's definition, as TensorFlow writes it in JSON."""
        from google.protobuf.json_format import MessageToDict

        from tfsql.registry import wrapped_names
        from tfsql.registry.opdef import op_def

        definition = op_def(name)
        if definition is None:
            hint = did_you_mean(name, wrapped_names())
            raise RequestError(NOT_FOUND, f'There is no operator "{name}"' + (f". {hint}" if hint else ""))
        return Answer(OK, MessageToDict(definition, preserving_proto_field_name=True))


_MAKERS: dict[str, Callable[[Resources, str, dict[str, Any]], Any]] = {
    "functions": Resources._make_function,
    "procedures": Resources._make_procedure,
    "datasets": Resources._make_dataset,
}


def _route(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"(?<!\?P)<(\w+)>", r"(?P<\1>[^/]+)", path))


_APPLY = {"GET": Resources.apply, "POST": Resources.apply}
_BATCH = {"GET": Resources.apply_batch, "POST": Resources.apply_batch}
_ROUTES: list[tuple[re.Pattern[str], dict[str, Callable[..., Answer]]]] = [
    (_route("/v1/query"), {"GET": Resources.query, "POST": Resources.query}),
    (_route("/v1/types/<kind>"), {"GET": Resources.types}),
    (_route("/v1/(?P<kind>functions|procedures|datasets)"), {"GET": Resources.ids, "POST": Resources.create}),
    (
        _route("/v1/(?P<kind>functions|procedures|datasets)/<name>"),
        {"GET": Resources.get, "PUT": Resources.put, "DELETE": Resources.delete},
    ),
    (_route("/v1/(?P<kind>functions)/<name>/application"), _APPLY),
    (_route("/v1/(?P<kind>functions)/<name>/batch"), _BATCH),
    (_route("/v1/procedures/<name>/runs"), {"GET": Resources.runs, "POST": Resources.start_run}),
    (_route("/v1/procedures/<name>/runs/<run>"), {"GET": Resources.run}),
    (_route("/v1/datasets/<name>/rows"), {"POST": Resources.record_row}),
    (_route("/v1/datasets/<name>/multirows"), {"POST": Resources.record_rows}),
    (_route("/v1/datasets/<name>/commit"), {"POST": Resources.commit}),
    (_route("/v1/plugins/tensorflow/routes/ops"), {"GET": Resources.operators}),
    (_route("/v1/plugins/tensorflow/routes/ops/<name>"), {"GET": Resources.operator}),
]


def _failed(status: int, message: str, details: dict[str, Any] | None = None) -> Answer:
    return Answer(status, {"error": message, "httpCode": status, "details": details or {}})


def _types(kind: str) -> tuple[str, ...]:
    if kind not in RESOURCE_TYPES:
        raise RequestError(NOT_FOUND, f"There are no {kind}; there are {', '.join(RESOURCE_TYPES)}")
    return RESOURCE_TYPES[kind]


def _config(payload: Any, kind: str) -> dict[str, Any]:
    """The configuration of a resource, its type one that there is."""
    types, what = _types(kind), f"a {kind[:-1]}"
    given = read_parameters(RESOURCE, payload, what)
    if given["type"] not in types:
        hint = did_you_mean(given["type"], types)
        raise BindError(f'There is no type "{given["type"]}" of {kind}. Types are: {", ".join(types)}', hint=hint)
    if not given["persistent"]:
        raise BindError(f"persistent: {what} is kept in the database, always")
    return given


def _input(payload: Any) -> Any:
    """The ``input`` of an application."""
    return read_parameters(APPLICATION, payload, "an application")["input"]


def _call(name: str, argument: Any) -> str:
    given = "" if argument == {} else texts.literal(argument)
    return f"{quote(name)}({given})"


def _truth(value: bool | str, name: str) -> bool:
    """A boolean, which a query string has as text."""
    if isinstance(value, bool):
        return value
    if value.lower() not in _TRUTH:
        raise TypeMismatchError(f"query: {name} is true or false, not {value!r}")
    return _TRUTH[value.lower()]


def _named(relation: Relation) -> Any:
    """The flattened rows of a relation, their names in the last column: their positions where it has no names."""
    import pyarrow as pa

    table = relation.flatten().arrow()
    if table.column_names[-1:] != [ROW_NAME]:
        table = table.append_column(ROW_NAME, pa.array([str(i) for i in range(table.num_rows)], pa.string()))
    return table


def _now() -> str:
    return formats.iso_time(datetime.datetime.now(datetime.UTC))
