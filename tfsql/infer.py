"""Types and shapes of operator calls, from TensorFlow's own shape functions, with no data read.

An ``Inference`` holds one TensorFlow graph in which each call is built once, symbolically; what the graph refuses is
the error that the user reads before the first row.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfsql.errors import BindError, ResourceError, ShapeError, TypeMismatchError, did_you_mean
from tfsql.registry import NO_DEFAULT, Argument, OperatorSpec, returns_bytes
from tfsql.registry.attributes import attribute_value, for_tensorflow
from tfsql.registry.shapes import with_known_shapes
from tfsql.tree import Call, Constant, Leaf, Node, Output
from tfsql.types import SQL_OF_DTYPE, WIDENED, TensorType, promote, sql_type

ListOrNode = Node | tuple[Node, ...]

# What one tensor of one row may take.
MAX_CELL_BYTES = 256 * 2**20

# The order in which the dtypes of bare literals are tried.
_WEAK_CANDIDATES = {
    "int": ("int32", "int64", "float32", "float64", "uint8", "int8", "float16", "bfloat16", "complex64", "complex128"),
    "decimal": ("float32", "float64", "float16", "bfloat16", "complex64", "complex128"),
}
# The order in which a cast is suggested.
_CAST_ORDER = ("float32", "float64", "int32", "int64", "uint8", "bool", "string")
_QUANTISED_STORAGE = {dtype: storage for dtype, storage in WIDENED.items() if dtype.startswith("q")}


class Inference:
    """Builds typed calls. Equal calls on equal inputs are one call."""

    def __init__(self) -> None:
        self._graph = tf.Graph()
        self._symbols: dict[Node, tf.Tensor] = {}
        self._results: dict[Call, list[Any]] = {}
        self._calls: dict[Any, Call] = {}
        self._constants: dict[Any, Constant] = {}

    def call(self, spec: OperatorSpec, inputs: Sequence[ListOrNode], attributes: dict[str, Any]) -> Call:
        """The typed call of ``spec`` on ``inputs`` (OpDef order) with ``attributes`` (as the user wrote them).

        Raises:
          TypeMismatchError: a dtype does not fit, or an attribute has the wrong kind.
          ShapeError: TensorFlow's shape function refuses the shapes.
          BindError: an attribute is missing.
        """
        given = self._attribute_values(spec, attributes)
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

        source_storage = _QUANTISED_STORAGE.get(node.type.dtype)
        if source_storage:
            node = self._single(operator_spec("Bitcast"), node, {"type": source_storage})
            return self.cast(node, dtype)
        storage = _QUANTISED_STORAGE.get(dtype)
        if storage:
            return self._single(operator_spec("Bitcast"), self.cast(node, storage), {"type": dtype})
        return self._single(operator_spec("Cast"), node, {"DstT": dtype})

    def _single(self, spec: OperatorSpec | None, node: Node, attributes: dict[str, Any]) -> Output:
        assert spec is not None
        call = self.call(spec, [node], attributes)
        output = call.outputs[0][1]
        assert isinstance(output, TensorType)
        return Output(call, 0, None, output)

    def constant_value(self, node: Node) -> np.ndarray | None:
        """The value of a node that does not depend on the rows, where TensorFlow can tell it from the graph."""
        with self._graph.as_default():
            value = tf.get_static_value(self._symbol(node))
        return None if value is None else np.asarray(value)

    def _interned(self, item: ListOrNode) -> ListOrNode:
        """``item`` with equal constants made one, so that equal calls are found."""
        if isinstance(item, tuple):
            return tuple(self._interned_node(node) for node in item)
        return self._interned_node(item)

    def _interned_node(self, item: Node) -> Node:
        if not isinstance(item, Constant) or item.is_argument:
            return item
        content = repr(item.value.tolist()) if item.value.dtype == object else item.value.tobytes()
        return self._constants.setdefault((content, item.type, item.weak), item)

    # -- attributes ------------------------------------------------------------------------------------------------

    def _attribute_values(self, spec: OperatorSpec, written: dict[str, Any]) -> dict[str, Any]:
        values = {}
        for name, value in written.items():
            attribute = spec.attribute(name)
            if attribute is None:
                known = [attr.name for attr in spec.attributes]
                raise BindError(
                    f'{spec.sql_name} has no attribute "{name}". {_listed("Attributes are", known)}',
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
                f'{spec.sql_name}: missing attribute "{missing[0]}". {_describe_attribute(spec, missing[0])}'
            )
        return values

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
                name = _attribute_name(spec, argument.type_attr)
                chosen[argument.type_attr] = given.get(name) or _choose_dtype(spec, argument.type_attr, nodes)
        return [
            self._cast_argument(spec, argument, item, chosen, given)
            for argument, item in zip(spec.inputs, inputs, strict=True)
        ]

    def _cast_argument(
        self, spec: OperatorSpec, argument: Argument, item: ListOrNode, chosen: dict[str, str], given: dict[str, Any]
    ) -> ListOrNode:
        if argument.type_list_attr:
            assert isinstance(item, tuple)
            dtypes = given.get(_attribute_name(spec, argument.type_list_attr)) or [None] * len(item)
            if len(dtypes) != len(item):
                raise TypeMismatchError(
                    f"{spec.sql_name}: {argument.name} has {len(item)} tensors but {argument.type_list_attr} names "
                    f"{len(dtypes)} types"
                )
            return tuple(
                self._to(spec, argument, node, dtype or _natural(node), is_explicit=dtype is not None)
                for node, dtype in zip(item, dtypes, strict=True)
            )
        attribute = argument.type_attr and _attribute_name(spec, argument.type_attr)
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
        if "string" in (have, dtype) or (not is_explicit and not _is_safe(node, dtype)):
            raise TypeMismatchError(
                f"{spec.sql_name}: {argument.name} is {node.type}; it takes {dtype}",
                hint=_cast_hint(node, dtype),
                argument=argument.name,
            )
        if not is_explicit and isinstance(node, Leaf) and _is_integer(have) and _is_integer(dtype):
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
        """The call, built in the graph, with its outputs' names and types."""
        if not spec.outputs:
            raise TypeMismatchError(f"{spec.sql_name} returns no value, so it cannot be a column")
        with self._graph.as_default():
            symbols = [self._symbols_of(item) for item in inputs]
            try:
                made = apply_operator(spec, symbols, dict(attributes))
            except (ValueError, TypeError, tf.errors.OpError, OverflowError) as error:
                raise _shape_error(spec, inputs, error) from error
        is_bytes = returns_bytes(spec.name) or any(node.type.is_bytes for node in _flat(inputs))
        outputs = tuple(
            (argument.name, _types_of(value, is_bytes=is_bytes))
            for argument, value in zip(spec.outputs, made, strict=True)
        )
        _check_size(spec, outputs)
        call = Call(spec.name, tuple(inputs), attributes, outputs, spec.is_stateful)
        self._results[call] = made
        return call

    def _symbols_of(self, item: ListOrNode) -> Any:
        return [self._symbol(node) for node in item] if isinstance(item, tuple) else self._symbol(item)

    def _symbol(self, node: Node) -> tf.Tensor:
        if isinstance(node, Output):
            result = self._results[node.call][node.index]
            return result if node.item is None else result[node.item]
        if node not in self._symbols:
            if isinstance(node, Constant) and not node.is_argument:
                self._symbols[node] = tf.constant(node.value, node.type.dtype)
            else:
                self._symbols[node] = tf.compat.v1.placeholder(node.type.dtype, node.type.shape)
        return self._symbols[node]


