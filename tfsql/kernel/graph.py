"""A kernel's program: the tensor expression of one row, its arguments, and a key that can be printed."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import tensorflow as tf

from tfsql.infer import MAX_CELL_BYTES, apply_operator, assertion, open_conditions, output_conditions, refuse
from tfsql.infer.graphs import calls_python
from tfsql.registry import operator_spec
from tfsql.registry.batching import parameters_of
from tfsql.tree import (
    Call,
    Constant,
    Leaf,
    Node,
    Output,
    Record,
    Sequence,
    Spread,
    Value,
    calls_in_order,
    constants_in_order,
    leaves_in_order,
    value_nodes,
)
from tfsql.types import WIDENED, Array, SqlType, Struct, TensorType, declared, sql_type

Shape = tuple[int | None, ...]
MAX_SETTLED_ELEMENTS = 65_536


@dataclass(frozen=True, eq=False)
class Program:
    """What one row's result is computed from, and how.

    Attributes:
      value: the expression.
      leaves: the row inputs, in the order in which the kernel takes them.
      arguments: the constants that the kernel takes as arguments.
      calls: the operator calls, each behind those it needs.
      results: the tensors that make up the value.
      max_cell_bytes: what one output of one row may take.
      fixed: the leaves that have one value in all rows, and that value.
      settled: the calls whose outputs are the same in all rows of one shape, and those outputs.
    """

    value: Value
    leaves: tuple[Leaf, ...]
    arguments: tuple[Constant, ...]
    calls: tuple[Call, ...]
    results: tuple[Node, ...]
    max_cell_bytes: int = MAX_CELL_BYTES
    fixed: Mapping[Leaf, np.ndarray] = field(default_factory=dict)
    settled: Mapping[Call, SequenceOf[np.ndarray]] = field(default_factory=dict)

    @classmethod
    def of(cls, value: Value, max_cell_bytes: int = MAX_CELL_BYTES) -> Program:
        return cls(
            value,
            tuple(leaves_in_order(value)),
            tuple(constant for constant in constants_in_order(value) if constant.is_argument),
            tuple(calls_in_order(value)),
            tuple(value_nodes(value)),
            max_cell_bytes,
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles the calls in order, so that none is met before those it needs: nesting costs no recursion then."""
        rest = (self.leaves, self.arguments, self.results, self.value, self.max_cell_bytes, self.fixed, self.settled)
        return _unpickled, (self.calls, *rest)

    @property
    def is_stateful(self) -> bool:
        """Whether two runs on the same rows may differ (random operators)."""
        return any(call.is_stateful for call in self.calls)

    @cached_property
    def calls_python(self) -> bool:
        """Whether it calls back into Python, so that no other process can run it."""
        return any(map(calls_python, self.calls))

    @cached_property
    def varying(self) -> frozenset[Call]:
        """The calls whose result depends on the row."""
        varying: set[Call] = set()
        for call in self.calls:
            if call in self.settled:
                continue
            if call.is_stateful or any(
                self._is_varying_leaf(node) or (isinstance(node, Output) and node.call in varying)
                for node in call.nodes()
            ):
                varying.add(call)
        return frozenset(varying)

    def is_varying(self, node: Node) -> bool:
        return self._is_varying_leaf(node) or (isinstance(node, Output) and node.call in self.varying)

    @cached_property
    def _uses(self) -> Counter[Node]:
        return Counter([node for call in self.calls for node in call.nodes()] + list(self.results))

    def is_used_once(self, node: Node) -> bool:
        """Whether nothing but one call, once, takes a node."""
        return self._uses[node] == 1 and node not in self.results

    def needed(self, taken: Callable[[Call], Iterable[Node]]) -> frozenset[Call]:
        """The calls that the results need.

        Args:
          taken: the nodes that a call needs.
        """
        needed: set[Call] = set()
        nodes: list[Node] = list(self.results)
        while nodes:
            node = nodes.pop()
            if isinstance(node, Output) and node.call not in needed:
                needed.add(node.call)
                nodes += taken(node.call)
        return frozenset(needed)

    def _is_varying_leaf(self, node: Node) -> bool:
        return isinstance(node, Leaf) and node not in self.fixed

    @cached_property
    def parameters(self) -> Mapping[Leaf, Call]:
        """The leaves whose values decide how a call is made, such as an axis or a length; and that call."""
        found = {}
        for call in self.calls:
            spec = operator_spec(call.op)
            assert spec is not None
            for argument, item in zip(spec.inputs, call.inputs, strict=True):
                if isinstance(item, Leaf) and item not in self.fixed and argument.name in parameters_of(call.op):
                    found[item] = call
        return found

    def fixing(self, values: Mapping[Leaf, np.ndarray]) -> Program:
        """This program for rows that have these values for some leaves."""
        return replace(self, fixed={**self.fixed, **values})

    def constant(self, leaf: Leaf) -> tf.Tensor:
        """A fixed leaf as a tensor."""
        return tf.constant(self.fixed[leaf], leaf.type.dtype)

    @cached_property
    def key(self) -> str:
        """The program as text, equal for equal programs: one line for each call, constants by value or digest."""
        return "\n".join([*self.lines(), f"return {_value_text(self.value, self._names)}"])

    @cached_property
    def _names(self) -> dict[Any, str]:
        names: dict[Any, str] = {leaf: f"${i} {leaf.type}" for i, leaf in enumerate(self.leaves)}
        names |= {constant: f"@{i} {constant.type}" for i, constant in enumerate(self.arguments)}
        return names | {call: f"%{i}" for i, call in enumerate(self.calls)}

    def lines(self) -> list[str]:
        return [self._call_text(call) for call in self.calls]

    def _call_text(self, call: Call) -> str:
        inputs = [
            f"[{', '.join(_node_text(node, self._names) for node in item)}]"
            if isinstance(item, tuple)
            else _node_text(item, self._names)
            for item in call.inputs
        ]
        attributes = [f"{name}={_attribute_text(value)}" for name, value in call.attributes]
        return f"{self._names[call]} = {call.op}({', '.join(inputs + attributes)})"

    def result_type(self) -> SqlType:
        """The SQL type of the value."""
        return _result_type(self.value)


