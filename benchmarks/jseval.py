"""The tutorial's convolution in JavaScript: by jseval over a table, and by the same loop inside one call of V8.

The ratio is what SQL, the crossing into V8 and back, and the worker process cost. Run it with
``python benchmarks/jseval.py``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from py_mini_racer import MiniRacer
from timing import medians

import tfsql

CODE = """
var size = 28, pixels = [], weights = [], result = [];
for (var n = 0; n < image.length; n++) pixels[parseInt(image[n][0][0])] = image[n][1];
for (var k = 0; k < kernel.length; k++) weights[parseInt(kernel[k][0][0])] = kernel[k][1];
for (var i = 0; i < size; i++)
  for (var j = 0; j < size; j++) {
    var sum = 0;
    for (var y = 0; y < 3; y++)
      for (var x = 0; x < 3; x++) {
        var row = Math.min(Math.max(i + y, 0), size - 1);
        var column = Math.min(Math.max(j + x, 0), size - 1);
        sum += pixels[row * size + column] * weights[y * 3 + x];
      }
    result[i * size + j] = sum;
  }
return result;
"""
KERNEL = [-1, 0, 1, -2, 0, 2, -1, 0, 1]


def inside_v8(rows: int) -> Callable[[], float]:
    """The loop over all rows in one call, cells built as jseval builds them."""
    racer = MiniRacer()
    racer.eval(
        f"""
        const convolve = new Function("image", "kernel", {CODE!r});
        const paths = Array.from({{length: 784}}, (_, i) => Object.freeze([String(i)]));
        const pictures = Uint8Array.from({{length: {rows} * 784}}, (_, i) => (i * 7919) % 256), kernel = {KERNEL};
        function cells(view, start, count, timestamp) {{
          const made = new Array(count);
          for (let i = 0; i < count; i++) made[i] = [paths[i], view[start + i], timestamp];
          return made;
        }}
        function run() {{
          const out = new Float64Array({rows} * 784);
          for (let row = 0, used = 0; row < {rows}; row++) {{
            const timestamp = new Date(0);
            const made = convolve(cells(pictures, row * 784, 784, timestamp), cells(kernel, 0, 9, timestamp));
            for (let i = 0; i < 784; i++) out[used++] = made[i];
          }}
          return out[out.length - 1];
        }}
        """
    )
    return lambda: racer.eval("run()")


def in_sql(rows: int) -> Callable[[], float]:
    con = tfsql.connect()
    pictures = ((np.arange(rows * 784) * 7919) % 256).astype(np.uint8).reshape(rows, 784)
    con.sql("CREATE TABLE pictures AS SELECT column0 AS image FROM pictures")
    assert len(pictures) == rows
    query = f"SELECT jseval(?, 'image, kernel', image, {KERNEL})::DOUBLE[784] AS y FROM pictures"
    return lambda: con.sql(query, [CODE]).numpy()["y"][-1, -1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    contenders = {"one call of V8": inside_v8(arguments.rows), "jseval": in_sql(arguments.rows)}
    results = {name: run() for name, run in contenders.items()}
    seconds = medians(contenders, arguments.runs)
    print(f"{arguments.rows} pictures, {arguments.runs} interleaved runs, last pixels {results}")
    for name, median in seconds.items():
        per_row = median / arguments.rows * 1e6
        print(f"{name:>14}  {median * 1000:8.0f} ms  {per_row:6.0f} us a row  {median / seconds['one call of V8']:.2f}")


if __name__ == "__main__":
    main()
