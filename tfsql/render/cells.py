"""A value as text on one line: numbers, rows and blobs as DuckDB has them, tensors as a summary."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from tfsql.flatten import innermost

# A tensor cell of more elements is shown as a summary.
MAX_ELEMENTS = 8
# Text of a cell beyond this many characters is never shown.
MAX_CELL = 400

_INTEGERS = frozenset(f"{sign}{size}INT" for sign in ("", "U") for size in ("TINY", "SMALL", "BIG", "HUGE"))
_NUMBERS = _INTEGERS | {"INTEGER", "UINTEGER", "FLOAT", "DOUBLE", "BIGNUM"}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# Text inside lists and rows that DuckDB writes in quotes.
_QUOTED = re.compile(r"^$|^\s|\s$|[][{}(),:='\"\\]|^null$", re.IGNORECASE)


def is_number_type(kind: str) -> bool:
    """Whether a column of this type is aligned to the right."""
    return kind in _NUMBERS or kind.startswith("DECIMAL")


def cell_text(value: Any, kind: str) -> str:
    """A value on one line of a table; a tensor of more than eight elements as its type, least, greatest and mean.

    Example:
      >>> cell_text((1.5, 2.0), "float32[2]"), cell_text(list(range(9)), "int32[?]")
      ('[1.5, 2.0]', 'int32[9] min 0 max 8 mean 4')
    """
    if isinstance(value, list | tuple):
        value = _tensor_text(value, kind) or value
    text = value if isinstance(value, str) else sql_text(value, kind)
    return printable(text[:MAX_CELL] + "..." if len(text) > MAX_CELL else text)


def sql_text(value: Any, kind: str = "") -> str:
    """A value as DuckDB's CSV writer has it: ``[1, NULL]``, ``{'x': 1}``, a map ``{a=1}``, a blob ``\\xAA``.

    Example:
      >>> sql_text([1, None, "a, b"]), sql_text({"x": True}), sql_text(0.10000000149011612, "FLOAT")
      ("[1, NULL, 'a, b']", "{'x': true}", '0.1')
    """
    if kind.startswith("MAP(") and isinstance(value, dict):
        return "{" + ", ".join(f"{_item_text(k)}={_item_text(v)}" for k, v in value.items()) + "}"
    if is_single(kind):
        value = rounded(value)
    return _TEXTS.get(type(value), str)(value)


def _item_text(value: Any) -> str:
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        return f"'{escaped}'" if _QUOTED.search(value) else value
    return sql_text(value)


def _list_text(values: Sequence[Any]) -> str:
    return f"[{', '.join(map(_item_text, values))}]"


def _row_text(row: Mapping[Any, Any]) -> str:
    return "{" + ", ".join(f"'{name}': {_item_text(value)}" for name, value in row.items()) + "}"


def _blob_text(blob: bytes) -> str:
    return "".join(chr(b) if 32 <= b < 127 and b != 92 else f"\\x{b:02X}" for b in blob)


def _interval_text(interval: datetime.timedelta) -> str:
    seconds = datetime.timedelta(seconds=interval.seconds, microseconds=interval.microseconds)
    days = f"{interval.days} day{'' if abs(interval.days) == 1 else 's'}" if interval.days else ""
    time = str(seconds).rjust(8, "0") if seconds or not interval.days else ""
    return " ".join(filter(None, (days, time)))


_TEXTS: dict[type, Callable[[Any], str]] = {
    type(None): lambda _: "NULL",
    bool: lambda value: "true" if value else "false",
    bytes: _blob_text,
    list: _list_text,
    tuple: _list_text,
    dict: _row_text,
    Decimal: lambda value: format(value, "f"),
    datetime.timedelta: _interval_text,
}


def printable(text: str) -> str:
    """The text with control characters written out, so that data cannot move the cursor or change colours."""
    return _CONTROL.sub(lambda match: match.group().encode("unicode_escape").decode(), text)


def is_single(kind: str) -> bool:
    """Whether the floats of a column came from 32 bits, whose shortest text is shorter than Python's."""
    return ("FLOAT" in kind or "float32" in kind or "complex64" in kind) and "DOUBLE" not in kind


def rounded(value: Any) -> Any:
    """The value with every float as the shortest number that is the same in 32 bits."""
    if isinstance(value, float):
        return value if value.is_integer() or not math.isfinite(value) else float(str(np.float32(value)))
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return {name: rounded(item) for name, item in value.items()} if isinstance(value, dict) else value


def _tensor_text(value: Sequence[Any], kind: str) -> str | None:
    """The summary of a tensor; None where all of it is short enough or no dtype says what it is."""
    dtype, bracket, _ = kind.partition("[")
    if not bracket or not dtype.islower():
        return None
    leaves = list(innermost(value))
    if len(leaves) <= MAX_ELEMENTS:
        return None
    head = f"{dtype}[{', '.join(map(str, _shape(value, kind)))}]"
    known = [leaf for leaf in leaves if leaf is not None]
    if not known or not isinstance(known[0], int | float):
        return f"{head} {_list_text(leaves[:MAX_ELEMENTS])[:-1]}, ...]"
    if isinstance(known[0], bool):
        return f"{head} {sum(known)} of {len(leaves)} true"
    return f"{head} {_statistics(np.asarray(known))}"


def _statistics(numbers: np.ndarray) -> str:
    unknown = np.isnan(numbers)
    count = int(unknown.sum())
    if count == len(numbers):
        return "all NaN"
    rest = numbers[~unknown].astype(np.float64)
    with np.errstate(all="ignore"):
        mean = rest.mean()
    least, greatest = _number_text(rest.min()), _number_text(rest.max())
    return f"min {least} max {greatest} mean {_number_text(mean)}" + (f" NaN {count}" if count else "")


def _number_text(number: np.floating) -> str:
    """Three digits, which say enough; whole numbers are not rounded."""
    is_whole = number.is_integer() or abs(number) >= 1000
    return f"{number:.0f}" if is_whole and abs(number) < 1e7 else f"{number:.3g}"


def _shape(value: Any, kind: str) -> list[int | str]:
    """The lengths of a nested list's axes, ``?`` along those where they differ."""
    level, shape = [value], list[int | str]()
    for _ in range(kind.count(",") + 1):
        lengths = {len(item) for item in level if item is not None}
        shape.append(lengths.pop() if len(lengths) == 1 else "?")
        level = [part for item in level if item is not None for part in item]
    return shape
