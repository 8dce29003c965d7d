"""Items of a select list with calls in common are computed together, and give what they give alone."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest

import tfsql

TABLE = """
CREATE TABLE t AS SELECT i, [i, i + 1, 3]::FLOAT[3] AS x,
  CASE WHEN i % 3 = 0 THEN NULL ELSE [i, 0.5]::FLOAT[2] END AS y, range(i % 4 + 1) AS l, i::UTINYINT AS z
FROM range(20) s(i)
"""


@pytest.fixture(scope="module")
def con() -> Iterator[tfsql.Connection]:
    with tfsql.connect() as connection:
        connection.execute(TABLE)
        yield connection


def kernels(con: tfsql.Connection, sql: str) -> list[str]:
    """The columns that each kernel of a query makes."""
    relation = con.sql(sql)
    assert relation is not None
    return re.findall(r"^tfsql_kernel_\d+\(.*\) -> .*, as (.*)$", relation.explain(), re.MULTILINE)


@pytest.mark.parametrize(
    ("items", "together"),
    [
        (("tf_Max(tf_Exp(x), 0)", "tf_Min(tf_Exp(x), 0)"), ["a, b"]),
        (("tf_Exp(x)", "tf_Sum(tf_Exp(x), 0)", "tf_Sum(tf_Exp(x) * 2, 0)"), ["a, b, c"]),
        (("tf_Exp(x)", "tf_Exp(x)"), ["a, b"]),
        (("tf_Exp(x)", "tf_Sin(x)"), ["a", "b"]),
        (("tf_Exp(x)", "tf_Sin(x)", "tf_Exp(x) + 1", "tf_Sin(x) + 1"), ["a, c", "b, d"]),
        (("tf_Max(tf_Exp(l::FLOAT[]), 0)", "tf_Exp(l::FLOAT[])"), ["a, b"]),
        (("tf_Unique(tf_Floor(x)).y", "tf_Floor(x)"), ["a, b"]),
        (("tf_TopKV2(tf_Exp(x), 2)", "tf_Exp(x)"), ["a, b"]),
        (("tf_Exp(z::FLOAT)", "tf_Exp(z::FLOAT) + 1"), ["a, b"]),
        # Of other columns, one of which is NULL where the other is not.
        (("tf_Sum(tf_Exp(x), 0)", "tf_Sum(tf_Exp(x), 0) + tf_Sum(y, 0)"), ["a", "b"]),
        (("tf_Exp(y)", "tf_Exp(y) + 1"), ["a, b"]),
        (("i", "tf_Exp(x)", "tf_Exp(x) + 1"), ["b, c"]),
    ],
)
def test_what_they_give(con: tfsql.Connection, items: tuple[str, ...], together: list[str]) -> None:
    titled = [f"{item} AS {title}" for item, title in zip(items, "abcd", strict=False)]
    sql = f"SELECT {', '.join(titled)} FROM t"
    assert sorted(kernels(con, sql)) == sorted(together)
    alone = [[row[0] for row in con.sql(f"SELECT {item} FROM t").fetchall()] for item in titled]
    assert con.sql(sql).fetchall() == list(zip(*alone, strict=True))
    assert con.sql(sql).arrow().column_names == list("abcd"[: len(items)])
    assert [column.name for column in con.sql(sql).arrow().schema] == list("abcd"[: len(items)])


def test_a_call_is_made_once(con: tfsql.Connection) -> None:
    text = con.sql("SELECT tf_Exp(x) AS a, tf_Exp(x) + 1 AS b FROM t").explain(analyze=True)
    assert text.count("= Exp(") == 1
    assert "20 rows, 1 TensorFlow calls" in text


def test_random_arguments_stay_apart(con: tfsql.Connection) -> None:
    rows = con.sql("SELECT tf_Exp(random()::FLOAT) AS a, tf_Exp(random()::FLOAT) AS b FROM range(50)").fetchall()
    assert all(a != b for a, b in rows)


def test_random_operators_stay_apart(con: tfsql.Connection) -> None:
    draw = "tf_RandomUniform([2], dtype := 'float')"
    rows = con.sql(f"SELECT tf_Exp(x[1:2] + {draw}) AS a, tf_Exp(x[1:2] + {draw}) AS b FROM t").fetchall()
    assert all(a != b for a, b in rows)


def test_an_error_points_at_the_item_that_fails(con: tfsql.Connection) -> None:
    sql = "SELECT tf_Exp(x) AS fine, tf_CheckNumerics(tf_Exp(x) / (x - 7), message := 'odd') AS bad FROM t"
    with pytest.raises(tfsql.ExecutionError, match=r"odd : Tensor had Inf .*\(row 6\) \(line 1, column 27\)"):
        con.sql(sql).fetchall()


def test_spread_items_and_files(con: tfsql.Connection, tmp_path: object) -> None:
    rows = con.sql("SELECT tf_Exp(x) AS *, tf_Sum(tf_Exp(x), 0) AS total FROM t LIMIT 3").arrow()
    assert rows.column_names == ["0", "1", "2", "total"]
    total = sum(rows.column(name).to_numpy() for name in "012")
    np.testing.assert_allclose(total, rows.column("total").to_numpy(), rtol=1e-6)
    con.execute(f"COPY (SELECT i, tf_Exp(x) AS e, tf_Exp(x) + 1 AS f FROM t) TO '{tmp_path}/t.parquet'")
    assert con.sql(f"SELECT count(*) FROM '{tmp_path}/t.parquet' WHERE f[2] = e[2] + 1").fetchone() == (20,)


@pytest.mark.parametrize("kernel", ["$kernel", "{}"])
def test_calls_with_equal_arrays_are_the_same(con: tfsql.Connection, kernel: str) -> None:
    """However many numbers the array has."""
    values = np.random.default_rng(0).normal(size=(3, 30)).astype(np.float32)
    product = f"tf_MatMul(reshape(x, [1, 3]), {kernel.format(values.tolist())})"
    relation = con.sql(
        f"SELECT {product} AS a, tf_Exp({product}) AS b FROM t", {"kernel": values} if "$" in kernel else {}
    )
    assert relation.explain().count("MatMul(") == 1
    rows = np.array([[i, i + 1, 3] for i in range(20)], np.float32)
    np.testing.assert_allclose(relation.numpy()["b"][:, 0], np.exp(rows @ values), rtol=1e-4)
