"""Typed calls, built in a graph that holds no data.

An ``Inference`` holds one TensorFlow graph in which each call is built once, symbolically; what the graph refuses is
the error that the user reads before the first row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfsql.errors import BindError, ResourceError, TypeMismatchError, did_you_mean
from tfsql.infer.checks import check_kernel, check_lists, check_size, fitting_tensor
from tfsql.infer.conditions import MAX_CELL_BYTES, ConditionError, refuse
from tfsql.infer.constants import ConstantCalls, Evaluate
from tfsql.infer.dtypes import QUANTISED_STORAGE, choose_dtype, convert_constant, is_integer, is_safe, natural_dtype
from tfsql.infer.known import KNOWN
from tfsql.infer.messages import ListOrNode, attribute_name, cast_hint, describe_attribute, listed, shape_error
from tfsql.registry import Argument, OperatorSpec, returns_bytes, written_inputs
from tfsql.registry.attributes import attribute_value, for_tensorflow
from tfsql.registry.shapes import with_known_shapes
from tfsql.tree import Call, Constant, Leaf, Node, Output
from tfsql.types import TensorType, sql_type


class Inference:
    """Builds typed calls. Equal calls on equal inputs are one call.

    Args:
      max_cell_bytes: what one output of one row may take.
      evaluate: computes a call on constants elsewhere; None where TensorFlow may do so here.
      merges_arguments: whether equal arguments of kernels are one, as other equal constants are.
    """

    def __init__(
        self,
        max_cell_bytes: int = MAX_CELL_BYTES,
        evaluate: Evaluate | None = None,
        *,
        merges_arguments: bool = False,
    ) -> None:
        self._max_cell_bytes = max_cell_bytes
        self._merges_arguments = merges_arguments
        self._graph = tf.Graph()
        self._symbols: dict[Node, tf.Tensor] = {}
        self._results: dict[Call, list[Any]] = {}
        self._specs: dict[Call, OperatorSpec] = {}
        self._structures: dict[Call, int] = {}
        self._calls: dict[Any, Call] = {}
        self._constants: dict[Any, Constant] = {}
        self._constant_calls = None if evaluate is None else ConstantCalls(evaluate, self._raw)

    def call(self, spec: OperatorSpec, inputs: Sequence[ListOrNode], attributes: dict[str, Any]) -> Call:
        """The typed call of ``spec`` on ``inputs`` (OpDef order) with ``attributes`` (as the user wrote them).

        Raises:
          TypeMismatchError: a dtype does not fit, or an attribute has the wrong kind.
          ShapeError: TensorFlow's shape function refuses the shapes.
          BindError: an attribute is missing.
        """
        given = self._attribute_values(spec, attributes)
        check_lists(spec, inputs, given)
        cast_inputs = [self._interned(item) for item in self._cast_inputs(spec, inputs, given)]
        explicit = tuple((name, value) for name, value in given.items() if not _is_inferred(spec, name))
        key = (spec.name, tuple(cast_inputs), repr(explicit))
        if key not in self._calls or spec.is_stateful:
            self._calls[key] = self._build(spec, cast_inputs, explicit)
        return self._calls[key]

    def exact_call(self, spec: OperatorSpec, inputs: Sequence[ListOrNode], attributes: dict[str, Any]) -> Call:
        """The call of ``spec`` on inputs and attribute values that fit it already, as those of a graph do."""
        interned = [self._interned(item) for item in inputs]
        explicit = tuple(attributes.items())
        key = (spec.name, tuple(interned), repr(explicit))
        if key not in self._calls or spec.is_stateful:
            self._calls[key] = self._build(spec, interned, explicit)
        return self._calls[key]

    def cast(self, node: Node, dtype: str) -> Node:
        """``node`` with another dtype: constants are converted here, everything else by a Cast (or Bitcast) call."""
        if node.type.dtype == dtype:
            return node
        if isinstance(node, Constant):
            return convert_constant(node, dtype)
        from tfsql.registry import operator_spec

        source_storage = QUANTISED_STORAGE.get(node.type.dtype)
        if source_storage:
            node = self._single(operator_spec("Bitcast"), node, {"type": source_storage})
            return self.cast(node, dtype)
        storage = QUANTISED_STORAGE.get(dtype)
        if storage:
            return self._single(operator_spec("Bitcast"), self.cast(node, storage), {"type": dtype})
        return self._single(operator_spec("Cast"), node, {"DstT": dtype})

    def _single(self, spec: OperatorSpec | None, node: Node, attributes: dict[str, Any]) -> Output:
        assert spec is not None
        call = self.call(spec, [node], attributes)
        output = call.outputs[0][1]
        assert isinstance(output, TensorType)
        return Output(call, 0, None, output)

    def _interned(self, item: ListOrNode) -> ListOrNode:
        """``item`` with equal constants made one, so that equal calls are found."""
        if isinstance(item, tuple):
            return tuple(self._interned_node(node) for node in item)
        return self._interned_node(item)

    def _interned_node(self, item: Node) -> Node:
        if not isinstance(item, Constant) or (item.is_argument and not self._merges_arguments):
            return item
        return self._constants.setdefault((_content(item), item.type, item.weak), item)

    # -- attributes ------------------------------------------------------------------------------------------------

    def _attribute_values(self, spec: OperatorSpec, written: dict[str, Any]) -> dict[str, Any]:
        values = {}
        for name, value in written.items():
            attribute = spec.attribute(name)
            if attribute is None:
                known = [attr.name for attr in spec.attributes]
                raise BindError(
                    f'{spec.sql_name} has no attribute "{name}". {listed("Attributes are", known)}',
                    hint=did_you_mean(name, known),
                    argument=name,
                )
            try:
                values[attribute.name] = attribute_value(attribute, value)
            except TypeMismatchError as error:
                message = f"{spec.sql_name}: {error.message}"
                raise TypeMismatchError(message, hint=error.hint, argument=name) from error
        missing = [attr.name for attr in spec.attributes if attr.is_required and attr.name not in values]
        if missing:
            raise BindError(
                f'{spec.sql_name}: missing attribute "{missing[0]}". {describe_attribute(spec, missing[0])}'
            )
        return {name: fitting_tensor(spec, name, value, values) for name, value in values.items()}

    # -- dtypes ----------------------------------------------------------------------------------------------------

    def _cast_inputs(self, spec: OperatorSpec, inputs: Sequence[ListOrNode], given: dict[str, Any]) -> list[ListOrNode]:
        """The inputs with the dtypes that the OpDef, the given type attributes and each other demand."""
        chosen: dict[str, str] = {}
        for argument in spec.inputs:
            if argument.type_attr and argument.type_attr not in chosen:
                nodes = [
                    (arg.name, node)
                    for arg, item in zip(spec.inputs, inputs, strict=True)
                    if arg.type_attr == argument.type_attr
                    for node in (item if isinstance(item, tuple) else (item,))
                ]
                name = attribute_name(spec, argument.type_attr)
                chosen[argument.type_attr] = given.get(name) or choose_dtype(spec, argument.type_attr, nodes)
        return [
            self._cast_argument(spec, argument, item, chosen, given)
            for argument, item in zip(spec.inputs, inputs, strict=True)
        ]

    def _cast_argument(
        self, spec: OperatorSpec, argument: Argument, item: ListOrNode, chosen: dict[str, str], given: dict[str, Any]
    ) -> ListOrNode:
        if argument.type_list_attr:
            assert isinstance(item, tuple)
            dtypes = given.get(attribute_name(spec, argument.type_list_attr)) or [None] * len(item)
            if len(dtypes) != len(item):
                raise TypeMismatchError(
                    f"{spec.sql_name}: {argument.name} has {len(item)} tensors but {argument.type_list_attr} names "
                    f"{len(dtypes)} types"
                )
            return tuple(
                self._to(spec, argument, node, dtype or natural_dtype(node), is_explicit=dtype is not None)
                for node, dtype in zip(item, dtypes, strict=True)
            )
        attribute = argument.type_attr and attribute_name(spec, argument.type_attr)
        dtype = chosen[argument.type_attr] if argument.type_attr else argument.dtype
        assert dtype is not None
        is_explicit = attribute in given or argument.type_attr is not None
        if isinstance(item, tuple):
            return tuple(self._to(spec, argument, node, dtype, is_explicit=is_explicit) for node in item)
        return self._to(spec, argument, item, dtype, is_explicit=is_explicit)

    def _to(self, spec: OperatorSpec, argument: Argument, node: Node, dtype: str, *, is_explicit: bool) -> Node:
        """``node`` as ``dtype``; without an explicit type only where no value can be lost unseen."""
        have = node.type.dtype
        if have == dtype:
            return node
        if "string" in (have, dtype) or (not is_explicit and not is_safe(node, dtype)):
            raise TypeMismatchError(
                f"{spec.sql_name}: {argument.name} is {node.type}; it takes {dtype}",
                hint=cast_hint(node, dtype),
                argument=argument.name,
            )
        if not is_explicit and isinstance(node, Leaf) and is_integer(have) and is_integer(dtype):
            # SQL's cast refuses a number that does not fit; TensorFlow's would wrap it around.
            wanted = TensorType(dtype, node.type.shape)
            return Leaf(f"({node.sql})::{sql_type(wanted)}", wanted, node.scope)
        try:
            return self.cast(node, dtype)
        except TypeMismatchError as error:
            message = f"{spec.sql_name}: {argument.name}: {error.message}"
            raise TypeMismatchError(message, hint=error.hint, argument=argument.name) from error

    # -- shapes ----------------------------------------------------------------------------------------------------

    def _build(self, spec: OperatorSpec, inputs: Sequence[ListOrNode], attributes: tuple[tuple[str, Any], ...]) -> Call:
        """The call with its outputs' names and types: known from one of the same structure, else from the graph."""
        structure = self._structure(spec, inputs, attributes)
        outputs = None if spec.is_stateful else KNOWN.find(structure)
        made = None
        if outputs is None:
            made, outputs = self._inferred(spec, inputs, attributes)
            KNOWN.add(structure, outputs)
        call = Call(spec.name, tuple(inputs), attributes, outputs, spec.is_stateful)
        self._specs[call], self._structures[call] = spec, structure
        if made is not None:
            self._results[call] = made
        return call

    def _inferred(
        self, spec: OperatorSpec, inputs: Sequence[ListOrNode], attributes: tuple[tuple[str, Any], ...]
    ) -> tuple[list[Any], tuple[tuple[str, Any], ...]]:
        """The results of a call in the graph, and the names and types of its outputs."""
        if not spec.outputs:
            raise TypeMismatchError(f"{spec.sql_name} returns no value, so it cannot be a column")
        with self._graph.as_default():
            symbols = [self._symbols_of(item) for item in inputs]
            try:
                refuse(spec, symbols, dict(attributes), limit=None)
                made = apply_operator(spec, symbols, dict(attributes))
                types = [_types_of(value, is_bytes=self._is_bytes(spec, inputs)) for value in made]
            except (ValueError, TypeError, tf.errors.OpError, OverflowError) as error:
                raise shape_error(spec, inputs, error) from error
        check_kernel(spec, made)
        outputs = tuple((argument.name, kinds) for argument, kinds in zip(spec.outputs, types, strict=True))
        check_size(spec, outputs, self._max_cell_bytes)
        try:
            with self._graph.as_default():
                refuse(spec, symbols, dict(attributes), self._max_cell_bytes)
        except ConditionError as error:
            raise ResourceError(f"{spec.sql_name}: {error}") from error
        return made, outputs

    def _structure(
        self, spec: OperatorSpec, inputs: Sequence[ListOrNode], attributes: tuple[tuple[str, Any], ...]
    ) -> int:
        """The number of what a call is made of."""
        parts = tuple(tuple(map(self._part, item)) if isinstance(item, tuple) else self._part(item) for item in inputs)
        return KNOWN.number((spec.name, parts, repr(attributes), self._max_cell_bytes))

    def _part(self, node: Node) -> tuple[Any, ...]:
        if isinstance(node, Output):
            return self._structures[node.call], node.index, node.item
        if isinstance(node, Leaf):
            return node.sql, node.type
        if node.is_argument:
            return "argument", node.type
        return _content(node), node.type

    @staticmethod
    def _is_bytes(spec: OperatorSpec, inputs: Sequence[ListOrNode]) -> bool:
        """Whether strings that come out are bytes."""
        return returns_bytes(spec.name) or any(node.type.is_bytes for node in _flat(inputs))

    def _symbols_of(self, item: ListOrNode) -> Any:
        return [self._symbol(node) for node in item] if isinstance(item, tuple) else self._symbol(item)

    def _symbol(self, node: Node) -> tf.Tensor:
        if isinstance(node, Output) and self._constant_calls is None:
            return self._raw(node)
        if node not in self._symbols:
            if isinstance(node, Output):
                assert self._constant_calls is not None
                self._symbols[node] = self._constant_calls.symbol(node)
            elif isinstance(node, Constant) and not node.is_argument:
                self._symbols[node] = tf.constant(node.value, node.type.dtype)
            else:
                self._symbols[node] = tf.compat.v1.placeholder(node.type.dtype, node.type.shape)
        return self._symbols[node]

    def _raw(self, output: Output) -> tf.Tensor:
        """The tensor that an output is in the graph."""
        result = self._results_of(output.call)[output.index]
        return result if output.item is None else result[output.item]

    def _results_of(self, call: Call) -> list[Any]:
        """The results of a call in the graph, where it is put if its types were known without it."""
        if call not in self._results:
            symbols = [self._symbols_of(item) for item in call.inputs]
            self._results[call] = apply_operator(self._specs[call], symbols, dict(call.attributes))
        return self._results[call]


