"""``SHOW FUNCTIONS`` and ``DESCRIBE FUNCTION``: what there is to call, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from tfsql.bind.forms import OPERATOR_PREFIX, is_operator_name
from tfsql.bind.helpers import HELPERS
from tfsql.errors import BindError, did_you_mean

if TYPE_CHECKING:
    from tfsql.bind.functions import FunctionDefinition

_COLUMNS = ("part", "name", "type", "default", "description")


def functions_table(functions: Mapping[str, FunctionDefinition]) -> pa.Table:
    """The SQL functions of the database: name, parameters, body."""
    rows = [functions[name] for name in sorted(functions)]
    return pa.table(
        {
            "name": pa.array([row.name for row in rows], pa.string()),
            "parameters": pa.array([[name for name, _ in row.parameters] for row in rows], pa.list_(pa.string())),
            "definition": pa.array([row.body for row in rows], pa.string()),
        }
    )


def function_table(name: str, functions: Mapping[str, FunctionDefinition]) -> pa.Table:
    """The parts of an operator or SQL function, one a row: part, name, type, default, description.

    Raises:
      BindError: there is no such function.
    """
    if is_operator_name(name):
        return _table(_operator_rows(name))
    if name.lower() in functions:
        definition = functions[name.lower()]
        parameters = [("parameter", parameter, "", default or "", "") for parameter, default in definition.parameters]
        return _table([("function", definition.name, "", "", definition.body), *parameters])
    raise BindError(f"No function {name}", hint=did_you_mean(name, [*functions, *HELPERS]))


def _table(rows: Sequence[tuple[str, ...]]) -> pa.Table:
    cells = [[row[i] or None for row in rows] for i in range(len(_COLUMNS))]
    return pa.table({name: pa.array(column, pa.string()) for name, column in zip(_COLUMNS, cells, strict=True)})


def _operator_rows(name: str) -> list[tuple[str, ...]]:
    from tfsql.registry import NO_DEFAULT, operator_spec, verdict, wrapped_names
    from tfsql.registry.catalogue import argument_type
    from tfsql.registry.docs import argument_texts

    bare = name.removeprefix(OPERATOR_PREFIX)
    spec = operator_spec(bare)
    if spec is None:
        hint = did_you_mean(bare, wrapped_names())
        raise BindError(f"No operator {name}", hint=hint and hint.replace("mean ", f"mean {OPERATOR_PREFIX}"))
    texts, judged = argument_texts(bare), verdict(bare)
    rows: list[tuple[str, ...]] = [("operator", name, judged.status, "", spec.summary)]
    rows += [("reason", "", "", "", judged.reason)] if judged.reason else []
    rows += [("input", a.name, argument_type(a), "", texts.get(a.name, "")) for a in spec.inputs]
    for attr in spec.attributes:
        default = "" if attr.default is NO_DEFAULT else str(attr.default)
        kind = f"{attr.kind} in {', '.join(attr.allowed)}" if attr.allowed else attr.kind
        rows.append(("attribute", attr.name, kind, default, texts.get(attr.name, "")))
    return rows + [("output", a.name, argument_type(a), "", "") for a in spec.outputs]
