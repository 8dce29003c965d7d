"""Constants of the text as values: numbers, strings, arrays and rows that do not depend on any column."""

from __future__ import annotations

import operator
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
from sqlglot import exp

from tfsql.errors import ParseError, ShapeError, TypeMismatchError
from tfsql.flatten import innermost
from tfsql.tree import Constant
from tfsql.types import ARGUMENT_SIZE, TensorType

_FOLDED = (
    exp.Literal, exp.Boolean, exp.Neg, exp.Paren, exp.Array, exp.Add, exp.Sub, exp.Mul, exp.Div, exp.IntDiv, exp.Mod,
    exp.Pow, exp.Cast, exp.DataType, exp.Null,
)  # fmt: skip


# What the engine would compute alike; integers of more bits, and division, are left to it.
_INTEGER_ARITHMETIC: dict[type[exp.Expr], Callable[..., int]] = {
    exp.Add: operator.add,
    exp.Sub: operator.sub,
    exp.Mul: operator.mul,
}


class NotConstantError(Exception):
    """The expression depends on a column or a function."""


def python_value(node: exp.Expr, evaluate: Callable[[exp.Expr], Any]) -> Any:
    """The value of a constant expression as a Python number, string, bool, None, list or dict.

    Args:
      evaluate: computes a constant expression that is no literal, or raises NotConstantError.
    """
    if isinstance(node, exp.Literal):
        return node.this if node.is_string else _number(node.this)
    if isinstance(node, exp.Boolean):
        return bool(node.this)
    if isinstance(node, exp.Null):
        return None
    if isinstance(node, exp.Paren):
        return python_value(node.this, evaluate)
    if isinstance(node, exp.Neg) and isinstance(node.this, exp.Literal) and not node.this.is_string:
        return -_number(node.this.this)
    if type(node) in _INTEGER_ARITHMETIC:
        made = _integer(node)
        return evaluate(node) if made is None else made
    if isinstance(node, exp.Array):
        return [python_value(item, evaluate) for item in node.expressions]
    if isinstance(node, exp.Struct):
        return {field_name(item): python_value(item.expression, evaluate) for item in node.expressions}
    return evaluate(node)


def _integer(node: exp.Expr) -> int | None:
    """The value of sums, differences and products of integers, as long as all is of 32 bits; None of anything else."""
    while isinstance(node, exp.Paren):
        node = node.this
    if isinstance(node, exp.Literal) and not node.is_string and node.this.isdigit():
        value: int | None = int(node.this)
    elif isinstance(node, exp.Neg):
        inner = _integer(node.this)
        value = None if inner is None else -inner
    elif type(node) in _INTEGER_ARITHMETIC:
        sides = _integer(node.this), _integer(node.expression)
        value = None if None in sides else _INTEGER_ARITHMETIC[type(node)](*sides)
    else:
        return None
    return value if value is not None and -(2**31) < value < 2**31 else None


def _number(text: str) -> int | float:
    try:
        return int(text) if text.isdigit() else float(text)
    except ValueError as error:
        raise ParseError(f"{text} is no number") from error


def field_name(pair: exp.Expr) -> str:
    """The name of one ``name: value`` of a row."""
    return str(pair.this.name if isinstance(pair.this, exp.Expr) else pair.this)


def is_foldable(node: exp.Expr) -> bool:
    """Whether the expression is made of literals, arithmetic, arrays and casts alone."""
    return all(isinstance(part, _FOLDED) for part in node.walk())


def weak_constant(value: Any) -> Constant:
    """The constant of a literal: Python numbers are weak, strings and booleans are not.

    Raises:
      ShapeError: nested lists of different lengths.
      TypeMismatchError: a NULL, or text among numbers.
    """
    leaves = list(innermost(value))
    if any(leaf is None for leaf in leaves):
        raise TypeMismatchError("A NULL stands inside an array", hint="Replace it by a number")
    kinds = {type(leaf) for leaf in leaves}
    if kinds <= {int, float}:
        if any(isinstance(leaf, int) and not -(2**63) <= leaf < 2**64 for leaf in leaves):
            raise TypeMismatchError("A number is beyond 64 bits", hint="Write it with a decimal point: 1e30")
        # NumPy would make fractions of numbers of which only some are beyond int64.
        whole = np.uint64 if any(leaf >= 2**63 for leaf in leaves) else None
        return from_array(_rectangular(value, np.float64 if float in kinds else whole), is_weak=True)
    if kinds == {bool}:
        return from_array(_rectangular(value, np.bool_))
    if kinds <= {str, bytes}:
        encoded = _rectangular(value, object)
        texts = [leaf.encode() if isinstance(leaf, str) else leaf for leaf in leaves]
        flat = np.empty(len(texts), object)
        flat[:] = texts
        return from_array(flat.reshape(encoded.shape), is_bytes=bytes in kinds)
    names = " and ".join(sorted(kind.__name__ for kind in kinds))
    raise TypeMismatchError(f"An array mixes values of different types: {names}")


def _rectangular(value: Any, dtype: Any) -> np.ndarray:
    try:
        array = np.array(value, dtype) if dtype is not object else np.array(value)
    except ValueError as error:
        raise ShapeError("The array is not rectangular: its lists differ in length") from error
    except OverflowError as error:
        raise TypeMismatchError("A number of the array is beyond 64 bits") from error
    return array.astype(np.int64) if array.size == 0 and dtype is None else array


def from_array(array: np.ndarray, *, is_weak: bool = False, is_bytes: bool = False) -> Constant:
    """The constant of a NumPy array, with its own dtype unless it is weak."""
    dtype = "string" if array.dtype.kind in "OSU" else str(array.dtype)
    if array.dtype.kind in "SU":
        array = np.vectorize(lambda text: text.encode() if isinstance(text, str) else text, otypes=[object])(array)
    weak = None
    if is_weak:
        weak = "decimal" if array.dtype.kind == "f" else "int"
    tensor = TensorType(dtype, array.shape, is_bytes)
    return Constant(array, tensor, weak, is_argument=array.size >= ARGUMENT_SIZE)


def plain_numbers(value: Any) -> Any:
    """A value from the engine with decimals as floats and tuples as lists."""
    if isinstance(value, list | tuple):
        return [plain_numbers(item) for item in value]
    return float(value) if isinstance(value, Decimal) else value
