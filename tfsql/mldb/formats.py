"""The answers to a query in MLDB's formats: named rows, nested values flattened to paths, as JSON values."""

from __future__ import annotations

import base64
import datetime
import decimal
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from tfsql.bind.row_names import row_hash
from tfsql.errors import BindError, UnsupportedError, did_you_mean
from tfsql.sugar import ROW_NAME

ROW_HASH = "_rowHash"
_UNKNOWN_TIME = "-Inf"


@dataclass(frozen=True)
class Rows:
    """Rows of scalars.

    Attributes:
      names: the names of the rows.
      columns: the names of the columns.
      values: the values as JSON has them, column by column.
      timestamp: that of all values.
    """

    names: list[str]
    columns: list[str]
    values: list[list[Any]]
    timestamp: str = _UNKNOWN_TIME

    def rows(self) -> Iterator[tuple[str, list[tuple[str, Any]]]]:
        """Each row's name and its cells, absent ones (NULL) left out."""
        for index, name in enumerate(self.names):
            cells = zip(self.columns, (column[index] for column in self.values), strict=True)
            yield name, [(column, value) for column, value in cells if value is not None]


@dataclass(frozen=True)
class Options:
    """What of the names an answer holds."""

    headers: bool = True
    row_names: bool = True
    row_hashes: bool = False

    def heads(self, name: str) -> list[tuple[str, Any]]:
        """The cells that stand before a row's own."""
        made: list[tuple[str, Any]] = [(ROW_NAME, name)] if self.row_names else []
        return [*made, (ROW_HASH, hash_text(name))] if self.row_hashes else made


def rows_of(table: pa.Table, timestamp: str = _UNKNOWN_TIME) -> Rows:
    """The rows of a flattened Arrow table whose last column holds their names."""
    *columns, names = table.columns
    names_list = [str(name) for name in names.to_pylist()]
    return Rows(names_list, table.column_names[:-1], [json_column(column) for column in columns], timestamp)


def formatted(rows: Rows, name: str, options: Options) -> Any:
    """The answer in a format.

    Raises:
      BindError: there is no such format.
      UnsupportedError: ``atom`` of more or less than one value.
    """
    if name not in FORMATS:
        known = ", ".join(FORMATS)
        raise BindError(f'There is no format "{name}". Formats are: {known}', hint=did_you_mean(name, FORMATS))
    return FORMATS[name](rows, options)


def hash_text(name: str) -> str:
    """The hash of a row's name in 16 hexadecimal digits."""
    return f"{row_hash(name):016x}"


def _full(rows: Rows, options: Options) -> list[dict[str, Any]]:
    made = []
    for name, cells in rows.rows():
        row: dict[str, Any] = {"rowName": name} if options.row_names else {}
        row |= {"rowHash": hash_text(name)} if options.row_names or options.row_hashes else {}
        made.append(row | {"columns": [[column, value, rows.timestamp] for column, value in cells]})
    return made


def _table(rows: Rows, options: Options) -> list[list[Any]]:
    made: list[list[Any]] = []
    if options.headers:
        made.append([*(head for head, _ in options.heads("")), *rows.columns])
    columns = [[_plain(value) for value in column] for column in rows.values]
    for index, name in enumerate(rows.names):
        made.append([*(value for _, value in options.heads(name)), *(column[index] for column in columns)])
    return made


def _aos(rows: Rows, options: Options) -> list[dict[str, Any]]:
    return [dict([*options.heads(name), *cells]) for name, cells in rows.rows()]


def _soa(rows: Rows, options: Options) -> dict[str, list[Any]]:
    heads = [options.heads(name) for name in rows.names]
    made = {head: [row[i][1] for row in heads] for i, (head, _) in enumerate(options.heads(""))}
    return made | dict(zip(rows.columns, rows.values, strict=True))


def _sparse(rows: Rows, options: Options) -> list[list[list[Any]]]:
    return [[list(cell) for cell in [*options.heads(name), *cells]] for name, cells in rows.rows()]


def _atom(rows: Rows, options: Options) -> Any:
    if len(rows.names) != 1 or len(rows.columns) != 1:
        shape = f"{len(rows.names)} rows and {len(rows.columns)} columns"
        raise UnsupportedError(f"The format atom is for one value; this query gives {shape}")
    return rows.values[0][0]


FORMATS: dict[str, Callable[[Rows, Options], Any]] = {
    "full": _full,
    "table": _table,
    "aos": _aos,
    "soa": _soa,
    "sparse": _sparse,
    "atom": _atom,
}


# -- values ------------------------------------------------------------------------------------------------------------


def json_column(column: pa.ChunkedArray) -> list[Any]:
    """The values of a column as JSON has them."""
    values: list[Any] = column.to_pylist(maps_as_pydicts="strict")
    if pa.types.is_integer(column.type) or pa.types.is_boolean(column.type) or pa.types.is_string(column.type):
        return values
    return [json_value(value) for value in values]


def json_value(value: Any) -> Any:
    """A value as JSON has it: whole numbers without a point, NaN, infinities, times and bytes as objects."""
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, decimal.Decimal):
        return _number(float(value))
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return {"ts": iso_time(value)}
    if isinstance(value, datetime.timedelta):
        return {"interval": f"{value.total_seconds()}s"}
    if isinstance(value, bytes):
        return {"blob": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {str(name): json_value(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(item) for item in value]
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def _number(value: float) -> Any:
    if math.isfinite(value):
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    return {"num": "NaN" if math.isnan(value) else "Inf" if value > 0 else "-Inf"}


def iso_time(value: datetime.datetime | datetime.date | datetime.time) -> str:
    """A time as MLDB writes it, in UTC; one without a zone is taken to be."""
    if not isinstance(value, datetime.datetime):
        return f"{value.isoformat()}T00:00:00Z" if isinstance(value, datetime.date) else str(value.isoformat())
    in_utc = value.astimezone(datetime.UTC).replace(tzinfo=None) if value.tzinfo else value
    return f"{in_utc.isoformat()}Z"


def _plain(value: Any) -> Any:
    """A value as the format ``table`` has it: numbers that JSON lacks and times as text."""
    if isinstance(value, dict) and len(value) == 1 and next(iter(value)) in ("num", "ts"):
        return next(iter(value.values()))
    return value