def _content(constant: Constant) -> str | bytes:
    if constant.value.dtype == object:
        return repr(constant.value.tolist())
    return hashlib.blake2b(constant.value.tobytes()).digest()


def apply_operator(spec: OperatorSpec, inputs: Sequence[Any], attributes: dict[str, Any]) -> list[Any]:
    """Calls the operator in the current graph or eagerly; its outputs in OpDef order, lists as lists."""
    arguments: dict[str, Any] = {arg.name: value for arg, value in zip(spec.inputs, inputs, strict=True)}
    arguments |= {name: tf.raw_ops.DeepCopy(x=arguments[name]) for name in written_inputs(spec.name)}
    for name, value in attributes.items():
        attribute = spec.attribute(name)
        assert attribute is not None
        arguments[name] = for_tensorflow(attribute, value, attributes.get("dtype"))
    made = getattr(tf.raw_ops, spec.name)(**arguments)
    if len(spec.outputs) == 1:
        made = [made]
    elif not spec.outputs:
        made = []
    outputs = [list(value) if isinstance(value, list | tuple) else value for value in made]
    return outputs if tf.executing_eagerly() else with_known_shapes(spec, inputs, attributes, outputs)


def _is_inferred(spec: OperatorSpec, name: str) -> bool:
    attribute = spec.attribute(name)
    return attribute is not None and attribute.is_inferred


def _flat(inputs: Sequence[ListOrNode]) -> list[Node]:
    return [node for item in inputs for node in (item if isinstance(item, tuple) else (item,))]


def _types_of(value: Any, *, is_bytes: bool) -> TensorType | tuple[TensorType, ...]:
    if isinstance(value, list):
        return tuple(_type_of(item, is_bytes=is_bytes) for item in value)
    return _type_of(value, is_bytes=is_bytes)


def _type_of(symbol: tf.Tensor, *, is_bytes: bool) -> TensorType:
    shape = None if symbol.shape.rank is None else tuple(symbol.shape.as_list())
    return TensorType(str(symbol.dtype.name), shape, is_bytes=is_bytes and symbol.dtype == tf.string)
