"""The compositions of ``tfsql/kernel/composed`` give what their operators give when they are called row by row."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from batching_trials import choices, variants
from differential import call_text, check_rows, expected_rows, results, table_of

import tfsql
from tfsql.infer import clean_message
from tfsql.kernel.composed import COMPOSITIONS
from tfsql.registry import operator_spec
from tfsql.registry.cases import Case, Draw, cases_of

ROW_COUNTS = (1, 7)
CASES = [case for name in sorted(COMPOSITIONS) for case in cases_of(name) if case.is_comparable]
NAMES = sorted({case.operator for case in CASES})


def trials(case: Case) -> Iterator[tuple[Case, frozenset[str]]]:
    """The case for each choice of the inputs that vary, and with other shapes."""
    for vary in choices(case):
        for variant in variants(case, vary):
            yield with_varying(variant, vary), vary


def is_drawable(case: Case) -> bool:
    """Whether there are values of its shapes."""
    try:
        drawn = case.rows(1)[0]
    except (ValueError, IndexError):
        return False
    return all(drawn[name].shape == item.shape for name, item in case.items() if isinstance(item, Draw))


def with_varying(case: Case, vary: frozenset[str]) -> Case:
    """The case with every input constant that is not in ``vary``."""

    def kept(name: str, item: Any) -> Any:
        return replace(item, is_constant=True) if isinstance(item, Draw) and name not in vary else item

    inputs = {
        name: [kept(name, item) for item in given] if isinstance(given, list) else kept(name, given)
        for name, given in case.inputs.items()
    }
    return replace(case, inputs=inputs)


def query(case: Case, constants: dict[str, Any]) -> str:
    call = call_text(case, {name: f"${name}" for name in constants})
    return f"SELECT row, {call} AS y FROM data ORDER BY row"


def compare(con: tfsql.Connection, case: Case, count: int) -> bool:
    """Whether a case was composed; it must give what TensorFlow gives."""
    rows = case.rows(count)
    constants = {name: value for name, value in rows[0].items() if name not in case.columns()}
    sql, table = query(case, constants), table_of(case, rows, rows[0])
    got = results(con, sql, constants or None, table)
    check_rows(got, expected_rows(case, rows), case)
    relation = con.sql(sql, constants or None)
    assert relation is not None
    return "composed:" in relation.explain()


@pytest.fixture
def con() -> Iterator[tfsql.Connection]:
    with tfsql.connect() as connection:
        yield connection


@pytest.mark.parametrize("name", NAMES)
def test_an_operator_is_composed(con: tfsql.Connection, name: str) -> None:
    """Where all of its inputs vary, or one: the first such call that is; the sweep tries them all."""
    single = (with_varying(case, vary) for case in cases_of(name) for vary in choices(case) if len(vary) == 1)
    assert any(compare(con, case, 7) for case in (*cases_of(name), *single))


def test_an_operator_that_cannot_be_compared_is_random() -> None:
    for name in set(COMPOSITIONS) - set(NAMES):
        spec = operator_spec(name)
        assert spec is not None
        assert spec.is_stateful


# A case, one of its inputs, and a value of it that is wrong in its row but might be right in the stack of the rows.
WRONG: list[tuple[str, str, Any]] = [
    ("SparseToDense", "sparse_indices", [[0, 0], [0, 1], [1, 2], [3, 0]]),
    ("SparseToDense", "sparse_indices", [[0, 1], [0, 0], [1, 2], [2, 0]]),
    ("SparseReduceSum", "input_indices", [[0, 0], [0, 1], [1, 2], [3, 0]]),
    ("SparseReduceSumSparse", "input_indices", [[0, 0], [0, 1], [1, 2], [-1, 0]]),
    ("SparseReshape", "input_indices", [[0, 0], [0, 1], [1, 2], [3, 1]]),
    ("SparseSoftmax", "sp_indices", [[0, 0], [0, 1], [1, 2], [3, 1]]),
    ("SparseSlice", "indices", [[0, 0], [0, 1], [1, 2], [3, 1]]),
    ("SparseSlice", "indices", [[0, 0], [0, 1], [1, 2], [-1, 1]]),
    ("SparseReorder-in any order", "input_indices", [[0, 0], [0, 0], [1, 2], [0, 0], [0, 1]]),
    ("SparseConcat", "indices_0", [[0, 0], [0, 1], [1, 2], [3, 1]]),
    ("SparseSplit", "indices", [[0, 0], [0, 1], [1, 2], [1, 4]]),
    ("SparseAdd", "a_indices", [[0, 0], [0, 1], [1, 2], [1, 4]]),
    ("SparseSparseMaximum", "a_indices", [[0, 1], [0, 0], [1, 2], [1, 3]]),
    ("SparseTensorDenseAdd", "a_indices", [[0, 0], [0, 1], [1, 2], [3, 0]]),
    ("SparseTensorDenseMatMul", "a_indices", [[0, 0], [0, 1], [1, 2], [3, 0]]),
    ("SparseFillEmptyRows", "indices", [[0, 0], [0, 1], [1, 2], [3, 0]]),
    ("SparseFillEmptyRowsGrad", "reverse_index_map", [0, 5, 1]),
    ("RaggedFillEmptyRows", "value_rowids", [0, 1, 2, 3]),
    ("SerializeManySparse", "sparse_indices", [[0, 0], [0, 1], [1, 2], [3, 0]]),
    ("SetSize-strings", "set_indices", [[0, 0, 0], [0, 0, 1], [0, 1, 1], [1, 0, 0], [1, 1, 0], [1, 2, 0], [2, 0, 0]]),
    ("SparseToSparseSetOperation-all vary", "set1_indices", [[0, 0, 0], [0, 1, 0], [1, 0, 0], [0, 1, 1]]),
    ("EditDistance-all vary", "truth_indices", [[0, 0, 0], [0, 0, 1], [1, 1, 0], [1, 2, 0], [1, 2, 1]]),
    ("SparseSegmentSumGrad", "segment_ids", [0, 1, 1, 2, 3]),
    ("SparseSegmentSumGradV2", "indices", [0, 1, 1, 2, 4]),
    ("Bincount", "arr", [0, 1, -1, 2, 3, 4]),
    ("SparseBincount", "indices", [[0, 0], [0, 1], [1, 2], [3, 0]]),
    ("SparseBincount", "values", [0, 1, -1, 2]),
    ("RaggedBincount", "splits", [0, 2, 5]),
    ("SparseCountSparseOutput", "indices", [[0, 0], [0, 1], [1, 2], [3, 0]]),
    ("RaggedCountSparseOutput", "splits", [1, 2, 6]),
    ("RaggedGather", "indices", [0, 3]),
    ("RaggedTensorToSparse", "rt_nested_splits_0", [0, 3, 2, 6]),
    ("RaggedTensorToTensor", "row_partition_tensors_0", [0, 2, 3, 5]),
    ("RaggedCross", "ragged_row_splits_0", [0, 5, 4]),
    ("SparseCrossV2", "indices_0", [[0, 0], [1, 1], [2, 0]]),
    ("CTCLoss-labels vary", "labels_indices", [[0, 0], [0, 1], [1, 0], [1, 1], [2, 0], [3, 0]]),
    ("CTCGreedyDecoder", "sequence_length", [2, 5]),
    ("ParseExample", "serialized", [b"", b"no message"]),
]


def case_of(identity: str) -> Case:
    return next(case for case in CASES if case.id == identity)


@pytest.mark.parametrize(("identity", "name", "value"), WRONG)
def test_a_wrong_row_is_what_it_is_by_itself(con: tfsql.Connection, identity: str, name: str, value: Any) -> None:
    """It fails with TensorFlow's own error, or gives what TensorFlow gives, and touches no other row."""
    case = case_of(identity)
    rows = case.rows(7)
    rows[3] = rows[3] | {name: np.asarray(value, rows[3][name].dtype)}
    sql, table = query(case, {}), table_of(case, rows, rows[0])
    try:
        wanted, message = expected_rows(case, rows), ""
    except tf.errors.OpError as error:
        wanted, message = [], clean_message(error)
    if message:
        with pytest.raises(tfsql.TfsqlError, match=rf"{re.escape(message)}.*\(row 3\)"):
            results(con, sql, None, table)
    else:
        check_rows(results(con, sql, None, table), wanted, case)


