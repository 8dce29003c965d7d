"""What a query returns: rows, Arrow, pandas, NumPy, tensors, flattened columns, stored tables and Parquet files."""

from __future__ import annotations

import decimal
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

import tfsql

# More than one vector of the engine (2,048 rows), and more than one row group of a stored table (122,880 rows).
ROW_COUNTS = (5_000, 200_000)


@pytest.fixture
def con() -> Iterator[tfsql.Connection]:
    with tfsql.connect() as connection:
        yield connection


@pytest.fixture
def images(con: tfsql.Connection) -> np.ndarray:
    """Five float32[2, 3] images in the table ``images(i, image)``."""
    made = np.arange(30, dtype=np.float32).reshape(5, 2, 3) / 8
    con.execute(
        "CREATE TABLE images AS SELECT unnest(range(5)) AS i, unnest($images)::FLOAT[3][2] AS image",
        {"images": made.tolist()},
    )
    return made


def rows_of(array: np.ndarray) -> Any:
    """An array as ``fetchall`` gives it: tuples of Python numbers."""
    return tuple(rows_of(item) for item in array) if array.ndim else array.item()


# -- rows --------------------------------------------------------------------------------------------------------------


def test_fetchall_gives_tuples(con: tfsql.Connection, images: np.ndarray) -> None:
    rows = con.sql("SELECT i, tf_Square(image) AS y FROM images").fetchall()
    expected = tf.raw_ops.Square(x=images).numpy()
    assert rows == [(i, rows_of(image)) for i, image in enumerate(expected)]


def test_fetchone_goes_on_and_ends_with_none(con: tfsql.Connection) -> None:
    relation = con.sql("SELECT tf_Square(i) FROM range(3) AS r(i)")
    assert [relation.fetchone() for _ in range(5)] == [(0,), (1,), (4,), None, None]


def test_fetchmany_gives_what_is_left(con: tfsql.Connection) -> None:
    relation = con.sql("SELECT tf_Square(i) FROM range(5) AS r(i)")
    assert relation.fetchmany(2) == [(0,), (1,)]
    assert relation.fetchmany() == [(4,)]
    assert relation.fetchall() == [(9,), (16,)]


def test_rows_can_be_asked_for_again(con: tfsql.Connection) -> None:
    relation = con.sql("SELECT tf_Square(i) FROM range(3) AS r(i)")
    assert relation.fetchall() == relation.fetchall() == list(relation) == list(relation)


def test_two_relations_can_be_read_in_turns(con: tfsql.Connection) -> None:
    squares = iter(con.sql("SELECT tf_Square(i) FROM range(5000) AS r(i)"))
    negatives = iter(con.sql("SELECT tf_Neg(i) FROM range(5000) AS r(i)"))
    for i in range(5000):
        assert (next(squares), next(negatives)) == ((i * i,), (-i,))


def test_a_statement_between_two_fetches_changes_nothing(con: tfsql.Connection) -> None:
    relation = con.sql("SELECT tf_Square(i) FROM range(5000) AS r(i)")
    first = relation.fetchmany(10)
    con.execute("CREATE TABLE other AS SELECT tf_Sqrt(2.0) AS x")
    assert first + relation.fetchall() == [(i * i,) for i in range(5000)]


def test_execute_runs_now(con: tfsql.Connection) -> None:
    relation = con.execute("SELECT tf_Square(i) FROM range(3) AS r(i)")
    assert relation is not None
    assert relation.fetchone() == (0,)
    assert relation.fetchall() == [(1,), (4,)]
    with pytest.raises(tfsql.ExecutionError, match="not invertible"):
        con.execute("SELECT tf_MatrixInverse([[0.0, 0.0], [0.0, i]]) FROM range(3) AS r(i)")


def test_statements_without_rows_return_none(con: tfsql.Connection) -> None:
    assert con.sql("CREATE TABLE x AS SELECT tf_Square(2.0) AS y") is None
    assert con.sql("INSERT INTO x SELECT tf_Square(y) FROM x") is None
    assert con.sql("FROM x ORDER BY y").fetchall() == [(4.0,), (16.0,)]


