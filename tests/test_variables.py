"""Python variables as tables, found by name, and Python values as parameters."""

# ruff: noqa: B007, F841  local variables are read by the SQL
from __future__ import annotations

import decimal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import tensorflow as tf

import tfsql

DTYPES = (
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64",
    "complex64", "complex128",
)  # fmt: skip

of_this_module = np.array([10.0, 20.0], np.float32)


@pytest.fixture
def con() -> Iterator[tfsql.Connection]:
    with tfsql.connect() as connection:
        yield connection


def sample(dtype: str, *shape: int) -> np.ndarray:
    """Small numbers of any dtype; a half is among the fractions, an imaginary part among the complex ones."""
    numbers = np.arange(np.prod(shape)).reshape(shape) % 5
    if dtype == "bool":
        return numbers % 2 == 0
    scale = 1 + 2j if dtype.startswith("complex") else 0.5 if dtype.startswith("float") else 1
    return (numbers * scale).astype(dtype)


# -- NumPy -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(4,), (4, 3), (4, 2, 3), (2, 3, 4, 5)], ids=len)
def test_numpy_arrays(con: tfsql.Connection, dtype: str, shape: tuple[int, ...]) -> None:
    array = sample(dtype, *shape)
    relation = con.sql("SELECT column0 AS x, tf_Identity(column0) AS y FROM array")
    assert relation.shapes == [shape[1:], shape[1:]]
    for name in ("x", "y"):
        made = relation.numpy()[name]
        assert made.dtype == dtype
        np.testing.assert_array_equal(made, array)


def test_numpy_half_precision_is_float32(con: tfsql.Connection) -> None:
    array = np.array([[0.5, 1.5], [2.5, 65504]], np.float16)
    relation = con.sql("SELECT tf_Neg(column0) AS y FROM array")
    assert relation.types == ["float32[2]"]
    np.testing.assert_array_equal(relation.numpy()["y"], -array.astype(np.float32))


@pytest.mark.parametrize("kind", ["U", "S", "O"])
def test_numpy_strings(con: tfsql.Connection, kind: str) -> None:
    array = np.array(["ab", "c", ""]).astype(kind)
    lengths = con.sql("SELECT tf_StringLength(column0) AS n FROM array").fetchall()
    assert lengths == [(2,), (1,), (0,)]


@pytest.mark.parametrize("array", [np.arange(24.0).reshape(4, 6).T, np.arange(24.0)[::-3], np.zeros((3, 4))[:, ::2]])
def test_numpy_arrays_of_any_layout(con: tfsql.Connection, array: np.ndarray) -> None:
    made = con.sql("SELECT tf_Square(column0) AS y FROM array").numpy()["y"]
    np.testing.assert_array_equal(made, array**2)


def test_numpy_array_without_rows(con: tfsql.Connection) -> None:
    array = np.zeros((0, 2, 3), np.float32)
    relation = con.sql("SELECT tf_Square(column0) AS y FROM array")
    assert relation.types == ["float32[2, 3]"]
    assert relation.fetchall() == []


def test_many_rows_in_order(con: tfsql.Connection) -> None:
    array = np.random.default_rng(1).normal(size=(150_000, 3)).astype(np.float32)
    made = con.sql("SELECT tf_Square(column0) AS y FROM array").numpy()["y"]
    np.testing.assert_array_equal(made, tf.raw_ops.Square(x=array).numpy())


def test_masked_arrays_have_null_rows(con: tfsql.Connection) -> None:
    array = np.ma.masked_array([1.0, 2.0, 3.0], [False, True, False])
    assert con.sql("SELECT tf_Square(column0) AS y FROM array").fetchall() == [(1.0,), (None,), (9.0,)]


def test_big_endian_arrays(con: tfsql.Connection) -> None:
    array = np.array([1, 2], ">i4")
    assert con.sql("SELECT tf_Square(column0) AS y FROM array").fetchall() == [(1,), (4,)]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array(5.0), "array is a single value, so it has no rows"),
        (np.zeros((2, 0, 3)), "array has shape \\[2, 0, 3\\]: SQL has no array of length 0"),
    ],
)
def test_arrays_that_are_no_table(con: tfsql.Connection, array: np.ndarray, message: str) -> None:
    with pytest.raises(tfsql.TypeMismatchError, match=message):
        con.sql("SELECT * FROM array")


