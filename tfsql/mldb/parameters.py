"""What a resource is configured with: every parameter is declared, and one that is not is refused by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tfsql.errors import BindError, TypeMismatchError, did_you_mean

_NAMES = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}


@dataclass(frozen=True)
class Parameter:
    """One parameter.

    Attributes:
      kinds: the Python types of the JSON values that it takes.
    """

    name: str
    kinds: tuple[type, ...]
    default: Any = None
    is_required: bool = False


def parameter(name: str, *kinds: type, default: Any = None) -> Parameter:
    """An optional parameter."""
    return Parameter(name, kinds, default)


def required(name: str, *kinds: type) -> Parameter:
    """A parameter that must be given."""
    return Parameter(name, kinds, is_required=True)


def json_schema(declared: Sequence[Parameter]) -> dict[str, Any]:
    """The JSON schema of an object of these parameters."""
    properties = {
        parameter.name: {"type": kinds[0] if len(kinds) == 1 else kinds}
        for parameter in declared
        for kinds in [[_NAMES[kind] for kind in parameter.kinds]]
    }
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    names = [parameter.name for parameter in declared if parameter.is_required]
    return {**schema, "required": names} if names else schema


def read_parameters(declared: Sequence[Parameter], given: Any, subject: str) -> dict[str, Any]:
    """The value of each parameter, its default where none is given; null is as good as absent.

    Raises:
      BindError: a parameter is unknown or missing.
      TypeMismatchError: a value is of another JSON type, or the parameters are no object.
    """
    if given is None:
        given = {}
    if not isinstance(given, Mapping):
        raise TypeMismatchError(f"The params of {subject} are an object, not {_json_type(given)}")
    names = [parameter.name for parameter in declared]
    for name in given:
        if name not in names:
            known = ", ".join(names)
            raise BindError(
                f'{subject} has no parameter "{name}". Parameters are: {known}', hint=did_you_mean(name, names)
            )
    return {parameter.name: _value(parameter, given.get(parameter.name), subject) for parameter in declared}


def _value(parameter: Parameter, value: Any, subject: str) -> Any:
    if value is None:
        if parameter.is_required:
            raise BindError(f'{subject} needs the parameter "{parameter.name}"')
        return parameter.default
    is_right = isinstance(value, parameter.kinds) and (not isinstance(value, bool) or bool in parameter.kinds)
    if not is_right:
        wanted = _with_article(" or ".join(_NAMES[kind] for kind in parameter.kinds))
        raise TypeMismatchError(f"{subject}: {parameter.name} is {wanted}, not {_json_type(value)}")
    return value


def _json_type(value: Any) -> str:
    return "null" if value is None else _with_article(_NAMES.get(type(value), type(value).__name__))


def _with_article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeio' else 'a'} {noun}"
