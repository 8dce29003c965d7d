"""Frozen TensorFlow graphs as operators: read from a file, held against policy, taken apart where they are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from tfsql.custom_operators import Parameter, Signature
from tfsql.errors import BindError, UnsupportedError, did_you_mean
from tfsql.infer import Inference, clean_message
from tfsql.infer.graphs import GraphCalls
from tfsql.registry import EXPOSED, TRUSTED, OperatorSpec, verdict, works_on_handles
from tfsql.tree import Node, Record, Value


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
