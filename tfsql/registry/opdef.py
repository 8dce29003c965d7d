"""TensorFlow's operator registry as records: one ``OperatorSpec`` per OpDef, with the names its documentation uses."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import op_def_registry

NO_DEFAULT = object()

# OpDef's dtypes are numbers; these are the names that users read and write.
_HANDLES = ("resource", "variant")


@dataclass(frozen=True)
class Argument:
    """An input or output of an operator.

    Attributes:
      name: the name that TensorFlow's documentation uses.
      opdef_name: the name in the OpDef, accepted as well.
      dtype: the dtype if it is fixed, else None.
      type_attr: the attribute that holds its dtype, if one does.
      number_attr: the attribute that holds its length, if it is a list of tensors of one dtype.
      type_list_attr: the attribute that holds its dtypes, if it is a list of tensors of several.
    """

    name: str
    opdef_name: str
    dtype: str | None
    type_attr: str | None
    number_attr: str | None
    type_list_attr: str | None

    @property
    def is_list(self) -> bool:
        return self.number_attr is not None or self.type_list_attr is not None

    @property
    def is_optional(self) -> bool:
        return False


@dataclass(frozen=True)
class Attribute:
    """An attribute of an operator.

    Attributes:
      kind: ``int``, ``float``, ``bool``, ``string``, ``type``, ``shape``, ``tensor``, ``func`` or ``list(<kind>)``.
      default: its default as a Python value, or ``NO_DEFAULT``.
      allowed: the values (strings or dtype names) it may take; empty if any.
      minimum: the least value of an int, or length of a list; None if there is none.
      is_inferred: whether the inputs determine it.
    """

    name: str
    opdef_name: str
    kind: str
    default: Any
    allowed: tuple[str, ...]
    minimum: int | None
    is_inferred: bool

    @property
    def is_list(self) -> bool:
        return self.kind.startswith("list(")

    @property
    def item_kind(self) -> str:
        return self.kind[5:-1] if self.is_list else self.kind

    @property
    def is_required(self) -> bool:
        return self.default is NO_DEFAULT and not self.is_inferred


@dataclass(frozen=True)
class OperatorSpec:
    """An operator as its OpDef declares it, arguments in OpDef order."""

    name: str
    inputs: tuple[Argument, ...]
    outputs: tuple[Argument, ...]
    attributes: tuple[Attribute, ...]
    is_stateful: bool
    summary: str

    @property
    def sql_name(self) -> str:
        return f"tf_{self.name}"

    @property
    def is_random(self) -> bool:
        """Whether two calls with equal arguments may differ."""
        return self.is_stateful

    def attribute(self, name: str) -> Attribute | None:
        return next((attr for attr in self.attributes if name in (attr.name, attr.opdef_name)), None)

    def input_index(self, name: str) -> int | None:
        names = ((arg.name, arg.opdef_name) for arg in self.inputs)
        return next((index for index, both in enumerate(names) if name in both), None)


def op_def(name: str) -> Any | None:
    """The OpDef protocol buffer of an operator, or None. Private module: TensorFlow 2.21 has no public reader."""
    return op_def_registry.get(name)


@cache
def wrapped_names() -> tuple[str, ...]:
    """The names of all operators that ``tf.raw_ops`` wraps, sorted."""
    return tuple(sorted(name for name in dir(tf.raw_ops) if not name.startswith("_")))


# Stateful by their OpDef, so that TensorFlow does not optimise them away; what they give hangs on their inputs alone.
_CLAIM_TO_BE_STATEFUL = frozenset(
    {"CheckNumerics", "CheckNumericsV2", "GuaranteeConst", "DeepCopy", "StatelessRandomGetAlg"}
)


@cache
def operator_spec(name: str) -> OperatorSpec | None:
    """The record of the operator ``name`` (spelt as TensorFlow spells it), or None if ``tf.raw_ops`` has none."""
    definition = op_def(name)
    wrapper = getattr(tf.raw_ops, name, None)
    if definition is None or wrapper is None:
        return None
    names = _documented_names(definition, wrapper)
    inferred = _inferred_attributes(definition)
    return OperatorSpec(
        name,
        tuple(_argument(arg, names) for arg in definition.input_arg),
        tuple(_argument(arg, {}) for arg in definition.output_arg),
        tuple(_attribute(attr, names, inferred) for attr in definition.attr),
        definition.is_stateful and name not in _CLAIM_TO_BE_STATEFUL,
        _summary(wrapper.__doc__ or ""),
    )


def dtype_name(number: int) -> str:
    """The name of a dtype; ``float32_ref`` and the like for references."""
    return str(tf.as_dtype(number).name)


def _documented_names(definition: Any, wrapper: Any) -> dict[str, str]:
    """OpDef name → documented name. The order never changes, so both lists are walked together."""
    documented = [name for name in inspect.signature(wrapper).parameters if name != "name"]
    inferred = _inferred_attributes(definition)
    declared = [arg.name for arg in definition.input_arg]
    attributes = [attr.name for attr in definition.attr if attr.name not in inferred]
    required = [attr.name for attr in definition.attr if attr.name in attributes and not attr.HasField("default_value")]
    optional = [name for name in attributes if name not in required]
    return dict(zip(declared + required + optional, documented, strict=True))


def _inferred_attributes(definition: Any) -> frozenset[str]:
    arguments = definition.input_arg
    names = {name for arg in arguments for name in (arg.type_attr, arg.number_attr, arg.type_list_attr)}
    return frozenset(names - {""})


def _argument(arg: Any, names: dict[str, str]) -> Argument:
    dtype = dtype_name(arg.type) if arg.type else None
    if arg.is_ref:
        dtype = "reference"
    return Argument(
        names.get(arg.name, arg.name),
        arg.name,
        dtype,
        arg.type_attr or None,
        arg.number_attr or None,
        arg.type_list_attr or None,
    )


def _attribute(attr: Any, names: dict[str, str], inferred: frozenset[str]) -> Attribute:
    default = _plain(attr.default_value) if attr.HasField("default_value") else NO_DEFAULT
    allowed = _plain(attr.allowed_values) if attr.HasField("allowed_values") else []
    return Attribute(
        names.get(attr.name, attr.name),
        attr.name,
        attr.type,
        default,
        tuple(allowed),
        attr.minimum if attr.has_minimum else None,
        attr.name in inferred,
    )


def _plain(value: Any) -> Any:
    """An AttrValue as a Python value: dtypes by name, shapes as lists, tensors as NumPy arrays."""
    field = value.WhichOneof("value")
    if field is None:
        return None
    if field == "list":
        return _plain_list(value.list)
    return _PLAIN.get(field, lambda item: item)(getattr(value, field))


def _plain_list(values: Any) -> list[Any]:
    for field, items in values.ListFields():
        return [_PLAIN.get(field.name, lambda item: item)(item) for item in items]
    return []


def _plain_shape(shape: Any) -> list[int | None] | None:
    if shape.unknown_rank:
        return None
    return [None if axis.size < 0 else int(axis.size) for axis in shape.dim]


_PLAIN = {
    "type": dtype_name,
    "s": lambda text: text.decode("utf-8", "backslashreplace"),
    "shape": _plain_shape,
    "tensor": tf.make_ndarray,
}


def _summary(documentation: str) -> str:
    """The first paragraph of an operator's documentation, on one line."""
    return re.sub(r"\s+", " ", documentation.strip().split("\n\n")[0])
