"""What a call must fulfil beside TensorFlow's own rules, and how much it makes: ``operators/checks.toml``."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import CodeType
from typing import Any

from tfsql.registry.opdef import operator_spec, wrapped_names


@dataclass(frozen=True)
class Check:
    """A condition on one call of an operator.

    Attributes:
      text: the condition, an expression over the names of inputs, outputs and attributes; see operators/checks.toml.
      reason: the sentence for the user, which goes on from the operator's name.
      names: the inputs, outputs and attributes that it is about.
    """

    text: str
    reason: str
    code: CodeType

    @property
    def names(self) -> tuple[str, ...]:
        return self.code.co_names


@dataclass(frozen=True)
class Size:
    """How many elements an output has, where a value decides it rather than a shape."""

    output: str
    text: str
    code: CodeType


@dataclass(frozen=True)
class Checks:
    """All that is known of an operator.

    Attributes:
      requires: what must be true before the kernel runs.
      ensures: what must be true of its outputs.
      sizes: how many elements its outputs have.
    """

    requires: tuple[Check, ...] = ()
    ensures: tuple[Check, ...] = ()
    sizes: tuple[Size, ...] = ()


@cache
def checks_of(operator: str) -> Checks:
    """The checks of an operator; empty for most."""
    return _all_checks().get(operator, Checks())


@cache
def _all_checks() -> Mapping[str, Checks]:
    text = (resources.files("tfsql.operators") / "checks.toml").read_text(encoding="utf-8")
    document = tomllib.loads(text)
    found: dict[str, dict[str, list[Any]]] = {}
    for written in document["check"]:
        kind = "requires" if "requires" in written else "ensures"
        check = Check(written[kind], written["reason"], _compiled(written[kind]))
        for operator in _operators(written):
            found.setdefault(operator, {}).setdefault(kind, []).append(check)
    for written in document["size"]:
        sizes = [Size(name, written["elements"], _compiled(written["elements"])) for name in written["outputs"]]
        for operator in written["operators"]:
            found.setdefault(operator, {}).setdefault("sizes", []).extend(sizes)
    return {
        operator: Checks(**{kind: tuple(items) for kind, items in kinds.items()}) for operator, kinds in found.items()
    }


def _operators(written: Mapping[str, Any]) -> list[str]:
    """The operators that an entry is about: by name, or those that have an attribute or an input."""
    if "operators" in written:
        return list(written["operators"])
    specs = [spec for spec in map(operator_spec, wrapped_names()) if spec is not None]
    if "having_attribute" in written:
        return [spec.name for spec in specs if spec.attribute(written["having_attribute"])]
    return [spec.name for spec in specs if spec.input_index(written["having_input"]) is not None]


def checked_operators() -> tuple[str, ...]:
    """The operators that have checks, sorted."""
    return tuple(sorted(_all_checks()))


class _Equalities(ast.NodeTransformer):
    """``a == b`` as ``equal(a, b)``: outside of a function, TensorFlow compares tensors as objects."""

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        name = {ast.Eq: "equal", ast.NotEq: "unequal"}.get(type(node.ops[0]))
        if name is None:
            return node
        (right,) = node.comparators
        return ast.Call(ast.Name(name, ast.Load()), [node.left, right], [])


def _compiled(text: str) -> CodeType:
    tree = ast.fix_missing_locations(_Equalities().visit(ast.parse(text, mode="eval")))
    return compile(tree, "operators/checks.toml", "eval")
