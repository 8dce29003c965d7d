"""Fusion and batching: how many kernels, how many calls of TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import tfsql

CHAIN = "tf_Sqrt(tf_Abs(tf_Mul(tf_Add(tf_Square(x), 1), 2)))"


@pytest.fixture
def con() -> Iterator[tfsql.Connection]:
    with tfsql.connect() as connection:
        connection.sql("CREATE TABLE t AS SELECT i, [i, i + 1]::FLOAT[2] AS x FROM range(5000) r(i)")
        yield connection


def explained(con: tfsql.Connection, query: str, analyze: bool = False) -> dict[str, str]:
    return dict(con.sql(f"EXPLAIN {'ANALYZE ' if analyze else ''}{query}").fetchall())


def test_a_chain_is_one_kernel_and_one_call_a_batch(con: tfsql.Connection) -> None:
    kernels = explained(con, f"SELECT {CHAIN} AS y FROM t", analyze=True)
    (text,) = [text for name, text in kernels.items() if name.startswith("tfsql_kernel")]
    assert all(f"= {op}(" in text for op in ("Square", "Add", "Mul", "Abs", "Sqrt"))
    assert "5000 rows, 1 TensorFlow calls" in text


def test_arithmetic_and_nested_calls_are_one_kernel(con: tfsql.Connection) -> None:
    kernels = explained(con, "SELECT (tf_Square(x) + x) / 2 - tf_Mean(x, 0) FROM t")
    assert len([name for name in kernels if "kernel" in name]) == 1


def test_equal_calls_inside_a_kernel_are_computed_once(con: tfsql.Connection) -> None:
    kernels = explained(con, "SELECT tf_Square(x) + tf_Square(x) FROM t")
    (text,) = [text for name, text in kernels.items() if name.startswith("tfsql_kernel")]
    assert text.count("= Square(") == 1


def test_equal_queries_share_a_kernel(con: tfsql.Connection) -> None:
    first = list(explained(con, "SELECT tf_Square(x) FROM t"))[1:]
    assert list(explained(con, "SELECT tf_Square(t.x) AS other FROM t WHERE i > 3"))[1:] == first


def test_explain_shows_the_kernel_in_the_plan(con: tfsql.Connection) -> None:
    kernels = explained(con, f"SELECT {CHAIN} AS y FROM t")
    (name,) = [name for name in kernels if name.startswith("tfsql_kernel")]
    assert "y" in kernels["physical_plan"]
    assert kernels[name].splitlines()[0] == f"{name}(x: float32[2]) -> float32[2], as y"
    assert "x: float32[2]" in kernels[name]
    assert "converted" in kernels[name]
    filtered = explained(con, "SELECT i FROM t WHERE tf_Sum(x, 0) > 3")
    (name,) = [name for name in filtered if name.startswith("tfsql_kernel")]
    assert name in filtered["physical_plan"]
    assert name in con.sql("SELECT i FROM t WHERE tf_Sum(x, 0) > 3").explain()


def test_a_large_literal_is_an_argument_so_another_value_needs_no_new_trace(con: tfsql.Connection) -> None:
    def query(start: int) -> list[tuple[float]]:
        numbers = [float(start + i) for i in range(100)]
        return con.sql(f"SELECT tf_Sum({numbers}, 0) AS s").fetchall()

    assert query(0) == [(4950.0,)]
    assert query(1) == [(5050.0,)]


def test_each_row_is_drawn_by_itself(con: tfsql.Connection) -> None:
    (count,) = con.sql("SELECT count(DISTINCT tf_RandomUniform([], {dtype: 'float64'})) FROM t").fetchone()
    assert count == 5000


def test_rows_stay_in_order_over_many_batches() -> None:
    with tfsql.connect() as con:
        con.sql("CREATE TABLE big AS SELECT i::DOUBLE AS i FROM range(300000) r(i)")
        result = con.sql("SELECT i, tf_Mul(i, 2) AS d FROM big").numpy()
        assert (result["d"] == 2 * result["i"]).all()
        assert (result["i"][1:] > result["i"][:-1]).all()


@pytest.mark.parametrize(
    ("call", "rule"),
    [
        ("tf_StringUpper(s)", "direct: one call for the batch on the stacked rows, element by element"),
        ("tf_MatrixDeterminant(m)", "direct: one call for the batch on the stacked rows, the rows a leading axis"),
        ("tf_ResizeBilinear(p, [4, 4])", "folded: one call for the batch, the rows laid along"),
        ("tf_Squeeze(p)", "lowered to a reshape"),
        ("tf_Square(x)", "converted: one call for the batch"),
        ("tf_Unique(x)", "composed: one call for the batch, of other operators that give the same"),
        ("tf_RandomUniform([2], dtype := 'float')", "converted: one call for the batch"),
        ("tf_SerializeTensor(x)", "mapped: in a loop inside the batch's call"),
        ("tf_RandomUniform([2], dtype := 'float', seed := 1)", "looped: one row after the other"),
    ],
)
def test_explain_names_how_rows_are_batched(con: tfsql.Connection, call: str, rule: str) -> None:
    table = (
        "SELECT i::FLOAT AS i, x, 'a' AS s, [x, x]::FLOAT[2][2] AS m, "
        "[[[[x[1]], [x[2]]]]]::FLOAT[1][2][1][1] AS p FROM t"
    )
    kernels = explained(con, f"SELECT {call} AS y FROM ({table})")
    assert any(rule in text for name, text in kernels.items() if "kernel" in name), kernels
