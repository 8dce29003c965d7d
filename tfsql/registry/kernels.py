"""Whether TensorFlow has a kernel for the dtypes of a call on this machine, told before a row is read."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from tensorflow.python.framework import kernels

from tfsql.registry.opdef import dtype_name

_CPU_DEVICES = ("CPU", "DEFAULT")


@cache
def cpu_kernels(operator: str) -> tuple[Any, ...]:
    """The kernels of an operator for the CPU. Private module: TensorFlow 2.21 has no public list."""
    registered = kernels.get_registered_kernels_for_op(operator).kernel
    return tuple(kernel for kernel in registered if kernel.device_type in _CPU_DEVICES)


@cache
def kernel_dtypes(operator: str, attribute: str) -> frozenset[str] | None:
    """The dtypes of a type attribute for which there are kernels; None if some kernel takes any."""
    found = [
        [constraint for constraint in kernel.constraint if constraint.name == attribute]
        for kernel in cpu_kernels(operator)
    ]
    if not all(found):
        return None
    numbers = {number for group in found for constraint in group for number in constraint.allowed_values.list.type}
    return frozenset(map(dtype_name, numbers))


def unsupported_type(node: Any) -> tuple[str, str, list[str]] | None:
    """The type attribute of a graph node for which there is no kernel, its dtype, and the dtypes that have one.

    None where a kernel fits. What a kernel checks by itself when it starts is not seen.
    """
    found = cpu_kernels(node.op)
    if any(not list(_misfits(kernel, node)) for kernel in found):
        return None
    nearest = min(found, key=lambda kernel: len(list(_misfits(kernel, node))), default=None)
    name = next(_misfits(nearest, node), None) if nearest is not None else None
    if name is None:
        return None
    fitting = [
        dtype_name(number)
        for kernel in found
        if set(_misfits(kernel, node)) <= {name}
        for constraint in kernel.constraint
        if constraint.name == name
        for number in constraint.allowed_values.list.type
    ]
    return name, dtype_name(node.attr[name].type), sorted(set(fitting))


def _misfits(kernel: Any, node: Any) -> Iterator[str]:
    """The attributes of a node that a kernel does not take."""
    for constraint in kernel.constraint:
        value = node.attr[constraint.name]
        allowed = constraint.allowed_values.list.type
        given = [value.type] if value.type else list(value.list.type)
        if any(number not in allowed for number in given):
            yield constraint.name
