"""Peak resident memory against the number of rows, Parquet to Parquet; each run is a process of its own.

python benchmarks/memory.py [--rows 500000 1000000 5000000] [--write docs/memory.md]
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from cases import DIGITS, SOBEL, column_of

import tfsql

ROWS = (500_000, 1_000_000, 5_000_000)
# Beyond so many rows a full picture for each fills the disk, and shows nothing new.
MAX_PICTURES = 1_000_000
_EDGES = f"tf_Conv2D(reshape(image, [1, 28, 28, 1]), {SOBEL.tolist()}, {{padding: 'SAME', strides: [1, 1, 1, 1]}})"
_HEAD = """# Memory

The peak of resident memory while pictures of 28x28 bytes are read from Parquet, filtered, and a number or a picture of
each is written to Parquet. `make bench` measures anew.

"""
RESULTS = {"a number": f"tf_Max({_EDGES}, [0, 1, 2, 3])", "a picture": _EDGES}


def write_digits(path: Path, rows: int) -> None:
    """``rows`` digits of uint8[28, 28], group by group."""
    digits = np.asarray(pq.read_table(DIGITS).column("image").combine_chunks().flatten().flatten())
    digits = digits.reshape(-1, 28, 28).astype(np.uint8)
    schema = pa.schema([("label", pa.int32()), ("image", column_of(digits[:1]).type)])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for start in range(0, rows, 50_000):
            index = np.arange(start, min(start + 50_000, rows))
            rolled = np.roll(digits[index % len(digits)], start // 50_000 % 28, axis=2)
            writer.write_table(pa.table({"label": pa.array(index % 10, pa.int32()), "image": column_of(rolled)}))


def run(source: Path, target: Path, result: str) -> None:
    """One run in this process; prints seconds and the peak in megabytes, and what the imports alone take."""
    con = tfsql.connect()
    con.sql("SELECT tf_Square(1.0)").fetchall()
    before = peak_megabytes()
    started = time.perf_counter()
    con.execute(f"COPY (SELECT label, {RESULTS[result]} AS y FROM '{source}') TO '{target}' (FORMAT parquet)")
    seconds = time.perf_counter() - started
    print(seconds, peak_megabytes(), before)


def peak_megabytes() -> float:
    """The greatest resident memory of this process so far; ``getrusage`` would count what its parent took."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found.group(1)) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS)
    parser.add_argument("--run", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--write", type=Path, help="the file to write the table to")
    given = parser.parse_args()
    if given.run:
        run(Path(given.run[0]), Path(given.run[1]), given.run[2])
        return
    lines = [
        "| rows | result of a row | seconds | peak memory | of it before the query |",
        "| ---: | --- | ---: | ---: | ---: |",
    ]
    for rows in given.rows:
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder) / "source.parquet", Path(folder) / "target.parquet"
            write_digits(source, rows)
            for result in RESULTS:
                if result == "a picture" and rows > MAX_PICTURES:
                    continue
                command = [sys.executable, __file__, "--run", str(source), str(target), result]
                out = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
                seconds, peak, before = map(float, out)
                assert pq.ParquetFile(target).metadata.num_rows == rows
                lines.append(f"| {rows:,} | {result} | {seconds:.1f} | {peak:,.0f} MB | {before:,.0f} MB |")
                print(lines[-1], flush=True)
    if given.write:
        given.write.write_text(_HEAD + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
