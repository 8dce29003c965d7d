"""One row of a table is one call of the operator: batches of rows give what TensorFlow gives row by row.

Each case is run on tables of 1, 7 and 3,000 rows with NULL rows among them, on constants, inside another operator and,
where a length of its inputs is free, on LIST columns whose rows have four sizes.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

import tfsql
from tfsql.errors import RowError
from tfsql.registry import operator_spec

N = "n"  # an axis that is 3 in fixed-size columns and differs from row to row in ragged ones
FIXED_LENGTH = 3
LENGTHS = (3, 1, 4, 2, 3, 3, 1, 4, 2, 1)
DISTINCT_ROWS = 61


@dataclass(frozen=True)
class Column:
    """How the values of an input are drawn: float32 normal, unless told otherwise."""

    shape: tuple[Any, ...] = ()
    dtype: str = "float32"
    draw: Callable[[np.random.Generator, tuple[int, ...]], np.ndarray] | None = None

    def value(self, generator: np.random.Generator, length: int) -> np.ndarray:
        shape = tuple(length if axis == N else axis for axis in self.shape)
        if self.draw is not None:
            return np.asarray(self.draw(generator, shape), None if self.dtype == "string" else self.dtype)
        if self.dtype == "bool":
            return generator.random(shape) < 0.5
        if self.dtype == "string":
            words = np.array(["a", "bc", "Déf", "", "12x"], object)
            return np.asarray(words[generator.integers(0, 5, shape)], object)
        if self.dtype.startswith("complex"):
            return (generator.normal(size=shape) + 1j * generator.normal(size=shape)).astype(self.dtype)
        if self.dtype.startswith("float"):
            return generator.normal(size=shape).astype(self.dtype)
        return generator.integers(1, 9, shape).astype(self.dtype)


@dataclass(frozen=True)
class Case:
    """An operator with its inputs that vary by row, those that do not, and its attributes.

    ``name`` tells cases of one operator apart. ``pick`` is the output to take where the others have no SQL type.
    """

    op: str
    inputs: dict[str, Column | list[Column]]
    constants: dict[str, Any] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    pick: str = ""
    rtol: float = 1e-4

    @property
    def id(self) -> str:
        return f"{self.op}{self.name and '-'}{self.name}"

    @property
    def is_ragged(self) -> bool:
        return any(N in column.shape for _, column in self.columns())

    def columns(self) -> Iterator[tuple[str, Column]]:
        """Column name and column of every varying tensor."""
        for name, item in self.inputs.items():
            for index, column in enumerate(item if isinstance(item, list) else [item]):
                yield f"{name}_{index}", column

    def rows(self, lengths: tuple[int, ...], count: int) -> list[dict[str, np.ndarray]]:
        generator = np.random.default_rng(zlib.crc32(self.id.encode()))
        return [
            {name: column.value(generator, lengths[row % len(lengths)]) for name, column in self.columns()}
            for row in range(count)
        ]

    def call(self, text_of: Callable[[str], str]) -> str:
        """The SQL of the call; ``text_of`` gives that of a column."""
        parts = []
        for name, item in self.inputs.items():
            texts = [text_of(f"{name}_{i}") for i in range(len(item) if isinstance(item, list) else 1)]
            parts.append(f"{name} := {'[' + ', '.join(texts) + ']' if isinstance(item, list) else texts[0]}")
        parts += [f"{name} := {sql_literal(value)}" for name, value in (self.constants | self.attributes).items()]
        return f"tf_{self.op}({', '.join(parts)}){self.pick and '.'}{self.pick}"

    def expected(self, row: dict[str, np.ndarray]) -> Any:
        """What TensorFlow gives for one row, as ``plain`` gives it."""
        arguments: dict[str, Any] = {}
        for name, item in self.inputs.items():
            tensors = [row[f"{name}_{i}"] for i in range(len(item) if isinstance(item, list) else 1)]
            arguments[name] = [tf.constant(t) for t in tensors] if isinstance(item, list) else tf.constant(tensors[0])
        constants = {name: tf.constant(value) for name, value in self.constants.items()}
        attributes = {
            name: tf.as_dtype(v) if name in ("DstT", "dtype", "out_type") else v for name, v in self.attributes.items()
        }
        made = getattr(tf.raw_ops, self.op)(**arguments, **constants, **attributes)
        if self.pick:
            return value_of(getattr(made, self.pick))
        if hasattr(made, "_asdict"):
            return {name: value_of(value) for name, value in made._asdict().items()}
        return value_of(made)


def value_of(made: Any) -> Any:
    if isinstance(made, list):
        return [value_of(item) for item in made]
    array = made.numpy()
    return array.tolist() if isinstance(array, np.ndarray) and array.dtype == object else array


def sql_literal(value: Any) -> str:
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(sql_literal, value))}]"
    return repr(value)


# ruff: noqa: E501  one case a line, as far as it goes
# -- the cases ---------------------------------------------------------------------------------------------------------

VECTOR = Column((N,))
MATRIX = Column((2, N))
IMAGE = Column((1, 6, 6, 2))


def positive(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return generator.random(shape) + 0.5


def below(limit: int) -> Callable[..., np.ndarray]:
    return lambda generator, shape: generator.integers(0, limit, shape)


def regular(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Matrices that are positive definite, and far from singular."""
    x = generator.normal(size=shape)
    return x @ np.swapaxes(x, -1, -2) + 3 * np.eye(shape[-1])


