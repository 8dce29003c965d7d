"""Which SQL argument is which input or attribute of an operator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlglot import exp

from tfsql.bind.literals import field_name
from tfsql.errors import BindError, did_you_mean

if TYPE_CHECKING:
    from tfsql.custom_operators import CustomOperator, Parameter
    from tfsql.registry import Argument, OperatorSpec

    Spec = OperatorSpec | CustomOperator


@dataclass
class Arguments:
    """The arguments of one call.

    Attributes:
      inputs: by index in OpDef order.
      attributes: by the name that the user wrote.
    """

    inputs: dict[int, exp.Expr] = field(default_factory=dict)
    attributes: dict[str, exp.Expr] = field(default_factory=dict)


class ArgumentError(BindError):
    """The arguments do not fit the operator; ``node`` is the one at fault, None for the call itself."""

    def __init__(self, message: str, node: exp.Expr | None, *, hint: str | None = None):
        super().__init__(message, hint=hint)
        self.node = node


def match_arguments(spec: Spec, written: list[exp.Expr]) -> Arguments:
    """Sorts the arguments of a call: by position in OpDef order, by ``:=``, by a row of inputs, a row of attributes.

    Raises:
      ArgumentError: an input is missing, doubled or unknown, or there are too many.
    """
    arguments = Arguments()
    position = 0
    for index, node in enumerate(written):
        if isinstance(node, exp.PropertyEQ | exp.Kwarg):
            _add_named(spec, arguments, node)
        elif isinstance(node, exp.Struct) and index == 0 and _is_input_row(spec, node):
            for pair in node.expressions:
                _add_named(spec, arguments, pair)
        elif isinstance(node, exp.Struct) and _is_attribute_row(spec, node, index, position, len(written)):
            for pair in node.expressions:
                _add_attribute(spec, arguments, pair)
        else:
            while position in arguments.inputs:
                position += 1
            if position >= len(spec.inputs):
                raise _too_many(spec, node)
            arguments.inputs[position] = node
            position += 1
    _check_complete(spec, arguments)
    return arguments


def _is_input_row(spec: Spec, node: exp.Struct) -> bool:
    names = [field_name(pair) for pair in node.expressions]
    return any(spec.input_index(name) is not None for name in names)


def _is_attribute_row(spec: Spec, node: exp.Struct, index: int, position: int, count: int) -> bool:
    """Whether a row holds attributes rather than a complex number: the last argument, unless an input is still due."""
    is_complex = [field_name(pair) for pair in node.expressions] == ["real", "imag"]
    return index == count - 1 and not (is_complex and position < len(spec.inputs))


def _add_named(spec: Spec, arguments: Arguments, pair: exp.Expr) -> None:
    name = field_name(pair)
    index = spec.input_index(name)
    if index is None:
        _add_attribute(spec, arguments, pair)
        return
    if index in arguments.inputs:
        raise ArgumentError(f'{spec.sql_name}: input "{name}" is given twice', pair)
    arguments.inputs[index] = pair.expression


def _add_attribute(spec: Spec, arguments: Arguments, pair: exp.Expr) -> None:
    name = field_name(pair)
    attribute = spec.attribute(name)
    if attribute is None:
        inputs = [argument.name for argument in spec.inputs]
        attributes = [attribute.name for attribute in spec.attributes]
        known = f"Inputs are: {', '.join(inputs) or 'none'}. Attributes are: {', '.join(attributes) or 'none'}"
        raise ArgumentError(
            f'{spec.sql_name} has no input or attribute "{name}". {known}',
            pair,
            hint=did_you_mean(name, inputs + attributes),
        )
    if any(spec.attribute(given) == attribute for given in arguments.attributes):
        raise ArgumentError(f'{spec.sql_name}: attribute "{name}" is given twice', pair)
    arguments.attributes[name] = pair.expression


def _too_many(spec: Spec, node: exp.Expr) -> ArgumentError:
    names = ", ".join(argument.name for argument in spec.inputs) or "none"
    return ArgumentError(
        f"{spec.sql_name} takes {len(spec.inputs)} input{'s' * (len(spec.inputs) != 1)}. Inputs are: {names}",
        node,
        hint="Attributes are given by name, as padding := 'SAME' or in a row at the end: {padding: 'SAME'}",
    )


def _check_complete(spec: Spec, arguments: Arguments) -> None:
    inputs: Sequence[Argument | Parameter] = spec.inputs
    for index, argument in enumerate(inputs):
        if index not in arguments.inputs and not argument.is_optional:
            names = ", ".join(argument.name for argument in spec.inputs)
            raise ArgumentError(f'{spec.sql_name}: missing input "{argument.name}". Inputs are: {names}', None)
