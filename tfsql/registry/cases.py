"""Example calls of operators: read from ``operators/cases``, and made from the OpDef where its rule is enough.

A case is a set of arguments by the names of ``tf.raw_ops``. An input written as a string says how its values are
drawn (``tfsql.registry.draws``), and is a column; one written as a number, an array or ``{value: ...}`` is a constant.
"""

from __future__ import annotations

import tomllib
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from tfsql.registry.draws import Draw, read_draw
from tfsql.registry.opdef import Argument, OperatorSpec, operator_spec

_LIMITS = "limits.toml"
# What a case says of itself rather than of a call.
_FACTS = ("name", "tolerance", "pick", "is_comparable", "within", "reshape", "in_graph")


@dataclass(frozen=True)
class Literal:
    """An input that is written out, the same for every row."""

    value: Any
    dtype: str | None = None


Input = Draw | Literal


@dataclass(frozen=True)
class Case:
    """A valid call of an operator.

    Attributes:
      inputs: by documented name; a list where the OpDef takes one.
      attributes: by documented name.
      name: tells cases of one operator apart.
      tolerance: the relative difference between two ways to compute it that counts as equal.
      pick: the outputs that are defined; all of them if it is empty.
      is_comparable: whether two calls give the same; otherwise only types and shapes are compared.
      within: the least and the greatest value that may come out, if there are such.
      reshape: the shape that the result is given, where TensorFlow does not tell its rank.
      in_graph: whether the operator needs a graph, as some kernels do that take only constants.
      category: the file of ``operators/cases`` that has it; ``generated`` for those that the OpDef's rule makes.
    """

    operator: str
    inputs: Mapping[str, Input | list[Input]]
    attributes: Mapping[str, Any]
    name: str = ""
    tolerance: float = 1e-4
    pick: tuple[str, ...] = ()
    is_comparable: bool = True
    within: tuple[float, float] | None = None
    reshape: tuple[int, ...] | None = None
    in_graph: bool = False
    category: str = "generated"

    @property
    def id(self) -> str:
        return f"{self.operator}-{self.name}" if self.name else self.operator

    def items(self) -> Iterator[tuple[str, Input]]:
        """Every tensor that the case takes, by a name of its own."""
        for name, given in self.inputs.items():
            if isinstance(given, list):
                yield from ((f"{name}_{index}", item) for index, item in enumerate(given))
            else:
                yield name, given

    def columns(self) -> dict[str, Draw]:
        """The inputs that vary by row."""
        return {name: item for name, item in self.items() if isinstance(item, Draw) and not item.is_constant}

    def rows(self, count: int) -> list[dict[str, np.ndarray]]:
        """Values for each drawn input in each of ``count`` rows, the same on every call."""
        generator = np.random.default_rng(zlib.crc32(self.id.encode()))
        drawn = {name: item for name, item in self.items() if isinstance(item, Draw)}
        constant = {name: item.value(generator) for name, item in drawn.items() if item.is_constant}
        varying = self.columns()
        return [constant | {name: item.value(generator) for name, item in varying.items()} for _ in range(count)]


@cache
def written_cases() -> dict[str, tuple[Case, ...]]:
    """The cases of ``operators/cases``, by operator."""
    made: dict[str, tuple[Case, ...]] = {}
    for category, document in _documents().items():
        for operators, cases in document.items():
            for operator in operators.split():
                made[operator] = made.get(operator, ()) + tuple(_case(operator, case, category) for case in cases)
    return made


def _documents() -> dict[str, dict[str, Any]]:
    """The files of cases, by name."""
    folder = resources.files("tfsql.operators") / "cases"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".toml")), key=lambda file: file.name)
    return {
        file.name.removesuffix(".toml"): tomllib.loads(file.read_text(encoding="utf-8"))
        for file in files
        if file.name != _LIMITS
    }


