"""Functions as resources: each type makes of its parameters what SQL then calls by the resource's id.

``sql.expression``, ``sql.query`` and ``tensorflow.op`` become SQL functions of the database. ``fetcher`` and
``tensorflow.graph`` are functions of the process, made anew from their configuration when the database is opened.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tfsql.bind.functions import CreateFunction, FunctionDefinition, check_recursion, shell
from tfsql.errors import BindError, TfsqlError, UnsupportedError, did_you_mean
from tfsql.mldb import texts
from tfsql.mldb.fetch import Fetcher
from tfsql.mldb.files import local_file
from tfsql.mldb.parameters import Parameter, parameter, read_parameters, required
from tfsql.sugar import ROW_NAME
from tfsql.types import quote

if TYPE_CHECKING:
    from tfsql.session import Connection

_GRAPH_PREFIX = "tfsql_graph_"


@dataclass(frozen=True)
class FunctionType:
    """A type of function.

    Attributes:
      make: makes the function of this name callable from SQL.
      is_of_process: whether it must be made anew in each process.
    """

    parameters: Sequence[Parameter]
    make: Callable[[Connection, str, dict[str, Any]], None]
    is_of_process: bool = False


def make_function(connection: Connection, kind: str, name: str, params: Any) -> None:
    """Makes a function callable; one of the same name is replaced.

    Raises:
      BindError: there is no such type, or a parameter is unknown or missing.
    """
    made = FUNCTION_TYPES[kind]
    made.make(connection, name, read_parameters(made.parameters, params, kind))


def remove_function(connection: Connection, name: str) -> None:
    """Takes back what ``make_function`` made."""
    if name.lower() in connection.catalog.functions:
        connection.backend.execute(f"DROP FUNCTION {quote(connection.catalog.functions[name.lower()].name)}", {})
        connection.catalog.forget()
    for made in (name, _GRAPH_PREFIX + name):
        if made.lower() in connection.function_names:
            connection.remove_function(made)


def _define(connection: Connection, definition: FunctionDefinition) -> None:
    check_recursion(definition, connection.functions)
    connection.backend.execute(shell(CreateFunction("CREATE OR REPLACE FUNCTION", definition, 0)), {})
    connection.catalog.forget()


def _definition(name: str, parameters: Sequence[str], body: str, doc: str) -> FunctionDefinition:
    return FunctionDefinition(name, tuple((parameter, None) for parameter in parameters), body, True, doc)


# -- sql.expression, sql.query -----------------------------------------------------------------------------------------


def _sql_expression(connection: Connection, name: str, params: dict[str, Any]) -> None:
    """A select list over the parameters that its free names are."""
    text = params["expression"]
    items = texts.select_items(text, "expression")
    free = texts.free_names(text, "expression")
    if params["autoInput"] and len(free) != 1:
        listed = ", ".join(free) or "none"
        raise BindError(f"autoInput needs an expression with one free name; this one has {len(free)}: {listed}")
    if params["raw"] and (len(items) != 1 or items[0].name == "*"):
        raise BindError("raw gives the value of one expression; this is a list of several, or AS *")
    body = items[0].text if params["raw"] else texts.row_text(items, "expression")
    _define(connection, _definition(name, free, body, f"sql.expression: {text}"))


_OUTPUTS = {
    "FIRST_ROW": "(SELECT tfsql_row FROM ({query}) AS tfsql_row LIMIT 1)",
    "NAMED_COLUMNS": '(SELECT map(list("column"), list("value")) FROM ({query}) AS tfsql_row)',
}


def _sql_query(connection: Connection, name: str, params: dict[str, Any]) -> None:
    """A query with ``$name`` parameters, of which the first row, or all rows as a row of their own, is the result."""
    text, output = params["query"], params["output"]
    if output not in _OUTPUTS:
        raise BindError(f"output is {' or '.join(_OUTPUTS)}, not {output}")
    names = texts.dollar_names(text, "query")
    query = texts.one_statement(text, "query").text
    if _has_row_names(connection, query, names):
        query = f"SELECT * EXCLUDE ({quote(ROW_NAME)}) FROM ({query})"
    body = _OUTPUTS[output].format(query=query)
    pairs = tuple((parameter, None) for parameter in names)
    _define(connection, FunctionDefinition(name, pairs, body, True, f"sql.query: {text}", has_dollar_names=True))


def _has_row_names(connection: Connection, query: str, parameters: Sequence[str]) -> bool:
    """Whether a query's rows bring their names, which are no part of them, in a column."""
    with suppress(TfsqlError):  # a query that needs the types of its parameters
        relation = connection.sql(query, dict.fromkeys(parameters))
        return relation is not None and ROW_NAME in relation.columns
    return False


# -- tensorflow.op, tensorflow.graph -----------------------------------------------------------------------------------


