"""Draws the pictures of the documentation with tfsql itself: ``python docs/pictures.py``.

Each figure is a list of titles and queries; the one value of each query is the picture under the title.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import tfsql
from tfsql.render import save_png

DOCS = Path(__file__).parent
DATA = DOCS.parent / "data" / "digits.parquet"
SCALE = 5

# "colored" is a picture of three channels: the digit in red, its mirror image in green, a fifth of it in blue.
SETUP = f"""
CREATE TABLE digits AS SELECT row_number() OVER () - 1 AS i, label, image FROM '{DATA}';
CREATE VIEW three AS SELECT image FROM digits WHERE i = 3;
CREATE VIEW colored AS
  SELECT tf_Pack([image, tf_ReverseV2(image, [1]), image * 0.2], {{axis: 2}}) AS image FROM three;
"""
EDGES = "[[[[-1]], [[0]], [[1]]], [[[-2]], [[0]], [[2]]], [[[-1]], [[0]], [[1]]]]"
BLUR = "tf_Fill([9, 9, 1, 1], 0.0123)"


def conv(kernel: str, *, stride: int = 1, padding: str = "SAME", dilation: int = 1) -> str:
    """The query that convolves a digit."""
    return (
        f"SELECT tf_Conv2D(reshape(image, [1, 28, 28, 1]), {kernel}, {{padding: '{padding}', "
        f"strides: [1, {stride}, {stride}, 1], dilations: [1, {dilation}, {dilation}, 1]}}) FROM three"
    )


FIGURES = {
    "filters": [
        ("a digit", "SELECT image FROM three"),
        ("right sobel", "SELECT sobel_x(image) FROM three"),
        ("bottom sobel", "SELECT sobel_y(image) FROM three"),
        ("detect edges", "SELECT convolve(image, detect_edges_kernel()) FROM three"),
        ("sharpen", "SELECT sharpen(image) FROM three"),
        ("gaussian blur", "SELECT gaussian_blur(image) FROM three"),
    ],
    "batch": [
        *((f"row {i}", f"SELECT image FROM digits WHERE i = {i}") for i in range(3)),
        *((f"edges {i}", f"SELECT edge_magnitude(image) FROM digits WHERE i = {i}") for i in range(3)),
    ],
    "strides": [("stride 1", conv(EDGES)), ("stride 2", conv(EDGES, stride=2)), ("stride 4", conv(EDGES, stride=4))],
    "padding": [
        ("the digit", "SELECT image FROM three"),
        ("SAME", conv(BLUR)),
        ("VALID", conv(BLUR, padding="VALID")),
    ],
    "dilations": [
        ("dilation 1", conv(EDGES)),
        ("dilation 2", conv(EDGES, dilation=2)),
        ("dilation 4", conv(EDGES, dilation=4)),
    ],
    "channels": [
        ("three channels", "SELECT image FROM colored"),
        ("red", "SELECT tf_Slice(image, [0, 0, 0], [28, 28, 1]) FROM colored"),
        ("green", "SELECT tf_Slice(image, [0, 0, 1], [28, 28, 1]) FROM colored"),
        (
            "one of three",
            "SELECT tf_Conv2D(tf_ExpandDims(image, 0), [[[[0.3], [0.6], [0.1]]]], "
            "{padding: 'SAME', strides: [1, 1, 1, 1]}) FROM colored",
        ),
    ],
}


def draw(folder: Path) -> list[Path]:
    """Writes every figure into a folder; returns the files."""
    paths = []
    with tfsql.connect() as connection:
        connection.sql(SETUP)
        for name, parts in FIGURES.items():
            pictures = [np.array(connection.sql(query).fetchone()[0]) for _, query in parts]
            paths.append(folder / f"{name}.png")
            save_png(paths[-1], pictures, [title for title, _ in parts], SCALE)
    return paths


if __name__ == "__main__":
    for path in draw(DOCS / "pictures"):
        print(path)
