"""What a new process finds: tables and Parquet files with their shapes, views with operators."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import tfsql

WRITE = """
import sys, tfsql
con = tfsql.connect(sys.argv[1])
con.sql("CREATE TABLE t AS SELECT i, [[i, 1, 2], [3, 4, 5]]::FLOAT[3][2] AS x FROM range(4) r(i)")
con.sql("CREATE VIEW doubled AS SELECT i, tf_Mul(x, 2) AS y FROM t")
con.sql("CREATE FUNCTION energy(x) AS tf_Sum(tf_Square(sharpen(x)), [0, 1])")
con.sql("CREATE FUNCTION ink(x) AS jseval('return x.reduce((sum, cell) => sum + cell[1], 0)', 'x', x)")
con.sql("CREATE VIEW inked AS SELECT i, ink(x) AS ink FROM t")
con.sql("CREATE TABLE squared AS SELECT i, tf_Square(x) AS y FROM t")
con.sql(f"COPY (SELECT i, tf_Square(x) AS y, tf_Where(x) AS w FROM t) TO '{sys.argv[2]}' (FORMAT parquet)")
"""

READ = """
import json, sys, tfsql
con = tfsql.connect(sys.argv[1], read_only=True)
out = {}
for name, query in json.loads(sys.argv[2]).items():
    relation = con.sql(query)
    out[name] = [relation.types, relation.fetchall()]
print(json.dumps(out))
"""


def run(code: str, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("database")
    paths = str(folder / "t.db"), str(folder / "squares.parquet")
    run(WRITE, *paths)
    return paths


def test_a_new_process_reads_shapes_and_views(written: tuple[str, str]) -> None:
    database, parquet = written
    queries = {
        "table": "SELECT y FROM squared WHERE i = 2",
        "view": "SELECT y FROM doubled WHERE i = 2",
        "parquet": f"SELECT y FROM '{parquet}' WHERE i = 2",
        "function": f"SELECT tf_Sum(y, [0, 1]) FROM read_parquet('{parquet}') WHERE i = 2",
    }
    got = json.loads(run(READ, database, json.dumps(queries)))
    squares = [[4.0, 1.0, 4.0], [9.0, 16.0, 25.0]]
    assert got["table"] == [["float32[2, 3]"], [[squares]]]
    assert got["view"] == [["float32[2, 3]"], [[[[4.0, 2.0, 4.0], [6.0, 8.0, 10.0]]]]]
    assert got["parquet"] == [["float32[2, 3]"], [[squares]]]
    assert got["function"] == [["FLOAT"], [[59.0]]]


def test_a_new_process_calls_functions(written: tuple[str, str]) -> None:
    queries = {
        "operators": "SELECT energy(x) = tf_Sum(tf_Square(sharpen(x)), [0, 1]) FROM t WHERE i = 2",
        "javascript": "SELECT ink(x) AS ink FROM t WHERE i = 2",
        "view": "SELECT ink FROM inked WHERE i = 2",
    }
    got = json.loads(run(READ, written[0], json.dumps(queries)))
    assert got["operators"] == [["BOOLEAN"], [[True]]]
    assert got["javascript"] == got["view"] == [["DOUBLE"], [[17.0]]]


def test_the_path_of_a_file_may_be_a_parameter(written: tuple[str, str], tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(Path(written[1]).parent)  # a file there is none of the query's
    other = str(tmp_path / "other.parquet")
    with tfsql.connect() as con:
        con.sql(f"COPY (SELECT tf_Square([1.0, 2.0]) AS z) TO '{other}'")
        for paths in (other, [other]):
            relation = con.sql("SELECT z FROM read_parquet($p)", {"p": paths})
            assert (relation.types, relation.fetchall()) == (["float32[2]"], [((1.0, 4.0),)])
        y = con.sql("SELECT y FROM read_parquet($p) LIMIT 1", {"p": written[1]})
        assert y.types == ["float32[2, 3]"]


def test_pyarrow_reads_the_shapes_too(written: tuple[str, str]) -> None:
    schema = pq.read_schema(written[1])
    assert str(schema.field("y").type) == "fixed_size_list<element: fixed_size_list<element: float>[3]>[2]"
    assert str(schema.field("w").type).startswith("list<")


def test_duckdb_alone_reads_the_tables_and_is_told_about_the_views(written: tuple[str, str]) -> None:
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect(written[0], read_only=True) as con:
        assert con.execute("SELECT count(*) FROM squared").fetchall() == [(4,)]
        with pytest.raises(duckdb.Error, match="read it through tfsql"):
            con.execute("FROM doubled").fetchall()


def test_a_view_over_a_variable_is_refused(tmp_path: Path) -> None:
    with tfsql.connect() as con:
        frame = {"x": __import__("numpy").ones((2, 2))}  # noqa: F841
        with pytest.raises(tfsql.UnsupportedError, match="Python variable"):
            con.sql("CREATE VIEW v AS SELECT tf_Sum(x, 0) FROM frame")