@pytest.mark.sweep
@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in CASES])
def test_every_choice_of_inputs_and_other_shapes(con: tfsql.Connection, case: Case) -> None:
    compared = 0
    for variant, vary in trials(case):
        if not is_drawable(variant):
            continue
        for count in ROW_COUNTS:
            try:
                compare(con, variant, count)
            except (tfsql.TfsqlError, tf.errors.OpError):  # no valid call, unless it is the case itself
                assert variant != with_varying(case, vary)
                break
            compared += 1
    assert compared or not case.columns()


# A call, and what stands in it in most rows and in one: there it is an error, which must not hit another row.
FAILING = [
    ("tf_SegmentMax([1.0, 2.0]::FLOAT[2], [{}, 1]::INTEGER[2])", 0, -1),
    ("tf_SegmentSum([1.0, 2.0]::FLOAT[2], [{}, 1]::BIGINT[2])", 0, 2),
    ("tf_UnsortedSegmentJoin(['a', 'b']::VARCHAR[2], [{}, 1]::INTEGER[2], 2)", 0, 2),
    ("tf_UnsortedSegmentJoin(['a', 'b']::VARCHAR[2], [{}, 1]::INTEGER[2], 2)", 1, -1),
    ("tf_DynamicPartition([1.0, 2.0]::FLOAT[2], [{}, 1]::INTEGER[2], {{num_partitions: 2}})", 0, 2),
    ("tf_DynamicStitch([[{}, 1]::INTEGER[2]], [[1.0, 2.0]::FLOAT[2]])", 0, -1),
    ("tf_ParallelDynamicStitch([[{}, 1]::INTEGER[2]], [[1.0, 2.0]::FLOAT[2]])", 0, -3),
    ("tf_InvertPermutation([{}, 1]::INTEGER[2])", 0, 2),
    ("tf_InvertPermutation([{}, 1]::INTEGER[2])", 0, -2),
    ("tf_InvertPermutation([{}, 1]::INTEGER[2])", 0, 1),
    ("tf_UnravelIndex([{}]::INTEGER[1], [2, 2])", 0, 4),
    ("tf_Range({}::INTEGER, 3, 1)", 0, 4),
    ("tf_Range(0, 3, {}::INTEGER)", 1, 0),
    ("tf_HistogramFixedWidth([{}, 1.0]::FLOAT[2], [0.0, 2.0], 2)", 0, "'NaN'::FLOAT"),
    ("tf_HistogramFixedWidth([0.0, 1.0]::FLOAT[2], [{}, 2.0]::FLOAT[2], 2)", 0, 3),
    ("tf_ConcatOffset(0, [[2, {}]::INTEGER[2], [3, 1]::INTEGER[2]])", 1, 2),
    ("tf_BroadcastArgs([{}]::INTEGER[1], [2, 3])", 1, 2),
    ("tf_BroadcastGradientArgs([{}]::INTEGER[1], [2, 3])", 1, 2),
    (
        "tf_CropAndResizeGradImage([[[[1.0]]]]::FLOAT[1][1][1][1], [[0, 0, 1, 1]]::FLOAT[4][1], [{}]::INTEGER[1], "
        "[2, 3, 3, 1], {{T: 'float32'}})",
        0,
        2,
    ),
    (
        "tf_StringNGrams(['a', 'b'], [0, {}, 2], {{separator: '', ngram_widths: [1], left_pad: '', right_pad: '', "
        "pad_width: 0, preserve_short_sequences: false}})",
        1,
        3,
    ),
    ("tf_UnicodeEncode([97, 98], [0, {}], {{output_encoding: 'UTF-8'}})", 2, 1),
    ("tf_UnicodeEncode([97, 98], [0, {}, 2], {{output_encoding: 'UTF-8'}})", 1, 3),
    ("tf_UnicodeDecode([{}], {{input_encoding: 'UTF-8', errors: 'strict'}})", "'a'::BLOB", "'\\xFF'::BLOB"),
    ("tf_DecodeRaw(['ab', {}], {{out_type: 'uint8'}})", "'cd'", "'c'"),
    ("tf_DecodeRaw(['ab', {}], {{out_type: 'uint16'}})", "'cd'", "'cde'"),
    ("tf_SobolSample(2, 3, {}::INTEGER)", 0, -1),
]


