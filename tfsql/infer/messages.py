"""TensorFlow's refusals and tfsql's own, as sentences."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np

from tfsql.errors import ShapeError
from tfsql.registry import Attribute, OperatorSpec
from tfsql.tree import Leaf, Node
from tfsql.types import SQL_OF_DTYPE, TensorType, sql_type

ListOrNode = Node | tuple[Node, ...]

_RANK_MESSAGE = re.compile(r"must be (?:at least )?rank (\d+)\S* but is rank (\d+)")


def clean_message(error: Exception) -> str:
    """TensorFlow's own sentence without the node, the shapes and the traceback around it."""
    message = getattr(error, "message", None) or str(error)
    in_a_graph = re.search(r"(?:^|\n)([^\n]+(?:\n {2,}[^\n]+)*)\s*\n\t ?\[\[", message)
    message = in_a_graph.group(1) if in_a_graph else message
    message = re.split(r" for '?\{\{node|\n\n|, with input shapes| with input shapes", message)[0]
    message = re.sub(r"^(?:.*: )?assertion failed: \[(.*)\]$", r"\1", message)
    message = re.sub(r"\{\{(?:function_)?node [^}]*\}\}\s*", "", message).strip()
    message = re.sub(r"\[Op:[^\]]*\]\s*(name:.*)?$", "", message).strip()
    return re.sub(r"\s+", " ", message).rstrip(".")


def shape_error(spec: OperatorSpec, inputs: Sequence[ListOrNode], error: Exception) -> ShapeError:
    """TensorFlow's refusal as a sentence that names the operator and shows every input's shape."""
    message = clean_message(error)
    named = [(arg.name, item) for arg, item in zip(spec.inputs, inputs, strict=True)]
    ranks = _RANK_MESSAGE.search(message)
    hint = f"reshape(x, [...]) changes the rank{_example_of_rank(ranks.group(1))}" if ranks else None
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
                hint=hint,
                argument=name,
            )
    shapes = ", ".join(f"{name} {show_item(item)}" for name, item in named)
    sentence = f"{spec.sql_name}: {message}. Inputs: {shapes}" if shapes else f"{spec.sql_name}: {message}"
    return ShapeError(sentence, hint=hint)


def _example_of_rank(rank: str) -> str:
    return ", such as reshape(image, [1, 28, 28, 1])" if rank == "4" else ""


def show_item(item: ListOrNode) -> str:
    if isinstance(item, tuple):
        return f"[{', '.join(str(node.type) for node in item)}]"
    return str(item.type)


def show_value(value: np.ndarray) -> str:
    return str(value) if value.ndim == 0 else f"an array with {value.reshape(-1)[0]}"


def cast_hint(node: Node, dtype: str | None) -> str | None:
    if not isinstance(node, Leaf) or dtype is None or dtype not in SQL_OF_DTYPE or dtype == "string":
        return None
    sql = node.sql if len(node.sql) < 60 else "..."
    if node.type.is_bytes:
        return f"tf_DecodeImage({sql}) decodes a picture, tf_DecodeRaw({sql}, {{out_type: '{dtype}'}}) numbers"
    if node.type.dtype == "string":
        plain = SQL_OF_DTYPE[dtype]
        return f"Cast it: {sql}::{plain} where it is a number, {sql}::{plain}[] a list" if not node.type.shape else None
    return f"Cast it: {sql}::{sql_type(TensorType(dtype, node.type.shape))}"


def type_hint(attribute: Attribute, node: Node) -> str | None:
    """How to say the dtype where SQL has no such type to cast to."""
    is_number = "string" not in (node.type.dtype, *attribute.allowed)
    return f"Give the type: {attribute.name} := '{attribute.allowed[0]}'" if is_number else None


def alternatives(names: Iterable[str]) -> str:
    names = list(names)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def listed(lead: str, names: Sequence[str]) -> str:
    return f"{lead}: {', '.join(names)}" if names else "It has none"


def describe_attribute(spec: OperatorSpec, name: str) -> str:
    attribute = spec.attribute(name)
    assert attribute is not None
    allowed = f", one of {', '.join(map(repr, attribute.allowed))}" if attribute.allowed else ""
    return f"It is of kind {attribute.kind}{allowed}"


def attribute_name(spec: OperatorSpec, opdef_name: str) -> str:
    attribute = spec.attribute(opdef_name)
    assert attribute is not None
    return attribute.name
