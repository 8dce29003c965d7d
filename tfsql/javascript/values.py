"""Results of JavaScript: their SQL type, and their Arrow array."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa

from tfsql.arrow_types import arrow_type
from tfsql.errors import RowError, TypeMismatchError
from tfsql.types import Array, Scalar, SqlType, Struct, display

# What the driver says of a result.
NULL, NUMBER, BOOLEAN, STRING, DATE, NUMBERS, OTHER = range(7)
_SCALARS = {NUMBER: "DOUBLE", BOOLEAN: "BOOLEAN", STRING: "VARCHAR", DATE: "TIMESTAMP"}
_TEXT = Scalar("VARCHAR")
_EPOCH = datetime.datetime(1970, 1, 1)
_EMPTY = np.zeros(0)


@dataclass(frozen=True)
class Values:
    """The results of rows.

    Attributes:
      kinds: of each row.
      starts: where a row's value starts: in ``numbers``, ``texts`` or ``others``, as its kind says.
      lengths: of arrays of numbers.
      numbers: numbers, booleans (0 and 1), dates (milliseconds) and the elements of arrays of numbers.
      others: objects and irregular arrays, as dicts and lists.
    """

    kinds: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    numbers: np.ndarray
    texts: list[str]
    others: list[Any]

    @classmethod
    def read(cls, parts: Sequence[bytes | bytearray]) -> Values:
        """The results that the driver wrote."""
        kinds, lengths = np.frombuffer(parts[0], np.uint8), np.frombuffer(parts[1], np.int32).astype(np.int64)
        starts = np.zeros(len(kinds), np.int64)
        numeric = np.isin(kinds, (NUMBER, BOOLEAN, DATE, NUMBERS))
        starts[numeric] = np.cumsum(lengths[numeric]) - lengths[numeric]
        for kind in (STRING, OTHER):
            starts[kinds == kind] = np.arange(np.count_nonzero(kinds == kind))
        texts, others = json.loads(parts[3]), [_untagged(item) for item in json.loads(parts[4])]
        return cls(kinds, starts, lengths, np.frombuffer(parts[2], np.float64), list(map(_clean, texts)), others)

    def __len__(self) -> int:
        return len(self.kinds)

    @staticmethod
    def concatenate(parts: Sequence[Values]) -> Values:
        """The results of all parts, in order."""
        if len(parts) == 1:
            return parts[0]
        starts, numbers, texts, others = [], 0, 0, 0
        for part in parts:
            shift = np.where(part.kinds == STRING, texts, np.where(part.kinds == OTHER, others, numbers))
            starts.append(part.starts + shift)
            numbers, texts, others = numbers + len(part.numbers), texts + len(part.texts), others + len(part.others)
        empty = np.zeros(0, np.int64)
        return Values(
            np.concatenate([np.zeros(0, np.uint8), *(part.kinds for part in parts)]),
            np.concatenate([empty, *starts]),
            np.concatenate([empty, *(part.lengths for part in parts)]),
            np.concatenate([_EMPTY, *(part.numbers for part in parts)]),
            [text for part in parts for text in part.texts],
            [other for part in parts for other in part.others],
        )

    # -- types -------------------------------------------------------------------------------------------------------

    def kind(self) -> SqlType:
        """The SQL type that holds every result; VARCHAR where all are NULL."""
        found = set(np.unique(self.kinds).tolist()) - {NULL}
        if not found:
            return _TEXT
        if found == {NUMBERS}:
            return Array(Scalar("DOUBLE"), _common_length(self.lengths[self.kinds == NUMBERS]))
        if found <= set(_SCALARS):
            return Scalar(_SCALARS[found.pop()]) if len(found) == 1 else _TEXT
        kinds = [_type_of(value) for value in self.python()]
        return reduce(_joined, [kind for kind in kinds if kind is not None], None) or _TEXT

    def python(self) -> list[Any]:
        """The results as Python values; dates as datetimes."""
        return [self._python(row) for row in range(len(self))]

    def _python(self, row: int) -> Any:
        kind, start = self.kinds[row], self.starts[row]
        if kind == NULL:
            return None
        if kind == NUMBERS:
            return self.numbers[start : start + self.lengths[row]].tolist()
        if kind == OTHER:
            return self.others[start]
        if kind == STRING:
            return self.texts[start]
        return _OF_NUMBER[kind](float(self.numbers[start]))

    # -- Arrow -------------------------------------------------------------------------------------------------------

    def array(self, kind: SqlType) -> pa.Array:
        """The results as values of a SQL type.

        Raises:
          RowError: a result does not fit it.
          TypeMismatchError: there are no such values in Arrow.
        """
        wanted = arrow_type(kind)
        if wanted is None:
            raise TypeMismatchError(
                f"jseval cannot return {display(kind)}", hint="Cast once more: jseval(...)::VARCHAR::..."
            )
        found = set(np.unique(self.kinds).tolist()) - {NULL}
        if found == {NUMBER} and isinstance(kind, Scalar):
            return self._cast(self._scalars(), wanted)
        if found == {NUMBERS} and isinstance(kind, Array):
            return self._cast(self._lists(), wanted)
        return _array_of(self.python(), kind, wanted)

    def _scalars(self) -> pa.Array:
        is_number = self.kinds == NUMBER
        values = np.zeros(len(self))
        values[is_number] = self.numbers[self.starts[is_number]]
        return pa.array(values, mask=~is_number)

    def _lists(self) -> pa.Array:
        is_list = self.kinds == NUMBERS
        lengths = np.where(is_list, self.lengths, 0)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        numbers = self.numbers
        if len(numbers) != offsets[-1] or not np.array_equal(self.starts[is_list], offsets[:-1][is_list]):
            numbers = np.concatenate([_EMPTY, *(self._numbers(int(row)) for row in np.flatnonzero(is_list))])
        size = _common_length(self.lengths[is_list])
        if size is not None and is_list.all():
            return pa.FixedSizeListArray.from_arrays(pa.array(numbers), size)
        mask = None if is_list.all() else pa.array(~is_list)
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(numbers), mask=mask)

    def _numbers(self, row: int) -> np.ndarray:
        return self.numbers[self.starts[row] : self.starts[row] + self.lengths[row]]

    def _cast(self, array: pa.Array, wanted: pa.DataType) -> pa.Array:
        try:
            return _cast(array, wanted)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return _array_of(self.python(), None, wanted)


def _common_length(lengths: np.ndarray) -> int | None:
    """The length that all arrays have, if they have one."""
    return int(lengths[0]) if len(lengths) and lengths[0] and (lengths == lengths[0]).all() else None


def _cast(array: pa.Array, wanted: pa.DataType) -> pa.Array:
    """An array as another type: numbers are rounded for integers, as SQL's cast does."""
    if pa.types.is_integer(wanted) and pa.types.is_floating(array.type):
        rounded = np.rint(array.to_numpy(zero_copy_only=False))
        return pa.array(rounded, mask=np.asarray(array.is_null())).cast(wanted)
    if pa.types.is_fixed_size_list(wanted) and pa.types.is_fixed_size_list(array.type) and not array.null_count:
        if wanted.list_size != array.type.list_size:
            raise pa.ArrowInvalid(f"{array.type.list_size} elements where {wanted.list_size} are wanted")
        return pa.FixedSizeListArray.from_arrays(_cast(array.values, wanted.value_type), wanted.list_size)
    return array.cast(wanted)


