"""Types known from calls before are those of equal calls alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import tfsql
from tfsql.infer import known


@pytest.fixture(scope="module")
def con() -> Iterator[tfsql.Connection]:
    with tfsql.connect() as connection:
        connection.sql("CREATE TABLE t AS SELECT [1, 2, 3, 4, 5, 6]::FLOAT[6] AS x, [1, 2]::INTEGER[2] AS i")
        yield connection


SHAPES = [
    ("tf_Reshape(x, [2, 3])", "float32[2, 3]"),
    ("tf_Reshape(x, [3, 2])", "float32[3, 2]"),
    ("tf_Reshape(x, tf_Pack([tf_Size(i), 3]))", "float32[2, 3]"),
    ("tf_Reshape(x, tf_Pack([tf_Size(x), 1]))", "float32[6, 1]"),
    ("tf_ExpandDims(x, 0)", "float32[1, 6]"),
    ("tf_ExpandDims(i, 0)", "int32[1, 2]"),
    ("tf_Cast(i, {DstT: 'float32'})", "float32[2]"),
    ("tf_Cast(i, {DstT: 'float64'})", "float64[2]"),
    ("tf_TopKV2(x, 2).indices", "int32[2]"),
    ("tf_TopKV2(x, 2).values", "float32[2]"),
    ("tf_Split(0, x, {num_split: 2})[1]", "float32[3]"),
    ("tf_Neg(tf_Reshape(x, [2, 3]))", "float32[2, 3]"),
    ("tf_Neg(tf_Reshape(x, [3, 2]))", "float32[3, 2]"),
]


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize(("call", "kind"), SHAPES)
def test_a_type_is_that_of_its_call(con: tfsql.Connection, call: str, kind: str, *, again: bool) -> None:
    relation = con.sql(f"SELECT {call} AS y FROM t")
    assert relation.types == [kind]
    assert len(relation.fetchall()) == 1


def test_what_is_known_is_bounded(con: tfsql.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "MAX_STRUCTURES", 4)
    for length in range(1, 20):
        shape = con.sql(f"SELECT tf_Neg(tf_Fill([{length}], tf_Sum(x, 0))) AS y FROM t").types
        assert shape == [f"float32[{length}]"]
    assert len(known.KNOWN._numbers) <= 4


def test_an_error_is_told_again(con: tfsql.Connection) -> None:
    for _ in range(2):
        with pytest.raises(tfsql.TfsqlError, match="tf_Reshape"):
            con.sql("SELECT tf_Reshape(x, [4, 2]) AS y FROM t")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("2 + 3 * 4", 14), ("(1 + 2) * -3", -9), ("10 - 4 - 3", 3), ("7 // 2 + 1", 4), ("2147483646 + 1", 2147483647)],
)
def test_integer_arithmetic_of_literals(con: tfsql.Connection, text: str, wanted: int) -> None:
    assert con.sql(f"SELECT tf_Identity({text}) AS y").fetchall() == [(wanted,)]
    assert con.sql(f"SELECT {text} AS y").fetchall() == [(wanted,)]


def test_what_overflows_in_the_engine_overflows(con: tfsql.Connection) -> None:
    with pytest.raises(tfsql.TfsqlError, match=r"(?i)overflow"):
        con.sql("SELECT tf_Identity(2147483647 + 1) AS y")
