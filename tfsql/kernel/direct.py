"""Direct calls: all rows of a batch computed by one call of the operator on the stacked rows.

For which calls that is right is data: ``operators/batching.toml``, which ``tests/establish_batching.py`` writes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from tfsql.infer import apply_operator
from tfsql.registry import operator_spec
from tfsql.registry.batching import ELEMENTWISE, FOLDED, LEADING, SHIFTED, DirectRule, direct_rules
from tfsql.tree import Call, Node

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class _Form:
    """How stacked rows go into one call and its outputs come back as stacked rows.

    Attributes:
      enter: what the call takes, from ``[rows, *shape]`` and the number of rows.
      leave: ``[rows, *shape]``, from what the call gives, the number of rows and the shape of a row.
    """

    enter: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    leave: Callable[[tf.Tensor, tf.Tensor, Shape], tf.Tensor]


def _as_it_is(stacked: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    return stacked


def _from_stack(made: tf.Tensor, rows: tf.Tensor, shape: Shape) -> tf.Tensor:
    """An output that has no axis for the rows is the same for all of them."""
    if made.shape.rank == len(shape):
        return tf.broadcast_to(made, [rows, *shape])
    if made.shape.rank != len(shape) + 1:
        raise ValueError(f"the call on the stack gave rank {made.shape.rank} for rows of rank {len(shape)}")
    return made


def _fold(stacked: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    _, batch, *rest = stacked.shape
    return tf.reshape(stacked, [rows * batch, *rest])


def _unfold(made: tf.Tensor, rows: tf.Tensor, shape: Shape) -> tf.Tensor:
    """An output without axes, such as the range of a quantised one, is the same for all rows."""
    if made.shape.rank != len(shape):
        raise ValueError(f"the folded call gave rank {made.shape.rank} for rows of rank {len(shape)}")
    return tf.reshape(made, [rows, *shape]) if shape else tf.broadcast_to(made, [rows])


_STACKED = _Form(_as_it_is, _from_stack)
_FORMS = {ELEMENTWISE: _STACKED, LEADING: _STACKED, FOLDED: _Form(_fold, _unfold), SHIFTED: _STACKED}


def direct_rule_of(
    call: Call, shape_of: Callable[[Node], Shape | None], is_varying: Callable[[Node], bool]
) -> DirectRule | None:
    """The rule by which a call can be made on the stacked rows; None where none applies."""
    rules = direct_rules(call.op)
    if not rules:
        return None
    varying = varying_inputs(call, is_varying)
    ranks = [_common_rank(item, shape_of) for item in call.inputs]
    if varying is None or None in ranks:
        return None
    spec = operator_spec(call.op)
    assert spec is not None
    vary = frozenset(argument.name for argument, varies in zip(spec.inputs, varying, strict=True) if varies)
    attributes = {attribute.name: attribute.default for attribute in spec.attributes} | dict(call.attributes)
    found = (rule for rule in rules if rule.applies(vary, tuple(ranks), attributes))  # type: ignore[arg-type]
    return next(found, None)


def varying_inputs(call: Call, is_varying: Callable[[Node], bool]) -> list[bool] | None:
    """Of each input whether it varies by row; None where only some tensors of a list do."""
    made = []
    for item in call.inputs:
        varies = {is_varying(node) for node in (item if isinstance(item, tuple) else (item,))}
        if len(varies) > 1:
            return None
        made.append(varies == {True})
    return made


def _common_rank(item: Node | tuple[Node, ...], shape_of: Callable[[Node], Shape | None]) -> int | None:
    shapes = [shape_of(node) for node in (item if isinstance(item, tuple) else (item,))]
    ranks = {None if shape is None else len(shape) for shape in shapes}
    return ranks.pop() if len(ranks) == 1 else None


def call_on_stack(
    form: str,
    operator: str,
    inputs: Sequence[Any],
    varying: Sequence[bool],
    attributes: Mapping[str, Any],
    shapes: Sequence[Shape],
    shift: Sequence[str] = (),
) -> list[tf.Tensor]:
    """Each output of all rows, ``[rows, *shape]``, by one call; outputs that are lists are laid out.

    Args:
      inputs: in OpDef order, those that vary as ``[rows, *shape]`` with the shape of a row known; lists as lists.
      shapes: the shape of one row of each output.
      shift: the inputs and attributes that number axes.

    Raises:
      ValueError: the operator refuses the stacked rows, or the number of an axis is not known.
    """
    spec = operator_spec(operator)
    assert spec is not None
    flow = _FORMS[form]
    stacked = [item for item, varies in zip(inputs, varying, strict=True) if varies]
    rows = tf.shape(tf.nest.flatten(stacked)[0])[0]
    given = [
        tf.nest.map_structure(lambda tensor: flow.enter(tensor, rows), item) if varies else item
        for item, varies in zip(inputs, varying, strict=True)
    ]
    given = [
        _shifted(item) if argument.name in shift else item for argument, item in zip(spec.inputs, given, strict=True)
    ]
    moved = {item.name: attributes.get(item.name, item.default) for item in spec.attributes if item.name in shift}
    attributes = {**attributes, **{name: axis + 1 if axis >= 0 else axis for name, axis in moved.items()}}
    made = tf.nest.flatten(apply_operator(spec, given, attributes))
    return [flow.leave(tensor, rows, shape) for tensor, shape in zip(made, shapes, strict=True)]


def _shifted(axes: Any) -> tf.Tensor:
    """Numbers of axes of one row as those of the stacked rows; they count from the end if they are negative.

    Raises:
      ValueError: they are not known before running, or there are none, which can mean all.
    """
    numbers = tf.convert_to_tensor(axes)
    known = tf.get_static_value(numbers)
    if known is None or not np.size(known):
        raise ValueError("which axes is not known before running")
    return tf.constant(np.where(known >= 0, known + 1, known), numbers.dtype)
