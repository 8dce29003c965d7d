"""The conditions of operators/checks.toml: what they are about exists, and they hold for every valid case."""

from __future__ import annotations

import pytest

import tfsql
from tfsql.infer.conditions import _FUNCTIONS
from tfsql.registry import operator_spec
from tfsql.registry.checks import Checks, checked_operators, checks_of
from tfsql.registry.coverage import exposed_names


@pytest.mark.parametrize("operator", checked_operators())
def test_conditions_are_about_what_the_operator_has(operator: str) -> None:
    spec = operator_spec(operator)
    assert spec is not None
    checks = checks_of(operator)
    assert checks != Checks()
    inputs = {item.name for item in (*spec.inputs, *spec.attributes)}
    inputs |= {f"complex_{argument.name}" for argument in spec.inputs}
    outputs = {output.name for output in spec.outputs}
    for check in checks.requires:
        assert set(check.names) <= inputs | set(_FUNCTIONS), check.text
    for check in checks.ensures:
        assert set(check.names) <= inputs | outputs | set(_FUNCTIONS), check.text
    for size in checks.sizes:
        assert set(size.code.co_names) <= inputs | set(_FUNCTIONS), size.text
        assert size.output in outputs


def test_checks_are_for_operators_that_exist() -> None:
    assert set(checked_operators()) & set(exposed_names())


@pytest.fixture
def con() -> tfsql.Connection:
    return tfsql.connect()


@pytest.mark.parametrize("kind", ["FLOAT[2][2]", "FLOAT[][]"])
def test_a_failed_cholesky_names_its_row(con: tfsql.Connection, kind: str) -> None:
    sql = f"SELECT tf_Cholesky(x) AS y FROM (VALUES ([[4, 0], [0, 4]]::{kind}), ([[1, 0], [0, -1]]::{kind})) AS t(x)"
    with pytest.raises(tfsql.TfsqlError, match=r"tf_Cholesky failed: the matrix is not positive definite \(row 1\)"):
        con.sql(sql).fetchall()


def test_a_constant_is_refused_before_running(con: tfsql.Connection) -> None:
    with pytest.raises(tfsql.TfsqlError, match="tf_RFFT: fft_length must be at least 1"):
        con.sql("SELECT tf_RFFT([1, 2]::FLOAT[2], [0]::INTEGER[1]) AS y")