@pytest.mark.parametrize("count", ROW_COUNTS)
@pytest.mark.parametrize("is_stored", [False, True])
def test_long_results_are_in_order(con: tfsql.Connection, count: int, is_stored: bool) -> None:
    source = f"(SELECT i, [i, i + 1]::DOUBLE[2] AS v FROM range({count}) AS r(i))"
    if is_stored:
        con.execute(f"CREATE TABLE source AS SELECT * FROM {source}")
        source = "source"
    relation = con.sql(f"SELECT i, tf_Square(v) AS y, tf_Sum(v, 0) AS s FROM {source}")
    i = np.arange(count)
    y = np.stack([i, i + 1], axis=1).astype(np.float64) ** 2

    arrays = relation.numpy()
    np.testing.assert_array_equal(arrays["i"], i)
    np.testing.assert_array_equal(arrays["y"], y)
    np.testing.assert_array_equal(arrays["s"], 2 * i + 1)

    table = relation.arrow()
    assert table.num_rows == count
    np.testing.assert_array_equal(table["y"].combine_chunks().to_numpy_ndarray(), y)

    tensors = relation.tensors()
    np.testing.assert_array_equal(tensors["y"].numpy(), y)

    frame = relation.df()
    np.testing.assert_array_equal(np.stack(frame["y"]), y)

    position = 0
    for number, vector, total in relation:
        assert number == position
        assert vector == (position * position, (position + 1) ** 2)
        assert total == 2 * position + 1
        position += 1
    assert position == count

    fetched = []
    while part := relation.fetchmany(1777):
        fetched += [row[0] for row in part]
    assert fetched == list(range(count))


# -- names, types, shapes ----------------------------------------------------------------------------------------------


def test_columns_types_and_shapes(con: tfsql.Connection, images: np.ndarray) -> None:
    relation = con.sql(
        "SELECT i, image, tf_Square(image), tf_Sum(image, [0, 1]) AS s, tf_Range(0, i, 1) AS r, image > 1 AS b, "
        "'x' AS t, tf_StringUpper(['a', 'b']) AS u, tf_Cast(image, DstT := 'complex64') AS c, "
        "DATE '2024-02-03' AS d, tf_TopKV2(image, 2) AS k FROM images"
    )
    assert relation.columns == ["i", "image", "tf_Square(image)", "s", "r", "b", "t", "u", "c", "d", "k"]
    assert relation.types[:10] == [
        "BIGINT", "float32[2, 3]", "float32[2, 3]", "FLOAT", "int64[?]", "bool[2, 3]", "VARCHAR", "string[2]",
        "complex64[2, 3]", "DATE",
    ]  # fmt: skip
    assert relation.shapes == [(), (2, 3), (2, 3), (), (None,), (2, 3), (), (2,), (2, 3), None, None]


@pytest.mark.parametrize(
    ("sql", "dtype"),
    [
        ("FLOAT", "float32"), ("DOUBLE", "float64"), ("TINYINT", "int8"), ("SMALLINT", "int16"), ("INTEGER", "int32"),
        ("BIGINT", "int64"), ("UTINYINT", "uint8"), ("USMALLINT", "uint16"), ("UINTEGER", "uint32"), ("UBIGINT", "uint64"),  # noqa: E501
    ],
)  # fmt: skip
def test_each_number_type_comes_back_as_itself(con: tfsql.Connection, sql: str, dtype: str) -> None:
    relation = con.sql(
        f"SELECT tf_Reverse(x, [true, false]) AS y FROM (SELECT [[1, 2, 3], [4, 5, 6]]::{sql}[3][2] AS x)"
    )
    expected = tf.raw_ops.Reverse(tensor=np.array([[1, 2, 3], [4, 5, 6]], dtype), dims=[True, False]).numpy()[None]
    assert relation.types == [f"{dtype}[2, 3]"]
    for made in (relation.numpy()["y"], relation.tensors()["y"].numpy(), np.stack(relation.df()["y"])):
        assert made.dtype == dtype
        np.testing.assert_array_equal(made, expected)
    column = relation.arrow()["y"]
    assert column.type == pa.fixed_shape_tensor(pa.from_numpy_dtype(dtype), [2, 3])
    np.testing.assert_array_equal(column.combine_chunks().to_numpy_ndarray(), expected)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_comes_back_as_float32(con: tfsql.Connection, dtype: str) -> None:
    relation = con.sql(f"SELECT tf_Cast([1.5, 0.1], DstT := '{dtype}') AS y")
    expected = tf.cast(tf.constant([1.5, 0.1]), dtype)
    assert relation.types == ["float32[2]"]
    np.testing.assert_array_equal(relation.numpy()["y"][0], tf.cast(expected, tf.float32).numpy())


