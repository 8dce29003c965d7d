"""Direct calls: all rows of a batch computed by one call of the operator on the stacked rows.

For which calls that is right is data: ``operators/batching.toml``, which ``tests/establish_batching.py`` writes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfsql.infer import apply_operator
from tfsql.registry import operator_spec
from tfsql.registry.batching import ELEMENTWISE, FOLDED, LEADING, SHIFTED, DirectRule, direct_rules
from tfsql.tree import Call, Node

Shape = tuple[int | None, ...]


def _from_stack(made: tf.Tensor, rows: tf.Tensor, shape: Shape) -> tf.Tensor:
    """An output that has no axis for the rows is the same for all of them."""
    if made.shape.rank == len(shape):
        return tf.broadcast_to(made, [rows, *shape])
    if made.shape.rank != len(shape) + 1:
        raise ValueError(f"the call on the stack gave rank {made.shape.rank} for rows of rank {len(shape)}")
    return made


def _unfold(made: tf.Tensor, rows: tf.Tensor, shape: Shape) -> tf.Tensor:
    """An output without axes, such as the range of a quantised one, is the same for all rows."""
    if made.shape.rank != len(shape):
        raise ValueError(f"the folded call gave rank {made.shape.rank} for rows of rank {len(shape)}")
    return tf.reshape(made, [rows, *shape]) if shape else tf.broadcast_to(made, [rows])


# How an output comes back as stacked rows: from what the call gives, the number of rows and the shape of a row.
_LEAVE: dict[str, Callable[[tf.Tensor, tf.Tensor, Shape], tf.Tensor]] = {
    ELEMENTWISE: _from_stack,
    LEADING: _from_stack,
    FOLDED: _unfold,
    SHIFTED: _from_stack,
}


class Folds:
    """Folded forms of stacked tensors: ``[rows * batch, ...]`` of ``[rows, batch, ...]``.

    A call on the folded form whose input came from another such call takes it as it was made: TensorFlow fuses the two
    only where no reshape stands between them.
    """

    def __init__(self) -> None:
        self._folded: dict[Any, tf.Tensor] = {}

    def __contains__(self, stacked: tf.Tensor) -> bool:
        return stacked.ref() in self._folded

    def add(self, stacked: tf.Tensor, folded: tf.Tensor) -> None:
        self._folded[stacked.ref()] = folded

    def of(self, stacked: tf.Tensor) -> tf.Tensor:
        """The folded form of a tensor, made by a reshape where it is not there."""
        if stacked not in self:
            _, batch, *rest = stacked.shape
            self.add(stacked, tf.reshape(stacked, [tf.shape(stacked)[0] * batch, *rest]))
        return self._folded[stacked.ref()]


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
    folds: Folds | None = None,
) -> list[tf.Tensor]:
    """Each output of all rows, ``[rows, *shape]``, by one call; outputs that are lists are laid out.

    Args:
      inputs: in OpDef order, those that vary as ``[rows, *shape]`` with the shape of a row known; lists as lists.
      shapes: the shape of one row of each output.
      shift: the inputs and attributes that number axes.
      folds: the folded forms of stacked tensors, those of the outputs added.

    Raises:
      ValueError: the operator refuses the stacked rows, or the number of an axis is not known.
    """
    spec = operator_spec(operator)
    assert spec is not None
    folds = Folds() if folds is None else folds
    stacked = [item for item, varies in zip(inputs, varying, strict=True) if varies]
    first = tf.nest.flatten(stacked)[0]
    rows = tf.shape(first)[0]
    if form == ELEMENTWISE and len(inputs) == 1 and first in folds:
        form = FOLDED  # the same, and the folded calls before and behind it stay next to each other
    given = [
        tf.nest.map_structure(lambda tensor: folds.of(tensor) if form == FOLDED else tensor, item) if varies else item
        for item, varies in zip(inputs, varying, strict=True)
    ]
    given = [
        _shifted(item) if argument.name in shift else item for argument, item in zip(spec.inputs, given, strict=True)
    ]
    moved = {item.name: attributes.get(item.name, item.default) for item in spec.attributes if item.name in shift}
    attributes = {**attributes, **{name: axis + 1 if axis >= 0 else axis for name, axis in moved.items()}}
    made = tf.nest.flatten(apply_operator(spec, given, attributes))
    left = [_LEAVE[form](tensor, rows, shape) for tensor, shape in zip(made, shapes, strict=True)]
    if form == FOLDED:
        for tensor, folded, shape in zip(left, made, shapes, strict=True):
            if shape:
                folds.add(tensor, folded)
    return left


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
