"""What a call is checked for beside its shapes: attributes that are tensors, lists, kernels, sizes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfsql.errors import ResourceError, TypeMismatchError
from tfsql.infer.dtypes import convert_constant
from tfsql.infer.messages import ListOrNode, alternatives
from tfsql.registry import OperatorSpec
from tfsql.registry.kernels import unsupported_type
from tfsql.tree import Constant
from tfsql.types import TensorType


def fitting_tensor(spec: OperatorSpec, name: str, value: Any, values: dict[str, Any]) -> Any:
    """An attribute that is a tensor, with the dtype that the operator takes; any other attribute as it is."""
    attribute = spec.attribute(name)
    assert attribute is not None
    if attribute.kind != "tensor":
        return value
    have = "string" if value.dtype == object else str(value.dtype)
    default = str(attribute.default.dtype) if isinstance(attribute.default, np.ndarray) else have
    try:
        return convert_constant(Constant(value, TensorType(have, value.shape)), values.get("dtype", default)).value
    except TypeMismatchError as error:
        raise TypeMismatchError(f"{spec.sql_name}: attribute {name}: {error.message}", argument=name) from error


def check_lists(spec: OperatorSpec, inputs: Sequence[ListOrNode], given: dict[str, Any]) -> None:
    """Refuses a list input with fewer tensors than the operator takes, or with another number than is given."""
    for argument, item in zip(spec.inputs, inputs, strict=True):
        count = spec.attribute(argument.number_attr or argument.type_list_attr or "")
        if not isinstance(item, tuple) or count is None:
            continue
        if len(item) < (count.minimum or 0):
            raise TypeMismatchError(
                f"{spec.sql_name}: {argument.name} takes at least {count.minimum} tensors, got {len(item)}",
                argument=argument.name,
            )
        if argument.number_attr and given.get(count.name, len(item)) != len(item):
            raise TypeMismatchError(
                f"{spec.sql_name}: {argument.name} has {len(item)} tensors but {count.name} is {given[count.name]}",
                argument=argument.name,
            )


def check_kernel(spec: OperatorSpec, made: list[Any]) -> None:
    """Refuses dtypes that the OpDef allows but for which TensorFlow has no kernel on this machine."""
    first = next((value for item in made for value in (item if isinstance(item, list) else [item])), None)
    while first is not None and first.op.type == "PlaceholderWithDefault":
        first = first.op.inputs[0]
    missing = None if first is None or first.op.type != spec.name else unsupported_type(first.op.node_def)
    if missing is not None:
        name, dtype, others = missing
        raise TypeMismatchError(
            f"{spec.sql_name} has no kernel for {name} = {dtype} on this machine"
            + (f"; it takes {alternatives(others)}" if others else "")
        )


def check_size(
    spec: OperatorSpec, outputs: Iterable[tuple[str, TensorType | tuple[TensorType, ...]]], limit: int
) -> None:
    """Refuses an output that is known to be larger than one row may be, which is ``limit`` bytes."""
    for name, kinds in outputs:
        for kind in kinds if isinstance(kinds, tuple) else (kinds,):
            size = math.prod(axis or 0 for axis in kind.shape or (0,)) * tf.as_dtype(kind.dtype).size
            if size > limit:
                raise ResourceError(
                    f"{spec.sql_name}: its {name} would be {kind}, {size / 2**20:,.0f} MB for each row; "
                    f"the limit is {limit / 2**20:,.0f} MB",
                    hint="SET tfsql_max_cell_bytes = '...' changes the limit",
                )
