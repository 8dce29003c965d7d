"""What a query costs against rows, the size of a row, calls, and columns: no step may grow faster than its input.

python benchmarks/growth.py [--write docs/growth.md]
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from cases import column_of

import tfsql

RNG = np.random.default_rng(0)


@dataclass(frozen=True)
class Growth:
    """A question of growing size.

    Attributes:
      make: makes the query for a size; it is timed with what it needs to be bound.
    """

    name: str
    sizes: tuple[int, ...]
    make: Callable[[int], Callable[[], object]]


def of_rows(rows: int) -> Callable[[], object]:
    con, source = tfsql.connect(), pa.table({"x": column_of(RNG.random((rows, 4), np.float32))})
    con.backend.register_table("source", source)
    return lambda: con.sql("SELECT tf_Sum(tf_Square(x), 0) AS y FROM source").arrow()


def of_row_size(numbers: int) -> Callable[[], object]:
    con, source = tfsql.connect(), pa.table({"x": column_of(RNG.random((64, numbers), np.float32))})
    con.backend.register_table("source", source)
    return lambda: con.sql("SELECT tf_Square(x) AS y FROM source").arrow()


def of_calls(calls: int) -> Callable[[], object]:
    con, source = tfsql.connect(), pa.table({"x": column_of(RNG.random((100, 4), np.float32))})
    con.backend.register_table("source", source)
    items = ", ".join(f"tf_Mul(x, {i + 0.5}) AS y{i}" for i in range(calls))
    return lambda: con.sql(f"SELECT {items} FROM source").arrow()


def of_columns(columns: int) -> Callable[[], object]:
    con = tfsql.connect()
    con.backend.register_table("source", pa.table({f"c{i}": RNG.random(100) for i in range(columns)}))
    return lambda: con.sql("SELECT tf_Square(c0) AS y, * FROM source").arrow()


def of_spread(columns: int) -> Callable[[], object]:
    con = tfsql.connect()
    con.backend.register_table("source", pa.table({"x": column_of(RNG.random((100, columns), np.float32))}))
    return lambda: con.sql("SELECT tf_Square(x) AS * FROM source").arrow()


def of_depth(calls: int) -> Callable[[], object]:
    con = tfsql.connect()
    con.backend.register_table("source", pa.table({"x": column_of(RNG.random((100, 4), np.float32))}))
    call = "tf_Neg(" * calls + "x" + ")" * calls
    return lambda: con.sql(f"SELECT {call} AS y FROM source").arrow()


GROWTHS = (
    Growth("rows", (1_000, 10_000, 100_000, 1_000_000, 10_000_000), of_rows),
    Growth("numbers in a row", (10, 100, 1_000, 10_000, 100_000), of_row_size),
    Growth("calls in the select list", (1, 10, 100, 300), of_calls),
    Growth("calls inside one another", (1, 10, 50, 100), of_depth),
    Growth("columns of the table", (10, 100, 1_000, 10_000), of_columns),
    Growth("columns made of a tensor", (10, 100, 1_000, 10_000), of_spread),
)


def measured(growth: Growth, runs: int) -> Iterator[tuple[int, float]]:
    """Each size with its median seconds, the first run left out."""
    for size in growth.sizes:
        run = growth.make(size)
        run()
        seconds = []
        for _ in range(runs):
            started = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - started)
        yield size, statistics.median(seconds)


def draw(lines: dict[str, list[tuple[int, float]]], path: Path) -> None:
    """A picture of all growths on logarithmic axes, beside a line of growth in step."""
    from matplotlib.figure import Figure

    figure = Figure((9, 5.5), layout="constrained")
    axes = figure.subplots()
    for name, points in lines.items():
        axes.loglog(*zip(*points, strict=True), marker="o", label=name)
    axes.loglog([1e5, 1e7], [0.03, 3], color="grey", linestyle=":", label="twice the size, twice the time")
    axes.set_xlabel("size")
    axes.set_ylabel("seconds")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path)


def page(lines: dict[str, list[tuple[int, float]]]) -> str:
    """The page in Markdown, with the picture beside it."""
    made = [
        "# Growth",
        "",
        "What a query takes as one thing about it grows and all else stays: no step may grow faster than its input.",
        f"tfsql {tfsql.__version__} on {os.cpu_count()} cores; `make bench` measures anew.",
        "",
        "![Seconds against size, on logarithmic axes](pictures/growth.svg)",
        "",
        "| what grows | size | time |",
        "| --- | ---: | ---: |",
    ]
    made += [
        f"| {name} | {size:,} | {seconds * 1000:,.1f} ms |"
        for name, points in lines.items()
        for size, seconds in points
    ]
    return "\n".join(made) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", default="", help="growths whose name holds this")
    parser.add_argument("--write", type=Path, help="the page to write; its picture is put beside it")
    given = parser.parse_args()
    lines: dict[str, list[tuple[int, float]]] = {}
    for growth in GROWTHS:
        if given.only in growth.name:
            for size, seconds in measured(growth, given.runs):
                lines.setdefault(growth.name, []).append((size, seconds))
                print(f"{growth.name:28} {size:12,} {seconds * 1000:10.1f} ms", flush=True)
    if given.write:
        given.write.write_text(page(lines))
        draw(lines, given.write.parent / "pictures" / "growth.svg")


if __name__ == "__main__":
    main()
