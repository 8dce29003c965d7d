"""Attribute values: from what a user writes in SQL (plain, or wrapped the AttrValue way) to what TensorFlow takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import types_pb2

from tfsql.errors import TypeMismatchError, did_you_mean
from tfsql.flatten import innermost
from tfsql.registry.opdef import Attribute
from tfsql.types import DTYPE_OF_SQL

# The field names of TensorFlow's AttrValue, and MLDB's longer ones.
_WRAPPERS = {
    "type": ("type", "dtype"),
    "int": ("i", "int"),
    "float": ("f", "float"),
    "bool": ("b", "bool"),
    "string": ("s", "string"),
    "shape": ("shape",),
    "tensor": ("tensor",),
}
# The field names of TensorFlow's TensorShapeProto.
_SHAPE_FIELDS = {"dim", "unknown_rank"}


def attribute_value(attribute: Attribute, value: Any) -> Any:
    """The value of an attribute, as a plain Python value (dtypes by name, shapes as lists, tensors as arrays).

    Raises:
      TypeMismatchError: the value is of another kind, below the minimum, or not among the allowed ones.
    """
    value = _unwrap(attribute, value)
    if not attribute.is_list:
        return _checked(attribute, _convert(attribute, value))
    if not isinstance(value, list | tuple):
        raise TypeMismatchError(
            f"attribute {attribute.name} takes a list of {attribute.item_kind}s, not {_show(value)}"
        )
    if attribute.minimum is not None and len(value) < attribute.minimum:
        raise TypeMismatchError(
            f"attribute {attribute.name} takes at least {attribute.minimum} values, got {len(value)}"
        )
    return [_checked(attribute, _convert(attribute, _unwrap_item(attribute.item_kind, item))) for item in value]


def _unwrap(attribute: Attribute, value: Any) -> Any:
    """``{type: 'DT_FLOAT'}`` → ``'DT_FLOAT'``; ``{list: [...]}`` and ``{list: {i: [...]}}`` → ``[...]``."""
    if attribute.is_list and isinstance(value, dict) and set(value) == {"list"}:
        inner = value["list"]
        return next(iter(inner.values())) if isinstance(inner, dict) and len(inner) == 1 else inner
    return _unwrap_item(attribute.item_kind, value)


def _unwrap_item(kind: str, value: Any) -> Any:
    if isinstance(value, dict) and len(value) == 1 and not (kind == "shape" and set(value) <= _SHAPE_FIELDS):
        name, inner = next(iter(value.items()))
        if name in _WRAPPERS.get(kind, ()):
            return inner
        raise TypeMismatchError(f"an attribute of kind {kind} is not written {{{name}: ...}}")
    return value


def _convert(attribute: Attribute, value: Any) -> Any:
    if attribute.item_kind == "func":
        raise TypeMismatchError(f"attribute {attribute.name} is a function, which SQL cannot write")
    converted = _CONVERTERS[attribute.item_kind](value)
    if converted is _WRONG:
        kind = attribute.item_kind
        raise TypeMismatchError(
            f"attribute {attribute.name} takes {_ARTICLES[kind]}, not {_show(value)}",
            hint=did_you_mean(str(value), attribute.allowed) if isinstance(value, str) else None,
        )
    return converted


def _checked(attribute: Attribute, value: Any) -> Any:
    if attribute.allowed and value not in attribute.allowed:
        allowed = ", ".join(repr(item) for item in attribute.allowed)
        raise TypeMismatchError(
            f"attribute {attribute.name} takes one of {allowed}, not {_show(value)}",
            hint=did_you_mean(str(value), attribute.allowed),
        )
    if attribute.minimum is not None and attribute.kind == "int" and value < attribute.minimum:
        raise TypeMismatchError(f"attribute {attribute.name} is at least {attribute.minimum}, not {value}")
    return value


_WRONG = object()


def dtype_from_name(value: Any) -> Any:
    """``'DT_FLOAT'``, ``'float32'`` or ``'FLOAT'`` → ``'float32'``."""
    if not isinstance(value, str):
        return _WRONG
    if value.upper() in DTYPE_OF_SQL:
        return DTYPE_OF_SQL[value.upper()]
    try:
        dtype = tf.as_dtype(types_pb2.DataType.Value(value) if value.startswith("DT_") else value.lower())
    except (ValueError, TypeError):
        return _WRONG
    return _WRONG if dtype.name.endswith("_ref") else str(dtype.name)


def _integer(value: Any) -> Any:
    is_whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return int(value) if is_whole and not isinstance(value, bool) else _WRONG


def _float(value: Any) -> Any:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else _WRONG


def _bool(value: Any) -> Any:
    return bool(value) if isinstance(value, bool) or (isinstance(value, int) and value in (0, 1)) else _WRONG


def _string(value: Any) -> Any:
    return value if isinstance(value, str) else _WRONG


def _shape(value: Any) -> Any:
    """A list of lengths, -1 or NULL for one that is unknown; NULL, or ``{unknown_rank: true}``, for an unknown rank."""
    if isinstance(value, dict) and set(value) <= _SHAPE_FIELDS:
        is_unknown, axes = value.get("unknown_rank", False), value.get("dim", [])
        value = None if is_unknown else [axis.get("size") if isinstance(axis, dict) else axis for axis in axes]
    if value is None:
        return None
    if not isinstance(value, list | tuple):
        return _WRONG
    axes = [None if axis is None else _integer(axis) for axis in value]
    if any(axis is _WRONG or (axis is not None and axis < -1) for axis in axes):
        return _WRONG
    return [None if axis == -1 else axis for axis in axes]


def _tensor(value: Any) -> Any:
    """An array of numbers, or of bytes for strings; ``{real, imag}`` is a complex number."""
    leaves = list(innermost(value))
    if any(isinstance(leaf, str | bytes) for leaf in leaves):
        return _text_array(value) if all(isinstance(leaf, str | bytes) for leaf in leaves) else _WRONG
    try:
        array = np.asarray(_with_complex_numbers(value))
    except (ValueError, TypeError, KeyError):
        return _WRONG
    return array if array.dtype.kind in "bifuc" else _WRONG


def _text_array(value: Any) -> Any:
    try:
        shape = np.asarray(value).shape
    except ValueError:
        return _WRONG
    flat = np.empty(int(np.prod(shape)), object)
    flat[:] = [leaf.encode() if isinstance(leaf, str) else leaf for leaf in innermost(value)]
    return flat.reshape(shape)


def _with_complex_numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return complex(value["real"], value["imag"])
    return [_with_complex_numbers(item) for item in value] if isinstance(value, list | tuple) else value


_CONVERTERS: dict[str, Callable[[Any], Any]] = {
    "type": dtype_from_name,
    "int": _integer,
    "float": _float,
    "bool": _bool,
    "string": _string,
    "shape": _shape,
    "tensor": _tensor,
}
_ARTICLES = {
    "type": "a type such as 'DT_FLOAT' or 'float32'",
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "string": "a string",
    "shape": "a shape such as [28, 28]",
    "tensor": "a number, a string or an array of them",
}


def _show(value: Any) -> str:
    return repr(value) if isinstance(value, str | int | float | bool) else str(value).replace("None", "NULL")


def for_tensorflow(attribute: Attribute, value: Any, dtype: str | None = None) -> Any:
    """A plain attribute value as ``tf.raw_ops`` takes it.

    Args:
      dtype: the dtype of a tensor attribute; that of its default if it is not given.
    """
    if dtype is None and isinstance(attribute.default, np.ndarray):
        dtype = str(attribute.default.dtype)
    if attribute.is_list:
        return [_for_tensorflow(attribute.item_kind, item, dtype) for item in value]
    return _for_tensorflow(attribute.kind, value, dtype)


def _for_tensorflow(kind: str, value: Any, dtype: str | None) -> Any:
    if kind == "type":
        return tf.as_dtype(value)
    if kind == "shape":
        return tf.TensorShape(value)
    if kind == "tensor":
        return tf.make_tensor_proto(value, dtype=dtype and tf.as_dtype(dtype))
    return value