def test_dict_of_arrays(con: tfsql.Connection) -> None:
    data = {"image": sample("float32", 4, 2, 3), "label": np.arange(4), "weight": tf.constant([1.0, 2.0, 3.0, 4.0])}
    made = con.sql("SELECT label, tf_Mul(image, weight) AS y FROM data").numpy()
    np.testing.assert_array_equal(made["label"], data["label"])
    np.testing.assert_array_equal(made["y"], data["image"] * np.array([1, 2, 3, 4], np.float32)[:, None, None])


def test_dict_of_arrays_of_different_lengths(con: tfsql.Connection) -> None:
    data = {"a": np.ones(3), "b": np.ones(2)}
    with pytest.raises(tfsql.TypeMismatchError, match="The arrays of data differ in length") as caught:
        con.sql("SELECT tf_Square(a) FROM data")
    assert (caught.value.line, caught.value.column) == (1, 26)


# -- TensorFlow --------------------------------------------------------------------------------------------------------


def test_collections_of_python_are_no_tables(con: tfsql.Connection) -> None:
    numbers = [1, 2]
    mixed = {"x": np.arange(2), "y": [1, 2]}
    for query, name, kind in (("FROM numbers", "numbers", "list"), ("SELECT tf_Square(x) FROM mixed", "mixed", "dict")):
        with pytest.raises(tfsql.BindError, match=f"{name} does not exist") as caught:
            con.sql(query)
        assert (caught.value.hint or "").startswith(f"The variable {name} is a {kind}, which is no table")


def test_half_precision_columns_are_float32(con: tfsql.Connection) -> None:
    halves = np.array([0.5, 1.5], np.float16)
    frame = pd.DataFrame({"h": halves})
    lists = pa.array([[0.5], [1.5, 2]], pa.list_(pa.float16()))
    columns = pa.table({"h": halves, "f": pa.FixedSizeListArray.from_arrays(pa.array(halves), 1), "l": lists})
    assert con.sql("SELECT tf_Square(h) FROM frame").fetchall() == [(0.25,), (2.25,)]
    relation = con.sql("SELECT h, f, l, tf_Square(l) AS s FROM columns")
    assert relation.types == ["FLOAT", "float32[1]", "float32[?]", "float32[?]"]
    assert relation.fetchall() == [(0.5, (0.5,), [0.5], [0.25]), (1.5, (1.5,), [1.5, 2.0], [2.25, 4.0])]


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float16", "float32", "complex64"])
def test_tensors(con: tfsql.Connection, dtype: str) -> None:
    tensor = tf.constant(sample(dtype, 3, 2, 2))
    made = con.sql("SELECT column0 AS x FROM tensor").numpy()["x"]
    np.testing.assert_array_equal(made, tensor.numpy())


def test_bfloat16_tensors(con: tfsql.Connection) -> None:
    tensor = tf.constant([[0.5, 1.25]], tf.bfloat16)
    assert con.sql("SELECT tf_Neg(column0) AS y FROM tensor").fetchall() == [((-0.5, -1.25),)]


def test_string_tensors(con: tfsql.Connection) -> None:
    tensor = tf.constant([["a", "bc"], ["", "d"]])
    assert con.sql("SELECT tf_StringLength(column0) AS y FROM tensor").fetchall() == [((1, 2),), ((0, 1),)]


def test_tensorflow_variables(con: tfsql.Connection) -> None:
    weights = tf.Variable([[1.0, 2.0], [3.0, 4.0]])
    assert con.sql("SELECT tf_Square(column0) AS y FROM weights").fetchall() == [((1, 4),), ((9, 16),)]


def test_ragged_tensors(con: tfsql.Connection) -> None:
    ragged = tf.ragged.constant([[1.0, 2.0], [], [3.0]], tf.float32)
    relation = con.sql("SELECT tf_Square(column0) AS y FROM ragged")
    assert relation.types == ["float32[?]"]
    assert relation.fetchall() == [([1, 4],), ([],), ([9],)]


