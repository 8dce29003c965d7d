"""Operators of the user's own: Python functions of one row's tensors that fuse like TensorFlow's operators."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload

from tfsql.bind.forms import is_operator_name
from tfsql.errors import BindError

if TYPE_CHECKING:
    from tfsql.infer import Inference
    from tfsql.tree import Node, Value

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Parameter:
    """An input or attribute of an operator.

    Attributes:
      default: its value where a call gives none; for an input that must be given, ``is_optional`` is False.
    """

    name: str
    default: Any = None
    is_optional: bool = False


class CustomOperator(Protocol):
    """An operator that is made of others."""

    @property
    def sql_name(self) -> str: ...

    @property
    def inputs(self) -> Sequence[Parameter]: ...

    @property
    def attributes(self) -> Sequence[Parameter]: ...

    @property
    def doc(self) -> str: ...

    def input_index(self, name: str) -> int | None: ...

    def attribute(self, name: str) -> Parameter | None: ...

    def expand(self, inference: Inference, inputs: Mapping[str, Node], attributes: Mapping[str, Any]) -> Value:
        """The calls of TensorFlow's operators that a call stands for."""


@dataclass(frozen=True)
class Signature:
    """The names of a custom operator, with what looks arguments up."""

    sql_name: str
    inputs: tuple[Parameter, ...]
    attributes: tuple[Parameter, ...] = ()
    doc: str = ""

    def input_index(self, name: str) -> int | None:
        return next((i for i, parameter in enumerate(self.inputs) if parameter.name == name), None)

    def attribute(self, name: str) -> Parameter | None:
        return next((parameter for parameter in self.attributes if parameter.name == name), None)


@dataclass(frozen=True)
class PythonOperator(Signature):
    """A Python function as an operator: its parameters are inputs, its keyword-only parameters attributes."""

    function: Callable[..., Any] = lambda: None

    def expand(self, inference: Inference, inputs: Mapping[str, Node], attributes: Mapping[str, Any]) -> Value:
        from tfsql.infer.traced import traced

        return traced(self, inference, inputs, attributes)


OPERATORS: dict[str, CustomOperator] = {}
"""The operators that ``operator`` has registered, by lower-case name."""


@overload
def operator(function: F) -> F: ...


@overload
def operator(*, name: str | None = None) -> Callable[[F], F]: ...


def operator(function: Any = None, *, name: str | None = None) -> Any:
    """Registers a Python function of tensors as an operator: a decorator.

    The function is written for one row: it takes that row's tensors and returns a tensor, or a dict or tuple of
    tensors, which is a row in SQL. It is traced once for each set of types, and what it does becomes part of the
    expression around it: batched, fused and explained like TensorFlow's own operators. Its variables (the weights of a
    model) are read when it is traced.

    Args:
      name: what SQL calls it; the function's own name if it is left out.

    Raises:
      BindError: SQL cannot call the name, or the function takes ``*args`` or ``**kwargs``.

    Example:
      >>> import tfsql
      >>> @tfsql.operator
      ... def adjust_gamma(image, *, exponent=2.0):
      ...     return image**exponent
      >>> tfsql.sql("SELECT adjust_gamma([1.0, 3.0], exponent := 2) AS y").fetchall()
      [((1.0, 9.0),)]
    """
    if function is None:
        return lambda decorated: operator_named(name or decorated.__name__, decorated)
    return operator_named(name or function.__name__, function)


def operator_named(name: str, function: F) -> F:
    """Registers ``function`` as the operator ``name``."""
    OPERATORS[name.lower()] = python_operator(name, function)
    return function


def python_operator(name: str, function: Callable[..., Any]) -> PythonOperator:
    """The operator that a Python function is."""
    if not name.isidentifier() or is_operator_name(name):
        why = "is a name of TensorFlow's operators" if is_operator_name(name) else "is no name for an operator"
        raise BindError(f"{name} {why}", hint="Give it one: @tfsql.operator(name='...')")
    parameters = inspect.signature(function).parameters.values()
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise BindError(f"Operator {name} takes {parameter}, but each of its parameters needs a name")
    made = [(Parameter(p.name, p.default, p.default is not p.empty), p.kind == p.KEYWORD_ONLY) for p in parameters]
    inputs = tuple(parameter for parameter, is_attribute in made if not is_attribute)
    attributes = tuple(parameter for parameter, is_attribute in made if is_attribute)
    return PythonOperator(name, inputs, attributes, inspect.getdoc(function) or "", function)
