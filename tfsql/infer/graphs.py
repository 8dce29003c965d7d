"""TensorFlow graphs as tensor expressions: each operation of a graph becomes a call, as if it stood in the SQL.

So a Python function that was traced and a frozen graph that was read from a file are batched, fused and explained like
any other expression, and there is no second way to run them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.python.framework import convert_to_constants, function_def_to_graph

from tfsql.custom_operators import CustomOperator, Parameter, PythonOperator, Signature
from tfsql.errors import BindError, ShapeError, TfsqlError, UnsupportedError, did_you_mean
from tfsql.infer import Inference, clean_message, natural
from tfsql.registry import EXPOSED, TRUSTED, OperatorSpec, operator_spec, verdict, works_on_handles
from tfsql.tree import Call, Constant, Node, Output, Record, Value
from tfsql.types import ARGUMENT_SIZE, TensorType

# Operations that compute nothing: their result is their first input.
_PASSED = frozenset({"Identity", "IdentityN", "PlaceholderWithDefault", "StopGradient", "PreventGradient", "Snapshot"})
_FUNCTION_CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})


@dataclass(frozen=True)
class GraphFunction:
    """A function of a graph as the value of an attribute: the branch of an If, the body of a While."""

    name: str
    graph: tf.Graph

    def __repr__(self) -> str:
        return self.name

    def add_to_graph(self, graph: tf.Graph) -> None:
        """Makes the function, and those it calls, known to another graph; TensorFlow asks for this method.

        Private attribute and methods: TensorFlow 2.21 has no public library of functions.
        """
        for name, function in self.graph._functions.items():
            if not graph._is_function(name):
                graph._add_function(function)


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


# -- Python functions --------------------------------------------------------------------------------------------------


def traced(
    operator: PythonOperator, inference: Inference, inputs: Mapping[str, Node], attributes: Mapping[str, Any]
) -> Value:
    """The expression that a Python function makes of one row's tensors.

    A bare number is passed as Python's, so that it follows the dtypes that it meets; all else as symbolic tensors.

    Raises:
      BindError: the function fails, or returns what is no tensor.
    """
    literals = {name: node.value.item() for name, node in inputs.items() if _is_number(node)}
    symbolic = {name: natural(node) for name, node in inputs.items() if name not in literals}
    structure: list[Any] = []

    def function(*tensors: tf.Tensor) -> list[tf.Tensor]:
        given = dict(zip(symbolic, tensors, strict=True)) | literals
        made = operator.function(*(given[name] for name in inputs), **attributes)
        structure[:] = [made]
        return [tf.convert_to_tensor(value) for _, value in _fields(made)]

    signature = [tf.TensorSpec(node.type.shape, node.type.dtype, name) for name, node in symbolic.items()]
    concrete = _traced(operator, function, signature)
    graph = concrete.graph
    arguments = graph.inputs[: len(signature)]
    known = {symbol.name: node for symbol, node in zip(arguments, symbolic.values(), strict=True)}
    known |= {
        symbol.name: constant_of(value.numpy(), value.dtype)
        for value, symbol in graph.captures
        if value.dtype != tf.resource
    }
    calls = GraphCalls(inference, graph, known)
    nodes = [calls.node(output) for output in concrete.outputs]
    names = [name for name, _ in _fields(structure[0])]
    return nodes[0] if names == [""] else Record(tuple(zip(names, nodes, strict=True)))


def _is_number(node: Node) -> TypeGuard[Constant]:
    return isinstance(node, Constant) and node.weak is not None and node.value.ndim == 0


def _traced(operator: CustomOperator, function: Callable[..., Any], signature: Sequence[tf.TensorSpec]) -> Any:
    """The traced function, its variables read and made constants."""
    try:
        concrete = tf.function(function).get_concrete_function(*signature)
        if any(value.dtype == tf.resource for value, _ in concrete.graph.captures):
            concrete = convert_to_constants.convert_variables_to_constants_v2(concrete, lower_control_flow=False)
    except TfsqlError:
        raise
    except (ValueError, tf.errors.InvalidArgumentError) as error:
        raise ShapeError(f"{operator.sql_name} failed: {_sentence(error)}") from error
    except Exception as error:
        raise BindError(f"{operator.sql_name} failed: {_sentence(error)}") from error
    return concrete


def _sentence(error: Exception) -> str:
    """The message of an error in traced code, without the stack that TensorFlow writes around it."""
    metadata = getattr(error, "ag_error_metadata", None)
    if metadata is None:
        return f"{type(error).__name__}: {clean_message(error)}"
    *_, line = [line.strip() for line in metadata.cause_message.splitlines() if line.strip()]
    return clean_message(ValueError(line))


def _fields(made: Any) -> list[tuple[str, Any]]:
    """What a function returned, by name; one tensor is called ``""``."""
    if isinstance(made, Mapping):
        return [(str(name), value) for name, value in made.items()]
    if hasattr(made, "_fields"):
        return list(zip(made._fields, made, strict=True))
    if isinstance(made, tuple | list) and made and any(isinstance(item, tf.Tensor) for item in made):
        return [(str(index), value) for index, value in enumerate(made)]
    return [("", made)]


# -- frozen graphs -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class GraphOperator(Signature):
    """A frozen graph as an operator: its inputs are nodes that are fed, its result a row of nodes that are fetched.

    Attributes:
      graph: the graph, whose operations policy has not been asked of yet.
      outputs: the names of the nodes to fetch; ``name:1`` is the second output of a node.
      trust: whether operations that read files may run.
    """

    graph: tf.Graph | None = None
    outputs: tuple[str, ...] = ()
    trust: bool = False

    def expand(self, inference: Inference, inputs: Mapping[str, Node], attributes: Mapping[str, Any]) -> Value:
        assert self.graph is not None
        known = {}
        for name, node in inputs.items():
            tensor = self._tensor(name)
            known[tensor.name] = inference.cast(node, str(tensor.dtype.name))
        calls = GraphCalls(inference, self.graph, known, self._check)
        return Record(tuple((name, calls.node(self._tensor(name))) for name in self.outputs))

    def constant(self, name: str) -> np.ndarray:
        """The value of a constant of the graph.

        Raises:
          BindError: there is no such node, or it is no constant.
        """
        tensor = self._tensor(name)
        value = tf.get_static_value(tensor)
        if value is None:
            raise BindError(f'{self.sql_name}: node "{name}" is a {tensor.op.type}, not a constant')
        return np.asarray(value)

    def _tensor(self, name: str) -> tf.Tensor:
        return graph_tensor(self.graph, name, self.sql_name)

    def _check(self, spec: OperatorSpec) -> None:
        """Refuses what policy refuses; what works on variants alone, as loops do, keeps nothing and may run."""
        judged = verdict(spec.name)
        is_allowed = judged.status == EXPOSED or (judged.status == TRUSTED and self.trust)
        takes_function = any(attribute.item_kind == "func" for attribute in spec.attributes)
        is_on_variants = not spec.is_stateful and "resource" not in [a.dtype for a in (*spec.inputs, *spec.outputs)]
        if not (is_allowed or takes_function or (is_on_variants and works_on_handles(spec.name))):
            raise UnsupportedError(f"{self.sql_name}: the graph's operator {spec.name} {judged.reason}")


def graph_tensor(graph: tf.Graph | None, name: str, subject: str) -> tf.Tensor:
    """The tensor of a graph that a node's name (``x``, or ``x:1``) means.

    Raises:
      BindError: there is none.
    """
    assert graph is not None
    try:
        return graph.get_tensor_by_name(name if ":" in name else f"{name}:0")
    except (KeyError, ValueError) as error:
        names = [operation.name for operation in graph.get_operations()]
        raise BindError(f'{subject}: the graph has no node "{name}"', hint=did_you_mean(name, names)) from error


def read_graph(content: bytes, origin: str) -> tf.Graph:
    """The graph of a serialized GraphDef.

    Args:
      origin: where it comes from, for errors.

    Raises:
      BindError: the content is no GraphDef, or one of no nodes.
      UnsupportedError: it has operators that this TensorFlow does not know.
    """
    definition = tf.compat.v1.GraphDef()
    try:
        definition.ParseFromString(content)
    except DecodeError as error:
        raise BindError(f"{origin} is not a frozen TensorFlow graph", hint="A GraphDef, binary, not text") from error
    if not definition.node:
        raise BindError(f"{origin} holds no TensorFlow graph: it has no nodes")
    graph = tf.Graph()
    try:
        with graph.as_default():
            tf.import_graph_def(definition, name="")
    except (ValueError, tf.errors.OpError) as error:
        raise UnsupportedError(f"{origin}: {clean_message(error)}") from error
    return graph


def graph_operator(
    name: str, graph: tf.Graph, inputs: Sequence[str] | None, outputs: Sequence[str] | None, *, trust: bool = False
) -> GraphOperator:
    """The operator that a graph is.

    Args:
      inputs: the nodes to feed; the placeholders if left out.
      outputs: the nodes to fetch; those that nothing takes if left out.
    """
    operations = graph.get_operations()
    taken = {tensor.op.name for operation in operations for tensor in operation.inputs}
    if inputs is None:
        inputs = [operation.name for operation in operations if operation.type.startswith("Placeholder")]
    if outputs is None:
        outputs = [operation.name for operation in operations if operation.name not in taken and operation.outputs]
    for node in (*inputs, *outputs):
        graph_tensor(graph, node, name)
    parameters = tuple(Parameter(node) for node in inputs)
    doc = f"A TensorFlow graph of {len(operations)} nodes"
    return GraphOperator(name, parameters, (), doc, graph, tuple(outputs), trust)