def test_dict_with_a_ragged_tensor(con: tfsql.Connection) -> None:
    data = {"x": tf.ragged.constant([[1, 2], [3]], tf.int32), "i": np.arange(2)}
    assert con.sql("SELECT tf_Sum(x, 0) AS y FROM data ORDER BY i").fetchall() == [(3,), (3,)]


def test_ragged_results_round_trip(con: tfsql.Connection) -> None:
    ragged = con.sql("SELECT tf_Range(0, i, 1) AS x FROM range(4) AS r(i)").arrow()
    assert con.sql("SELECT tf_Sum(x, 0) AS y FROM ragged").fetchall() == [(0,), (0,), (1,), (3,)]


# -- pandas ------------------------------------------------------------------------------------------------------------


def test_data_frames(con: tfsql.Connection) -> None:
    frame = pd.DataFrame({
        "number": [1.0, 2.0, None],
        "text": ["x", None, "z"],
        "nullable": pd.array([1, None, 3], dtype="Int64"),
        "category": pd.Categorical(["u", "vv", "u"]),
        "date": pd.to_datetime(["2020-01-01"] * 3),
        "vector": [np.array([1.0, 2.0]), np.zeros(2), np.ones(2)],
        "list": [[1], [1, 2], []],
    })  # fmt: skip
    relation = con.sql(
        "SELECT tf_Square(number) AS a, tf_StringUpper(text) AS b, tf_Square(nullable) AS c, "
        "tf_StringLength(category::VARCHAR) AS d, tf_Square(vector) AS e, tf_Square(list) AS f, date FROM frame"
    )
    assert relation.shapes[4:6] == [(2,), (None,)]
    rows = [row[:6] for row in relation.fetchall()]
    assert rows == [(1, "X", 1, 1, (1, 4), [1]), (4, None, None, 2, (0, 0), [1, 4]), (None, "Z", 9, 1, (1, 1), [])]


def test_images_in_a_data_frame(con: tfsql.Connection) -> None:
    images = sample("uint8", 4, 2, 3)
    frame = pd.DataFrame({"image": list(images), "label": range(4)})
    made = con.sql("SELECT tf_Reverse(image, [true, false]) AS y FROM frame").numpy()["y"]
    np.testing.assert_array_equal(made, images[:, ::-1])


def test_arrays_of_different_shapes_in_a_data_frame(con: tfsql.Connection) -> None:
    frame = pd.DataFrame({"x": [np.ones((2, 1)), np.zeros((1, 3)), np.ones((1, 1))]})
    assert con.sql("SELECT tf_Sum(x, [0, 1]) AS y FROM frame").fetchall() == [(2,), (0,), (1,)]


def test_missing_arrays_in_a_data_frame(con: tfsql.Connection) -> None:
    frame = pd.DataFrame({"x": [np.ones((2, 2)), None, np.zeros((2, 2))]})
    relation = con.sql("SELECT tf_Square(x) AS y FROM frame")
    assert relation.types == ["float64[2, 2]"]
    assert relation.fetchall() == [(((1, 1), (1, 1)),), (None,), (((0, 0), (0, 0)),)]


@pytest.mark.parametrize("cells", [[1, "a"], [object()]])
def test_columns_that_are_no_table(con: tfsql.Connection, cells: list[Any]) -> None:
    frame = pd.DataFrame({"x": cells})
    with pytest.raises(tfsql.TypeMismatchError, match="x"):
        con.sql("SELECT * FROM frame")


def test_series(con: tfsql.Connection) -> None:
    series = pd.Series([1.0, 2.0], name="x")
    assert con.sql("SELECT tf_Square(x) AS y FROM series").fetchall() == [(1,), (4,)]