@pytest.mark.parametrize(
    ("rows", "reason"),
    [("[0, 2, 5]", "must rise within the input"), ("[0, 2]", "one number more"), ("[2, 0, 4]", "must rise within")],
)
def test_sequences_of_windows_lie_within_the_input(con: tfsql.Connection, rows: str, reason: str) -> None:
    call = f"tf_FractionalAvgPoolGrad([1, 4, 4, 1], [[[[d], [1]], [[1], [1]]]]::FLOAT[1][2][2][1], {rows}, [0, 2, 4])"
    with pytest.raises(tfsql.TfsqlError, match=reason):
        con.sql(f"SELECT {call} AS y FROM (VALUES (1), (2)) AS t(d)").fetchall()


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (
            "tf_RandomIndexShuffle(d::UINTEGER, [8, 7, 8]::UINTEGER[3], 9::UINTEGER, rounds := 7)",
            "rounds must be an even number from 4 to 1,024",
        ),
        (
            "tf_ResizeBicubicGrad([[[[d, 1], [1, 1]]]]::FLOAT[][][][], [[[[1], [2]]]]::FLOAT[1][2][1][1])",
            "grads must be of as many pictures and channels as original_image",
        ),
        (
            "tf_ResizeBilinearGrad([[[[d]]], [[[1]]]]::FLOAT[][][][], [[[[1], [2]]]]::FLOAT[1][2][1][1])",
            "grads must be of as many pictures and channels as original_image",
        ),
        (
            "tf_SetSize([[-9, 0], [d, 1]]::BIGINT[2][2], [1, 2]::INTEGER[2], [2, 2], validate_indices := false)",
            "set_indices must lie inside of set_shape",
        ),
        (
            "tf_RaggedCross([['a', 'b']], [[0, 2]::BIGINT[2]], [], [], [], [[[d::VARCHAR]]], input_order := 'RD', "
            "hashed_output := false, num_buckets := 0, hash_key := 7, out_values_type := 'string', "
            "out_row_splits_type := 'int32')",
            "out_row_splits_type must be the type of ragged_row_splits",
        ),
        (
            "tf_RaggedTensorToTensor([1, -1], [d]::FLOAT[1], 0::FLOAT, [[0, 6]::BIGINT[2]], "
            "row_partition_types := ['ROW_SPLITS'])",
            "must not split more values than there are",
        ),
        (
            "tf_RaggedTensorToTensor([1, -1], [d]::FLOAT[1], 0::FLOAT, [[0, 0]::BIGINT[2]], "
            "row_partition_types := ['VALUE_ROWIDS'])",
            "must not have more numbers than there are values",
        ),
        (
            "tf_CTCLoss([[[d, 1]]]::FLOAT[2][1][1], [[0, 4611686018427387904]]::BIGINT[2][1], [0], [1])",
            "labels_indices may be 16,777,216 at most",
        ),
        (
            "tf_ParseSequenceExampleV2([d::VARCHAR::BLOB], []::VARCHAR[], ['b'], []::VARCHAR[], []::VARCHAR[], "
            "[]::VARCHAR[], []::VARCHAR[], []::VARCHAR[], []::BOOLEAN[], [], context_sparse_types := ['float'], "
            "Ncontext_sparse := 2147483647)",
            "must be as many as context_sparse_types",
        ),
        (
            "tf_AvgPoolGrad([1, 4, 4, 1], [[[[d], [1]]]]::FLOAT[1][2][1][1], "
            "{ksize: [1, 2, 2, 1], strides: [1, 2, 2, 1], padding: 'VALID'})",
            "grad must have the shape that pooling orig_input_shape with ksize and strides gives",
        ),
        (
            "tf_AvgPool3DGrad([1, 3, 1, 1, 2], [[[[[d]]], [[[1]]]]]::FLOAT[1][1][1][2][1], "
            "{ksize: [1, 2, 1, 1, 1], strides: [1, 2, 1, 1, 1], padding: 'SAME'})",
            "grad must have the shape that pooling orig_input_shape with ksize and strides gives",
        ),
        (
            "tf_FractionalMaxPoolGrad([[[[d], [1]]]]::FLOAT[1][2][1][1], [[[[1]]]]::FLOAT[1][1][1][1], "
            "[[[[1]]]]::FLOAT[1][1][1][1], [0, 1], [0, 3])",
            "must rise within the input",
        ),
        (
            "tf_FractionalMaxPoolGrad([[[[d], [1]]]]::FLOAT[1][2][1][1], [[[[1, 1]]]]::FLOAT[2][1][1][1], "
            "[[[[1, 1]]]]::FLOAT[2][1][1][1], [0, 1], [0, 2])",
            "the batch and the channels of orig_input",
        ),
        ("tf_CTCLoss([[[]]]::FLOAT[][][], [[0, 0]]::BIGINT[2][1], [0], [d])", "inputs must have at least one class"),
        (
            "tf_CTCBeamSearchDecoder([[[d, 1]]]::FLOAT[2][1][1], [1], beam_width := 65536, top_paths := 65536)",
            "top_paths may be beam_width at most, and 1,024",
        ),
        ("tf_NearestNeighbors([[d]]::FLOAT[1][1], [[1]]::FLOAT[1][1], -d)", "k must not be negative"),
        ("tf_DecodeAndCropJpeg(d::VARCHAR::BLOB, [2147483647, 1, 2, 2])", "crop_window must lie inside of the picture"),
        ("tf_AsString(d::FLOAT, width := 2147483647)", "tfsql_max_cell_bytes allows"),
        ("tf_AsString(d::FLOAT, precision := 2147483647)", "tfsql_max_cell_bytes allows"),
        ("tf_HistogramFixedWidth([d]::FLOAT[1], ['-inf', '2']::FLOAT[2], 4)", "value_range must be finite"),
        ("tf_HistogramFixedWidth([d::FLOAT, 'inf'::FLOAT], ['0', 'inf']::FLOAT[2], 4)", "value_range must be finite"),
        (
            "tf_ImageProjectiveTransformV3([[[[d]]]]::FLOAT[1][1][1][1], [[1, 0, 0, 0, 1, 0, 0, 0]]::FLOAT[8][1], "
            "[1, 1], 0, {interpolation: 'NEAREST', fill_mode: 'constant'})",
            "fill_mode must be CONSTANT, NEAREST, REFLECT or WRAP",
        ),
        ("tf_RFFT((CASE d WHEN 7 THEN [1] ELSE [] END)::FLOAT[], [8])", "must not be empty in its last axis"),
        ("tf_RFFT2D([[], [d]][:1]::FLOAT[][], [1, 8])", "must not be empty in its last two axes"),
        ("tf_RFFT3D([[[], [d]][:1]]::FLOAT[][][], [1, 1, 8])", "must not be empty in its last three axes"),
        ("tf_MatrixDiagV3([d, 2, 3]::FLOAT[3], [-1, 1], 3, 3, 0)", "must have an axis for the diagonals that k names"),
        (
            "tf_Mfcc([[[d, 2, 3]]]::FLOAT[3][1][1], 16000, lower_frequency_limit := 'nan'::DOUBLE)",
            "lower_frequency_limit and upper_frequency_limit must be finite",
        ),
        (
            "tf_ParseExample([d::VARCHAR::BLOB], []::VARCHAR[], [['b', 'b']], [], [], "
            "{sparse_types: ['int64'], dense_shapes: []})",
            "sparse_keys must be scalars",
        ),
        (
            "tf_ParseSingleExample(d::VARCHAR::BLOB, [], {num_sparse: 2147483647, sparse_keys: ['b'], dense_keys: [], "
            "sparse_types: ['int64'], dense_shapes: []})",
            "num_sparse must be the number of sparse_types",
        ),
        (
            "tf_QuantizedDepthwiseConv2DWithBiasAndRelu([[[[d]]]]::UTINYINT[1][1][1][1], "
            "[[[[1]]]]::TINYINT[1][1][1][1], [1], [0, 0], 1, 0, 1, "
            "{Tinput: 'quint8', Tfilter: 'qint8', strides: [1, 1, 1, 1], padding: 'SAME'})",
            "min_input and max_input must be scalars",
        ),
        (
            "tf_QuantizedDepthwiseConv2DWithBiasAndRelu([[[[d]]]]::UTINYINT[1][1][1][1], "
            "[[[[1]]]]::TINYINT[1][1][1][1], [1, 2], 0, 1, 0, 1, "
            "{Tinput: 'quint8', Tfilter: 'qint8', strides: [1, 1, 1, 1], padding: 'SAME'})",
            "bias must have a number for each output channel",
        ),
        (
            "tf_QuantizedDepthwiseConv2DWithBiasAndRelu([[[[d]]]]::UTINYINT[1][1][1][1], "
            "[[[[1]]]]::TINYINT[1][1][1][1], [1], 0, 1, 0, 1, "
            "{Tinput: 'quint8', Tfilter: 'qint8', strides: [1, 1, 1, 1], padding: 'SAME', "
            "padding_list: [1]})",
            "padding_list must be empty",
        ),
        (
            "tf_QuantizedDepthwiseConv2DWithBias([[[[d]]]]::UTINYINT[1][1][1][1], "
            "[[[[1]]]]::TINYINT[1][1][1][1], [1], 0, 1, [-1]::FLOAT[1], 1, "
            "{Tinput: 'quint8', Tfilter: 'qint8', strides: [1, 1, 1, 1], padding: 'SAME'})",
            "min_filter and max_filter must be both scalars or both vectors",
        ),
        (
            "tf_QuantizedMatMulWithBias([[d]]::UTINYINT[1][1], [[1]]::TINYINT[1][1], [1], 0, 1, [0, 1], 1, "
            "{T1: 'quint8', T2: 'qint8', Tbias: 'float32'})",
            "min_a, max_a, min_b and max_b must be scalars",
        ),
        (
            "tf_QuantizedAdd([[d], [2]]::UTINYINT[1][2], [1, 2, 3]::UTINYINT[3], 0, 1, 0, 1, "
            "{T1: 'quint8', T2: 'quint8'})",
            "x and y must have one shape in their last axes",
        ),
        (
            "tf_QuantizedConv2DAndRelu([[[[d]]]]::UTINYINT[1][1][1][1], [[[[1]]]]::TINYINT[1][1][1][1], 0, 1, 0, "
            "[1, 1]::FLOAT[2], {Tinput: 'quint8', Tfilter: 'qint8', strides: [1, 1, 1, 1], padding: 'SAME'})",
            "min_filter and max_filter must be both scalars or both vectors",
        ),
        (
            "tf_QuantizedMatMul([[d][:0]]::UTINYINT[][], [[]]::UTINYINT[][], 0, 1, 0, 1, "
            "{T1: 'quint8', T2: 'quint8', transpose_b: true})",
            "a must have at least one element in a line",
        ),
        (
            "tf_SdcaOptimizer([], [], [], [[[d]]::FLOAT[1][1], [[d, 1]]::FLOAT[2][1]], [1], [1], [], [], "
            "[[1], [1, 1, 1]], [[0, 0, 0, 0]], {loss_type: 'squared_loss', l1: 0.1, l2: 1.0, num_loss_partitions: 1, "
            "num_inner_iterations: 1})",
            "dense_weights must have a number for each column of dense_features",
        ),
        (
            "tf_RequantizePerChannel([[[[d, 1]]]]::INTEGER[2][1][1][1], [0, 0, 0], [1, 1, 1], 0, 1, {T: 'qint32'})",
            "input_min must have one number, or one for each channel",
        ),
        (
            "tf_FusedResizeAndPadConv2D([[[[d]]]]::FLOAT[1][1][1][1], [32768, d * 32768]::INTEGER[2], "
            "[[0, 0], [0, 0], [0, 0], [0, 0]], [[[[1]]]]::FLOAT[1][1][1][1], "
            "{mode: 'REFLECT', strides: [1, 1, 1, 1], padding: 'VALID'})",
            "tfsql_max_cell_bytes allows",
        ),
        (
            "tf_RaggedCountSparseOutput([0, 2], [[d, 1]]::INTEGER[2][1], []::FLOAT[], binary_output := false)",
            "values must be a vector",
        ),
        (
            "tf_SparseSplit(1, [[0, d]]::BIGINT[2][1], [1]::FLOAT[1], [3, 4], num_split := 100)",
            "num_split must not be greater than every length in shape",
        ),
        (
            "tf_TensorScatterAdd([[1, 2], [3, 4]]::FLOAT[2][2], [[0], [1]], d::FLOAT)",
            "updates must have an axis for each of indices but its last",
        ),
        ("tf_SplitV([d, 2]::FLOAT[2], [[1, 1]]::INTEGER[2][1], 0, num_split := 2)", "size_splits must be a vector"),
        (
            "tf_SparseTensorDenseMatMul([[0, 0]]::BIGINT[2][1], [d]::FLOAT[1], [-1, 1], [[1]]::FLOAT[1][1])",
            "a_shape must not be negative",
        ),
    ],
)
def test_what_kernels_would_not_survive_is_refused(con: tfsql.Connection, call: str, reason: str) -> None:
    with pytest.raises(tfsql.TfsqlError, match=reason):
        con.sql(f"SELECT {call} AS y FROM (VALUES (1), (0)) AS t(d)").fetchall()


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ("tf_ConcatOffset([]::DOUBLE[], [[d]::INTEGER[1], [4]])", "should be a scalar integer"),
        ("tf_RaggedRange([1, 0], (CASE d WHEN 1 THEN [] ELSE [] END)::INTEGER[], [2, 2])", "Dimensions must be equal"),
        ("tf_RaggedBincount([0, 1], [[d]]::INTEGER[1][1], [[5, 5]], []::FLOAT[])", "Shape must be rank 0"),
    ],
)
def test_conditions_leave_wrong_shapes_to_the_operator(con: tfsql.Connection, call: str, reason: str) -> None:
    with pytest.raises(tfsql.TfsqlError, match=reason):
        con.sql(f"SELECT {call} AS y FROM (VALUES (1), (0)) AS t(d)").fetchall()