@pytest.mark.parametrize(
    ("sql", "op"),
    [("$x", "Identity"), ("tf_Square($x)", "Square"), ("tf_Conj($x)", "Conj")],
)
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_complex_columns(con: tfsql.Connection, sql: str, op: str, dtype: str) -> None:
    x = np.array([[1 + 2j, 3 - 4j], [0, -1j]], dtype)
    call = sql if sql.startswith("tf_") else f"tf_Identity({sql})"
    relation = con.sql(f"SELECT {call} AS y FROM range(2)", {"x": x})
    argument = "x" if op == "Square" else "input"
    expected = np.stack([getattr(tf.raw_ops, op)(**{argument: x}).numpy()] * 2)
    assert relation.types == [f"{dtype}[2, 2]"]
    for made in (relation.numpy()["y"], relation.tensors()["y"].numpy(), np.stack(relation.df()["y"])):
        assert made.dtype == dtype
        np.testing.assert_array_equal(made, expected)
    first = relation.fetchone()[0][0][0]
    assert first == {"real": expected[0, 0, 0].real, "imag": expected[0, 0, 0].imag}


def test_complex_scalars(con: tfsql.Connection) -> None:
    relation = con.sql("SELECT tf_Complex(i::FLOAT, 2.0) AS y FROM range(3) AS r(i)")
    expected = np.array([2j, 1 + 2j, 2 + 2j], np.complex64)
    np.testing.assert_array_equal(relation.numpy()["y"], expected)
    np.testing.assert_array_equal(relation.tensors()["y"].numpy(), expected)


def test_decimals_and_huge_integers_are_float64(con: tfsql.Connection) -> None:
    relation = con.sql("SELECT sum(i) AS n, avg(i)::DECIMAL(4, 2) AS m, [1.5, 2.5] AS v FROM range(4) r(i)")
    assert relation.fetchone() == (6, decimal.Decimal("1.50"), [decimal.Decimal("1.5"), decimal.Decimal("2.5")])
    frame, arrays = relation.df(), relation.numpy()
    assert frame.dtypes[["n", "m"]].tolist() == [np.float64, np.float64]
    assert (arrays["n"].tolist(), arrays["m"].tolist(), arrays["v"][0].dtype) == ([6.0], [1.5], np.float64)
    assert relation.tensors()["v"].to_list() == [[1.5, 2.5]]


def test_bool_columns(con: tfsql.Connection, images: np.ndarray) -> None:
    relation = con.sql("SELECT tf_Greater(image, 1.0) AS y, i > 2 AS s FROM images")
    expected = tf.raw_ops.Greater(x=images, y=1.0).numpy()
    assert relation.fetchall() == [(rows_of(y), i > 2) for i, y in enumerate(expected)]
    for made in (relation.numpy()["y"], relation.tensors()["y"].numpy(), np.stack(relation.df()["y"])):
        assert made.dtype == bool
        np.testing.assert_array_equal(made, expected)
    np.testing.assert_array_equal(relation.numpy()["s"], np.arange(5) > 2)
    assert relation.arrow()["y"].to_pylist() == expected.tolist()


def test_string_columns(con: tfsql.Connection) -> None:
    relation = con.sql(
        "SELECT tf_StringUpper(w) AS y, tf_StringLower(w[1]) AS s FROM (VALUES (['a', 'é']), (['', 'zz'])) AS q(w)"
    )
    rows = [["A", "é"], ["", "ZZ"]]
    assert relation.fetchall() == [(row, row[0].lower()) for row in rows]
    assert [cell.tolist() for cell in relation.numpy()["y"]] == rows
    assert [cell.tolist() for cell in relation.df()["y"]] == rows
    assert relation.arrow()["y"].to_pylist() == rows
    assert relation.tensors()["s"].numpy().tolist() == [b"a", b""]
    assert relation.tensors()["y"].to_list() == [[text.encode() for text in row] for row in rows]


def test_bytes_columns(con: tfsql.Connection) -> None:
    relation = con.sql("SELECT tf_EncodePng(x) AS png FROM (SELECT [[[1], [2]], [[3], [4]]]::UTINYINT[1][2][2] AS x)")
    expected = tf.raw_ops.EncodePng(image=np.array([[[1], [2]], [[3], [4]]], np.uint8)).numpy()
    assert relation.types == ["BLOB"]
    assert relation.fetchall() == [(expected,)]
    assert relation.numpy()["png"].tolist() == [expected]
    assert relation.df()["png"].tolist() == [expected]
    assert relation.arrow()["png"].to_pylist() == [expected]
    assert relation.tensors()["png"].numpy().tolist() == [expected]


def test_columns_that_are_no_tensors(con: tfsql.Connection) -> None:
    sql = "SELECT DATE '2024-02-03' AS d, 1.5::DECIMAL(4, 2) AS e, {'a': 1} AS s, MAP {'k': 2} AS m, uuid '0123'::UUID AS u"  # noqa: E501
    sql = sql.replace("uuid '0123'::UUID", "'00000000-0000-0000-0000-000000000123'::UUID")
    relation = con.sql(f"{sql}, tf_Square(2.0) AS y")
    with duckdb.connect() as plain:
        assert relation.fetchall() == [(*plain.execute(sql).fetchone(), 4.0)]
    assert relation.df()["y"].tolist() == [4.0]
    with pytest.raises(tfsql.TypeMismatchError, match="Column d is DATE, which is no tensor"):
        relation.tensors()


