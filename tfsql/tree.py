"""The tensor expression: leaves that SQL computes, constants, and calls of operators. Frozen; leaves, constants
and calls are compared by identity."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfsql.types import TensorType


@dataclass(frozen=True, eq=False)
class Leaf:
    """A value that varies by row and that the relational engine computes.

    Attributes:
      sql: the expression, already free of tensor calls.
      scope: a key of the place where ``sql`` has its meaning; leaves of one scope and text are one leaf.
    """

    sql: str
    type: TensorType
    scope: int


@dataclass(frozen=True, eq=False)
class Constant:
    """A value that is the same for every row.

    Attributes:
      weak: ``int`` or ``decimal`` for a literal, whose dtype follows its neighbours; None where the type is given.
      is_argument: whether the kernel takes it as an argument, so that another value needs no other kernel.
      parameter: the name of the parameter, or of the lifted literal, that it is the value of.
    """

    value: np.ndarray
    type: TensorType
    weak: str | None = None
    is_argument: bool = False
    parameter: str | None = None


@dataclass(frozen=True, eq=False)
class Call:
    """One application of an operator.

    Attributes:
      op: the operator's name as TensorFlow spells it.
      inputs: in OpDef order; a tuple of nodes where the OpDef takes a list.
      attributes: those that the inputs do not determine, by documented name.
      outputs: name and type of each output; a tuple of types where the OpDef returns a list.
    """

    op: str
    inputs: tuple[Node | tuple[Node, ...], ...]
    attributes: tuple[tuple[str, Any], ...]
    outputs: tuple[tuple[str, TensorType | tuple[TensorType, ...]], ...]
    is_stateful: bool = False

    def nodes(self) -> Iterator[Node]:
        """The inputs with lists laid out."""
        for item in self.inputs:
            yield from item if isinstance(item, tuple) else (item,)

    def results(self) -> Iterator[Output]:
        """The outputs with lists laid out."""
        for index, (_, types) in enumerate(self.outputs):
            if isinstance(types, tuple):
                yield from (Output(self, index, item, item_type) for item, item_type in enumerate(types))
            else:
                yield Output(self, index, None, types)


@dataclass(frozen=True)
class Output:
    """One output of a call; ``item`` picks from an output that is a list. Equal if it is the same one."""

    call: Call
    index: int
    item: int | None
    type: TensorType


Node = Leaf | Constant | Output


@dataclass(frozen=True, eq=False)
class Record:
    """Several named values: the outputs of an operator that has more than one."""

    fields: tuple[tuple[str, Value], ...]


@dataclass(frozen=True, eq=False)
class Sequence:
    """The tensors of a list output, of one dtype and rank; as one value they have a leading axis."""

    items: tuple[Node, ...]
    type: TensorType


@dataclass(frozen=True, eq=False)
class Spread:
    """A tensor of known shape as a row with one field for each element, named by its index path."""

    node: Node


Value = Leaf | Constant | Output | Record | Sequence | Spread


def value_nodes(value: Value) -> Iterator[Node]:
    """The tensors that make up a value, in order."""
    if isinstance(value, Record):
        for _, field in value.fields:
            yield from value_nodes(field)
    elif isinstance(value, Sequence):
        yield from value.items
    elif isinstance(value, Spread):
        yield value.node
    else:
        yield value


def calls_in_order(value: Value) -> list[Call]:
    """Every call below ``value`` once, each behind the calls whose outputs it takes."""
    order: dict[Call, None] = {}
    stack: list[tuple[Call, bool]] = [(n.call, False) for n in value_nodes(value) if isinstance(n, Output)][::-1]
    while stack:
        call, is_ready = stack.pop()
        if call in order:
            continue
        if is_ready:
            order[call] = None
            continue
        stack.append((call, True))
        stack += [(node.call, False) for node in call.nodes() if isinstance(node, Output)]
    return list(order)


def leaves_in_order(value: Value) -> list[Leaf]:
    """Every leaf below ``value`` once, in the order of first use."""
    nodes = [node for call in calls_in_order(value) for node in call.nodes()]
    return list(dict.fromkeys(node for node in [*nodes, *value_nodes(value)] if isinstance(node, Leaf)))


def constants_in_order(value: Value) -> list[Constant]:
    """Every constant below ``value`` once, in the order of first use."""
    nodes = [node for call in calls_in_order(value) for node in call.nodes()]
    return list(dict.fromkeys(node for node in [*nodes, *value_nodes(value)] if isinstance(node, Constant)))
