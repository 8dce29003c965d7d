"""Items of a select list that have calls in common become one kernel, which makes those calls once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from tfsql.bind.records import KernelUse, OutputColumn
from tfsql.tree import Call, Leaf, Output, Record, Value, calls_in_order

# Calls that cost next to nothing.
_CHEAP = frozenset({"Reshape", "ExpandDims", "Squeeze", "Identity", "Cast"})
MAX_ITEMS = 32


def with_shared_calls(
    outputs: Mapping[str, OutputColumn], use_of: Callable[[Value, Sequence[KernelUse]], KernelUse]
) -> dict[str, OutputColumn]:
    """The outputs, those that have calls in common as fields of one kernel's result.

    Only items of the same columns are put together: a row with a NULL in one of them gives NULL in all its fields.

    Args:
      use_of: makes the use of the kernel of a value, in the place of other uses.
    """
    made = dict(outputs)
    for places in _groups(outputs):
        columns = [outputs[place] for place in places]
        uses = [column.use for column in columns if column.use is not None]
        fields = [(str(index), use.value) for index, use in enumerate(uses) if use.value is not None]
        shared = use_of(Record(tuple(fields)), uses)
        column_of = dict(zip(uses[0].leaves, columns[0].inputs, strict=True))
        inputs = tuple(column_of[leaf] for leaf in shared.leaves)
        for index, (place, column) in enumerate(zip(places, columns, strict=True)):
            made[place] = replace(column, inputs=inputs, use=shared, field=index)
    return made


def _groups(outputs: Mapping[str, OutputColumn]) -> Iterable[list[str]]:
    """The places of outputs to be put together, each where its first is."""
    group_of: dict[tuple[Call, frozenset[str]], list[str]] = {}
    groups: list[list[str]] = []
    for place, output in outputs.items():
        if output.use is None or output.field is not None or output.use.kernel.is_stateful:
            continue
        keys = [(call, frozenset(output.inputs)) for call in _costly_calls(output.use.value)]
        found = next((group_of[key] for key in keys if key in group_of and len(group_of[key]) < MAX_ITEMS), None)
        if found is None:
            found = []
            groups.append(found)
        found.append(place)
        group_of.update(dict.fromkeys(keys, found))
    return [group for group in groups if len(group) > 1]


def _costly_calls(value: Value | None) -> Iterator[Call]:
    """The calls of a value that depend on the row, but for those that cost next to nothing."""
    varying: set[Call] = set()
    for call in calls_in_order(value) if value is not None else ():
        if any(isinstance(node, Leaf) or (isinstance(node, Output) and node.call in varying) for node in call.nodes()):
            varying.add(call)
            if call.op not in _CHEAP:
                yield call