# -- NULL rows, rows of different shapes, no rows -----------------------------------------------------------------------  # noqa: E501


@pytest.fixture
def gaps(con: tfsql.Connection) -> tfsql.Connection:
    con.execute(
        "CREATE TABLE gaps AS SELECT i, CASE WHEN i % 3 <> 1 THEN [i, -i]::FLOAT[2] END AS v FROM range(6) AS r(i)"
    )
    return con


def test_null_rows(gaps: tfsql.Connection) -> None:
    relation = gaps.sql("SELECT tf_Square(v) AS y, tf_Sum(v, 0) AS s FROM gaps")
    valid = np.array([0, 2, 3, 5])
    expected = tf.raw_ops.Square(x=np.stack([valid, -valid], axis=1).astype(np.float32)).numpy()

    rows = relation.fetchall()
    assert [row[0] for row in rows] == [(0, 0), None, (4, 4), (9, 9), None, (25, 25)]
    masked = relation.numpy()["y"]
    assert isinstance(masked, np.ma.MaskedArray)
    assert masked.mask.all(axis=1).tolist() == [False, True, False, False, True, False]
    np.testing.assert_array_equal(masked.data[valid], expected)
    assert relation.numpy()["s"].mask.tolist() == [False, True, False, False, True, False]
    cells = relation.df()["y"].tolist()
    assert cells[1] is None
    assert cells[4] is None
    np.testing.assert_array_equal(np.stack([cells[i] for i in valid]), expected)
    column = relation.arrow()["y"]
    assert column.type == pa.fixed_shape_tensor(pa.float32(), [2])
    assert column.combine_chunks().storage.to_pylist() == [None if row[0] is None else list(row[0]) for row in rows]


def test_null_rows_are_no_tensor(gaps: tfsql.Connection) -> None:
    relation = gaps.sql("SELECT tf_Square(v) AS y FROM gaps")
    with pytest.raises(tfsql.TypeMismatchError, match="Column y has NULL rows"):
        relation.tensors()
    kept = gaps.sql("SELECT tf_Square(v) AS y FROM gaps WHERE v IS NOT NULL").tensors()["y"]
    assert kept.numpy().tolist() == [[0, 0], [4, 4], [9, 9], [25, 25]]


def test_rows_of_different_shapes(con: tfsql.Connection) -> None:
    relation = con.sql(
        "SELECT tf_Range(0, i, 1) AS y, tf_Reshape(tf_Range(0, 2 * i, 1), [i, 2]) AS m FROM range(4) AS r(i)"
    )
    vectors = [tf.raw_ops.Range(start=0, limit=i, delta=1).numpy().astype(np.int64) for i in range(4)]
    matrices = [np.arange(2 * i).reshape(i, 2) for i in range(4)]
    assert relation.types[0] == "int64[?]"
    assert [row[0] for row in relation.fetchall()] == [vector.tolist() for vector in vectors]
    for made, expected in (
        (relation.numpy()["y"], vectors),
        (relation.df()["y"], vectors),
        (relation.numpy()["m"], matrices),
    ):
        assert len(made) == 4
        for cell, array in zip(made, expected, strict=True):
            assert cell.tolist() == array.tolist()
    assert isinstance(relation.tensors()["y"], tf.RaggedTensor)
    assert relation.tensors()["y"].to_list() == [vector.tolist() for vector in vectors]
    assert relation.arrow()["y"].to_pylist() == [vector.tolist() for vector in vectors]


def test_ragged_results_with_null_rows(con: tfsql.Connection) -> None:
    relation = con.sql("SELECT tf_Square(x) AS y FROM (VALUES ([1.0, 2.0]), (NULL), ([]), ([3.0])) AS q(x)")
    expected = [[1.0, 4.0], None, [], [9.0]]
    assert [row[0] for row in relation.fetchall()] == expected
    for cells in (relation.numpy()["y"], relation.df()["y"]):
        assert [None if cell is None else cell.tolist() for cell in cells] == expected
    assert relation.arrow()["y"].to_pylist() == expected


def test_ragged_tensor_of_empty_lists(con: tfsql.Connection) -> None:
    for source, rank in (
        ("(SELECT []::FLOAT[] AS x FROM range(2))", 2),
        ("(SELECT [1.0]::FLOAT[] AS x WHERE false)", 2),
    ):
        made = con.sql(f"SELECT tf_Square(x) AS y FROM {source}").tensors()["y"]
        assert isinstance(made, tf.RaggedTensor)
        assert made.shape.rank == rank