def failure(con: tfsql.Connection, call: str, rows: str) -> str:
    with pytest.raises(tfsql.TfsqlError) as raised:
        con.sql(f"SELECT {call} AS y FROM {rows} AS t(i)").fetchall()  # type: ignore[union-attr]
    return str(raised.value).splitlines()[0]


@pytest.mark.parametrize(("template", "right", "wrong"), FAILING)
def test_an_error_of_a_row_is_one_of_the_batch(
    con: tfsql.Connection, template: str, right: object, wrong: object
) -> None:
    call = template.format(f"CASE WHEN i = 5 THEN {wrong} ELSE {right} END")
    relation = con.sql(f"SELECT {call} AS y FROM range(5) AS t(i)")
    assert relation is not None
    assert "composed:" in relation.explain()
    assert len(relation.fetchall()) == 5
    alone = failure(con, call, "range(5, 6)")
    assert "(row 0)" in alone
    assert failure(con, call, "range(9)") == alone.replace("(row 0)", "(row 5)")


# Calls without a seed, and what holds for every row of a table of i from 0 to 99.
UNSEEDED = [
    ("tf_RandomShuffle([i, i + 1, i + 2, i + 3, i + 4])", "list_sort(y) = [i, i + 1, i + 2, i + 3, i + 4]"),
    (
        "tf_RandomShuffle([[i, -i], [i + 1, -i - 1]])",
        "y[1][1] = -y[1][2] AND y[2][1] = -y[2][2] AND y[1][1] + y[2][1] = 2 * i + 1",
    ),
    (
        "tf_ParameterizedTruncatedNormal([2, 2], [i, -i]::FLOAT[2], [1.0], [i - 1, -i - 1]::FLOAT[2], "
        "[i + 1, 1 - i]::FLOAT[2])",
        "abs(y[1][2] - i) <= 1 AND abs(y[2][1] + i) <= 1",
    ),
    ("tf_NonDeterministicInts([5], {dtype: 'int32'})", "len(list_distinct(y)) > 1"),
]


@pytest.mark.parametrize(("call", "holds"), UNSEEDED)
def test_rows_without_a_seed_are_drawn_at_once(con: tfsql.Connection, call: str, holds: str) -> None:
    drawn = f"SELECT i, {call} AS y FROM (SELECT i::INTEGER AS i FROM range(100) AS t(i))"
    relation = con.sql(f"SELECT bool_and({holds}) AS holds, count(DISTINCT y) AS kinds FROM ({drawn})")
    assert relation is not None
    assert "composed:" in relation.explain()
    ((all_hold, kinds),) = relation.fetchall()
    assert all_hold
    assert kinds > 2
