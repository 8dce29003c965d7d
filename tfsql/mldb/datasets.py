"""Datasets: tables whose rows have names, recorded row by row and seen once they are committed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from tfsql.errors import BindError, ParseError, TypeMismatchError
from tfsql.mldb.store import CELLS, Store
from tfsql.sugar import ROW_NAME
from tfsql.types import quote

# One storage serves them all: a table of the database, written to by recording and by procedures.
DATASET_TYPES = ("sparse.mutable", "tabular", "beh.mutable", "beh", "beh.binary.mutable", "embedding", "sqliteSparse")


def output_dataset(value: Any, subject: str) -> str:
    """The name of the dataset that a procedure writes: ``"name"`` or ``{"id": "name", "type": ...}``.

    Raises:
      BindError: a field is unknown, the type too, or there is no id.
    """
    if isinstance(value, str):
        return value
    unknown = [field for field in value if field not in ("id", "type", "params")]
    if unknown:
        raise BindError(f'{subject}: outputDataset has no field "{unknown[0]}". Fields are: id, type')
    if not isinstance(value.get("id"), str) or not value["id"]:
        raise BindError(f"{subject}: outputDataset needs an id")
    check_type(value.get("type", DATASET_TYPES[0]))
    if value.get("params"):
        raise BindError(f"{subject}: outputDataset takes no params, it is a table")
    return str(value["id"])


def check_type(kind: str) -> None:
    """Refuses a type of dataset that there is not."""
    if kind not in DATASET_TYPES:
        raise BindError(f'There is no type of dataset "{kind}". Types are: {", ".join(DATASET_TYPES)}')


def record(store: Store, dataset: str, rows: Iterable[Any]) -> None:
    """Adds rows ``{"rowName": "r1", "columns": [["x", 1, 0], ...]}``, unseen until ``commit``.

    Raises:
      TypeMismatchError: a row is of another form.
    """
    cells = [(name, column, value) for row in rows for name, column, value in _cells(row)]
    if not cells:
        return
    with store.transaction():
        store.make_tables()
        ((count,),) = store.run(f"SELECT coalesce(max(number), 0) FROM {CELLS}")
        table = pa.table(
            {
                "dataset": pa.array([dataset] * len(cells)),
                "number": pa.array(range(count + 1, count + 1 + len(cells)), pa.int64()),
                "row_name": pa.array([cell[0] for cell in cells]),
                "column_name": pa.array([cell[1] for cell in cells]),
                "value": pa.array([json.dumps(cell[2]) for cell in cells]),
            }
        )
        with store.lending(table) as lent:
            store.run(f"INSERT INTO {CELLS} FROM {lent}")


def _cells(row: Any) -> list[tuple[str, str, Any]]:
    try:
        name, columns = str(row["rowName"]), row["columns"]
        return [(name, str(cell[0]), _scalar(cell[1])) for cell in columns]
    except (TypeError, KeyError, IndexError) as error:
        raise TypeMismatchError(
            f"This is no row: {json.dumps(row, default=str)[:200]}",
            hint='A row is {"rowName": "r1", "columns": [["x", 1, 0], ...]}: name, value, timestamp',
        ) from error


def _scalar(value: Any) -> Any:
    if isinstance(value, dict) and set(value) == {"num"}:
        return float(str(value["num"]).replace("Inf", "inf"))
    if isinstance(value, dict) and set(value) == {"ts"}:
        return str(value["ts"])
    if isinstance(value, dict | list):
        raise TypeError(value)
    return value


def commit(store: Store, dataset: str) -> None:
    """Makes what was recorded the dataset's table, whole: a cell that was recorded twice has its last value."""
    found = store.run(f"SELECT row_name, column_name, value FROM {CELLS} WHERE dataset = ? ORDER BY number", [dataset])
    if not found:
        return
    positions: dict[str, int] = {}
    columns: dict[str, dict[int, Any]] = {}
    for name, column, value in found:
        position = positions.setdefault(name, len(positions))
        columns.setdefault(column, {})[position] = json.loads(value)
    if ROW_NAME in columns:
        raise ParseError(f"{ROW_NAME} is the name of the row and cannot be one of its columns")
    arrays = {name: _array([cells.get(i) for i in range(len(positions))]) for name, cells in columns.items()}
    table = pa.table(arrays | {ROW_NAME: pa.array(list(positions))})
    with store.lending(table) as lent:
        store.run(f"CREATE OR REPLACE TABLE {quote(dataset)} AS FROM {lent}")
    store.connection.catalog.forget()


def _array(values: list[Any]) -> pa.Array:
    """A column of one type: numbers as numbers, what is mixed as text."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int} or kinds <= {bool} or kinds <= {str}:
        return pa.array(values, None if kinds else pa.string())
    if kinds <= {int, float}:
        return pa.array(values, pa.float64())
    return pa.array([value if value is None or isinstance(value, str) else json.dumps(value) for value in values])