def _check_size(spec: OperatorSpec, outputs: Iterable[tuple[str, TensorType | tuple[TensorType, ...]]]) -> None:
    """Refuses an output that is known to be larger than one row may be."""
    for name, kinds in outputs:
        for kind in kinds if isinstance(kinds, tuple) else (kinds,):
            size = math.prod(axis or 0 for axis in kind.shape or (0,)) * tf.as_dtype(kind.dtype).size
            if size > MAX_CELL_BYTES:
                raise ResourceError(
                    f"{spec.sql_name}: its {name} would be {kind}, {size / 2**20:,.0f} MB for each row; "
                    f"the limit is {MAX_CELL_BYTES // 2**20} MB"
                )


def apply_operator(spec: OperatorSpec, inputs: Sequence[Any], attributes: dict[str, Any]) -> list[Any]:
    """Calls the operator in the current graph or eagerly; its outputs in OpDef order, lists as lists."""
    arguments: dict[str, Any] = {arg.name: value for arg, value in zip(spec.inputs, inputs, strict=True)}
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


def convert_constant(constant: Constant, dtype: str) -> Constant:
    """``constant`` as ``dtype``.

    Raises:
      TypeMismatchError: a value does not fit: a fraction for an integer, a number beyond its range, text for a number.
    """
    value = constant.value
    target = tf.as_dtype(_QUANTISED_STORAGE.get(dtype, dtype))
    if not value.size:
        value = np.empty(value.shape, target.as_numpy_dtype)
    if (value.dtype.kind in "OSU") != (dtype == "string"):
        raise TypeMismatchError(f"{_show_value(value)} is {constant.type}, not {dtype}")
    with np.errstate(all="ignore"):
        converted = value.astype(target.as_numpy_dtype)
    if target.is_integer and value.size and not np.array_equal(converted.astype(np.float64), value.astype(np.float64)):
        raise TypeMismatchError(f"{_show_value(value)} does not fit {dtype}")
    if target == tf.bool and value.size and not np.isin(value, (0, 1)).all():
        raise TypeMismatchError(f"{_show_value(value)} does not fit bool")
    if dtype in _QUANTISED_STORAGE:
        converted = converted.astype(tf.as_dtype(dtype).as_numpy_dtype)
    kept_type = TensorType(dtype, constant.type.shape, constant.type.is_bytes)
    return Constant(converted, kept_type, None, constant.is_argument)