@pytest.mark.parametrize("call", ["tf_Fill([d], 1::FLOAT)", "tf_Range(0, d, 1)"])
def test_an_output_is_bounded_before_it_is_allocated(con: tfsql.Connection, call: str) -> None:
    con.sql("SET tfsql_max_cell_bytes = '1MB'")
    sql = f"SELECT len({call}) AS n FROM (VALUES (9), (250001)) AS t(d)"
    with pytest.raises(tfsql.TfsqlError, match=r"tfsql_max_cell_bytes allows \(row 1\)"):
        con.sql(sql).fetchall()
    con.sql("SET tfsql_max_cell_bytes = '2MB'")
    assert con.sql(sql).fetchall() == [(9,), (250001,)]


def test_conditions_hold_inside_other_calls(con: tfsql.Connection) -> None:
    sql = "SELECT tf_Abs(tf_Cholesky(tf_Neg(x))) AS y FROM (VALUES ([[-4]]::FLOAT[1][1]), ([[4]]::FLOAT[1][1])) AS t(x)"
    with pytest.raises(tfsql.TfsqlError, match=r"tf_Cholesky failed: the matrix is not positive definite \(row 1\)"):
        con.sql(sql).fetchall()


def test_shapes_of_rows_in_a_loop_are_seen_by_the_shape_function(con: tfsql.Connection) -> None:
    sql = "SELECT tf_MatMul(x, x) AS y FROM (VALUES ([[4]]::FLOAT[][]), ([[4, 5]]::FLOAT[][])) AS t(x)"
    with pytest.raises(tfsql.TfsqlError, match=r"Dimensions must be equal, but are 2 and 1 .*\(row 1\)"):
        con.sql(sql).fetchall()


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ("tf_RaggedBincount([0, 2], x, 3, [1.0]::FLOAT[1])", "weights must be as many as values, or none"),
        ("tf_SparseBincount([[0, 0], [1, 1]], x, [2, 2], 3, [1.0]::FLOAT[1])", "weights must be as many as values"),
        (
            "tf_SparseSegmentSumGrad([[1.0]]::FLOAT[1][1], x[2:1]::INTEGER[], x[2:1]::INTEGER[], 2)",
            "indices must not be empty",
        ),
    ],
)
def test_memory_that_is_no_tensor_of_the_call_is_not_read(con: tfsql.Connection, call: str, reason: str) -> None:
    with pytest.raises(tfsql.TfsqlError, match=reason):
        con.sql(f"SELECT {call} AS y FROM (VALUES ([0, 1]::INTEGER[2])) AS t(x)").fetchall()


