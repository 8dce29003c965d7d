"""The dtypes of inputs: chosen from the columns, literals following; constants converted exactly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfsql.errors import BindError, TypeMismatchError
from tfsql.infer.messages import alternatives, cast_hint, show_value, type_hint
from tfsql.registry import NO_DEFAULT, OperatorSpec
from tfsql.registry.kernels import kernel_dtypes
from tfsql.tree import Constant, Leaf, Node
from tfsql.types import WIDENED, TensorType, promote

# The order in which the dtypes of bare literals are tried.
_WEAK_CANDIDATES = {
    "int": ("int32", "int64", "float32", "float64", "uint8", "int8", "float16", "bfloat16", "complex64", "complex128"),
    "decimal": ("float32", "float64", "float16", "bfloat16", "complex64", "complex128"),
}
# The order in which a cast is suggested.
_CAST_ORDER = ("float32", "float64", "int32", "int64", "uint8", "bool", "string")
QUANTISED_STORAGE = {dtype: storage for dtype, storage in WIDENED.items() if dtype.startswith("q")}


def constant_of(array: np.ndarray) -> Constant:
    """The constant of a NumPy array of numbers."""
    return Constant(array, TensorType(str(array.dtype), array.shape))


def convert_constant(constant: Constant, dtype: str) -> Constant:
    """``constant`` as ``dtype``.

    Raises:
      TypeMismatchError: a value does not fit: a fraction for an integer, a number beyond its range, text for a number.
    """
    value = constant.value
    target = tf.as_dtype(QUANTISED_STORAGE.get(dtype, dtype))
    if not value.size:
        value = np.empty(value.shape, target.as_numpy_dtype)
    if (value.dtype.kind in "OSU") != (dtype == "string"):
        raise TypeMismatchError(f"{show_value(value)} is {constant.type}, not {dtype}")
    if value.dtype.kind == "c" and not target.is_complex and value.imag.any():
        raise TypeMismatchError(f"{show_value(value)} does not fit {dtype}")
    with np.errstate(all="ignore"):
        converted = (value if target.is_complex else np.real(value)).astype(target.as_numpy_dtype)
    if target.is_integer and value.size and not np.array_equal(converted.astype(np.float64), value.astype(np.float64)):
        raise TypeMismatchError(f"{show_value(value)} does not fit {dtype}")
    if target == tf.bool and value.size and not np.isin(value, (0, 1)).all():
        raise TypeMismatchError(f"{show_value(value)} does not fit bool")
    if dtype in QUANTISED_STORAGE:
        converted = converted.astype(tf.as_dtype(dtype).as_numpy_dtype)
    kept_type = TensorType(dtype, constant.type.shape, constant.type.is_bytes)
    return Constant(converted, kept_type, None, constant.is_argument, constant.parameter)


def choose_dtype(spec: OperatorSpec, attr_name: str, nodes: list[tuple[str, Node]]) -> str:
    """The dtype of a type attribute that is not given, from the inputs that share it."""
    attribute = spec.attribute(attr_name)
    assert attribute is not None
    strong = [(name, node) for name, node in nodes if not (isinstance(node, Constant) and node.weak)]
    weak = {node.weak for _, node in nodes if isinstance(node, Constant) and node.weak}
    if not nodes:
        if attribute.default is NO_DEFAULT:
            raise BindError(
                f'{spec.sql_name}: missing attribute "{attribute.name}": there is no input to infer it from'
            )
        return str(attribute.default)
    if not strong:
        return _choose_weak(spec, attribute, "decimal" if "decimal" in weak else "int", [node for _, node in nodes])
    dtype = strong[0][1].type.dtype
    for name, node in strong[1:]:
        joined = promote(dtype, node.type.dtype)
        if joined is None:
            raise TypeMismatchError(
                f"{spec.sql_name}: {strong[0][0]} is {strong[0][1].type} but {name} is {node.type}; "
                "they must have one type",
                argument=name,
            )
        dtype = joined
    if "decimal" in weak and is_integer(dtype):
        dtype = "float32"
    if attribute.allowed and dtype not in attribute.allowed:
        name, node = next(((n, x) for n, x in strong if x.type.dtype not in attribute.allowed), strong[0])
        raise TypeMismatchError(
            f"{spec.sql_name}: {name} is {node.type}; it takes {alternatives(attribute.allowed)}",
            hint=cast_hint(node, next((d for d in _CAST_ORDER if d in attribute.allowed), None))
            or type_hint(attribute, node),
            argument=name,
        )
    return dtype


def _choose_weak(spec: OperatorSpec, attribute: Any, weak: str, nodes: Sequence[Node]) -> str:
    """The dtype of literals alone: the attribute's default if they fit it, else the first candidate it allows."""
    candidates = [dtype for dtype in _WEAK_CANDIDATES[weak] if all(_holds(dtype, node) for node in nodes)]
    if attribute.default in candidates:
        return str(attribute.default)
    working = kernel_dtypes(spec.name, attribute.opdef_name)
    for dtype in candidates:
        if (not attribute.allowed or dtype in attribute.allowed) and (working is None or dtype in working):
            return dtype
    raise TypeMismatchError(
        f"{spec.sql_name}: a number does not fit {attribute.name}, which takes {alternatives(attribute.allowed)}"
    )


def _holds(dtype: str, node: Node) -> bool:
    """Whether an integer dtype has room for the values of a literal; a float has for all."""
    if not isinstance(node, Constant) or not is_integer(dtype) or not node.value.size:
        return True
    limits = np.iinfo(dtype)
    return bool(limits.min <= node.value.min() and node.value.max() <= limits.max)


def natural_dtype(node: Node) -> str:
    """The dtype of a tensor that stands alone."""
    if isinstance(node, Constant) and node.weak:
        return next(dtype for dtype in _WEAK_CANDIDATES[node.weak] if _holds(dtype, node))
    return node.type.dtype


def natural(node: Node) -> Node:
    """A bare literal with the dtype it has when nothing else says one; any other node as it is."""
    return convert_constant(node, natural_dtype(node)) if isinstance(node, Constant) and node.weak else node


def is_integer(dtype: str) -> bool:
    return dtype.lstrip("u").startswith("int")


def is_safe(node: Node, dtype: str) -> bool:
    """Whether a fixed dtype may be reached without being asked for: numbers, but no fraction to an integer."""
    have = node.type.dtype
    if isinstance(node, Constant):
        return True
    if "bool" in (have, dtype) or is_integer(dtype):
        return is_integer(have) and is_integer(dtype) and isinstance(node, Leaf)
    return not have.startswith("complex") or dtype.startswith("complex")