def _choose_dtype(spec: OperatorSpec, attr_name: str, nodes: list[tuple[str, Node]]) -> str:
    """The dtype of a type attribute that is not given, from the inputs that share it."""
    attribute = spec.attribute(attr_name)
    assert attribute is not None
    strong = [(name, node) for name, node in nodes if not (isinstance(node, Constant) and node.weak)]
    weak = {node.weak for _, node in nodes if isinstance(node, Constant) and node.weak}
    if not nodes:
        if attribute.default is NO_DEFAULT:
            raise BindError(
                f'{spec.sql_name}: missing attribute "{attribute.name}": there is no input to infer it from'
            )
        return str(attribute.default)
    if not strong:
        return _choose_weak(spec, attribute, "decimal" if "decimal" in weak else "int", [node for _, node in nodes])
    dtype = strong[0][1].type.dtype
    for name, node in strong[1:]:
        joined = promote(dtype, node.type.dtype)
        if joined is None:
            raise TypeMismatchError(
                f"{spec.sql_name}: {strong[0][0]} is {strong[0][1].type} but {name} is {node.type}; "
                "they must have one type",
                argument=name,
            )
        dtype = joined
    if "decimal" in weak and _is_integer(dtype):
        dtype = "float32"
    if attribute.allowed and dtype not in attribute.allowed:
        name, node = next(((n, x) for n, x in strong if x.type.dtype not in attribute.allowed), strong[0])
        raise TypeMismatchError(
            f"{spec.sql_name}: {name} is {node.type}; it takes {_alternatives(attribute.allowed)}",
            hint=_cast_hint(node, next((d for d in _CAST_ORDER if d in attribute.allowed), None)),
            argument=name,
        )
    return dtype


def _choose_weak(spec: OperatorSpec, attribute: Any, weak: str, nodes: Sequence[Node]) -> str:
    """The dtype of literals alone: the attribute's default if they fit it, else the first candidate it allows."""
    candidates = [dtype for dtype in _WEAK_CANDIDATES[weak] if all(_holds(dtype, node) for node in nodes)]
    if attribute.default in candidates:
        return str(attribute.default)
    for dtype in candidates:
        if not attribute.allowed or dtype in attribute.allowed:
            return dtype
    raise TypeMismatchError(
        f"{spec.sql_name}: a number does not fit {attribute.name}, which takes {_alternatives(attribute.allowed)}"
    )


def _holds(dtype: str, node: Node) -> bool:
    """Whether an integer dtype has room for the values of a literal; a float has for all."""
    if not isinstance(node, Constant) or not _is_integer(dtype) or not node.value.size:
        return True
    limits = np.iinfo(dtype)
    return bool(limits.min <= node.value.min() and node.value.max() <= limits.max)


def _natural(node: Node) -> str:
    """The dtype of a tensor that stands alone."""
    if isinstance(node, Constant) and node.weak:
        return next(dtype for dtype in _WEAK_CANDIDATES[node.weak] if _holds(dtype, node))
    return node.type.dtype


