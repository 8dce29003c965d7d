"""Shapes of outputs that TensorFlow's shape functions do not tell or tell wrongly: ``operators/shapes.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

import tensorflow as tf

from tfsql.registry.opdef import OperatorSpec


@cache
def _entries() -> dict[str, list[Mapping[str, Any]]]:
    text = (resources.files("tfsql.operators") / "shapes.toml").read_text(encoding="utf-8")
    made: dict[str, list[Mapping[str, Any]]] = {}
    for entry in tomllib.loads(text)["output"]:
        for operator in entry["operators"]:
            made.setdefault(operator, []).append(entry)
    return made


def has_known_shapes(operator: str) -> bool:
    """Whether TensorFlow's shape function does not tell, or tells wrongly, the shape of some output."""
    return operator in _entries()


def with_known_shapes(
    spec: OperatorSpec, inputs: Sequence[Any], attributes: Mapping[str, Any], made: list[Any]
) -> list[Any]:
    """``made``, the outputs of a call in a graph, with the shapes that the kernel gives them."""
    for entry in _entries().get(spec.name, ()):
        if all(_attribute(spec, attributes, name) == value for name, value in entry.get("when", {}).items()):
            for index, output in enumerate(spec.outputs):
                if output.name in entry["names"]:
                    made[index] = _corrected(made[index], spec, inputs, entry)
    return made


def _corrected(tensor: tf.Tensor, spec: OperatorSpec, inputs: Sequence[Any], entry: Mapping[str, Any]) -> tf.Tensor:
    if entry.get("is_undefined"):
        return tf.zeros([0], tensor.dtype)
    return _with_shape(tensor, _shape(spec, inputs, entry))


def _attribute(spec: OperatorSpec, attributes: Mapping[str, Any], name: str) -> Any:
    attribute = spec.attribute(name)
    assert attribute is not None
    return attributes.get(name, attribute.default)


def _shape(spec: OperatorSpec, inputs: Sequence[Any], entry: Mapping[str, Any]) -> list[int | None] | None:
    if "shape" in entry:
        return [None if axis < 0 else axis for axis in entry["shape"]]
    index = spec.input_index(entry.get("like") or entry["vector"])
    assert index is not None
    given = tf.convert_to_tensor(inputs[index]).shape
    if "like" in entry:
        return None if given.rank is None else list(given)
    return None if given.rank != 1 or given[0] is None else [None] * (given[0] - entry["less"])


def _with_shape(tensor: tf.Tensor, shape: list[int | None] | None) -> tf.Tensor:
    """The tensor with another static shape: an operator stands between, so that TensorFlow forgets its own."""
    forgetful = tf.compat.v1.placeholder_with_default(tensor, None)
    forgetful.set_shape(shape)
    return forgetful
