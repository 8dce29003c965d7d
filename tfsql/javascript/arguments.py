"""Arrow columns as trees of typed arrays, in one buffer, from which the driver builds its arguments."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tfsql.errors import TypeMismatchError

# The driver's names for NumPy's types that V8 has typed arrays for; other numbers cross as float64.
_VIEWS = {np.dtype(name): name for name in ("f8", "f4", "i4", "u4", "i2", "u2", "i1", "u1")}
_ALIGNMENT = 8


@dataclass
class Buffers:
    """The typed arrays and texts of one batch."""

    parts: list[np.ndarray] = field(default_factory=list)
    texts: list[list[str | None]] = field(default_factory=list)
    size: int = 0

    def add(self, array: np.ndarray) -> list[Any]:
        """Puts an array behind those that are there; where it is: type, offset, length."""
        made = np.ascontiguousarray(array)
        place = [_VIEWS[made.dtype], self.size, len(made)]
        padding = -made.nbytes % _ALIGNMENT
        self.parts += [made] + ([np.zeros(padding, np.uint8)] if padding else [])
        self.size += made.nbytes + padding
        return place

    def add_texts(self, texts: list[str | None]) -> int:
        self.texts.append(texts)
        return len(self.texts) - 1


def arguments(columns: list[pa.Array], names: tuple[str, ...]) -> tuple[str, str, list[np.ndarray]]:
    """The trees and the texts of the columns, as JSON, and the typed arrays.

    Raises:
      TypeMismatchError: a column has a type that JavaScript has no value for.
    """
    buffers = Buffers()
    now_ms = round(time.time() * 1000)
    trees = []
    for name, column in zip(names, columns, strict=True):
        try:
            trees.append(_tree(column, buffers, now_ms))
        except _NoValueError as error:
            raise TypeMismatchError(
                f"jseval: {name} is {error.kind}, which JavaScript has no value for", hint=f"Cast it: {name}::VARCHAR"
            ) from error
    return json.dumps(trees), json.dumps(buffers.texts), buffers.parts


class _NoValueError(Exception):
    def __init__(self, kind: pa.DataType):
        super().__init__(str(kind))
        self.kind = kind


def _tree(column: pa.Array, buffers: Buffers, now_ms: int) -> dict[str, Any]:
    kind = column.type
    node = _nested(column, buffers, now_ms) if pa.types.is_nested(kind) else _scalars(column, buffers)
    node["timestamp"] = now_ms
    node["valid"] = None
    if column.null_count and node["kind"] != "text":
        node["valid"] = buffers.add(column.is_valid().to_numpy(zero_copy_only=False).astype(np.uint8))
    return node


def _nested(column: pa.Array, buffers: Buffers, now_ms: int) -> dict[str, Any]:
    kind = column.type
    if pa.types.is_struct(kind):
        fields = [_tree(pc.struct_field(column, i), buffers, now_ms) for i in range(kind.num_fields)]
        return {"kind": "row", "names": [item.name for item in kind], "fields": fields}
    if pa.types.is_fixed_size_list(kind):
        size = kind.list_size
        items = column.values.slice(column.offset * size, len(column) * size)
        return _as_one_list(size, _tree(items, buffers, now_ms))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        offsets = column.offsets.to_numpy(zero_copy_only=False).astype(np.int64)
        items = column.values.slice(int(offsets[0]), int(offsets[-1] - offsets[0]))
        place = buffers.add((offsets - offsets[0]).astype(np.int32))
        return {"kind": "list", "offsets": place, "item": _tree(items, buffers, now_ms)}
    raise _NoValueError(kind)


def _as_one_list(size: int, item: dict[str, Any]) -> dict[str, Any]:
    """Nested lists of fixed size as one list of their elements, with the shape from which its paths are told."""
    if item["kind"] == "list" and "size" in item and item["valid"] is None:
        return {"kind": "list", "size": size * item["size"], "shape": [size, *item["shape"]], "item": item["item"]}
    return {"kind": "list", "size": size, "shape": [size], "item": item}


def _scalars(column: pa.Array, buffers: Buffers) -> dict[str, Any]:
    kind = column.type
    if pa.types.is_boolean(kind):
        values = pc.fill_null(column, False).to_numpy(zero_copy_only=False)
        return {"kind": "boolean", "values": buffers.add(values.astype(np.uint8))}
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return {"kind": "number", "values": buffers.add(_numbers(column))}
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        micros = pc.fill_null(column.cast(pa.timestamp("us")).cast(pa.int64()), 0)
        return {"kind": "date", "values": buffers.add(np.floor_divide(micros.to_numpy(), 1000).astype(np.float64))}
    if pa.types.is_null(kind):
        return {"kind": "text", "texts": buffers.add_texts([None] * len(column))}
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return _bytes(column, buffers)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind):
        return {"kind": "text", "texts": buffers.add_texts(column.cast(pa.string()).to_pylist())}
    raise _NoValueError(kind)


def _numbers(column: pa.Array) -> np.ndarray:
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    filled = pc.fill_null(column, 0) if column.null_count else column
    values = np.asarray(filled.to_numpy(zero_copy_only=False))
    return values if values.dtype in _VIEWS else values.astype(np.float64)


def _bytes(column: pa.Array, buffers: Buffers) -> dict[str, Any]:
    items = [item or b"" for item in column.to_pylist()]
    offsets = np.cumsum([0, *map(len, items)]).astype(np.int32)
    content = np.frombuffer(b"".join(items), np.uint8)
    return {"kind": "bytes", "values": buffers.add(content), "offsets": buffers.add(offsets)}