def test_no_rows(con: tfsql.Connection, images: np.ndarray) -> None:
    relation = con.sql(
        "SELECT i, tf_Square(image) AS y, tf_Range(0, i, 1) AS r, tf_TopKV2(image, 1) AS k FROM images WHERE i > 9"
    )
    assert relation.fetchall() == []
    assert relation.fetchone() is None
    assert list(relation) == []
    assert relation.numpy()["y"].shape == (0, 2, 3)
    assert relation.numpy()["y"].dtype == np.float32
    assert relation.numpy()["r"].shape == (0,)
    assert list(relation.df().columns) == ["i", "y", "r", "k"]
    assert len(relation.df()) == 0
    assert relation.arrow().schema.field("y").type == pa.fixed_shape_tensor(pa.float32(), [2, 3])
    assert con.sql("SELECT tf_Square(image) AS y FROM images WHERE i > 9").tensors()["y"].shape == (0, 2, 3)


# -- several outputs, flattening ---------------------------------------------------------------------------------------


def test_several_outputs_are_a_struct(con: tfsql.Connection, images: np.ndarray) -> None:
    relation = con.sql("SELECT tf_TopKV2(image, 2) AS k FROM images")
    values, indices = tf.raw_ops.TopKV2(input=images, k=2)
    expected = [
        ({"values": rows_of(v), "indices": rows_of(i)},) for v, i in zip(values.numpy(), indices.numpy(), strict=True)
    ]
    assert relation.fetchall() == expected
    assert [row["k"]["indices"] for row in relation.arrow().to_pylist()] == indices.numpy().tolist()
    picked = con.sql("SELECT tf_TopKV2(image, 2).values AS v, tf_TopKV2(image, 2)['indices'] AS i FROM images").numpy()
    np.testing.assert_array_equal(picked["v"], values.numpy())
    np.testing.assert_array_equal(picked["i"], indices.numpy())


def test_flatten_names_every_number_by_its_path(con: tfsql.Connection, images: np.ndarray) -> None:
    relation = con.sql("SELECT i, tf_Neg(image) AS y, tf_TopKV2(image, 1) AS k FROM images").flatten()
    paths = [f"y.{row}.{column}" for row in range(2) for column in range(3)]
    picks = [f"k.{name}.{row}.0" for name in ("values", "indices") for row in range(2)]
    assert relation.columns == ["i", *paths, *picks]
    numbers = np.array([row[1:7] for row in relation.fetchall()])
    np.testing.assert_array_equal(numbers, -images.reshape(5, 6))


def test_flatten_of_ragged_rows_has_the_union_of_their_columns(con: tfsql.Connection) -> None:
    relation = con.sql("SELECT tf_Range(0, i, 1) AS y FROM range(3) AS r(i)").flatten()
    assert relation.columns == ["y.0", "y.1"]
    assert relation.fetchall() == [(None, None), (0, None), (0, 1)]


def test_flatten_keeps_null_rows(gaps: tfsql.Connection) -> None:
    rows = gaps.sql("SELECT tf_Neg(v) AS y FROM gaps").flatten().fetchall()
    assert rows == [(0, 0), (None, None), (-2, 2), (-3, 3), (None, None), (-5, 5)]


def test_spread_columns_come_out_every_way(con: tfsql.Connection, images: np.ndarray) -> None:
    relation = con.sql("SELECT i, tf_Neg(image) AS * FROM images")
    names = [f"{row}.{column}" for row in range(2) for column in range(3)]
    assert relation.columns == ["i", *names]
    expected = -images.reshape(5, 6)
    np.testing.assert_array_equal(np.array([row[1:] for row in relation.fetchall()]), expected)
    np.testing.assert_array_equal(relation.df()[names].to_numpy(), expected)
    np.testing.assert_array_equal(np.stack([relation.numpy()[name] for name in names], axis=1), expected)
    assert relation.arrow().column_names == ["i", *names]


def test_columns_of_one_name_are_all_there(con: tfsql.Connection) -> None:
    relation = con.sql("SELECT tf_Square(i) AS x, tf_Neg(i) AS x FROM range(3) AS r(i)")
    assert relation.columns == ["x", "x"]
    assert relation.fetchall() == [(0, 0), (1, -1), (4, -2)]
    assert relation.arrow().num_columns == 2
    assert relation.df().shape == (3, 2)
    assert len(relation.numpy()) == 2


# -- kept in files -----------------------------------------------------------------------------------------------------

