"""TensorFlow graphs as tensor expressions: each operation of a graph becomes a call, as if it stood in the SQL.

So a Python function that was traced and a frozen graph that was read from a file are batched, fused and explained like
any other expression, and there is no second way to run them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.eager import context
from tensorflow.python.framework import function_def_to_graph

from tfsql.errors import BindError, UnsupportedError
from tfsql.infer import Inference
from tfsql.registry import OperatorSpec, operator_spec
from tfsql.tree import Call, Constant, Node, Output
from tfsql.types import ARGUMENT_SIZE, TensorType

# Operations that compute nothing: their result is their first input.
_PASSED = frozenset({"Identity", "IdentityN", "PlaceholderWithDefault", "StopGradient", "PreventGradient", "Snapshot"})
_FUNCTION_CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})
# Operators that call Python back in the process that has traced them.
_PYTHON_CALLS = frozenset({"PyFunc", "PyFuncStateless", "EagerPyFunc"})


@dataclass(frozen=True)
class GraphFunction:
    """A function of a graph as the value of an attribute: the branch of an If, the body of a While."""

    name: str
    graph: tf.Graph

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[Any, ...]:
        definition = tf.compat.v1.GraphDef()
        definition.library.CopyFrom(self.graph.as_graph_def().library)
        return _function_of_library, (self.name, definition.SerializeToString())

    @property
    def operators(self) -> frozenset[str]:
        """The operators of the function and of those it calls."""
        functions = self.graph.as_graph_def().library.function
        return frozenset(node.op for function in functions for node in function.node_def)

    def add_to_graph(self, graph: tf.Graph) -> None:
        """Makes the function, and those it calls, known to another graph; TensorFlow asks for this method.

        Private attribute and methods: TensorFlow 2.21 has no public library of functions.
        """
        for name, function in self.graph._functions.items():
            if not graph._is_function(name):
                graph._add_function(function)


def _function_of_library(name: str, library: bytes) -> GraphFunction:
    """A function that comes from another process.

    Private module: what runs eagerly finds the functions that functions call in TensorFlow's context alone.
    """
    definition = tf.compat.v1.GraphDef.FromString(library)
    for function in definition.library.function:
        context.context().add_function_def(function)
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(definition, name="")
    return GraphFunction(name, graph)


class GraphCalls:
    """The operations of one graph as calls.

    Args:
      known: the tensors that are given, by name (``x:0``).
      check: refuses an operation, by the name of its operator.
    """

    def __init__(
        self,
        inference: Inference,
        graph: tf.Graph,
        known: Mapping[str, Node],
        check: Callable[[OperatorSpec], None] = lambda spec: None,
    ):
        self._inference = inference
        self._graph = graph
        self._nodes: dict[str, Node] = dict(known)
        self._check = check

    def node(self, tensor: tf.Tensor) -> Node:
        """The expression that a tensor of the graph is.

        Raises:
          UnsupportedError: an operation on the way to it cannot run in a query.
          BindError: it depends on an input that is not given.
        """
        waiting = [tensor.op]
        while waiting:  # not recursive: graphs are deeper than Python's stack
            operation = waiting[-1]
            needed = [t.op for t in operation.inputs if t.name not in self._nodes]
            if self._is_done(operation) or not needed:
                waiting.pop()
                if not self._is_done(operation):
                    self._convert(operation)
            else:
                waiting += needed
        return self._nodes[tensor.name]

    def _is_done(self, operation: tf.Operation) -> bool:
        return all(output.name in self._nodes for output in operation.outputs)

    def _convert(self, operation: tf.Operation) -> None:
        """Puts the outputs of an operation, whose inputs are known, among the nodes."""
        inputs = [self._nodes[t.name] for t in operation.inputs]
        if operation.type == "Const":
            value = tf.make_ndarray(operation.get_attr("value"))
            made: Sequence[Node] = [constant_of(value, operation.outputs[0].dtype)]
        elif operation.type in _PASSED:
            made = inputs
        elif operation.type in _FUNCTION_CALLS:
            made = self._inlined(operation, inputs)
        else:
            made = self._called(operation, inputs)
        for tensor, node in zip(operation.outputs, made, strict=True):
            self._nodes.setdefault(tensor.name, node)

    def _inlined(self, operation: tf.Operation, inputs: Sequence[Node]) -> list[Node]:
        """The results of a function that is called, its body in the place of the call."""
        graph = function_graph(self._graph, operation.get_attr("f").name)
        known = {t.name: node for t, node in zip(graph.inputs, inputs, strict=True)}
        inner = GraphCalls(self._inference, graph, known, self._check)
        return [inner.node(output) for output in graph.outputs]

    def _called(self, operation: tf.Operation, inputs: Sequence[Node]) -> list[Node]:
        spec = operator_spec(operation.type)
        if operation.type in ("Placeholder", "PlaceholderV2"):
            raise BindError(f'The graph needs its input "{operation.name}", which is not given')
        if spec is None:
            raise UnsupportedError(f"The graph's {operation.name} is a {operation.type}, which cannot run here")
        attributes = {
            attr.name: self._attribute(attr.item_kind, operation.get_attr(attr.opdef_name), is_list=attr.is_list)
            for attr in spec.attributes
            if not attr.is_inferred
        }
        attributes = {name: value for name, value in attributes.items() if not _is_default(spec, name, value)}
        for value in attributes.values():
            for function in value if isinstance(value, list) else [value]:
                if isinstance(function, GraphFunction):
                    self._check_function(function.name)
        self._check(spec)
        call = self._inference.exact_call(spec, _grouped(spec, operation, inputs), attributes)
        return _results(call)

    def _check_function(self, name: str) -> None:
        """Checks the operations of a function that an attribute names, and of those that these name."""
        for operation in function_graph(self._graph, name).get_operations():
            spec = operator_spec(operation.type)
            if spec is not None and operation.type != "Placeholder":
                self._check(spec)

    def _attribute(self, kind: str, value: Any, *, is_list: bool) -> Any:
        if is_list:
            return [self._attribute(kind, item, is_list=False) for item in value]
        if kind == "func":
            return GraphFunction(value.name, self._graph)
        return _PLAIN[kind](value)


def _is_default(spec: OperatorSpec, name: str, value: Any) -> bool:
    attribute = spec.attribute(name)
    return attribute is not None and not isinstance(value, np.ndarray) and bool(attribute.default == value)


def _shape(value: Any) -> list[int | None] | None:
    shape = tf.TensorShape(value)
    return None if shape.rank is None else shape.as_list()


_PLAIN: dict[str, Callable[[Any], Any]] = {
    "type": lambda value: str(tf.as_dtype(value).name),
    "shape": _shape,
    "tensor": tf.make_ndarray,
    "string": lambda value: value.decode("utf-8", "surrogateescape"),
    "int": int,
    "float": float,
    "bool": bool,
}


def _grouped(spec: OperatorSpec, operation: tf.Operation, inputs: Sequence[Node]) -> list[Node | tuple[Node, ...]]:
    """The inputs of an operation, those of one list input together."""
    grouped: list[Node | tuple[Node, ...]] = []
    rest = list(inputs)
    for argument in spec.inputs:
        if not argument.is_list:
            grouped.append(rest.pop(0))
            continue
        if argument.number_attr:
            count = operation.get_attr(argument.number_attr)
        else:
            count = len(operation.get_attr(argument.type_list_attr))
        grouped.append(tuple(rest[:count]))
        rest = rest[count:]
    return grouped


def _results(call: Call) -> list[Node]:
    """The outputs of a call, lists laid out."""
    nodes: list[Node] = []
    for index, (_, kinds) in enumerate(call.outputs):
        if isinstance(kinds, TensorType):
            nodes.append(Output(call, index, None, kinds))
        else:
            nodes += [Output(call, index, item, kind) for item, kind in enumerate(kinds)]
    return nodes


def calls_python(call: Call) -> bool:
    """Whether a call, or a function that it takes, calls back into Python of this process."""
    operators = {call.op}
    for _, value in call.attributes:
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, GraphFunction):
                operators |= item.operators
    return not operators.isdisjoint(_PYTHON_CALLS)


def function_graph(graph: tf.Graph, name: str) -> Any:
    """The body of a function of a graph's library, as a graph with ``inputs`` and ``outputs``.

    Private module and method: TensorFlow 2.21 has no public way from a FunctionDef to a graph.
    """
    return function_def_to_graph.function_def_to_graph(graph._get_function(name).cached_definition)


def constant_of(array: np.ndarray, dtype: tf.DType) -> Constant:
    """An array as a constant; a large one as an argument of the kernel."""
    kind = TensorType(str(dtype.name), array.shape)
    is_argument = array.size >= ARGUMENT_SIZE and array.dtype != object
    return Constant(array, kind, None, is_argument)