def pixels(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return generator.integers(0, 256, shape)


def number_texts(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return np.array(["1", "2.5", "-3e2"], object)[generator.integers(0, 3, shape)]


CASES = [
    # elementwise
    Case("Square", {"x": Column((2, N))}),
    Case("Exp", {"x": Column()}, name="scalar"),
    Case("Add", {"x": VECTOR, "y": Column()}, name="broadcast"),
    Case("Atan2", {"y": VECTOR, "x": VECTOR}),
    Case("SelectV2", {"condition": Column((N,), "bool"), "t": VECTOR, "e": Column()}),
    Case("BitwiseXor", {"x": Column((N,), "uint8"), "y": Column((N,), "uint8")}),
    Case("FloorMod", {"x": Column((N,), "int64"), "y": Column((), "int64")}),
    Case("LogicalNot", {"x": Column((N,), "bool")}),
    Case("Cast", {"x": VECTOR}, {}, {"DstT": "int32"}),
    Case("Cast", {"x": VECTOR}, {}, {"DstT": "complex128"}, name="complex"),
    Case("ClipByValue", {"t": VECTOR}, {"clip_value_min": -0.5, "clip_value_max": 0.5}),
    Case("ComplexAbs", {"x": Column((N,), "complex64")}),
    # reductions
    Case("Sum", {"input": Column((2, N))}, {"axis": [1]}),
    Case("Mean", {"input": Column((2, N))}, {"axis": 1}, {"keep_dims": True}),
    Case("ArgMax", {"input": Column((N, 2))}, {"dimension": 0}),
    Case("Cumsum", {"x": VECTOR}, {"axis": 0}, {"reverse": True}),
    Case("All", {"input": Column((N, 2), "bool")}, {"axis": [0]}),
    # neural networks
    Case("Conv2D", {"input": IMAGE, "filter": Column((3, 3, 2, 2))}, {}, {"strides": [1, 2, 2, 1], "padding": "SAME"}),
    Case("MaxPool", {"input": IMAGE}, {}, {"ksize": [1, 2, 2, 1], "strides": [1, 2, 2, 1], "padding": "VALID"}),
    Case("DepthwiseConv2dNative", {"input": IMAGE, "filter": Column((2, 2, 2, 1))}, {}, {"strides": [1, 1, 1, 1], "padding": "VALID"}),
    Case("BiasAdd", {"value": Column((N, 4)), "bias": Column((4,))}),
    Case("Softmax", {"logits": Column((2, N))}),
    Case("LRN", {"input": IMAGE}),
    Case("ResizeBilinear", {"images": Column((1, N, 4, 1))}, {"size": [3, 5]}),
    Case("FusedBatchNormV3", {"x": Column((2, 2, 2, 3)), "scale": Column((3,)), "offset": Column((3,)), "mean": Column((3,)),
                              "variance": Column((3,), draw=positive)}, {}, {"is_training": False}, pick="y"),
    # linear algebra
    Case("MatMul", {"a": MATRIX, "b": Column((N, 4))}),
    Case("BatchMatMulV2", {"x": Column((2, 1, N)), "y": Column((N, 2))}),
    Case("Einsum", {"inputs": [MATRIX, Column((N, 4))]}, {}, {"equation": "ij,jk->ki"}),
    Case("MatrixInverse", {"input": Column((N, N), "float64", regular)}),
    Case("Cholesky", {"input": Column((N, N), draw=regular)}),
    Case("Qr", {"input": Column((4, 3), "float64")}),
    Case("MatrixSolve", {"matrix": Column((N, N), "float64", regular), "rhs": Column((N, 2), "float64")}),
    Case("SelfAdjointEigV2", {"input": Column((3, 3), "float64", regular)}, {}, {"compute_v": False}, pick="e"),
    # spectra
    Case("FFT", {"input": Column((N,), "complex64")}),
    Case("RFFT2D", {"input": Column((4, 4))}, {"fft_length": [4, 4]}, rtol=1e-3),
    # strings
    Case("StringUpper", {"input": Column((N,), "string")}, {}, {"encoding": "utf-8"}),
    Case("StringLength", {"input": Column((), "string")}, {}, {"unit": "UTF8_CHAR"}),
    Case("StringJoin", {"inputs": [Column((N,), "string"), Column((), "string"), Column((N,), "string")]}, {}, {"separator": "-"}),
    Case("RegexReplace", {"input": Column((N,), "string")}, {"pattern": "[a-z]+", "rewrite": "_"}),
    Case("StringToHashBucketFast", {"input": Column((N,), "string")}, {}, {"num_buckets": 1000}),
    Case("StringToNumber", {"string_tensor": Column((N,), "string", number_texts)}),
    Case("AsString", {"input": VECTOR}, {}, {"precision": 3}),
    Case("StringSplitV2", {"input": Column((N,), "string")}, {"sep": "é"}),
    Case("StringFormat", {"inputs": [VECTOR, Column((), "int32")]}, {}, {"template": "{} and {}", "placeholder": "{}"}),
    # images
    Case("EncodePng", {"image": Column((N, 4, 3), "uint8", pixels)}),
    Case("AdjustContrastv2", {"images": Column((N, 4, 3)), "contrast_factor": Column()}),
    Case("RGBToHSV", {"images": Column((N, 3), draw=positive)}),
    Case("CropAndResize", {"image": Column((1, 5, 5, 1)), "boxes": Column((N, 4), draw=lambda g, s: np.sort(g.random(s), axis=1)),
                           "box_ind": Column((N,), "int32", lambda g, s: np.zeros(s))}, {"crop_size": [2, 2]}),
    # scattered and sparse
    Case("GatherV2", {"params": Column((4, 2)), "indices": Column((N,), "int32", below(4))}, {"axis": 0}),
    Case("GatherNd", {"params": Column((4, 2)), "indices": Column((2, 1), "int64", below(4))}),
    Case("ScatterNd", {"indices": Column((N, 1), "int32", below(4)), "updates": VECTOR}, {"shape": [4]}),
    Case("SegmentSum", {"data": VECTOR, "segment_ids": Column((N,), "int32", lambda g, s: np.sort(g.integers(0, 3, s)))}),
    Case("UnsortedSegmentMax", {"data": VECTOR, "segment_ids": Column((N,), "int32", below(2))}, {"num_segments": 2}),
    Case("SparseToDense", {"sparse_indices": Column((N,), "int32", lambda g, s: np.arange(s[0])), "sparse_values": VECTOR},
         {"output_shape": [5], "default_value": -1.0}),
    Case("Where", {"condition": Column((2, N), "bool")}),
    Case("Bincount", {"arr": Column((N,), "int32"), "weights": Column((N,))}, {"size": 9}),
    # several outputs, list outputs
    Case("TopKV2", {"input": Column((4,))}, {"k": 2}),
    Case("TopKV2", {"input": Column((5,)), "k": Column((), "int32", lambda g, s: g.integers(1, 4, s))}, name="k-varies"),
    Case("UniqueWithCounts", {"x": Column((N,), "int32")}),
    Case("Split", {"value": Column((4, N))}, {"axis": 0}, {"num_split": 2}),
    Case("Unpack", {"value": Column((2, N))}, {}, {"num": 2, "axis": 0}),
    Case("SplitV", {"value": Column((5, N))}, {"size_splits": [2, 3], "axis": 0}, {"num_split": 2}),
    Case("Pack", {"values": [VECTOR, VECTOR]}, {}, {"axis": 1}),
    Case("ConcatV2", {"values": [Column((2, N)), Column((2, 1))]}, {"axis": 1}),
    Case("AddN", {"inputs": [VECTOR, VECTOR, VECTOR]}),
    Case("DynamicStitch", {"indices": [Column((2,), "int32", lambda g, s: [0, 2]), Column((1,), "int32", lambda g, s: [1])],
                           "data": [Column((2, N)), Column((1, N))]}),
    # shapes
    Case("Transpose", {"x": Column((2, N))}, {"perm": [1, 0]}),
    Case("Reshape", {"tensor": Column((2, N))}, {"shape": [-1]}),
    Case("Tile", {"input": VECTOR, "multiples": Column((1,), "int32", lambda g, s: g.integers(1, 4, s))}),
    Case("PadV2", {"input": Column((2, N)), "constant_values": Column()}, {"paddings": [[1, 0], [0, 2]]}),
    Case("Slice", {"input": Column((6,)), "begin": Column((1,), "int32", below(4))}, {"size": [2]}),
    Case("Range", {"limit": Column((), "int32")}, {"start": 0, "delta": 2}),
    Case("Fill", {"dims": Column((2,), "int32", lambda g, s: g.integers(1, 4, s)), "value": Column()}),
    Case("OneHot", {"indices": Column((N,), "int32", below(4))}, {"depth": 3, "on_value": 1.0, "off_value": 0.0}),
    Case("MatrixBandPart", {"input": Column((N, 3))}, {"num_lower": 0, "num_upper": -1}),
    Case("ReverseSequence", {"input": Column((2, 4)), "seq_lengths": Column((2,), "int64", below(4))}, {}, {"seq_dim": 1}),
    Case("Shape", {"input": Column((2, N))}),
    # random, with the seed as an input
    Case("StatelessRandomUniform", {"seed": Column((2,), "int64")}, {"shape": [3]}),
    Case("StatelessRandomNormal", {"seed": Column((2,), "int64"), "shape": Column((1,), "int32", lambda g, s: g.integers(1, 4, s))}),
]  # fmt: skip


def cases(chosen: list[Case]) -> list[Any]:
    """The cases as parameters."""
    return [pytest.param(case, id=case.id) for case in chosen]


# -- tables and results ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def con() -> Iterator[tfsql.Connection]:
    with tfsql.connect() as connection:
        yield connection


def arrow_table(case: Case, rows: list[dict[str, np.ndarray] | None], *, is_ragged: bool) -> pa.Table:
    """A table of ``row`` numbers and a column for each input. A row that is None has NULL in one of its columns."""
    names = [name for name, _ in case.columns()]
    present = next(row for row in rows if row is not None)
    arrays: dict[str, Any] = {"row": pa.array(range(len(rows)))}
    for index, (name, column) in enumerate(case.columns()):
        cells = [
            present[name].tolist()
            if row is None and position % len(names) != index
            else None
            if row is None
            else row[name].tolist()
            for position, row in enumerate(rows)
        ]
        arrays[name] = (
            pa.array(cells, arrow_type(column, is_ragged=is_ragged))
            if not column.dtype.startswith("complex")
            else (pa.array([structs(cell) for cell in cells], arrow_type(column, is_ragged=is_ragged)))
        )
    return pa.table(arrays)


def structs(cell: Any) -> Any:
    if isinstance(cell, list):
        return [structs(item) for item in cell]
    return None if cell is None else {"real": cell.real, "imag": cell.imag}


def arrow_type(column: Column, *, is_ragged: bool) -> pa.DataType:
    parts = {"complex64": pa.float32(), "complex128": pa.float64()}
    if column.dtype in parts:
        kind = pa.struct([("real", parts[column.dtype]), ("imag", parts[column.dtype])])
    else:
        kind = (
            pa.string()
            if column.dtype == "string"
            else pa.bool_()
            if column.dtype == "bool"
            else pa.from_numpy_dtype(column.dtype)
        )
    for axis in reversed(column.shape):
        kind = pa.list_(kind) if is_ragged else pa.list_(kind, FIXED_LENGTH if axis == N else axis)
    return kind


def plain(value: Any) -> Any:
    """A value of a row with complex numbers as such, tuples as lists."""
    if isinstance(value, dict):
        return (
            complex(value["real"], value["imag"])
            if set(value) == {"real", "imag"}
            else {k: plain(v) for k, v in value.items()}
        )
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def check(got: Any, expected: Any, rtol: float, place: str) -> None:
    got = plain(got)
    if isinstance(expected, dict):
        assert list(got) == list(expected), place
        for name, value in expected.items():
            check(got[name], value, rtol, f"{place}.{name}")
    elif isinstance(expected, list) and expected and isinstance(expected[0], np.ndarray):
        assert len(got) == len(expected), place
        for index, value in enumerate(expected):
            check(got[index], value, rtol, f"{place}[{index}]")
    elif isinstance(expected, bytes | str | list):
        assert as_text(got) == as_text(expected), place
    else:
        array = np.asarray(got, expected.dtype).reshape(expected.shape if expected.size == 0 else np.shape(got))
        assert array.shape == np.shape(expected), place
        np.testing.assert_allclose(array, expected, rtol=rtol, atol=1e-5, err_msg=place)


def as_text(value: Any) -> Any:
    if isinstance(value, list):
        return [as_text(item) for item in value]
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value.encode() if isinstance(value, str) else value


def results(con: tfsql.Connection, sql: str, parameters: Any = None, **tables: pa.Table) -> list[Any]:
    """The second column of a query on ``data``, sorted by its first."""
    data = tables.get("data")
    relation = con.sql(sql, parameters)
    assert relation is not None
    rows = relation.fetchall()
    assert data is None or len(rows) == data.num_rows
    return [row[1] for row in rows]


# -- fixed-size columns ------------------------------------------------------------------------------------------------


def fixed_rows(case: Case, count: int) -> list[dict[str, np.ndarray] | None]:
    """Rows with a NULL row among every five; few of them are distinct, so that TensorFlow is called for few."""
    distinct = case.rows((FIXED_LENGTH,), min(count, DISTINCT_ROWS))
    return [None if row % 5 == 3 else distinct[row % len(distinct)] for row in range(count)]


@pytest.mark.parametrize("case", cases(CASES))
def test_columns_like_row_by_row(con: tfsql.Connection, case: Case) -> None:
    for count in (1, 7, 3_000):
        rows = fixed_rows(case, count)
        data = arrow_table(case, rows, is_ragged=False)
        got = results(con, f"SELECT row, {case.call(str)} AS y FROM data ORDER BY row", data=data)
        first: dict[int, Any] = {}
        for position, (value, row) in enumerate(zip(got, rows, strict=True)):
            if row is None:
                assert value is None, f"row {position} of {count}"
            elif id(row) not in first or first[id(row)] != value:
                first[id(row)] = value
                check(value, case.expected(row), case.rtol, f"row {position} of {count}")


@pytest.mark.parametrize("case", cases(CASES))
def test_constants_like_columns(con: tfsql.Connection, case: Case) -> None:
    (row,) = case.rows((FIXED_LENGTH,), 1)
    got = results(con, f"SELECT i, {case.call(lambda name: f'${name}')} AS y FROM range(3) AS r(i)", row)
    expected = case.expected(row)
    for position, value in enumerate(got):
        check(value, expected, case.rtol, f"row {position}")


@pytest.mark.parametrize("case", cases([case for case in CASES if len(list(case.columns())) > 1]))
def test_the_first_input_as_a_column_the_others_as_constants(con: tfsql.Connection, case: Case) -> None:
    names = [name for name, _ in case.columns()]
    rows = case.rows((FIXED_LENGTH,), 9)
    fixed = {name: rows[0][name] for name in names[1:]}
    data = arrow_table(case, rows, is_ragged=False)
    sql = f"SELECT row, {case.call(lambda name: f'${name}' if name in fixed else name)} AS y FROM data ORDER BY row"
    for position, (value, row) in enumerate(zip(results(con, sql, fixed, data=data), rows, strict=True)):
        check(value, case.expected(row | fixed), case.rtol, f"row {position}")


def first_output(case: Case, expected: Any) -> tuple[str, Any]:
    """The accessor of the first output of an operator with several, and its expected value."""
    if isinstance(expected, dict):
        name = next(iter(expected))
        return f".{name}", expected[name]
    return "", expected


# Every other case, for the time that tracing takes.
NESTED = [case for case in CASES if case.op not in ("Split", "Unpack", "SplitV")][::2]


@pytest.mark.parametrize("case", cases(NESTED))
def test_inside_and_around_another_operator(con: tfsql.Connection, case: Case) -> None:
    rows = fixed_rows(case, 12)
    data = arrow_table(case, rows, is_ragged=False)
    present = [row for row in rows if row is not None]
    field_access, _ = first_output(case, case.expected(present[0]))
    inner = case.call(lambda name: f"tf_Identity({name})") + field_access
    got = results(con, f"SELECT row, tf_Pack([{inner}, {inner}]) AS y FROM data ORDER BY row", data=data)
    for position, (value, row) in enumerate(zip(got, rows, strict=True)):
        if row is None:
            assert value is None, f"row {position}"
            continue
        _, expected = first_output(case, case.expected(row))
        both = np.stack([expected, expected]) if isinstance(expected, np.ndarray | np.generic) else [expected, expected]
        check(value, both, case.rtol, f"row {position}")


# -- ragged columns ----------------------------------------------------------------------------------------------------

RAGGED = [case for case in CASES if case.is_ragged]


@pytest.mark.parametrize("case", cases(RAGGED))
def test_ten_lists_of_four_sizes(con: tfsql.Connection, case: Case) -> None:
    """Few rows of a size run in one loop."""
    check_lists(con, case, 10)


@pytest.mark.parametrize("case", cases(RAGGED[::2]))
def test_many_lists_of_four_sizes(con: tfsql.Connection, case: Case) -> None:
    """Rows of one size run together."""
    check_lists(con, case, 130)


def check_lists(con: tfsql.Connection, case: Case, count: int) -> None:
    distinct = case.rows(LENGTHS, min(count, 40))
    rows: list[dict[str, np.ndarray] | None] = [distinct[row % len(distinct)] for row in range(count)]
    if count > 10:
        rows[17] = rows[90] = None
    data = arrow_table(case, rows, is_ragged=True)
    got = results(con, f"SELECT row, {case.call(str)} AS y FROM data ORDER BY row", data=data)
    for position, (value, row) in enumerate(zip(got, rows, strict=True)):
        if row is None:
            assert value is None, f"row {position}"
        else:
            check(value, case.expected(row), case.rtol, f"row {position}, length {LENGTHS[position % len(LENGTHS)]}")


# -- image codecs: results whose shape only the bytes tell -------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 7, 300])
def test_images_decoded(con: tfsql.Connection, count: int) -> None:
    generator = np.random.default_rng(3)
    images = [generator.integers(0, 256, (1 + i % 3, 2 + i % 2, 3)).astype(np.uint8) for i in range(count)]
    files = [None if i % 5 == 3 else tf.raw_ops.EncodePng(image=image).numpy() for i, image in enumerate(images)]
    data = pa.table({"i": range(count), "png": pa.array(files, pa.binary())})
    sql = "SELECT i, tf_DecodePng(png, channels := 3) AS y FROM data ORDER BY i"
    for position, (value, file) in enumerate(zip(results(con, sql, data=data), files, strict=True)):
        if file is None:
            assert value is None
        else:
            check(value, tf.raw_ops.DecodePng(contents=file, channels=3).numpy(), 0, f"row {position}")
    sql = "SELECT i, tf_ResizeBilinear(tf_ExpandDims(tf_DecodePng(png, channels := 3), 0), [2, 2]) AS y FROM data ORDER BY i"
    for position, (value, image) in enumerate(zip(results(con, sql, data=data), images, strict=True)):
        if files[position] is not None:
            check(value, tf.raw_ops.ResizeBilinear(images=image[None], size=[2, 2]).numpy(), 1e-5, f"row {position}")


def test_a_jpeg_decoded(con: tfsql.Connection) -> None:
    image = np.random.default_rng(3).integers(0, 256, (16, 8, 3)).astype(np.uint8)
    jpeg = tf.raw_ops.EncodeJpeg(image=image)
    (made,) = con.sql("SELECT tf_DecodeJpeg(tf_EncodeJpeg($image), channels := 3)", {"image": image}).fetchone()
    check(made, tf.raw_ops.DecodeJpeg(contents=jpeg, channels=3).numpy(), 0, "")


# -- random operators --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        "tf_RandomUniform([2], seed := 7, dtype := 'float32')",
        "tf_RandomStandardNormal([2], seed := 7, seed2 := 1, dtype := 'float32')",
    ],
)
def test_random_operators_with_a_seed(con: tfsql.Connection, call: str) -> None:
    relation = con.sql(f"SELECT {call} AS y FROM range(500)")
    made = relation.numpy()["y"]
    assert len(np.unique(made, axis=0)) == 500, "one draw for each row"
    np.testing.assert_array_equal(made, con.sql(f"SELECT {call} AS y FROM range(500)").numpy()["y"])
    np.testing.assert_array_equal(made, np.array([row[0] for row in relation.fetchall()]))


