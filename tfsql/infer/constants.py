"""Calls on constants, where no kernel may run in this process.

TensorFlow's shape functions ask for the values of their inputs, and TensorFlow runs the kernels of a call on constants
to tell them: ``tf_Reshape(x, tf_Mul([1, 2], 2))`` runs Mul. Here such a call is computed elsewhere, and the graph is
given its value; a call whose value cannot be had is hidden from TensorFlow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import tensorflow as tf

from tfsql.tree import Call, Constant, Node, Output
from tfsql.types import TensorType

# No shape function needs the values of a tensor of more elements.
MAX_ELEMENTS = 65_536

Evaluate = Callable[[Call], Sequence[np.ndarray] | None]


class ConstantCalls:
    """The calls of one graph whose inputs are all known before running.

    Args:
      evaluate: gives the outputs of a call on constants, lists laid out; None where it fails.
      raw: the tensor that an output is in the graph.
    """

    def __init__(self, evaluate: Evaluate, raw: Callable[[Output], tf.Tensor]):
        self._evaluate = evaluate
        self._raw = raw
        self._inputs: dict[Call, dict[Node, np.ndarray] | None] = {}
        self._outputs: dict[Call, Sequence[np.ndarray] | None] = {}
        self._values: dict[Output, np.ndarray | None] = {}

    def symbol(self, output: Output) -> tf.Tensor:
        """The tensor that stands for an output where it is the input of another call."""
        tensor = self._raw(output)
        value = self._value(output)
        if value is None:
            is_hidden = self._inputs_of(output.call) is not None
            return tf.compat.v1.placeholder_with_default(tensor, tensor.shape) if is_hidden else tensor
        constant = tf.constant(value, tensor.dtype)
        if _static_value(tensor) is not None:
            return constant
        # Python's part of TensorFlow, which could not tell the value of the call, sees no further than this operator.
        return tf.raw_ops.PreventGradient(input=constant)

    def _inputs_of(self, call: Call) -> dict[Node, np.ndarray] | None:
        """The values of all inputs of a call; None where some are not known, or it is not the same each time."""
        if call not in self._inputs:
            values = {node: self._value(node) for node in call.nodes()}
            known = {node: value for node, value in values.items() if value is not None}
            self._inputs[call] = known if len(known) == len(values) and not call.is_stateful else None
        return self._inputs[call]

    def _value(self, node: Node) -> np.ndarray | None:
        if isinstance(node, Constant):
            return None if node.is_argument else node.value
        if not isinstance(node, Output):
            return None
        if node not in self._values:
            value = _static_value(self._raw(node))
            self._values[node] = self._computed(node) if value is None else value
        return self._values[node]

    def _computed(self, output: Output) -> np.ndarray | None:
        """The value of an output that only a kernel tells."""
        call = output.call
        inputs = self._inputs_of(call)
        if inputs is None or not all(_is_plain(kind) and _is_small(kind) for kind in _kinds(call)):
            return None
        if call not in self._outputs:
            self._outputs[call] = self._evaluate(_on_constants(call, inputs))
        values = self._outputs[call]
        if values is None:
            return None
        position = sum(1 if isinstance(kinds, TensorType) else len(kinds) for _, kinds in call.outputs[: output.index])
        value = values[position + (output.item or 0)]
        return value if value.size <= MAX_ELEMENTS else None


def _on_constants(call: Call, values: dict[Node, np.ndarray]) -> Call:
    def constant(node: Node) -> Constant:
        return Constant(values[node], TensorType(node.type.dtype, values[node].shape, node.type.is_bytes))

    inputs = tuple(tuple(map(constant, item)) if isinstance(item, tuple) else constant(item) for item in call.inputs)
    return replace(call, inputs=inputs)


def _static_value(tensor: tf.Tensor) -> np.ndarray | None:
    """The value that Python's part of TensorFlow tells, which runs no kernel."""
    elements = tensor.shape.num_elements()
    if elements is None or elements > MAX_ELEMENTS or not _is_plain_dtype(tensor.dtype):
        return None
    value = tf.get_static_value(tensor)
    return None if value is None else np.asarray(value)


def _kinds(call: Call) -> list[TensorType]:
    return [kind for _, kinds in call.outputs for kind in ((kinds,) if isinstance(kinds, TensorType) else kinds)]


def _is_plain(kind: TensorType) -> bool:
    return _is_plain_dtype(tf.as_dtype(kind.dtype))


def _is_plain_dtype(dtype: tf.DType) -> bool:
    """Whether NumPy has the values."""
    return not (dtype.is_quantized or dtype in (tf.variant, tf.resource))


def _is_small(kind: TensorType) -> bool:
    elements = tf.TensorShape(kind.shape).num_elements()
    return elements is None or elements <= MAX_ELEMENTS
