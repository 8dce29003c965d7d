"""Forms of the syntax tree that binding looks for: operator calls, rows, function names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from tfsql.bind.literals import field_name
from tfsql.sugar import CALL_PREFIX, ROW_FUNCTION

if TYPE_CHECKING:
    from tfsql.custom_operators import CustomOperator
    from tfsql.registry import OperatorSpec

OPERATOR_PREFIX = "tf_"


def is_operator_name(name: str) -> bool:
    """Whether a function is called like an operator; a prefix in capitals is told of by the error."""
    return name.lower().startswith(OPERATOR_PREFIX) and len(name) > len(OPERATOR_PREFIX)


def function_name(node: exp.Expr) -> str:
    """The lower-case name of a function call, whether the grammar knows the function or not; else an empty string."""
    if isinstance(node, exp.Anonymous):
        return node.name.lower().removeprefix(CALL_PREFIX)
    return node.sql_name().lower() if isinstance(node, exp.Func) else ""


def is_row(node: exp.Expr) -> bool:
    return isinstance(node, exp.Anonymous) and str(node.this) == ROW_FUNCTION


def has_star(node: exp.Expr) -> bool:
    return any(isinstance(element, exp.Columns) for element in node.expressions)


def row_elements(node: exp.Expr) -> list[tuple[str, exp.Expr]]:
    """Name and expression of each element of a row without stars."""
    return [
        (field_name(element), element.expression) if isinstance(element, exp.PropertyEQ) else (element.name, element)
        for element in node.expressions
    ]


def as_struct(node: exp.Expr, spec: OperatorSpec | CustomOperator) -> exp.Expr:
    """``{x, y}`` as ``{x: x, y: y}`` where its names are inputs of the operator."""
    if not is_row(node) or has_star(node):
        return node
    elements = row_elements(node)
    if any(spec.input_index(name) is None and spec.attribute(name) is None for name, _ in elements):
        return node
    pairs = [exp.PropertyEQ(this=exp.to_identifier(name), expression=value) for name, value in elements]
    return exp.Struct(expressions=pairs)