_QUERY = """
SELECT i, tf_Square(image) AS y, tf_Range(0, i, 1) AS r, tf_StringUpper('a' || i) AS s, image > 1 AS b,
  tf_Cast(image, DstT := 'complex64') AS c, tf_TopKV2(image, 1) AS k,
  CASE WHEN i % 2 = 0 THEN tf_Neg(image) END AS n
FROM images ORDER BY i"""

_READ_BACK = """
import json, sys
import tfsql
con = tfsql.connect(sys.argv[1])
relation = con.sql(f"SELECT * FROM {sys.argv[2]} ORDER BY i")
again = con.sql(f"SELECT tf_Sum(y, [0, 1]) AS t FROM {sys.argv[2]} ORDER BY i")
print(json.dumps({"types": relation.types, "rows": relation.fetchall(), "sums": again.fetchall()}))
"""


def read_back(path: str, table: str) -> Any:
    """What a new process sees of ``table`` in the database ``path``."""
    run = subprocess.run(
        [sys.executable, "-c", _READ_BACK, path, table], capture_output=True, text=True, check=False, timeout=120
    )
    assert run.returncode == 0, run.stderr[-2000:]
    return json.loads(run.stdout)


def as_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


def test_a_table_in_a_file_is_the_same_in_a_new_process(tmp_path: Path) -> None:
    images = np.arange(30, dtype=np.float32).reshape(5, 2, 3) / 8
    with tfsql.connect(str(tmp_path / "kept.db")) as con:
        con.execute(
            "CREATE TABLE images AS SELECT unnest(range(5)) AS i, unnest($x)::FLOAT[3][2] AS image",
            {"x": images.tolist()},
        )
        con.execute(f"CREATE TABLE kept AS {_QUERY}")
        relation = con.sql(_QUERY)
        types, rows = relation.types, as_json(relation.fetchall())
    seen = read_back(str(tmp_path / "kept.db"), "kept")
    assert seen["types"] == types
    assert seen["rows"] == rows
    np.testing.assert_allclose(np.array(seen["sums"])[:, 0], (images**2).sum(axis=(1, 2)), rtol=1e-6)


