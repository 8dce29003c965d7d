"""Lists of arrays, gathered from an Arrow table by the numbers of its rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import tfsql
from tfsql.backends.duckdb import DuckDBBackend

ROWS = 3000
NUMBERS = np.random.default_rng(0).integers(0, 9, (ROWS, 6)).astype(np.float32)


def table(rows: int = ROWS, chunk: int = ROWS) -> pa.Table:
    arrays = pa.FixedSizeListArray.from_arrays(pa.array(NUMBERS[:rows].reshape(-1)), 3)
    nested = pa.FixedSizeListArray.from_arrays(arrays, 2)
    some = pa.array([None if i % 5 == 0 else [float(i), 1.0] for i in range(rows)], pa.list_(pa.float32(), 2))
    labels = pa.array(np.arange(rows) % 7)
    whole = pa.table({"label": labels, "x": nested, "Some": some, "i": np.arange(rows)})
    parts = [whole.slice(start, chunk) for start in range(0, rows, chunk)]
    return pa.concat_tables(parts) if parts else whole


@pytest.fixture
def numbered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tables whose rows were numbered."""
    made: list[str] = []
    number_rows = DuckDBBackend.number_rows
    monkeypatch.setattr(DuckDBBackend, "number_rows", lambda self, name: made.append(name) or number_rows(self, name))
    return made


GATHERED = [
    "SELECT label, tf_Mean(list(x), 0) AS y FROM {t} GROUP BY label ORDER BY label",
    "SELECT tf_Mean(list(x), 0) AS y, label FROM {t} GROUP BY label",
    "SELECT tf_Sum(array_agg(s.x), [0, 1]) AS y, count(*) AS c, max(i) AS m FROM {t} s GROUP BY s.label ORDER BY m",
    "SELECT label, tf_Max(list(x), 0) AS y FROM {t} WHERE i % 3 = 1 AND x[1][1] > 2 GROUP BY label ORDER BY label",
    "SELECT tf_Max(list(x), 0) AS y FROM {t} GROUP BY label HAVING count(*) > 428 ORDER BY label LIMIT 3 OFFSET 1",
    "SELECT tf_Max(list(x), 0) AS y FROM {t} WHERE i < $1 GROUP BY label",
    'SELECT tf_Min(list("some"), 0) AS y, tf_Max(list(x), 0) AS z FROM {t} WHERE i % 5 > 0 GROUP BY label',
    "SELECT tf_Min(list(x) , 0) + 1 AS y, tf_Size(list(x)) AS n FROM {t} GROUP BY label, i % 2",
    "SELECT tf_Shape(list(x)) AS y FROM {t} WHERE i < 0",
]
LEFT_ALONE = [
    "SELECT label, tf_Mean(list(x ORDER BY i), 0) AS y FROM {t} GROUP BY label ORDER BY label",
    "SELECT label, tf_Mean(list(DISTINCT x), 0) AS y FROM {t} GROUP BY label ORDER BY label",
    "SELECT label, tf_Max(list(i), 0) AS y FROM {t} GROUP BY label ORDER BY label",
    "SELECT tf_Max(list(x), 0) AS y, max({t}) AS m FROM {t} GROUP BY label",
    "SELECT tf_Max(list(x), 0) AS y, max(s) AS m FROM {t} AS s GROUP BY label",
    "SELECT tf_Max(list(x), 0) AS y, max(COLUMNS(*)) FROM {t} GROUP BY label",
    "SELECT tf_Max(list(a.x), 0) AS y FROM {t} a JOIN {t} b USING (i) GROUP BY a.label",
    "SELECT tf_Max(y, 0) AS z FROM (SELECT list(x) AS y FROM {t} GROUP BY label)",
]


def answers(query: str, source: pa.Table) -> list[list[tuple[Any, ...]]]:
    """The sorted rows of a query on a variable, and on a table of DuckDB's with the same rows."""
    made = []
    with tfsql.connect() as con:
        con.execute("CREATE TABLE stored AS FROM source")
        for name in ("source", "stored"):
            parameters = [1000] if "$1" in query else []
            result = con.sql(query.format(t=name), parameters).arrow()
            made.append([tuple(map(str, row.values())) for row in result.to_pylist()])
    return made if "ORDER BY" in query else [sorted(rows) for rows in made]


@pytest.mark.parametrize("chunk", [ROWS, 700])
@pytest.mark.parametrize("query", GATHERED)
def test_gathered_lists_are_those_of_the_engine(query: str, chunk: int, numbered: list[str]) -> None:
    ours, wanted = answers(query, table(chunk=chunk))
    assert ours == wanted
    assert numbered


@pytest.mark.parametrize("query", LEFT_ALONE)
def test_other_lists_are_left_to_the_engine(query: str, numbered: list[str]) -> None:
    ours, wanted = answers(query, table())
    assert ours == wanted
    assert not numbered


def test_a_null_in_a_list_is_an_error_of_its_row() -> None:
    source = table()
    with tfsql.connect() as con, pytest.raises(tfsql.ExecutionError, match="NULL inside its array"):
        con.sql("SELECT tf_Max(list(Some), 0) AS y FROM source GROUP BY label").arrow()
    assert source.num_rows


@pytest.mark.parametrize("query", [GATHERED[0], GATHERED[-1]])
def test_no_rows(query: str) -> None:
    ours, wanted = answers(query, table(0))
    assert ours == wanted


def test_the_numbered_table_goes_with_its_own() -> None:
    with tfsql.connect() as con:
        for _ in range(3):
            source = table()
            assert len(con.sql(GATHERED[0].format(t="source")).fetchall()) == 7
            assert source.num_rows
        con.sql("SELECT 1").fetchall()
        kept = con.backend.connection.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()
    assert len(kept) <= 2
