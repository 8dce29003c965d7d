"""Calls on constants run in workers when a statement is bound: no kernel of the user's runs in this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import tfsql
from tfsql.infer import Inference
from tfsql.infer.known import KnownStructures
from tfsql.registry import operator_spec
from tfsql.tree import Call, Constant, Leaf, Output
from tfsql.types import TensorType

NUMBERS = "tf_Mul([1, 2], [2, 1])"


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was inferred before is not inferred again, and what a test makes up is not to be known to others."""
    monkeypatch.setattr("tfsql.infer.calls.KNOWN", KnownStructures())


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[tfsql.Connection, tfsql.Connection]]:
    with tfsql.connect() as here, tfsql.connect(config={"tfsql_isolation": "process"}) as apart:
        yield here, apart


@pytest.mark.parametrize(
    "call",
    [
        f"tf_Reshape(x, {NUMBERS})",
        f"tf_Reshape(x, tf_Cast({NUMBERS}, {{DstT: 'int64'}}))",
        f"tf_Reshape(x, tf_ConcatV2([tf_Slice({NUMBERS}, [0], [1]), [-1]], 0))",
        "tf_Reshape(x, tf_Mul(tf_Shape(x), [1]))",
        "tf_Tile(x, tf_Add(tf_Shape(x), tf_Neg([1])))",
        "tf_Range(0.0, tf_Mul(2.0, 3.0), 1.0)",
        f"tf_Fill({NUMBERS}, tf_Sqrt(16.0))",
        "tf_Slice(x, [tf_Sub(2, 1)], [tf_Abs(-2)])",
        "tf_Reshape(x, tf_Mul([1, 2], [2, 2]))",
        "tf_Slice(x, [tf_Add(2, 7)], [2])",
        "tf_Reshape(x, tf_Where([true, false]))",
        "tf_Sum(x, tf_Sub([3], [3]))",
        "tf_Sum(x, tf_Div([3], [0]))",
        "tf_TopKV2(x, tf_Sub(3, 1)).indices",
        "tf_Split(tf_Sub(1, 1), x, {num_split: 2})",
        "tf_StringJoin([tf_StringUpper('a'), tf_StringLower('B')])",
        "tf_Cast(tf_Cast([1.0, 2.0], {DstT: 'bfloat16'}) * tf_Cast(3, {DstT: 'bfloat16'}), {DstT: 'float32'})",
        "tf_Fill([3, 3], tf_Sum(tf_Fill([300, 300], 1.0), [0, 1]))",
        "tf_Dequantize(tf_Bitcast(tf_Cast([1, 2], {DstT: 'int8'}), {type: 'qint8'}), 0.0, 1.0)",
    ],
)
def test_types_and_errors_are_the_same(
    both: tuple[tfsql.Connection, tfsql.Connection], call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sql = f"SELECT {call} AS y FROM (SELECT [1.0, 2.0, 3.0, 4.0]::FLOAT[4] AS x)"
    told = []
    for con in both:
        monkeypatch.setattr("tfsql.infer.calls.KNOWN", KnownStructures())
        try:
            relation = con.sql(sql)
            told.append((relation.types, relation.fetchall()))
        except tfsql.TfsqlError as error:
            told.append((type(error), str(error)))
    assert told[1] == told[0]


def test_every_call_on_constants_is_computed_elsewhere() -> None:
    """The kernels of this process are seen through one that answers otherwise: its values must be believed."""
    asked: list[str] = []

    def evaluate(call: Call) -> list[np.ndarray]:
        asked.append(call.op)
        return [np.array([4, 1], np.int32)]

    inference = Inference(evaluate=evaluate)
    pair = [Constant(np.array(value, np.int32), TensorType("int32", (2,))) for value in ([1, 2], [2, 1])]
    product = inference.call(operator_spec("Mul"), pair, {})
    made = inference.call(operator_spec("Neg"), [Output(product, 0, None, product.outputs[0][1])], {})
    leaf = Leaf("x", TensorType("float32", (4,)), 0)
    reshaped = inference.call(operator_spec("Reshape"), [leaf, Output(made, 0, None, made.outputs[0][1])], {})
    assert asked == ["Mul", "Neg"]
    assert reshaped.outputs[0][1].shape == (4, 1)


def test_a_call_that_a_process_does_not_survive_is_an_error_before_running(
    both: tuple[tfsql.Connection, tfsql.Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    from isolation.crashing import FatalEvaluation

    monkeypatch.setattr("tfsql.isolation.kernel.EvaluateCall", FatalEvaluation)
    with pytest.raises(tfsql.CrashError, match=r"computed tf_Mul \(signal 6, SIGABRT\) \(line 1, column 8\)"):
        both[1].sql(f"SELECT tf_Reshape([1.0, 2.0], {NUMBERS}) AS y")


def test_a_graph_is_read_in_a_worker_first(both: tuple[tfsql.Connection, tfsql.Connection], tmp_path: Path) -> None:
    """Its constants end the process that tells their shapes, which TensorFlow 2.21 does with this operator."""
    with tf.Graph().as_default() as graph:
        tf.compat.v1.placeholder(tf.float32, [4], name="x")
        text = tf.constant(["a"])
        tf.raw_ops.UnicodeDecodeWithOffsets(input=text, input_encoding="UTF-8", Tsplits=tf.int32, name="decoded")
    definition = graph.as_graph_def()
    reshape = definition.node.add(name="y", op="Reshape", input=["x", "decoded"])
    reshape.attr["T"].type = tf.float32.as_datatype_enum
    reshape.attr["Tshape"].type = tf.int32.as_datatype_enum
    path = tmp_path / "fatal.pb"
    path.write_bytes(definition.SerializeToString())
    with pytest.raises(tfsql.CrashError, match=r"computed the constants of .*fatal.pb \(signal 6, SIGABRT\)"):
        both[1].load_graph("fatal", str(path))
    assert both[1].sql("SELECT tf_Square(2.0) AS y").fetchall() == [(4.0,)]