def _unpickled(
    calls: tuple[Call, ...],
    leaves: tuple[Leaf, ...],
    arguments: tuple[Constant, ...],
    results: tuple[Node, ...],
    value: Value,
    *rest: Any,
) -> Program:
    return Program(value, leaves, arguments, calls, results, *rest)


def _value_text(value: Value, names: dict[Any, str]) -> str:
    if isinstance(value, Record):
        return "{" + ", ".join(f"{name}: {_value_text(field, names)}" for name, field in value.fields) + "}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(_node_text(item, names) for item in value.items) + "]"
    if isinstance(value, Spread):
        return f"spread {_node_text(value.node, names)}"
    return _node_text(value, names)


def _node_text(node: Node, names: dict[Any, str]) -> str:
    if isinstance(node, Output):
        item = "" if node.item is None else f".{node.item}"
        only = len(node.call.outputs) == 1
        return f"{names[node.call]}{'' if only else f'.{node.index}'}{item}"
    if node in names:
        return names[node]
    assert isinstance(node, Constant)
    if node.value.size <= 9:
        return f"{str(node.value.tolist()).replace(' ', '')} {node.type}"
    return f"#{_digest(node.value)} {node.type}"


def _digest(array: np.ndarray) -> str:
    content = repr(array.tolist()).encode() if array.dtype == object else np.ascontiguousarray(array).tobytes()
    return hashlib.sha256(content).hexdigest()[:16]


def _attribute_text(value: Any) -> str:
    return f"#{_digest(value)}" if isinstance(value, np.ndarray) else repr(value)


def _result_type(value: Value) -> SqlType:
    if isinstance(value, Record):
        return Struct(tuple((name, _result_type(field)) for name, field in value.fields))
    if isinstance(value, Sequence):
        return Array(sql_type(declared(value.type)), len(value.items))
    if isinstance(value, Spread):
        item = sql_type(TensorType(value.node.type.dtype, (), value.node.type.is_bytes))
        return Struct(tuple((path, item) for path in index_paths(value.node.type.shape)))
    return sql_type(declared(value.type))


def index_paths(shape: Shape | None) -> list[str]:
    """The index paths of a tensor's elements in row-major order: ``0.0``, ``0.1``, ... with every length known."""
    assert shape is not None
    return [".".join(map(str, index)) for index in np.ndindex(*shape)]  # type: ignore[arg-type]


