"""One filter over 70,000 pictures, an Arrow table in and one out, as a user of each library would write it.

python benchmarks/peers.py [--runs 7] [--only torch] [--write docs/peers.md]

What is not installed is left out, and said so. All are interleaved in one process; Spark and Ray start others.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import tensorflow as tf
from cases import ROWS, SOBEL, array_of, column_of, options, pictures
from timing import medians

import tfsql

KERNEL = SOBEL[:, :, 0, 0]
Run = Callable[[], pa.Table]
filtered = tf.function(lambda images: tf.nn.conv2d(images, SOBEL, 1, "SAME"))


@dataclass(frozen=True)
class Peer:
    """A library, or a way to use one.

    Attributes:
      modules: what must be installed.
      make: makes the run from the table of pictures, with what is needed once.
    """

    name: str
    modules: tuple[str, ...]
    make: Callable[[pa.Table], Run]


def answer(table: pa.Table, made: np.ndarray) -> pa.Table:
    return pa.table({"label": table.column("label"), "y": column_of(made.reshape(-1, 28, 28))})


def images_of(table: pa.Table) -> np.ndarray:
    return array_of(table.column("image"), 28, 28)


def filtered_array(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """What a function over columns makes of one; it may be sent to another process, so it holds nothing traced."""
    images = array_of(pa.chunked_array([column]) if isinstance(column, pa.Array) else column, 28, 28, 1)
    return column_of(tf.nn.conv2d(images, SOBEL, 1, "SAME").numpy().reshape(-1, 28, 28))


def in_tfsql(table: pa.Table) -> Run:
    con = tfsql.connect()
    call = f"tf_Conv2D(reshape(image, [1, 28, 28, 1]), {SOBEL.tolist()}, {options()})"
    query = f"SELECT label, reshape({call}, [28, 28]) AS y FROM digits"

    def run() -> pa.Table:
        digits = table
        return con.sql(query).arrow() if len(digits) else digits

    return run


def with_tensorflow(table: pa.Table) -> Run:
    return lambda: answer(table, filtered(tf.constant(images_of(table)[..., None])).numpy())


def with_duckdb(table: pa.Table) -> Run:
    con, kind = duckdb.connect(), duckdb.sqltype("FLOAT[28][28]")
    con.register("digits", table)
    con.create_function("filtered", filtered_array, [kind], kind, type=duckdb.func.PythonUDFType.ARROW)
    return lambda: con.sql("SELECT label, filtered(image) AS y FROM digits").to_arrow_table()


def with_pandas(table: pa.Table) -> Run:
    from scipy import ndimage

    def one(image: np.ndarray) -> np.ndarray:
        return ndimage.correlate(np.stack(image), KERNEL, mode="constant")

    return lambda: answer(table, np.stack(table.to_pandas()["image"].map(one).to_list()))


def with_scipy(table: pa.Table) -> Run:
    from scipy import ndimage

    return lambda: answer(table, ndimage.correlate(images_of(table), KERNEL[None], mode="constant"))


def with_opencv(table: pa.Table) -> Run:
    import cv2

    def run() -> pa.Table:
        made = [cv2.filter2D(image, -1, KERNEL, borderType=cv2.BORDER_CONSTANT) for image in images_of(table)]
        return answer(table, np.stack(made))

    return run


def with_torch(table: pa.Table) -> Run:
    import torch

    weight = torch.from_numpy(KERNEL[None, None].copy())

    def run() -> pa.Table:
        with torch.inference_mode():
            made = torch.nn.functional.conv2d(torch.from_numpy(images_of(table)[:, None]), weight, padding=1)
        return answer(table, made.numpy())

    return run


def with_daft(table: pa.Table) -> Run:
    import daft

    kind = daft.DataType.fixed_size_list(daft.DataType.fixed_size_list(daft.DataType.float32(), 28), 28)

    @daft.func.batch(return_dtype=kind)
    def filtered_series(column: daft.Series) -> pa.Array:
        return filtered_array(column.to_arrow())

    def run() -> pa.Table:
        frame = daft.from_arrow(table)
        return frame.select(frame["label"], filtered_series(frame["image"]).alias("y")).to_arrow()

    return run


def with_ray(table: pa.Table) -> Run:
    import ray

    ray.init(num_cpus=os.cpu_count(), include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    ray.data.DataContext.get_current().enable_progress_bars = False

    def of_batch(batch: pa.Table) -> pa.Table:
        return pa.table({"label": batch.column("label"), "y": filtered_array(batch.column("image"))})

    def run() -> pa.Table:
        made = ray.data.from_arrow(table).map_batches(of_batch, batch_format="pyarrow", batch_size=8192)
        return pa.concat_tables(ray.get(made.to_arrow_refs()))

    return run


def with_spark(table: pa.Table) -> Run:
    from pyspark.sql import SparkSession

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    session = SparkSession.builder.master("local[*]").config("spark.driver.memory", "6g")
    session = session.config("spark.ui.enabled", "false").config("spark.driver.maxResultSize", "4g").getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    session.sparkContext.addPyFile(str(Path(__file__).with_name("cases.py")))
    lists = pa.list_(pa.list_(pa.float32()))  # Spark has no arrays of fixed size
    frame = session.createDataFrame(table.set_column(1, "image", table.column("image").cast(lists)))
    frame.cache().count()

    def of_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            made = filtered_array(batch.column("image")).cast(lists)
            yield pa.RecordBatch.from_pydict({"label": batch.column("label"), "y": made})

    return lambda: frame.mapInArrow(of_batches, "label bigint, y array<array<float>>").toArrow()


PEERS = (
    Peer("tfsql", (), in_tfsql),
    Peer("TensorFlow by hand", (), with_tensorflow),
    Peer("DuckDB with a function of Arrow columns", (), with_duckdb),
    Peer("PyTorch", ("torch",), with_torch),
    Peer("SciPy, all pictures at once", ("scipy",), with_scipy),
    Peer("OpenCV, picture by picture", ("cv2",), with_opencv),
    Peer("pandas and SciPy, picture by picture", ("pandas", "scipy"), with_pandas),
    Peer("Daft with a function of columns", ("daft",), with_daft),
    Peer("Ray Data with a function of batches", ("ray",), with_ray),
    Peer("Spark with a function of Arrow batches", ("pyspark",), with_spark),
)
# As packages are called that are not called as their modules are.
PACKAGES = {"cv2": "opencv-python-headless"}


def installed(peer: Peer) -> bool:
    try:
        for module in peer.modules:
            importlib.import_module(module)
    except ImportError:
        return False
    return True


def check(name: str, made: pa.Table, wanted: np.ndarray) -> None:
    """Raises SystemExit where an answer is another."""
    got = array_of(made.column("y"), 28, 28)
    if made.num_rows != len(wanted) or not np.allclose(got, wanted, atol=1e-3):
        raise SystemExit(f"{name}: another answer")


def page(seconds: dict[str, float], left_out: list[str], runs: int) -> str:
    """The page in Markdown."""
    by_hand = seconds["TensorFlow by hand"]
    named = [module for peer in PEERS if peer.name in seconds for module in peer.modules]
    versions = [f"{name} {metadata.version(PACKAGES.get(name, name))}" for name in dict.fromkeys(named)]
    made = [
        "# Peers",
        "",
        f"One 3x3 filter over {ROWS:,} pictures of 28x28, from an Arrow table to an Arrow table, as a user of each",
        f"library would write it. All give the same answer, which is checked; medians of {runs} interleaved runs on",
        f"{os.cpu_count()} cores. tfsql {tfsql.__version__}, TensorFlow {tf.__version__}, DuckDB {duckdb.__version__},",
        f"{', '.join(versions)}. `make bench` measures anew what is installed.",
        "",
        "| | time | ratio to TensorFlow by hand |",
        "| --- | ---: | ---: |",
    ]
    made += [f"| {name} | {value * 1000:,.0f} ms | {value / by_hand:.2f} |" for name, value in seconds.items()]
    made += ["", f"Not installed: {', '.join(left_out)}."] if left_out else []
    return "\n".join(made) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--only", default="", help="peers whose name holds this, beside TensorFlow by hand")
    parser.add_argument("--write", type=Path, help="the page to write")
    given = parser.parse_args()
    table = pa.table({"label": np.arange(ROWS) % 10, "image": column_of(pictures()[..., 0])})
    wanted = images_of(with_tensorflow(table)().rename_columns(["label", "image"]))
    asked = [peer for peer in PEERS if given.only in peer.name or peer.name == "TensorFlow by hand"]
    runs: dict[str, Run] = {}
    for peer in asked:
        if installed(peer):
            runs[peer.name] = peer.make(table)
            check(peer.name, runs[peer.name](), wanted)
    seconds = medians(runs, given.runs)
    left_out = [peer.name for peer in asked if peer.name not in runs]
    made = page(dict(sorted(seconds.items(), key=lambda item: item[1])), left_out, given.runs)
    print(made)
    if given.write:
        given.write.write_text(made)


if __name__ == "__main__":
    main()
