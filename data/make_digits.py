"""Writes digits.csv.gz and digits.parquet: the 1,797 digits of UCI's test set, enlarged to look like MNIST's.

scikit-learn ships the digits as 8 x 8 pixels of 0 to 16. Each is enlarged to 20 x 20 by cubic interpolation,
its contrast raised, and set into 28 x 28 black pixels with its centre of mass in the middle, as MNIST's were.

All arithmetic is on integers, so the pixels are the same on every machine. The bytes of the files depend on
the version of pyarrow as well: it compresses both, and Parquet names its writer. constraints.txt pins it.

    python data/make_digits.py          writes both files beside this script
    python data/make_digits.py --check  compares them with what would be written; exit code 1 if one differs
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.datasets import load_digits

FOLDER = Path(__file__).parent
SMALL, ENLARGED, SIDE = 8, 20, 28
BORDER = (SIDE - ENLARGED) // 2
WEIGHT_SUM = 2000  # of the four weights of one interpolated point
BLACK, WHITE = 4, 12  # of 16: less and more become wholly black and white, as most of MNIST is
GZIP_HEADER = bytes([0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 2, 255])  # no name, no time, best compression, no system


def cubic_weights(tenths: int) -> list[int]:
    """Catmull-Rom weights, times 2000, of the pixels at -1, 0, 1 and 2 for a point at ``tenths`` / 10."""
    t = tenths
    return [
        -100 * t + 20 * t**2 - t**3,
        2000 - 50 * t**2 + 3 * t**3,
        100 * t + 40 * t**2 - 3 * t**3,
        -10 * t**2 + t**3,
    ]


def enlarging_matrix() -> np.ndarray:
    """The weights of the 8 old pixels in each of the 20 new ones, [20, 8]; outside the image all is black.

    The centre of new pixel i lies at (i + 1/2) * 8 / 20 - 1/2 = (4 i - 3) / 10 old pixels.
    """
    padded = np.zeros((ENLARGED, SMALL + 4), np.int64)
    for i in range(ENLARGED):
        left, tenths = divmod(4 * i - 3, 10)
        padded[i, left + 1 : left + 5] = cubic_weights(tenths)
    return padded[:, 2:-2]


def enlarge(small: np.ndarray) -> np.ndarray:
    """Images [n, 8, 8] of 0 to 16 as images [n, 20, 20] of 0 to 255."""
    matrix = enlarging_matrix()
    ink = matrix @ small @ matrix.T
    one = WEIGHT_SUM**2
    span = (WHITE - BLACK) * one
    return np.clip(((ink - BLACK * one) * 255 + span // 2) // span, 0, 255)


def shift_to_centre(ink: np.ndarray) -> np.ndarray:
    """The whole number of pixels [n] by which to move ink per line [n, 28] to have its mean at 13.5."""
    total = ink.sum(axis=1)
    moment = ink @ np.arange(SIDE)
    nearest = (SIDE // 2 * total - moment) // total
    return np.clip(nearest, -BORDER, BORDER)


def centre(enlarged: np.ndarray) -> np.ndarray:
    """Images [n, 20, 20] in the middle, by mass, of black images [n, 28, 28]."""
    images = np.pad(enlarged, ((0, 0), (BORDER, BORDER), (BORDER, BORDER)))
    down, right = shift_to_centre(images.sum(axis=2)), shift_to_centre(images.sum(axis=1))
    return np.stack([np.roll(image, by, axis=(0, 1)) for image, *by in zip(images, down, right, strict=True)])


def digits() -> tuple[np.ndarray, np.ndarray]:
    """The images, uint8 [1797, 28, 28], and their labels, int64 [1797]."""
    source = load_digits()
    images = centre(enlarge(source.images.astype(np.int64)))
    return images.astype(np.uint8), source.target.astype(np.int64)


def csv_gz(images: np.ndarray, labels: np.ndarray) -> bytes:
    """The gzip file of a CSV table with columns "1" to "784", the pixels row by row, and "785", the label."""
    header = ",".join(f'"{number}"' for number in range(1, SIDE * SIDE + 2))
    rows = np.column_stack([images.reshape(-1, SIDE * SIDE), labels]).tolist()
    text = "\n".join([header, *(",".join(map(str, row)) for row in rows), ""])
    compressed = pa.Codec("gzip", compression_level=9).compress(text.encode(), asbytes=True)
    return GZIP_HEADER + compressed[len(GZIP_HEADER) :]


def parquet(images: np.ndarray, labels: np.ndarray) -> bytes:
    """The Parquet file of columns ``label``, BIGINT, and ``image``, float32 [28, 28]."""
    image = pa.array(images.ravel(), pa.uint8()).cast(pa.float32())
    for _ in range(2):
        image = pa.FixedSizeListArray.from_arrays(image, SIDE)
    table = pa.table({"label": labels, "image": image})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", compression_level=19)
    return sink.getvalue().to_pybytes()


def differs(path: Path, content: bytes) -> bool:
    """Whether the file holds anything else than ``content``; says so on stderr."""
    same = path.exists() and path.read_bytes() == content
    if not same:
        print(f"{path.name} is not what make_digits.py writes with pyarrow {pa.__version__}", file=sys.stderr)
    return not same


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 1 if ``--check`` found a difference, else 0."""
    parser = argparse.ArgumentParser(description="Write digits.csv.gz and digits.parquet beside this script.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a file differs")
    check = parser.parse_args(arguments).check
    images, labels = digits()
    files = {"digits.csv.gz": csv_gz(images, labels), "digits.parquet": parquet(images, labels)}
    if check:
        different = [name for name, content in files.items() if differs(FOLDER / name, content)]
        return int(bool(different))
    for name, content in files.items():
        (FOLDER / name).write_bytes(content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
