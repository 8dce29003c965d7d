"""The headline: one 3x3 filter over 70,000 pictures of 28x28 from Parquet, in SQL and by hand, in one run.

By hand is what a competent user would write: pyarrow reads the file, one call of ``tf.nn.conv2d`` filters all
pictures, the result goes back to Arrow. Both give an Arrow table; the runs are interleaved and the answers compared.
The file is made of the shipped digits, each repeated with its rows rolled.

    python benchmarks/headline.py [--rows 70000] [--runs 7]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from timing import medians

import tfsql

DIGITS = Path(__file__).parent.parent / "data" / "digits.parquet"
FILTER = np.array([-1, 0, 1, -2, 0, 2, -1, 0, 1], np.float32).reshape(3, 3, 1, 1)
STORED = (28, 28)
CONVOLVED = (1, 28, 28, 1)


def write_pictures(path: Path, rows: int) -> None:
    """A Parquet file of ``rows`` pictures, ``label`` BIGINT and ``image`` float32[28, 28]."""
    digits = pq.read_table(DIGITS)
    pictures = np.asarray(digits.column("image").combine_chunks().flatten().flatten()).reshape(-1, 28, 28)
    rolled = np.concatenate([np.roll(pictures, shift, axis=1) for shift in range(rows // len(pictures) + 1)])[:rows]
    image = pa.array(np.ascontiguousarray(rolled).reshape(-1))
    for axis in reversed(STORED):
        image = pa.FixedSizeListArray.from_arrays(image, axis)
    pq.write_table(pa.table({"label": np.resize(digits.column("label").to_numpy(), rows), "image": image}), path)


def by_hand(path: Path) -> Callable[[], pa.Table]:
    """The same by hand: one function, made once, as a user who knows TensorFlow would."""
    import tensorflow as tf

    convolve = tf.function(lambda batch: tf.nn.conv2d(batch, FILTER, 1, "SAME"))

    def run() -> pa.Table:
        table = pq.read_table(path)
        column = table.column("image").combine_chunks()
        for _ in STORED:
            column = column.flatten()
        result = convolve(tf.constant(column.to_numpy().reshape(-1, 28, 28, 1))).numpy()
        made = pa.array(result.reshape(-1))
        for axis in reversed(CONVOLVED):
            made = pa.FixedSizeListArray.from_arrays(made, axis)
        return pa.table({"label": table.column("label"), "picture": made})

    return run


def in_sql(path: Path) -> Callable[[], pa.Table]:
    """The same in SQL, text in, Arrow out."""
    con = tfsql.connect()
    query = (
        f"SELECT label, tf_Conv2D(reshape(image, {list(CONVOLVED)}), {FILTER.tolist()}, "
        f"{{padding: 'SAME', strides: [1, 1, 1, 1]}}) AS picture FROM '{path}'"
    )
    return lambda: con.sql(query).arrow()


def numbers(table: pa.Table) -> np.ndarray:
    column = table.column("picture").combine_chunks()
    column = getattr(column, "storage", column)
    while not pa.types.is_floating(column.type):
        column = column.flatten()
    return column.to_numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rows", type=int, default=70_000)
    parser.add_argument("--runs", type=int, default=7)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pictures.parquet"
        write_pictures(path, arguments.rows)
        contenders = {"by hand": by_hand(path), "tfsql": in_sql(path)}
        results = {name: numbers(run()) for name, run in contenders.items()}
        difference = float(np.abs(results["by hand"] - results["tfsql"]).max())
        seconds = medians(contenders, arguments.runs)
    print(f"{arguments.rows} pictures, {arguments.runs} interleaved runs, greatest difference {difference:.2g}")
    for name, median in seconds.items():
        print(f"{name:>8}  {median * 1000:8.0f} ms  {median / seconds['by hand']:.2f}")


if __name__ == "__main__":
    main()
