"""Python functions in SQL, against the same functions called directly on the stacked rows."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tfsql

ROWS = 5000


@pytest.fixture
def con() -> Iterator[tfsql.Connection]:
    with tfsql.connect() as connection:
        connection.sql(
            f"CREATE TABLE t AS SELECT i, [i, i + 1, 2 * i]::FLOAT[3] AS x, CASE WHEN i % 3 <> 0 THEN i END AS n, "
            f"list_transform(range(i % 4 + 1), lambda j: i + j)::DOUBLE[] AS r, 'row ' || i AS s "
            f"FROM range({ROWS}) q(i)"
        )
        yield connection


X = np.stack([np.arange(ROWS), np.arange(ROWS) + 1, 2 * np.arange(ROWS)], axis=1).astype(np.float32)


@pytest.mark.parametrize(
    ("function", "inputs"),
    [
        (lambda x: x.max(axis=1), "numpy"),
        (lambda x: x[:, ::-1], "numpy"),
        (lambda x: x.astype(np.float64) @ np.ones((3, 2)), "numpy"),
        (lambda x: (x > 100).any(axis=1), "numpy"),
        (lambda x: x.argmax(axis=1).astype(np.int8), "numpy"),
        (lambda x: x.astype(np.complex64) * 1j, "numpy"),
        (lambda x: tf.nn.softmax(x), "tensors"),
        (lambda x: tf.reduce_sum(x, axis=1), "tensors"),
    ],
)
def test_equals_the_function_called_on_all_rows(
    con: tfsql.Connection, function: Callable[[Any], Any], inputs: str
) -> None:
    con.create_function("f", function, inputs=inputs)
    got = con.sql("SELECT f(x) AS y FROM t ORDER BY i").numpy()["y"]
    expected = np.asarray(function(X if inputs == "numpy" else tf.constant(X)))
    assert got.dtype == expected.dtype
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_decimals_and_huge_integers_are_numbers(con: tfsql.Connection) -> None:
    con.create_function("next", lambda x: x + 1)
    row = con.sql("SELECT next(1.5), next([1.5, 2.5]), next(3::HUGEINT), tf_Square(next(1.5)) FROM range(1)").fetchone()
    assert row == (2.5, [2.5, 3.5], 4, 6.25)


def test_sees_whole_batches_and_no_nulls(con: tfsql.Connection) -> None:
    sizes: list[int] = []

    def twice(n: np.ndarray) -> np.ndarray:
        sizes.append(len(n))
        return 2 * n

    con.create_function("twice", twice, returns="BIGINT")
    rows = con.sql("SELECT n, twice(n) FROM t").fetchall()
    assert all(twice == (None if n is None else 2 * n) for n, twice in rows)
    assert sum(sizes) == sum(n is not None for n, _ in rows)
    assert len(sizes) <= ROWS / 1000


def test_rows_of_different_shapes_come_back_in_order(con: tfsql.Connection) -> None:
    con.create_function("centred", lambda r: r - r.mean(axis=1, keepdims=True))
    relation = con.sql("SELECT i, r, centred(r) FROM t ORDER BY i")
    assert relation.types[2] == "float64[?]"
    for i, r, centred in relation.fetchall():
        assert r == [i + j for j in range(i % 4 + 1)]
        np.testing.assert_allclose(centred, np.array(r) - np.mean(r))


def test_strings_in_and_out(con: tfsql.Connection) -> None:
    con.create_function("shout", lambda s: np.array([text.upper() + "!" for text in s], object))
    assert con.sql("SELECT shout(s) FROM t ORDER BY i LIMIT 2").fetchall() == [("ROW 0!",), ("ROW 1!",)]


def test_a_dict_is_a_row(con: tfsql.Connection) -> None:
    con.create_function("extent", lambda x: {"low": x.min(axis=1), "both": x[:, :2]})
    relation = con.sql("SELECT extent(x) AS * FROM t ORDER BY i LIMIT 1")
    assert relation.columns == ["low", "both"]
    assert relation.fetchall() == [(0.0, (0.0, 1.0))]
    assert con.sql("SELECT extent(x).low FROM t WHERE i = 7").fetchone() == (7.0,)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT count(*) FROM t WHERE top(x) > 100", sum(2 * i > 100 for i in range(ROWS))),
        ("SELECT i FROM t ORDER BY top(x) DESC LIMIT 1", ROWS - 1),
        ("SELECT max(top(x)) FROM t", 2 * (ROWS - 1)),
        ("SELECT top(tf_Square(x)) FROM t WHERE i = 3", 36),
        ("SELECT tf_Square(top(x)) FROM t WHERE i = 3", 36),
        ("SELECT top(x + 1) * 2 FROM t WHERE i = 3", 14),
        ("SELECT top(x := x) FROM t WHERE i = 3", 6),
        ("SELECT top({x: x}) FROM t WHERE i = 3", 6),
        ("SELECT top({x}) FROM t WHERE i = 3", 6),
        ("SELECT top((SELECT x FROM t WHERE i = 3))", 6),
        ("WITH a AS (SELECT top(x) AS m FROM t) SELECT sum(m) FROM a", sum(max(2 * i, i + 1) for i in range(ROWS))),
        ("SELECT top(list(i::FLOAT)) FROM t", ROWS - 1),
    ],
)
def test_stands_wherever_an_expression_may(con: tfsql.Connection, query: str, expected: float) -> None:
    con.create_function("top", lambda x: x.max(axis=1))
    assert con.sql(query).fetchone() == (expected,)


def _create_and_call(con: tfsql.Connection, function: Callable[..., Any], returns: str | None) -> None:
    con.create_function("f", function, returns)
    con.sql("SELECT f(i) FROM t").fetchall()


def _fails_on_seven(i: np.ndarray) -> np.ndarray:
    if (i == 7).any():
        raise ValueError("seven")
    return i


@pytest.mark.parametrize(
    ("function", "returns", "error", "message"),
    [
        (_fails_on_seven, None, tfsql.ExecutionError, "f failed: ValueError: seven (row 7)"),
        (lambda i: i.sum(), "BIGINT", tfsql.ExecutionError, "f: it returned the shape [] where [1] was expected"),
        (lambda i: i / 2, "BIGINT", tfsql.ExecutionError, "f: it returned float64 where int64 was expected"),
        (lambda i: i[:, None], "BIGINT", tfsql.ExecutionError, "f: it returned the shape [1, 1] where [1] was"),
        (lambda i: {"a": i}, "STRUCT(b BIGINT)", tfsql.ExecutionError, "f: it returned no b; it returned a"),
        (lambda i: int(i), None, tfsql.BindError, "The result type of f is not known: on rows of ones it failed with"),
        (lambda i: i.sum(), None, tfsql.BindError, "f must return one result for each row, but for 2 rows"),
        (lambda i: i.astype("datetime64[s]"), None, tfsql.BindError, "f returned an array of datetime64[s]"),
        (lambda i: i, "DATE", tfsql.TypeMismatchError, "f cannot return DATE, which is no tensor"),
        (lambda i, j: i, None, tfsql.BindError, 'f: missing argument "j". Parameters are: i, j'),
        (lambda i: i, "FLOT", tfsql.BindError, "FLOT"),
    ],
)
def test_what_goes_wrong_is_said(
    con: tfsql.Connection, function: Callable[..., Any], returns: str | None, error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        _create_and_call(con, function, returns)
    assert message in caught.value.message  # type: ignore[attr-defined]
    assert con.sql("SELECT 42").fetchone() == (42,)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("two words", len), "is no name for a function"),
        (("tf_mine", len), "is a name of TensorFlow's operators"),
        (("f", 3), "f must be a Python function, not a int"),
    ],
)
def test_names_and_functions_that_cannot_be(con: tfsql.Connection, arguments: Any, message: str) -> None:
    with pytest.raises(tfsql.TfsqlError, match=message):
        con.create_function(*arguments)


def test_is_replaced_and_dropped(con: tfsql.Connection) -> None:
    con.create_function("f", lambda i: i + 1)
    con.create_function("f", lambda i: i + 2)
    assert con.sql("SELECT f(1)").fetchone() == (3,)
    con.sql("DROP FUNCTION f")
    with pytest.raises(tfsql.BindError):
        con.sql("SELECT f(1)")
    with pytest.raises(tfsql.BindError, match="No Python function f"):
        con.remove_function("f")


def test_a_function_on_numpy_does_not_load_tensorflow() -> None:
    code = (
        "import sys, tfsql; con = tfsql.connect(); con.create_function('f', lambda i: i * 2);"
        "print(con.sql('SELECT f(i) FROM range(3) r(i)').fetchall(), 'tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[(0,), (2,), (4,)] False"