def natural(node: Node) -> Node:
    """A bare literal with the dtype it has when nothing else says one; any other node as it is."""
    return convert_constant(node, _natural(node)) if isinstance(node, Constant) and node.weak else node


def _is_integer(dtype: str) -> bool:
    return dtype.lstrip("u").startswith("int")


def _is_safe(node: Node, dtype: str) -> bool:
    """Whether a fixed dtype may be reached without being asked for: numbers, but no fraction to an integer."""
    have = node.type.dtype
    if isinstance(node, Constant):
        return True
    if "bool" in (have, dtype) or _is_integer(dtype):
        return _is_integer(have) and _is_integer(dtype) and isinstance(node, Leaf)
    return not have.startswith("complex") or dtype.startswith("complex")


def _cast_hint(node: Node, dtype: str | None) -> str | None:
    if not isinstance(node, Leaf) or dtype is None or dtype not in SQL_OF_DTYPE or "string" in (node.type.dtype, dtype):
        return None
    sql = node.sql if len(node.sql) < 60 else "..."
    return f"Cast it: {sql}::{sql_type(TensorType(dtype, node.type.shape))}"


def _alternatives(names: Iterable[str]) -> str:
    names = list(names)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def _listed(lead: str, names: Sequence[str]) -> str:
    return f"{lead}: {', '.join(names)}" if names else "It has none"


def _describe_attribute(spec: OperatorSpec, name: str) -> str:
    attribute = spec.attribute(name)
    assert attribute is not None
    allowed = f", one of {', '.join(map(repr, attribute.allowed))}" if attribute.allowed else ""
    return f"It is of kind {attribute.kind}{allowed}"


def _attribute_name(spec: OperatorSpec, opdef_name: str) -> str:
    attribute = spec.attribute(opdef_name)
    assert attribute is not None
    return attribute.name


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


_RANK_MESSAGE = re.compile(r"must be (?:at least )?rank (\d+)\S* but is rank (\d+)")


def clean_message(error: Exception) -> str:
    """TensorFlow's own sentence without the node, the shapes and the traceback around it."""
    message = getattr(error, "message", None) or str(error)
    in_a_graph = re.search(r"(?:^|\n)([^\n]+)\n\t ?\[\[", message)
    message = in_a_graph.group(1) if in_a_graph else message
    message = re.split(r" for '?\{\{node|\n\n|, with input shapes| with input shapes", message)[0]
    message = re.sub(r"\{\{(?:function_)?node [^}]*\}\}\s*", "", message).strip()
    message = re.sub(r"\[Op:[^\]]*\]\s*(name:.*)?$", "", message).strip()
    return re.sub(r"\s+", " ", message).rstrip(".")


def _shape_error(spec: OperatorSpec, inputs: Sequence[ListOrNode], error: Exception) -> ShapeError:
    """TensorFlow's refusal as a sentence that names the operator and shows every input's shape."""
    message = clean_message(error)
    named = [(arg.name, item) for arg, item in zip(spec.inputs, inputs, strict=True)]
    ranks = _RANK_MESSAGE.search(message)
    if ranks:
        fitting = [
            (name, item)
            for name, item in named
            if not isinstance(item, tuple) and item.type.shape is not None and item.type.rank == int(ranks.group(2))
        ]
        if len(fitting) == 1:
            name, item = fitting[0]
            return ShapeError(
                f"{spec.sql_name}: {name} must have rank {ranks.group(1)} but is {item.type}, "
                f"which has rank {ranks.group(2)}",
                hint="reshape(x, [...]) changes the rank" + _example_of_rank(ranks.group(1)),
                argument=name,
            )
    shapes = ", ".join(f"{name} {_show_item(item)}" for name, item in named)
    return ShapeError(f"{spec.sql_name}: {message}. Inputs: {shapes}" if shapes else f"{spec.sql_name}: {message}")


def _example_of_rank(rank: str) -> str:
    return ", such as reshape(image, [1, 28, 28, 1])" if rank == "4" else ""


def _show_item(item: ListOrNode) -> str:
    if isinstance(item, tuple):
        return f"[{', '.join(str(node.type) for node in item)}]"
    return str(item.type)


def _show_value(value: np.ndarray) -> str:
    return str(value) if value.ndim == 0 else f"an array with {value.reshape(-1)[0]}"