def test_columns_with_strange_names(con: tfsql.Connection) -> None:
    frame = pd.DataFrame({"a b.c": [2.0], "tf_Square": [3.0], 7: [4.0], 'q"q': [5.0], "select": [6.0]})
    sql = 'SELECT tf_Square("a b.c"), tf_Square("tf_Square"), tf_Square("7"), tf_Square("q""q"), tf_Square("select") FROM frame'  # noqa: E501
    assert con.sql(sql).fetchall() == [(4, 9, 16, 25, 36)]


# -- Arrow -------------------------------------------------------------------------------------------------------------


def test_arrow_tables(con: tfsql.Connection) -> None:
    table = pa.table({
        "fixed": pa.array([[1, 2], None, [3, 4]], pa.list_(pa.float32(), 2)),
        "list": pa.array([[1], None, []], pa.list_(pa.int32())),
        "large": pa.array([[1], [2], None], pa.large_list(pa.int64())),
        "dictionary": pa.array(["a", "bb", None]).dictionary_encode(),
    })  # fmt: skip
    relation = con.sql(
        'SELECT tf_Square(fixed), tf_Square(list), tf_Square(large), tf_StringLength(dictionary::VARCHAR) FROM "table"'
    )
    assert relation.types == ["float32[2]", "int32[?]", "int64[?]", "INTEGER"]
    assert relation.fetchall() == [((1, 4), [1], [1], 1), (None, None, [4], 2), ((9, 16), [], None, None)]


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 1, 2)], ids=len)
def test_fixed_shape_tensor_columns(con: tfsql.Connection, shape: tuple[int, ...]) -> None:
    x = sample("float32", 4, *shape)
    table = pa.table({"x": pa.FixedShapeTensorArray.from_numpy_ndarray(x)})
    chunked = pa.concat_tables([table.slice(0, 1), table.slice(1, 3)])
    for source, expected in ((table, -x), (chunked, -x), (table.slice(1, 2), -x[1:3])):
        made = con.sql("SELECT tf_Neg(x) AS y FROM source").numpy()["y"]
        np.testing.assert_array_equal(made, expected)


def test_fixed_shape_tensors_with_null_rows(con: tfsql.Connection) -> None:
    storage = pa.array([[1, 2, 3, 4], None, [5, 6, 7, 8]], pa.list_(pa.float32(), 4))
    table = pa.table({"x": pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(pa.float32(), [2, 2]), storage)})
    rows = [(((1, 4), (9, 16)),), (None,), (((25, 36), (49, 64)),)]
    for source, expected in ((table, rows), (table.slice(2), rows[2:])):
        assert con.sql("SELECT tf_Square(x) AS y FROM source").fetchall() == expected


def test_record_batch_readers(con: tfsql.Connection) -> None:
    batches = [pa.record_batch({"x": pa.array([float(i), i + 1.0])}) for i in range(3)]
    reader = pa.RecordBatchReader.from_batches(batches[0].schema, batches)
    relation = con.sql("SELECT tf_Square(x) AS y FROM reader")
    expected = [(0,), (1,), (1,), (4,), (4,), (9,)]
    assert relation.fetchall() == expected
    assert relation.fetchall() == expected


def test_record_batches(con: tfsql.Connection) -> None:
    batch = pa.record_batch({"x": [1, 2]})
    assert con.sql("SELECT tf_Square(x) AS y FROM batch").fetchall() == [(1,), (4,)]


def test_results_as_tables(con: tfsql.Connection) -> None:
    squares = con.sql("SELECT i, tf_Square([i, i + 1]::FLOAT[2]) AS y FROM range(3) AS r(i)")
    sums = con.sql("SELECT i, tf_Sum(y, 0) AS s FROM squares")
    assert con.sql("SELECT tf_Neg(s) FROM sums ORDER BY i").fetchall() == [(-1,), (-5,), (-13,)]
    frame = squares.df()
    assert con.sql("SELECT tf_Sum(y, 0) AS s FROM frame").fetchall() == [(1,), (5,), (13,)]
    table = squares.arrow()
    assert con.sql('SELECT tf_Sum(y, 0) AS s FROM "table"').fetchall() == [(1,), (5,), (13,)]
    arrays = squares.numpy()
    assert con.sql("SELECT tf_Sum(y, 0) AS s FROM arrays").fetchall() == [(1,), (5,), (13,)]
    tensors = squares.tensors()
    assert con.sql("SELECT tf_Sum(y, 0) AS s FROM tensors").fetchall() == [(1,), (5,), (13,)]