@cache
def cases_of(operator: str) -> tuple[Case, ...]:
    """The cases of an operator: those that are written, else the one that the OpDef's rule makes, if it makes one."""
    if operator in written_cases() or operator in limits():
        return written_cases().get(operator, ())
    spec = operator_spec(operator)
    assert spec is not None
    made = generated_case(spec)
    return (made,) if made is not None else ()


def _case(operator: str, written: Mapping[str, Any], category: str = "") -> Case:
    spec = operator_spec(operator)
    if spec is None:
        raise ValueError(f"operators/cases: there is no operator {operator}")
    inputs: dict[str, Any] = {}
    attributes: dict[str, Any] = {}
    facts: dict[str, Any] = {}
    for name, value in written.items():
        index = spec.input_index(name)
        if index is not None:
            inputs[name] = _input(spec.inputs[index], value)
        elif spec.attribute(name) is not None:
            attributes[name] = value
        elif name in _FACTS:
            facts[name] = tuple(value) if isinstance(value, list) else value
        else:
            raise ValueError(f"operators/cases: {operator} has no input or attribute {name}")
    return Case(operator, inputs, attributes, category=category, **facts)


def _input(argument: Argument, value: Any) -> Input | list[Input]:
    if argument.is_list and isinstance(value, list):
        return [_single(item) for item in value]
    return _single(value)


def _single(value: Any) -> Input:
    if isinstance(value, str):
        return read_draw(value)
    if isinstance(value, dict):
        return Literal(value["value"], value.get("dtype"))
    return Literal(value)


# -- limits ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Limit:
    """What is known not to work.

    Attributes:
      reason: why, as a sentence that goes on from the operator's name.
      case: a call that shows it.
      stage: who fails: ``tensorflow`` when it is called directly, ``sql`` when the engine is, or ``differs`` where
        both give a result and the results are not equal.
      message: a part of the error's message; empty where results differ.
    """

    operator: str
    reason: str
    case: Case
    stage: str
    message: str = ""


@cache
def limits() -> dict[str, tuple[Limit, ...]]:
    """The known limits of ``operators/cases/limits.toml``, by operator."""
    text = (resources.files("tfsql.operators") / "cases" / _LIMITS).read_text(encoding="utf-8")
    made: dict[str, tuple[Limit, ...]] = {}
    for written in tomllib.loads(text)["limit"]:
        for operator in written["operators"]:
            case = _case(operator, written["case"], "limits")
            limit = Limit(operator, written["reason"], case, written["stage"], written.get("message", ""))
            made[operator] = (*made.get(operator, ()), limit)
    return made


# -- from the OpDef ----------------------------------------------------------------------------------------------------

_PREFERRED = ("float32", "int32", "bool", "string", "uint8", "int64", "float64", "complex64")
_SHAPE = (2, 3)


def generated_case(spec: OperatorSpec) -> Case | None:
    """The case in which every input is a matrix of the first dtype allowed; None where attributes need a thought.

    That is valid for operators that work element by element, and for many others.
    """
    attributes: dict[str, Any] = {}
    for attribute in spec.attributes:
        if attribute.is_required:
            if attribute.kind != "type":
                return None
            attributes[attribute.name] = _preferred(attribute.allowed)
    inputs = {argument.name: _generated_input(spec, argument) for argument in spec.inputs}
    return Case(spec.name, inputs, attributes)


def _generated_input(spec: OperatorSpec, argument: Argument) -> Input | list[Input]:
    dtype = argument.dtype
    if argument.type_attr:
        attribute = spec.attribute(argument.type_attr)
        assert attribute is not None
        dtype = _preferred(attribute.allowed)
    drawn = Draw(dtype or "float32", _SHAPE, "", (), is_constant=False)
    return [drawn, drawn] if argument.is_list else drawn


def _preferred(allowed: tuple[str, ...]) -> str:
    return next((dtype for dtype in _PREFERRED if not allowed or dtype in allowed), allowed[0] if allowed else "")
