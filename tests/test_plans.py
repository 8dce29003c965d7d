"""Selects without FROM that are run again with other numbers: as if each were bound for the first time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf

import tfsql
from tfsql.bind import StatementBinder

KERNEL = [[[[1]], [[0]], [[-1]]], [[[2]], [[0]], [[-2]]], [[[1]], [[0]], [[-1]]]]
CONVOLUTION = (
    "tf_Conv2D({{input: {image}, filter: {kernel}}}, {{T: {{type: 'DT_FLOAT'}}, padding: 'SAME', strides: [1,1,1,1]}})"
)


@pytest.fixture
def con() -> Iterator[tfsql.Connection]:
    with tfsql.connect() as connection:
        yield connection


class Bindings:
    """Counts how often statements are bound."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> Bindings:
        original = StatementBinder.statement

        def counted(binder: StatementBinder, tree: Any) -> None:
            self.count += 1
            original(binder, tree)

        self._patch = mock.patch.object(StatementBinder, "statement", counted)
        self._patch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._patch.stop()


def images(count: int) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (count, 1, 28, 28, 1))


@pytest.mark.parametrize("spread", [" AS *", " AS y", " AS *, 'x' AS name"])
def test_the_tutorials_query_is_bound_once(con: tfsql.Connection, spread: str) -> None:
    with Bindings() as bindings:
        for image in images(5):
            relation = con.sql(f"SELECT {CONVOLUTION.format(image=image.tolist(), kernel=KERNEL)}{spread}")
            (row,) = relation.fetchall()
            want = tf.nn.conv2d(tf.cast(image, tf.float32), np.array(KERNEL, np.float32), 1, "SAME").numpy()
            if "name" in spread:
                assert row[-1] == "x"
                row = row[:-1]
            np.testing.assert_array_equal(np.array(row, np.float32).reshape(want.shape), want)
            assert len(relation.columns) == len(row) + ("name" in spread)
            np.testing.assert_array_equal(
                np.concatenate([v.reshape(-1) for v in relation.numpy().values()][:784]), want.reshape(-1)
            )
    assert bindings.count == 1


def test_prepared(con: tfsql.Connection) -> None:
    by_name = con.prepare("SELECT tf_MatMul($a, $b) AS y, tf_Sum($a, 1) AS s")
    by_position = con.prepare("SELECT tf_MatMul(?, $2) AS y")
    with Bindings() as bindings:
        for seed in range(4):
            a, b = np.random.default_rng(seed).random((2, 10, 10))
            y, s = by_name(a=a, b=b).fetchone()
            np.testing.assert_allclose(y, a @ b)
            np.testing.assert_allclose(s, a.sum(1))
            np.testing.assert_allclose(by_position(a, b).numpy()["y"][0], a @ b)
    assert bindings.count == 2
    y, _ = by_name(a=np.ones((9, 8), np.float32), b=tf.ones((8, 9))).fetchone()  # other types and shapes
    assert np.array(y).shape == (9, 9)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("SELECT tf_Square({}) AS y", [1] * 80),
        ("SELECT tf_Square({}) AS y", [2**40] + [1] * 79),  # int64 now
        ("SELECT tf_Square({}) AS y", [0.5] * 80),
        ("SELECT tf_Square({}) AS y", [1] * 81),
        ("SELECT tf_Cast({}, {{DstT: 'uint8'}}) AS y", [7] * 80),
        ("SELECT tf_Identity({}, {{T: 'uint8'}}) AS y", [7] * 80),
        ("SELECT {} AS x, tf_Square(2.0) AS y", [7] * 80),
        ("SELECT tf_Sum({}, [0]) + 1 AS y", [7] * 80),
        ("SELECT tf_Reverse(tf_Reshape({}, [8, 10]), [true, false]) AS y", [7] * 80),
    ],
)
def test_other_numbers_mean_what_they_mean_alone(con: tfsql.Connection, first: str, second: list[float]) -> None:
    con.sql(first.format(list(range(80)))).fetchall()
    con.sql(first.format(list(range(100, 180)))).fetchall()
    again = con.sql(first.format(second))
    with tfsql.connect() as other:
        alone = other.sql(first.format(second))
        assert again.fetchall() == alone.fetchall()
        assert again.types == alone.types
        assert again.columns == alone.columns


def test_errors_are_told_in_their_own_text(con: tfsql.Connection) -> None:
    text = "SELECT tf_Identity({}, {{T: 'uint8'}}) AS y"
    con.sql(text.format([1] * 80)).fetchall()
    with pytest.raises(tfsql.TypeMismatchError, match=r"does not fit uint8 \(line 1, column 8\)"):
        con.sql(text.format([1000] * 80))
    cholesky = "SELECT tf_Cholesky({}) AS y"
    con.sql(cholesky.format((np.eye(10) * 2.5).tolist())).fetchall()
    for run in (tfsql.Relation.fetchall, tfsql.Relation.arrow, tfsql.Relation.execute):
        with pytest.raises(tfsql.ExecutionError, match=r"tf_Cholesky failed(.|\n)*line 1"):
            run(con.sql(cholesky.format((np.eye(10) * -2.5).tolist())))


def test_what_a_plan_hangs_on(con: tfsql.Connection) -> None:
    numbers = [float(i) for i in range(80)]
    con.sql("CREATE FUNCTION f(x) AS tf_Square(x)")
    assert con.sql(f"SELECT f({numbers}) AS y").fetchone()[0][3] == 9
    con.sql("CREATE OR REPLACE FUNCTION f(x) AS tf_Neg(x)")
    assert con.sql(f"SELECT f({numbers}) AS y").fetchone()[0][3] == -3
    con.create_function("g", lambda x: x + 1)
    assert con.sql(f"SELECT tf_Square(g({numbers}::DOUBLE[80])) AS y").fetchone()[0][3] == 16
    con.create_function("g", lambda x: x + 2)
    assert con.sql(f"SELECT tf_Square(g({numbers}::DOUBLE[80])) AS y").fetchone()[0][3] == 25


def test_what_is_random_stays_so(con: tfsql.Connection) -> None:
    text = f"SELECT tf_RandomShuffle({list(range(80))}) AS y"
    assert con.sql(text).fetchall() != con.sql(text).fetchall()
    text = f"SELECT tf_Square({[1.5] * 80}) AS y, random() AS r"
    assert con.sql(text).fetchall() != con.sql(text).fetchall()


def test_a_plan_explains_itself(con: tfsql.Connection) -> None:
    for _ in range(2):
        relation = con.sql(f"SELECT tf_Square({[1.5] * 80}) AS y")
        assert "Square" in relation.explain()
        assert "1 rows" in relation.explain(analyze=True)


def test_prepare_takes_one_statement(con: tfsql.Connection) -> None:
    with pytest.raises(tfsql.ParseError, match="takes one statement, not 2"):
        con.prepare("SELECT 1; SELECT 2")
    with pytest.raises(tfsql.BindError, match="by position or by name, not both"):
        con.prepare("SELECT ?, $x")(1, x=2)
    assert con.prepare("SELECT ? + 1")(41).fetchall() == [(42,)]
