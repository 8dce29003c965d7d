"""What it costs that kernels run in processes of their own: the headline queries with tfsql_isolation none and process.

Run it with ``python benchmarks/isolation.py`` on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
import pyarrow as pa
from cases import SOBEL, column_of, options, pictures
from timing import medians

import tfsql

CONVOLUTION = f"tf_Conv2D(reshape(image, [1, 28, 28, 1]), {SOBEL.tolist()}, {options()}) AS picture"
ISOLATIONS = ("none", "process")


def over_arrow(digits: pa.Table, isolation: str) -> Callable[[], pa.Table]:
    con = tfsql.connect(config={"tfsql_isolation": isolation})

    def run() -> pa.Table:
        source = digits
        return con.sql(f"SELECT label, {CONVOLUTION} FROM source").arrow() if source is not None else None

    return run


def over_table(digits: pa.Table, isolation: str) -> Callable[[], pa.Table]:
    con = tfsql.connect(config={"tfsql_isolation": isolation})
    con.execute("CREATE TABLE digits AS FROM digits")
    return lambda: con.sql(f"SELECT label, {CONVOLUTION} FROM digits").arrow()


def of_one_picture(digits: pa.Table, isolation: str) -> Callable[[], pa.Table]:
    con, image = tfsql.connect(config={"tfsql_isolation": isolation}), pictures(1)[0, ..., 0]
    return lambda: con.sql(f"SELECT {CONVOLUTION.replace('image', '?', 1)}", [image]).arrow()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rows", type=int, default=70_000)
    parser.add_argument("--runs", type=int, default=7)
    arguments = parser.parse_args()
    images = column_of(pictures(arguments.rows)[..., 0])
    digits = pa.table({"label": np.arange(arguments.rows) % 10, "image": images})
    for make in (over_arrow, over_table, of_one_picture):
        contenders = {isolation: make(digits, isolation) for isolation in ISOLATIONS}
        first, second = (run() for run in contenders.values())
        assert first.equals(second)
        del first, second  # the memory of a result is used again once nobody has it
        for run in contenders.values():
            run()
        seconds = medians(contenders, arguments.runs)
        shown = ", ".join(f"{isolation} {median * 1000:.1f} ms" for isolation, median in seconds.items())
        print(f"{make.__name__:>15}: {shown}, ratio {seconds['process'] / seconds['none']:.2f}")


if __name__ == "__main__":
    main()
