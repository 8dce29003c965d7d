"""Handwritten digits through five picture filters, in one SQL query: run it with ``make demo``.

It prints what it does, draws one digit with its filtered pictures, writes them to digits_filtered.png, and compares
every number with TensorFlow called directly.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

import numpy as np

import tfsql
from tfsql.render import DEFAULT_WIDTH, borders_of, picture_row, save_png, table_text

DIGITS = Path(__file__).resolve().parents[1] / "data" / "digits.parquet"
PNG = "digits_filtered.png"
# The row that is drawn: a three.
SHOWN_ROW = 3
# Pixels go to 255 and the nine weights of a filter to 8: a difference of this size is rounding.
TOLERANCE = 255 * 1e-5

FILTERS: dict[str, list[float]] = {
    "Right Sobel": [-1, 0, 1, -2, 0, 2, -1, 0, 1],
    "Detect Edges": [1, 1, 1, 1, -8, 1, 1, 1, 1],
    "Sharpen": [0, -1, 0, -1, 5, -1, 0, -1, 0],
    "Box Blur": [0.1] * 9,
    "Approximated Gaussian Blur": [weight / 16 for weight in (1, 2, 1, 2, 4, 2, 1, 2, 1)],
}


def filter_array(weights: list[float]) -> np.ndarray:
    """Nine weights as TensorFlow takes them: ``[height, width, channels in, channels out]``."""
    return np.array(weights).reshape(3, 3, 1, 1)


def filter_call(name: str, weights: list[float]) -> str:
    """The SQL of one filter, as a column of that name."""
    literal = ",\n     ".join(str(row) for row in filter_array(weights).tolist())
    return f"""\
  tf_Conv2D(reshape(image, [1, 28, 28, 1]),
    [{literal}],
    {{padding: 'SAME', strides: [1, 1, 1, 1]}}) AS "{name}\""""


def query() -> str:
    """The SQL of the demo: each digit, and the five pictures made of it."""
    calls = ",\n".join(filter_call(name, weights) for name, weights in FILTERS.items())
    return f"SELECT label, image,\n{calls}\nFROM '{os.path.relpath(DIGITS)}'"


def relation(con: tfsql.Connection, sql: str) -> tfsql.Relation:
    made = con.sql(sql)
    assert made is not None
    return made


def timed_rows(con: tfsql.Connection, sql: str) -> tuple[dict[str, np.ndarray], float]:
    """The rows of the query as one array per column, and the seconds that took."""
    start = time.perf_counter()
    columns = relation(con, sql).numpy()
    return columns, time.perf_counter() - start


def greatest_difference(columns: dict[str, np.ndarray]) -> float:
    """How far any number of the result is from that of ``tf.nn.conv2d`` on all digits at once."""
    import tensorflow as tf

    images = columns["image"][..., None]
    expected = {
        name: tf.nn.conv2d(images, filter_array(weights).astype(np.float32), 1, "SAME").numpy()
        for name, weights in FILTERS.items()
    }
    return max(float(np.abs(columns[name][:, 0] - expected[name]).max()) for name in FILTERS)


def show_pictures(columns: dict[str, np.ndarray]) -> None:
    """Draws one digit and what the filters made of it, here and in a file."""
    label = columns["label"][SHOWN_ROW]
    titles = [f"The digit {label}", *FILTERS]
    pictures = [columns["image"][SHOWN_ROW], *(columns[name][SHOWN_ROW] for name in FILTERS)]
    third = (shutil.get_terminal_size((DEFAULT_WIDTH, 24)).columns - 4) // 3
    print(picture_row(pictures, titles, width=max(8, min(28, third))))
    save_png(PNG, pictures, titles)
    print(f"\nThe same pictures are in {PNG}.")


def main() -> int:
    con = tfsql.connect()
    sql = query()
    print(f"Five filters over every digit, one SQL query:\n\n{sql}\n")
    columns, first_s = timed_rows(con, sql)
    columns, again_s = timed_rows(con, sql)
    rows = len(columns["label"])
    print(table_text(relation(con, sql), 5, row_count=rows, borders=borders_of(sys.stdout)))
    print(f"\nAll {rows:,} rows, five pictures each: {again_s:.2f} s, {rows / again_s:,.0f} rows a second.")
    print(f"The first time took {first_s:.1f} s: it loads TensorFlow and compiles the query.\n")
    show_pictures(columns)
    difference = greatest_difference(columns)
    print(f"Compared with tf.nn.conv2d called directly: the greatest difference is {difference:g}.")
    return 0 if difference <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