def test_a_parquet_file_keeps_its_shapes_in_a_new_process(
    con: tfsql.Connection, images: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "kept.parquet"
    con.execute(f"COPY ({_QUERY}) TO '{path}'")
    relation = con.sql(_QUERY)
    types, rows = relation.types, as_json(relation.fetchall())
    seen = read_back(":memory:", f"'{path}'")
    assert seen["types"] == types
    assert seen["rows"] == rows
    np.testing.assert_allclose(np.array(seen["sums"])[:, 0], (images**2).sum(axis=(1, 2)), rtol=1e-6)


def test_pyarrow_reads_the_shapes_of_our_parquet(con: tfsql.Connection, images: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "ours.parquet"
    con.execute(f"COPY (SELECT i, tf_Square(image) AS y, tf_Range(0, i, 1) AS r FROM images ORDER BY i) TO '{path}'")
    table = pq.read_table(path)
    kind = table.schema.field("y").type
    assert pa.types.is_fixed_size_list(kind)
    assert (kind.list_size, kind.value_type.list_size) == (2, 3)
    assert table["y"].to_pylist() == (images**2).tolist()
    assert table["r"].to_pylist() == [list(range(i)) for i in range(5)]


def test_plain_duckdb_reads_our_parquet(con: tfsql.Connection, images: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "ours.parquet"
    con.execute(f"COPY (SELECT i, tf_Square(image) AS y FROM images ORDER BY i) TO '{path}'")
    with duckdb.connect() as plain:
        rows = plain.execute(f"SELECT y FROM '{path}' ORDER BY i").fetchall()
    assert [row[0] for row in rows] == (images**2).tolist()


@pytest.mark.parametrize("count", [3, 150_000])
def test_a_fixed_shape_tensor_parquet_of_pyarrow(con: tfsql.Connection, tmp_path: Path, count: int) -> None:
    x = np.arange(count * 4, dtype=np.float32).reshape(count, 2, 2)
    path = tmp_path / "theirs.parquet"
    pq.write_table(pa.table({"x": pa.FixedShapeTensorArray.from_numpy_ndarray(x)}), path)
    relation = con.sql(f"SELECT x, tf_Transpose(x, [1, 0]) AS y FROM '{path}'")
    assert relation.types == ["float32[2, 2]", "float32[2, 2]"]
    np.testing.assert_array_equal(relation.numpy()["x"], x)
    np.testing.assert_array_equal(relation.numpy()["y"], x.transpose(0, 2, 1))


def test_our_arrow_table_through_pyarrow_parquet(con: tfsql.Connection, images: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "round.parquet"
    pq.write_table(con.sql("SELECT i, tf_Square(image) AS y FROM images").arrow(), path)
    relation = con.sql(f"SELECT y FROM read_parquet('{path}') ORDER BY i")
    assert relation.types == ["float32[2, 3]"]
    np.testing.assert_array_equal(relation.numpy()["y"], images**2)


def test_null_rows_through_parquet(gaps: tfsql.Connection, tmp_path: Path) -> None:
    path = tmp_path / "gaps.parquet"
    gaps.execute(f"COPY (SELECT i, tf_Square(v) AS y FROM gaps) TO '{path}' (FORMAT parquet)")
    relation = gaps.sql(f"SELECT y FROM '{path}' ORDER BY i")
    assert relation.types == ["float32[2]"]
    assert [row[0] for row in relation.fetchall()] == [(0, 0), None, (4, 4), (9, 9), None, (25, 25)]


def test_pyarrow_reads_null_rows_of_our_parquet(gaps: tfsql.Connection, tmp_path: Path) -> None:
    path = tmp_path / "gaps.parquet"
    gaps.execute(f"COPY (SELECT i, tf_Square(v) AS y FROM gaps ORDER BY i) TO '{path}'")
    assert pq.read_table(path)["y"].to_pylist() == [[0, 0], None, [4, 4], [9, 9], None, [25, 25]]


@pytest.mark.parametrize(
    ("options", "groups", "codec"),
    [
        ("", [100_000], "SNAPPY"),
        ("(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 30000)", [30_000, 30_000, 30_000, 10_000], "ZSTD"),
        ("(FORMAT parquet, COMPRESSION uncompressed)", [100_000], "UNCOMPRESSED"),
    ],
)
def test_a_copy_to_parquet_is_written_batch_by_batch(
    con: tfsql.Connection, tmp_path: Path, options: str, groups: list[int], codec: str
) -> None:
    path = tmp_path / "many.parquet"
    query = "SELECT i, tf_Square([i, 2 * i]) AS y, tf_Neg([i, 1]) AS *, i AS i FROM range(100_000) r(i)"
    con.execute(f"COPY ({query}) TO '{path}' {options}")
    file = pq.ParquetFile(path)
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == groups
    assert file.metadata.row_group(0).column(0).compression == codec
    assert con.sql(f"FROM '{path}'").columns == ["i", "y", "0", "1", "i_1"]
    assert con.sql(f"SELECT sum(i), sum(y[2]), min(\"0\"), sum(i_1) FROM '{path}'").fetchall() == [
        (4999950000, sum(4 * i * i for i in range(100_000)), -99_999, 4999950000)
    ]
    assert [item.name for item in tmp_path.iterdir()] == ["many.parquet"]


def test_a_copy_that_fails_leaves_what_was_there(con: tfsql.Connection, tmp_path: Path) -> None:
    path = tmp_path / "kept.parquet"
    con.execute(f"COPY (SELECT tf_Square(1.0) AS y) TO '{path}'")
    with pytest.raises(tfsql.ExecutionError, match=r"tf_Cholesky failed(.|\n)*\(row 8\)"):
        con.execute(f"COPY (SELECT tf_Cholesky([[(7.5 - i)::FLOAT]]) AS y FROM range(9) r(i)) TO '{path}'")
    assert con.sql(f"FROM '{path}'").fetchall() == [(1.0,)]
    assert [item.name for item in tmp_path.iterdir()] == ["kept.parquet"]


def test_a_copy_through_a_link_writes_what_it_points_to(con: tfsql.Connection, tmp_path: Path) -> None:
    target, link = tmp_path / "target.parquet", tmp_path / "link.parquet"
    target.touch()
    link.symlink_to(target)
    con.execute(f"COPY (SELECT tf_Square(3.0) AS y) TO '{link}'")
    assert link.is_symlink()
    assert con.sql(f"FROM '{target}'").fetchall() == [(9.0,)]


def test_the_engine_writes_what_else_copy_can(con: tfsql.Connection, tmp_path: Path) -> None:
    query = "SELECT i % 2 AS part, uuid() AS id, tf_Square([i, 1]) AS y FROM range(4) r(i)"
    con.execute(f"COPY ({query}) TO '{tmp_path / 'parts'}' (FORMAT parquet, PARTITION_BY part)")
    assert con.sql(f"SELECT count(*) FROM '{tmp_path}/parts/*/*.parquet'").fetchall() == [(4,)]
    con.execute(f"COPY ({query}) TO '{tmp_path / 'x.parquet'}'")
    assert con.sql(f"SELECT typeof(id), sum(y[1]) FROM '{tmp_path / 'x.parquet'}' GROUP BY 1").fetchall() == [
        ("UUID", 14)
    ]


def test_a_vector_parquet_of_pyarrow(con: tfsql.Connection, tmp_path: Path) -> None:
    x = np.arange(12, dtype=np.int16).reshape(4, 3)
    path = tmp_path / "theirs.parquet"
    pq.write_table(pa.table({"x": pa.FixedShapeTensorArray.from_numpy_ndarray(x)}), path)
    relation = con.sql(f"SELECT tf_Square(x) AS y FROM '{path}'")
    assert relation.types == ["int16[3]"]
    np.testing.assert_array_equal(relation.numpy()["y"], x**2)


def test_a_nested_list_parquet_of_pyarrow(con: tfsql.Connection, tmp_path: Path) -> None:
    path = tmp_path / "theirs.parquet"
    kind = pa.list_(pa.list_(pa.float32(), 2), 2)
    pq.write_table(pa.table({"x": pa.array([[[1, 2], [3, 4]], None], kind)}), path)
    relation = con.sql(f"SELECT tf_Square(x) AS y FROM read_parquet('{path}')")
    assert relation.types == ["float32[2, 2]"]
    assert relation.fetchall() == [(((1, 4), (9, 16)),), (None,)]


def test_a_whole_table_through_parquet(con: tfsql.Connection, images: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    con.execute(f"COPY images TO '{path}'")
    relation = con.sql(f"SELECT image FROM '{path}' ORDER BY i")
    assert relation.types == ["float32[2, 3]"]
    np.testing.assert_array_equal(relation.numpy()["image"], images)


def test_arrays_longer_than_an_array_of_the_engine(con: tfsql.Connection) -> None:
    """DuckDB's ARRAY has at most 100,000 elements along one axis."""
    x = np.ones((400, 400), np.float32)
    relation = con.sql("SELECT tf_Reshape($x, [-1]) AS y", {"x": x})
    assert relation.numpy()["y"][0].shape == (160_000,)


# -- batches -----------------------------------------------------------------------------------------------------------

MANY = "SELECT i, tf_Square(i::FLOAT) AS y, [i, i]::INTEGER[2] AS v FROM range(300000) r(i)"


@pytest.mark.parametrize("sql", [MANY, MANY.replace("tf_Square(i::FLOAT)", "i * i")])
def test_batches_are_the_rows_of_the_table(con: tfsql.Connection, sql: str) -> None:
    batches = list(con.sql(sql).batches())
    assert len(batches) > 1
    assert pa.Table.from_batches(batches) == con.sql(sql).arrow().combine_chunks()


def test_batches_are_computed_when_they_are_asked_for(con: tfsql.Connection) -> None:
    sql = "SELECT tf_CheckNumerics(if(i = 290000, 'nan'::FLOAT, i), {message: 'bad'}) AS y FROM range(300000) r(i)"
    batches = con.sql(sql).batches()
    assert next(batches).num_rows > 0
    with pytest.raises(tfsql.ExecutionError, match="Tensor had NaN values"):
        list(batches)


def test_rows_of_tensor_calls_come_batch_by_batch(con: tfsql.Connection) -> None:
    relation = con.sql(MANY)
    first = [relation.fetchone(), *relation.fetchmany(3)]
    con.execute("CREATE TABLE between AS SELECT 1")  # another statement must not take the rows that are left
    rows = [*first, *relation.fetchmany(200_000), *relation.fetchall()]
    assert [row[0] for row in rows] == list(range(300_000))
    assert [row[2] for row in rows[-2:]] == [(299_998, 299_998), (299_999, 299_999)]
    assert relation.fetchone() == first[0]


def test_batches_of_rows_that_are_there(con: tfsql.Connection) -> None:
    con.sql("CREATE TABLE t AS SELECT 1 AS a")
    (batch,) = con.sql("SHOW TABLES").batches()
    assert batch.to_pylist() == [{"name": "t"}]


@pytest.mark.parametrize(
    ("sql", "kind", "message"),
    [
        (
            "SELECT ('1' || repeat('x', (range // 5000)::INT))::INT FROM range(9000)",
            tfsql.ExecutionError,
            "convert string",
        ),
        ("SELECT if(range > 5000, error('boo'), range) FROM range(9000)", tfsql.ExecutionError, "boo"),
        ("SELECT tf_Square(1.0) AS y, if(range > 5000, error('boo'), 1) FROM range(9000)", tfsql.ExecutionError, "boo"),
    ],
)
@pytest.mark.parametrize("read", [lambda relation: list(relation.batches()), lambda relation: relation.fetchall()])
def test_an_error_of_the_engine_behind_the_first_batch(
    con: tfsql.Connection, sql: str, kind: type[Exception], message: str, read: Any
) -> None:
    with pytest.raises(kind, match=message):
        read(con.sql(sql))
    assert con.sql("SELECT 42").fetchall() == [(42,)]