def test_results_of_another_connection(con: tfsql.Connection) -> None:
    with tfsql.connect() as other:
        theirs = other.sql("SELECT tf_Square(3.0) AS y")
        assert con.sql("SELECT tf_Neg(y) FROM theirs").fetchall() == [(-9,)]


# -- by name -----------------------------------------------------------------------------------------------------------


def test_globals(con: tfsql.Connection) -> None:
    assert con.sql("SELECT tf_Square(column0) AS y FROM of_this_module").fetchall() == [(100,), (400,)]


def test_locals_hide_globals(con: tfsql.Connection) -> None:
    of_this_module = np.array([1.0])
    assert con.sql("SELECT tf_Neg(column0) AS y FROM of_this_module").fetchall() == [(-1,)]


def test_each_frame_has_its_own(con: tfsql.Connection) -> None:
    def ones() -> Any:
        x = np.ones(2)
        return con.sql("SELECT tf_Neg(column0) AS y FROM x")

    def twos() -> Any:
        x = np.full(3, 2.0)
        return con.sql("SELECT tf_Neg(column0) AS y FROM x")

    first, second = ones(), twos()
    assert first.fetchall() == [(-1,)] * 2
    assert second.fetchall() == [(-2,)] * 3


def test_the_default_connection_sees_the_caller() -> None:
    x = np.array([3.0])
    relation = tfsql.sql("SELECT tf_Square(column0) AS y FROM x")
    assert relation is not None
    assert relation.fetchall() == [(9,)]


def test_a_table_of_the_catalog_wins(con: tfsql.Connection) -> None:
    con.execute("CREATE TABLE thing AS SELECT 7.0 AS column0")
    thing = np.array([1.0])
    assert con.sql("SELECT tf_Neg(column0) FROM thing").fetchall() == [(-7,)]
    con.execute("DROP TABLE thing")
    assert con.sql("SELECT tf_Neg(column0) FROM thing").fetchall() == [(-1,)]
    con.execute("CREATE VIEW thing AS SELECT tf_Square(3.0) AS column0")
    assert con.sql("SELECT tf_Neg(column0) FROM thing").fetchall() == [(-9,)]


def test_a_cte_wins(con: tfsql.Connection) -> None:
    x = np.array([1.0])
    assert con.sql("WITH x AS (SELECT 5.0 AS column0) SELECT tf_Neg(column0) FROM x").fetchall() == [(-5,)]


def test_a_column_of_the_name_is_no_table(con: tfsql.Connection) -> None:
    x = np.array([1.0])
    assert con.sql("SELECT tf_Neg(x) FROM (SELECT 2.0 AS x)").fetchall() == [(-2,)]


def test_another_value_between_two_queries(con: tfsql.Connection) -> None:
    x = np.array([1.0, 2.0])
    sql = "SELECT tf_Square(column0) AS y FROM x"
    before = con.sql(sql)
    assert con.sql(sql).fetchall() == [(1,), (4,)]
    x = np.array([[3.0, 4.0]])
    assert con.sql(sql).fetchall() == [((9, 16),)]
    x = tf.constant([5.0])
    assert con.sql(sql).fetchall() == [(25,)]
    assert before.fetchall() == [(1,), (4,)]


def test_numbers_changed_in_place(con: tfsql.Connection) -> None:
    x = np.array([1.0, 2.0])
    sql = "SELECT tf_Square(column0) AS y FROM x"
    assert con.sql(sql).fetchall() == [(1,), (4,)]
    x[0] = 3
    assert con.sql(sql).fetchall() == [(9,), (4,)]


