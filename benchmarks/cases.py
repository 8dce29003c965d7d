"""The cases: what tfsql does in SQL, and a competent user by hand with pyarrow and TensorFlow.

A case makes two functions of no arguments that answer the same question from the same source; what they return is
compared before they are timed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

import tfsql

DIGITS = Path(__file__).parent.parent / "data" / "digits.parquet"
SOBEL = np.array([-1, 0, 1, -2, 0, 2, -1, 0, 1], np.float32).reshape(3, 3, 1, 1)
ROWS = 70_000
RNG = np.random.default_rng(0)

Run = Callable[[], Any]


@dataclass(frozen=True)
class Case:
    """A question.

    Attributes:
      make: makes the two runs, by hand and in SQL, with a folder for files.
      at_most: the ratio to by hand that is to be held.
      tolerance: how far two answers may differ, as a part of the greatest number.
    """

    name: str
    make: Callable[[Path], tuple[Run, Run]]
    at_most: float
    tolerance: float = 1e-4


# -- between Arrow and TensorFlow, by hand ---------------------------------------------------------------------------


def column_of(array: np.ndarray) -> pa.Array:
    """Rows ``[rows, *shape]`` as nested fixed-size lists."""
    column = pa.array(np.ascontiguousarray(array).reshape(-1))
    for axis in reversed(array.shape[1:]):
        column = pa.FixedSizeListArray.from_arrays(column, axis)
    return column


def array_of(column: pa.ChunkedArray, *shape: int) -> np.ndarray:
    """A column of nested lists as rows ``[rows, *shape]``."""
    level = column.combine_chunks()
    level = getattr(level, "storage", level)
    while not pa.types.is_primitive(level.type):
        level = level.flatten()
    return level.to_numpy(zero_copy_only=False).reshape(-1, *shape)


def pictures(rows: int = ROWS, side: int = 28, channels: int = 1) -> np.ndarray:
    """Pictures ``[rows, side, side, channels]`` of the shipped digits, rolled and enlarged."""
    digits = np.asarray(pq.read_table(DIGITS).column("image").combine_chunks().flatten().flatten())
    digits = digits.reshape(-1, 28, 28)
    rolled = np.concatenate([np.roll(digits, shift, axis=1) for shift in range(rows // len(digits) + 1)])[:rows]
    enlarged = np.kron(rolled, np.ones((1, side // 28, side // 28), np.float32))
    return np.repeat(enlarged[..., None], channels, axis=-1).astype(np.float32)


def options(strides: int = 1) -> str:
    return f"{{padding: 'SAME', strides: [1, {strides}, {strides}, 1]}}"


# -- the headline ----------------------------------------------------------------------------------------------------


def _filtered_by_hand(table: pa.Table) -> pa.Table:
    image = array_of(table.column("image"), 28, 28, 1)
    return pa.table({"label": table.column("label"), "picture": column_of(_CONVOLVE(tf.constant(image)).numpy())})


_CONVOLVE = tf.function(lambda batch: tf.nn.conv2d(batch, SOBEL, 1, "SAME"))
_HEADLINE = f"SELECT label, tf_Conv2D(reshape(image, [1, 28, 28, 1]), {SOBEL.tolist()}, {options()}) AS picture"


def _digits_table() -> pa.Table:
    return pa.table({"label": np.arange(ROWS) % 10, "image": column_of(pictures()[..., 0])})


def headline_arrow(folder: Path) -> tuple[Run, Run]:
    digits, con = _digits_table(), tfsql.connect()

    def in_sql() -> pa.Table:
        source = digits
        return con.sql(f"{_HEADLINE} FROM source").arrow() if source is not None else None

    return lambda: _filtered_by_hand(digits), in_sql


def headline_table(folder: Path) -> tuple[Run, Run]:
    source, con = _digits_table(), tfsql.connect(str(folder / "digits.db"))
    con.execute("CREATE TABLE digits AS FROM source")
    del source
    engine = con.backend.connection.cursor()  # by hand, DuckDB hands over Arrow
    return (
        lambda: _filtered_by_hand(engine.sql("FROM digits").to_arrow_table()),
        lambda: con.sql(f"{_HEADLINE} FROM digits").arrow(),
    )


def headline_parquet(folder: Path) -> tuple[Run, Run]:
    source, con = folder / "digits.parquet", tfsql.connect()
    pq.write_table(_digits_table(), source)

    def by_hand() -> Path:
        pq.write_table(_filtered_by_hand(pq.read_table(source)), folder / "hand.parquet")
        return folder / "hand.parquet"

    def in_sql() -> Path:
        con.execute(f"COPY ({_HEADLINE} FROM '{source}') TO '{folder / 'sql.parquet'}' (FORMAT parquet)")
        return folder / "sql.parquet"

    return by_hand, in_sql


# -- one function of one column --------------------------------------------------------------------------------------


def on_column(array: Callable[[], np.ndarray], function: Callable[..., Any], sql: str) -> Callable[[Path], Any]:
    """A case over a column ``x`` of an Arrow table: one traced function of all rows, and a select item."""

    def make(folder: Path) -> tuple[Run, Run]:
        rows = array()
        table, con, traced = pa.table({"x": column_of(rows)}), tfsql.connect(), tf.function(function)

        def by_hand() -> pa.Table:
            return pa.table({"y": column_of(traced(tf.constant(array_of(table.column("x"), *rows.shape[1:]))).numpy())})

        def in_sql() -> pa.Table:
            source = table
            return con.sql(f"SELECT {sql} AS y FROM source").arrow() if source is not None else None

        return by_hand, in_sql

    return make


def convolution(rows: int, side: int, inputs: int, outputs: int, size: int = 3) -> Callable[[Path], Any]:
    kernel = RNG.normal(size=(size, size, inputs, outputs)).astype(np.float32)
    return on_column(
        lambda: pictures(rows, side, inputs),
        lambda x: tf.nn.conv2d(x, kernel, 1, "SAME"),
        f"tf_Conv2D(reshape(x, [1, {side}, {side}, {inputs}]), {kernel.tolist()}, {options()})",
    )


def network(folder: Path) -> tuple[Run, Run]:
    shapes = [(3, 3, 1, 8), (3, 3, 8, 16), (3, 3, 16, 16)]
    weights = [RNG.normal(scale=0.2, size=shape).astype(np.float32) for shape in shapes]

    def by_hand(x: tf.Tensor) -> tf.Tensor:
        for kernel in weights:
            x = tf.nn.max_pool2d(tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "SAME")), 2, 2, "SAME")
        return tf.reduce_mean(x, [1, 2])

    sql = "reshape(x, [1, 28, 28, 1])"
    for kernel in weights:
        pool = "{ksize: [1, 2, 2, 1], strides: [1, 2, 2, 1], padding: 'SAME'}"
        sql = f"tf_MaxPool(tf_Relu(tf_Conv2D({sql}, {kernel.tolist()}, {options()})), {pool})"
    return on_column(lambda: pictures(20_000), by_hand, f"tf_Mean({sql}, [0, 1, 2])")(folder)


def elementwise(folder: Path) -> tuple[Run, Run]:
    return on_column(
        lambda: pictures(),
        lambda x: tf.tanh(tf.sqrt(x / 255.0 + 1.0) * 2.0 - tf.square(x / 255.0)) * 0.5 + 0.5,
        "tf_Tanh(tf_Sqrt(x / 255 + 1) * 2 - tf_Square(x / 255)) * 0.5 + 0.5",
    )(folder)


def embeddings(folder: Path) -> tuple[Run, Run]:
    query = RNG.normal(size=768).astype(np.float32)
    unit = query / np.linalg.norm(query)
    return on_column(
        lambda: RNG.normal(size=(100_000, 768)).astype(np.float32),
        lambda x: tf.linalg.matvec(tf.math.l2_normalize(x, axis=1), unit),
        f"cosine_similarity(x, {query.tolist()})",
    )(folder)


def spectrograms(folder: Path) -> tuple[Run, Run]:
    return on_column(
        lambda: RNG.normal(size=(4_000, 4_096)).astype(np.float32),
        lambda x: tf.abs(tf.signal.stft(x, 256, 128)),
        "spectrogram(x, 256, 128)",
    )(folder)


# -- groups, files, shapes -------------------------------------------------------------------------------------------


def group_means(folder: Path) -> tuple[Run, Run]:
    digits, con = _digits_table(), tfsql.connect()

    def by_hand() -> pa.Table:
        labels, images = digits.column("label").to_numpy(), array_of(digits.column("image"), 28, 28)
        means = [tf.reduce_mean(tf.boolean_mask(images, labels == label), 0).numpy() for label in np.unique(labels)]
        return pa.table({"y": column_of(np.stack(means))})

    def in_sql() -> pa.Table:
        source = digits
        query = "SELECT tf_Mean(list(image), 0) AS y FROM source GROUP BY label ORDER BY label"
        return con.sql(query).arrow() if source is not None else None

    return by_hand, in_sql


def jpegs(folder: Path) -> tuple[Run, Run]:
    made = pictures(2_000, 112, 3).astype(np.uint8)
    files = [tf.io.encode_jpeg(picture).numpy() for picture in made]
    table, con = pa.table({"x": pa.array(files, pa.binary())}), tfsql.connect()

    def one(content: tf.Tensor) -> tf.Tensor:
        picture = tf.cast(tf.io.decode_jpeg(content, 3), tf.float32)
        grey = tf.reduce_sum(picture * [0.2989, 0.587, 0.114], -1, keepdims=True)
        return tf.image.resize(grey, [28, 28])[..., 0] / 255.0

    traced = tf.function(lambda contents: tf.map_fn(one, contents, fn_output_signature=tf.float32))

    def by_hand() -> pa.Table:
        return pa.table({"y": column_of(traced(tf.constant(table.column("x").to_pylist())).numpy())})

    def in_sql() -> pa.Table:
        source = table
        picture = "tf_Cast(tf_DecodeJpeg(x, {channels: 3}), {DstT: 'float32'})"
        grey = f"tf_Sum({picture} * [0.2989, 0.587, 0.114], [-1], {{keep_dims: true}})"
        resized = f"tf_ResizeBilinear(tf_ExpandDims({grey}, 0), [28, 28], {{half_pixel_centers: true}})"
        return con.sql(f"SELECT reshape({resized}, [28, 28]) / 255 AS y FROM source").arrow() if source else None

    return by_hand, in_sql


def ragged(folder: Path) -> tuple[Run, Run]:
    sides = RNG.integers(20, 30, 10_000)
    images = [RNG.random((side, side), np.float32) for side in sides]
    table = pa.table({"x": pa.array([image.tolist() for image in images], pa.list_(pa.list_(pa.float32())))})
    con = tfsql.connect()
    traced = tf.function(
        lambda x: tf.reduce_max(tf.nn.conv2d(x[None, ..., None], SOBEL, 1, "SAME")),
        input_signature=[tf.TensorSpec([None, None], tf.float32)],
    )

    def by_hand() -> pa.Table:
        cells = table.column("x").combine_chunks()
        rows, lengths = cells.flatten(), cells.value_lengths().to_numpy()
        numbers, starts = rows.flatten().to_numpy(), np.concatenate([[0], np.cumsum(lengths**2)])
        made = [
            traced(numbers[start : start + side * side].reshape(side, side)).numpy()
            for start, side in zip(starts, lengths, strict=False)
        ]
        return pa.table({"y": pa.array(made)})

    def in_sql() -> pa.Table:
        source = table
        batch = "tf_ExpandDims(tf_ExpandDims(x, 0), -1)"
        query = f"SELECT tf_Max(tf_Conv2D({batch}, {SOBEL.tolist()}, {options()}), [0, 1, 2, 3]) AS y FROM source"
        return con.sql(query).arrow() if source is not None else None

    return by_hand, in_sql


# -- small queries ---------------------------------------------------------------------------------------------------


def small_text(folder: Path) -> tuple[Run, Run]:
    con, images = tfsql.connect(), RNG.integers(0, 256, (500, 1, 28, 28, 1)).tolist()
    wrapped = "{T: 'DT_FLOAT', padding: 'SAME', strides: [1, 1, 1, 1]}"
    texts = iter([f"SELECT tf_Conv2D({image}, {SOBEL.tolist()}, {wrapped}) AS *" for image in images])
    arrays = iter(images)
    return (
        lambda: tf.nn.conv2d(tf.constant(next(arrays), tf.float32), SOBEL, 1, "SAME").numpy().tolist(),
        lambda: con.sql(next(texts)).fetchall(),
    )


def small_prepared(folder: Path) -> tuple[Run, Run]:
    con, images = tfsql.connect(), RNG.random((1_000, 1, 28, 28, 1), np.float32)
    ours, theirs = iter(images), iter(images)
    prepared = con.prepare(f"SELECT tf_Conv2D(?, {SOBEL.tolist()}, {options()}) AS y")
    return (
        lambda: tf.nn.conv2d(next(theirs), SOBEL, 1, "SAME").numpy(),
        lambda: prepared(next(ours)).numpy()["y"],
    )


CASES = [
    Case("headline, Arrow to Arrow", headline_arrow, 0.15),
    Case("headline, DuckDB table to Arrow", headline_table, 0.35),
    Case("headline, Parquet to Parquet", headline_parquet, 0.70),
    Case("5x5, one channel", convolution(20_000, 28, 1, 1, 5), 1.10),
    Case("3x3, 1 to 8 channels", convolution(20_000, 28, 1, 8), 0.85),
    Case("3x3, 3 to 16 channels", convolution(10_000, 28, 3, 16), 0.85),
    Case("3x3, 32 to 32 channels", convolution(2_000, 28, 32, 32), 0.85),
    Case("three layers with pooling", network, 0.85),
    Case("group means", group_means, 0.80),
    Case("elementwise chain", elementwise, 0.80),
    Case("cosine similarity, 768 wide", embeddings, 0.80, 1e-3),
    Case("spectrograms", spectrograms, 1.10),
    Case("JPEG: decode, grey, resize", jpegs, 1.00, 2e-2),
    Case("ragged pictures", ragged, 1.10),
    Case("small query as text", small_text, float("inf")),
    Case("small query, prepared", small_prepared, float("inf")),
]