class Environment:
    """Evaluates calls on TensorFlow tensors, symbolic or eager, remembering each result.

    Args:
      known: the tensors of nodes to begin with.
      max_cell_bytes: what one output may take.
      is_guarded: whether calls are checked for the conditions of operators/checks.toml while they run; what is known
        before that is checked always.
    """

    def __init__(self, known: dict[Node, tf.Tensor], max_cell_bytes: int = MAX_CELL_BYTES, *, is_guarded: bool = True):
        self._known = dict(known)
        self._results: dict[Call, list[Any]] = {}
        self._max_cell_bytes = max_cell_bytes
        self._is_guarded = is_guarded

    def evaluate(self, call: Call) -> None:
        """Computes the outputs of ``call``; those of the calls it needs must be known."""
        spec = operator_spec(call.op)
        assert spec is not None
        inputs, attributes = self.inputs_of(call), dict(call.attributes)
        if not self._is_guarded:
            refuse(spec, inputs, attributes, self._max_cell_bytes)
            self._results[call] = apply_operator(spec, inputs, attributes)
            return
        required = open_conditions(spec, inputs, attributes, self._max_cell_bytes)
        with tf.control_dependencies([assertion(spec, *condition) for condition in required]):
            made = apply_operator(spec, inputs, attributes)
        ensured = output_conditions(spec, inputs, attributes, made)
        if ensured:
            with tf.control_dependencies([assertion(spec, *condition) for condition in ensured]):
                made = tf.nest.map_structure(tf.identity, made)
        self._results[call] = made

    def inputs_of(self, call: Call) -> list[Any]:
        """The tensors that ``call`` takes, in OpDef order; lists as lists."""
        return [
            [self.tensor(node) for node in item] if isinstance(item, tuple) else self.tensor(item)
            for item in call.inputs
        ]

    def child(self, known: dict[Node, tf.Tensor], *, is_guarded: bool) -> Environment:
        """An environment that knows what this one knows, and ``known``; what it computes stays in it."""
        inner = Environment(self._known | known, self._max_cell_bytes, is_guarded=is_guarded)
        inner._results = dict(self._results)
        return inner

    def outputs_of(self, call: Call) -> list[tf.Tensor]:
        """All outputs of a call that was evaluated; those of lists are laid out."""
        return list(tf.nest.flatten(self._results[call]))

    def put(self, node: Node, tensor: tf.Tensor) -> None:
        self._known[node] = tensor

    def tensor(self, node: Node) -> tf.Tensor:
        if node in self._known:
            return self._known[node]
        if isinstance(node, Constant):
            return tf.constant(node.value, node.type.dtype)
        assert isinstance(node, Output)
        result = self._results[node.call][node.index]
        return result if node.item is None else result[node.item]


class Statics:
    """What is known of a program's tensors when its leaves have certain shapes; no data is read.

    Raises:
      ValueError: TensorFlow's shape function refuses the shapes, or an output is larger than a cell may be.
    """

    def __init__(self, program: Program, leaf_shapes: SequenceOf[Shape]):
        self._program = program
        with tf.Graph().as_default():
            inputs: dict[Node, tf.Tensor] = {
                leaf: program.constant(leaf)
                if leaf in program.fixed
                else tf.compat.v1.placeholder(leaf.type.dtype, shape)
                for leaf, shape in zip(program.leaves, leaf_shapes, strict=True)
            }
            arguments = {c: tf.compat.v1.placeholder(c.type.dtype, c.type.shape) for c in program.arguments}
            self._environment = Environment(inputs | arguments, program.max_cell_bytes, is_guarded=False)
            for call in program.calls:
                self._environment.evaluate(call)
                for tensor in self._environment.outputs_of(call):
                    _check_size(call, tensor, program.max_cell_bytes)

    def shape_of(self, node: Node) -> Shape | None:
        """The shape of a node; None where not even its rank is known."""
        if isinstance(node, Constant):
            return node.value.shape
        shape = self._environment.tensor(node).shape
        return None if shape.rank is None else tuple(shape.as_list())

    def settled(self) -> dict[Call, list[np.ndarray]]:
        """The outputs of those varying calls that the shapes alone settle, as sizes and what is reckoned from them."""
        found = {}
        for call in self._program.calls:
            if call in self._program.varying and not call.is_stateful:
                values = [_static_value(tensor) for tensor in self._environment.outputs_of(call)]
                known = [value for value in values if value is not None]
                if len(known) == len(values):
                    found[call] = known
        return found


def _static_value(tensor: tf.Tensor) -> np.ndarray | None:
    """The value of a small tensor of integers or truths that TensorFlow can tell from the graph."""
    is_whole = tensor.dtype.is_integer or tensor.dtype == tf.bool
    if not is_whole or not tensor.shape.is_fully_defined() or tensor.shape.num_elements() > MAX_SETTLED_ELEMENTS:
        return None
    value = tf.get_static_value(tensor)
    return None if value is None else np.asarray(value)


def _check_size(call: Call, tensor: tf.Tensor, limit: int) -> None:
    if tensor.shape.is_fully_defined() and tensor.shape.num_elements() * tensor.dtype.size > limit:
        size = tensor.shape.num_elements() * tensor.dtype.size
        raise ValueError(
            f"tf_{call.op} would make a tensor of {size:,} bytes for each row; tfsql_max_cell_bytes allows {limit:,}"
        )


def storable(tensor: tf.Tensor) -> tf.Tensor:
    """``tensor`` with the dtype in which SQL holds it (``types.WIDENED``), exactly."""
    dtype = str(tensor.dtype.name)
    if dtype not in WIDENED:
        return tensor
    if dtype.startswith("q"):
        return tf.bitcast(tensor, WIDENED[dtype])
    return tf.cast(tensor, WIDENED[dtype])


def is_quantised(node: Node) -> bool:
    return node.type.dtype.startswith("q")
