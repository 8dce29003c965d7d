"""What an operator call is worth: one tensor, a record of outputs, or the tensors of a list output."""

from __future__ import annotations

from tfsql.errors import BindError, TypeMismatchError, did_you_mean
from tfsql.tree import Call, Output, Record, Sequence, Value
from tfsql.types import TensorType


def result_of(call: Call) -> Value:
    """The value of a call: its only output, or a record of its outputs without the lists that have no tensors.

    Raises:
      TypeMismatchError: no output is left.
    """
    fields = tuple((name, _output(call, index)) for index, (name, kind) in enumerate(call.outputs) if kind != ())
    if not fields:
        raise TypeMismatchError(f"tf_{call.op} returns no tensor here, so it cannot be a column")
    return fields[0][1] if len(call.outputs) == 1 else Record(fields)


def _output(call: Call, index: int) -> Value:
    kind = call.outputs[index][1]
    if isinstance(kind, TensorType):
        return Output(call, index, None, kind)
    items = tuple(Output(call, index, item, item_type) for item, item_type in enumerate(kind))
    ranks = {(item.type.dtype, item.type.shape and len(item.type.shape)) for item in items}
    if len(ranks) != 1 or any(item.type.shape is None for item in items):
        return Record(tuple((str(i), item) for i, item in enumerate(items)))
    axes = zip(*(item.type.shape or () for item in items), strict=True)
    shape = tuple(lengths[0] if len(set(lengths)) == 1 else None for lengths in axes)
    return Sequence(items, TensorType(items[0].type.dtype, shape, items[0].type.is_bytes))


def field_of(value: Value, name: str) -> Value:
    """The output ``name`` of a value.

    Raises:
      BindError: there is no such output; the message lists those there are.
    """
    fields: tuple[tuple[str, Value], ...] = ()
    if isinstance(value, Record):
        fields = value.fields
    elif isinstance(value, Output):
        fields = ((value.call.outputs[value.index][0], value),)
    for field_name_, field in fields:
        if field_name_ == name:
            return field
    names = [field_name_ for field_name_, _ in fields]
    raise BindError(f'There is no output "{name}". Outputs are: {", ".join(names)}', hint=did_you_mean(name, names))
