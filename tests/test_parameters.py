"""Parameters that come from a column: one call for the rows of each value, results in the order of the rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

import tfsql

ROWS = 120
CALLS: dict[str, tuple[list[Any], str, Any]] = {
    "TopKV2": ([1, 3, 2], "(tf_TopKV2(x, p)).values", lambda x, p: tf.math.top_k(x, p).values),
    "Reshape": ([[2, 3], [3, 2], [6, 1], [-1, 2]], "tf_Reshape(x, p)", tf.reshape),
    "Tile": ([[1], [3], [0]], "tf_Tile(x, p)", tf.tile),
    "Cumsum": ([0, -1], "tf_Cumsum(x, p)", tf.cumsum),
    "Roll": ([[1], [2]], "tf_Roll(x, p, [0])", lambda x, p: tf.roll(x, p, [0])),
    "Fill": ([[2], [5]], "tf_Fill(p, x[1])", lambda x, p: tf.fill(p, x[0])),
    "nested": ([1, 3, 2], "tf_Neg((tf_TopKV2(x * 2, p)).values)", lambda x, p: -tf.math.top_k(x * 2, p).values),
}


@pytest.fixture
def con() -> Iterator[tfsql.Connection]:
    with tfsql.connect() as connection:
        yield connection


def table(values: list[Any], rows: int = ROWS) -> tuple[pa.Table, np.ndarray, list[Any]]:
    """Rows ``x FLOAT[6]`` and a parameter ``p`` that takes its values in no order."""
    generator = np.random.default_rng(5)
    xs = generator.normal(size=(rows, 6)).astype(np.float32)
    chosen = [values[i] for i in generator.integers(0, len(values), rows)]
    kind = pa.list_(pa.int32(), len(values[0])) if isinstance(values[0], list) else pa.int32()
    columns = {"x": pa.array(xs.tolist(), pa.list_(pa.float32(), 6)), "p": pa.array(chosen, kind)}
    return pa.table(columns), xs, chosen


@pytest.mark.parametrize("name", CALLS)
def test_rows_are_grouped_by_the_value_and_come_back_in_order(con: tfsql.Connection, name: str) -> None:
    values, call, direct = CALLS[name]
    data, xs, chosen = table(values)
    con.backend.register_table("data", data)
    relation = con.sql(f"SELECT {call} AS y FROM data")
    assert relation is not None
    got = [row[0] for row in relation.fetchall()]
    for value, x, parameter in zip(got, xs, chosen, strict=True):
        np.testing.assert_allclose(np.asarray(value, np.float32), direct(x, parameter).numpy(), rtol=1e-6)


def test_explain_names_the_rule_and_counts_one_call_for_each_value(con: tfsql.Connection) -> None:
    data, _, _ = table([1, 3, 2])
    con.backend.register_table("data", data)
    relation = con.sql("SELECT (tf_TopKV2(x, p)).values AS y FROM data")
    assert relation is not None
    text = relation.explain(analyze=True)
    assert "distinct: one call for the rows of each value of the parameters" in text
    assert "120 rows, 3 TensorFlow calls" in text


def test_a_constant_parameter_is_no_parameter(con: tfsql.Connection) -> None:
    data, _, _ = table([1])
    con.backend.register_table("data", data)
    relation = con.sql("SELECT (tf_TopKV2(x, 2)).values AS y FROM data")
    assert relation is not None
    assert "distinct" not in relation.explain()


def test_many_values_are_looped_over(con: tfsql.Connection) -> None:
    data, xs, chosen = table([[n] for n in range(60)])
    con.backend.register_table("data", data)
    relation = con.sql("SELECT tf_Tile(x, p) AS y FROM data")
    assert relation is not None
    assert "1 TensorFlow calls" in relation.explain(analyze=True)
    for (value,), x, parameter in zip(relation.fetchall(), xs, chosen, strict=True):
        assert list(value) == np.tile(x, parameter[0]).tolist()


def test_a_wrong_value_names_its_row(con: tfsql.Connection) -> None:
    data, _, chosen = table([1, 3, 2, 9])
    con.backend.register_table("data", data)
    with pytest.raises(tfsql.TfsqlError, match=rf"\(row {chosen.index(9)}\)"):
        con.sql("SELECT (tf_TopKV2(x, p)).values AS y FROM data").fetchall()
