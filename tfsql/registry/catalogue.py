"""The operator catalogue as a table: ``SELECT * FROM tf_operators()``."""

from __future__ import annotations

from functools import cache
from typing import Any

import pyarrow as pa

from tfsql.registry.opdef import NO_DEFAULT, Argument, Attribute, operator_spec, wrapped_names
from tfsql.registry.policy import verdict

_ARGUMENT = pa.struct([("name", pa.string()), ("type", pa.string())])
_ATTRIBUTE = pa.struct(
    [("name", pa.string()), ("type", pa.string()), ("default", pa.string()), ("allowed", pa.list_(pa.string()))]
)
_SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("summary", pa.string()),
        ("inputs", pa.list_(_ARGUMENT)),
        ("outputs", pa.list_(_ARGUMENT)),
        ("attributes", pa.list_(_ATTRIBUTE)),
        ("status", pa.string()),
        ("reason", pa.string()),
    ]
)


@cache
def operators_table() -> pa.Table:
    """One row for each operator that ``tf.raw_ops`` wraps, with its arguments and the policy's verdict."""
    return pa.Table.from_pylist([_row(name) for name in wrapped_names()], schema=_SCHEMA)


def _row(name: str) -> dict[str, Any]:
    spec = operator_spec(name)
    assert spec is not None
    judged = verdict(name)
    return {
        "name": spec.sql_name,
        "summary": spec.summary,
        "inputs": [_argument(argument) for argument in spec.inputs],
        "outputs": [_argument(argument) for argument in spec.outputs],
        "attributes": [_attribute(attribute) for attribute in spec.attributes],
        "status": judged.status,
        "reason": judged.reason or None,
    }


def argument_type(argument: Argument) -> str:
    """``T`` for a type attribute, ``N * T`` for a list of one type, ``list of T`` for a list of several."""
    kind = argument.dtype or argument.type_attr or f"list of {argument.type_list_attr}"
    return f"{argument.number_attr} * {kind}" if argument.number_attr else kind


def _argument(argument: Argument) -> dict[str, str]:
    return {"name": argument.name, "type": argument_type(argument)}


def _attribute(attribute: Attribute) -> dict[str, Any]:
    default = None if attribute.default is NO_DEFAULT else str(attribute.default)
    return {
        "name": attribute.name,
        "type": attribute.kind,
        "default": default,
        "allowed": list(attribute.allowed) or None,
    }