@pytest.mark.parametrize("padding", ["VALID", "SAME"])
def test_gradients_of_the_shape_that_pooling_gives_pass(con: tfsql.Connection, padding: str) -> None:
    windows = f"{{ksize: [1, 3, 2, 1], strides: [1, 2, 3, 1], padding: '{padding}'}}"
    call = f"tf_AvgPoolGrad([1, 4, 5, 2], tf_AvgPool(x, {windows}), {windows})"
    x = "reshape(range(d, 40 + d)::FLOAT[40], [1, 4, 5, 2])"
    rows = con.sql(f"SELECT {call} AS y FROM (SELECT {x} AS x FROM (VALUES (0), (1)) AS t(d))").fetchall()
    assert len(rows) == 2


@pytest.mark.parametrize("kind", ["INTEGER[4]", "INTEGER[]"])
def test_what_only_values_tell_is_not_refused_before_they_are_known(con: tfsql.Connection, kind: str) -> None:
    call = "tf_AvgPoolGrad(s, g, {ksize: [1, 2, 2, 1], strides: [1, 2, 2, 1], padding: 'VALID'})"
    sql = f"SELECT {call} AS y FROM (SELECT [1, h, 2, 1]::{kind} AS s, [[[[4]]]]::FLOAT[1][1][1][1] AS g FROM t)"
    con.sql("CREATE TABLE t AS SELECT 2 AS h")
    assert con.sql(sql).fetchall() == [([[[[1.0], [1.0]], [[1.0], [1.0]]]],)]
    con.sql("INSERT INTO t VALUES (5)")
    with pytest.raises(tfsql.TfsqlError, match=r"grad must have the shape that pooling .*\(row 1\)"):
        con.sql(sql).fetchall()


@pytest.mark.parametrize("operator", ["QuantizedAdd", "QuantizedMul"])
def test_a_row_of_one_quantized_number_meets_a_longer_one(con: tfsql.Connection, operator: str) -> None:
    call = f"tf_{operator}(x, [1, 2, 3, 4]::UTINYINT[4], 0, 1, 0, 1, {{T1: 'quint8', T2: 'quint8'}})"
    together = con.sql(f"SELECT {call} AS y FROM (VALUES ([7]::UTINYINT[1]), ([9]::UTINYINT[1])) AS t(x)").fetchall()
    alone = [con.sql(f"SELECT {call} AS y FROM (SELECT [{x}]::UTINYINT[1] AS x)").fetchall()[0] for x in (7, 9)]
    assert together == alone
