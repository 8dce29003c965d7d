"""Python functions of tensors as tensor expressions: traced by TensorFlow, their graphs taken apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeGuard

import tensorflow as tf
from tensorflow.python.framework import convert_to_constants

from tfsql.custom_operators import CustomOperator, PythonOperator
from tfsql.errors import BindError, ShapeError, TfsqlError
from tfsql.infer import Inference, clean_message, natural
from tfsql.infer.graphs import GraphCalls, constant_of
from tfsql.tree import Constant, Node, Record, Value


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
