"""Functions that are written in terms of operators: reshape, shape, ndim, flatten, norm; constants of graphs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from sqlglot import exp

from tfsql.bind.forms import function_name, is_row
from tfsql.bind.literals import field_name, from_array, weak_constant
from tfsql.bind.scope import Scope
from tfsql.errors import BindError, UnsupportedError
from tfsql.tree import Node, Output, Value
from tfsql.types import Array

if TYPE_CHECKING:
    from tfsql.bind.tensors import TensorBinder


def _arguments(node: exp.Expr, names: tuple[str, ...]) -> list[exp.Expr]:
    """The arguments of a helper, by position or by name."""
    given = list(node.expressions) if isinstance(node, exp.Anonymous) else [node.this]
    found: dict[str, exp.Expr] = {}
    for position, argument in enumerate(given):
        is_named = isinstance(argument, exp.PropertyEQ | exp.Kwarg)
        name = field_name(argument) if is_named else names[position] if position < len(names) else ""
        if name not in names:
            raise BindError(f"{function_name(node)} takes {len(names)} arguments: {', '.join(names)}")
        found[name] = argument.expression if is_named else argument
    absent = [name for name in names if name not in found]
    if absent:
        raise BindError(f'{function_name(node)}: missing argument "{absent[0]}". Arguments are: {", ".join(names)}')
    return [found[name] for name in names]


def _reshape(binder: TensorBinder, node: exp.Expr, scope: Scope) -> Value:
    tensor, shape = _arguments(node, ("x", "shape"))
    return binder.call("Reshape", [binder.node(tensor, scope), binder.node(shape, scope)], {})


def _shape(binder: TensorBinder, node: exp.Expr, scope: Scope) -> Value:
    """The lengths of a tensor's axes: a constant where they are known, so that it does not vary by row."""
    (argument,) = _arguments(node, ("x",))
    tensor = binder.node(argument, scope)
    if tensor.type.is_fixed:
        return from_array(np.array(tensor.type.shape, np.int64))
    return binder.call("Shape", [tensor], {"out_type": "int64"})


def _ndim(binder: TensorBinder, node: exp.Expr, scope: Scope) -> Value:
    """How many axes a tensor has: always a constant."""
    (argument,) = _arguments(node, ("x",))
    tensor = binder.node(argument, scope)
    if tensor.type.shape is None:
        raise UnsupportedError("ndim: the rank is not known before running", hint="Give it a shape: reshape(x, [...])")
    return weak_constant(tensor.type.rank)


def _flatten(binder: TensorBinder, node: exp.Expr, scope: Scope) -> Value | None:
    """A tensor as a vector. A LIST is left to DuckDB's own ``flatten``, which takes one level off."""
    (tensor,) = _arguments(node, ("x",))
    if binder.value(tensor, scope) is None and not is_row(tensor) and not isinstance(tensor, exp.Placeholder):
        kind = binder.engine_type(tensor, scope)
        if not (isinstance(kind, Array) and kind.size is not None):
            return None
    return binder.call("Reshape", [binder.node(tensor, scope), weak_constant([-1])], {})


def _norm(binder: TensorBinder, node: exp.Expr, scope: Scope) -> Value:
    """The p-norm of all elements: the number of nonzero ones for p = 0, the greatest for p = infinity."""
    tensor, order = _arguments(node, ("x", "p"))
    constant = binder.constant(order)
    if constant is None or constant.value.ndim or (constant.type.dtype == "string" and constant.value != b"inf"):
        raise UnsupportedError("norm: p must be a constant number, or 'inf'")
    p = float(constant.value)
    flat: Node = binder.call("Reshape", [binder.node(tensor, scope), weak_constant([-1])], {})
    if not flat.type.dtype.startswith(("float", "complex", "bfloat")):
        flat = binder.inference.cast(flat, "float64")
    is_complex_tensor = flat.type.dtype.startswith("complex")
    magnitude: Node = binder.call("ComplexAbs", [flat], {}) if is_complex_tensor else binder.call("Abs", [flat], {})
    axis = weak_constant([0])
    if p == float("inf"):
        return binder.call("Max", [magnitude, axis], {})
    if p == 0:
        nonzero = binder.call("NotEqual", [magnitude, weak_constant(0.0)], {})
        return binder.call("Sum", [binder.inference.cast(nonzero, magnitude.type.dtype), axis], {})
    if p < 0:
        raise UnsupportedError("norm: p must not be negative")
    powers: Node = magnitude if p == 1 else binder.call("Pow", [magnitude, weak_constant(p)], {})
    total: Output = binder.call("Sum", [powers, axis], {})
    return total if p == 1 else binder.call("Pow", [total, weak_constant(1 / p)], {})


def _extract_constant(binder: TensorBinder, node: exp.Expr, scope: Scope) -> Value:
    """``tf_extract_constant('graph', ['mixed', 'conv', 'beta'])``: a constant out of a graph that is a function."""
    name, path = (binder.literal(argument) for argument in _arguments(node, ("function", "path")))
    parts = path if isinstance(path, list) else [path]
    if not isinstance(name, str) or not all(isinstance(part, str) for part in parts):
        raise BindError(f"{function_name(node)} takes the name of a function and the path of a node: ['mixed', 'beta']")
    return binder.graph_constant(name, "/".join(parts))


HELPERS: dict[str, Callable[[TensorBinder, exp.Expr, Scope], Value | None]] = {
    "reshape": _reshape,
    "shape": _shape,
    "flatten": _flatten,
    "ndim": _ndim,
    "norm": _norm,
    "tf_extract_constant": _extract_constant,
}