def test_in_joins_subqueries_and_unions(con: tfsql.Connection) -> None:
    left = {"k": np.arange(3), "v": np.array([1.0, 2.0, 3.0])}
    right = pd.DataFrame({"k": [1, 2], "w": [10.0, 20.0]})
    joined = con.sql('SELECT l.k, tf_Mul(l.v, r.w) FROM "left" l JOIN "right" r ON tf_Equal(l.k, r.k) ORDER BY 1')
    assert joined.fetchall() == [(1, 20), (2, 60)]
    nested = con.sql('SELECT (SELECT tf_Sum(list(w), 0) FROM "right") AS s, k FROM (SELECT * FROM "left") ORDER BY k')
    assert nested.fetchall() == [(30, 0), (30, 1), (30, 2)]
    union = con.sql('SELECT tf_Neg(v) AS x FROM "left" UNION ALL SELECT tf_Neg(w) FROM "right" ORDER BY x')
    assert union.fetchall() == [(-20,), (-10,), (-3,), (-2,), (-1,)]


def test_tables_made_of_variables(con: tfsql.Connection) -> None:
    x = sample("float32", 3, 2)
    con.execute("CREATE TABLE kept AS SELECT tf_Neg(column0) AS y FROM x")
    con.execute("INSERT INTO kept SELECT column0 FROM x")
    expected = np.concatenate([-x, x])
    del x
    np.testing.assert_array_equal(con.sql("FROM kept").numpy()["y"], expected)


def test_statements_on_a_variable(con: tfsql.Connection, tmp_path: Path) -> None:
    x = np.array([1.0, 2.0])
    assert con.sql("DESCRIBE x").fetchone()[:2] == ("column0", "DOUBLE")
    assert con.sql("SUMMARIZE x").fetchone()[:4] == ("column0", "DOUBLE", "1.0", "2.0")
    con.execute(f"COPY x TO '{tmp_path / 'x.csv'}' (FORMAT csv)")
    assert (tmp_path / "x.csv").read_text() == "column0\n1.0\n2.0\n"
    assert len(x) == 2


def test_names_that_are_no_table(con: tfsql.Connection) -> None:
    with pytest.raises(tfsql.BindError, match="Table with name not_there does not exist") as caught:
        con.sql("SELECT tf_Square(x) FROM not_there")
    assert (caught.value.line, caught.value.column) == (1, 26)


# -- parameters --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mark", ["?", "$1", "$x"])
def test_array_parameters(con: tfsql.Connection, dtype: str, mark: str) -> None:
    x = sample(dtype, 2, 3)
    parameters: Any = {"x": x} if mark == "$x" else [x]
    relation = con.sql(f"SELECT tf_Identity({mark}) AS y FROM range(2)", parameters)
    made = relation.numpy()["y"]
    assert made.dtype == dtype
    np.testing.assert_array_equal(made, np.stack([x, x]))