def _tensorflow_op(connection: Connection, name: str, params: dict[str, Any]) -> None:
    """One operator with its attributes: ``inputs`` and ``outputs`` are select lists over parameters and results."""
    from tfsql.registry import allowed_operator, wrapped_names
    from tfsql.registry.opdef import op_def

    if op_def(params["op"]) is None:
        raise BindError(f"There is no operator {params['op']}", hint=did_you_mean(params["op"], wrapped_names()))
    spec = allowed_operator(params["op"], params["op"], trust=connection.trust)
    given = params["inputs"] or ", ".join(quote(argument.name) for argument in spec.inputs)
    inputs = texts.row_text(texts.select_items(given, "inputs"), "inputs") if given else ""
    attributes = texts.literal(params["attr"]) if params["attr"] else ""
    call = f"tf_{spec.name}({', '.join(part for part in (inputs, attributes) if part)})"
    results = {argument.name: argument.name for argument in spec.outputs}
    if len(results) == 1:
        results = {next(iter(results)): ""}
    free = texts.free_names(given, "inputs") if given else []
    _define_over(connection, name, free, call, results, params["outputs"], f"tensorflow.op {spec.name}")


def _tensorflow_graph(connection: Connection, name: str, params: dict[str, Any]) -> None:
    """A frozen graph: ``inputs`` names the nodes to feed, ``outputs`` is a select list over those to fetch."""
    _check_devices(params["devices"])
    items = texts.select_items(params["inputs"], "inputs") if params["inputs"] else None
    nodes = texts.free_names(params["outputs"], "outputs") if params["outputs"] else None
    fed = None if items is None else [item.name or item.text for item in items]
    inner = _GRAPH_PREFIX + name
    with local_file(params["modelFileUrl"]) as path:
        connection.load_graph(name, str(path), inputs=fed, outputs=nodes)
        connection.load_graph(inner, str(path), inputs=fed, outputs=nodes)
    graph = connection.operators[inner.lower()]
    if items is None:
        names = [argument.name for argument in graph.inputs]
        given = ", ".join(quote(argument) for argument in names)
        items = texts.select_items(given, "inputs") if given else []
    else:
        names = texts.free_names(params["inputs"], "inputs")
    call = f"{inner}({texts.row_text(items, 'inputs') if items else ''})"
    results = {node: node for node in graph.outputs}  # type: ignore[attr-defined]
    _define_over(
        connection, name, names, call, results, params["outputs"], f"tensorflow.graph {params['modelFileUrl']}"
    )


def _check_devices(pattern: str | None) -> None:
    """Refuses devices that are not there, and a choice among those that are."""
    from tfsql.kernel.devices import device_names

    if pattern is None:
        return
    there = device_names()
    matching = [device for device in there if re.fullmatch(pattern, device, re.IGNORECASE)]
    if not matching:
        raise BindError(f"devices: no device matches {pattern!r}. There are: {', '.join(there)}")
    if len(matching) < len(there):
        raise UnsupportedError(f"devices: only all of {', '.join(there)} can be taken, not {', '.join(matching)} alone")


def _define_over(
    connection: Connection,
    name: str,
    parameters: Sequence[str],
    call: str,
    results: dict[str, str],
    outputs: str | None,
    doc: str,
) -> None:
    """The function that calls ``call`` and returns its results, or a select list over them.

    Args:
      results: the field of the call's result that each name means; an empty one is the result itself.
    """
    places = {result: f"({call}).{quote(field)}" if field else call for result, field in results.items()}
    if outputs:
        unknown = [free for free in texts.free_names(outputs, "outputs") if free not in places]
        if unknown:
            raise BindError(f'outputs: there is no output "{unknown[0]}". There are: {", ".join(places)}')
        items = texts.select_items(texts.with_names_replaced(outputs, places), "outputs")
        written = texts.select_items(outputs, "outputs")
        items = [texts.Item(item.text, as_written.name) for item, as_written in zip(items, written, strict=True)]
    else:
        items = [texts.Item(text, result) for result, text in places.items()]
    _define(connection, _definition(name, parameters, texts.row_text(items, "outputs"), doc))


# -- fetcher -----------------------------------------------------------------------------------------------------------


def _fetcher(connection: Connection, name: str, params: dict[str, Any]) -> None:
    connection.add_host_function(Fetcher(name))


FUNCTION_TYPES: dict[str, FunctionType] = {
    "sql.expression": FunctionType(
        (
            required("expression", str),
            parameter("prepared", bool, default=False),
            parameter("raw", bool, default=False),
            parameter("autoInput", bool, default=False),
        ),
        _sql_expression,
    ),
    "sql.query": FunctionType((required("query", str), parameter("output", str, default="FIRST_ROW")), _sql_query),
    "fetcher": FunctionType((), _fetcher, is_of_process=True),
    "tensorflow.op": FunctionType(
        (required("op", str), parameter("attr", dict), parameter("inputs", str), parameter("outputs", str)),
        _tensorflow_op,
    ),
    "tensorflow.graph": FunctionType(
        (
            required("modelFileUrl", str),
            parameter("inputs", str),
            parameter("outputs", str),
            parameter("devices", str),
        ),
        _tensorflow_graph,
        is_of_process=True,
    ),
}
