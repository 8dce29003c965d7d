"""Operators of the user's own and frozen graphs, against TensorFlow called directly, row by row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tensorflow as tf

import tfsql

ROWS = 100
X = np.stack([np.arange(ROWS), np.arange(ROWS) + 1, 2 * np.arange(ROWS)], axis=1).astype(np.float32)


@pytest.fixture
def con() -> Iterator[tfsql.Connection]:
    with tfsql.connect() as connection:
        connection.sql(
            "CREATE TABLE t AS SELECT i, [i, i + 1, 2 * i]::FLOAT[3] AS x, "
            f"list_transform(range(i % 4 + 1), lambda j: i + j)::FLOAT[] AS r FROM range({ROWS}) q(i)"
        )
        yield connection


class Extent(NamedTuple):
    low: Any
    high: Any


WEIGHTS = tf.Variable([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])


def dense(x: tf.Tensor) -> tf.Tensor:
    return tf.squeeze(tf.matmul(x[None], WEIGHTS), 0)


def halvings(x: tf.Tensor) -> tf.Tensor:
    count, rest = tf.constant(0), tf.reduce_sum(x)
    while rest > 1:
        rest = rest / 2
        count += 1
    return count


def branch(x: tf.Tensor) -> tf.Tensor:
    return tf.cond(tf.reduce_sum(x) > 100, lambda: x, lambda: -x)


@tf.function
def nested(x: tf.Tensor) -> tf.Tensor:
    return tf.nn.softmax(x) + 1


def through_python(x: tf.Tensor) -> tf.Tensor:
    return tf.ensure_shape(tf.numpy_function(lambda array: array * 2, [x], tf.float32), [3])


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x * x,
        lambda x: tf.sort(x, direction="DESCENDING")[:2],
        lambda x: tf.reduce_sum(x) + len(x.shape),
        dense,
        halvings,
        branch,
        nested,
        lambda x: nested(nested(x)),
        through_python,
        lambda x: tf.map_fn(lambda item: item + 1, x),
    ],
)
def test_equals_the_function_on_each_row(con: tfsql.Connection, function: Callable[[Any], Any]) -> None:
    tfsql.operator(name="f")(lambda x: function(x))
    got = con.sql("SELECT f(x) AS y FROM t ORDER BY i").numpy()["y"]
    expected = np.stack([np.asarray(tf.function(function)(tf.constant(row))) for row in X])
    assert got.dtype == expected.dtype
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_a_keras_model_runs_batched(con: tfsql.Connection) -> None:
    layers = [tf.keras.layers.Input((3,)), tf.keras.layers.Dense(4, activation="relu"), tf.keras.layers.Dense(2)]
    model = tf.keras.Sequential(layers)

    @tfsql.operator
    def predict(x: tf.Tensor) -> tf.Tensor:
        return model(x[None])[0]

    np.testing.assert_allclose(con.sql("SELECT predict(x) AS y FROM t").numpy()["y"], model(X), rtol=1e-5, atol=1e-5)
    text = con.sql("SELECT predict(x) AS y FROM t").explain()
    assert text.count("MatMul(") == 2
    assert "mapped" not in text
    assert "looped" not in text


def test_fuses_with_the_operators_around_it(con: tfsql.Connection) -> None:
    @tfsql.operator
    def halved(x: tf.Tensor) -> tf.Tensor:
        return x / 2

    text = con.sql("SELECT tf_Sqrt(halved(x + 1)) * 2 AS y FROM t").explain()
    assert text.count("tfsql_kernel") == 1
    np.testing.assert_allclose(
        con.sql("SELECT tf_Sqrt(halved(x + 1)) * 2 AS y FROM t").numpy()["y"], 2 * np.sqrt((X + 1) / 2), rtol=1e-6
    )
    assert con.sql("SELECT count(*) FROM t WHERE halved(x)[1] > 10").fetchone() == (ROWS - 21,)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT power(x) FROM t WHERE i = 3", ((9.0, 16.0, 36.0),)),
        ("SELECT power(x, exponent := 1) FROM t WHERE i = 3", ((3.0, 4.0, 6.0),)),
        ("SELECT power(x, {exponent: 1}) FROM t WHERE i = 3", ((3.0, 4.0, 6.0),)),
        ("SELECT power({image: x, exponent: 1}) FROM t WHERE i = 3", ((3.0, 4.0, 6.0),)),
        ("SELECT power({image: x}, {exponent: 1}) FROM t WHERE i = 3", ((3.0, 4.0, 6.0),)),
        ("SELECT power(x, 10) FROM t WHERE i = 3", ((19.0, 26.0, 46.0),)),
        ("SELECT power(x, offset_ := i::FLOAT) FROM t WHERE i = 3", ((12.0, 19.0, 39.0),)),
        ("SELECT power(r) FROM t WHERE i = 1", ([1.0, 4.0],)),
        ("SELECT power([1, 2, 3])", ((1.0, 4.0, 9.0),)),
    ],
)
def test_takes_arguments_like_any_operator(con: tfsql.Connection, query: str, expected: Any) -> None:
    @tfsql.operator
    def power(image: tf.Tensor, offset_: Any = 0, *, exponent: float = 2.0) -> tf.Tensor:
        return tf.cast(image, tf.float32) ** exponent + offset_

    assert con.sql(query).fetchone() == expected


@pytest.mark.parametrize(
    "made",
    [
        lambda x: {"low": tf.reduce_min(x), "high": tf.reduce_max(x)},
        lambda x: Extent(tf.reduce_min(x), tf.reduce_max(x)),
    ],
)
def test_several_tensors_are_a_row(con: tfsql.Connection, made: Callable[[Any], Any]) -> None:
    tfsql.operator(name="extent")(made)
    relation = con.sql("SELECT extent(x) AS * FROM t WHERE i = 3")
    assert (relation.columns, relation.fetchall()) == (["low", "high"], [(3.0, 6.0)])
    assert con.sql("SELECT extent(x).high FROM t WHERE i = 3").fetchone() == (6.0,)


def test_random_operators_run_once_for_each_row(con: tfsql.Connection) -> None:
    @tfsql.operator
    def noise(x: tf.Tensor) -> tf.Tensor:
        return tf.random.uniform(tf.shape(x)[:1])

    values = [value for (value,) in con.sql("SELECT noise(x)[1] FROM t").fetchall()]
    assert len(set(values)) == ROWS


@pytest.mark.parametrize(
    ("function", "call", "error", "message"),
    [
        (lambda x: {}["k"], "f(x)", tfsql.BindError, "f failed: KeyError: 'k'"),
        (lambda x: tf.matmul(x, x), "f(x)", tfsql.ShapeError, "f failed: ValueError: Shape must be rank 2 but"),
        (lambda x: None, "f(x)", tfsql.ShapeError, "f failed: ValueError: None values not supported"),
        (lambda x: x, "f()", tfsql.BindError, 'f: missing input "x". Inputs are: x'),
        (lambda x: x, "f(x, y := 3)", tfsql.BindError, 'f has no input or attribute "y". Inputs are: x.'),
        (lambda x: tf.raw_ops.Cholesky(input=x[None]), "f(x)", tfsql.ShapeError, "f failed: ValueError: Dimensions"),
    ],
)
def test_what_goes_wrong_is_said_before_a_row_is_read(
    con: tfsql.Connection, function: Callable[..., Any], call: str, error: type[tfsql.TfsqlError], message: str
) -> None:
    tfsql.operator(name="f")(function)
    with pytest.raises(error) as caught:
        con.sql(f"SELECT i, {call} FROM t")
    assert caught.value.message.startswith(message)
    assert (caught.value.line, caught.value.column) in ((1, 11), (1, 16))


@pytest.mark.parametrize("name", ["tf_mine", "two words"])
def test_names_that_cannot_be(name: str) -> None:
    with pytest.raises(tfsql.BindError, match=r"is (a name of|no name)"):
        tfsql.operator(name=name)(lambda x: x)


def test_every_parameter_needs_a_name() -> None:
    with pytest.raises(tfsql.BindError, match=r"takes \*tensors"):
        tfsql.operator(name="f")(lambda *tensors: tensors[0])


# -- frozen graphs -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def graph() -> tf.Graph:
    made = tf.Graph()
    with made.as_default():
        contents = tf.compat.v1.placeholder(tf.string, [], name="Decode/contents")
        picture = tf.io.decode_png(contents, channels=1, name="decode")
        image = tf.cast(picture, tf.float32)[None]
        kernel = tf.constant(np.arange(18).reshape(3, 3, 1, 2).astype(np.float32), name="mixed/conv/beta")
        pooled = tf.reduce_mean(tf.nn.relu(tf.nn.conv2d(image, kernel, 1, "SAME")), [1, 2], name="pool")
        tf.nn.softmax(pooled / 1000, name="softmax")
    return made


@pytest.fixture
def frozen(graph: tf.Graph, tmp_path: Path) -> Path:
    path = tmp_path / "net.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return path


@pytest.fixture
def pictures(con: tfsql.Connection) -> list[bytes]:
    con.sql(
        "CREATE TABLE pictures AS SELECT i, "
        "tf_EncodePng(tf_Cast(tf_Fill([i + 3, 4, 1], i * 9), {DstT: 'uint8'})) AS png FROM range(20) r(i)"
    )
    return [png for (png,) in con.sql("SELECT png FROM pictures ORDER BY i").fetchall()]


def fetched(graph: tf.Graph, names: list[str], feeds: list[dict[str, Any]]) -> list[list[np.ndarray]]:
    with tf.compat.v1.Session(graph=graph) as session:
        return [session.run(names, feed) for feed in feeds]


def test_a_graph_equals_a_session(con: tfsql.Connection, graph: tf.Graph, frozen: Path, pictures: list[bytes]) -> None:
    con.load_graph("net", str(frozen), outputs=["softmax", "pool"])
    relation = con.sql('SELECT net({"Decode/contents": png}) AS * FROM pictures ORDER BY i')
    assert relation.columns == ["softmax", "pool"]
    expected = fetched(graph, ["softmax:0", "pool:0"], [{"Decode/contents:0": png} for png in pictures])
    for got, want in zip(relation.fetchall(), expected, strict=True):
        np.testing.assert_allclose(got[0], want[0], rtol=1e-5)
        np.testing.assert_allclose(got[1], want[1], rtol=1e-5)


def test_any_node_can_be_fed_and_its_constants_read(con: tfsql.Connection, graph: tf.Graph, frozen: Path) -> None:
    con.load_graph("net", str(frozen), inputs=["decode"], outputs=["pool"])
    got = con.sql("SELECT net(tf_Fill([5, 5, 1], 200)).pool AS y").numpy()["y"]
    (want,) = fetched(graph, ["pool:0"], [{"decode:0": np.full((5, 5, 1), 200, np.uint8)}])
    np.testing.assert_allclose(got[0], want[0], rtol=1e-5)
    beta = con.sql("SELECT tf_extract_constant('net', ['mixed', 'conv', 'beta']) AS b").numpy()["b"][0]
    np.testing.assert_array_equal(beta, np.arange(18).reshape(3, 3, 1, 2))
    con.sql("DROP FUNCTION net")
    with pytest.raises(tfsql.BindError, match="No TensorFlow graph net"):
        con.sql("SELECT tf_extract_constant('net', 'pool')")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a text file, not a graph\n" * 9, "is not a frozen TensorFlow graph"),
        (b"", "holds no TensorFlow graph: it has no nodes"),
        (bytes(range(256)), "is not a frozen TensorFlow graph"),
        (None, "Cannot read .*: No such file or directory"),
    ],
)
def test_files_that_are_no_graph(con: tfsql.Connection, tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "net.pb"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(tfsql.BindError, match=message):
        con.load_graph("net", str(path))


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT net(3)", "3 is int64, not string"),
        ("SELECT net({nodes: 'x'})", 'net has no input or attribute "nodes"'),
        ("SELECT tf_extract_constant('net', 'bet')", 'net: the graph has no node "bet"'),
        ("SELECT tf_extract_constant('net', 'pool')", 'net: node "pool" is a Mean, not a constant'),
        ("SELECT tf_extract_constant('nett', 'pool')", "No TensorFlow graph nett"),
    ],
)
def test_calls_that_do_not_fit_a_graph(con: tfsql.Connection, frozen: Path, query: str, message: str) -> None:
    con.load_graph("net", str(frozen))
    with pytest.raises(tfsql.TfsqlError) as caught:
        con.sql(query)
    assert caught.value.message.startswith(message)
    with pytest.raises(tfsql.BindError, match="Did you mean softmax"):
        con.load_graph("net", str(frozen), outputs=["softmx"])


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        (lambda: tf.io.read_file("/etc/passwd", name="y"), "reads or writes files"),
        (lambda: tf.compat.v1.py_func(lambda: 1.0, [], tf.float64, name="y"), "calls back into Python"),
        (
            lambda: tf.identity(
                tf.cond(tf.constant(True), lambda: tf.io.read_file("/etc/passwd"), lambda: tf.constant("")), name="y"
            ),
            "reads or writes files",
        ),
    ],
)
def test_policy_holds_inside_a_graph(
    con: tfsql.Connection, tmp_path: Path, operation: Callable[[], Any], reason: str
) -> None:
    with tf.Graph().as_default() as graph:
        tf.compat.v1.placeholder(tf.float32, [], name="x")
        operation()
    (tmp_path / "net.pb").write_bytes(graph.as_graph_def().SerializeToString())
    con.load_graph("net", str(tmp_path / "net.pb"), inputs=["x"], outputs=["y"])
    with pytest.raises(tfsql.UnsupportedError, match=reason):
        con.sql("SELECT net(1.0)")
