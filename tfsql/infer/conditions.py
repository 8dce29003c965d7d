"""The conditions of ``operators/checks.toml``, decided before running where values are known, else by the run."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import CodeType
from typing import Any

import numpy as np
import tensorflow as tf

from tfsql.registry import OperatorSpec
from tfsql.registry.checks import checks_of

# What one result of one row may take, where no setting says it.
MAX_CELL_BYTES = 256 * 2**20
# What an expression raises where shapes or types are wrong, which the operator itself refuses.
_UNTELLABLE = (IndexError, TypeError, ValueError, KeyError, NameError, NotImplementedError)


class ConditionError(ValueError):
    """A call breaks one of the conditions."""


def refuse(spec: OperatorSpec, inputs: Sequence[Any], attributes: Mapping[str, Any], limit: int | None) -> None:
    """Refuses a call of which it is known before running that it breaks a condition.

    Args:
      limit: how many bytes an output may take; None if that is not to be checked.

    Raises:
      ConditionError: it does.
    """
    for holds, reason in _required(spec, inputs, attributes, limit):
        if not tf.is_tensor(holds) and not np.all(holds):
            raise ConditionError(reason)


def open_conditions(
    spec: OperatorSpec, inputs: Sequence[Any], attributes: Mapping[str, Any], limit: int
) -> list[tuple[tf.Tensor, str]]:
    """The conditions that only values decide: whether each holds, and the sentence for where it does not.

    Raises:
      ConditionError: the call breaks another one whatever the values.
    """
    refuse(spec, inputs, attributes, limit)
    return [(holds, text) for holds, text in _required(spec, inputs, attributes, limit) if tf.is_tensor(holds)]


def output_conditions(
    spec: OperatorSpec, inputs: Sequence[Any], attributes: Mapping[str, Any], outputs: Sequence[Any]
) -> list[tuple[tf.Tensor, str]]:
    """The conditions on the outputs: whether each holds, and the sentence for where it does not."""
    checks = checks_of(spec.name).ensures
    if not checks:
        return []
    names = _names(spec, inputs, attributes)
    names |= {argument.name: _numeric(value) for argument, value in zip(spec.outputs, outputs, strict=True)}
    return [(_evaluated(check.code, names), check.reason) for check in checks]


def is_checked(operator: str) -> bool:
    """Whether a call of the operator has something to check while it runs."""
    return bool(checks_of(operator).requires or checks_of(operator).sizes or checks_of(operator).ensures)


def assertion(spec: OperatorSpec, holds: Any, reason: str) -> tf.Operation:
    """An operation that fails with a reason unless ``holds``, for one row or for each of several, is true."""
    return tf.debugging.Assert(tf.reduce_all(holds), [f"{spec.sql_name} failed: {reason}"], summarize=1)


def _required(
    spec: OperatorSpec, inputs: Sequence[Any], attributes: Mapping[str, Any], limit: int | None
) -> Iterator[tuple[Any, str]]:
    """Whether each condition holds, as a truth value or a tensor, and the sentence for where it does not."""
    checks = checks_of(spec.name)
    names = _names(spec, inputs, attributes) if checks.requires or checks.sizes else {}
    for check in checks.requires:
        try:
            yield _evaluated(check.code, names), check.reason
        except _UNTELLABLE:
            continue
    for size in checks.sizes if limit is not None else ():
        try:
            elements = _evaluated(size.code, names)
        except _UNTELLABLE:
            continue
        reason = f"its {size.output} would take more than the {limit:,} bytes that tfsql_max_cell_bytes allows"
        yield elements * _item_bytes(spec, size.output, inputs, attributes) <= limit, reason


def _item_bytes(spec: OperatorSpec, output: str, inputs: Sequence[Any], attributes: Mapping[str, Any]) -> int:
    """How many bytes one element of an output takes; eight where its dtype is not easily told."""
    argument = next(argument for argument in spec.outputs if argument.name == output)
    dtype = argument.dtype
    if argument.type_attr:
        given = [tensor for arg, tensor in zip(spec.inputs, inputs, strict=True) if arg.type_attr == argument.type_attr]
        attribute = spec.attribute(argument.type_attr)
        assert attribute is not None
        dtype = given[0].dtype if given and tf.is_tensor(given[0]) else attributes.get(attribute.name)
    return int(tf.as_dtype(dtype).size or 8) if dtype else 8


def _names(spec: OperatorSpec, inputs: Sequence[Any], attributes: Mapping[str, Any]) -> dict[str, Any]:
    named: dict[str, Any] = {attribute.name: attribute.default for attribute in spec.attributes} | dict(attributes)
    named = {name: np.asarray(value, np.float64) if _is_numbers(value) else value for name, value in named.items()}
    for argument, value in zip(spec.inputs, inputs, strict=True):
        named[argument.name] = [_numeric(item) for item in value] if isinstance(value, list) else _numeric(value)
        if argument.type_list_attr and isinstance(value, list):
            named[argument.type_list_attr] = [item.dtype for item in value]
        if tf.is_tensor(value) and value.dtype.is_complex:
            known = tf.get_static_value(value)
            named[f"complex_{argument.name}"] = tf.cast(value, tf.complex128) if known is None else known
    return named


def _is_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, int | float) for item in value)


def _numeric(value: Any) -> Any:
    """A tensor as numbers of 64 bits, as an array where its value is known; strings as they are."""
    known = tf.get_static_value(value) if tf.is_tensor(value) else np.asarray(value)
    if known is not None:
        known = np.asarray(known)
        return known.astype(np.float64) if known.dtype.kind in "iufb" else known
    if value.dtype.is_quantized or value.dtype == tf.string or value.dtype == tf.variant:
        return value
    return tf.cast(tf.math.abs(value) if value.dtype.is_complex else value, tf.float64)


# -- what an expression may call ---------------------------------------------------------------------------------------


def _either(with_arrays: Callable[..., Any], with_tensors: Callable[..., Any]) -> Callable[..., Any]:
    """A function of arrays or tensors."""

    def function(*values: Any) -> Any:
        if any(tf.is_tensor(value) for value in values):
            return with_tensors(*values)
        with np.errstate(all="ignore"):
            return with_arrays(*map(np.asarray, values))

    return function


_all = _either(np.all, tf.reduce_all)


def _of_all(both: Callable[..., Any], both_tensors: Callable[..., Any], function: Callable[..., Any]) -> Any:
    """A function of a tensor that may be called on a list of them, too: what it gives for each is made one."""

    def of_all(value: Any) -> Any:
        if not isinstance(value, list):
            return function(value)
        made = [function(item) for item in value]
        is_known = not any(tf.is_tensor(item) for item in made)
        return functools.reduce(both if is_known else both_tensors, made)

    return of_all


def _of_each(function: Callable[..., Any]) -> Any:
    """A function that gives a number of a tensor, which of a list of them gives a vector."""

    def of_each(value: Any, *rest: int) -> Any:
        if not isinstance(value, list):
            return function(value, *rest)
        made = [function(item, *rest) for item in value]
        return tf.stack(list(map(_float, made))) if any(map(tf.is_tensor, made)) else np.array(made, np.float64)

    return of_each


def _rank(value: Any) -> Any:
    return value.shape.rank if tf.is_tensor(value) and value.shape.rank is not None else _dynamic_rank(value)


def _dynamic_rank(value: Any) -> Any:
    return _float(tf.rank(value)) if tf.is_tensor(value) else np.ndim(value)


def _elements(value: Any) -> Any:
    if not tf.is_tensor(value):
        return np.size(value)
    return math.prod(value.shape.as_list()) if _has_shape(value) else _float(tf.size(value))


def _float(value: tf.Tensor) -> tf.Tensor:
    return tf.cast(value, tf.float64)


def _has_shape(value: Any) -> bool:
    return not tf.is_tensor(value) or value.shape.is_fully_defined()


def _length(value: Any, index: int) -> Any:
    """The length of an axis."""
    rank = value.shape.rank if tf.is_tensor(value) else np.ndim(value)
    if rank is not None and not -rank <= index < rank:
        return -1
    known = None if rank is None else value.shape[index]
    return known if known is not None else _float(tf.shape(value)[index])


def _lengths(value: Any) -> Any:
    return np.array(value.shape, np.float64) if _has_shape(value) else _float(tf.shape(value))


def _equal(left: Any, right: Any) -> Any:
    if tf.is_tensor(right) and not tf.is_tensor(left):
        left, right = right, left
    if not tf.is_tensor(left):
        return left == right
    return tf.raw_ops.Equal(x=left, y=tf.convert_to_tensor(right, left.dtype), incompatible_shape_error=False)


def _unequal(left: Any, right: Any) -> Any:
    equal = _equal(left, right)
    return ~equal if tf.is_tensor(equal) else np.logical_not(equal)


_FUNCTIONS: dict[str, Any] = {
    "all": _all,
    "any": _either(np.any, tf.reduce_any),
    "prod": _either(np.prod, tf.reduce_prod),
    "sum": _either(np.sum, tf.reduce_sum),
    "greatest": _of_all(max, tf.maximum, _either(lambda x: np.max(x, initial=-np.inf), tf.reduce_max)),
    "least": _of_all(min, tf.minimum, _either(lambda x: np.min(x, initial=np.inf), tf.reduce_min)),
    "rises": _of_all(operator.and_, operator.and_, lambda x: _all(x[1:] >= x[:-1]) if _rank(x) == 1 else True),
    "abs": _either(np.abs, tf.abs),
    "no": _either(np.logical_not, tf.logical_not),
    "at_least": _either(np.maximum, tf.maximum),
    "at_most": _either(np.minimum, tf.minimum),
    "finite": _either(np.isfinite, tf.math.is_finite),
    "elements": _of_each(_elements),
    "lengths": _lengths,
    "determinant": _either(np.linalg.det, tf.linalg.det),
    "rank": _rank,
    "length": _of_each(_length),
    "len": len,
    "equal": _equal,
    "unequal": _unequal,
    "only": lambda items, value: all(item == value for item in items),
}


def _evaluated(code: CodeType, names: Mapping[str, Any]) -> Any:
    """The value of an expression: of NumPy where everything is known that it is about, else a tensor."""
    with np.errstate(all="ignore"):
        return eval(code, {"__builtins__": {}} | _FUNCTIONS | dict(names))