def _array_of(values: list[Any], kind: SqlType | None, wanted: pa.DataType) -> pa.Array:
    fitted = [_fitted(value, wanted, row) for row, value in enumerate(values)]
    try:
        return pa.array(fitted, wanted)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        row = next(row for row, value in enumerate(fitted) if not _fits(value, wanted))
        shown = json.dumps(values[row], default=str)[:60]
        raise RowError(f"jseval returned {shown}, which is no {display(kind) if kind else wanted}", row) from error


def _fits(value: Any, wanted: pa.DataType) -> bool:
    try:
        pa.array([value], wanted)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return False
    return True


def _fitted(value: Any, wanted: pa.DataType, row: int) -> Any:
    """A Python value in the form that Arrow takes for a type."""
    if value is None:
        return None
    if pa.types.is_struct(wanted):
        row_of = dict(_indexed(value)) if isinstance(value, list) else value
        if not isinstance(row_of, dict):
            return value
        return {field.name: _fitted(row_of.get(field.name), field.type, row) for field in wanted}
    if pa.types.is_fixed_size_list(wanted) or pa.types.is_list(wanted):
        items = list(value.values()) if isinstance(value, dict) else value
        return [_fitted(item, wanted.value_type, row) for item in items] if isinstance(items, list) else items
    if pa.types.is_string(wanted):
        return value if isinstance(value, str) else _text(value)
    if isinstance(value, float) and pa.types.is_integer(wanted) and np.isfinite(value):
        return int(np.rint(value))
    if isinstance(value, bool) and (pa.types.is_integer(wanted) or pa.types.is_floating(wanted)):
        return int(value)
    if isinstance(value, str) and pa.types.is_floating(wanted):
        return _number(value)
    return value


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


