"""All cases, by hand and in SQL, interleaved in one process; verified, timed, and written as a table.

python benchmarks/run.py [--runs 7] [--only headline] [--write docs/benchmarks.md]
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf
from cases import CASES, Case, array_of
from timing import medians

import tfsql


def numbers(answer: Any) -> np.ndarray:
    """The numbers of an answer, those of its last column if it is a table or a file of one."""
    if isinstance(answer, Path):
        answer = pq.read_table(answer)
    if isinstance(answer, pa.Table):
        answer = array_of(answer.column(answer.num_columns - 1))
    return np.asarray(answer, np.float64).reshape(-1)


def measured(case: Case, runs: int) -> tuple[float, float]:
    """The median seconds by hand and in SQL.

    Raises:
      SystemExit: the two answers differ.
    """
    with tempfile.TemporaryDirectory() as folder:
        by_hand, in_sql = case.make(Path(folder))
        want, got = numbers(by_hand()), numbers(in_sql())
        scale = max(float(np.abs(want).max()), 1e-30)
        difference = float(np.abs(want - got).max()) / scale if want.shape == got.shape else float("inf")
        if difference > case.tolerance:
            raise SystemExit(f"{case.name}: the answers differ by {difference:.2g} of the greatest number")
        in_sql()
        seconds = medians({"by hand": by_hand, "tfsql": in_sql}, runs)
    return seconds["by hand"], seconds["tfsql"]


def report(lines: list[tuple[Case, float, float]], runs: int) -> str:
    """The table in Markdown."""
    versions = f"tfsql {tfsql.__version__}, TensorFlow {tf.__version__}, DuckDB {duckdb.__version__}"
    made = [
        "# Benchmarks\n",
        "What a query takes against the same by hand: pyarrow, one traced TensorFlow function of all rows, pyarrow.",
        f"Both give the same answer, which is checked. Medians of {runs} interleaved runs in one process on",
        f"{os.cpu_count()} cores; {versions}.",
        "`make bench` measures anew.\n",
        "| case | by hand | tfsql | ratio |",
        "| --- | ---: | ---: | ---: |",
    ]
    for case, by_hand, in_sql in lines:
        made.append(f"| {case.name} | {by_hand * 1000:.1f} ms | {in_sql * 1000:.1f} ms | {in_sql / by_hand:.2f} |")
    return "\n".join(made) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--only", default="", help="cases whose name holds this")
    parser.add_argument("--write", type=Path, help="the file to write the table to")
    arguments = parser.parse_args()
    lines = []
    for case in CASES:
        if arguments.only in case.name:
            by_hand, in_sql = measured(case, arguments.runs)
            lines.append((case, by_hand, in_sql))
            mark = "" if in_sql / by_hand <= case.at_most else f"   above {case.at_most}"
            print(
                f"{case.name:34} {by_hand * 1000:9.1f} ms {in_sql * 1000:9.1f} ms {in_sql / by_hand:6.2f}{mark}",
                flush=True,
            )
    if arguments.write is not None:
        arguments.write.write_text(report(lines, arguments.runs))


if __name__ == "__main__":
    main()