def test_random_operators_without_a_seed_differ(con: tfsql.Connection) -> None:
    relation = con.sql("SELECT tf_RandomUniform([4], dtype := 'float32') AS y FROM range(50)")
    first = np.array(relation.fetchall())
    assert not np.array_equal(first, np.array(relation.fetchall()))


# -- how many calls ----------------------------------------------------------------------------------------------------


def test_a_chain_is_one_call_for_each_batch() -> None:
    chain = "tf_Sum(tf_Relu(tf_Add(tf_Mul(tf_Square(x), 2.0), -1.0)), 0)"
    x = np.random.default_rng(5).normal(size=(20_000, 3)).astype(np.float32)
    with tfsql.connect() as con:
        con.execute("CREATE TABLE data AS SELECT column0 AS x FROM x")
        relation = con.sql(f"SELECT {chain} AS y FROM data")
        (kernel,) = con.kernels._kernels.values()
        assert [call.op for call in kernel.program.calls] == ["Square", "Mul", "Add", "Relu", "Sum"]
        kernel.reset_statistics()
        made = relation.numpy()["y"]
    np.testing.assert_allclose(made, np.maximum(x.astype(np.float64) ** 2 * 2 - 1, 0).sum(axis=1), rtol=1e-4)
    assert kernel.statistics.rows == 20_000
    batches = -(-20_000 // 2048)
    assert 1 <= kernel.statistics.calls <= batches + 2, "one call for each vector of the engine at most"


def test_equal_calls_of_a_query_are_computed_once() -> None:
    with tfsql.connect() as con:
        relation = con.sql(
            "SELECT tf_Square(x) AS a, tf_Square(x) AS b FROM (SELECT i::FLOAT AS x FROM range(100) AS r(i))"
        )
        for kernel in con.kernels._kernels.values():
            kernel.reset_statistics()
        assert relation.fetchall() == [(i * i, i * i) for i in range(100)]
        assert sum(kernel.statistics.rows for kernel in con.kernels._kernels.values()) == 100


def test_large_rows_are_computed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tfsql.vectorised.MAX_CALL_BYTES", 4000)
    rows = np.arange(2000, dtype=np.float32).repeat(10).reshape(2000, 10)
    with tfsql.connect() as con:
        con.execute("CREATE TABLE data AS SELECT column0 AS x FROM rows")
        found = con.sql("SELECT x[1] AS first FROM data WHERE tf_Sum(x, 0) >= 19000")
        assert [first for (first,) in found.fetchall()] == list(range(1900, 2000))
        (kernel,) = con.kernels._kernels.values()
        assert kernel.statistics.calls >= 2000 * 40 // 4000, len(rows)
        con.sql("SELECT x FROM data WHERE tf_GatherV2([1.0, 2.0], tf_Cast(x, {DstT: 'int32'}), 0)[1] > 0")
        *_, kernel = con.kernels._kernels.values()
        x = pa.FixedSizeListArray.from_arrays(pa.array(np.where(rows == 1234, 7, 0).reshape(-1), pa.float32()), 10)
        with pytest.raises(RowError) as failure:
            kernel(x)
        assert failure.value.row == 1234


def test_rows_of_few_shapes_are_few_calls() -> None:
    lists = [[1.0] * (1 + i % 4) for i in range(400)]
    data = pa.table({"i": range(400), "x": pa.array(lists, pa.list_(pa.float32()))})
    with tfsql.connect() as con:
        relation = con.sql("SELECT tf_Sum(x, 0) AS y FROM data ORDER BY i")
        (kernel,) = con.kernels._kernels.values()
        kernel.reset_statistics()
        assert [row[0] for row in relation.fetchall()] == [len(item) for item in lists]
        assert kernel.statistics.calls == 4
    assert data.num_rows == 400


def test_spec_of_every_case() -> None:
    """The cases name inputs and attributes as TensorFlow's documentation does."""
    for case in CASES:
        spec = operator_spec(case.op)
        assert spec is not None, case.op
        for name in (*case.inputs, *case.constants):
            assert spec.input_index(name) is not None, (case.op, name)
        for name in case.attributes:
            assert spec.attribute(name) is not None, (case.op, name)