def _indexed(items: list[Any]) -> list[tuple[str, Any]]:
    return [(str(index), item) for index, item in enumerate(items)]


# -- Python values -----------------------------------------------------------------------------------------------------


def _untagged(item: Any) -> Any:
    """A value as the driver's JSON tags it: see ``tagged`` there."""
    if isinstance(item, bool | str) or item is None:
        return _clean(item) if isinstance(item, str) else item
    if isinstance(item, int | float):
        return float(item)
    tag, *content = item
    if tag == "n":
        return float(content[0].replace("Infinity", "inf"))
    if tag == "d":
        return _date(content[0])
    if tag == "a":
        return [_untagged(value) for value in content[0]]
    return {_clean(name): _untagged(value) for name, value in zip(*content, strict=True)}


def _clean(text: str) -> str:
    """A string with halves of surrogate pairs replaced: UTF-8 has none."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _date(milliseconds: float) -> datetime.datetime | None:
    try:
        return _EPOCH + datetime.timedelta(milliseconds=milliseconds)
    except OverflowError:
        return None


# What a number stands for, by the kind of its row.
_OF_NUMBER: dict[int, Callable[[float], Any]] = {NUMBER: float, BOOLEAN: bool, DATE: _date}


def _text(value: Any) -> str:
    """A value as JavaScript prints it; objects and arrays as JSON."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            return {"inf": "Infinity", "-inf": "-Infinity"}.get(str(value), "NaN")
        return str(int(value)) if value.is_integer() and abs(value) < 1e21 else repr(value)
    if isinstance(value, datetime.datetime):
        return value.isoformat(timespec="milliseconds") + "Z"
    return json.dumps(_plain(value), ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return _text(value) if isinstance(value, datetime.datetime) else value


def _type_of(value: Any) -> SqlType | None:
    """The SQL type of a Python value; None for NULL."""
    if value is None:
        return None
    if isinstance(value, dict):
        return Struct(tuple((name, _type_of(item) or _TEXT) for name, item in value.items()))
    if isinstance(value, list):
        return _type_of_list(value)
    for python, sql in ((bool, "BOOLEAN"), (float, "DOUBLE"), (str, "VARCHAR")):
        if isinstance(value, python):
            return Scalar(sql)
    return Scalar("TIMESTAMP")


def _type_of_list(items: list[Any]) -> SqlType:
    """A list where the elements have one type, else a row named by index."""
    kinds = [kind for kind in map(_type_of, items) if kind is not None]
    if not kinds:
        return Array(Scalar("DOUBLE"), None)
    same = {type(kind) for kind in kinds}
    if len(same) == 1 and not isinstance(kinds[0], Scalar):
        joined = reduce(_joined, kinds, None)
        if isinstance(joined, Array | Struct):
            return Array(joined, None)
    if len(set(kinds)) == 1:
        return Array(kinds[0], None)
    return Struct(tuple((name, _type_of(item) or _TEXT) for name, item in _indexed(items)))


def _joined(left: SqlType | None, right: SqlType | None) -> SqlType | None:
    """The type that holds values of both."""
    if left is None or right is None or left == right:
        return left or right
    if isinstance(left, Struct) and isinstance(right, Struct):
        names = dict.fromkeys([*(name for name, _ in left.fields), *(name for name, _ in right.fields)])
        fields = [dict(left.fields), dict(right.fields)]
        return Struct(tuple((name, _joined(*(kinds.get(name) for kinds in fields)) or _TEXT) for name in names))
    if isinstance(left, Array) and isinstance(right, Array):
        item = _joined(left.item, right.item)
        return Array(item or _TEXT, None)
    return _TEXT
