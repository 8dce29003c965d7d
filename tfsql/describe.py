"""``SHOW FUNCTIONS`` and ``DESCRIBE FUNCTION``: what there is to call, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from tfsql.bind.forms import OPERATOR_PREFIX, is_operator_name
from tfsql.bind.helpers import HELPERS
from tfsql.errors import BindError, did_you_mean

if TYPE_CHECKING:
    from tfsql.bind.calls import HostFunction
    from tfsql.bind.functions import FunctionDefinition
    from tfsql.custom_operators import CustomOperator

_COLUMNS = ("part", "name", "type", "default", "description")


def functions_table(
    functions: Mapping[str, FunctionDefinition],
    host_functions: Mapping[str, HostFunction],
    operators: Mapping[str, CustomOperator],
) -> pa.Table:
    """What can be called besides TensorFlow's operators and the engine's functions: name, kind, parameters, definition.

    The kind is ``sql`` for a function of the database, ``library`` for one of tfsql's, ``python`` for one of this
    process, ``operator`` for an operator of the user's own.
    """
    rows = [(made.name, made.origin, [p for p, _ in made.parameters], made.body) for made in functions.values()]
    rows += [(made.name, "python", made.parameters, made.doc) for made in host_functions.values()]
    rows += [(made.sql_name, "operator", [p.name for p in made.inputs], made.doc) for made in operators.values()]
    rows.sort(key=lambda row: (row[1] == "library", row[0]))
    names, kinds, parameters, definitions = zip(*rows, strict=True) if rows else ([], [], [], [])
    return pa.table(
        {
            "name": pa.array(names, pa.string()),
            "kind": pa.array(kinds, pa.string()),
            "parameters": pa.array(parameters, pa.list_(pa.string())),
            "definition": pa.array(definitions, pa.string()),
        }
    )


def function_table(
    name: str,
    functions: Mapping[str, FunctionDefinition],
    host_functions: Mapping[str, HostFunction],
    operators: Mapping[str, CustomOperator],
) -> pa.Table:
    """The parts of what a name calls, one a row: part, name, type, default, description.

    Raises:
      BindError: there is no such function.
    """
    key = name.lower()
    if key in functions:
        return _table(_definition_rows(functions[key]))
    if key in operators:
        return _table(_custom_rows(operators[key]))
    if key in host_functions:
        function = host_functions[key]
        parameters = [("parameter", parameter, "", "", "") for parameter in function.parameters]
        return _table([("function", function.name, "python", "", function.doc), *parameters])
    if is_operator_name(name):
        return _table(_operator_rows(name))
    raise BindError(f"No function {name}", hint=did_you_mean(name, [*functions, *host_functions, *operators, *HELPERS]))


def _definition_rows(definition: FunctionDefinition) -> list[tuple[str, ...]]:
    text = definition.doc or definition.body
    rows: list[tuple[str, ...]] = [("function", definition.name, definition.origin, "", text)]
    rows += [("parameter", parameter, "", default or "", "") for parameter, default in definition.parameters]
    return rows + ([("definition", "", "", "", definition.body)] if definition.doc else [])


def _custom_rows(operator: CustomOperator) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("operator", operator.sql_name, "operator", "", operator.doc)]
    for part, parameters in (("input", operator.inputs), ("attribute", operator.attributes)):
        rows += [(part, p.name, "", str(p.default) if p.is_optional else "", "") for p in parameters]
    return rows


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
