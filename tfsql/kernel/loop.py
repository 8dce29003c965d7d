"""From one row to many where rows differ in shape, or must keep their order: a loop over them in one function."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import tensorflow as tf

from tfsql.kernel.graph import Environment, Program, Shape, is_quantised, storable
from tfsql.kernel.lifted import ABSORBED, CONSTANT, LOOPED, LOWERED, Lifted
from tfsql.kernel.lower import lowering_of
from tfsql.kernel.lower.site import Lowering, Site
from tfsql.registry.shapes import has_known_shapes
from tfsql.tree import Call, Constant, Leaf, Node

# So many rows of a loop may be computed at once.
PARALLEL_ROWS = 10


def looped(program: Program, *, is_lowered: bool = True) -> Lifted:
    """``program`` over rows of any shapes, in one loop.

    The function takes the number of rows; for each leaf its elements ``[all]`` and the shapes of its rows
    ``[rows, rank]``; and the arguments. It returns for each result its elements ``[all]`` and shapes ``[rows, rank]``.
    """
    lowered = _lowered(program, is_lowered)

    def function(rows: tf.Tensor, *tensors: tf.Tensor) -> list[tuple[tf.Tensor, tf.Tensor]]:
        border = 2 * len(program.leaves)
        # What is told of shapes TensorFlow also takes for true where a shape function of its own is wrong.
        is_told = not any(has_known_shapes(call.op) for call in program.calls)
        columns = [
            _Column(leaf, *tensors[2 * i : 2 * i + 2], is_fixed=is_told and leaf.type.is_fixed)
            for i, leaf in enumerate(program.leaves)
        ]
        known: dict[Node, tf.Tensor] = dict(zip(program.arguments, tensors[border:], strict=True))
        outside = Environment(known, program.max_cell_bytes)
        needed = _needed(program, lowered)
        inside = [call for call in needed if call in program.varying or any(map(is_quantised, call.results()))]
        for call in needed:
            if call not in inside:
                outside.evaluate(call)
        return _loop(program, rows, columns, outside, inside, lowered)

    signature: list[tf.TensorSpec] = [tf.TensorSpec([], tf.int32)]
    for leaf in program.leaves:
        signature += [tf.TensorSpec([None], leaf.type.dtype), tf.TensorSpec([None, leaf.type.rank], tf.int64)]
    signature += [tf.TensorSpec(constant.type.shape, constant.type.dtype) for constant in program.arguments]
    concrete = tf.function(function, autograph=False).get_concrete_function(*signature)
    return Lifted(concrete, loop_rules(program, LOOPED, is_lowered=is_lowered))


def loop_rules(program: Program, varying: str, *, is_lowered: bool) -> dict[Call, str]:
    """How a loop computes each call.

    Args:
      varying: the rule of those that vary by row and are not lowered.
    """
    lowered = _lowered(program, is_lowered)
    needed = _needed(program, lowered)
    rules = {call: varying if call in program.varying else CONSTANT for call in program.calls}
    rules |= {call: ABSORBED for call in program.calls if call not in needed}
    return rules | {call: f"{LOWERED}{lowering.name}" for call, (lowering, _) in lowered.items()}


def _lowered(program: Program, is_lowered: bool) -> dict[Call, tuple[Lowering, Site]]:
    """The calls that a loop replaces by cheaper equal ones."""
    found = {
        call: lowering_of(call, _known_shape, program.is_varying, program.is_used_once, may_compile=False)
        for call in (program.calls if is_lowered else ())
        if call in program.varying
    }
    return {call: item for call, item in found.items() if item is not None and item[0].is_for_one_row}


def _known_shape(node: Node) -> Shape | None:
    return node.value.shape if isinstance(node, Constant) else node.type.shape


def _needed(program: Program, lowered: Mapping[Call, tuple[Lowering, Site]]) -> list[Call]:
    """The calls of a program that a loop makes, in order."""

    def taken(call: Call) -> Iterable[Node]:
        return lowered[call][0].takes(lowered[call][1]) if call in lowered else call.nodes()

    needed = program.needed(taken)
    return [call for call in program.calls if call in needed]


def _put_lowered(row: Environment, call: Call, lowering: Lowering, site: Site) -> None:
    """Computes a call of one row by its lowering."""
    row.put(next(call.results()), lowering.make(site, [row.tensor(node) for node in lowering.takes(site)]))


class _Column:
    """The rows of one leaf, laid end to end.

    Args:
      is_fixed: whether TensorFlow is told that all have the shape of the leaf.
    """

    def __init__(self, leaf: Leaf, elements: tf.Tensor, shapes: tf.Tensor, *, is_fixed: bool):
        self.leaf = leaf
        self._elements = elements
        self._shapes = shapes
        self._ends = tf.cumsum(tf.reduce_prod(shapes, axis=1))
        self._stacked: tf.Tensor | None = None
        if is_fixed:
            self._stacked = tf.reshape(elements, [tf.shape(shapes)[0], *(leaf.type.shape or ())])

    def row(self, index: tf.Tensor) -> tf.Tensor:
        if self._stacked is not None:  # one operation in place of a dozen, for each row
            return tf.gather(self._stacked, index)
        shape = self._shapes[index]
        end = self._ends[index]
        tensor = tf.reshape(self._elements[end - tf.reduce_prod(shape) : end], shape)
        tensor.set_shape(self.leaf.type.shape)
        return tensor


def _loop(
    program: Program,
    rows: tf.Tensor,
    columns: list[_Column],
    outside: Environment,
    inside: list[Call],
    lowered: Mapping[Call, tuple[Lowering, Site]],
) -> list[tuple[tf.Tensor, tf.Tensor]]:
    def body(index: tf.Tensor, arrays: list[tf.TensorArray]) -> tuple[tf.Tensor, list[tf.TensorArray]]:
        row = outside.child({column.leaf: column.row(index) for column in columns}, is_guarded=True)
        for call in inside:
            if call in lowered:
                _put_lowered(row, call, *lowered[call])
            else:
                row.evaluate(call)
        written = []
        for node, elements, shapes in zip(program.results, arrays[::2], arrays[1::2], strict=True):
            tensor = storable(row.tensor(node))
            written.append(elements.write(index, tf.reshape(tensor, [-1])))
            written.append(shapes.write(index, tf.shape(tensor, tf.int64)))
        return index + 1, written

    arrays = []
    for node in program.results:
        dtype = _storable_dtype(node)
        arrays.append(tf.TensorArray(dtype, size=rows, infer_shape=False, element_shape=[None]))
        arrays.append(tf.TensorArray(tf.int64, size=rows, element_shape=[node.type.rank]))
    parallel = 1 if program.is_stateful else PARALLEL_ROWS
    _, arrays = tf.while_loop(lambda index, _: index < rows, body, (0, arrays), parallel_iterations=parallel)
    return [(arrays[i].concat(), arrays[i + 1].stack()) for i in range(0, len(arrays), 2)]


def _storable_dtype(node: Node) -> tf.DType:
    with tf.Graph().as_default():
        return storable(tf.compat.v1.placeholder(node.type.dtype, [])).dtype