@pytest.mark.parametrize("dtype", ["int32", "float32", "float64", "complex64", "bool"])
def test_tensor_parameters(con: tfsql.Connection, dtype: str) -> None:
    x = tf.constant(sample(dtype, 3))
    made = con.sql("SELECT tf_Identity($x) AS y", {"x": x}).numpy()["y"]
    np.testing.assert_array_equal(made[0], x.numpy())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, 3), (2.5, 2.5), (True, True), ("é", "é"), (b"\xff", b"\xff"), ([1, 2], (1, 2)), ((1.5, 2), (1.5, 2)),
        (["a", "b"], ("a", "b")), ([[True], [False]], ((True,), (False,))), (np.float32(1.5), 1.5), (np.int8(3), 3),
        (np.bool_(True), True), (np.str_("x"), "x"), (np.array("x"), "x"), (np.array(2.0), 2.0),
        (tf.constant(["x"]), ("x",)), (tf.Variable([1.0]), (1.0,)), (float("inf"), float("inf")),
    ],
    ids=lambda value: repr(value)[:30],
)  # fmt: skip
def test_scalar_and_list_parameters(con: tfsql.Connection, value: Any, expected: Any) -> None:
    assert con.sql("SELECT tf_Identity(?) AS y", [value]).fetchall() == [(expected,)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (2**40, 2**40),
        (np.array([b"a", b"\xff"]), (b"a", b"\xff")),
        (tf.constant([1.5], tf.bfloat16), (1.5,)),
        (1 + 2j, {"real": 1.0, "imag": 2.0}),
        (decimal.Decimal("1.5"), 1.5),
        (pd.Series([1.0, 2.0]), (1.0, 2.0)),
        (pa.array([1.0, 2.0]), (1.0, 2.0)),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_parameters_that_should_do(con: tfsql.Connection, value: Any, expected: Any) -> None:
    assert con.sql("SELECT tf_Identity(?) AS y", [value]).fetchall() == [(expected,)]


def test_a_string_tensor_without_axes(con: tfsql.Connection) -> None:
    assert con.sql("SELECT tf_Identity(?) AS y", [tf.constant("x")]).fetchall() == [("x",)]


@pytest.mark.parametrize(
    "value",
    [
        object(), {"a": 1}, [1, "a"], [[1, 2], [3]], None,
        tf.ragged.constant([[1, 2], [3]]),
    ],
    ids=lambda value: repr(value)[:20],
)  # fmt: skip
def test_parameters_that_are_no_tensor(con: tfsql.Connection, value: Any) -> None:
    with pytest.raises(tfsql.TfsqlError) as caught:
        con.sql("SELECT tf_Identity(?) AS y", [value]).fetchall()
    assert caught.value.span is not None


def test_python_numbers_follow_their_neighbours(con: tfsql.Connection) -> None:
    relation = con.sql(
        "SELECT tf_Add(x, $a) AS y, tf_Add(x, $b) AS z FROM (SELECT 1::TINYINT AS x)", {"a": 2, "b": np.int64(2)}
    )
    assert relation.types == ["TINYINT", "BIGINT"]
    assert relation.fetchall() == [(3, 3)]


def test_large_parameters_share_one_kernel_per_value(con: tfsql.Connection) -> None:
    for seed in range(3):
        weights = np.random.default_rng(seed).normal(size=(4, 32)).astype(np.float32)
        made = con.sql(
            "SELECT tf_MatMul(x, $w) AS y FROM (SELECT [[1, 2, 3, 4]]::FLOAT[4][1] AS x)", {"w": weights}
        ).numpy()["y"]
        expected = tf.raw_ops.MatMul(a=np.array([[1, 2, 3, 4]], np.float32), b=weights).numpy()
        np.testing.assert_allclose(made[0], expected, rtol=1e-6)


def test_tensor_parameters_beside_plain_ones(con: tfsql.Connection) -> None:
    sql = "SELECT ? AS name, tf_Add(?, i) AS y FROM range(?) AS r(i) WHERE i >= ? AND tf_Sum(tf_Mul(?, i), 0) < ?"
    rows = con.sql(sql, ["run", np.array([0.5, 1.5]), 5, 1, np.array([1, 1]), 8]).fetchall()
    assert rows == [("run", (1.5, 2.5)), ("run", (2.5, 3.5)), ("run", (3.5, 4.5))]


def test_named_parameters_used_twice(con: tfsql.Connection) -> None:
    rows = con.sql("SELECT tf_Add($x, $x) AS y, $n AS n FROM range($n)", {"x": [1.0, 2.0], "n": 2}).fetchall()
    assert rows == [((2, 4), 2), ((2, 4), 2)]


def test_numbered_parameters_in_any_order(con: tfsql.Connection) -> None:
    assert con.sql("SELECT $2 AS b, tf_Sub($1, $2) AS y", [10, 3]).fetchall() == [(3, 7)]


def test_parameters_of_attributes(con: tfsql.Connection) -> None:
    sql = "SELECT tf_MatMul(x, x, transpose_a := $t) AS y FROM (SELECT [[1, 2], [3, 4]]::FLOAT[2][2] AS x)"
    x = np.array([[1, 2], [3, 4]], np.float32)
    for transpose in (True, False):
        made = con.sql(sql, {"t": transpose}).numpy()["y"][0]
        np.testing.assert_array_equal(made, tf.raw_ops.MatMul(a=x, b=x, transpose_a=transpose).numpy())


def test_tensor_parameters_in_arithmetic(con: tfsql.Connection) -> None:
    x = np.array([1.0, 2.0])
    assert con.sql("SELECT v * $x AS y FROM (SELECT [3, 4]::DOUBLE[2] AS v)", {"x": x}).fetchall() == [((3, 8),)]


def test_tensor_parameters_into_a_table(con: tfsql.Connection) -> None:
    con.execute("CREATE TABLE kept (x FLOAT[2][2])")
    x = np.array([[1, 2], [3, 4]], np.float32)
    con.execute("INSERT INTO kept VALUES ($x)", {"x": x})
    con.execute("INSERT INTO kept SELECT tf_Neg($x)", {"x": x})
    np.testing.assert_array_equal(con.sql("FROM kept").numpy()["x"], np.stack([x, -x]))


def test_array_parameters_keep_dtype_and_shape(con: tfsql.Connection) -> None:
    assert con.sql("SELECT $x AS x", {"x": np.array([1, 2], np.float32)}).types == ["float32[2]"]


@pytest.mark.parametrize(
    ("sql", "parameters", "column"),
    [("SELECT tf_Neg(?)", [], 15), ("SELECT tf_Neg(?)", None, 15), ("SELECT tf_Neg($a)", {"b": 1}, 15), ("SELECT 1, $2", [1], 11)],  # noqa: E501
)  # fmt: skip
def test_parameters_without_a_value(con: tfsql.Connection, sql: str, parameters: Any, column: int) -> None:
    with pytest.raises(tfsql.BindError, match="There is no value for parameter") as caught:
        con.sql(sql, parameters)
    assert caught.value.column == column


# -- tables in memory that are only scanned --------------------------------------------------------------------------

SCANNED = np.random.default_rng(3).random((5000, 4, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("query", "is_scanned"),
    [
        ("SELECT label, tf_Square(x) AS y FROM frame", True),
        ("SELECT f.label, tf_Square(f.x) AS y FROM frame f", True),
        ('SELECT tf_Square(x) AS y, "label" FROM frame', True),
        ("SELECT tf_Square(x) AS y, tf_Neg(x) AS z, label FROM frame", True),
        ("SELECT label, tf_Square(x) AS y FROM pieces", True),
        ("SELECT label, tf_Square(x) AS y FROM frame ORDER BY label LIMIT 5000", False),
        ("SELECT label, tf_Square(x) AS y FROM frame WHERE label >= 0", False),
        ("SELECT label + 0 AS label, tf_Square(x) AS y FROM frame", False),
        ("SELECT label, tf_Square(x) AS y FROM frame USING SAMPLE 100%", False),
        ("SELECT label, tf_Square(x) AS y FROM (FROM frame)", False),
    ],
)
def test_a_table_that_is_only_scanned_passes_by_the_engine(
    con: tfsql.Connection, query: str, is_scanned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = pa.table({"x": pa.FixedShapeTensorArray.from_numpy_ndarray(SCANNED), "label": pa.array(range(5000))})
    pieces = pa.concat_tables([frame.slice(i, 7) for i in range(0, 5000, 7)])
    streams: list[str] = []
    stream = type(con.backend).stream

    def watched(backend: Any, sql: str, *arguments: Any) -> Any:
        streams.append(sql)
        return stream(backend, sql, *arguments)

    monkeypatch.setattr(type(con.backend), "stream", watched)
    columns = con.sql(query).numpy()
    assert len(pieces) == len(frame)
    np.testing.assert_array_equal(columns["y"], SCANNED**2)
    np.testing.assert_array_equal(columns["label"], np.arange(5000))
    assert (not streams) == is_scanned


def test_a_scan_that_is_interrupted(con: tfsql.Connection) -> None:
    many = pa.table({"x": pa.FixedSizeListArray.from_arrays(np.zeros(30_000_000, np.float32), 300)})
    relation = con.sql("SELECT tf_Square(x) AS y FROM many")
    batches = relation.batches()
    assert next(batches).num_rows
    con.interrupt()
    with pytest.raises(tfsql.TfsqlError, match="Interrupted"):
        list(batches)
    assert len(many) == con.sql("SELECT count(*) FROM many").fetchone()[0]
