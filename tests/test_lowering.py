"""Lowerings give what the operator gives; the two ways to run a select give the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tfsql
from tfsql.kernel.lower import BANDS, POOLED, STENCIL, TILES, WEIGHTED_SUM


@pytest.fixture(scope="module")
def con() -> Iterator[tfsql.Connection]:
    with tfsql.connect() as connection:
        yield connection


def convolution(draw: st.DrawFn) -> dict[str, Any]:
    """Shapes and attributes of a convolution of pictures of one channel."""
    stride, dilation = draw(st.sampled_from([(1, 1), (2, 1), (3, 1), (1, 2)]))
    attributes: dict[str, Any] = {"strides": [1, stride, stride, 1], "dilations": [1, dilation, dilation, 1]}
    attributes["padding"] = draw(st.sampled_from(["SAME", "VALID", "EXPLICIT"]))
    if attributes["padding"] == "EXPLICIT":
        attributes["explicit_paddings"] = [0, 0, *draw(st.lists(st.integers(0, 3), min_size=4, max_size=4)), 0, 0]
    return {
        "op": draw(st.sampled_from(sorted(BANDS.operators))),
        "batch": draw(st.integers(1, 2)),
        "height": draw(st.integers(9, 20)),
        "width": draw(st.integers(9, 40)),
        "kernel": draw(st.tuples(st.integers(1, 4), st.integers(2, 4))),
        "filters": draw(st.integers(1, 3)),
        "rows": draw(st.sampled_from([1, 2, 5, 70])),
        "odd": draw(st.sampled_from([None, np.inf, -np.inf, np.nan])),
        "dtype": draw(st.sampled_from(["float32", "float64"])),
        "attributes": attributes,
    }


@settings(deadline=None, max_examples=80, suppress_health_check=list(HealthCheck))
@given(case=st.composite(convolution)(), seed=st.integers(0, 2**32 - 1))
def test_one_channel_equals_the_convolution(con: tfsql.Connection, case: dict[str, Any], seed: int) -> None:
    generator = np.random.default_rng(seed)
    shape = (case["rows"], case["batch"], case["height"], case["width"], 1)
    rows = np.round(generator.normal(size=shape) * 100, 2).astype(case["dtype"])
    scale = np.abs(rows).max()
    if case["odd"] is not None:  # it must spread no further than the filter reaches
        rows[tuple(generator.integers(shape))] = case["odd"]
    kernel = np.round(generator.normal(size=(*case["kernel"], 1, case["filters"])), 3).astype(case["dtype"])
    written = ", ".join(f"{name}: {value!r}" for name, value in case["attributes"].items())
    relation = con.sql(f"SELECT tf_{case['op']}(column0, ?, {{{written}}}) AS y FROM rows", [kernel])
    plan = relation.explain()
    lowering = next(lowering for lowering in (STENCIL, BANDS) if lowering.name in plan)
    # With one channel in, both operators are the same convolution; the depthwise one has no kernel for dilations.
    wanted = [tf.raw_ops.Conv2D(input=row, filter=kernel, **case["attributes"]).numpy() for row in rows]
    atol = lowering.tolerance * np.abs(kernel).sum() * scale
    np.testing.assert_allclose(relation.numpy()["y"], np.stack(wanted), rtol=0, atol=atol)


@pytest.mark.parametrize("odd", [None, np.inf, np.nan])
@pytest.mark.parametrize("padding", ["SAME", "VALID", "EXPLICIT"])
@pytest.mark.parametrize(
    ("shape", "kernel"),
    [
        ((2, 9, 30, 1), (3, 3, 1, 8)),
        ((1, 6, 28, 1), (2, 5, 1, 16)),
        ((1, 8, 34, 2), (1, 3, 2, 6)),
        ((2, 7, 18, 4), (3, 3, 4, 8)),
        ((1, 28, 42, 3), (4, 3, 3, 8)),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_several_outputs_for_each_window(
    con: tfsql.Connection, shape: tuple[int, ...], kernel: tuple[int, ...], padding: str, odd: float | None, dtype: str
) -> None:
    generator = np.random.default_rng(sum(shape))
    rows = generator.normal(size=(37, *shape)).astype(dtype)
    weights = generator.normal(size=kernel).astype(dtype)
    if odd is not None:  # it must spread no further than the filter reaches
        rows[tuple(generator.integers(rows.shape))] = odd
    options = f"padding: '{padding}', strides: [1, 1, 1, 1]"
    explicit = [0, 0, 1, 2, kernel[1] - 1, 0, 0, 0] if padding == "EXPLICIT" else []
    relation = con.sql(
        f"SELECT tf_Conv2D(column0, ?, {{{options}, explicit_paddings: {explicit}::INT[]}}) AS y FROM rows", [weights]
    )
    is_lowered = TILES.name in relation.explain()
    made = relation.numpy()["y"]
    wanted = [
        tf.raw_ops.Conv2D(
            input=row, filter=weights, strides=[1, 1, 1, 1], padding=padding, explicit_paddings=explicit
        ).numpy()
        for row in rows
    ]
    scale = np.abs(weights).sum() * np.abs(rows[np.isfinite(rows)]).max()
    np.testing.assert_allclose(made, np.stack(wanted), rtol=0, atol=TILES.tolerance * scale)
    assert is_lowered == (made.shape[3] % 2 == 0)


def test_a_weight_that_is_no_number_stays_in_its_filter(con: tfsql.Connection) -> None:
    rows = np.random.default_rng(0).normal(size=(9, 1, 8, 20, 1)).astype(np.float32)
    for filters, lowering in ((2, BANDS), (8, TILES)):
        weights = np.ones((3, 3, 1, filters), np.float32)
        weights[1, 1, 0, 1] = np.inf
        relation = con.sql("SELECT tf_Conv2D(column0, ?, {padding: 'SAME', strides: [1, 1, 1, 1]}) AS y FROM rows", [
            weights
        ])  # fmt: skip
        assert lowering.name in relation.explain()
        wanted = tf.nn.conv2d(rows[:, 0], weights, 1, "SAME").numpy()
        np.testing.assert_allclose(relation.numpy()["y"][:, 0], wanted, atol=1e-4)


@pytest.mark.parametrize("rows", [2, 3, 64, 2048, 2049, 5000])
def test_the_stencil_takes_any_number_of_rows(con: tfsql.Connection, rows: int) -> None:
    pictures = np.random.default_rng(rows).random((rows, 1, 6, 7, 1), np.float32)
    kernel = np.arange(6, dtype=np.float32).reshape(2, 3, 1, 1)
    relation = con.sql("SELECT tf_Conv2D(column0, ?, {padding: 'SAME', strides: [1, 1, 1, 1]}) AS y FROM pictures", [
        kernel
    ])  # fmt: skip
    assert STENCIL.name in relation.explain()
    wanted = tf.nn.conv2d(pictures[:, 0], kernel, 1, "SAME").numpy()
    np.testing.assert_allclose(relation.numpy()["y"][:, 0], wanted, atol=STENCIL.tolerance * kernel.sum())


@pytest.mark.parametrize("call", [
    "tf_Conv2D(reshape(image, [1, 9, 12, 1]), ?, {options})",
    "tf_Conv2D(tf_ExpandDims(tf_ExpandDims(image, 0), 3), ?, {options})[0]",
    "tf_Conv2D(reshape(image, [1, 9, 12, 1]), ?, {options}) + reshape(image, [1, 9, 12, 1])",
    "tf_Conv2D(reshape(image, [1, 12, 9, 1]), ?, {options})",
    "tf_Conv2D(reshape(image, [2, 9, 6, 1]), ?, {options})",
])  # fmt: skip
@pytest.mark.parametrize("start", [0, 1, 7])
def test_pictures_are_seen_alone_in_the_memory_of_a_table(con: tfsql.Connection, call: str, start: int) -> None:
    """Batches are lent with what lies around them: other pictures, which must not be seen at the edges."""
    count = 30_000
    rows = np.random.default_rng(start).random((count, 9, 12), np.float32)
    rows[::5], rows[1::5] = np.nan, np.inf
    flat = pa.array(rows.reshape(-1))
    images = pa.FixedSizeListArray.from_arrays(pa.FixedSizeListArray.from_arrays(flat, 12), 9)
    pictures = pa.table({"image": images}).slice(start, count - 2 * start)
    kernel = np.arange(9, dtype=np.float32).reshape(3, 3, 1, 1)
    options = "{padding: 'SAME', strides: [1, 1, 1, 1]}"
    query = f"SELECT {call.format(options=options)} AS y FROM pictures"
    made = con.sql(query, [kernel]).numpy()["y"]
    con.sql("SET tfsql_lowering = off")
    try:
        wanted = con.sql(query, [kernel]).numpy()["y"]
    finally:
        con.sql("RESET tfsql_lowering")
    np.testing.assert_allclose(made, wanted, rtol=1e-5, atol=STENCIL.tolerance * kernel.sum())
    assert len(pictures) == len(made)


@pytest.mark.parametrize(
    ("shape", "kernel"),
    [
        ((1, 28, 200, 1), (3, 3, 1, 2)),
        ((1, 28, 200, 1), (9, 9, 1, 1)),
        ((1, 28, 28, 3), (3, 3, 3, 1)),
        ((1, 28, 28, 1), (3, 3, 1, 32)),
        ((1, 28, 28, 3), (3, 3, 3, 16)),
        ((1, 28, 28, 4), (3, 3, 2, 8)),
        ((1, 28, 29, 1), (3, 3, 1, 8)),
        ((1, 28, 28, 1), (3, 1, 1, 2)),
        ((1, 28, 28, 1), (1, 1, 1, 1)),
    ],
)
def test_what_does_not_pay_is_left_alone(
    con: tfsql.Connection, shape: tuple[int, ...], kernel: tuple[int, ...]
) -> None:
    rows = np.ones((3, *shape), np.float32)
    relation = con.sql("SELECT tf_Conv2D(column0, ?, {padding: 'SAME', strides: [1, 1, 1, 1]}) AS y FROM rows", [
        np.ones(kernel, np.float32)
    ])  # fmt: skip
    assert "lowered" not in relation.explain()
    assert relation.numpy()["y"].shape == (3, *shape[:3], kernel[3])
    assert len(rows) == 3


def test_it_can_be_turned_off(con: tfsql.Connection) -> None:
    rows = np.random.default_rng(0).random((9, 1, 12, 12, 1), np.float32)
    query = "SELECT tf_Conv2D(column0, [[[[1.0]], [[2.0]]]], {padding: 'SAME', strides: [1, 1, 1, 1]}) AS y FROM rows"
    lowered = con.sql(query)
    assert "lowered" in lowered.explain()
    with_it = lowered.numpy()["y"]
    con.sql("SET tfsql_lowering = off")
    try:
        plain = con.sql(query)
        assert "lowered" not in plain.explain()
        np.testing.assert_allclose(plain.numpy()["y"], with_it, rtol=1e-6)
    finally:
        con.sql("RESET tfsql_lowering")
    assert len(rows) == 9


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize(
    ("arguments", "wanted"), [("", (2, 3)), (", axis := [0]", (2, 1, 3)), (", axis := [-2]", (1, 2, 3))]
)
def test_a_squeeze_keeps_the_rows(con: tfsql.Connection, rows: int, arguments: str, wanted: tuple[int, ...]) -> None:
    boxes = np.arange(rows * 6, dtype=np.float32).reshape(rows, 1, 2, 1, 3)
    relation = con.sql(f"SELECT tf_Pack([tf_Squeeze(column0{arguments})]) AS y FROM boxes")
    assert "lowered to a reshape" in relation.explain()
    np.testing.assert_array_equal(relation.numpy()["y"], boxes.reshape(rows, 1, *wanted))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16"])
def test_one_as_a_factor_is_left_out(con: tfsql.Connection, dtype: str) -> None:
    numbers = np.arange(12).reshape(4, 3).astype(dtype)
    if dtype != "int16":
        numbers[1] = [np.nan, -np.inf, -0.0]
    relation = con.sql("SELECT tf_Neg(column0 * 1.0) AS y, tf_Neg(column0 * 2.0) AS z FROM numbers")
    assert relation.explain().count("lowered to the factor that is not one") == 1
    got = relation.numpy()
    wanted = -numbers.astype(np.float32 if dtype == "int16" else dtype)
    assert got["y"].dtype == wanted.dtype
    np.testing.assert_array_equal(got["y"], wanted)
    np.testing.assert_array_equal(got["z"], wanted * 2)


CONVOLUTION = "tf_Conv2D(column0, $kernel, {{padding: '{padding}', strides: [1, 1, 1, 1]}})"
POOL = "{{ksize: [1, {p}, {q}, 1], strides: [1, {p}, {q}, 1], padding: '{pooling}'}}"


@pytest.mark.parametrize("odd", [None, np.inf, np.nan])
@pytest.mark.parametrize(
    ("shape", "kernel", "pool", "padding", "pooling"),
    [
        ((1, 28, 28, 1), (3, 3, 1, 8), (2, 2), "SAME", "SAME"),
        ((2, 9, 10, 3), (2, 3, 3, 4), (2, 4), "VALID", "VALID"),
        ((1, 11, 9, 4), (3, 4, 4, 5), (3, 2), "VALID", "SAME"),
        ((3, 6, 8, 2), (1, 1, 2, 16), (1, 2), "SAME", "VALID"),
    ],
)
@pytest.mark.parametrize(
    ("between", "by_hand"),
    [
        ("{}", lambda x, bias: x),
        ("tf_Relu({})", lambda x, bias: tf.nn.relu(x)),
        ("tf_Relu6(tf_BiasAdd({}, $bias))", lambda x, bias: tf.nn.relu6(tf.nn.bias_add(x, bias))),
        ("tf_Relu({} + $bias)", lambda x, bias: tf.nn.relu(x + bias)),
        ("tf_AddV2($bias, {})", lambda x, bias: bias + x),
        ("{} + 1.5", lambda x, bias: x + 1.5),
    ],
)
def test_a_pool_of_a_convolution(
    con: tfsql.Connection,
    shape: tuple[int, ...],
    kernel: tuple[int, ...],
    pool: tuple[int, int],
    padding: str,
    pooling: str,
    between: str,
    by_hand: Callable[[tf.Tensor, np.ndarray], tf.Tensor],
    odd: float | None,
) -> None:
    generator = np.random.default_rng(sum(shape))
    rows = generator.normal(size=(11, *shape)).astype(np.float32)
    weights, bias = (
        generator.normal(size=kernel).astype(np.float32),
        generator.normal(size=kernel[3]).astype(np.float32),
    )
    if odd is not None:  # it must spread no further than the filter reaches
        rows[tuple(generator.integers(rows.shape))] = odd
    convolved = CONVOLUTION.format(padding=padding)
    pools = POOL.format(p=pool[0], q=pool[1], pooling=pooling)
    query = f"SELECT tf_MaxPool({between.format(convolved)}, {pools}) AS y FROM rows"
    values = {"kernel": weights, "bias": bias} if "$bias" in between else {"kernel": weights}
    relation = con.sql(query, values)
    plan = relation.explain()
    assert POOLED.name in plan
    assert "part of a call behind it, which is lowered" in plan

    @tf.function  # as users do: TensorFlow fuses some calls then, and takes other ways with what is no number
    def traced(x: tf.Tensor) -> tf.Tensor:
        return tf.nn.max_pool2d(by_hand(tf.nn.conv2d(x, weights, 1, padding), bias), pool, pool, pooling)

    made = traced(rows.reshape(-1, *shape[1:])).numpy()
    wanted = made.reshape(11, shape[0], *made.shape[1:])
    scale = np.abs(weights).sum() * np.abs(rows[np.isfinite(rows)]).max()
    np.testing.assert_allclose(relation.numpy()["y"], wanted, rtol=0, atol=POOLED.tolerance * scale)


@pytest.mark.parametrize("query", [
    "SELECT tf_MaxPool({conv}, {pool}) AS y, {conv} AS z FROM rows",
    "SELECT tf_MaxPool(tf_Neg({conv}), {pool}) AS y FROM rows",
    "SELECT tf_MaxPool({conv} + {conv}, {pool}) AS y FROM rows",
    "SELECT tf_MaxPool(tf_BiasAdd({conv}, range(8)::FLOAT[8], {{data_format: 'NCHW'}}), {pool}) AS y FROM rows",
    "SELECT tf_MaxPool({conv} + [[[[1.5]]]], {pool}) AS y FROM rows",
    "SELECT tf_MaxPool({conv}, {{ksize: [1, 2, 2, 1], strides: [1, 1, 1, 1], padding: 'VALID'}}) AS y FROM rows",
    "SELECT tf_MaxPool({conv}, {{ksize: [1, 5, 5, 1], strides: [1, 5, 5, 1], padding: 'SAME'}}) AS y FROM rows",
    "SELECT tf_AvgPool({conv}, {pool}) AS y FROM rows",
])  # fmt: skip
def test_what_is_no_pool_of_a_convolution_alone_is_left_alone(con: tfsql.Connection, query: str) -> None:
    rows = np.ones((3, 1, 8, 12, 1), np.float32)
    filled = query.format(
        conv=CONVOLUTION.format(padding="SAME"), pool=POOL.format(p=2, q=2, pooling="SAME").replace("{{", "{")
    )
    relation = con.sql(filled, {"kernel": np.ones((3, 3, 1, 8), np.float32)})
    assert POOLED.name not in relation.explain()
    assert len(relation.fetchall()) == len(rows)


WEIGHTED = [
    ((5, 4), "column0 * ?", "0", False),
    ((2, 3), "? * column0", "[1]", True),
    ((4, 3, 2), "column0 * ?", "[-1]", True),
    ((1, 6, 5), "column0 * ?", "2", False),
    ((7, 64), "? * column0", "-1", True),
    ((1000,), "column0 * ?", "0", False),
]


@pytest.mark.parametrize("odd", [None, np.inf, np.nan])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("shape", "product", "axis", "keeps"), WEIGHTED)
def test_a_weighted_sum(
    con: tfsql.Connection, shape: tuple[int, ...], product: str, axis: str, keeps: bool, dtype: str, odd: float | None
) -> None:
    generator = np.random.default_rng(sum(shape))
    rows = generator.normal(size=(9, *shape)).astype(dtype)
    if odd is not None:
        rows[tuple(generator.integers(rows.shape))] = odd
    weights = generator.normal(size=shape[-1]).astype(dtype)
    axis = str(len(shape) - 1) if axis == "0" else axis
    relation = con.sql(f"SELECT tf_Sum({product}, {axis}, {{keep_dims: {keeps}}}) AS y FROM rows", [weights])
    assert relation.explain().count(WEIGHTED_SUM.name) == 1
    with np.errstate(all="ignore"):
        wanted = (rows * weights).sum(-1, keepdims=keeps)
    scale = np.abs(weights).sum() * np.abs(rows[np.isfinite(rows)]).max()
    np.testing.assert_allclose(relation.numpy()["y"], wanted, rtol=0, atol=WEIGHTED_SUM.tolerance * scale)


def test_a_weighted_sum_of_rows_of_many_shapes(con: tfsql.Connection) -> None:
    """Computed by shape, and in a loop where shapes come from values."""
    generator = np.random.default_rng(0)
    pictures = [generator.integers(0, 256, (side, side + 1, 3), np.uint8) for side in (3, 5, 5, 8, 2)]
    table = pa.table({"png": [tf.io.encode_png(picture).numpy() for picture in pictures]})
    decoded = "tf_Cast(tf_DecodePng(png, {channels: 3}), {DstT: 'float32'})"
    con.sql(f"CREATE OR REPLACE TABLE decoded AS SELECT {decoded} AS x FROM table")
    for source, x in (("table", decoded), ("decoded", "x::FLOAT[3][][]")):
        relation = con.sql(f"SELECT tf_Sum({x} * [0.25, 0.5, 0.25], [-1]) AS y FROM {source}")
        assert WEIGHTED_SUM.name in relation.explain()
        for got, picture in zip(relation.fetchall(), pictures, strict=True):
            np.testing.assert_allclose(np.array(got[0]), picture @ np.array([0.25, 0.5, 0.25]), rtol=1e-6)
    assert len(table) == 5


@pytest.mark.parametrize("call", [
    "tf_Sum(column0 * [1.0, 2, 3], [0])",
    "tf_Sum(column0 * [1.0, 2, 3], [0, 1])",
    "tf_Sum(column0 * 2.5, [1])",
    "tf_Sum(column0 * [[1.0, 2, 3], [4, 5, 6]], [1])",
    "tf_Sum(column0 * column0[0], [1])",
    "tf_Sum(reshape(column0, [6, 1]) * [1.0, 2, 3], [1])",
    "tf_Sum(tf_Cast(column0, {DstT: 'int32'}) * [1, 2, 3], [1])",
    "tf_Sum(column0 + [1.0, 2, 3], [1])",
])  # fmt: skip
def test_what_is_no_weighted_sum_is_left_alone(con: tfsql.Connection, call: str) -> None:
    rows = np.arange(24, dtype=np.float32).reshape(4, 2, 3)
    relation = con.sql(f"SELECT {call} AS y FROM rows")
    assert "lowered" not in relation.explain()
    assert len(relation.fetchall()) == len(rows)


# -- the stream and the engine's calls ---------------------------------------------------------------------------------

QUERIES = (
    "SELECT i, tf_Square(x) AS y FROM t",
    "SELECT tf_Square(x) AS y, i, tf_Sum(x, 0) AS s, x FROM t WHERE i % 3 <> 0",
    "SELECT tf_Square(x) AS x, tf_Square(x) AS x, 1 AS x FROM t",
    "SELECT * EXCLUDE (r), tf_Add(x, i::FLOAT) AS y FROM t ORDER BY i DESC LIMIT 17 OFFSET 3",
    "SELECT tf_TopKV2(x, 2) AS best, r, tf_Reverse(r, [0]) AS back FROM t",
    "SELECT tf_Cos(0.5) AS c, tf_Square(n) AS n FROM t",
    "SELECT i % 7 AS g, tf_Mean(list(x), 0) AS m, count(*) AS c FROM t GROUP BY g ORDER BY g LIMIT 100",
    "SELECT s, tf_StringLength(s) AS l, tf_Square(x) AS y FROM t WHERE i < 0",
    "WITH a AS (FROM t WHERE i < 50) SELECT tf_Square(a.x) AS y FROM a JOIN t USING (i) ORDER BY i LIMIT 60",
    "SELECT twice(x) AS y, tf_Square(twice(i)) AS z FROM t",
)


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("rows", [0, 1, 5000])
def test_the_stream_gives_what_the_engine_gives(query: str, rows: int) -> None:
    with tfsql.connect() as con:
        con.create_function("twice", lambda x: 2 * x)
        con.sql(
            "CREATE TABLE t AS SELECT i, [i, 2 * i, -i]::FLOAT[3] AS x, CASE WHEN i % 4 <> 0 THEN i::FLOAT END AS n, "
            f"range(i % 5 + 1)::FLOAT[] AS r, 'row ' || i AS s FROM range({rows}) q(i)"
        )
        relation = con.sql(query)
        streamed = relation.arrow()
        assert streamed.column_names == relation.columns
        assert relation_rows(streamed) == con.sql(query).fetchall()


def relation_rows(table: Any) -> list[tuple[Any, ...]]:
    """The rows of a table as DuckDB gives them: ARRAYs as tuples."""
    from tfsql.result import TableResult
    from tfsql.variables import nested

    return TableResult(nested(table)).fetchall()


@pytest.mark.parametrize("row", [0, 2047, 2048, 4999])
def test_both_name_the_row_that_fails(row: int) -> None:
    def failing(i: np.ndarray) -> np.ndarray:
        if (i == row).any():
            raise ValueError("no")
        return i

    with tfsql.connect() as con:
        con.create_function("failing", failing, returns="BIGINT")
        con.sql("CREATE TABLE t AS SELECT i FROM range(5000) q(i)")
        messages = []
        for run in ("arrow", "fetchall"):
            with pytest.raises(tfsql.ExecutionError) as caught:
                getattr(con.sql("SELECT failing(i) AS y FROM t"), run)()
            messages.append(str(caught.value))
        assert messages[0] == messages[1]
        assert f"failing failed: ValueError: no (row {row}) (line 1, column 8)" in messages[0]


def test_another_statement_may_run_while_a_stream_is_read() -> None:
    with tfsql.connect() as con:
        con.sql("CREATE TABLE t AS SELECT i FROM range(100000) q(i)")
        batches = con.backend.stream("SELECT i FROM t", {}, 2048)
        first = next(iter(batches))
        assert con.sql("SELECT count(*) FROM t").fetchone() == (100_000,)
        rest = sum(batch.num_rows for batch in batches)
        assert first.num_rows + rest == 100_000
